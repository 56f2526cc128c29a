"""Whether a reader can read a figure: texts that overlap, leave the canvas or are too small at the displayed size."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure

from camlib.plots.look import DPI, SMALLEST, WIDTH

_SEAM = 4.0
"""Pixels of the file that two texts on one line must lie apart."""
_TOUCH = 1.0
"""Pixels of the file by which ink may overlap or leave the canvas."""


@dataclass(frozen=True)
class Line:
    """One drawn line of text: what it says, its size in displayed pixels, its corners in pixels of the file."""

    text: str
    size: float
    corners: np.ndarray


class _Recorder(RendererAgg):
    """A renderer that notes every line of text that is really drawn: no tick beyond its axis, nothing invisible."""

    def __init__(self, width: float, height: float, dpi: float) -> None:
        super().__init__(width, height, dpi)
        self.lines: list[Line] = []

    def draw_text(
        self, gc: Any, x: float, y: float, s: str, prop: Any, angle: float, ismath: Any = False, mtext: Any = None
    ) -> None:
        width, height, descent = self.get_text_width_height_descent(s, prop, ismath)
        if s.strip() and gc.get_alpha() != 0:
            turn = np.radians(angle)
            right, up = np.array([np.cos(turn), -np.sin(turn)]), np.array([-np.sin(turn), -np.cos(turn)])
            box = [(0, -descent), (width, -descent), (width, height - descent), (0, height - descent)]
            corners = np.array([np.array([x, y]) + a * right + b * up for a, b in box])
            self.lines.append(Line(s, prop.get_size_in_points(), corners))
        super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)


@dataclass(frozen=True)
class Drawing:
    """A figure as it was drawn: every line of text, and the pixels, 8-bit RGB [H, W, 3]."""

    lines: list[Line]
    pixels: np.ndarray
    scale: float
    """Pixels for one of the file: 1 at the resolution of the file."""

    @property
    def problems(self) -> list[str]:
        """A sentence for each text that a reader cannot read: too small, off the canvas, or over another one.

        Texts on one line must lie 2 displayed pixels apart, others only must not touch.
        """
        found = [*self._small()]
        size = np.array(self.pixels.shape[1::-1])
        for line in self.lines:
            if (line.corners < -_TOUCH).any() or (line.corners > size + _TOUCH).any():
                found.append(f"{_quoted(line)} leaves the canvas")
        for a, b in itertools.combinations(self.lines, 2):
            if _overlap(a.corners / self.scale, b.corners / self.scale):
                found.append(f"{_quoted(a)} lies over {_quoted(b)}")
        return list(dict.fromkeys(found))

    def _small(self) -> Iterator[str]:
        """A sentence for each size that is too small."""
        small = sorted((line for line in self.lines if line.size < SMALLEST - 1e-6), key=lambda line: line.size)
        for size, members in itertools.groupby(small, lambda line: f"{line.size:.3g}"):
            first, *others = members
            who = f"{_quoted(first)} and {len(others)} more have" if others else f"{_quoted(first)} has"
            yield f"{who} {size} displayed pixels; the smallest is {SMALLEST:g}"


def draw(figure: Figure, dpi: float = DPI) -> Drawing:
    """The figure drawn once, on white; afterwards it is as before.

    Sizes of texts are those at the design width. Subscripts of formulas count with the size of their formula.
    """
    canvas, own = figure.canvas, figure.dpi
    try:
        FigureCanvasAgg(figure)
        figure.dpi = dpi
        size = np.round(figure.get_size_inches() * dpi).astype(int)
        recorder = _Recorder(*size, dpi)
        figure.draw(recorder)
    finally:
        figure.set_canvas(canvas)
        figure.dpi = own
    scale = WIDTH / figure.get_size_inches()[0]
    lines = [Line(line.text, line.size * scale, line.corners) for line in recorder.lines]
    pixels = np.asarray(recorder.buffer_rgba()).astype(np.float64)
    alpha = pixels[..., 3:] / 255
    return Drawing(lines, np.round(pixels[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8), dpi / DPI)


def text_problems(figure: Figure) -> list[str]:
    """What a reader of the figure cannot read, a sentence each (:attr:`Drawing.problems`); empty if all is well."""
    return draw(figure).problems


def _quoted(line: Line) -> str:
    return repr(line.text if len(line.text) <= 40 else f"{line.text[:39]}…")


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two rectangles share more than a hair, by the axes of both; along each, as far as it must be apart."""
    if (a.min(0) > b.max(0) + _SEAM).any() or (b.min(0) > a.max(0) + _SEAM).any():
        return False
    for corners in (a, b):
        for start, end, apart in ((0, 1, _SEAM), (0, 3, -_TOUCH)):
            axis = corners[end] - corners[start]
            axis = axis / (np.linalg.norm(axis) or 1)
            one, other = a @ axis, b @ axis
            if max(one.min(), other.min()) - min(one.max(), other.max()) >= apart:
                return False
    return True
