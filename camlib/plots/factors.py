"""How many times faster, and whether an aim is reached: bars in groups, one panel a network."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from camlib.plots.look import COLORS, PLAIN, figure

REACHED, MISSED = "#00664B", "#B03A00"
_INKS = ("#000000", *(COLORS[i] for i in (0, 1, 2, 3, 4, 5)))
_ROW, _HEAD, _FOOT = 0.3, 1.0, 1.1
Place = dict[tuple[str, str, str], float]


def factor_figure(rows: pd.DataFrame, titles: Mapping[str, str], against: Mapping[str, str], title: str) -> Figure:
    """Horizontal bars from 1 on a logarithmic axis, their numbers and ✓ or ✗ at the right, aims as ticks.

    Args:
        rows: group, what, against, network, factor, aim and met (True, False or None), one row a bar, such as
            :func:`camlib.compendium.bench.aims.judged` makes it; larger factors are better.
        titles: of the panels, by network, in their order.
        against: what the legend calls each kind of bar, in its order; each has its own color.
        title: over all panels, the finding.

    Raises ValueError for a row whose ``against`` has no name.
    """
    if unnamed := set(rows["against"]) - set(against):
        raise ValueError(f"{sorted(unnamed)} have no name in against={dict(against)!r}.")
    colors = dict(zip(against, _INKS, strict=False))
    keys = list(rows[["group", "what", "against"]].drop_duplicates().itertuples(index=False, name=None))
    groups = list(dict.fromkeys(group for group, *_ in keys))
    places = {key: i + 0.9 * groups.index(key[0]) for i, key in enumerate(keys)}
    made = figure(_HEAD + _FOOT + _ROW * (max(places.values()) + 1))
    axes = made.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    for ax, (network, words) in zip(axes, titles.items(), strict=True):
        _draw(ax, rows[rows["network"] == network], places, colors)
        ax.set_title(words)
    _name_rows(axes[0], places, groups)
    shown = [Patch(color=colors[name], label=words) for name, words in against.items() if name in set(rows["against"])]
    marks = ((REACHED, "aim, reached ✓"), (MISSED, "aim, missed ✗"))
    shown += [Line2D([], [], color=color, linewidth=2.2, label=words) for color, words in marks]
    made.legend(handles=shown, loc="outside lower center", ncols=4)
    made.suptitle(title)
    return made


def _draw(ax: Axes, rows: pd.DataFrame, places: Place, colors: Mapping[str, str]) -> None:
    """The bars of one network."""
    for row in rows.itertuples():
        y, judged = places[row.group, row.what, row.against], row.met is not None
        ink = (REACHED if row.met else MISSED) if judged else "0.25"
        ax.barh(y, row.factor - 1, left=1, color=colors[row.against], height=0.72)
        mark = {True: "  ✓", False: "  ✗"}.get(row.met, "")
        at = {"va": "center", "transform": ax.get_yaxis_transform(), "fontsize": PLAIN}
        ax.text(1.03, y, f"{row.factor:.3g}{mark}", color=ink, **at)
        if judged:
            ax.plot([row.aim] * 2, [y - 0.46, y + 0.46], color=ink, linewidth=2.2)
    ax.axvline(1, color="0.3", linewidth=0.8)
    ax.set(xscale="log", xlim=(0.12, 600), xlabel="times as fast (or as small)")
    ax.set_xticks([0.2, 1, 10, 100], ["0.2", "1", "10", "100"])
    ax.minorticks_off()


def _name_rows(ax: Axes, places: Place, groups: list[str]) -> None:
    """Names of the rows at the left, and over the first of each group the group's."""
    ax.set_yticks(list(places.values()), [what for _, what, _ in places])
    ax.set_ylim(max(places.values()) + 0.6, -1.2)
    for group in groups:
        top = min(y for key, y in places.items() if key[0] == group)
        where = {"ha": "right", "va": "center", "transform": ax.get_yaxis_transform()}
        ax.text(-0.03, top - 0.85, group, fontweight="bold", **where)
