"""The chart of the cure: what a map gains or loses when its multiple of the sum of the feature maps is removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from camlib.plots.look import SMALL, figure
from camlib.plots.look import headline as put_headline
from camlib.plots.methods import method_style

_HELPS, _HARMS = "#E4F0F8", "#FCE9DC"


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

    A mark is a method on one head; those that lose most are named by their head. Maps behind ΣM lose, maps ahead of
    it win, where the removal only amplifies.
    """
    made = figure(5.2)
    axes = made.subplots(1, len(panels), sharey=True, squeeze=False)[0]
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
        ax.set(title=title, xlabel=f"{metric}: map minus ΣM")
        ax.margins(x=0.08, y=0.1)
    for ax, kind in zip(axes, panels, strict=True):
        _sides(ax)
        _name_losers(ax, frame[frame["kind"] == kind])
    axes[0].set_ylabel("what the removal of ΣM gains")
    shown = {name: method_style(name) for name in methods}
    marks = [Line2D([], [], color=s.color, marker=s.marker, ls="", ms=8, label=titles[n]) for n, s in shown.items()]
    made.legend(handles=marks, loc="outside lower center", ncols=len(marks))
    put_headline(made, headline, words)
    return made


def _name_losers(ax: Axes, part: Any) -> None:
    """The head, once, beside the marks of each head that loses."""
    losers = part[(part["ahead"] < 0) & (part["high"] < 0)]
    for head, lines in losers.groupby("head", sort=False):
        most = lines.loc[lines["gain"].idxmin()]
        ax.annotate(head, (most["ahead"], most["gain"]), (8, -4), textcoords="offset points", fontsize=SMALL)


def _sides(ax: Axes) -> None:
    """What lies on either side of 0: maps better or worse than ΣM, helped or harmed."""
    (low, high), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    for ends, tint in (((0, top), _HELPS), ((bottom, 0), _HARMS)):
        ax.axhspan(*ends, color=tint, linewidth=0, zorder=-2)
    ax.grid(False)
    far = high > 0.25 * (high - low)  # the words stand where no other ones do
    place = {"x": 0.98 if far else 0.02, "ha": "right" if far else "left", "transform": ax.transAxes}
    place |= {"fontsize": SMALL, "fontweight": "bold"}
    ax.text(y=0.98, s="removal helps ↑", color="#00507E", va="top", **place)
    ax.text(y=0.02, s="removal harms ↓", color="#9A3F00", va="bottom", **place)
    place = {"transform": ax.get_xaxis_transform(), "color": "0.3", "fontsize": SMALL, "va": "top"}
    if far:
        ax.text(0.01 * (high - low), 0.98, "better than ΣM →", ha="left", **place)
    if low < -0.25 * (high - low):
        ax.text(-0.01 * (high - low), 0.98, "← worse than ΣM", ha="right", **place)
    ax.set(xlim=(low, high), ylim=(bottom, top))
