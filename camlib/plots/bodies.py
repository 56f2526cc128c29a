"""The body of a stage of each kind, drawn into its place."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle

from camlib.plots.arrays import rgb
from camlib.plots.look import clip, ink, scale, text_width
from camlib.plots.stages import LABEL_SIZE, NOTE_GAP, SHAPE_SIZE, Place, Stage

Extent = tuple[float, float, float, float]
"""(left, right, bottom, top) in inches."""

_INK = "#222222"
_SIGN_COLORS = ("#B2182B", "#2166AC")
"""Positive and negative, the ends of the diverging color map."""


def draw_stage(ax: Axes, stage: Stage, place: Place) -> None:
    """Body and texts of one stage."""
    extent = (place.left, place.right, place.y - place.height / 2, place.y + place.height / 2)
    _BODIES[stage.kind](ax, stage, extent)
    look = {"ha": "center", "linespacing": 1.15}
    label = {"va": "bottom", "fontsize": LABEL_SIZE, "color": _INK, **look}
    shape = {"va": "top", "fontsize": SHAPE_SIZE, "color": "0.35", **look}
    ax.text(place.x, extent[3] + NOTE_GAP, place.above, **label)
    ax.text(place.x, extent[2] - NOTE_GAP, place.below, **shape)


def _draw_picture(ax: Axes, stage: Stage, extent: Extent) -> None:
    ax.imshow(rgb(stage.content), extent=extent, interpolation="antialiased", zorder=2)
    _frame(ax, extent)


def _draw_map(ax: Axes, stage: Stage, extent: Extent) -> None:
    _card(ax, stage.content, extent, stage.limits)


def _draw_stack(ax: Axes, stage: Stage, extent: Extent) -> None:
    """Four real channels as cards from the front (lower left) to the back, dots before the last."""
    left, right, bottom, top = extent
    stack = stage.content
    strongest = np.sort(np.argsort(-np.abs(stack).sum(axis=(1, 2)), kind="stable")[:4])
    steps = np.array([0.0, 1.0, 2.0, 3.6])[: len(strongest)] / 3.6
    side, reach = 0.62, 0.38
    for channel, step in reversed(list(zip(strongest, steps, strict=True))):
        x, y = left + (right - left) * reach * step, bottom + (top - bottom) * reach * step
        card = (x, x + (right - left) * side, y, y + (top - bottom) * side)
        _card(ax, stack[channel], card, stage.limits, edge="0.6" if stack.min() < 0 else "white")
    if len(stack) > len(strongest):
        for part in (2.4, 2.8, 3.2):
            step = reach * part / 3.6
            x, y = left + (right - left) * (step + side), bottom + (top - bottom) * step
            ax.add_patch(Circle((x - 0.03, y + 0.05), 0.018, color="0.35", zorder=4, lw=0))


def _draw_vector(ax: Axes, stage: Stage, extent: Extent) -> None:
    """The values as thin bars from a common zero; of long vectors 24 evenly spaced ones."""
    left, right, bottom, top = extent
    values = stage.content[np.linspace(0, len(stage.content) - 1, min(24, len(stage.content))).round().astype(int)]
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    scale = (right - left - 0.08) / ((high - low) or 1)
    zero, step = left + 0.04 - low * scale, (top - bottom) / len(values)
    ax.add_patch(Rectangle((left, bottom), right - left, top - bottom, fc="#F5F5F5", ec="0.6", lw=0.7, zorder=1))
    for index, value in enumerate(values):
        color = _SIGN_COLORS[int(value < 0)]
        corner = (zero, top - (index + 0.88) * step)
        ax.add_patch(Rectangle(corner, value * scale, step * 0.76, fc=color, lw=0, zorder=2))
    ax.plot([zero, zero], [bottom, top], color="0.4", lw=0.6, zorder=3)


def _draw_matrix(ax: Axes, stage: Stage, extent: Extent) -> None:
    """Numbers in colored cells."""
    left, right, bottom, top = extent
    rows, columns = stage.content.shape
    norm, colors = scale(stage.content, stage.limits, None)
    ax.imshow(stage.content, extent=extent, cmap=colors, norm=norm, interpolation="nearest", zorder=2, alpha=0.85)
    for (r, c), value in np.ndenumerate(stage.content):
        x, y = left + (c + 0.5) * (right - left) / columns, top - (r + 0.5) * (top - bottom) / rows
        color = ink(value, norm, colors)
        ax.text(x, y, stage.fmt.format(value), ha="center", va="center", fontsize=8, color=color, zorder=3)
    for c in range(1, columns):
        ax.plot([left + c * (right - left) / columns] * 2, [bottom, top], color="white", lw=0.8, zorder=3)
    for r in range(1, rows):
        ax.plot([left, right], [bottom + r * (top - bottom) / rows] * 2, color="white", lw=0.8, zorder=3)
    _frame(ax, extent)


def _draw_scores(ax: Axes, stage: Stage, extent: Extent) -> None:
    """Class names over bars as long as their values; the largest value fills the width."""
    left, right, bottom, top = extent
    step = (top - bottom) / len(stage.content)
    largest = max((abs(value) for _, value in stage.content), default=0) or 1
    for index, (name, value) in enumerate(stage.content):
        y = top - (index + 1) * step
        length = (right - left) * abs(value) / largest
        color = _SIGN_COLORS[int(value < 0)]
        ax.add_patch(Rectangle((left, y + 0.08 * step), right - left, 0.84 * step, fc="#F2F2F2", lw=0, zorder=1))
        ax.add_patch(Rectangle((left, y + 0.08 * step), length, 0.84 * step, fc=color, alpha=0.35, lw=0, zorder=2))
        number = stage.fmt.format(value)
        room = right - left - text_width(number, 7.5) - 0.14
        ax.text(left + 0.05, y + step / 2, clip(name, room, 7.5), ha="left", va="center", fontsize=7.5, zorder=3)
        ax.text(right - 0.04, y + step / 2, number, ha="right", va="center", fontsize=7.5, zorder=3)


def _draw_box(ax: Axes, stage: Stage, extent: Extent) -> None:
    left, right, bottom, top = extent
    look = {"boxstyle": "round,pad=0,rounding_size=0.08", "fc": "#E8EEF4", "ec": "#5B7083", "lw": 1.1}
    ax.add_patch(FancyBboxPatch((left, bottom), right - left, top - bottom, zorder=2, **look))
    text = {"ha": "center", "va": "center", "fontsize": LABEL_SIZE, "color": _INK, "linespacing": 1.15}
    ax.text((left + right) / 2, (bottom + top) / 2, stage.label, zorder=3, **text)


def _draw_op(ax: Axes, stage: Stage, extent: Extent) -> None:
    center = ((extent[0] + extent[1]) / 2, (extent[2] + extent[3]) / 2)
    ax.add_patch(Circle(center, 0.15, fc="white", ec=_INK, lw=1.1, zorder=2))
    ax.text(*center, stage.label, ha="center", va="center_baseline", fontsize=11, color=_INK, zorder=3)


def _draw_glyph(ax: Axes, stage: Stage, extent: Extent) -> None:
    center = ((extent[0] + extent[1]) / 2, (extent[2] + extent[3]) / 2)
    ax.text(*center, stage.label, ha="center", va="center_baseline", fontsize=15, color=_INK, zorder=3)


def _card(ax: Axes, values: np.ndarray, extent: Extent, limits: tuple[float, float] | None, edge: str = "0.4") -> None:
    """One map within ``extent``, in heatmap colors or, if signed, diverging ones."""
    norm, colors = scale(values, limits, None)
    ax.imshow(values, extent=extent, cmap=colors, norm=norm, interpolation="nearest", zorder=2)
    _frame(ax, extent, edge)


def _frame(ax: Axes, extent: Extent, color: str = "0.4") -> None:
    """Thin border."""
    left, right, bottom, top = extent
    ax.add_patch(Rectangle((left, bottom), right - left, top - bottom, fill=False, ec=color, lw=0.8, zorder=2))


_BODIES = {
    "image": _draw_picture,
    "map": _draw_map,
    "stack": _draw_stack,
    "vector": _draw_vector,
    "matrix": _draw_matrix,
    "scores": _draw_scores,
    "box": _draw_box,
    "op": _draw_op,
    "glyph": _draw_glyph,
}
