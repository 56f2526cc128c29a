"""How many times as fast: one bar a task, on a logarithmic axis from 1, one panel a network."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from camlib.plots.look import COLORS, PLAIN, QUIET, SMALL, TIMES, figure, headline, text_width

FASTER, SLOWER = COLORS[0], COLORS[1]
"""Colors of a bar above 1 and of one that is not."""
_ROW, _AROUND = 0.52, 1.3
_REACH = (0.5, 1500.0)


def factor_figure(
    rows: pd.DataFrame, titles: Mapping[str, str], tasks: Mapping[str, str], title: str, note: str = ""
) -> Figure:
    """Bars from 1 to each factor, its number at the end; a task a row, a network a panel.

    Args:
        rows: what, network and factor, one row a bar; larger factors are better.
        titles: of the panels, by network, in their order.
        tasks: what -> its name and, behind a line break, what stands in gray under it; in the order of the rows.
        title, note: over all panels, the finding and what a reader must know to see it.

    Raises ValueError for a row whose ``what`` has no name.
    """
    if unnamed := set(rows["what"]) - set(tasks):
        raise ValueError(f"{sorted(unnamed)} have no name in tasks={dict(tasks)!r}.")
    made = figure(_AROUND + _ROW * len(tasks))
    axes = made.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    places = {what: place for place, what in enumerate(tasks)}
    for ax, (network, words) in zip(axes, titles.items(), strict=True):
        for row in rows[rows["network"] == network].itertuples():
            _bar(ax, row.factor, places[row.what])
        ax.axvline(1, color="0.35", linewidth=1.0, zorder=3)
        ax.set(xscale="log", xlim=_REACH, ylim=(len(tasks) - 0.45, -0.55))
        ax.set_title(words, pad=8)
        ax.set_xticks([1, 10, 100], ["1", "10", "100"])
        ax.minorticks_off()
        ax.grid(False, axis="y")
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    _name_rows(axes[0], tasks)
    made.supxlabel("times as fast as the fastest other library", fontsize=PLAIN)
    headline(made, title, note)
    return made


def in_digits(factor: float) -> str:
    """A factor with two digits that count: 0.90, 1.6, 18, 340."""
    if factor >= 10:
        return f"{round(factor, -1 if factor >= 100 else 0):.0f}"
    return f"{factor:.2f}" if factor < 1 else f"{factor:.1f}"


def _bar(ax: Axes, factor: float, y: float) -> None:
    """One bar from 1, its number behind its end."""
    color = FASTER if factor > 1 else SLOWER
    ax.barh(y, factor - 1, 0.5, left=1, color=color, linewidth=0, zorder=2)
    place = {"textcoords": "offset points", "va": "center_baseline", "fontsize": PLAIN, "fontweight": "bold"}
    ax.annotate(f"{in_digits(factor)}{TIMES.strip()}", (max(factor, 1), y), (6, 0), color=color, **place)


def _name_rows(ax: Axes, tasks: Mapping[str, str]) -> None:
    """The name of each task at the left, and under it in gray what it is about."""
    ax.set_yticks(range(len(tasks)), [""] * len(tasks))
    names = [text.partition("\n") for text in tasks.values()]
    left = -72 * (max(max(text_width(a, PLAIN, "bold"), text_width(b, SMALL)) for a, _, b in names) + 0.1)
    place = {
        "xycoords": ax.get_yaxis_transform(),
        "textcoords": "offset points",
        "annotation_clip": False,
    }
    for level, (name, _, words) in enumerate(names):
        up = 7 if words else 0
        ax.annotate(name, (0, level), (left, up), fontsize=PLAIN, fontweight="bold", ha="left", va="center", **place)
        ax.annotate(words, (0, level), (left, -7), fontsize=SMALL, color=QUIET, ha="left", va="center", **place)
