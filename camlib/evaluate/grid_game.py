"""Mosaics for the grid pointing game: photographs that a network knows, each cell the box of its class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from camlib.data.boxes import Box, boxes_on_input
from camlib.data.examples import Example
from camlib.data.mosaics import mosaic
from camlib.data.photographs import list_photos, load_photo, photo_info
from camlib.explanation import Explanation, compare
from camlib.networks import Network
from camlib.trace import Trace


@dataclass(frozen=True, eq=False)
class Mosaics(Sequence[Image.Image]):
    """Pictures of several photographs each, with what is true of them; a sequence of the pictures.

    Attributes:
        network: the classifier at the input size that the mosaics are made for.
        pictures: the mosaics.
        names: for each mosaic, the photograph of each cell, row by row.
        targets: for each mosaic, the class of each cell, as :func:`camlib.compare` takes targets.
        boxes: for each mosaic, each cell as half-open (x0, y0, x1, y1) in pixels of the network's input.
        chosen: the photographs that the mosaics are drawn from.
    """

    network: Network
    pictures: tuple[Image.Image, ...]
    names: tuple[tuple[str, ...], ...]
    targets: tuple[tuple[int, ...], ...]
    boxes: tuple[tuple[Box, ...], ...]
    chosen: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int | slice) -> Any:
        """A picture; of a slice, the mosaics with all that is true of them."""
        if not isinstance(index, slice):
            return self.pictures[index]
        parts = ("pictures", "names", "targets", "boxes")
        return replace(self, **{part: getattr(self, part)[index] for part in parts})

    def __repr__(self) -> str:
        h, w = self.network.input_size
        return f"Mosaics({len(self)} of {len(self.chosen)} photographs, for {self.network.name} at {h}x{w})"

    def cell_of(self, explanation: Explanation) -> int:
        """Number of the cell whose class is explained; ValueError where no cell of the picture has it."""
        picture, target = explanation.picture, explanation.target
        if picture >= len(self) or target not in self.targets[picture]:
            there = f"the classes {[*self.targets[picture]]}" if picture < len(self) else f"{len(self)} pictures only"
            raise ValueError(
                f"No cell for class {target} ({explanation.target_name}) of picture {picture}: the mosaics have "
                f"{there}. Explain mosaics.targets."
            )
        return self.targets[picture].index(target)

    def explain(self, methods: Sequence[str], layer: str | None = None, **options: Any) -> list[Explanation]:
        """Every cell's class by every method; :func:`camlib.compare` with its options."""
        return compare(self.network, self, methods, self.targets, layer, **options)

    def trace(self, layer: str | None = None) -> Trace:
        """One pass over all mosaics, for methods that are called by hand."""
        return Trace.of(self.network, *self.pictures, layer=layer)


def mosaics(
    net: Network,
    photos: Sequence[str | Example] | None = None,
    *,
    columns: int = 2,
    rounds: int = 1,
    count: int | None = None,
    least: float | None = 0.5,
    enlarge: bool = True,
    cell: int | None = None,
    seed: int | None = 0,
) -> Mosaics:
    """Mosaics of photographs that the network classifies right, no class twice in one: the grid pointing game.

    The photographs are cropped to squares, never squashed. Böhle et al. 2021 feed the whole as one larger input; with
    ``enlarge=False`` it is as large as one photograph, so that every object is smaller than the network is used to.

    >>> boards = camlib.mosaics(camlib.load_network("efficientnet-lite0"), seed=0)
    >>> found = camlib.score(boards.explain(["grad-cam", "sca-cam"]), "grid-pointing-game", boards, unit="photo")
    >>> found.difference("sca-cam", "grad-cam")

    Args:
        net: the classifier.
        photos: names of the offline photographs, or examples of a :class:`camlib.data.datasets.Dataset`, with the index
            of their class as label; None: all offline photographs of ImageNet's classes.
        columns: the grid has ``columns`` x ``columns`` cells.
        rounds: how often each photograph is used; every round deals them anew.
        count: at most so many mosaics, the first ones; None: all.
        least: photographs whose class is not the network's first choice, with a probability above this, are left out;
            None: all are taken as they are, and the network is not asked.
        enlarge: give the network an input of ``columns * cell`` pixels a side.
        cell: side of a cell in pixels; None: the network's input where ``enlarge``, else the input by ``columns``.
        seed: of the permutation of each round; None: the order of ``photos``.

    Returns:
        The :class:`Mosaics`. Where a permutation puts two photographs of one class together, the later one waits for
        the next mosaic; photographs that are left over at the end of a round are not used in it.

    Raises:
        ValueError: too few photographs or classes; a photograph without a label; a network whose input is not square.
    """
    cells = columns**2
    if columns < 1 or rounds < 1 or (count is not None and count < 1):
        raise ValueError(f"columns={columns}, rounds={rounds}, count={count}: expected integers of at least 1.")
    candidates = _candidates(list_photos("imagenet") if photos is None else photos)
    known = [name for name, one in candidates.items() if least is None or _is_right(net, one, least)]
    chosen = known[: len(known) // cells * cells]
    labels = {name: candidates[name].label for name in chosen}
    groups = [group for order in _orders(chosen, rounds, seed) for group in _dealt(order, labels, cells)][:count]
    if not groups:
        why = "" if least is None else f" that {net.name} classifies right with p > {least}"
        raise ValueError(
            f"{len(known)} of {len(candidates)} photographs{why}, of {len({candidates[n].label for n in known})} "
            f"classes; a mosaic takes {cells} photographs of {cells} classes. Give more photographs, or a lower least."
        )
    network, cell = _sized(net, columns, cell, enlarge)
    boards = [mosaic([candidates[name].load() for name in group], columns, cell) for group in groups]
    boxes = boxes_on_input(boards[0].boxes, boards[0].picture.size, network.transform)
    if len(boxes) != cells:
        raise ValueError(f"{net.name} crops its pictures: {len(boxes)} of {cells} cells are left. Use fewer columns.")
    return Mosaics(
        network=network,
        pictures=tuple(board.picture for board in boards),
        names=tuple(groups),
        targets=tuple(tuple(labels[name] for name in group) for group in groups),
        boxes=(boxes,) * len(boards),
        chosen=tuple(chosen),
    )


@dataclass(frozen=True)
class _Candidate:
    label: int
    load: Callable[[], Image.Image]


def _candidates(photos: Sequence[str | Example]) -> dict[str, _Candidate]:
    """The photographs by name."""
    found: dict[str, _Candidate] = {}
    for photo in photos:
        if isinstance(photo, str):
            name, label, load = photo, photo_info(photo).label, partial(load_photo, photo)
        else:
            name, label, load = photo.id, photo.label, photo.load
        if label is None:
            raise ValueError(f"The photograph {name!r} has no label; a mosaic needs the class of each cell.")
        if name in found:
            raise ValueError(f"The photograph {name!r} is named more than once; use rounds to draw it several times.")
        found[name] = _Candidate(label, load)
    return found


def _is_right(net: Network, photo: _Candidate, least: float) -> bool:
    ((index, _, probability),) = net.predict(photo.load(), top=1)
    return index == photo.label and probability > least


def _orders(names: list[str], rounds: int, seed: int | None) -> list[list[str]]:
    """The names in the order in which each round deals them."""
    if seed is None:
        return [names] * rounds
    lot = np.random.default_rng(seed)
    return [lot.permutation(names).tolist() for _ in range(rounds)]


def _dealt(order: Sequence[str], labels: Mapping[str, int], cells: int) -> list[tuple[str, ...]]:
    """Groups of ``cells`` names of different labels; who meets his own label waits for the next group."""
    waiting, groups = list(order), []
    while True:
        group: list[str] = []
        for name in waiting:
            if len(group) < cells and labels[name] not in {labels[other] for other in group}:
                group.append(name)
        if len(group) < cells:
            return groups
        waiting = [name for name in waiting if name not in group]
        groups.append(tuple(group))


def _sized(net: Network, columns: int, cell: int | None, enlarge: bool) -> tuple[Network, int]:
    """The network at the size of the mosaics, and the side of a cell."""
    height, width = net.input_size
    if height != width:
        raise ValueError(
            f"{net.name} takes {height} x {width} pixels, and a mosaic is square; give net.with_input_size({height})."
        )
    if enlarge:
        cell = height if cell is None else cell
        return net.with_input_size(columns * cell), cell
    return net, height // columns if cell is None else cell
