"""Schematic figures filled with real tensors: stages, arrows and the shapes below them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Polygon, Rectangle

from camlib.plots.look import (
    COLORS,
    TIMES,
    array,
    aspect,
    clip,
    fixed_layout,
    ink,
    rgb,
    scale,
    text_height,
    text_width,
    wrap,
)

_STAGE_KINDS = ("image", "map", "stack", "vector", "matrix", "scores", "box", "op", "glyph")


_INK = "#222222"


_GRADIENT_INK = COLORS[1]


@dataclass(eq=False)
class Stage:
    """One station of a `pipeline`: what it is called, what it holds, how it is drawn.

    ``kind``: image (picture), map ([h, w]), stack ([K, h, w], a few of its channels as cards), vector
    ([K], bars), matrix (2-D, numbers written in), scores (list of (name, value)), box (an operation, no
    content), op (a circled sign such as + or Σ). ``shape`` is read off the content unless given; ""
    hides it. ``note`` is a line below. ``arrow=False`` leaves out the arrow from the left neighbor.
    ``fmt`` writes the numbers of a matrix or of scores, ``limits`` fixes a color range.
    """

    label: str
    content: Any = None
    kind: Literal["image", "map", "stack", "vector", "matrix", "scores", "box", "op", "glyph"] = "box"
    shape: str | Sequence[int] | None = None
    note: str | None = None
    arrow: bool = True
    fmt: str | None = None
    limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        self.fmt = self.fmt or ("{:.3f}" if self.kind == "scores" else "{:.3g}")
        if self.kind not in _STAGE_KINDS:
            raise ValueError(f"kind {self.kind!r} of stage {self.label!r} is not one of {_STAGE_KINDS}")
        if self.content is None and self.kind not in ("box", "op", "glyph"):
            raise ValueError(f"stage {self.label!r} of kind {self.kind!r} needs content; a box needs none")
        if self.kind not in ("scores", "image", "box", "op", "glyph"):
            self.content = array(self.content)
            expected = {"stack": 3, "vector": 1}.get(self.kind, 2)
            if self.content.ndim != expected:
                shape = self.content.shape
                raise ValueError(f"stage {self.label!r} of kind {self.kind!r} has shape {shape}; expected {expected}-D")


@dataclass(frozen=True)
class Link:
    """Arrow between two stages that are no neighbors; ``gradient`` draws it dashed, as a way back."""

    source: Stage | str
    target: Stage | str
    label: str = ""
    gradient: bool = False


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
        _draw_stage(ax, stage, place)
    for points in layout.arrows():
        _arrow(ax, points)
    for points, link in layout.routes():
        _arrow(ax, points, link.label, link.gradient)
    ax.set(xlim=(0, layout.width), ylim=(0, layout.height), aspect="equal")
    ax.axis("off")
    if title:
        figure.text(0.5, 1 - 0.2 / (layout.height + top), title, ha="center", va="center", fontsize=12)
    return figure


@dataclass
class _Place:
    """Where a stage lies, in inches: its body, its wrapped texts, its lane and column."""

    lane: int
    column: int
    width: float
    height: float
    above: str
    below: str
    x: float = 0.0
    y: float = 0.0

    @property
    def left(self) -> float:
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        return self.y + self.height / 2 + text_height(self.above, _LABEL_SIZE)

    @property
    def bottom(self) -> float:
        return self.y - self.height / 2 - text_height(self.below, _SHAPE_SIZE)


_LABEL_SIZE, _SHAPE_SIZE, _NOTE_GAP = 9.5, 8.0, 0.05
_MARGIN, _ARROW, _TRACK = 0.12, 0.33, 0.15


class _Layout:
    """Places of all stages and the paths of all arrows of a pipeline, in inches from the lower left."""

    def __init__(self, rows: list[list[Stage | None]], links: list[Link], size: float, labeled: bool) -> None:
        self.rows, self.links = rows, links
        self.places: dict[Stage, _Place] = {}
        for lane, row in enumerate(rows):
            for column, stage in enumerate(row):
                if stage is not None:
                    self.places[stage] = _measure(stage, lane, column, size)
        self.columns = max(len(row) for row in rows)
        self.joins = [(self._find(link.source), self._find(link.target), link) for link in links]
        self.plans = [self._plan(*join) for join in self.joins]
        self._place_columns(0.45 if labeled else _MARGIN)
        self._place_lanes()

    def _find(self, key: Stage | str) -> Stage:
        """The stage that a link names."""
        found = [stage for stage in self.places if stage is key or stage.label == key]
        if len(found) != 1:
            labels = sorted({stage.label for stage in self.places})
            problem = "no stage" if not found else f"{len(found)} stages"
            raise ValueError(f"link to {key!r}: {problem} of that label; pass a Stage or one of {labels}")
        return found[0]

    def _neighbors(self) -> list[tuple[Stage, Stage]]:
        """Consecutive stages of each lane."""
        filled = [[stage for stage in row if stage is not None] for row in self.rows]
        return [pair for row in filled for pair in itertools.pairwise(row)]

    def _tracks(self, kind: str, index: int) -> list[int]:
        """One link for each track in a gutter ("row") or between two columns ("gap"), in order of the tracks.

        Links from one stage share a track; in a gutter the order is the one with the fewest crossings.
        """
        leaders = {self._leader(number): None for number, plan in enumerate(self.plans) if (kind, index) in plan}
        if kind == "gap" or not 1 < len(leaders) < 7:
            return list(leaders)
        return list(min(itertools.permutations(leaders), key=lambda order: self._crossings(order, index)))

    def _leader(self, number: int) -> int:
        """The first link that comes from the same stage and is drawn alike."""
        source, _, link = self.joins[number]
        return next(
            i for i, (other, _, twin) in enumerate(self.joins) if (other, twin.gradient) == (source, link.gradient)
        )

    def _crossings(self, order: Sequence[int], index: int) -> int:
        """Crossings in the gutter above lane ``index`` if its tracks lie in this order from the top."""
        spans = {}
        for leader in order:
            members = [n for n, plan in enumerate(self.plans) if ("row", index) in plan and self._leader(n) == leader]
            ends = [self.places[stage] for n in members for stage in self.joins[n][:2]]
            spans[leader] = [(place.column, place.lane < index) for place in ends]
        total = 0
        for upper, lower in itertools.combinations(order, 2):
            total += sum(_within(column, spans[lower]) for column, rises in spans[upper] if not rises)
            total += sum(_within(column, spans[upper]) for column, rises in spans[lower] if rises)
        return total

    def _plan(self, source: Stage, target: Stage, link: Link) -> list[tuple[str, int]]:
        """Corridors of a link in order: ("row", i) runs below lane i - 1, ("gap", j) in front of column j."""
        a, b = self.places[source], self.places[target]
        down = b.lane > a.lane
        near_a = a.lane + 1 if down or b.lane == a.lane else a.lane
        near_b = b.lane if down else b.lane + 1
        if b.lane == a.lane:
            return [("row", near_a)]
        if target.kind != "op" and b.column > a.column:
            clear = all(stage is None for stage in self.rows[a.lane][a.column + 1 : b.column])
            return [("gap", b.column)] if clear else [("gap", a.column + 1), ("row", near_b), ("gap", b.column)]
        if near_a == near_b:
            return [("row", near_a)]
        return [("row", near_a), ("gap", b.column), ("row", near_b)]

    def _place_columns(self, left: float) -> None:
        """Set x of every stage: a column is as wide as its widest stage or text."""
        widths = np.zeros(self.columns)
        for stage, place in self.places.items():
            widths[place.column] = max(widths[place.column], _full_width(stage, place))
        gaps = np.full(self.columns + 1, 0.06)
        for first, second in self._neighbors():
            plain = "glyph" in (first.kind, second.kind) or not second.arrow
            needed = 0.08 if plain else _ARROW
            gaps[self.places[second].column] = max(gaps[self.places[second].column], needed)
        for j in range(self.columns + 1):
            count = len(self._tracks("gap", j))
            gaps[j] = max(gaps[j], _ARROW + 0.1) + _TRACK * (count - 1) if count else gaps[j]
        gaps[0] = left if not self._tracks("gap", 0) else gaps[0] + left
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
        numbers = self._tracks("row", index)
        inner = 0 < index < len(self.rows)
        if not numbers:
            return 0.28 if inner else _MARGIN
        labels = 0.16 if any(self.links[number].label for number in numbers) else 0
        return 0.36 + labels + _TRACK * (len(numbers) - 1)

    def _level(self, kind: str, index: int, number: int) -> float:
        """Coordinate of link ``number`` in a corridor."""
        tracks = self._tracks(kind, index)
        offset = (tracks.index(self._leader(number)) - (len(tracks) - 1) / 2) * _TRACK
        return float((self.gutter_middles[index] - offset) if kind == "row" else (self.gap_middles[index] + offset))

    def arrows(self) -> list[list[tuple[float, float]]]:
        """Straight paths between neighbors."""
        pairs = [
            (self.places[a], self.places[b])
            for a, b in self._neighbors()
            if b.arrow and "glyph" not in (a.kind, b.kind)
        ]
        return [[(a.right + _NOTE_GAP, a.y), (b.left - _NOTE_GAP, b.y)] for a, b in pairs]

    def routes(self) -> list[tuple[list[tuple[float, float]], Link]]:
        """Right-angled paths of the explicit links."""
        return [(self._route(number, *join), join[2]) for number, join in enumerate(self.joins)]

    def _shift(self, stage: Stage, number: int, below: bool) -> float:
        """Sideways offset of an end, so that arrows of different links never lie on each other."""
        place = self.places[stage]
        row = ("row", place.lane + 1 if below else place.lane)
        rivals = []
        for other, (source, target, _) in enumerate(self.joins):
            columns = [self.places[end].column for end in (source, target) if end.kind != "op"]
            if row in self.plans[other] and place.column in columns:
                rivals.append(self._leader(other))
        rivals = list(dict.fromkeys(rivals))
        if stage.kind == "op" or self._leader(number) not in rivals:
            return 0.0
        taken = any(
            row in plan
            and self._leader(other) != self._leader(number)
            and end.kind == "op"
            and self.places[end].column == place.column
            for other, plan in enumerate(self.plans)
            for end in self.joins[other][:2]
        )
        rank = rivals.index(self._leader(number)) - (len(rivals) - 1) / 2
        return 0.2 * rank + (0.2 if taken else 0.0)

    def _route(self, number: int, source: Stage, target: Stage, link: Link) -> list[tuple[float, float]]:
        """Corner points of one link along its planned corridors."""
        a, b, plan = self.places[source], self.places[target], self.plans[number]
        levels = [(kind, self._level(kind, index, number)) for kind, index in plan]
        if plan[0][0] == "gap":
            start, end = (a.right + _NOTE_GAP, a.y), (b.left - _NOTE_GAP, b.y)
        else:
            leaves_down = plan[0][1] > a.lane
            enters_top = plan[-1][1] <= b.lane
            start = (
                a.x + self._shift(source, number, leaves_down),
                a.bottom - _NOTE_GAP if leaves_down else a.top + _NOTE_GAP,
            )
            end = (
                b.x + self._shift(target, number, not enters_top),
                b.top + _NOTE_GAP if enters_top else b.bottom - _NOTE_GAP,
            )
        points = [start]
        for kind, level in levels:
            points.append((level, points[-1][1]) if kind == "gap" else (points[-1][0], level))
        points.append((points[-1][0], end[1]) if plan[-1][0] == "gap" else (end[0], points[-1][1]))
        return _corners([*points, end])


def _within(column: int, span: list[tuple[int, bool]]) -> bool:
    """Whether a column lies in the range of the ends of a link."""
    return min(end for end, _ in span) <= column <= max(end for end, _ in span)


def _corners(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The path without repeated and without collinear points."""
    kept = [points[0]]
    for before, point, after in zip(points, points[1:], [*points[2:], None], strict=False):
        straight = after is not None and (
            abs(before[0] - point[0]) + abs(point[0] - after[0]) < 1e-6
            or abs(before[1] - point[1]) + abs(point[1] - after[1]) < 1e-6
        )
        if not straight and np.hypot(point[0] - kept[-1][0], point[1] - kept[-1][1]) > 1e-6:
            kept.append(point)
    return kept


def _measure(stage: Stage, lane: int, column: int, size: float) -> _Place:
    """Body size and wrapped texts of a stage whose lane has pictures of height ``size``."""
    if stage.kind == "op":
        return _Place(lane, column, 0.3, 0.3, "", stage.note or "")
    if stage.kind == "glyph":
        return _Place(lane, column, text_width(stage.label, 15) + 0.06, 0.3, "", "")
    width, height = {
        "stack": lambda: (size * 1.12, size * 1.02),
        "vector": lambda: (0.42 * size, size),
        "scores": lambda: (max(1.25, 1.2 * size), size * min(1, 0.25 * len(stage.content))),
        "box": lambda: (
            text_width(stage.label, _LABEL_SIZE) + 0.28,
            0.34 + text_height(stage.label, _LABEL_SIZE),
        ),
        "matrix": lambda: _matrix_size(stage.content.shape, size),
    }.get(stage.kind, lambda: (size / aspect(stage.content), size))()
    above = "" if stage.kind == "box" else wrap(stage.label, max(width, 1.3), _LABEL_SIZE)
    notes = [_shape_text(stage), wrap(stage.note or "", max(width, 1.25), _SHAPE_SIZE)]
    return _Place(lane, column, width, height, above, "\n".join(text for text in notes if text))


def _matrix_size(shape: tuple[int, int], size: float) -> tuple[float, float]:
    """Width and height of a written-out matrix: cells wide enough for their numbers."""
    cell = min(0.46, size / max(shape[0], 2))
    return shape[1] * max(cell, 0.4), shape[0] * cell


def _shape_text(stage: Stage) -> str:
    """Shape line of a stage: as given, or read off its content."""
    if isinstance(stage.shape, str):
        return stage.shape
    if stage.shape is None and (stage.content is None or stage.kind == "scores"):
        return ""
    shape = stage.shape
    if shape is None:
        picture = rgb(stage.content) if stage.kind == "image" else stage.content
        shape = (picture.shape[2], *picture.shape[:2]) if stage.kind == "image" else picture.shape
    return TIMES.join(str(int(size)) for size in shape)


def _full_width(stage: Stage, place: _Place) -> float:
    """Width of a stage with its texts."""
    return max(place.width, text_width(place.above, _LABEL_SIZE), text_width(place.below, _SHAPE_SIZE))


def _draw_stage(ax: Axes, stage: Stage, place: _Place) -> None:
    """Body and texts of one stage."""
    extent = (place.left, place.right, place.y - place.height / 2, place.y + place.height / 2)
    _STAGE_BODIES[stage.kind](ax, stage, extent)
    look = {"ha": "center", "linespacing": 1.15}
    label = {"va": "bottom", "fontsize": _LABEL_SIZE, "color": _INK, **look}
    shape = {"va": "top", "fontsize": _SHAPE_SIZE, "color": "0.35", **look}
    ax.text(place.x, extent[3] + _NOTE_GAP, place.above, **label)
    ax.text(place.x, extent[2] - _NOTE_GAP, place.below, **shape)


Extent = tuple[float, float, float, float]
"""(left, right, bottom, top) in inches."""


def _draw_picture(ax: Axes, stage: Stage, extent: Extent) -> None:
    ax.imshow(rgb(stage.content), extent=extent, interpolation="antialiased", zorder=2)
    _frame(ax, extent)


def _draw_map(ax: Axes, stage: Stage, extent: Extent) -> None:
    _card(ax, stage.content, extent, stage.limits)


def _draw_stack(ax: Axes, stage: Stage, extent: Extent) -> None:
    """Four real channels as cards from the front (lower left) to the back, dots before the last."""
    left, right, bottom, top = extent
    stack = stage.content
    strongest = np.sort(np.argsort(-np.abs(stack).sum(axis=(1, 2)), kind="stable")[:4])
    steps = np.array([0.0, 1.0, 2.0, 3.6])[: len(strongest)] / 3.6
    side, reach = 0.62, 0.38
    for channel, step in reversed(list(zip(strongest, steps, strict=True))):
        x, y = left + (right - left) * reach * step, bottom + (top - bottom) * reach * step
        card = (x, x + (right - left) * side, y, y + (top - bottom) * side)
        _card(ax, stack[channel], card, stage.limits, edge="0.6" if stack.min() < 0 else "white")
    if len(stack) > len(strongest):
        for part in (2.4, 2.8, 3.2):
            step = reach * part / 3.6
            x, y = left + (right - left) * (step + side), bottom + (top - bottom) * step
            ax.add_patch(Circle((x - 0.03, y + 0.05), 0.018, color="0.35", zorder=4, lw=0))


def _draw_vector(ax: Axes, stage: Stage, extent: Extent) -> None:
    """The values as thin bars from a common zero; of long vectors 24 evenly spaced ones."""
    left, right, bottom, top = extent
    values = stage.content[np.linspace(0, len(stage.content) - 1, min(24, len(stage.content))).round().astype(int)]
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    scale = (right - left - 0.08) / ((high - low) or 1)
    zero, step = left + 0.04 - low * scale, (top - bottom) / len(values)
    ax.add_patch(Rectangle((left, bottom), right - left, top - bottom, fc="#F5F5F5", ec="0.6", lw=0.7, zorder=1))
    for index, value in enumerate(values):
        color = _SIGN_COLORS[int(value < 0)]
        corner = (zero, top - (index + 0.88) * step)
        ax.add_patch(Rectangle(corner, value * scale, step * 0.76, fc=color, lw=0, zorder=2))
    ax.plot([zero, zero], [bottom, top], color="0.4", lw=0.6, zorder=3)


def _draw_matrix(ax: Axes, stage: Stage, extent: Extent) -> None:
    """Numbers in colored cells."""
    left, right, bottom, top = extent
    rows, columns = stage.content.shape
    norm, colors = scale(stage.content, stage.limits, None)
    ax.imshow(stage.content, extent=extent, cmap=colors, norm=norm, interpolation="nearest", zorder=2, alpha=0.85)
    for (r, c), value in np.ndenumerate(stage.content):
        x, y = left + (c + 0.5) * (right - left) / columns, top - (r + 0.5) * (top - bottom) / rows
        color = ink(value, norm, colors)
        ax.text(x, y, stage.fmt.format(value), ha="center", va="center", fontsize=8, color=color, zorder=3)
    for c in range(1, columns):
        ax.plot([left + c * (right - left) / columns] * 2, [bottom, top], color="white", lw=0.8, zorder=3)
    for r in range(1, rows):
        ax.plot([left, right], [bottom + r * (top - bottom) / rows] * 2, color="white", lw=0.8, zorder=3)
    _frame(ax, extent)


def _draw_scores(ax: Axes, stage: Stage, extent: Extent) -> None:
    """Class names over bars as long as their values; the largest value fills the width."""
    left, right, bottom, top = extent
    step = (top - bottom) / len(stage.content)
    largest = max((abs(value) for _, value in stage.content), default=0) or 1
    for index, (name, value) in enumerate(stage.content):
        y = top - (index + 1) * step
        length = (right - left) * abs(value) / largest
        color = _SIGN_COLORS[int(value < 0)]
        ax.add_patch(Rectangle((left, y + 0.08 * step), right - left, 0.84 * step, fc="#F2F2F2", lw=0, zorder=1))
        ax.add_patch(Rectangle((left, y + 0.08 * step), length, 0.84 * step, fc=color, alpha=0.35, lw=0, zorder=2))
        number = stage.fmt.format(value)
        room = right - left - text_width(number, 7.5) - 0.14
        ax.text(left + 0.05, y + step / 2, clip(name, room, 7.5), ha="left", va="center", fontsize=7.5, zorder=3)
        ax.text(right - 0.04, y + step / 2, number, ha="right", va="center", fontsize=7.5, zorder=3)


def _draw_box(ax: Axes, stage: Stage, extent: Extent) -> None:
    left, right, bottom, top = extent
    look = {"boxstyle": "round,pad=0,rounding_size=0.08", "fc": "#E8EEF4", "ec": "#5B7083", "lw": 1.1}
    ax.add_patch(FancyBboxPatch((left, bottom), right - left, top - bottom, zorder=2, **look))
    text = {"ha": "center", "va": "center", "fontsize": _LABEL_SIZE, "color": _INK, "linespacing": 1.15}
    ax.text((left + right) / 2, (bottom + top) / 2, stage.label, zorder=3, **text)


def _draw_op(ax: Axes, stage: Stage, extent: Extent) -> None:
    center = ((extent[0] + extent[1]) / 2, (extent[2] + extent[3]) / 2)
    ax.add_patch(Circle(center, 0.15, fc="white", ec=_INK, lw=1.1, zorder=2))
    ax.text(*center, stage.label, ha="center", va="center_baseline", fontsize=11, color=_INK, zorder=3)


def _draw_glyph(ax: Axes, stage: Stage, extent: Extent) -> None:
    center = ((extent[0] + extent[1]) / 2, (extent[2] + extent[3]) / 2)
    ax.text(*center, stage.label, ha="center", va="center_baseline", fontsize=15, color=_INK, zorder=3)


_STAGE_BODIES = {
    "image": _draw_picture,
    "map": _draw_map,
    "stack": _draw_stack,
    "vector": _draw_vector,
    "matrix": _draw_matrix,
    "scores": _draw_scores,
    "box": _draw_box,
    "op": _draw_op,
    "glyph": _draw_glyph,
}


_SIGN_COLORS = ("#B2182B", "#2166AC")
"""Positive and negative, the ends of the diverging color map."""


def _card(ax: Axes, values: np.ndarray, extent: Extent, limits: tuple[float, float] | None, edge: str = "0.4") -> None:
    """One map within ``extent``, in heatmap colors or, if signed, diverging ones."""
    norm, colors = scale(values, limits, None)
    ax.imshow(values, extent=extent, cmap=colors, norm=norm, interpolation="nearest", zorder=2)
    _frame(ax, extent, edge)


def _frame(ax: Axes, extent: Extent, color: str = "0.4") -> None:
    """Thin border."""
    left, right, bottom, top = extent
    ax.add_patch(Rectangle((left, bottom), right - left, top - bottom, fill=False, ec=color, lw=0.8, zorder=2))


def _arrow(ax: Axes, points: list[tuple[float, float]], label: str = "", gradient: bool = False) -> None:
    """Line through the points with a head at its end and its label at the longest piece."""
    color, dash = (_GRADIENT_INK, (0, (4, 2))) if gradient else ("0.25", "-")
    xs, ys = zip(*points, strict=True)
    ax.plot(xs, ys, color=color, lw=1.3, ls=dash, solid_joinstyle="round", zorder=1)
    (x0, y0), (x1, y1) = points[-2:]
    direction = np.array([x1 - x0, y1 - y0]) / (np.hypot(x1 - x0, y1 - y0) or 1)
    side = np.array([-direction[1], direction[0]]) * 0.045
    end = np.array([x1, y1])
    tip = [end + direction * 0.02, end - direction * 0.1 + side, end - direction * 0.1 - side]
    ax.add_patch(Polygon(tip, closed=True, fc=color, lw=0, zorder=2))
    if label:
        pieces = list(itertools.pairwise(points))
        (x0, y0), (x1, y1) = max(
            pieces, key=lambda piece: abs(piece[1][0] - piece[0][0]) * 1.001 + abs(piece[1][1] - piece[0][1])
        )
        pad = {"fc": "white", "ec": "none", "pad": 1.0}
        ax.text(
            (x0 + x1) / 2,
            (y0 + y1) / 2,
            label,
            ha="center",
            va="center",
            fontsize=8,
            color=color,
            bbox=pad,
            zorder=4,
        )


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
