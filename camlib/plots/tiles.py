"""Tiles in rows: where pictures, their titles, notes and labels lie on a figure of the design width, in inches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from camlib.plots.look import LARGE, PLAIN, SMALL, WIDTH, fixed_layout, text_height, text_width, wrap

Texts = Sequence[Sequence[str | None]]

_EDGE, _GAP, _BAR, _LABEL, _LOW = 0.06, 0.08, 0.95, 1.35, 2.2
TALLEST = 12.5
"""Inches that a figure may be high: 900 displayed pixels. Tiles shrink to keep it."""
WIDEST = 3.2
"""Inches that a tile may be wide unless the figure says more."""


@dataclass
class Tiles:
    """Sizes of a matrix of tiles with texts, and the figure with one empty panel a tile.

    Attributes:
        aspects: height over width of each tile, row by row; None leaves a place empty.
        above, below: texts over and under each tile; they are wrapped to its width.
        labels: texts at the left of the rows.
        cell: largest width of a tile in inches; without it tiles fill the width, up to :data:`WIDEST`.
        title, footer: a line over and one under all tiles.
        bar: whether to leave room at the right for a color bar.
    """

    aspects: Sequence[Sequence[float | None]]
    above: Texts
    below: Texts
    labels: Sequence[str] | None = None
    cell: float | None = None
    title: str | None = None
    footer: str | None = None
    bar: bool = False
    axes: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.columns = max(len(row) for row in self.aspects)
        self.labels = [wrap(label, _LABEL, PLAIN) for label in self.labels or []]
        self.title = self.title and wrap(self.title, WIDTH - 0.4, LARGE)
        self.heading = text_height(self.title or "", LARGE)
        widest = max((text_width(label, PLAIN) for label in self.labels), default=0.0)
        self.left = _EDGE + (widest + 0.14 if widest else 0)
        self.right = _BAR if self.bar else _EDGE
        self._measure(self._widest())
        if self.bar and self.height < _LOW:  # the label of the bar takes more lines
            self.right += 0.3
            self._measure(self._widest())
        while self.height > TALLEST and self.width > 0.5:
            self._measure(self.width * 0.96)

    def _widest(self) -> float:
        """Width of a tile that fills the page, or is as wide as it may be."""
        room = (WIDTH - self.left - self.right + _GAP) / self.columns - _GAP
        return min(room, self.cell or WIDEST)

    def _measure(self, width: float) -> None:
        """Wrap all texts to tiles of a width and add up the heights of rows."""
        self.width = width
        self.tops = [[wrap(text or "", width, PLAIN) for text in row] for row in self.above]
        self.feet = [[wrap(text or "", width, SMALL) for text in row] for row in self.below]
        self.rows = [
            (
                max((text_height(text, PLAIN) for text in top), default=0.0),
                max((aspect or 0.0 for aspect in row), default=0.0) * width,
                max((text_height(text, SMALL) for text in foot), default=0.0),
            )
            for row, top, foot in zip(self.aspects, self.tops, self.feet, strict=True)
        ]
        for index, label in enumerate(self.labels):
            top, body, foot = self.rows[index]
            self.rows[index] = (top, max(body, text_height(label, PLAIN)), foot)
        footing = 0.28 if self.footer else 0.0
        self.height = sum(map(sum, self.rows)) + _GAP * (len(self.rows) - 1) + 2 * _EDGE + self.heading + footing

    def make(self) -> Figure:
        """The figure; ``axes`` then holds its panels [rows, columns], with their texts."""
        figure = plt.figure(figsize=(WIDTH, self.height), layout=fixed_layout())
        self.axes = np.empty((len(self.rows), self.columns), dtype=object)
        across = self.columns * (self.width + _GAP) - _GAP
        start = self.left + max(0.0, (WIDTH - self.left - self.right - across) / 2)
        level = self.height - _EDGE - self.heading
        self.span = (start, start + across, level, level)
        for r, (top, body, foot) in enumerate(self.rows):
            level -= top + body
            for c in range(self.columns):
                self.axes[r, c] = self._panel(figure, (start + c * (self.width + _GAP), level, self.width, body))
                self._write(self.axes[r, c], r, c)
            self.span = (*self.span[:3], level)
            level -= foot + _GAP
        if self.title:
            figure.suptitle(self.title, y=1 - 0.06 / self.height, va="top", fontsize=LARGE)
        if self.footer:
            figure.text(0.5, _EDGE / self.height, self.footer, ha="center", va="bottom", fontsize=SMALL, color="0.35")
        return figure

    def bar_panel(self) -> Axes:
        """A panel for the color bar at the right of the tiles, as high as they are, at most 2.2 inches."""
        _, right, top, bottom = self.span
        high = min(2.2, top - bottom)
        panel = self._panel(self.axes[0, 0].figure, (right + 0.16, (top + bottom - high) / 2, 0.16, high))
        panel.patch.set_visible(True)
        return panel

    def _panel(self, figure: Figure, place: tuple[float, float, float, float]) -> Axes:
        x, y, width, height = place
        ax = figure.add_axes((x / WIDTH, y / self.height, width / WIDTH, height / self.height))
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.patch.set_visible(False)
        return ax

    def _write(self, ax: Axes, r: int, c: int) -> None:
        """Title, note and, at the left, the label of one tile."""
        if c < len(self.tops[r]) and self.tops[r][c]:
            ax.set_title(self.tops[r][c], fontsize=PLAIN, pad=3)
        if c < len(self.feet[r]) and self.feet[r][c]:
            ax.set_xlabel(self.feet[r][c], fontsize=SMALL, labelpad=2)
        if c == 0 and self.labels:
            ax.set_ylabel(self.labels[r], rotation=0, ha="right", va="center", labelpad=6, fontsize=PLAIN)


def texts_like(rows: Sequence[Sequence[Any]], texts: Texts | None) -> Texts:
    """Texts of the shape of ``rows``, empty where none are given."""
    return texts if texts is not None else [[None] * len(row) for row in rows]


def room_below(figure: Figure, height: float, left: float = 1.0, right: float = 0.3) -> Axes:
    """Make a figure of tiles ``height`` inches higher and return an empty panel in the new room, for a chart.

    All panels and texts keep their places, in inches from the top. ``left`` and ``right`` are the margins of the panel
    in inches; below it there is room for ticks and a label. Raises ValueError for a height that holds no panel.
    """
    if height < 0.9:
        raise ValueError(f"height={height}: expected at least 0.9 inches, of which ticks and a label take 0.5")
    width, before = figure.get_size_inches()
    after = before + height
    for ax in figure.axes:
        place = ax.get_position()
        ax.set_position((place.x0, (place.y0 * before + height) / after, place.width, place.height * before / after))
    for text in figure.texts:
        text.set_y((text.get_position()[1] * before + height) / after)
    figure.set_size_inches(width, after)
    return figure.add_axes((left / width, 0.5 / after, 1 - (left + right) / width, (height - 0.75) / after))
