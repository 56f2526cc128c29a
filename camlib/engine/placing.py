"""Where a picture came from, and where the network's input lies in it: found by sending known pictures through."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

Place = tuple[float, float, float, float]
"""(x0, y0, x1, y1): the part of the original that the input shows, in shares of its width and height.

An input that pads the picture lies partly outside: a number below 0 or above 1.
"""
WHOLE: Place = (0.0, 0.0, 1.0, 1.0)
_BENT = 0.015
"""Positions further off a straight line, in shares of the picture, were turned or warped."""


@dataclass(frozen=True)
class Origin:
    """The picture that was given: its upright ``size`` (W, H), its path, and the caller's own transform, if any.

    ``told`` is the place where there is no transform to ask. Pickled or copied deeply it keeps the place in the stead
    of the transform, which may be a lambda.
    """

    size: tuple[int, int]
    source: str | None = None
    transform: Callable[[Image.Image], Tensor] | None = None
    told: Place | None = WHOLE

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "transform": None, "told": self._found()}

    def _found(self) -> Place | None:
        return self.told if self.transform is None else placed(self.transform, self.size)

    def place(self) -> Place:
        """What part of the picture the network saw; raises ValueError where the transform does not tell."""
        found = self._found()
        if found is None:
            raise ValueError(
                "The network's own transform does not say where its output lies in the picture: it is random, turns or "
                "mirrors. Give the network a camlib.Preprocess, or resize and crop pictures before you explain them."
            )
        return found


def placed(transform: Callable[[Image.Image], Tensor], size: tuple[int, int]) -> Place | None:
    """The place of a transform's output in pictures of ``size`` (W, H); None where the transform hides it.

    Two ramps, a black and a white picture go through the transform. Each output pixel then tells its position in the
    original, whatever mean and standard deviation were applied; a straight line through all of them is the place. A
    transform that draws random numbers or answers differently the second time (random crops), or that is no such line
    (rotations, mirrors, warps), has no place. The caller's random states are as before.
    """
    width, height = size
    across = np.broadcast_to((np.arange(width) + 0.5) / width, (height, width))
    down = np.broadcast_to(((np.arange(height) + 0.5) / height)[:, None], (height, width))
    with _random_draws() as drawn:
        made = [_sent(transform, level) for level in (0 * across, 0 * across + 1, across, down, across)]
        if drawn() or any(one is None or one.shape != made[0].shape for one in made):
            return None
    black, white, x, y, again = made
    span = white - black
    seen = np.abs(span) > 0.5 * np.abs(span).max()  # padding answers nothing
    if not seen.any() or not np.allclose(again, x):
        return None
    shares = [np.where(seen, (one - black) / np.where(seen, span, 1), np.nan) for one in (x, y)]
    columns, rows = _line(shares[0], 0, width), _line(shares[1], 1, height)
    if columns is None or rows is None:
        return None
    return columns[0], rows[0], columns[1], rows[1]


@contextmanager
def _random_draws() -> Iterator[Callable[[], bool]]:
    """Whether random numbers were drawn since, of torch, NumPy or Python; their states are then put back."""
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()

    def drawn() -> bool:
        now = np.random.get_state()
        same = torch.equal(states[0], torch.get_rng_state()) and states[1] == random.getstate()
        return not same or now[2:] != states[2][2:] or not np.array_equal(now[1], states[2][1])

    try:
        yield drawn
    finally:
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        np.random.set_state(states[2])


def _sent(transform: Callable[[Image.Image], Tensor], level: np.ndarray) -> np.ndarray | None:
    """The transform's answer to a gray picture, the mean over its channels, float64 [h, w]."""
    values = np.round(255 * level).astype(np.uint8)
    made = transform(Image.fromarray(np.stack([values] * 3, axis=-1)))
    return made.detach().double().mean(dim=0).cpu().numpy() if isinstance(made, Tensor) and made.dim() == 3 else None


def _line(positions: np.ndarray, axis: int, pixels: int) -> tuple[float, float] | None:
    """Position of the input's first and last edge along an axis; None unless positions lie on one rising line.

    ``positions`` [h, w] is NaN where the input shows nothing of the picture, which has so many ``pixels`` along the
    axis. Levels are rounded to 1 of 255 twice, on the way in and out.
    """
    known = np.isfinite(positions).sum(axis=axis)
    means = np.nansum(positions, axis=axis) / np.maximum(known, 1)
    ends = 0.5 / pixels + 1 / 255  # what is enlarged stays flat up to the middle of the outermost pixel
    at = np.flatnonzero((known > 0) & (means > ends) & (means < 1 - ends))
    inner = at[2:-2] if len(at) > 8 else at  # antialiasing bends the ramp at the border
    if len(inner) < 2:
        return None
    slope, start = np.polyfit(inner + 0.5, means[inner], 1)
    off_line = np.abs(means[inner] - (start + slope * (inner + 0.5))).max()
    across = np.nanmax(np.abs(positions - np.expand_dims(means, axis)))
    if slope <= 0 or off_line > _BENT or across > _BENT:
        return None
    return float(start), float(start + slope * len(means))


def on_original(heatmap: Tensor, place: Place, size: tuple[int, int]) -> Tensor:
    """A heatmap [H, W] of the input on the original of ``size`` (W, H): float32 [H0, W0], 0 where nothing was shown."""
    (width, height), (x0, y0, x1, y1) = size, place
    rows, columns = ((torch.arange(n) + 0.5) / n for n in (height, width))
    x, y = 2 * (columns - x0) / (x1 - x0) - 1, 2 * (rows - y0) / (y1 - y0) - 1
    grid = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=-1)[None]
    laid = F.grid_sample(heatmap[None, None].float(), grid, "bilinear", "border", align_corners=False)[0, 0]
    shown = ((x.abs() <= 1)[None] & (y.abs() <= 1)[:, None]).to(laid)
    return laid * shown
