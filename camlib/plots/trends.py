"""Means with intervals: one line or one dot a method, in the method's own color and marker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

from camlib.plots.charts import style_of
from camlib.plots.look import COLORS, SMALL, signs
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
    ax.grid(False, axis="y")


def name_lines(ax: Axes, names: Mapping[str, str] | None = None) -> None:
    """The label of each line at the right of the panel, at the height of its end and in its color, instead of a legend.

    Labels that would touch move apart, in the order of the lines' ends. ``names`` replaces labels. The panel needs room
    at its right: ``right`` of :func:`camlib.plots.rooms_below`, or a layout that makes room.
    """
    handles, labels = ax.get_legend_handles_labels()
    labels = [(names or {}).get(label, label) for label in labels]
    lines = [handle if isinstance(handle, Line2D) else handle.lines[0] for handle in handles]
    ends = [ax.transAxes.inverted().transform(ax.transData.transform(line.get_xydata()[-1]))[1] for line in lines]
    tall = max((label.count("\n") + 1 for label in labels), default=1)
    gap = 1.3 * SMALL * tall / 72 / (ax.get_position().height * ax.figure.get_size_inches()[1])
    for number, level in zip(np.argsort(ends), moved_apart(np.sort(ends), gap), strict=True):
        text, color = labels[number], 0.8 * np.array(to_rgb(lines[number].get_color()))
        place = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "center", "fontsize": SMALL}
        ax.annotate(text, (1.0, level), (7, 0), color=color, annotation_clip=False, **place)


def moved_apart(levels: np.ndarray, gap: float) -> np.ndarray:
    """Ascending levels moved until neighbors are ``gap`` apart: groups spread around their mean."""
    groups: list[list[float]] = []
    for level in levels:
        groups.append([float(level)])
        while len(groups) > 1 and _spread(groups[-2], gap)[-1] + gap > _spread(groups[-1], gap)[0]:
            groups[-2:] = [groups[-2] + groups[-1]]
    return np.concatenate([_spread(group, gap) for group in groups]) if groups else np.zeros(0)


def _spread(group: Sequence[float], gap: float) -> np.ndarray:
    return np.mean(group) + gap * (np.arange(len(group)) - (len(group) - 1) / 2)


def _first(rows: Mapping[str, Mapping[str, Any]], name: str) -> int:
    return next(place for place, row in enumerate(rows.values()) if name in row)
