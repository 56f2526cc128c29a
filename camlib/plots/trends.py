"""Means with intervals: one line or one dot a method, in the method's own color and marker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from camlib.plots.charts import style_of
from camlib.plots.look import COLORS, signs
from camlib.plots.methods import Style, method_title


def interval_lines(
    ax: Axes,
    series: Mapping[str, Mapping[float, Sequence[float]]],
    spread: float = 0.0,
    styles: Mapping[str, str] | None = None,
    **look: Any,
) -> None:
    """One line a series through (value, low, high) at each x, with its intervals as bars.

    Args:
        ax: the panel.
        series: name of a series (of a method: its own color and marker) -> x -> (value, low, high).
        spread: distance in x between neighboring series, so that bars do not cover each other.
        styles: dashes by series; solid otherwise.
        look: what else matplotlib's errorbar takes.
    """
    for number, (name, points) in enumerate(series.items()):
        style = style_of(name, Style(COLORS[number % len(COLORS)], "o"))
        at = np.array(list(points)) + spread * (number - (len(series) - 1) / 2)
        values = np.array([tuple(point) for point in points.values()], dtype=float)
        error = np.abs(values[:, 1:] - values[:, :1]).T
        dash = (styles or {}).get(name, "-")
        drawn = {"lw": 1.3, "ms": 5.5, "elinewidth": 1, "capsize": 1.5, "mec": "white", "mew": 0.5} | look
        drawn |= {"color": style.color, "marker": style.marker, "ls": dash, "label": method_title(name)}
        ax.errorbar(at, values[:, 0], yerr=error, **drawn)


def interval_dots(
    ax: Axes,
    rows: Mapping[str, Mapping[str, Sequence[float]]],
    xlabel: str,
    labeled: Callable[[str], str] = method_title,
) -> None:
    """Dots with intervals in rows: name of a row -> name of a series -> (value, low, high); the first row is on top.

    A series that is a method has its own color and marker; series of one row lie a little apart.
    """
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    for number, name in enumerate(names):
        style = style_of(name, Style(COLORS[number % len(COLORS)], "osD^v"[number % 5]))
        for place, row in enumerate(rows.values()):
            if name in row:
                value, low, high = row[name]
                y = place + 0.62 / max(1, len(names)) * (number - (len(names) - 1) / 2)
                label = labeled(name) if place == _first(rows, name) else None
                ax.plot([low, high], [y, y], color=style.color, lw=1.3)
                ax.plot(value, y, style.marker, color=style.color, ms=6.5, mec="white", mew=0.5, label=label)
    ax.set_yticks(range(len(rows)), [signs(labeled(name)) for name in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlabel(xlabel)
    ax.grid(axis="x", color="0.92", lw=0.7)
    ax.set_axisbelow(True)


def _first(rows: Mapping[str, Mapping[str, Any]], name: str) -> int:
    return next(place for place, row in enumerate(rows.values()) if name in row)
