"""The chart of the cure: what a map gains or loses when its multiple of the sum of the feature maps is removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from camlib.plots.look import COLORS, PLAIN, SMALL, figure
from camlib.plots.look import headline as put_headline

_HELPS, _HARMS = "#E4F0F8", "#FCE9DC"
_HELPED, _HARMED = COLORS[:2]


def removal_chart(
    frame: Any, titles: Mapping[str, str], panels: Mapping[str, str], metric: str, headline: str = "", words: str = ""
) -> Figure:
    """How far a map beats ΣM before, against what it gains when its multiple of ΣM is removed.

    Args:
        frame: columns kind, method, head, ahead (metric of the published map minus that of ΣM), gain (after removal
            minus before), low and high of the gain.
        titles: printed name of each method.
        panels: kind -> title of its panel.
        metric: what the axes call it.
        headline, words: the finding, above the figure, and what stands in gray under it.

    A mark is a method on one head, blue where the removal helps and orange where it harms; the worst are named. Maps
    behind ΣM lose, maps ahead of it win, where the removal only amplifies.
    """
    made = figure(5.4)
    axes = made.subplots(1, len(panels), sharey=True, sharex=True, squeeze=False)[0]
    for ax, (kind, title) in zip(axes, panels.items(), strict=True):
        for line in frame[frame["kind"] == kind].itertuples():
            color = _HELPED if line.gain > 0 else _HARMED
            ax.plot([line.ahead] * 2, [line.low, line.high], color=color, linewidth=0.9, alpha=0.6)
            ax.plot(line.ahead, line.gain, "o", color=color, markersize=8, markeredgecolor="white", markeredgewidth=0.6)
        ax.axhline(0, color="0.35", linewidth=0.9, zorder=1)
        ax.axvline(0, color="0.35", linewidth=0.9, zorder=1)
        ax.set(title=title, xlabel=f"{metric}: map minus ΣM")
        ax.margins(x=0.08, y=0.1)
    for ax, kind in zip(axes, panels, strict=True):
        _sides(ax)
        _name_losers(ax, frame[frame["kind"] == kind], titles)
    axes[0].set_ylabel("what the removal of ΣM gains")
    put_headline(made, headline, words)
    return made


def _name_losers(ax: Axes, part: Any, titles: Mapping[str, str]) -> None:
    """The method and the head of the mark that loses most on each head that loses."""
    losers = part[(part["ahead"] < 0) & (part["high"] < 0)]
    for head, lines in losers.groupby("head", sort=False):
        most = lines.loc[lines["gain"].idxmin()]
        text = f"{titles[most['method']]}, {head}"
        place = {"textcoords": "offset points", "va": "center_baseline", "fontsize": SMALL}
        ax.annotate(text, (most["ahead"], most["gain"]), (9, 0), **place)


def _sides(ax: Axes) -> None:
    """What lies on either side of 0: maps better or worse than ΣM, helped or harmed."""
    (low, high), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    for ends, tint in (((0, top), _HELPS), ((bottom, 0), _HARMS)):
        ax.axhspan(*ends, color=tint, linewidth=0, zorder=-2)
    ax.grid(False)
    place = {"x": 0.98, "ha": "right", "transform": ax.transAxes, "fontsize": PLAIN, "fontweight": "bold"}
    ax.text(y=0.98, s="removal helps ↑", color="#00507E", va="top", **place)
    ax.text(y=0.02, s="removal harms ↓", color="#9A3F00", va="bottom", **place)
    place = {"transform": ax.get_xaxis_transform(), "color": "0.3", "fontsize": SMALL, "va": "top"}
    ax.text(0.01 * (high - low), 0.98, "better than ΣM →", ha="left", **place)
    ax.text(-0.01 * (high - low), 0.98, "← worse than ΣM", ha="right", **place)
    ax.set(xlim=(low, high), ylim=(bottom, top))
