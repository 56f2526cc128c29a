"""The chart of the law: how alike two maps of one method are, and how alike they are to the sum of the feature maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from scipy.spatial import ConvexHull, QhullError

from camlib.plots.look import COLORS, PLAIN, QUIET, SMALL, WIDTH
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
_NAMES = 0.2
"""Where the names end, on the axis of the similarity to the sum."""


def law_chart(
    points: Any,
    titles: Mapping[str, str],
    groups: Mapping[str, str],
    headline: str,
    networks: Mapping[str, str],
    pair: tuple[str, str] | None = None,
    note: str = "",
    apart: Sequence[str] = (),
    words: str = "",
) -> Figure:
    """Similarity to ΣM against similarity between two classes: both layers over all networks, then each network.

    Args:
        points: columns network, layer ("last", "inner"), method, alike_sum, alike_class.
        titles, groups: of each method: printed name, and one of :data:`GROUPS`.
        headline, words: the finding, above the figure, and what stands in gray under it.
        networks: network -> printed name, in the order of the small panels (last layer).
        pair: two methods joined by an arrow that carries ``note``.
        apart: networks that have a small panel and do not enter the means, since their pictures are of another kind.

    Below y = 2x² − 1 no mean can lie: two maps at angles θ from ΣM are at most 2θ apart. Raises ValueError for a method
    without title or group.
    """
    methods = [name for name in titles if name in set(points["method"])]
    if lacking := sorted(set(points["method"]) - set(titles) | (set(methods) - set(groups))):
        raise ValueError(f"{lacking} have no title or no group; give both for every method of points.")
    figure = plt.figure(figsize=(WIDTH, 8.0), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(5.9, 1.9))
    big, inner = upper.subplots(1, 2, width_ratios=(1.75, 1))
    kept = points[~points["network"].isin(apart)]
    for ax, layer, name in ((big, "last", "last layer"), (inner, "inner", "an inner layer")):
        part = kept[kept["layer"] == layer]
        _plane(ax, -0.42 if ax is big else -0.12)
        for group, tint in _TINTS.items():
            _area(ax, part[part["method"].map(groups) == group], tint)
        for method in methods:
            _spread(ax, part[part["method"] == method], groups[method])
        if pair:
            _arrow(ax, part, pair, note if ax is big else "")
        ax.set(title=f"{name}: means over {part['network'].nunique()} networks", xlabel="similarity to ΣM")
        ax.set(xticks=np.arange(0.4 if ax is big else 0.0, 1.01, 0.2))
    _write_names(big, kept[kept["layer"] == "last"], titles, groups)
    big.set_ylabel("similarity between the maps of two classes")
    group_legend(upper, [groups[name] for name in methods])
    _by_network(lower, points[points["layer"] == "last"], networks, groups)
    put_headline(figure, headline, words)
    return figure


def _by_network(lower: Any, points: Any, networks: Mapping[str, str], groups: Mapping[str, str]) -> None:
    """The plane once more for each network, small."""
    small = lower.subplots(1, len(networks), sharey=True, sharex=True, squeeze=False)[0]
    for ax, (network, name) in zip(small, networks.items(), strict=True):
        _plane(ax)
        ax.grid(False)
        for line in points[points["network"] == network].itertuples():
            ax.plot(line.alike_sum, line.alike_class, **group_mark(groups[line.method], 0.62))
        ax.set(xticks=[0, 1], yticks=[0, 1])
        ax.set_title(name, fontsize=SMALL)
    lower.supxlabel("the same for each network, last layer", fontsize=SMALL, color=QUIET)


def _plane(ax: Axes, left: float = -0.4) -> None:
    """The plane of two similarities, and what geometry forbids in it."""
    x = np.linspace(0, 1, 200)
    ax.fill_between(x, 2 * x**2 - 1, -1, color=FORBIDDEN, linewidth=0, zorder=0)
    ax.plot(x, 2 * x**2 - 1, color="0.6", linewidth=1, zorder=0)
    ax.axhline(0, color="0.8", linewidth=0.7, zorder=0)
    ax.set(xlim=(left, 1.06), ylim=(-0.5, 1.07))


def _area(ax: Axes, part: Any, tint: str) -> None:
    """The ground on which the means of a group lie, in its tint."""
    means = part.groupby("method")[["alike_sum", "alike_class"]].mean().to_numpy()
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


def _spread(ax: Axes, lines: Any, group: str) -> None:
    """Mean over networks, with thin bars from the smallest to the largest."""
    x, y = lines["alike_sum"], lines["alike_class"]
    bar = {"color": LOOKS[group][0], "linewidth": 0.7, "alpha": 0.22, "zorder": 1}
    ax.plot([x.min(), x.max()], [y.mean()] * 2, **bar)
    ax.plot([x.mean()] * 2, [y.min(), y.max()], **bar)
    ax.plot(x.mean(), y.mean(), zorder=3, **group_mark(group))


def _arrow(ax: Axes, part: Any, pair: tuple[str, str], note: str) -> None:
    """From the mean of one method to that of another, the note at its right."""
    means = part.groupby("method")[["alike_sum", "alike_class"]].mean()
    if not set(pair) <= set(means.index):
        return
    start, end = (means.loc[name].to_numpy() for name in pair)
    arrow = {"arrowstyle": "-|>", "color": "black", "shrinkA": 5, "shrinkB": 5, "linewidth": 1.6}
    ax.annotate("", end, start, arrowprops=arrow, zorder=4)
    place = {"textcoords": "offset points", "va": "center", "fontsize": SMALL, "fontweight": "bold"}
    ax.annotate(note, 0.25 * start + 0.75 * end, (9, 0), **place)


def _write_names(ax: Axes, part: Any, titles: Mapping[str, str], groups: Mapping[str, str]) -> None:
    """The methods at the left, in the order and as near as may be to the height of their means, joined to them."""
    means = part.groupby("method")[["alike_sum", "alike_class"]].mean().sort_values("alike_class")
    low, high = ax.get_ylim()
    room = (high - low - 0.24) / max(1, len(means))
    levels = moved_apart(means["alike_class"].to_numpy(), min(0.058, room))
    levels = levels - max(0.0, levels[-1] - (high - 0.13)) + max(0.0, low + 0.09 - levels[0])
    for (method, mean), level in zip(means.iterrows(), levels, strict=True):
        color = LOOKS[groups[method]][0]
        line = {"color": color, "alpha": 0.45, "linewidth": 0.6, "zorder": 0.8}
        ax.plot([_NAMES + 0.015, mean["alike_sum"]], [level, mean["alike_class"]], **line)
        ax.text(_NAMES, level, titles[method], color=color, fontsize=SMALL, ha="right", va="center")
    for text, y, side in (("↑ one map for both classes", high, "top"), ("↓ a map for each class", low, "bottom")):
        ax.text(-0.41, y, text, va=side, fontsize=SMALL, fontweight="bold", color="0.25")
    ax.text(1.04, low + 0.02, "geometry\nforbids", ha="right", va="bottom", color="0.4", fontsize=SMALL)


def group_legend(made: Any, present: Sequence[str], place: str = "outside upper left") -> None:
    """What the marks of the groups are, in a row outside all panels of a figure or a part of it."""
    marks = [Line2D([], [], label=group, **group_mark(group)) for group in GROUPS if group in present]
    look = {"handletextpad": 0.1, "columnspacing": 2.0, "fontsize": PLAIN, "borderaxespad": 0.0}
    made.legend(handles=marks, loc=place, ncols=len(marks), **look)
