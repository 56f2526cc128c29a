"""Arrows between stages that are no neighbors: the corridors they take around the pictures, and their drawing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Polygon

from camlib.plots.look import COLORS, SMALL
from camlib.plots.stages import NOTE_GAP, Place, Stage

TRACK = 0.15
"""Distance of parallel arrows, in inches."""

BRIDGE = 0.06
"""Radius of the arc with which one arrow crosses another, in inches."""

Points = list[tuple[float, float]]
"""Corner points in inches, from the source to the head of the arrow."""

_GRADIENT_COLOR = COLORS[1]


@dataclass(frozen=True)
class Link:
    """Arrow between two stages that are no neighbors; ``gradient`` draws it dashed, as a way back."""

    source: Stage | str
    target: Stage | str
    label: str = ""
    gradient: bool = False


class Routes:
    """Which corridors the links of a pipeline take, on which track of them, and the paths that follow.

    A corridor is ("row", i), the gutter between lanes i - 1 and i, or ("gap", j), in front of column j. The plans need
    lanes and columns of the places only; :meth:`paths` needs their coordinates as well.
    Raises ValueError for a link to a stage that is not there, or to a label that several stages have.
    """

    def __init__(self, rows: list[list[Stage | None]], links: list[Link], places: dict[Stage, Place]) -> None:
        self.rows, self.links, self.places = rows, links, places
        self.joins = [(self._find(link.source), self._find(link.target), link) for link in links]
        self.plans = [self._plan(*join) for join in self.joins]

    def tracks(self, kind: str, index: int) -> list[int]:
        """One link for each track in a gutter ("row") or between two columns ("gap"), in order of the tracks.

        Links from one stage share a track; in a gutter the order is the one with the fewest crossings.
        """
        leaders = {self._leader(number): None for number, plan in enumerate(self.plans) if (kind, index) in plan}
        if kind == "gap" or not 1 < len(leaders) < 7:
            return list(leaders)
        return list(min(itertools.permutations(leaders), key=lambda order: self._crossings(order, index)))

    def labeled(self, gutter: int) -> bool:
        """Whether the first arrow on a track of the gutter above lane ``gutter`` has a label."""
        return any(self.links[number].label for number in self.tracks("row", gutter))

    def paths(self, gutters: Sequence[float], gaps: Sequence[float]) -> list[tuple[Points, Link]]:
        """Right-angled paths of all links, given the middles of gutters (y) and gaps (x)."""
        middles = {"row": gutters, "gap": gaps}
        return [(self._route(number, middles), link) for number, link in enumerate(self.links)]

    def _find(self, key: Stage | str) -> Stage:
        """The stage that a link names."""
        found = [stage for stage in self.places if stage is key or stage.label == key]
        if len(found) != 1:
            labels = sorted({stage.label for stage in self.places})
            problem = "no stage" if not found else f"{len(found)} stages"
            raise ValueError(f"link to {key!r}: {problem} of that label; pass a Stage or one of {labels}")
        return found[0]

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

    def _level(self, kind: str, index: int, number: int, middle: float) -> float:
        """Coordinate of link ``number`` in a corridor around ``middle``; tracks go down and to the right."""
        tracks = self.tracks(kind, index)
        offset = (tracks.index(self._leader(number)) - (len(tracks) - 1) / 2) * TRACK
        return float(middle - offset if kind == "row" else middle + offset)

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

    def _route(self, number: int, middles: Mapping[str, Sequence[float]]) -> Points:
        """Corner points of one link along its planned corridors."""
        (source, target, _), plan = self.joins[number], self.plans[number]
        a, b = self.places[source], self.places[target]
        levels = [(kind, self._level(kind, index, number, middles[kind][index])) for kind, index in plan]
        if plan[0][0] == "gap":
            start, end = (a.right + NOTE_GAP, a.y), (b.left - NOTE_GAP, b.y)
        else:
            leaves_down = plan[0][1] > a.lane
            enters_top = plan[-1][1] <= b.lane
            start = (
                a.x + self._shift(source, number, leaves_down),
                a.bottom - NOTE_GAP if leaves_down else a.top + NOTE_GAP,
            )
            end = (
                b.x + self._shift(target, number, not enters_top),
                b.top + NOTE_GAP if enters_top else b.bottom - NOTE_GAP,
            )
        points = [start]
        for kind, level in levels:
            points.append((level, points[-1][1]) if kind == "gap" else (points[-1][0], level))
        points.append((points[-1][0], end[1]) if plan[-1][0] == "gap" else (end[0], points[-1][1]))
        return _corners([*points, end])


def _within(column: int, span: list[tuple[int, bool]]) -> bool:
    """Whether a column lies in the range of the ends of a link."""
    return min(end for end, _ in span) <= column <= max(end for end, _ in span)


def _corners(points: Points) -> Points:
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


def draw_routes(ax: Axes, routes: Sequence[tuple[Points, Link]], others: Sequence[Points]) -> None:
    """All links; where a level piece of one crosses an upright piece of another, it bridges it with a small arc."""
    for number, (points, link) in enumerate(routes):
        rest = [path for k, (path, other) in enumerate(routes) if k != number and other.source is not link.source]
        draw_arrow(ax, bridged(points, [*rest, *others]), link.label, link.gradient, corners=points)


def bridged(points: Points, others: Sequence[Points]) -> Points:
    """A path with an arc over every upright piece of other paths that its level pieces cross."""
    made = [points[0]]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if abs(y1 - y0) < 1e-6:
            places = [x for path in others for x in _uprights(path, y0, min(x0, x1), max(x0, x1))]
            turn = 1 if x1 > x0 else -1
            for x in sorted(set(places), reverse=turn < 0):
                angles = np.linspace(np.pi, 0, 13)
                made += [(x + turn * BRIDGE * np.cos(t), y0 + BRIDGE * np.sin(t)) for t in angles]
        made.append((x1, y1))
    return made


def _uprights(path: Points, y: float, low: float, high: float) -> list[float]:
    """x of the upright pieces of a path that cross a level line between ``low`` and ``high``."""
    pieces = itertools.pairwise(path)
    upright = [(a[0], *sorted((a[1], b[1]))) for a, b in pieces if abs(a[0] - b[0]) < 1e-6]
    return [x for x, bottom, top in upright if low + BRIDGE < x < high - BRIDGE and bottom < y < top]


def draw_arrow(ax: Axes, points: Points, label: str = "", gradient: bool = False, corners: Points = ()) -> None:
    """Line through the points with a head at its end and its label at the longest piece between ``corners``."""
    color, dash = (_GRADIENT_COLOR, (0, (4, 2))) if gradient else ("0.25", "-")
    xs, ys = zip(*points, strict=True)
    ax.plot(xs, ys, color=color, lw=1.3, ls=dash, solid_joinstyle="round", zorder=1)
    (x0, y0), (x1, y1) = points[-2:]
    direction = np.array([x1 - x0, y1 - y0]) / (np.hypot(x1 - x0, y1 - y0) or 1)
    side = np.array([-direction[1], direction[0]]) * 0.045
    end = np.array([x1, y1])
    tip = [end + direction * 0.02, end - direction * 0.1 + side, end - direction * 0.1 - side]
    ax.add_patch(Polygon(tip, closed=True, fc=color, lw=0, zorder=2))
    if label:
        pieces = list(itertools.pairwise(corners or points))
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
            fontsize=SMALL,
            color=color,
            bbox=pad,
            zorder=4,
        )
