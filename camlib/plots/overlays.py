"""Overlays that a person keeps: a light gray photograph, color where the map is warm, a contour at half maximum."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from PIL import Image
from scipy import ndimage

from camlib.plots.arrays import array, rgb

OPACITY = 0.6
"""Share of color at the hottest place; what lies below stays recognizable."""
_LIGHTEST, _CONTOUR = 0.35, np.array([0.15, 0.15, 0.15])
_LUMINANCE = np.array([0.299, 0.587, 0.114])


def overlay_picture(image: Any, heatmap: Any, opacity: float = OPACITY, threshold: float = 0.0) -> Image.Image:
    """A heatmap over its picture, for people: gray photograph, color whose opacity rises with the heat.

    Args:
        image: [3, H, W] or [H, W, 3] in [0, 1], 8-bit, or a PIL picture.
        heatmap: [H, W] in [0, 1].
        opacity: share of color where the heatmap is 1, in [0, 1].
        threshold: heat below it shows no color, in [0, 1).

    Returns:
        8-bit RGB of H x W; a thin dark line goes round the places of at least half of the map's maximum.

    Raises:
        ValueError: sizes differ, or a number is out of range.
    """
    picture, values = rgb(image), array(heatmap)
    if values.shape != picture.shape[:2]:
        raise ValueError(f"The heatmap is {values.shape} and the picture {picture.shape[:2]}; expected one size.")
    if not 0 <= opacity <= 1 or not 0 <= threshold < 1:
        raise ValueError(f"opacity={opacity!r}, threshold={threshold!r}: expected [0, 1] and [0, 1).")
    values = values.clip(0, 1)
    gray = (_LIGHTEST + (1 - _LIGHTEST) * picture @ _LUMINANCE)[..., None]
    color = matplotlib.colormaps["inferno"](0.25 + 0.5 * values)[..., :3]
    alpha = np.where(values >= threshold, opacity * values, 0.0)[..., None]
    laid = gray * (1 - alpha) + color * alpha
    laid[_contour(values)] = _CONTOUR
    return Image.fromarray(np.round(255 * laid.clip(0, 1)).astype(np.uint8))


def _contour(values: np.ndarray) -> np.ndarray:
    """Pixels just inside the border of the region of at least half of the maximum, bool [H, W]; none if empty."""
    inside = values >= 0.5 * values.max() if values.any() else np.zeros(values.shape, dtype=bool)
    return inside & ~ndimage.binary_erosion(inside, border_value=1)


def line_picture(heatmap: Any, width: int = 640, height: int = 160) -> Image.Image:
    """A heatmap [L] of a sound or another series as a line with its area filled, 8-bit RGB."""
    values = np.interp(np.linspace(0, 1, width), np.linspace(0, 1, len(array(heatmap))), array(heatmap).clip(0, 1))
    rows = np.linspace(1, 0, height)[:, None]
    color = matplotlib.colormaps["inferno"](0.25 + 0.5 * values)[None, :, :3]
    return Image.fromarray(np.round(255 * np.where((rows <= values)[..., None], color, 1.0)).astype(np.uint8))


def slices_picture(heatmap: Any, columns: int = 8) -> Image.Image:
    """At most ``columns`` slices of a heatmap [D, H, W], evenly spread, side by side, 8-bit RGB."""
    values = array(heatmap).clip(0, 1)
    chosen = np.unique(np.linspace(0, len(values) - 1, min(columns, len(values))).round().astype(int))
    color = matplotlib.colormaps["inferno"](np.concatenate(list(values[chosen]), axis=1))[..., :3]
    return Image.fromarray(np.round(255 * color).astype(np.uint8))


def regions(heatmap: Any, threshold: float) -> list[tuple[int, int, int, int]]:
    """Tight boxes (x0, y0, x1, y1), half-open, of the 8-connected regions of a map, the largest region first.

    A region reaches ``threshold`` times the map's maximum; an empty map has none. Raises ValueError for a threshold
    outside (0, 1] or a map that is not [H, W].
    """
    values = array(heatmap)
    if values.ndim != 2:
        raise ValueError(f"Boxes need a map [H, W]; given {list(values.shape)}.")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold!r}: expected a share of the map's maximum in (0, 1].")
    if not values.any():
        return []
    labels, count = ndimage.label(values >= threshold * values.max(), structure=np.ones((3, 3)))
    areas = ndimage.sum_labels(np.ones_like(values), labels, range(1, count + 1))
    places = ndimage.find_objects(labels)
    order = np.argsort(-areas, kind="stable")
    return [(p[1].start, p[0].start, p[1].stop, p[0].stop) for p in (places[k] for k in order)]
