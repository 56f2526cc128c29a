"""How much a map made from a part of its scores differs from the exact one, and whether it knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from camlib.plots.look import COLORS, QUIET, SMALL, figure
from camlib.plots.trends import name_lines

_MARKS = "osD^vP*"
_LEAST = 1e-7  # 1 − r below it is the rounding of float32 rows
_COLUMNS = ("network", "layer", "choice", "part", "r", "expected")
_MARKED = "#F3F1EC"

Place = tuple[str, str]
"""A network and a layer."""


def budget_figure(
    rows: Any, part: int = 8, titles: Mapping[Place, str] | None = None, rivals: Mapping[str, str] | None = None
) -> Figure:
    """The correlation r with the exact map by budget, one line a network and layer; beside it, what was expected of it.

    A line is the median over pictures of the choice "budget". The right panel shows every picture at the budget
    K/``part``: on the diagonal the expectation is right. What is drawn is 1 − r, downward and logarithmic; ticks say r.

    Args:
        rows: a table with one row a picture, network, layer, choice and part: columns network, layer, choice, part
            (the budget is K/part), r and expected.
        part: the marked budget, and that of the right panel.
        titles: names of the lines by (network, layer), in their order; "network, layer" where there is none.
        rivals: other choices of masks and the names of their lines, gray, on the first network and layer.

    Raises:
        ValueError: a column or every row of "budget" is missing.
    """
    if missing := [name for name in _COLUMNS if name not in rows.columns]:
        raise ValueError(f"rows has no column {missing}; its columns are {list(rows.columns)}")
    every, rows = rows, rows[rows["choice"] == "budget"]
    places = list(rows.groupby(["network", "layer"], sort=False).groups)
    places.sort(key=lambda place: list(titles or ()).index(place) if place in (titles or ()) else len(titles or ()))
    if not places:
        raise ValueError("rows holds no row of the choice 'budget'")
    named = {place: ", ".join(place) for place in places} | dict(titles or {})
    made = figure(4.7)
    left, right = made.subplots(1, 2, width_ratios=(1.0, 1.0))
    for number, place in enumerate(places):
        here = rows[(rows["network"] == place[0]) & (rows["layer"] == place[1])]
        look = {"color": COLORS[number % len(COLORS)], "marker": _MARKS[number % len(_MARKS)], "label": named[place]}
        _line(left, here, look)
        _pictures(right, here[here["part"] == part], look)
    first = every[(every["network"] == places[0][0]) & (every["layer"] == places[0][1])]
    for (choice, name), dashes in zip((rivals or {}).items(), ("--", ":", "-."), strict=False):
        look = {"color": "0.5", "linestyle": dashes, "linewidth": 1.4, "label": name}
        _line(left, first[first["choice"] == choice], look)
    _budgets(left, sorted(rows["part"].unique(), reverse=True), part)
    _diagonal(right, rows[rows["part"] == part], part)
    made.canvas.draw()  # names stand where the layout has put the panels
    name_lines(left)
    return made


def _line(ax: Axes, rows: Any, look: Mapping[str, Any]) -> None:
    """Median of 1 − r by budget."""
    missed = rows.assign(missed=(1 - rows["r"]).clip(lower=_LEAST)).groupby("part")["missed"].median()
    missed = missed.sort_index(ascending=False)
    usual = {"markersize": 6, "linewidth": 2, "mec": "white", "mew": 0.5}
    ax.plot(1 / missed.index.to_numpy(), missed.to_numpy(), **usual | look)


def _budgets(ax: Axes, parts: list[int], part: int) -> None:
    """The axes of the lines, and the marked budget."""
    ax.axvspan(2**-0.16 / part, 2**0.16 / part, color=_MARKED, linewidth=0, zorder=0)
    ax.set(xscale="log", yscale="log")
    ax.set_xscale("log", base=2)
    ax.set_xticks([1 / part for part in parts], [f"K/{part}" for part in parts])
    ax.minorticks_off()
    low, high = ax.get_ylim()
    _say_r(ax.yaxis, low, high)
    ax.set(ylim=(high, low), xlabel="masks scored, of K", title="more masks, a better map")
    ax.set_ylabel("correlation with the exact map")
    place = {"fontsize": SMALL, "fontweight": "bold", "color": "0.3", "ha": "center", "va": "bottom"}
    ax.annotate(f"1 in {part}", (1 / part, 0), (0, 4), ax.get_xaxis_transform(), textcoords="offset points", **place)


def _pictures(ax: Axes, rows: Any, look: Mapping[str, Any]) -> None:
    """True against expected 1 − r, a mark a picture."""
    known = rows.dropna(subset=["expected"])
    expected, true = ((1 - known[name]).clip(lower=_LEAST) for name in ("expected", "r"))
    ax.plot(expected, true, linestyle="", markersize=4, alpha=0.6, mew=0, **look)


def _diagonal(ax: Axes, rows: Any, part: int) -> None:
    """The line on which the expectation is right, and which side of it is worse."""
    ends = (1 - rows.dropna(subset=["expected"])[["expected", "r"]]).clip(lower=_LEAST)
    low, high = float(ends.min().min()) / 1.5, float(ends.max().max()) * 1.5
    ax.plot([low, high], [low, high], color="0.3", linewidth=1.1, zorder=0)
    ax.set(xscale="log", yscale="log", xlim=(high, low), ylim=(high, low))
    for axis in (ax.xaxis, ax.yaxis):
        _say_r(axis, low, high)
    ax.minorticks_off()
    ax.set(title=f"at K/{part} each map knows its correlation, nearly")
    ax.set(xlabel="expected correlation, known with the map", ylabel="true correlation")
    place = {"transform": ax.transAxes, "fontsize": SMALL, "color": QUIET}
    ax.text(0.03, 0.97, "better than expected", va="top", **place)
    ax.text(0.97, 0.03, "worse than expected", ha="right", va="bottom", **place)


def _say_r(axis: Axis, low: float, high: float) -> None:
    """Ticks at the powers of ten of 1 − r, written as r."""
    powers = range(int(np.floor(-np.log10(high))), int(np.ceil(-np.log10(low))) + 1)
    kept = [power for power in powers if low <= 10.0**-power <= high]
    axis.set_ticks([10.0**-power for power in kept], [f"{1 - 10.0**-power:.{power}f}" for power in kept])
