"""Tiles in rows: where pictures, their titles, notes and labels lie on a figure of the design width, in inches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from camlib.plots.look import (
    EDGE,
    LARGE,
    MARGIN,
    PLAIN,
    QUIET,
    SMALL,
    WIDTH,
    fixed_layout,
    headline,
    text_height,
    text_width,
    wrap,
)

Texts = Sequence[Sequence[str | None]]

_GAP, _BAR, _LABEL = 0.08, 0.34, 1.35
_SEAM, _STRETCH = 0.55, 1.2
_HEAD, _AIR, _PART = 0.27, 0.14, 0.16
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
        title, note: the headline over all tiles, and what stands in gray under it.
        footer: a line under all tiles.
        bar: whether to leave room under the tiles for a color bar.
        heads: row -> bold words, or none, over it and those that follow, which belong together; a line parts them from
            what stands above.
        parts: columns that begin a part of their own, a little apart from the column before.
    """

    aspects: Sequence[Sequence[float | None]]
    above: Texts
    below: Texts
    labels: Sequence[str] | None = None
    cell: float | None = None
    title: str | None = None
    note: str = ""
    footer: str | None = None
    bar: bool = False
    heads: Mapping[int, str] = field(default_factory=dict)
    parts: Sequence[int] = ()
    axes: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.columns = max(len(row) for row in self.aspects)
        self.labels = [wrap(label, _LABEL, PLAIN) for label in self.labels or []]
        room = WIDTH - 2 * MARGIN
        self.heading = sum(
            text_height(wrap(text or "", room, size, weight), size) + (0.05 if text else 0.0)
            for text, size, weight in ((self.title, LARGE, "bold"), (self.note, PLAIN, "normal"))
        )
        widest = max((text_width(label, PLAIN) for label in self.labels), default=0.0)
        self.left = MARGIN + (widest + 0.14 if widest else 0)
        self._measure(self._widest())
        while self.height > TALLEST and self.width > 0.5:
            self._measure(self.width * 0.96)

    def _widest(self) -> float:
        """Width of a tile that fills the page, or is as wide as it may be; a little more if that fills the page."""
        room = (WIDTH - self.left - MARGIN + _GAP - _PART * len(self.parts)) / self.columns - _GAP
        most = self.cell or WIDEST
        return room if room <= _STRETCH * most else most

    def _measure(self, width: float) -> None:
        """Wrap all texts to tiles of a width and add up the heights of rows."""
        self.width = width
        self.tops = [[wrap(text or "", width, PLAIN, "bold") for text in row] for row in self.above]
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
        self.footing = (0.28 if self.footer else 0.0) + (_BAR if self.bar else 0.0) + sum(map(self._over, self.heads))
        self.height = sum(map(sum, self.rows)) + _GAP * (len(self.rows) - 1) + 2 * MARGIN + self.heading + self.footing

    def _over(self, row: int) -> float:
        """Inches that the head of a row takes: words, and air above them where rows stand there."""
        if row not in self.heads:
            return 0.0
        return (_HEAD if self.heads[row] else 0.06) + (_AIR if row else 0.0)

    def make(self) -> Figure:
        """The figure; ``axes`` then holds its panels [rows, columns], with their texts."""
        figure = plt.figure(figsize=(WIDTH, self.height), layout=fixed_layout())
        self.axes = np.empty((len(self.rows), self.columns), dtype=object)
        across = self.columns * (self.width + _GAP) - _GAP + _PART * len(self.parts)
        start = self.left + max(0.0, (WIDTH - self.left - MARGIN - across) / 2)
        level = self.height - MARGIN - self.heading
        self.end = start + across
        for r, (top, body, foot) in enumerate(self.rows):
            if r in self.heads:
                level -= self._over(r)
                self._write_head(figure, r, level)
            level -= top + body
            for c in range(self.columns):
                x = start + c * (self.width + _GAP) + _PART * sum(part <= c for part in self.parts)
                self.axes[r, c] = self._panel(figure, (x, level, self.width, body))
                self._write(self.axes[r, c], r, c)
            level -= foot + _GAP
        headline(figure, self.title or "", self.note)
        if self.footer:
            place = {"x": MARGIN / WIDTH, "y": MARGIN / self.height, "ha": "left", "va": "bottom"}
            figure.text(s=self.footer, fontsize=SMALL, color=QUIET, **place)
        return figure

    def bar_panel(self, ends: str) -> Axes:
        """A flat panel for the color bar under the last tiles, at their right; ``ends`` is the text at its end."""
        wide = 1.5
        left = self.end - wide - text_width(ends, SMALL) / 2
        panel = self._panel(self.axes[0, 0].figure, (left, MARGIN + 0.17, wide, 0.1))
        panel.patch.set_visible(True)
        return panel

    def _panel(self, figure: Figure, place: tuple[float, float, float, float]) -> Axes:
        x, y, width, height = place
        ax = figure.add_axes((x / WIDTH, y / self.height, width / WIDTH, height / self.height))
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.patch.set_visible(False)
        return ax

    def _write_head(self, figure: Figure, row: int, level: float) -> None:
        """The words over a group of rows that begins at a level, and the line over them."""
        top = (level + self._over(row) - (_AIR if row else 0.0)) / self.height
        figure.add_artist(Line2D([MARGIN / WIDTH, self.end / WIDTH], [top, top], color=EDGE, linewidth=0.8))
        place = {"fontsize": PLAIN, "fontweight": "bold", "ha": "left", "va": "center"}
        if self.heads[row]:
            figure.text(MARGIN / WIDTH, (level + 0.5 * _HEAD) / self.height, self.heads[row], **place)

    def _write(self, ax: Axes, r: int, c: int) -> None:
        """Title, note and, at the left, the label of one tile."""
        if c < len(self.tops[r]) and self.tops[r][c]:
            ax.set_title(self.tops[r][c], fontsize=PLAIN, pad=3, loc="center", fontweight="bold")
        if c < len(self.feet[r]) and self.feet[r][c]:
            ax.set_xlabel(self.feet[r][c], fontsize=SMALL, labelpad=2, color="#333333")
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
    return rooms_below(figure, height, 1, left, right)[0]


def rooms_below(figure: Figure, height: float, count: int, left: float = 0.8, right: float = 0.3) -> list[Axes]:
    """:func:`room_below` with ``count`` panels side by side; the margins are those of the first and of the last one."""
    if height < 0.9:
        raise ValueError(f"height={height}: expected at least 0.9 inches, of which ticks and a label take 0.5")
    width, before = figure.get_size_inches()
    after = before + height
    for ax in figure.axes:
        place = ax.get_position()
        ax.set_position((place.x0, (place.y0 * before + height) / after, place.width, place.height * before / after))
    for text in figure.texts:
        text.set_y((text.get_position()[1] * before + height) / after)
    for line in (artist for artist in figure.artists if isinstance(artist, Line2D)):
        line.set_ydata((np.asarray(line.get_ydata()) * before + height) / after)
    figure.set_size_inches(width, after)
    wide = (width - left - right - _SEAM * (count - 1)) / count
    starts = [left + number * (wide + _SEAM) for number in range(count)]
    return [figure.add_axes((x / width, 0.5 / after, wide / width, (height - 0.75) / after)) for x in starts]
