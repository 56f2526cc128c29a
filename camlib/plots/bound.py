"""The chart of the bound: how near the sum of the feature maps a map must lie, promised and measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from camlib.plots.law import FORBIDDEN, group_legend, group_mark
from camlib.plots.look import SMALL, figure
from camlib.plots.look import headline as put_headline


def bound_chart(frame: Any, groups: Mapping[str, str], headline: str = "", words: str = "") -> Figure:
    """The measured similarity to ΣM against the spread of the weights, and against what the theorem promises.

    ``frame``: columns method, measured and promised (cosines of the angle to ΣM and of its bound) and spread (the
    weights' cv, with its sign), a line a map; ``groups``: method -> one of :data:`camlib.plots.law.GROUPS`. Negative
    spreads are drawn by their size; a map without a promise (−1) is on the left alone. ``headline`` is the finding,
    above the figure, ``words`` what stands in gray under it.
    """
    made = figure(4.9)
    left, right = made.subplots(1, 2, sharey=False)
    _dots(left, frame.assign(size=frame["spread"].abs()), "size", groups)
    left.axhline(0, color="0.75", linewidth=0.8, zorder=0)
    left.set(xscale="log", xlim=(0.1, 100), ylim=(-1.03, 1.04), title="little spread: near ΣM")
    left.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    left.minorticks_off()
    left.text(0.115, -0.62, "← weights nearly equal", fontsize=SMALL, fontweight="bold", color="0.3")
    left.set(xlabel="spread of the weights: deviation over mean", ylabel="measured similarity to ΣM")
    _dots(right, frame[frame["promised"] > -1], "promised", groups)
    right.plot([-1, 2], [-1, 2], color="0.2", linewidth=1.4)
    right.fill_between([0, 2], [0, 2], 0, color=FORBIDDEN, linewidth=0, zorder=0)
    right.text(0.97, 0.1, "no map may lie here", ha="right", color="0.3", fontsize=SMALL, fontweight="bold")
    right.set(xlim=(0, 1.04), ylim=(0, 1.04), title="every map is as near ΣM as the theorem promises, or nearer")
    right.set(xlabel="least similarity that the theorem promises", ylabel="measured similarity to ΣM")
    group_legend(made, [groups[name] for name in frame["method"].unique()], "outside lower center")
    put_headline(made, headline, words)
    return made


def _dots(ax: Axes, frame: Any, column: str, groups: Mapping[str, str]) -> None:
    """The maps of each method, in the look of its group."""
    for method, lines in frame.groupby("method", sort=False):
        ax.plot(lines[column], lines["measured"], alpha=0.7, **group_mark(groups[method], 0.6))
