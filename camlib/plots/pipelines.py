"""Schematic figures filled with real tensors: stages on a line, at most two lines a block, blocks below each other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from camlib.plots.bodies import draw_stage
from camlib.plots.look import LARGE, MARGIN, PLAIN, SMALL, WIDTH, fixed_layout, headline, text_height, text_width, wrap
from camlib.plots.routes import TRACK, Link, Points, Routes, draw_arrow, draw_routes
from camlib.plots.stages import NOTE_GAP, Stage, full_width, measure

_MARGIN, _ARROW, _STRETCH, _SEAM = 0.12, 0.33, 0.6, 0.16
_SMALLEST_SIZE = 0.6
LANES = 2
"""Lines of one block at most: a scheme that needs more is several blocks."""


@dataclass(frozen=True)
class Block:
    """One part of a scheme: a line of stages, or two of them in common columns, and the links between them.

    Entries at one place of both lines share a column, None leaves a place empty, and a plain string is a sign between
    its neighbors, without arrows ("+", "="). ``label`` stands at the left, upright on a pale band.
    """

    lanes: Sequence[Any]
    links: Sequence[Link | tuple] = ()
    label: str = ""

    def rows(self) -> list[list[Stage | None]]:
        """Its lines with all entries as stages; ValueError for none or more than two."""
        nested = bool(self.lanes) and isinstance(self.lanes[0], Sequence) and not isinstance(self.lanes[0], str)
        rows = [list(lane) for lane in (self.lanes if nested else [self.lanes])]
        if not any(rows) or len(rows) > LANES:
            raise ValueError(
                f"a block has {len(rows)} lanes with {sum(map(len, rows))} stages; expected one or two with stages. "
                "Take several Blocks: pipelines([Block(...), Block(...)])."
            )
        return [[Stage(entry, kind="glyph") if isinstance(entry, str) else entry for entry in row] for row in rows]


def pipeline(
    lanes: Sequence[Any],
    links: Sequence[Link | tuple] = (),
    label: str = "",
    title: str | None = None,
    size: float = 1.25,
    note: str = "",
) -> Figure:
    """A scheme of one block: stages from left to right in one or two lanes, see :func:`pipelines`."""
    return pipelines([Block(lanes, links, label)], title, size, note)


def pipelines(blocks: Sequence[Block], title: str | None = None, size: float = 1.25, note: str = "") -> Figure:
    """A scheme of one or several blocks: arrows between neighbors, shapes below, all at one scale.

    ``links`` of a block add arrows between stages that are no neighbors, as Link or (from, to, label), by stage or
    label; they run around the pictures, and where two cross, one bridges the other. ``size`` is the height of a
    picture in inches; it shrinks, down to 0.6, to keep every block within the width of the page. ``note`` stands in
    gray under the title. Raises ValueError for
    an unknown or ambiguous label in a link, for more than two lanes, and for a block that is too wide.
    """
    parts = [(block.rows(), [link if isinstance(link, Link) else Link(*link) for link in block.links], block.label)
             for block in blocks]  # fmt: skip
    if not parts:
        raise ValueError("blocks is empty; pass at least one Block")
    layouts = [_Layout(*part, size) for part in parts]
    while max(layout.width for layout in layouts) > WIDTH and size > _SMALLEST_SIZE:
        size -= 0.05
        layouts = [_Layout(*part, size) for part in parts]
    for number, layout in enumerate(layouts):
        if layout.width > WIDTH + 1e-6:
            raise ValueError(
                f"block {number} is {layout.width:.1f} inches wide, more than {WIDTH:g}: {layout.columns} columns, "
                "or long labels. Fold it into two Blocks."
            )
        layout.stretch()
    top = text_height(wrap(title or "", WIDTH - 2 * MARGIN, LARGE, "bold"), LARGE) + MARGIN + 0.05
    top += text_height(wrap(note, WIDTH - 2 * MARGIN, PLAIN), PLAIN)
    height = sum(layout.height for layout in layouts) + _SEAM * (len(layouts) - 1) + top
    figure = plt.figure(figsize=(WIDTH, height), layout=fixed_layout())
    headline(figure, title or "", note)
    level = height - top
    for layout, block in zip(layouts, blocks, strict=True):
        level -= layout.height
        layout.draw(figure.add_axes((0, level / height, 1, layout.height / height)), block.label)
        level -= _SEAM
    return figure


class _Layout:
    """Places of all stages and the paths of all arrows of one block, in inches from its lower left."""

    def __init__(self, rows: list[list[Stage | None]], links: list[Link], label: str, size: float) -> None:
        self.rows = rows
        self.places = {
            stage: measure(stage, lane, column, size)
            for lane, row in enumerate(rows)
            for column, stage in enumerate(row)
            if stage is not None
        }
        self.columns = max(len(row) for row in rows)
        self._links = Routes(rows, links, self.places)
        self._left = 0.5 if label else _MARGIN
        self._place_columns(0.0)
        self._place_lanes()

    def stretch(self) -> None:
        """Widen the gaps to fill the page, each by 0.6 inches at most."""
        if self.columns > 1:
            self._place_columns(min(_STRETCH, (WIDTH - self.width) / (self.columns - 1)))

    def draw(self, ax: Axes, label: str) -> None:
        """Everything on an axes that is as high as the block and as wide as the page."""
        if label:
            _draw_band(ax, self.height, label)
        for stage, place in self.places.items():
            draw_stage(ax, stage, place)
        straight = self._arrows()
        for points in straight:
            draw_arrow(ax, points)
        draw_routes(ax, self._links.paths(self.gutter_middles, self.gap_middles), straight)
        ax.set(xlim=(0, WIDTH), ylim=(0, self.height), aspect="equal")
        ax.axis("off")

    def _neighbors(self) -> list[tuple[Stage, Stage]]:
        """Consecutive stages of each lane."""
        filled = [[stage for stage in row if stage is not None] for row in self.rows]
        return [pair for row in filled for pair in itertools.pairwise(row)]

    def _place_columns(self, extra: float) -> None:
        """Set x of every stage: a column is as wide as its widest stage or text; gaps are wider by ``extra``."""
        widths = np.zeros(self.columns)
        for stage, place in self.places.items():
            widths[place.column] = max(widths[place.column], full_width(stage, place))
        gaps = np.full(self.columns + 1, 0.06)
        for first, second in self._neighbors():
            plain = "glyph" in (first.kind, second.kind) or not second.arrow
            needed = 0.1 if plain else _ARROW
            gaps[self.places[second].column] = max(gaps[self.places[second].column], needed)
        for j in range(self.columns + 1):
            count = len(self._links.tracks("gap", j))
            gaps[j] = max(gaps[j], _ARROW + 0.1) + TRACK * (count - 1) if count else gaps[j]
        gaps[0] = self._left if not self._links.tracks("gap", 0) else gaps[0] + self._left
        gaps[1 : self.columns] += extra
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
        self.gutter_middles, level = [], self.height
        for gutter, (top, bottom), lane in zip(gutters, heights, lanes, strict=False):
            self.gutter_middles.append(level - gutter / 2)
            level -= gutter
            for place in lane:
                place.y = level - top
            level -= top - bottom
        self.gutter_middles.append(gutters[-1] / 2)

    def _gutter(self, index: int) -> float:
        """Height of the gutter above lane ``index``."""
        count, inner = len(self._links.tracks("row", index)), 0 < index < len(self.rows)
        if not count:
            return 0.22 if inner else _MARGIN
        return 0.36 + (0.16 if self._links.labeled(index) else 0) + TRACK * (count - 1)

    def _arrows(self) -> list[Points]:
        """Straight paths between neighbors."""
        pairs = [
            (self.places[a], self.places[b])
            for a, b in self._neighbors()
            if b.arrow and "glyph" not in (a.kind, b.kind)
        ]
        return [[(a.right + NOTE_GAP, a.y), (b.left - NOTE_GAP, b.y)] for a, b in pairs]


def _draw_band(ax: Axes, height: float, label: str) -> None:
    """A pale band with the label of its block upright at the left, wrapped to its height."""
    look = {"boxstyle": "round,pad=0,rounding_size=0.06", "fc": "#F5F5F1", "ec": "none"}
    ax.add_patch(FancyBboxPatch((0.06, 0.02), WIDTH - 0.12, height - 0.04, zorder=0, **look))
    text = wrap(label, max(height - 0.1, text_width("m" * 8, SMALL)), SMALL)
    style = {"rotation": 90, "ha": "center", "va": "center", "linespacing": 1.1}
    ax.text(0.26, height / 2, text, fontsize=SMALL, color="0.25", weight="bold", **style)
