"""The chart of the law: how alike two maps of one method are, and how alike they are to the sum of the feature maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from scipy.spatial import ConvexHull, QhullError

from camlib.plots.look import COLORS, PLAIN, WIDTH
from camlib.plots.look import headline as put_headline
from camlib.plots.trends import moved_apart

SIGNED, UNSIGNED, FINISHED = "weights keep their sign", "weights have no sign", "no weights: a finished map"
GROUPS = (SIGNED, UNSIGNED, FINISHED)
"""What a method's weights are: drawn as a ring, a dot, a small gray dot."""
LOOKS = {SIGNED: (COLORS[0], "white"), UNSIGNED: (COLORS[1], COLORS[1]), FINISHED: ("#7A7A7A", "#D5D5D5")}
"""Color and face of a mark, by what the method's weights are."""
FORBIDDEN = "#EFEBE4"
"""The color of what cannot be."""
_TINTS = {SIGNED: "#E4F0F8", UNSIGNED: "#FCE9DC"}
_STEP = 0.052
"""Distance of neighboring names, on the axis of the similarity between classes."""


def law_chart(
    points: Any,
    titles: Mapping[str, str],
    groups: Mapping[str, str],
    headline: str,
    pair: tuple[str, str] | None = None,
    note: str = "",
    words: str = "",
) -> Figure:
    """Similarity to ΣM against similarity between the maps of two classes, a mark a method.

    Args:
        points: columns method, alike_sum, alike_class, a row a network; a mark is the mean over them.
        titles, groups: of each method: printed name, and one of :data:`GROUPS`.
        headline, words: the finding, above the figure, and what stands in gray under it.
        pair: two methods joined by an arrow that carries ``note``.

    Below y = 2x² − 1 no mean can lie: two maps at angles θ from ΣM are at most 2θ apart. Raises ValueError for a method
    without title or group.
    """
    methods = [name for name in titles if name in set(points["method"])]
    if lacking := sorted(set(points["method"]) - set(titles) | (set(methods) - set(groups))):
        raise ValueError(f"{lacking} have no title or no group; give both for every method of points.")
    figure = plt.figure(figsize=(WIDTH, 6.6), layout="constrained")
    ax = figure.subplots()
    means = points.groupby("method")[["alike_sum", "alike_class"]].mean().sort_values("alike_class")
    _plane(ax)
    for group, tint in _TINTS.items():
        _area(ax, means[means.index.map(groups) == group], tint)
    for method, mean in means.iterrows():
        ax.plot(mean["alike_sum"], mean["alike_class"], zorder=3, **group_mark(groups[method], 1.15))
    if pair:
        _arrow(ax, means, pair, note)
    _write_names(ax, means, titles, groups)
    _write_corners(ax, {groups[method] for method in means.index})
    ax.set(xlabel="similarity of a map to ΣM  →")
    ax.set_ylabel("←  two maps      similarity of the maps of two classes      one map  →")
    put_headline(figure, headline, words)
    return figure


def _plane(ax: Axes) -> None:
    """The plane of two similarities, and what geometry forbids in it."""
    x = np.linspace(0, 1, 200)
    ax.fill_between(x, 2 * x**2 - 1, -1, color=FORBIDDEN, linewidth=0, zorder=0)
    ax.plot(x, 2 * x**2 - 1, color="0.6", linewidth=1, zorder=0)
    ax.set(xlim=(0.1, 1.06), ylim=(-0.5, 1.09), xticks=np.arange(0.2, 1.01, 0.2), yticks=np.arange(-0.4, 1.01, 0.2))


def _area(ax: Axes, part: Any, tint: str) -> None:
    """The ground on which the means of a group lie, in its tint."""
    means = part.to_numpy()
    try:
        corners = means[ConvexHull(means).vertices]
    except (QhullError, ValueError):  # a group of one or two
        corners = means
    if len(corners):
        look = {"facecolor": tint, "edgecolor": tint, "joinstyle": "round", "capstyle": "round", "zorder": 0.4}
        ax.add_patch(Polygon(corners, linewidth=24, **look))


def group_mark(group: str, size: float = 1.0) -> dict[str, Any]:
    """What matplotlib's plot takes to draw a mark of a group, at a size of 1 or smaller."""
    color, face = LOOKS[group]
    small = 0.8 if group == FINISHED else 1.0
    look = {"color": color, "markerfacecolor": face, "markeredgewidth": 1.5 * size, "linestyle": ""}
    return look | {"marker": "o", "markersize": 7.5 * size * small}


def _arrow(ax: Axes, means: Any, pair: tuple[str, str], note: str) -> None:
    """From the mean of one method to that of another, the note at its right."""
    if not set(pair) <= set(means.index):
        return
    start, end = (means.loc[name].to_numpy() for name in pair)
    arrow = {"arrowstyle": "-|>", "color": "black", "shrinkA": 6, "shrinkB": 6, "linewidth": 1.8}
    ax.annotate("", end, start, arrowprops=arrow, zorder=4)
    place = {"textcoords": "offset points", "va": "center", "fontsize": PLAIN, "fontweight": "bold"}
    ax.annotate(note, 0.2 * start + 0.8 * end, (12, -12), **place)


def _write_names(ax: Axes, means: Any, titles: Mapping[str, str], groups: Mapping[str, str]) -> None:
    """The methods at the left of their marks, in the order and as near as may be to the height of their means."""
    low, high = ax.get_ylim()
    room = (high - low - 0.1) / max(1, len(means))
    levels = moved_apart(means["alike_class"].to_numpy(), min(_STEP, room))
    levels = levels - max(0.0, levels[-1] - (high - 0.05)) + max(0.0, low + 0.05 - levels[0])
    slope, start = _left_edge(means)
    for (method, mean), level in zip(means.iterrows(), levels, strict=True):
        color, right = LOOKS[groups[method]][0], min(start + slope * level, mean["alike_sum"] - 0.03)
        line = {"color": color, "alpha": 0.5, "linewidth": 0.7, "zorder": 0.8}
        ax.plot([right + 0.006, mean["alike_sum"]], [level, mean["alike_class"]], **line)
        ax.text(right, level, titles[method], color=color, fontsize=PLAIN, ha="right", va="center")


def _left_edge(means: Any) -> tuple[float, float]:
    """Slope and start of the line x(y) at the left of all marks on which names end."""
    x, y = means["alike_sum"].to_numpy(), means["alike_class"].to_numpy()
    slope = float(np.polyfit(y, x, 1)[0]) if len(set(y)) > 1 else 0.0
    return slope, float((x - slope * y).min()) - 0.03


def _write_corners(ax: Axes, present: set[str]) -> None:
    """What the groups are, in their colors, what the ends of the axis are, and what geometry forbids."""
    place = {"transform": ax.transAxes, "va": "top", "fontsize": PLAIN, "fontweight": "bold"}
    for number, group in enumerate(group for group in (UNSIGNED, SIGNED, FINISHED) if group in present):
        ax.plot(0.02, 0.955 - 0.048 * number, transform=ax.transAxes, **group_mark(group, 1.15))
        ax.text(0.035, 0.972 - 0.048 * number, group, color=LOOKS[group][0], **place)
    place = {"transform": ax.transAxes, "ha": "right", "va": "bottom", "fontsize": PLAIN, "color": "0.4"}
    ax.text(0.985, 0.03, "no mean can lie here\n(geometry)", **place)
