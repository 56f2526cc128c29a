"""The body of a stage of each kind, drawn into its place."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle

from camlib.plots.arrays import rgb
from camlib.plots.look import LARGE, clip, ink, scale, signs, text_width
from camlib.plots.overlays import CONTOUR, Overlay, colored, contour_map
from camlib.plots.stages import LABEL_SIZE, NOTE_GAP, ROWS, SHAPE_SIZE, Place, Stage

Extent = tuple[float, float, float, float]
"""(left, right, bottom, top) in inches."""

_INK = "#222222"
SIGN_COLORS = ("#B2182B", "#2166AC")
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
    """A picture, or an overlay with its contour as a line."""
    shown = stage.content
    overlaid = isinstance(shown, Overlay) and hasattr(shown, "heatmap")
    picture = colored(shown.image, shown.heatmap) if overlaid else rgb(shown)
    ax.imshow(picture, extent=extent, interpolation="antialiased", zorder=2)
    contour = contour_map(shown.heatmap) if overlaid else None
    if contour is not None:
        left, right, bottom, top = extent
        height, width = shown.heatmap.shape
        xs = left + (np.arange(width) + 0.5) * (right - left) / width
        ys = top - (np.arange(height) + 0.5) * (top - bottom) / height
        ax.contour(xs, ys, contour[0], levels=[contour[1]], colors=[CONTOUR], linewidths=0.75, zorder=2)
    _frame(ax, extent)


def _draw_map(ax: Axes, stage: Stage, extent: Extent) -> None:
    _card(ax, stage.content, extent, stage.limits)


def _draw_stack(ax: Axes, stage: Stage, extent: Extent) -> None:
    """Four real channels as cards from the front (lower left) to the back, dots before the last."""
    left, right, bottom, top = extent
    stack = stage.content
    strongest = np.sort(np.argsort(-np.abs(stack).sum(axis=(1, 2)), kind="stable")[:4])
    strongest = strongest if stage.channels is None else np.asarray(stage.channels)
    steps = np.array([0.0, 1.0, 2.0, 3.6])[: len(strongest)] / 3.6
    side, reach = 0.62, 0.38
    for channel, step in reversed(list(zip(strongest, steps, strict=True))):
        x, y = left + (right - left) * reach * step, bottom + (top - bottom) * reach * step
        card = (x, x + (right - left) * side, y, y + (top - bottom) * side)
        _card(ax, stack[channel], card, stage.limits, edge="0.5")
    if len(stack) > len(strongest):
        for part in (2.4, 2.8, 3.2):
            step = reach * part / 3.6
            x, y = left + (right - left) * (step + side), bottom + (top - bottom) * step
            ax.add_patch(Circle((x - 0.03, y + 0.05), 0.018, color="0.35", zorder=4, lw=0))


def _draw_weighted(ax: Axes, stage: Stage, extent: Extent) -> None:
    """A few weights as bars from a common zero, or as signed maps, each beside the map that it weighs; dots below."""
    left, right, bottom, top = extent
    weights, maps = stage.content
    shown = shown_channels(stage)
    step = (top - bottom) / (len(shown) + 0.4)
    side = 0.88 * step
    reach = float(np.abs(weights).max()) or 1.0
    wide = min(side * maps.shape[2] / maps.shape[1], 0.55 * (right - left))
    for index, k in enumerate(shown):
        level = top - (index + 1) * step + (step - side) / 2
        card = (right - wide, right, level, level + side)
        _card(ax, maps[k], card, stage.limits or (min(maps[shown].min(), 0.0), maps[shown].max()))
        if weights.ndim == 1:
            _bar(ax, weights[k] / reach, (left, right - wide - 0.17, level, level + side), (weights[shown] < 0).any())
        else:
            beside = (left, min(left + wide, right - wide - 0.17), level, level + side)
            _card(ax, weights[k], beside, (-reach, reach))
        ax.text(right - wide - 0.085, level + side / 2, "·", ha="center", va="center", fontsize=LARGE, color=_INK)
    for dot in range(3):
        ax.add_patch(Circle(((left + right) / 2 + 0.1 * (dot - 1), bottom + 0.12 * step), 0.018, color="0.35", lw=0))


def shown_channels(stage: Stage) -> list[int]:
    """The channels of a weighted sum that are drawn: as said, or from the largest weight to the smallest, evenly.

    Channels whose map is fainter than the median one that is not empty are left out.
    """
    if stage.channels is not None:
        return list(stage.channels)
    weights, maps = stage.content
    size = weights if weights.ndim == 1 else weights.sum(axis=(1, 2))
    bright = np.abs(maps).sum(axis=(1, 2))
    alive = np.flatnonzero(bright >= (np.median(bright[bright > 0]) if bright.any() else 0))
    order = alive[np.argsort(-size[alive], kind="stable")]
    return order[np.linspace(0, len(order) - 1, min(ROWS, len(order))).round().astype(int)].tolist()


def _bar(ax: Axes, share: float, extent: Extent, signed: bool) -> None:
    """A level bar for a share in [-1, 1] of the room; zero is its right end, or its middle where signs differ."""
    left, right, bottom, top = extent
    zero, room = ((left + right) / 2, (right - left) / 2) if signed else (left, right - left)
    inner = 0.22 * (top - bottom)
    ax.add_patch(Rectangle((left, bottom + inner), right - left, top - bottom - 2 * inner, fc="#EFEFEF", lw=0))
    corner = (zero, bottom + inner)
    ax.add_patch(Rectangle(corner, share * room, top - bottom - 2 * inner, fc=SIGN_COLORS[int(share < 0)], lw=0))
    ax.plot([zero, zero], [bottom + 0.4 * inner, top - 0.4 * inner], color="0.3", lw=0.8, zorder=3)


def _draw_vector(ax: Axes, stage: Stage, extent: Extent) -> None:
    """The values as thin bars from a common zero; of long vectors 24 evenly spaced ones."""
    left, right, bottom, top = extent
    values = stage.content[np.linspace(0, len(stage.content) - 1, min(24, len(stage.content))).round().astype(int)]
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    scale = (right - left - 0.08) / ((high - low) or 1)
    zero, step = left + 0.04 - low * scale, (top - bottom) / len(values)
    ax.add_patch(Rectangle((left, bottom), right - left, top - bottom, fc="#F5F5F5", ec="0.6", lw=0.7, zorder=1))
    for index, value in enumerate(values):
        color = SIGN_COLORS[int(value < 0)]
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
        text = signs(stage.fmt.format(value))
        ax.text(x, y, text, ha="center", va="center", fontsize=SHAPE_SIZE, color=color, zorder=3)
    for c in range(1, columns):
        ax.plot([left + c * (right - left) / columns] * 2, [bottom, top], color="white", lw=0.8, zorder=3)
    for r in range(1, rows):
        ax.plot([left, right], [bottom + r * (top - bottom) / rows] * 2, color="white", lw=0.8, zorder=3)
    _frame(ax, extent)


def _draw_scores(ax: Axes, stage: Stage, extent: Extent) -> None:
    """Class names over bars as long as their values; the upper limit, or the largest value, fills the width."""
    left, right, bottom, top = extent
    step = (top - bottom) / len(stage.content)
    largest = stage.limits[1] if stage.limits else max((abs(value) for _, value in stage.content), default=0) or 1
    for index, (name, value) in enumerate(stage.content):
        y = top - (index + 1) * step
        length = (right - left) * abs(value) / largest
        color = SIGN_COLORS[int(value < 0)]
        ax.add_patch(Rectangle((left, y + 0.08 * step), right - left, 0.84 * step, fc="#F2F2F2", lw=0, zorder=1))
        ax.add_patch(Rectangle((left, y + 0.08 * step), length, 0.84 * step, fc=color, alpha=0.35, lw=0, zorder=2))
        number = signs(stage.fmt.format(value))
        room = right - left - text_width(number, SHAPE_SIZE) - 0.22
        text = {"va": "center", "fontsize": SHAPE_SIZE, "zorder": 3}
        ax.text(left + 0.05, y + step / 2, clip(name, room, SHAPE_SIZE), ha="left", **text)
        ax.text(right - 0.04, y + step / 2, number, ha="right", **text)


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
    ax.text(*center, signs(stage.label), ha="center", va="center_baseline", fontsize=15, color=_INK, zorder=3)


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
    "weighted": _draw_weighted,
    "vector": _draw_vector,
    "matrix": _draw_matrix,
    "scores": _draw_scores,
    "box": _draw_box,
    "op": _draw_op,
    "glyph": _draw_glyph,
}
