"""The chart of the metrics: how far each orders methods as the truth does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from camlib.plots.look import COLORS, SMALL, figure, signs
from camlib.plots.look import headline as put_headline

_MEAN = {"marker": "|", "linestyle": "", "markersize": 19, "markeredgewidth": 2.6}
_WRONG = "#FCE9DC"


def agreement_chart(
    frame: Any,
    panels: Mapping[str, str],
    networks: Mapping[str, str],
    xlabel: str = "agreement with the causes",
    headline: str = "",
    words: str = "",
) -> Figure:
    """Metrics by how well they order methods as the truth does: one dot a network, its interval, one panel a kind.

    ``frame``: columns panel, name (of the metric), network, mean, low, high, blind (True where the class-blind sum
    beats Grad-CAM): a full blue dot, or a vermilion ring where it does; the bar is the mean over networks, written at
    the right. Rows are ordered by it, best on top. ``panels``: panel -> its title. ``headline`` is the finding, above
    the figure, ``words`` what stands in gray under it.
    """
    order = {name: list(_by_mean(frame[frame["panel"] == name])) for name in panels}
    heights = [len(order[name]) + 1.2 for name in panels]
    made = figure(0.38 * sum(heights) + 1.6)
    axes = made.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    for ax, (panel, title) in zip(axes, panels.items(), strict=True):
        part, names = frame[frame["panel"] == panel], order[panel]
        for number, network in enumerate(networks):
            for line in part[part["network"] == network].itertuples():
                _agreement(ax, line, names.index(line.name) + (number - (len(networks) - 1) / 2) * 0.1)
        means = [part.loc[part["name"] == name, "mean"].mean() for name in names]
        ax.plot(means, range(len(names)), color="black", zorder=4, **_MEAN)
        for row, mean in enumerate(means):
            place = {"transform": ax.get_yaxis_transform(), "ha": "left", "va": "center", "fontsize": SMALL}
            ax.text(1.01, row, signs(f"{mean:.2f}"), fontweight="bold", **place)
        ax.set(yticks=range(len(names)), ylim=(len(names) - 0.4, -0.6), title=title)
        ax.set_yticklabels(names)
        ax.grid(False, axis="y")
    for ax in axes:
        low, high = ax.get_xlim()
        ax.axvspan(low, 0, color=_WRONG, linewidth=0, zorder=-1)
        ax.axvline(0, color="0.35", linewidth=0.9, zorder=1)
        ax.set_xlim(low, high)
    axes[-1].set_xlabel(xlabel)
    _legend(made)
    put_headline(made, headline, words)
    return made


def _legend(made: Figure) -> None:
    """What dots, rings and bars are, under the panels."""
    blind = "the class-blind ΣM beats Grad-CAM"
    marks = [
        Line2D([], [], color=COLORS[0], marker="o", ms=5, lw=1, label="one network, 95 % interval"),
        Line2D([], [], color=COLORS[1], marker="o", mfc="white", ms=5, lw=1, label=blind),
        Line2D([], [], color="black", label="mean over networks", **_MEAN),
    ]
    made.legend(handles=marks, loc="outside lower center", ncols=3)


def _agreement(ax: Axes, line: Any, y: float) -> None:
    """One network's agreement with its interval."""
    color = COLORS[1] if line.blind else COLORS[0]
    ax.plot([line.low, line.high], [y, y], color=color, linewidth=0.9, alpha=0.4)
    ax.plot(line.mean, y, "o", color=color, markerfacecolor="white" if line.blind else color, markersize=4.5)


def _by_mean(part: Any) -> Sequence[str]:
    return part.groupby("name")["mean"].mean().sort_values(ascending=False).index
