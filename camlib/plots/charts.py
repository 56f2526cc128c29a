"""Curves, small matrices with their numbers, bars with intervals."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from camlib.plots.arrays import array
from camlib.plots.look import COLORS, SMALL, figure, ink, scale, signs
from camlib.plots.methods import UNKNOWN, Style, method_style, method_title


def weights_curves(
    series: Mapping[str, Any],
    channels: Sequence[int] | None = None,
    xlabel: str = "channel",
    ylabel: str = "class activation weight",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Weights of the same channels as curves, one a series, told apart by color, marker and dash.

    ``series`` maps a label to [n] values; the name of a method gets its own color and marker. ``channels`` are the n
    channel numbers, written at a few of the ticks because they need not be consecutive. ``ax`` draws into a panel of
    your own figure. Raises ValueError for series of different length.
    """
    lengths = {label: len(array(values)) for label, values in series.items()}
    if channels is not None:
        lengths["channels"] = len(channels)
    if not series or len(set(lengths.values())) != 1:
        raise ValueError(f"series and channels must have one length; given {lengths}")
    ax = ax if ax is not None else figure(2.8).subplots()
    positions = np.arange(next(iter(lengths.values())))
    looks = zip(COLORS, "osD^vP*", ("-", "--", ":", "-.", "-", "--", ":"), strict=True)
    for (label, values), (color, marker, dash) in zip(series.items(), itertools.cycle(looks), strict=False):
        color, marker = style_of(label, Style(color, marker))
        fill = "none" if marker == "o" else color
        size = 4.5 if fill == "none" else 2.6
        look = {"color": color, "marker": marker, "markersize": size, "markerfacecolor": fill}
        ax.plot(positions, array(values), dash, linewidth=1.1, label=method_title(label), **look)
    ax.axhline(0, color="0.75", linewidth=0.7, zorder=0)
    if channels is not None:
        ticks = positions[:: max(1, len(positions) // 10)]
        ax.set_xticks(ticks, [str(channels[tick]) for tick in ticks])
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.margins(x=0.01)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(series), borderaxespad=0.1, handlelength=3)
    if title:
        ax.set_title(title, loc="right")
    return ax.figure


def value_grid(
    matrix: Any,
    ax: Axes | None = None,
    fmt: str = "{:.3g}",
    cmap: str | None = None,
    blocks: tuple[int, int] | Sequence[tuple[int, int, int, int]] | None = None,
    title: str | None = None,
    limits: tuple[float, float] | None = None,
    fontsize: float = SMALL,
) -> Figure:
    """Small matrix [h, w] with its numbers written in the cells.

    ``cmap`` defaults to the heatmap colors, or the diverging ones if a value is negative; ``limits`` fixes
    the color range, so that neighboring grids compare. ``blocks`` draws thick borders: (bh, bw) around
    every block of that size, or a list of half-open (row0, column0, row1, column1). Raises ValueError for
    an array that is not 2-D.
    """
    values = array(matrix)
    if values.ndim != 2:
        raise ValueError(f"matrix has shape {values.shape}; expected [h, w]")
    rows, columns = values.shape
    ax = ax if ax is not None else figure(0.75 * rows).subplots()
    norm, colors = scale(values, limits, cmap)
    ax.imshow(values, cmap=colors, norm=norm, alpha=0.85)
    for (r, c), value in np.ndenumerate(values):
        ax.text(
            c,
            r,
            signs(fmt.format(value)),
            ha="center",
            va="center",
            fontsize=fontsize,
            color=ink(value, norm, colors),
        )
    ax.set_xticks(np.arange(columns + 1) - 0.5, [])
    ax.set_yticks(np.arange(rows + 1) - 0.5, [])
    ax.grid(True, color="white", linewidth=1)
    ax.tick_params(length=0)
    for r0, c0, r1, c1 in _block_corners(blocks, rows, columns):
        ax.add_patch(Rectangle((c0 - 0.5, r0 - 0.5), c1 - c0, r1 - r0, fill=False, lw=2.2, ec="black", clip_on=False))
    ax.spines[:].set_visible(False)
    if title:
        ax.set_title(title)
    return ax.figure


def bars_with_intervals(
    frame: Any,
    category: str = "method",
    group: str = "network",
    value: str = "mean",
    low: str = "low",
    high: str = "high",
    chance: float | None = None,
    xlabel: str = "mean share inside the right cell, 95 % interval",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Horizontal bars with intervals, one a category (method), colored by group (network; a method has a marker, too).

    ``frame`` is a pandas table with one row per category and group and the columns named by the arguments;
    both keep their order of first appearance. A single group takes the color of each category that is a method.
    ``chance`` draws a dashed line. Raises ValueError where a column is missing or a category appears twice in a group.
    """
    missing = [name for name in (category, group, value, low, high) if name not in frame.columns]
    if missing:
        raise ValueError(f"frame has no column {missing}; its columns are {list(frame.columns)}")
    if frame.duplicated([category, group]).any():
        raise ValueError(f"frame has several rows for one {category} and {group}; aggregate them first")
    categories, groups = list(frame[category].unique()), list(frame[group].unique())
    ax = ax if ax is not None else figure(0.6 + len(categories) * (0.16 + 0.17 * len(groups))).subplots()
    height = 0.8 / len(groups)
    for index, (name, color) in enumerate(zip(groups, itertools.cycle(COLORS), strict=False)):
        part = frame[frame[group] == name]
        places = np.array([categories.index(entry) for entry in part[category]])
        places = places + (index - (len(groups) - 1) / 2) * height
        errors = np.array([part[value] - part[low], part[high] - part[value]]).clip(min=0)
        look, label = style_of(name, Style(color, "")), method_title(str(name))
        fills = look.color
        if len(groups) == 1:
            fills = [style_of(entry, Style(color, "")).color for entry in part[category]]
        ax.barh(places, part[value], height * 0.9, color=fills, alpha=0.75, label=None if look.marker else label)
        end = {"marker": look.marker, "mfc": look.color, "mec": "white", "ms": 7, "label": label} if look.marker else {}
        ax.errorbar(part[value], places, xerr=errors, ls="none", ecolor="0.15", elinewidth=1.1, capsize=2, **end)
    if chance is not None:
        ax.axvline(chance, color="0.3", linestyle="--", linewidth=1.1, label=f"chance ({chance:.3g})")
    ax.set_yticks(range(len(categories)), [method_title(str(entry)) for entry in categories])
    ax.set_ylim(len(categories) - 0.45, -0.55)
    ax.set(xlabel=xlabel, title=title)
    if len(groups) > 1 or chance is not None:
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax.figure


def style_of(name: Any, otherwise: Style) -> Style:
    """Color and marker of what may be a method: its own if it is one, else ``otherwise``."""
    own = method_style(str(name))
    return otherwise if own is UNKNOWN else own


def _block_corners(blocks: Any, rows: int, columns: int) -> list[tuple[int, int, int, int]]:
    """Half-open corners of blocks given as one size or one by one."""
    if not blocks:
        return []
    if not isinstance(blocks[0], int):
        return list(blocks)
    height, width = blocks
    starts = itertools.product(range(0, rows, height), range(0, columns, width))
    return [(r, c, min(r + height, rows), min(c + width, columns)) for r, c in starts]
