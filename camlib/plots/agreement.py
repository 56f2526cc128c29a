"""The chart of the metrics: how well each one orders methods as the truth does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from camlib.plots.look import COLORS, PLAIN, figure, signs
from camlib.plots.look import headline as put_headline

FOLLOWS, HARDLY, AGAINST = COLORS[0], "#B9CFDF", COLORS[1]
"""Colors of a bar of 0.5 and more, of a smaller one, and of one below 0."""
_ROW, _AROUND = 0.36, 1.5


def agreement_chart(
    frame: Any, panels: Mapping[str, str], xlabel: str = "agreement with the truth", headline: str = "", words: str = ""
) -> Figure:
    """Metrics by how well they order methods as the truth does: a bar to the mean over networks, a line over all.

    ``frame``: columns panel, name (of the metric), network, mean. Rows are ordered by the mean over networks, which is
    written at the right; one panel a kind, side by side, ``panels``: panel -> its title. ``headline`` is the finding,
    above the figure, ``words`` what stands in gray under it.
    """
    order = {name: list(_by_mean(frame[frame["panel"] == name])) for name in panels}
    made = figure(_AROUND + _ROW * max(map(len, order.values())))
    axes = made.subplots(1, len(panels), sharex=True, squeeze=False)[0]
    for ax, (panel, title) in zip(axes, panels.items(), strict=True):
        part = frame[frame["panel"] == panel]
        for row, name in enumerate(order[panel]):
            _bar(ax, part.loc[part["name"] == name, "mean"].to_numpy(), row)
        ax.axvline(0, color="0.35", linewidth=0.9, zorder=3)
        ax.set(yticks=range(len(order[panel])), ylim=(max(map(len, order.values())) - 0.4, -0.6))
        ax.set_yticklabels(order[panel], fontsize=PLAIN)
        ax.set_title(title, x=0, pad=8)
        ax.grid(False, axis="y")
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    low, high = axes[0].get_xlim()
    axes[0].set_xlim(low, high + 0.16 * (high - low))  # room for the numbers
    made.supxlabel(xlabel, fontsize=PLAIN)
    put_headline(made, headline, words)
    return made


def _bar(ax: Axes, values: Any, row: int) -> None:
    """The mean over networks as a bar, its number at the right, a line from the lowest to the highest network."""
    mean = float(values.mean())
    color = AGAINST if mean < 0 else FOLLOWS if mean >= 0.5 else HARDLY
    ax.barh(row, mean, 0.62, color=color, linewidth=0, zorder=1)
    ax.plot([values.min(), values.max()], [row, row], color="0.25", linewidth=1.1, zorder=2)
    place = {"transform": ax.get_yaxis_transform(), "ha": "right", "va": "center_baseline", "fontsize": PLAIN}
    ax.text(1.0, row, signs(f"{mean:.2f}"), fontweight="bold" if abs(mean) >= 0.5 else "normal", **place)


def _by_mean(part: Any) -> Sequence[str]:
    return part.groupby("name")["mean"].mean().sort_values(ascending=False).index
