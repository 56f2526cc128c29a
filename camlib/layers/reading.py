"""Which outputs of a probed network are feature maps: the axes of channels and space, the order of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise, permutations
from math import prod

import torch
from torch import Tensor

from camlib.layers.layer import Layer
from camlib.layers.locating import Response
from camlib.layers.probing import Output, Probe, is_numbers

_PROVEN = 0.3
"""Slope from which on an axis of an output follows an axis of the picture (1 is exactly, 0 not at all)."""
_SURER = 0.5
"""By how much the evidence for an unusual reading must exceed that for the usual one."""
_SHORTEST = 4
"""Positions of an axis from which on its slope, and the order of its tokens, mean something by themselves."""
_ALIKE = 0.5
"""Correlation from which on tokens are taken to lie in an order."""
_MOST_CLASS_TOKENS = 8


@dataclass
class Reader:
    """Reads the outputs of one probing pass as layers.

    Args:
        probe: the pass.
        responses: "module:call" -> how that output follows the picture, see :mod:`camlib.layers.locating`.
    """

    probe: Probe
    responses: dict[str, Response]
    _orders: dict[tuple[int, ...], tuple[int, ...]] = field(default_factory=dict)  # grid -> order of its tokens
    _layers: dict[tuple[int, int], Layer | None] = field(default_factory=dict)
    _proven_sizes: set[tuple[int, ...]] = field(default_factory=set)

    def layers(self) -> list[Layer]:
        """Every spatial layer in the order in which the network computes them."""
        return [layer for group in self.probe.groups() for layer in self.variants(group)]

    def variants(self, group: list[Output]) -> list[Layer]:
        """The layer of a group, followed by its rectified form where only a function call makes that."""
        first = group_head(group)
        if first.key not in self._layers:
            self._layers[first.key] = self._read(first)
        layer = self._layers[first.key]
        if layer is None:
            return []
        aliases = tuple(_label(o, self.probe) for o in group if o is not first)
        layers = [replace(layer, aliases=aliases, note=_note(group, self.probe))]
        name, result = self.probe.rectified.get(first.key, ("", None))
        if name and result not in self._module_keys:
            rectified = replace(layer, name=f"{layer.name}+{name}", rectifier=name, note="rectified by a function call")
            layers.append(rectified)
        return layers

    @cached_property
    def _module_keys(self) -> set[tuple[int, int]]:
        return {output.key for output in self.probe.outputs}

    def _read(self, output: Output) -> Layer | None:
        """The layer behind one output, or None when it is not a spatial map of one picture."""
        shape = tuple(output.tensor.shape)
        space = len(self.probe.input_size)
        if not is_numbers(output.tensor) or len(shape) < 3 or 0 in shape:
            return None
        base = {"name": _label(output, self.probe), "module": output.name, "call": output.call}
        response = self.responses.get(f"{output.name}:{output.call}")
        if len(shape) == 3 and space > 1:
            return self._sequence(output, response, base) if shape[0] == 1 else None
        return self._map(output, response, base) if len(shape) - 2 <= space else None

    # -- maps --------------------------------------------------------------------------------------------------------

    def _map(self, output: Output, response: Response | None, base: dict) -> Layer | None:
        rows, shape = output.tensor.shape[0], tuple(output.tensor.shape)
        if rows > 1 and (response is None or max(map(abs, response.row_slopes)) > _PROVEN):
            return None  # another batch, or windows of the picture
        axes = self._axes(output, response)
        if axes is None:
            return None
        size = tuple(shape[axis] for axis in axes[1:])
        if prod(size) < 2:
            return None
        natural = tuple(range(1, len(shape)))
        kind = "map" if axes == natural else "channels-last map" if axes == _last(len(shape)) else "transposed map"
        return Layer(
            kind=kind,
            channels=rows * shape[axes[0]],
            size=size,
            axes=() if axes == natural else axes,
            views=rows,
            views_apart=response is not None and response.views_apart,
            **base,
        )

    def _axes(self, output: Output, response: Response | None) -> tuple[int, ...] | None:
        """The axes (channels, *space): as the picture proves, else as the modules around it and its aspect suggest."""
        shape = tuple(output.tensor.shape)
        natural, last = tuple(range(1, len(shape))), _last(len(shape))
        usual = [last, natural] if output.channels_last else [natural, last]
        if prod(shape[axis] for axis in usual[0][1:]) < 2:
            return None  # a pooled vector
        if response is not None:
            proven = self._proven_axes(usual, shape, response)
            if proven is not None:
                self._proven_sizes.add(tuple(shape[axis] for axis in proven[1:]))
                return proven
            if self._contradicts(usual[0], shape, response):
                return None
        for axes in usual:
            size = tuple(shape[axis] for axis in axes[1:])
            if size in self._proven_sizes or _proportional(size, self.probe.input_size):
                return axes
        return None

    def _proven_axes(
        self, usual: list[tuple[int, ...]], shape: tuple[int, ...], response: Response
    ) -> tuple[int, ...] | None:
        """The reading that the picture proves: the usual one, or another one for which much more speaks."""
        best = max(permutations(sorted(usual[0])), key=lambda axes: self._evidence(axes, response))
        unusual = best != usual[0]
        long = all(shape[axis] >= _SHORTEST for axis in best[1:] if shape[axis] > 1)
        surer = self._evidence(best, response) > self._evidence(usual[0], response) + _SURER
        for axes in [best, usual[0]] if unusual and long and surer else [usual[0]]:
            if self._follows(axes, shape, response):
                return axes
        return None

    def _pairs(self, axes: tuple[int, ...]) -> list[tuple[int, int]]:
        """(axis of the output, axis of the picture that it would be); the last axes of the picture are meant."""
        first = len(self.probe.input_size) - (len(axes) - 1)
        return [(axis, first + position) for position, axis in enumerate(axes[1:])]

    def _evidence(self, axes: tuple[int, ...], response: Response) -> float:
        followed = sum(response.slopes[axis - 1][own] for axis, own in self._pairs(axes))
        return followed - 0.5 * sum(map(abs, response.slopes[axes[0] - 1]))

    def _follows(self, axes: tuple[int, ...], shape: tuple[int, ...], response: Response) -> bool:
        """Whether every axis of space, if it is longer than 1, goes along its axis of the picture.

        A single row must do so twice as much as along any other axis: attention to tokens goes along all of them.
        """
        one_row = sum(shape[axis] > 1 for axis in axes[1:]) < 2
        for axis, own in self._pairs(axes):
            slopes = response.slopes[axis - 1]
            others = max((abs(slope) for place, slope in enumerate(slopes) if place != own), default=0.0)
            if shape[axis] > 1 and slopes[own] < max(_PROVEN, 2 * others if one_row else 0.0):
                return False
        return True

    def _contradicts(self, axes: tuple[int, ...], shape: tuple[int, ...], response: Response) -> bool:
        """Whether an axis of some length goes along another axis of the picture than its own (attention weights)."""
        for axis, own in self._pairs(axes):
            slopes = list(map(abs, response.slopes[axis - 1]))
            other = max((slope for place, slope in enumerate(slopes) if place != own), default=0.0)
            if shape[axis] > 3 and other > max(_PROVEN, 2 * slopes[own]):
                return True
        return False

    # -- tokens ------------------------------------------------------------------------------------------------------

    def _sequence(self, output: Output, response: Response | None, base: dict) -> Layer | None:
        """Tokens [1, prefix + N, K]: a grid that the network had as a map, or one that the picture proves."""
        tokens, channels = output.tensor.shape[1:]
        likely = [(prefix, size, None) for prefix, size in self._grids(tokens) if size in self._known_sizes]
        found = next((grid for grid in likely if _likeness(response, *grid) >= _ALIKE), None)
        found = found or next(self._proven(tokens, response), None)
        found = found or next((grid for grid in likely if not _refuted(response, *grid)), None)
        if found is None:
            return None
        prefix, size, order = found
        return Layer(kind="tokens", channels=channels, size=size, prefix=prefix, order=order or (), **base)

    def _proven(self, tokens: int, response: Response | None) -> Iterator[tuple[int, tuple[int, ...], tuple | None]]:
        """(prefix, grid, order of the tokens) that explain where in the picture the tokens look."""
        if response is None or response.places is None:
            return
        for prefix, size in self._grids(tokens):
            for order in (None, *self._candidates(size, response.places[:, prefix:])):
                if _likeness(response, prefix, size, order) >= _ALIKE:
                    if order is not None:
                        self._orders[size] = order
                    yield prefix, size, order

    def _candidates(self, size: tuple[int, ...], places: Tensor) -> Iterator[tuple[int, ...]]:
        """Orders other than row by row: one that an earlier layer had, a coarser form of it, or read off the places."""
        if size in self._orders:
            yield self._orders[size]
        for finer, order in self._orders.items():
            yield from _pooled(finer, order, size)
        if (read := _ranked(size, places)) is not None:
            yield read

    def _grids(self, tokens: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """(number of class tokens, grid) that make so many tokens: maps of the network, then grids of its aspect."""
        counts = range(min(_MOST_CLASS_TOKENS, tokens - 2) + 1)
        for prefix in counts:
            yield from ((prefix, size) for size in self._known_sizes if prod(size) == tokens - prefix)
        for prefix in counts:
            size = _in_proportion(tokens - prefix, self.probe.input_size)
            if prod(size) == tokens - prefix and size not in self._known_sizes:
                yield prefix, size

    @cached_property
    def _known_sizes(self) -> list[tuple[int, ...]]:
        """Sizes of the network's maps, the finest first."""
        dims = len(self.probe.input_size) + 2
        maps = [self._read(o) for o in self.probe.outputs if o.tensor.dim() == dims and dims > 3]
        return sorted({found.size for found in maps if found is not None}, reverse=True)


def group_head(group: list[Output]) -> Output:
    """The outermost of the modules that return one tensor: the layer is called after it."""
    return min(group, key=lambda output: output.name.count("."))


def _label(output: Output, probe: Probe) -> str:
    """The module's name, with the number of the call where it runs more than once in a pass."""
    return output.name if probe.calls[output.name] == 1 else f"{output.name}:{output.call}"


def _note(group: list[Output], probe: Probe) -> str:
    name, result = probe.rectified.get(group[0].key, ("", None))
    if not name:
        return ""
    in_place = " in-place" if result[0] == group[0].key[0] else ""
    return f"before the{in_place} {name.upper().replace('RELU', 'ReLU')}"


def _last(dims: int) -> tuple[int, ...]:
    """(channels, *space) of an output whose last axis holds the channels."""
    return dims - 1, *range(1, dims - 1)


def _proportional(size: Sequence[int], picture: tuple[int, ...]) -> bool:
    """Whether a map keeps the aspect ratio of the picture, up to a rounding of one cell."""
    sides = picture[-len(size) :]
    return all(abs(a - b * sides[i] / sides[i + 1]) <= max(1.0, 0.15 * a) for i, (a, b) in enumerate(pairwise(size)))


def _in_proportion(positions: int, picture: tuple[int, ...]) -> tuple[int, ...]:
    """The grid of so many positions that has the aspect ratio of the picture, rounded."""
    scale = (positions / prod(picture)) ** (1 / len(picture))
    return tuple(max(1, round(scale * side)) for side in picture)


def _likeness(response: Response | None, prefix: int, size: tuple[int, ...], order: tuple[int, ...] | None) -> float:
    """Smallest correlation of the tokens' places with a grid, over the axes of space; 0 where nothing is known."""
    return min(_correlations(response, prefix, size, order), default=0.0)


def _refuted(response: Response | None, prefix: int, size: tuple[int, ...], order: tuple[int, ...] | None) -> bool:
    """Whether the tokens clearly have places, but not those of the grid."""
    found = _correlations(response, prefix, size, order) if min(size) >= _SHORTEST else []
    return max(found, default=0.0) >= _ALIKE and min(found) < _ALIKE / 2


def _correlations(
    response: Response | None, prefix: int, size: tuple[int, ...], order: tuple[int, ...] | None
) -> list[float]:
    if response is None or response.places is None:
        return []
    places = response.places[-len(size) :, prefix:]
    places = places[:, list(order)] if order is not None else places
    found = []
    for axis, side in enumerate(size):
        if side > 1:
            there = torch.arange(side).view([-1 if a == axis else 1 for a in range(len(size))]).expand(size).flatten()
            pair = torch.stack([places[axis].double(), there.double()])
            found.append(0.0 if float(pair[0].std()) < 1e-6 else float(torch.corrcoef(pair)[0, 1]))
    return found


def _ranked(size: tuple[int, ...], places: Tensor) -> tuple[int, ...] | None:
    """The order of tokens by the rank of their places; None where two would lie in one cell, or there are too few."""
    if min(size) < _SHORTEST:
        return None
    cell = torch.zeros(prod(size), dtype=torch.long)
    for axis, side in enumerate(size):
        rank = places[axis - len(size)].argsort().argsort()
        cell = cell * side + rank // (len(cell) // side)
    order = cell.argsort()
    return tuple(order.tolist()) if bool((cell[order] == torch.arange(len(cell))).all()) else None


def _pooled(finer: tuple[int, ...], order: tuple[int, ...], size: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Orders of a coarser grid whose tokens are made of neighbors, or of equally spaced ones, of a finer order."""
    if len(finer) != len(size) or any(a % b for a, b in zip(finer, size, strict=True)) or finer == size:
        return
    cells = torch.tensor(order).argsort()  # token -> cell of the finer grid
    coarse, rest = torch.zeros_like(cells), cells
    step = 1
    for fine, side in zip(reversed(finer), reversed(size), strict=True):
        coarse = coarse + step * ((rest % fine) // (fine // side))
        rest, step = rest // fine, step * side
    for groups in (coarse.view(prod(size), -1), coarse.view(-1, prod(size)).T):
        if bool((groups == groups[:, :1]).all()):
            yield tuple(groups[:, 0].argsort().tolist())
