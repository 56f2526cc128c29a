"""Charts of the law and of its cure: tables in, a figure out; a method has its own color and marker in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from camlib.plots.look import COLORS, QUIET, SMALL, WIDTH
from camlib.plots.look import headline as put_headline
from camlib.plots.methods import method_style

SIGNED, UNSIGNED, FINISHED = "weights keep their sign", "weights have no sign", "no weights: a finished map"
GROUPS = (SIGNED, UNSIGNED, FINISHED)
"""What a method's weights are: drawn as a hollow marker, a full one, a small pale one."""
_FORBIDDEN, _QUIET = "#EFEBE4", "0.55"
_SMALL = {SIGNED: (COLORS[0], "white"), UNSIGNED: (COLORS[1], COLORS[1]), FINISHED: ("#8A8A8A", "#DDDDDD")}
"""Color and face of a method in the small panels, by what its weights are."""


def law_chart(
    points: Any,
    titles: Mapping[str, str],
    groups: Mapping[str, str],
    headline: str,
    networks: Mapping[str, str],
    pair: tuple[str, str] | None = None,
    note: str = "",
    apart: Sequence[str] = (),
) -> Figure:
    """Similarity to ΣM against similarity between two classes: both layers over all networks, then each network.

    Args:
        points: columns network, layer ("last", "inner"), method, alike_sum, alike_class.
        titles, groups: of each method: printed name, and one of :data:`GROUPS`.
        headline: the finding, above the figure.
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
    upper, lower = figure.subfigures(2, 1, height_ratios=(5.6, 2.1))
    axes = upper.subplots(1, 3, width_ratios=(4, 4, 2.15))
    for ax, layer, name in zip(axes, ("last", "inner"), ("last layer", "an inner layer"), strict=False):
        part = points[(points["layer"] == layer) & ~points["network"].isin(apart)]
        _plane(ax)
        for method in methods:
            _spread(ax, part[part["method"] == method], groups[method], method)
        if pair:
            _arrow(ax, part, pair, note if layer == "last" else "")
        ax.set(title=f"{name}: mean and range of {part['network'].nunique()} networks", xlabel="similarity to ΣM")
    axes[0].set_ylabel("similarity between the maps of two classes")
    axes[0].text(0.97, -0.46, "geometry\nforbids", ha="right", va="bottom", color="0.4", fontsize=9)
    axes[0].text(-0.36, 0.98, "up here: one map\nfor both classes", va="top", color="0.3", fontsize=9)
    axes[0].text(-0.36, -0.46, "down here:\na map for each class", va="bottom", color="0.3", fontsize=9)
    _legend(axes[2], methods, titles, groups)
    _by_network(lower, points[points["layer"] == "last"], networks, groups)
    put_headline(figure, headline)
    return figure


def _by_network(lower: Any, points: Any, networks: Mapping[str, str], groups: Mapping[str, str]) -> None:
    """The plane once more for each network, small: hollow blue for weights with a sign, full vermilion without."""
    small = lower.subplots(1, len(networks), sharey=True, sharex=True, squeeze=False)[0]
    for ax, (network, name) in zip(small, networks.items(), strict=True):
        _plane(ax)
        ax.grid(False)
        for line in points[points["network"] == network].itertuples():
            color, face = _SMALL[groups[line.method]]
            look = {"color": color, "markerfacecolor": face, "markersize": 5, "markeredgewidth": 1.1, "linestyle": ""}
            ax.plot(line.alike_sum, line.alike_class, marker="o", **look)
        ax.set(xticks=[0, 1], yticks=[0, 1])
        ax.set_title(name, fontsize=SMALL)
    words = "each network, last layer: blue rings keep their sign, vermilion dots have none, gray are finished maps"
    lower.supxlabel(words, fontsize=SMALL, color=QUIET)


def bound_chart(
    frame: Any, titles: Mapping[str, str], groups: Mapping[str, str], shapes: float, headline: str = ""
) -> Figure:
    """What is promised against what is measured, and the measured similarity against the spread of the weights.

    ``frame``: columns method, measured and promised (cosines of the angle to ΣM and of its bound) and spread (the
    weights' cv, with its sign), a line a map. ``shapes``: τ of the curve cos arctan(cv · τ) on the right, which bounds
    maps whose weights do not fall with the channels' lengths. Negative spreads are drawn by their size. ``headline`` is
    the finding, above the figure.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.7), layout="constrained")
    promised = frame[frame["promised"] > -1]
    for ax, column, part in ((left, "promised", promised), (right, "spread", frame)):
        for method, lines in part.groupby("method", sort=False):
            look = _marker(method, groups[method], 0.55) | {"alpha": 0.75}
            ax.plot(lines[column].abs() if column == "spread" else lines[column], lines["measured"], **look)
    left.plot([-1, 1], [-1, 1], color="0.2", linewidth=1)
    left.fill_between([0, 1], [0, 1], 0, color=_FORBIDDEN, linewidth=0, zorder=0)
    left.text(0.95, 0.06, "the theorem forbids", ha="right", color="0.4", fontsize=9)
    left.set_title("every map lies on or above its promise")
    right.set_title("weights that spread little stay near ΣM")
    left.set(xlabel="promised by the theorem: cosine of the bound", ylabel="measured: cosine of the map and ΣM")
    left.set(xlim=(0, 1.02), ylim=(0, 1.02))
    reach = np.geomspace(0.1, 100, 200)
    right.plot(reach, np.cos(np.arctan(shapes * reach)), color="0.2", linewidth=1.2)
    curve = (
        f"curve:\ncos arctan(cv·τ),\nτ = {shapes:.2f}; binds\nonly weights that\ndo not fall with\nthe maps' lengths"
    )
    right.text(0.12, -0.95, curve, fontsize=9, color="0.2")
    right.set(xscale="log", xlabel="spread of the weights: |cv|", xlim=(0.1, 100), ylim=(-1.03, 1.03))
    known = list(dict.fromkeys(frame["method"]))
    marks = [Line2D([], [], label=titles[name], **_marker(name, groups[name], 0.7)) for name in known]
    figure.legend(handles=marks, loc="outside lower center", ncols=min(4, len(known)), fontsize=9)
    put_headline(figure, headline)
    return figure


def removal_chart(
    frame: Any, titles: Mapping[str, str], panels: Mapping[str, str], metric: str, headline: str = ""
) -> Figure:
    """How far a map beats ΣM before, against what it gains when its multiple of ΣM is removed.

    Args:
        frame: columns kind, method, head, ahead (metric of the published map minus that of ΣM), gain (after removal
            minus before), low and high of the gain.
        titles: printed name of each method.
        panels: kind -> title of its panel.
        metric: what the axes call it.
        headline: the finding, above the figure.

    A mark is a method on one head; those that lose most are named by their head. Maps behind ΣM lose, maps ahead of
    it win, where the removal only amplifies.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 5.0), layout="constrained", sharey=True, squeeze=False)
    axes = axes[0]
    methods = [name for name in titles if name in set(frame["method"])]
    for ax, (kind, title) in zip(axes, panels.items(), strict=True):
        part = frame[frame["kind"] == kind]
        for line in part.itertuples():
            style = method_style(line.method)
            ax.plot([line.ahead] * 2, [line.low, line.high], color=style.color, linewidth=0.8, alpha=0.6)
            look = {"color": style.color, "marker": style.marker, "markersize": 10 if style.marker == "*" else 8}
            ax.plot(line.ahead, line.gain, linestyle="", markeredgecolor="white", markeredgewidth=0.5, **look)
        ax.axhline(0, color="0.35", linewidth=0.9, zorder=1)
        ax.axvline(0, color="0.35", linewidth=0.9, zorder=1)
        ax.set(title=title, xlabel=f"{metric}: published map minus ΣM")
        _sides(ax)
        _name_losers(ax, part)
    axes[0].set_ylabel(f"{metric}: projected minus published")
    put_headline(figure, headline)
    shown = {name: method_style(name) for name in methods}
    marks = [Line2D([], [], color=s.color, marker=s.marker, ls="", ms=8, label=titles[n]) for n, s in shown.items()]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks))
    return figure


def _name_losers(ax: Axes, part: Any) -> None:
    """The head, once, beside the marks of each head that loses."""
    losers = part[(part["ahead"] < 0) & (part["high"] < 0)]
    for head, lines in losers.groupby("head", sort=False):
        most = lines.loc[lines["gain"].idxmin()]
        ax.annotate(head, (most["ahead"], most["gain"]), (8, -4), textcoords="offset points", fontsize=SMALL)


def agreement_chart(
    frame: Any,
    panels: Sequence[str],
    networks: Mapping[str, str],
    xlabel: str = "agreement with the causes",
    headline: str = "",
) -> Figure:
    """Metrics by how well they order methods as the causes do: one dot a network, its interval, one panel a kind.

    ``frame``: columns panel, name (of the metric), network, mean, low, high, blind (True where the class-blind sum
    beats Grad-CAM): a full blue dot, or a vermilion ring where it does; the bar is the mean over networks. Rows are
    ordered by it, best on top. ``headline`` is the finding, above the figure.
    """
    order = {name: list(_by_mean(frame[frame["panel"] == name])) for name in panels}
    heights = [len(order[name]) + 1.2 for name in panels]
    size = (WIDTH, 0.38 * sum(heights) + 1.3)
    figure, axes = plt.subplots(
        len(panels), 1, figsize=size, layout="constrained", sharex=True, height_ratios=heights, squeeze=False
    )
    for ax, panel in zip(axes[:, 0], panels, strict=True):
        part, names = frame[frame["panel"] == panel], order[panel]
        for number, network in enumerate(networks):
            for line in part[part["network"] == network].itertuples():
                _agreement(ax, line, names.index(line.name) + (number - (len(networks) - 1) / 2) * 0.1)
        means = [part.loc[part["name"] == name, "mean"].mean() for name in names]
        ax.plot(means, range(len(names)), color="black", **_MEAN)
        ax.axvline(0, color="0.35", linewidth=0.9, zorder=1)
        ax.set(yticks=range(len(names)), ylim=(len(names) - 0.4, -0.6), title=panel)
        ax.set_yticklabels(names)
        ax.grid(False, axis="y")
    axes[-1, 0].set_xlabel(xlabel)
    put_headline(figure, headline)
    marks = [
        Line2D([], [], color=COLORS[0], marker="o", ms=5, lw=1, label="one network, 95 % interval"),
        Line2D([], [], color=COLORS[1], marker="o", mfc="white", ms=5, lw=1, label="the class-blind ΣM beats Grad-CAM"),
        Line2D([], [], color="black", label="mean over networks", **_MEAN),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=3)
    return figure


_MEAN = {"marker": "|", "linestyle": "", "markersize": 17, "markeredgewidth": 1.8}


def _agreement(ax: Axes, line: Any, y: float) -> None:
    """One network's agreement with its interval."""
    color = COLORS[1] if line.blind else COLORS[0]
    ax.plot([line.low, line.high], [y, y], color=color, linewidth=0.9, alpha=0.6)
    ax.plot(line.mean, y, "o", color=color, markerfacecolor="white" if line.blind else color, markersize=4.5)


def _sides(ax: Axes) -> None:
    """What lies left and right of ΣM."""
    low, high = ax.get_xlim()
    place = {"transform": ax.get_xaxis_transform(), "color": "0.3", "fontsize": 9, "va": "top"}
    ax.axvspan(min(low, 0), 0, color=_FORBIDDEN, linewidth=0, zorder=-1)
    if high > 0.25 * (high - low):
        ax.text(0.01 * (high - low), 0.99, "ahead of ΣM", ha="left", **place)
    if low < -0.25 * (high - low):
        ax.text(-0.01 * (high - low), 0.99, "behind ΣM", ha="right", **place)
    ax.set_xlim(low, high)


def _by_mean(part: Any) -> Sequence[str]:
    return part.groupby("name")["mean"].mean().sort_values(ascending=False).index


def _plane(ax: Axes) -> None:
    """The plane of two similarities, and what geometry forbids in it."""
    x = np.linspace(0, 1, 200)
    ax.fill_between(x, 2 * x**2 - 1, -1, color=_FORBIDDEN, linewidth=0, zorder=0)
    ax.plot(x, 2 * x**2 - 1, color=_QUIET, linewidth=1, zorder=0)
    ax.axhline(0, color="0.8", linewidth=0.7, zorder=0)
    ax.set(xlim=(-0.4, 1.06), ylim=(-0.5, 1.06))


def _marker(method: str, group: str, size: float = 1.0) -> dict[str, Any]:
    """Full, hollow or pale marker of a method."""
    style = method_style(method)
    face = {SIGNED: "white", UNSIGNED: style.color, FINISHED: "#DDDDDD"}[group]
    return {
        "color": style.color,
        "marker": style.marker,
        "markerfacecolor": face,
        "markeredgecolor": style.color,
        "markeredgewidth": 1.6 * size**0.5,
        "markersize": (9.5 if style.marker == "*" else 8.0) * size,
        "linestyle": "",
    }


def _spread(ax: Axes, lines: Any, group: str, method: str) -> None:
    """Mean over networks, with thin bars from the smallest to the largest."""
    x, y = lines["alike_sum"], lines["alike_class"]
    color = method_style(method).color
    ax.plot([x.min(), x.max()], [y.mean()] * 2, color=color, linewidth=0.6, alpha=0.45, zorder=1)
    ax.plot([x.mean()] * 2, [y.min(), y.max()], color=color, linewidth=0.6, alpha=0.45, zorder=1)
    ax.plot(x.mean(), y.mean(), zorder=3, **_marker(method, group))


def _arrow(ax: Axes, part: Any, pair: tuple[str, str], note: str) -> None:
    """From the mean of one method to that of another."""
    means = part.groupby("method")[["alike_sum", "alike_class"]].mean()
    if not set(pair) <= set(means.index):
        return
    start, end = (means.loc[name].to_numpy() for name in pair)
    arrow = {"arrowstyle": "->", "color": method_style(pair[0]).color, "shrinkA": 6, "shrinkB": 6, "linewidth": 1.5}
    ax.annotate("", end, start, arrowprops=arrow, zorder=4)
    ax.annotate(
        note, 0.35 * start + 0.65 * end, (-8, 4), textcoords="offset points", ha="right", va="bottom", fontsize=9
    )


def _legend(ax: Axes, methods: Sequence[str], titles: Mapping[str, str], groups: Mapping[str, str]) -> None:
    """All methods, group by group, in the axes of their own."""
    ax.set_axis_off()
    marks, labels = [], []
    for group in GROUPS:
        members = [name for name in methods if groups[name] == group]
        if members:
            marks += [Line2D([], [], linestyle=""), *(Line2D([], [], **_marker(n, group, 0.8)) for n in members)]
            labels += [group, *(titles[name] for name in members)]
    legend = ax.legend(marks, labels, loc="center left", borderaxespad=0, handletextpad=0.3, labelspacing=0.28)
    for text in legend.get_texts():
        text.set_fontweight("bold" if text.get_text() in GROUPS else "normal")
