"""How much a map made from a part of its scores differs from the exact one, and whether it knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from camlib.plots.look import COLORS, GRID, SMALL, figure

CHOICE_LOOKS = {
    "budget": (COLORS[0], "o", "-"),
    "farthest-point": (COLORS[2], "s", "--"),
    "most-active": (COLORS[1], "^", "-."),
    "random": (COLORS[3], "v", ":"),
}
"""Color, marker and dash of each way to choose the scored channels."""
_NAMES = {"budget": "camlib's budget", "farthest-point": "far from each other", "most-active": "most active"}
_LEAST = 1e-7  # 1 − r below it is the rounding of float32 rows
_COLUMNS = ("network", "layer", "choice", "part", "r", "expected")


def budget_figure(rows: Any, part: int = 8, titles: Mapping[tuple[str, str], str] | None = None) -> Figure:
    """1 − r against the budget, one panel a network and layer; in the last panel, what was expected of it.

    A line is the median over pictures; the band of "budget" reaches from the 5th to the 95th percentile. The last panel
    shows every picture at the budget K/``part``: on the diagonal the expectation is right, above it the error is larger
    than said.

    Args:
        rows: a table with one row a picture, network, layer, choice and part: columns network, layer, choice, part
            (the budget is K/part), r and expected.
        part: of the last panel.
        titles: panel titles by (network, layer), in the order of the panels; "network, layer" where there is none.

    Raises:
        ValueError: a column or every row of "budget" is missing.
    """
    if missing := [name for name in _COLUMNS if name not in rows.columns]:
        raise ValueError(f"rows has no column {missing}; its columns are {list(rows.columns)}")
    rows = rows[rows["choice"].isin(list(CHOICE_LOOKS))]
    places = list(rows[rows["choice"] == "budget"].groupby(["network", "layer"], sort=False).groups)
    places.sort(key=lambda place: list(titles or ()).index(place) if place in (titles or ()) else len(titles or ()))
    if not places:
        raise ValueError("rows holds no row of the choice 'budget'")
    titles = {place: ", ".join(place) for place in places} | dict(titles or {})
    count = len(places) + 1
    columns = 2 if count <= 4 else 3
    lines = -(-count // columns)
    made = figure(0.3 + (3.2 if columns == 2 else 2.9) * lines)
    axes = made.subplots(lines, columns, squeeze=False)
    for ax, place in zip(axes.flat, places, strict=False):
        of_place = rows[(rows["network"] == place[0]) & (rows["layer"] == place[1])]
        _curves(ax, of_place, titles[place], part)
    drawn = [ax.get_ylim() for ax in axes.flat[: len(places)]]
    for ax in axes.flat[: len(places)]:
        ax.set_ylim(min(low for low, _ in drawn), max(high for _, high in drawn))
    _expectations(axes.flat[len(places)], rows[rows["part"] == part], places, titles, part)
    for ax in axes[:, 1:].flat[: len(places) - lines]:
        ax.set_ylabel("")
    _legend(made, axes.flat[0], list(axes.flat[count:]))
    return made


def _legend(made: Figure, ax: Axes, spare: list[Axes]) -> None:
    """The legend of the lines, in a panel that is not needed, else under all panels."""
    handles, labels = ax.get_legend_handles_labels()
    labels = [_NAMES.get(label, label) for label in labels]
    for empty in spare:
        empty.set_axis_off()
    if spare:
        spare[0].legend(handles, labels, loc="center left", title="which masks are scored", handlelength=3)
    else:
        made.legend(handles, labels, loc="outside lower center", ncols=len(labels), handlelength=3)


def _curves(ax: Axes, rows: Any, title: str, part: int) -> None:
    """Median of 1 − r by budget, for every choice; the budget that the last panel shows is marked."""
    ax.axvline(1 / part, color=GRID, linewidth=14, zorder=0)
    for name, (color, marker, dash) in CHOICE_LOOKS.items():
        some = rows[rows["choice"] == name]
        if some.empty:
            continue
        by_part = some.assign(missed=(1 - some["r"]).clip(lower=_LEAST)).groupby("part")["missed"]
        share, found = 1 / np.array(sorted(by_part.groups)), by_part.quantile([0.05, 0.5, 0.95]).unstack()
        if name == "budget":
            ax.fill_between(share, found[0.05], found[0.95], color=color, alpha=0.15, linewidth=0)
        look = {"markersize": 5, "linewidth": 2.2} if name == "budget" else {"markersize": 3.5, "linewidth": 1.1}
        ax.plot(share, found[0.5], dash, color=color, marker=marker, label=name, **look)
    parts = sorted(rows["part"].unique(), reverse=True)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks([1 / part for part in parts], [f"K/{part}" for part in parts])
    ax.minorticks_off()
    ax.axhline(1e-3, color="0.6", linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
    ax.set(xlabel="scored masks", ylabel="error of the map, 1 \N{MINUS SIGN} r", title=title)


def _expectations(
    ax: Axes, rows: Any, places: list[tuple[str, str]], titles: Mapping[tuple[str, str], str], part: int
) -> None:
    """True against expected 1 − r of every picture, one color a network and layer."""
    some = rows[rows["choice"] == "budget"].dropna(subset=["expected"])
    for place, color, marker in zip(places, COLORS * 2, "osD^vP*" * 2, strict=False):
        here = some[(some["network"] == place[0]) & (some["layer"] == place[1])]
        expected, true = ((1 - here[name]).clip(lower=_LEAST) for name in ("expected", "r"))
        ax.plot(expected, true, marker, color=color, markersize=2.6, alpha=0.6, linewidth=0, label=titles[place])
    ends = (1 - some[["expected", "r"]]).clip(lower=_LEAST)
    low, high = float(ends.min().min()) / 1.5, float(ends.max().max()) * 1.5
    ax.plot([low, high], [low, high], color="0.4", linewidth=0.8, zorder=0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set(xlim=(low, high), ylim=(low, high), title=f"at K/{part} the error is known beforehand")
    ax.set(xlabel="expected 1 \N{MINUS SIGN} r", ylabel="true 1 \N{MINUS SIGN} r")
    ax.legend(fontsize=SMALL, loc="lower right", borderaxespad=0.2, handletextpad=0.1, labelspacing=0.2, markerscale=2)
