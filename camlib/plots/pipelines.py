"""Schematic figures filled with real tensors: stages in lanes, arrows between them, the shapes below."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from camlib.plots.bodies import draw_stage
from camlib.plots.look import fixed_layout
from camlib.plots.routes import TRACK, Link, Points, Routes, draw_arrow
from camlib.plots.stages import NOTE_GAP, Stage, full_width, measure

_MARGIN, _ARROW = 0.12, 0.33


def pipeline(
    lanes: Sequence[Any],
    links: Sequence[Link | tuple] = (),
    lane_labels: Sequence[str] | None = None,
    title: str | None = None,
    width: float = 12.0,
    size: float = 1.25,
) -> Figure:
    """Schematic figure: stages from left to right in one or several lanes, arrows between, shapes below.

    ``lanes`` is a list of stages or a list of such lists; entries at the same position share a column,
    None leaves a place empty, and a plain string is a sign between its neighbors, without arrows ("+",
    "="). Neighbors are joined by arrows; ``links`` adds others, as Link or (from, to, label), by stage or
    label, and routes them around the pictures. ``size`` is the height of a picture in inches; it shrinks,
    down to 0.7, to keep the figure within ``width`` inches. Raises ValueError for an unknown or ambiguous
    label in a link.
    """
    rows = [list(lane) for lane in (lanes if _is_nested(lanes) else [lanes])]
    rows = [[Stage(entry, kind="glyph") if isinstance(entry, str) else entry for entry in row] for row in rows]
    joints = [link if isinstance(link, Link) else Link(*link) for link in links]
    if lane_labels is not None and len(lane_labels) != len(rows):
        raise ValueError(f"lane_labels has {len(lane_labels)} entries for {len(rows)} lanes")
    layout = _Layout(rows, joints, size, bool(lane_labels))
    while layout.width > width and size > 0.7:
        size -= 0.05
        layout = _Layout(rows, joints, size, bool(lane_labels))
    top = 0.4 if title else 0.05
    figure = plt.figure(figsize=(layout.width, layout.height + top), layout=fixed_layout())
    ax = figure.add_axes((0, 0, 1, layout.height / (layout.height + top)))
    _draw_lane_labels(ax, layout, lane_labels)
    for stage, place in layout.places.items():
        draw_stage(ax, stage, place)
    for points in layout.arrows():
        draw_arrow(ax, points)
    for points, link in layout.routes():
        draw_arrow(ax, points, link.label, link.gradient)
    ax.set(xlim=(0, layout.width), ylim=(0, layout.height), aspect="equal")
    ax.axis("off")
    if title:
        figure.text(0.5, 1 - 0.2 / (layout.height + top), title, ha="center", va="center", fontsize=12)
    return figure


class _Layout:
    """Places of all stages and the paths of all arrows of a pipeline, in inches from the lower left."""

    def __init__(self, rows: list[list[Stage | None]], links: list[Link], size: float, labeled: bool) -> None:
        self.rows = rows
        self.places = {
            stage: measure(stage, lane, column, size)
            for lane, row in enumerate(rows)
            for column, stage in enumerate(row)
            if stage is not None
        }
        self.columns = max(len(row) for row in rows)
        self._links = Routes(rows, links, self.places)
        self._place_columns(0.45 if labeled else _MARGIN)
        self._place_lanes()

    def _neighbors(self) -> list[tuple[Stage, Stage]]:
        """Consecutive stages of each lane."""
        filled = [[stage for stage in row if stage is not None] for row in self.rows]
        return [pair for row in filled for pair in itertools.pairwise(row)]

    def _place_columns(self, left: float) -> None:
        """Set x of every stage: a column is as wide as its widest stage or text."""
        widths = np.zeros(self.columns)
        for stage, place in self.places.items():
            widths[place.column] = max(widths[place.column], full_width(stage, place))
        gaps = np.full(self.columns + 1, 0.06)
        for first, second in self._neighbors():
            plain = "glyph" in (first.kind, second.kind) or not second.arrow
            needed = 0.08 if plain else _ARROW
            gaps[self.places[second].column] = max(gaps[self.places[second].column], needed)
        for j in range(self.columns + 1):
            count = len(self._links.tracks("gap", j))
            gaps[j] = max(gaps[j], _ARROW + 0.1) + TRACK * (count - 1) if count else gaps[j]
        gaps[0] = left if not self._links.tracks("gap", 0) else gaps[0] + left
        self.edges = gaps[0] + np.concatenate([[0], np.cumsum(widths[:-1] + gaps[1 : self.columns])])
        self.gap_middles = np.append(self.edges - gaps[: self.columns] / 2, self.edges[-1] + widths[-1] + gaps[-1] / 2)
        self.width = float(self.edges[-1] + widths[-1] + max(gaps[-1], _MARGIN))
        for place in self.places.values():
            place.x = float(self.edges[place.column] + widths[place.column] / 2)

    def _place_lanes(self) -> None:
        """Set y of every stage: lanes from the top, gutters between them as high as their arrows need."""
        lanes = [[place for place in self.places.values() if place.lane == lane] for lane in range(len(self.rows))]
        gutters = [self._gutter(i) for i in range(len(lanes) + 1)]
        heights = [(max(p.top for p in lane), min(p.bottom for p in lane)) if lane else (0.2, -0.2) for lane in lanes]
        self.height = sum(gutters) + sum(top - bottom for top, bottom in heights)
        self.bands, self.gutter_middles, level = [], [], self.height
        for gutter, (top, bottom), lane in zip(gutters, heights, lanes, strict=False):
            self.gutter_middles.append(level - gutter / 2)
            level -= gutter
            for place in lane:
                place.y = level - top
            self.bands.append((level, level - top + bottom))
            level -= top - bottom
        self.gutter_middles.append(gutters[-1] / 2)

    def _gutter(self, index: int) -> float:
        """Height of the gutter above lane ``index``."""
        count, inner = len(self._links.tracks("row", index)), 0 < index < len(self.rows)
        if not count:
            return 0.28 if inner else _MARGIN
        return 0.36 + (0.16 if self._links.labeled(index) else 0) + TRACK * (count - 1)

    def arrows(self) -> list[Points]:
        """Straight paths between neighbors."""
        pairs = [
            (self.places[a], self.places[b])
            for a, b in self._neighbors()
            if b.arrow and "glyph" not in (a.kind, b.kind)
        ]
        return [[(a.right + NOTE_GAP, a.y), (b.left - NOTE_GAP, b.y)] for a, b in pairs]

    def routes(self) -> list[tuple[Points, Link]]:
        """Right-angled paths of the explicit links."""
        return self._links.paths(self.gutter_middles, self.gap_middles)


def _draw_lane_labels(ax: Axes, layout: _Layout, labels: Sequence[str] | None) -> None:
    """Pale bands with a rotated label at their left."""
    for label, (top, bottom) in zip(labels or [], layout.bands, strict=False):
        look = {"boxstyle": "round,pad=0,rounding_size=0.06", "fc": "#F7F7F4", "ec": "none"}
        ax.add_patch(FancyBboxPatch((0.06, bottom - 0.06), layout.width - 0.12, top - bottom + 0.12, zorder=0, **look))
        ax.text(
            0.22,
            (top + bottom) / 2,
            label,
            rotation=90,
            ha="center",
            va="center",
            fontsize=9,
            color="0.3",
            weight="bold",
        )


def _is_nested(lanes: Sequence[Any]) -> bool:
    """Whether the first entry is itself a lane."""
    return bool(lanes) and isinstance(lanes[0], Sequence) and not isinstance(lanes[0], str)
