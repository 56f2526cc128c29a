"""How many times faster, and whether an aim is reached: dots in groups, one panel a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from camlib.plots.look import COLORS, QUIET, SMALL, TIMES, figure, headline, text_width

REACHED, MISSED, FREE = COLORS[0], COLORS[1], "#8A8A8A"
"""Colors of an aim that is reached, of one that is missed, and of what has no aim."""
_FASTER = "#EEF5FA"
_ROW, _HEAD, _FOOT = 0.28, 0.85, 0.75
_REACH = (0.1, 2000.0)
Key = tuple[str, str, str]


def factor_figure(
    rows: pd.DataFrame, titles: Mapping[str, str], against: Mapping[str, str], title: str, note: str = ""
) -> Figure:
    """Dots on a logarithmic axis with a line from 1 and their number beside them, aims as ticks, one panel a network.

    Args:
        rows: group, what, against, network, factor, aim and met (True, False or None), one row a dot, such as
            :func:`camlib.compendium.bench.aims.judged` makes it; larger factors are better.
        titles: of the panels, by network, in their order.
        against: the name of each rival; it stands behind ``what`` in a group that has several, which is written once.
        title, note: over all panels, the finding and what a reader must know to see it.

    Raises ValueError for a row whose ``against`` has no name.
    """
    if unnamed := set(rows["against"]) - set(against):
        raise ValueError(f"{sorted(unnamed)} have no name in against={dict(against)!r}.")
    keys = list(rows[["group", "what", "against"]].drop_duplicates().itertuples(index=False, name=None))
    groups = list(dict.fromkeys(group for group, *_ in keys))
    places = {key: i + 1.25 * groups.index(key[0]) for i, key in enumerate(keys)}
    made = figure(_HEAD + _FOOT + _ROW * (max(places.values()) + 2))
    axes = made.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    for ax, (network, words) in zip(axes, titles.items(), strict=True):
        for row in rows[rows["network"] == network].itertuples():
            _draw(ax, row, places[row.group, row.what, row.against])
        ax.axvline(1, color="0.35", linewidth=0.9, zorder=1)
        ax.axvspan(1, _REACH[1], color=_FASTER, linewidth=0, zorder=-1)
        ax.text(1.25, -1.05, "camlib faster →", color=QUIET, fontsize=SMALL, va="center")
        ax.set(xscale="log", xlim=_REACH, title=words, xlabel="times as fast (or as small)")
        ax.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
        ax.minorticks_off()
        ax.grid(False, axis="y")
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    _name_rows(axes[0], places, groups, against)
    shown = [
        Line2D([], [], color=color, marker="o", linewidth=2, markersize=6, markerfacecolor=face, label=words)
        for color, face, words in (
            (REACHED, REACHED, "aim reached"),
            (MISSED, "white", "aim missed"),
            (FREE, FREE, "no aim set"),
        )
    ]
    shown.append(Line2D([], [], color="black", marker="|", markersize=9, markeredgewidth=1.6, linewidth=0, label="aim"))
    made.legend(handles=shown, loc="outside lower center", ncols=4)
    headline(made, title, note)
    return made


def in_digits(factor: float) -> str:
    """A factor with two digits that count: 0.90, 1.6, 18, 340."""
    if factor >= 10:
        return f"{round(factor, -1 if factor >= 100 else 0):.0f}"
    return f"{factor:.2f}" if factor < 1 else f"{factor:.1f}"


def _draw(ax: Axes, row: object, y: float) -> None:
    """One dot, its line from 1, its number and its aim."""
    judged = row.met is not None
    color = (REACHED if row.met else MISSED) if judged else FREE
    ax.plot([1, row.factor], [y, y], color=color, linewidth=2.2, solid_capstyle="butt", zorder=2)
    if judged:
        ax.plot(row.aim, y, "|", color="black", markersize=11, markeredgewidth=1.6, zorder=3)
    face = "white" if judged and not row.met else color
    ax.plot(row.factor, y, "o", color=color, markerfacecolor=face, markeredgewidth=1.8, markersize=7, zorder=4)
    ends = max(row.factor, row.aim if judged else 1.0, 1.0)
    place = {"textcoords": "offset points", "va": "center_baseline", "fontsize": SMALL, "color": "#222222"}
    ax.annotate(f"{in_digits(row.factor)}{TIMES.strip()}", (ends, y), (8, 0), **place)


def _name_rows(ax: Axes, places: Mapping[Key, float], groups: Sequence[str], against: Mapping[str, str]) -> None:
    """At the left two columns: the work, once, and the rival where a group has several; over each group its name."""
    rivals = {group: {rival for name, _, rival in places if name == group} for group in groups}
    named = [against[rival] if len(rivals[group]) > 1 else "" for group, _, rival in places]
    ax.set_yticks(list(places.values()), named)
    ax.set_ylim(max(places.values()) + 0.7, -1.5)
    first = {(group, what): places[group, what, rival] for group, what, rival in reversed(places)}
    widths = [text_width(text, SMALL) for text in (*named, *(what for _, what in first))]
    left = -72 * (max(widths[: len(named)]) + max(widths[len(named) :]) + 0.28)
    place = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "ha": "left", "va": "center"}
    place |= {"fontsize": SMALL, "annotation_clip": False}
    for (_, what), level in first.items():
        ax.annotate(what, (0, level), (left, 0), **place)
    for group in groups:
        top = min(y for key, y in places.items() if key[0] == group)
        ax.annotate(group, (0, top - 1.0), (left, 0), color=QUIET, fontweight="bold", **place)
