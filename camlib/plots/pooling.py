"""Drawings of what pooling does to class activation weights: grids of pixel gradients, and the factor α."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from camlib.plots.arrays import array
from camlib.plots.charts import value_grid
from camlib.plots.colors import DIVERGING
from camlib.plots.look import COLORS, MARGIN, PLAIN, SMALL, WIDTH, fixed_layout, signs
from camlib.plots.look import headline as put_headline

_WORDS = (
    "Green: both sides are one number, whatever the pooling. m: the pooled map, rounded; w: the weights of its "
    "positions; g: the gradient at each pixel, written times the number of pixels."
)
_LEFT, _TOP, _CELL, _ROW = 1.3, 1.42, 0.27, 1.58
_AGREE, _DIFFER = "#DDF0E3", "#FBE0DA"


def pooling_grids(
    maps: Any, cases: Mapping[str, Mapping[str, Any]], headline: str, blocks: Mapping[str, Any] | None = None
) -> Figure:
    """The same maps pooled in several ways: pooled values, weights and pixel gradients of every channel, as numbers.

    Args:
        maps: [K, h, w], the feature maps.
        cases: title -> {"pooled": [K, ph, pw], "weights": [K, ph, pw], "gradients": [K, h, w], "score": number}.
        headline: the finding, above the figure.
        blocks: title -> thick borders in the gradients, as in :func:`camlib.plots.value_grid`.

    Gradients are written times h·w, so that their mean is the sum of the weights: both stand below, and a row where
    they differ says so in red. Raises ValueError for maps that are not [K, h, w].
    """
    maps = array(maps)
    if maps.ndim != 3:
        raise ValueError(f"maps have shape {maps.shape}; expected [K, h, w]")
    channels, area = len(maps), maps[0].size
    height = _TOP + _ROW * (1 + len(cases))
    made = plt.figure(figsize=(WIDTH, height), layout=fixed_layout())
    page = made.add_axes((0, 0, 1, 1))
    page.set(xlim=(0, WIDTH), ylim=(height, 0))
    page.set_axis_off()
    put_headline(made, headline, _WORDS)
    wide = (WIDTH - _LEFT - 0.1) / channels
    for k in range(channels):
        left = _LEFT + k * wide
        tint = "#F5F5F1" if k % 2 == 0 else "white"
        page.add_patch(Rectangle((left - 0.02, _TOP - 0.56), wide, height - _TOP + 0.5, fc=tint, lw=0, zorder=0))
        middle = {"x": left + wide - 2.35 * _CELL, "ha": "center"}
        page.text(s=f"channel {k}", y=_TOP - 0.37, fontsize=PLAIN, fontweight="bold", **middle)
        ax = _grid(made, height, maps[k], left + wide - 4.35 * _CELL, _TOP, _CELL, (0, float(maps.max())), "{:.0f}")
        ax.set_title(f"$M_{k}$", fontsize=PLAIN, pad=3)
        x = left + wide - 2.35 * _CELL
        page.add_patch(_arrow((x, _TOP + 4 * _CELL + 0.03), (left + 0.42, _TOP + _ROW + 0.16)))
    page.text(MARGIN, _TOP + 2 * _CELL, "feature maps", va="center", fontsize=PLAIN, fontweight="bold")
    for row, (title, case) in enumerate(cases.items(), start=1):
        top = _TOP + row * _ROW
        score = signs(f"score y¹ = {float(case['score']):.5g}")
        page.text(MARGIN, top + 2 * _CELL, title, va="bottom", fontsize=PLAIN, fontweight="bold")
        page.text(MARGIN, top + 2 * _CELL + 0.08, score, va="top", fontsize=SMALL)
        _case(made, page, height, case, (top, wide, area), (blocks or {}).get(title))
    return made


def _case(
    made: Figure, page: Axes, height: float, case: Mapping[str, Any], place: tuple[float, float, int], blocks: Any
) -> None:
    """One row: for every channel m, w and the gradients times h·w, and whether their mean is the sum of w."""
    top, wide, area = place
    pooled, weights = array(case["pooled"]), array(case["weights"])
    gradients = area * array(case["gradients"])
    reach = float(np.abs(gradients).max())
    for k in range(len(weights)):
        left, rows = _LEFT + k * wide, weights.shape[1]
        middle, m_x, w_x, g_x = top + 2 * _CELL, left + 0.42, left + 1.2, left + wide - 4.35 * _CELL
        size = 0.27 if rows > 2 else 0.32
        ax = _grid(made, height, pooled[k], m_x - rows * size / 2, middle - rows * size / 2, size, (0, 18), "{:.2g}")
        ax.set_title("m", fontsize=SMALL, pad=2, style="italic", fontweight="normal")
        size = 0.2 if rows > 2 else 0.24
        ax = _grid(made, height, weights[k], w_x - rows * size / 2, middle - rows * size / 2, size, (-4, 4), "{:.0f}")
        ax.set_title("w", fontsize=SMALL, pad=2, style="italic", fontweight="normal")
        ax = _grid(made, height, gradients[k], g_x, top, _CELL, (-reach, reach), "{:.0f}", blocks)
        ax.set_title(f"{area} · g", fontsize=SMALL, pad=3, style="italic", fontweight="normal")
        total, mean = float(weights[k].sum()), float(gradients[k].mean())
        agree = abs(total - mean) < 1e-9 * max(1.0, abs(total))
        below = top + 4 * _CELL + 0.16
        place = {"y": below, "va": "center", "fontsize": PLAIN, "fontweight": "bold"}
        pill = {"boxstyle": "round,pad=0,rounding_size=0.1", "fc": _AGREE if agree else _DIFFER, "lw": 0}
        page.add_patch(FancyBboxPatch((w_x - 0.44, below - 0.12), g_x + 4 * _CELL - w_x + 0.48, 0.24, **pill))
        page.text(w_x - 0.02, s=signs(f"Σw = {total:g}"), ha="center", **place)
        page.text((w_x + 0.42 + g_x) / 2, s="=" if agree else "≠", ha="center", **place)
        text = signs(f"{area}·mean g = {mean:g}")
        page.text(g_x + 4 * _CELL, s=text, ha="right", color="0" if agree else "red", **place)


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
    return FancyArrowPatch(
        start, end, arrowstyle="-|>", mutation_scale=10, color="0.45", linewidth=1, connectionstyle="arc3,rad=-0.15"
    )


def factor_chart(
    panels: Mapping[str, Sequence[Mapping[str, Any]]],
    curve: Mapping[str, Any],
    headline: str,
    mark: tuple[float, float, str] | None = None,
    note: str = "",
    columns: int = 3,
) -> Figure:
    """Classifier weights against 100 × mean gradients, as scatters with lines of slope α, and α against a count.

    Args:
        panels: title -> series, each {"label", "weights", "gradients"} with "alpha" (draws its line) or "counts" (one
            number a channel, drawn as the color). Gradients are means; the axis shows 100 times them.
        curve: {"title", "area": hw, "counts": [...], "alphas": [...]}: the curve (hw)²/(100 n) and what was measured.
        headline: the finding, above the figure.
        mark: (count, α, text) of one published point.
        note: what a reader must know, in gray under the headline.
        columns: panels beside each other.
    """
    rows = -(-(len(panels) + 1) // columns)
    made, axes = plt.subplots(rows, columns, figsize=(WIDTH, 2.9 * rows + 0.6), layout="constrained")
    put_headline(made, headline, note)
    for ax, (title, series) in zip(axes.flat, panels.items(), strict=False):
        _scatter(ax, title, series)
    _count_curve(axes.flat[len(panels)], curve, mark)
    for ax in axes.flat[len(panels) + 1 :]:
        ax.set_axis_off()
    return made


def _scatter(ax: Axes, title: str, series: Sequence[Mapping[str, Any]]) -> None:
    """Points (100·mean g, w) of one panel; a line of slope α, or a color for the count of each channel."""
    for one, color, marker in zip(series, COLORS, "o^sDvP*", strict=False):
        x, y = 100 * array(one["gradients"]), array(one["weights"])
        if "counts" in one:
            drawn = ax.scatter(x, y, c=array(one["counts"]), cmap="cividis", s=24, zorder=3)
            ax.figure.colorbar(drawn, ax=ax, label="active positions $n_k$", pad=0.02)
            continue
        reach = np.array([min(x.min(), 0), max(x.max(), 0)]) * 1.05
        ax.plot(reach, one["alpha"] * reach, color=color, linewidth=1)
        label = f"{one['label']}: α = {one['alpha']:.2f}"
        ax.plot(x, y, marker, color=color, markersize=5, markerfacecolor="none", label=label, zorder=3)
    ax.axhline(0, color="0.85", linewidth=0.7, zorder=0)
    ax.axvline(0, color="0.85", linewidth=0.7, zorder=0)
    ax.set(xlabel="100 × mean gradient", ylabel="classifier weight w")
    ax.set_title(title, fontsize=PLAIN)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=SMALL, loc="lower right", handletextpad=0.1, labelspacing=0.25, borderaxespad=0.1)


def _count_curve(ax: Axes, curve: Mapping[str, Any], mark: tuple[float, float, str] | None) -> None:
    """α falls as one over the number of positions that pass a gradient."""
    top = curve["area"]
    counts = np.arange(top // 2, top + 1)
    ax.plot(counts, top**2 / 100 / counts, color=COLORS[0], linewidth=1.2, label=f"{top**2 / 100:g} / n")
    ax.plot(curve["counts"], curve["alphas"], "o", color=COLORS[0], markerfacecolor="white", label="measured", zorder=3)
    if mark:
        ax.plot(*mark[:2], "*", color="#D00000", markersize=16, zorder=4)
        look = {"color": "#D00000", "fontsize": PLAIN, "fontweight": "bold", "ha": "right", "va": "top"}
        ax.annotate(mark[2], mark[:2], (-12, -2), textcoords="offset points", **look)
    ax.set(xlabel="active positions n", ylim=(1.3, 3.6), ylabel="factor α", title=curve["title"])
    ax.legend(fontsize=SMALL, loc="upper right", labelspacing=0.3)
