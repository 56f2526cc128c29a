"""Drawings of what pooling does to class activation weights: grids of pixel gradients, and the factor α."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from camlib.plots.arrays import array
from camlib.plots.charts import value_grid
from camlib.plots.colors import DIVERGING
from camlib.plots.look import COLORS, MARGIN, PLAIN, SMALL, WIDTH, fixed_layout, signs
from camlib.plots.look import headline as put_headline

_WORDS = "Green: the same number twice, whatever the pooling. Thick: what is pooled together."
_LEFT, _TOP, _CELL, _SMALLER = 2.3, 1.25, 0.36, 0.34
_LEVELS = (0.0, 1.72, 3.3)
_AGREE, _DIFFER = "#DDF0E3", "#FBE0DA"


def pooling_grids(
    maps: Any,
    cases: Mapping[str, Mapping[str, Any]],
    headline: str,
    blocks: Mapping[str, Any] | None = None,
    channel: int = 0,
) -> Figure:
    """One map pooled in several ways, a column each: its pooled values, their weights and the pixel gradients.

    Args:
        maps: [K, h, w], the feature maps.
        cases: title -> {"pooled": [K, ph, pw], "weights": [K, ph, pw], "gradients": [K, h, w]}.
        headline: the finding, above the figure.
        blocks: title -> thick borders in the gradients, as in :func:`camlib.plots.value_grid`.
        channel: the one that is drawn.

    Gradients are written times h·w, so that their mean is the sum of the weights: both stand below their grids, on
    green, and on red where they differ. Raises ValueError for maps that are not [K, h, w].
    """
    maps = array(maps)
    if maps.ndim != 3:
        raise ValueError(f"maps have shape {maps.shape}; expected [K, h, w]")
    shown = maps[channel]
    height = _TOP + _LEVELS[-1] + 4 * _CELL + 0.6
    made = plt.figure(figsize=(WIDTH, height), layout=fixed_layout())
    page = made.add_axes((0, 0, 1, 1))
    page.set(xlim=(0, WIDTH), ylim=(height, 0))
    page.set_axis_off()
    put_headline(made, headline, _WORDS)
    limits = (0.0, float(maps.max()))
    _grid(made, height, shown, MARGIN, _TOP + 0.16, _SMALLER, limits, "{:.0f}")
    page.text(MARGIN, _TOP - 0.1, f"feature map, {shown.size} pixels", fontsize=PLAIN, fontweight="bold")
    page.add_patch(_arrow((MARGIN + 4 * _SMALLER + 0.1, _TOP + 0.75), (_LEFT + 0.05, _TOP + 0.75)))
    for level, words in zip(_LEVELS[1:], ("weighed by the\nclassifier's\nweights w", None), strict=True):
        if words:
            page.text(MARGIN, _TOP + level + 0.55, words, va="center", fontsize=PLAIN, fontweight="bold")
    words = f"gradient g of\nthe score at\neach pixel,\ntimes {shown.size}"
    page.text(MARGIN, _TOP + _LEVELS[2] + 2 * _CELL, words, va="center", fontsize=PLAIN, fontweight="bold")
    wide = (WIDTH - _LEFT) / len(cases)
    for column, (title, case) in enumerate(cases.items()):
        middle = _LEFT + (column + 0.5) * wide
        page.text(middle, _TOP - 0.1, title, ha="center", fontsize=PLAIN, fontweight="bold")
        _case(made, page, case, (middle, height, channel), (blocks or {}).get(title), limits)
    return made


def _case(
    made: Figure,
    page: Axes,
    case: Mapping[str, Any],
    place: tuple[float, float, int],
    blocks: Any,
    limits: tuple[float, float],
) -> None:
    """One column: m, w and the gradients times h·w, and whether their mean is the sum of w."""
    middle, height, k = place
    pooled, weights, gradients = (array(case[name])[k] for name in ("pooled", "weights", "gradients"))
    area = gradients.size
    gradients = area * gradients
    reach = float(np.abs(gradients).max())
    total, mean = float(weights.sum()), float(gradients.mean())
    agree = abs(total - mean) < 1e-9 * max(1.0, abs(total))
    for values, level, size, span, fmt in (
        (pooled, _LEVELS[0] + 0.2, _SMALLER, limits, "{:.2g}"),
        (weights, _LEVELS[1], _SMALLER, (-4, 4), "{:.0f}"),
        (gradients, _LEVELS[2], _CELL, (-reach, reach), "{:.0f}"),
    ):
        rows, columns = values.shape
        top = _TOP + level + (0.5 * (3 - rows) * size if rows < 4 else 0.0)
        border = blocks if values is gradients else None
        _grid(made, height, values, middle - columns * size / 2, top, size, span, fmt, border)
    for level, text in (
        (_LEVELS[2] - 0.36, f"sum of w = {total:g}"),
        (_LEVELS[2] + 4 * _CELL + 0.2, f"mean = {mean:g}"),
    ):
        y = _TOP + level
        pill = {"boxstyle": "round,pad=0,rounding_size=0.1", "fc": _AGREE if agree else _DIFFER, "lw": 0}
        page.add_patch(FancyBboxPatch((middle - 0.65, y - 0.13), 1.3, 0.26, **pill))
        look = {"fontsize": PLAIN, "fontweight": "bold", "color": "0" if agree else "red"}
        page.text(middle, y, signs(text), ha="center", va="center", **look)


def _grid(
    made: Figure,
    height: float,
    values: np.ndarray,
    left: float,
    top: float,
    cell: float,
    limits: tuple[float, float],
    fmt: str,
    blocks: Any = None,
) -> Axes:
    """A small matrix with its numbers, at a place in inches from the upper left corner."""
    rows, columns = values.shape
    ax = made.add_axes((left / WIDTH, 1 - (top + rows * cell) / height, columns * cell / WIDTH, rows * cell / height))
    value_grid(values, ax, fmt, DIVERGING if limits[0] < 0 else None, blocks, limits=limits, fontsize=SMALL)
    return ax


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> FancyArrowPatch:
    return FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color="0.45", linewidth=1)


def factor_chart(
    panels: Mapping[str, Sequence[Mapping[str, Any]]], headline: str, note: str = "", columns: int = 2
) -> Figure:
    """Classifier weights against mean gradients, channel by channel, one panel a kind of head.

    Args:
        panels: title -> series with "label", "weights" [n], "gradients" [n], and "alpha" (draws its line) or "counts"
            (one number a channel, drawn as the color; the label is that of its bar). Gradients are means; the axis
            shows 100 times them. A series with "label" and "alpha" alone is a gray line, behind those before it.
        headline: the finding, above the figure.
        note: what a reader must know, in gray under the headline.
        columns: panels beside each other.
    """
    rows = -(-len(panels) // columns)
    made, axes = plt.subplots(rows, columns, figsize=(WIDTH, 4.0 * rows + 0.6), layout="constrained", squeeze=False)
    put_headline(made, headline, note)
    for ax, (title, series) in zip(axes.flat, panels.items(), strict=False):
        _scatter(ax, title, series)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    return made


def _scatter(ax: Axes, title: str, series: Sequence[Mapping[str, Any]]) -> None:
    """Points (100·mean g, w) of one panel; a line of slope α, or a color for the count of each channel."""
    for one, color, marker in zip(series, COLORS, "o^sDvP*", strict=False):
        if "weights" not in one:
            slope, label = one["alpha"], f"{one['label']}: α = {one['alpha']:.2f}"
            ax.axline((0, 0), slope=slope, color="0.5", linestyle="--", linewidth=1.4, label=label, zorder=1)
            continue
        x, y = 100 * array(one["gradients"]), array(one["weights"])
        if "counts" in one:
            drawn = ax.scatter(x, y, c=array(one["counts"]), cmap="cividis", s=42, linewidth=0, zorder=3)
            bar = ax.figure.colorbar(drawn, ax=ax, pad=0.02, aspect=28)
            bar.set_label(one["label"], fontsize=PLAIN)
            bar.outline.set_visible(False)
            continue
        reach = np.array([min(x.min(), 0), max(x.max(), 0)]) * 1.05
        ax.plot(reach, one["alpha"] * reach, color=color, linewidth=1.4)
        label = f"{one['label']}: α = {one['alpha']:.2f}"
        ax.plot(x, y, marker, color=color, markersize=6, markerfacecolor="white", label=label, zorder=3)
    ax.axhline(0, color="0.75", linewidth=0.8, zorder=0)
    ax.axvline(0, color="0.75", linewidth=0.8, zorder=0)
    ax.set(xlabel="100 × mean gradient", ylabel="classifier's weight w" if ax.get_subplotspec().is_first_col() else "")
    ax.set_title(title, fontsize=PLAIN)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=PLAIN, loc="upper left", handletextpad=0.1, labelspacing=0.4, borderaxespad=0.2)
