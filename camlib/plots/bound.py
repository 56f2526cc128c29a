"""The chart of the bound: how near the sum of the feature maps a map must lie, promised and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from camlib.plots.law import FORBIDDEN, GROUPS, LOOKS, group_mark
from camlib.plots.look import PLAIN, figure
from camlib.plots.look import headline as put_headline


def bound_chart(frame: Any, groups: Mapping[str, str], headline: str = "", words: str = "") -> Figure:
    """The measured similarity to ΣM against the spread of the weights, and against what the theorem promises.

    ``frame``: columns method, measured and promised (cosines of the angle to ΣM and of its bound) and spread (the
    weights' cv, with its sign), a line a map; ``groups``: method -> one of :data:`camlib.plots.law.GROUPS`. Maps whose
    weights have a negative mean, and so a negative spread, are left out; a map without a promise (−1) is on the left
    alone. ``headline`` is the finding, above the figure, ``words`` what stands in gray under it.
    """
    made = figure(5.4)
    left, right = made.subplots(1, 2)
    positive = frame[frame["spread"] > 0]
    _dots(left, positive, "spread", groups)
    left.set(xscale="log", xlim=(0.1, 200), ylim=(min(0.0, positive["measured"].min() - 0.03), 1.04))
    left.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    left.minorticks_off()
    left.set(title="measured: little spread, near ΣM", ylabel="similarity of the map to ΣM (1: the map is ΣM)")
    left.set(xlabel="spread of the weights: deviation over mean")
    _dots(right, positive[positive["promised"] > -1], "promised", groups)
    right.plot([-1, 2], [-1, 2], color="0.2", linewidth=1.4)
    right.fill_between([0, 2], [0, 2], -1, color=FORBIDDEN, linewidth=0, zorder=0)
    right.text(0.97, 0.06, "no map may lie here", ha="right", color="0.3", fontsize=PLAIN, fontweight="bold")
    right.set(xlim=(0, 1.04), ylim=(0, 1.04), title="promised: no map lies below its bound")
    right.set(xlabel="least similarity that the theorem promises for the weights")
    _name_groups(left, [groups[name] for name in frame["method"].unique()])
    put_headline(made, headline, words)
    return made


def _name_groups(ax: Axes, present: Sequence[str]) -> None:
    """What the marks are, in their colors, at the lower left, where no map lies."""
    kept = [group for group in GROUPS if group in present]
    for number, group in enumerate(kept):
        level = 0.06 + 0.055 * (len(kept) - 1 - number)
        ax.plot(0.04, level, transform=ax.transAxes, **group_mark(group, 0.9))
        place = {"va": "center_baseline", "fontsize": PLAIN, "fontweight": "bold", "transform": ax.transAxes}
        ax.text(0.065, level, group, color=LOOKS[group][0], **place)


def _dots(ax: Axes, frame: Any, column: str, groups: Mapping[str, str]) -> None:
    """The maps of each method, in the look of its group."""
    methods = sorted(frame["method"].unique(), key=lambda method: GROUPS.index(groups[method]))
    for method in methods:  # dots over the rings, of which there are more
        lines = frame[frame["method"] == method]
        ax.plot(lines[column], lines["measured"], alpha=0.75, **group_mark(groups[method], 0.75))
