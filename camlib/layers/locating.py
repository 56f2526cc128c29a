"""Where in the picture the numbers of a layer come from: which axes are space, and which token lies where.

The picture is changed by noise, and by the same noise weighted with a coordinate: 0.1 at the top, 1 at the bottom. A
number that reads one place changes in the proportion of that place's weight, so the ratio of the two changes is its
coordinate. Shapes and types of modules can mislead (96 channels of 96 x 96 positions); this cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Run = Callable[[nn.Module, Tensor], Tensor]
"""``run(module, pictures)`` calls a module with a batch and returns its logits [B, C]."""

_LOW = 0.1
_AMPLITUDE = {torch.float64: 0.05, torch.float32: 0.05}
"""Of the noise: small, so that the response is a linear one, and well above rounding errors (0.5 in half precision)."""
_KEPT = 24
"""Positions of an axis that are looked at; the tokens of a sequence all are."""


@dataclass(frozen=True)
class Response:
    """How the output of one call of a module follows the picture.

    Attributes:
        slopes: for each axis of the output behind the first, for each axis of space: 1 where going along the one is
            going along the other, about 0 where it is not.
        places: coordinate of each token [axes of space, N] between 0 and 1, for outputs [B, N, K]; else None.
        views_apart: whether row v·B + b and not b·V + v belongs to view v of picture b.
        row_slopes: the same as ``slopes`` for the rows of one picture, where it has several.
    """

    slopes: list[list[float]]
    places: Tensor | None
    views_apart: bool
    row_slopes: list[float]


def probing_pictures(picture: Tensor) -> Tensor:
    """The picture [1, C, *space], with noise, with the noise weighted along each axis, and one that is quite another.

    [3 + axes, C, *space]; the last one shows whether batch mates matter.
    """
    axes = picture.dim() - 2
    noise = torch.rand(picture.shape, generator=torch.Generator().manual_seed(1)).to(picture) - 0.5
    noise = noise * _AMPLITUDE.get(picture.dtype, 0.5)
    weighted = [noise]
    for axis in range(2, 2 + axes):
        shape = [1] * picture.dim()
        shape[axis] = picture.shape[axis]
        weighted.append(noise * _ramp(picture.shape[axis]).to(picture).view(shape))
    return torch.cat([picture, *(picture + change for change in weighted), -3 * picture.flip(-1)])


def _ramp(length: int) -> Tensor:
    return _LOW + (1 - _LOW) * _centers(length)


def _centers(length: int) -> Tensor:
    return (torch.arange(length) + 0.5) / length


def locate(
    run: Run, module: nn.Module, outputs: dict[str, dict[int, int]], pictures: Tensor, together: bool
) -> tuple[dict[str, Response], Tensor]:
    """How the outputs of modules follow the picture, from one pass over the probing pictures.

    Args:
        run, module: what runs.
        outputs: module -> {call, counted from 1: rows of its output that one picture makes}.
        pictures: see :func:`probing_pictures`.
        together: False runs the pictures one by one: batch mates matter to the network, or it takes none.

    Returns:
        ("module:call" -> :class:`Response`, logits [3 + axes, C]).
    """
    seen: dict[str, list[Tensor]] = {}
    logits = []
    with torch.no_grad():
        for batch in pictures.split(len(pictures) if together else 1):
            with _collecting(module, outputs, seen):
                logits.append(run(module, batch.clone()))
    rows = {f"{name}:{call}": views for name, calls in outputs.items() for call, views in calls.items()}
    found = {label: _response(parts, rows[label]) for label, parts in seen.items()}
    return {label: response for label, response in found.items() if response is not None}, torch.cat(logits)


@contextmanager
def _collecting(module: nn.Module, outputs: dict[str, dict[int, int]], seen: dict[str, list[Tensor]]) -> Iterator[None]:
    """Inside the block keeps a thinned copy of the outputs, as they are before anything overwrites them."""
    handles = []

    def keep(name: str, calls: dict[int, int]):
        count = 0

        def hook(_module: nn.Module, _args: tuple, output: object) -> None:
            nonlocal count
            count += 1
            if count in calls and isinstance(output, Tensor):
                seen.setdefault(f"{name}:{count}", []).append(_thinned(output))

        return hook

    try:
        for name, calls in outputs.items():
            handles.append(module.get_submodule(name).register_forward_hook(keep(name, calls)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _thinned(output: Tensor) -> Tensor:
    """Every row, at most 24 positions of every other axis; all tokens of a sequence."""
    output = output.dequantize() if output.is_quantized else output
    steps = [max(1, -(-side // _KEPT)) for side in output.shape[1:]]
    if output.dim() == 3:
        steps[0] = 1
    return output[(slice(None), *(slice(step // 2, None, step) for step in steps))].float().cpu().clone()


def _response(parts: list[Tensor], views: int) -> Response | None:
    pictures = torch.cat(parts)
    if len(pictures) % views:
        return None
    count = len(pictures) // views
    beside = pictures.unflatten(0, (count, views))
    apart = pictures.unflatten(0, (views, count)).transpose(0, 1)
    # Views of one picture side by side: the difference of noise and weighted noise is small against that of two views.
    views_apart = views > 1 and len(parts) == 1 and bool(_spread(apart[:-1]) < _spread(beside[:-1]))
    changes = apart if views_apart else beside  # [pictures, views, *axes]
    changes = changes[1:-1] - changes[:1]
    if not bool(changes.isfinite().all()):
        return None
    energy = changes.square()
    slopes = [_slopes(energy, axis) for axis in range(2, energy.dim())]
    places = _ratios(_along(energy, 2)) if energy.dim() == 4 and views == 1 else None
    return Response(slopes, places, views_apart, _slopes(energy, 1))


def _spread(grouped: Tensor) -> Tensor:
    """How far the rows of each view lie apart over the pictures [pictures, views, ...]."""
    return (grouped - grouped.mean(dim=0, keepdim=True)).square().sum()


def _along(energy: Tensor, axis: int) -> Tensor:
    """The energy at each position of an axis [1 + directions, positions]."""
    return energy.sum(dim=[other for other in range(1, energy.dim()) if other != axis])


def _ratios(along: Tensor) -> Tensor:
    """Coordinate of each position of an axis in every direction of space, [directions, positions]; 0.5 if unknown."""
    plain, weighted = along[0], along[1:]
    ratio = (weighted / plain.clamp(min=1e-30)).sqrt()
    return torch.where(plain > 1e-12 * plain.max().clamp(min=1e-30), (ratio - _LOW) / (1 - _LOW), 0.5)


def _slopes(energy: Tensor, axis: int) -> list[float]:
    """Slope of the coordinates over the positions of an axis, weighted with what changes there, by direction."""
    positions = energy.shape[axis]
    along = _along(energy, axis) if positions > 1 else None
    if along is None or not bool(along[0].any()):
        return [0.0] * (len(energy) - 1)
    weights, x = along[0] / along[0].sum(), _centers(positions)
    x = x - (weights * x).sum()
    weighted = weights * x
    return ((_ratios(along) * weighted).sum(dim=1) / (weighted * x).sum().clamp(min=1e-12)).tolist()
