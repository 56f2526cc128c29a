"""Overlays: a light gray photograph, color where the map is warm, one thin contour at half of the map's maximum.

The color is never denser than :data:`OPACITY`, so that what lies below the hottest place stays recognizable, on orange
cats and black eagles alike: the photograph gives the light and dark, the map alone gives the color.
"""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from PIL import Image
from scipy import ndimage

from camlib.plots.arrays import array, rgb
from camlib.plots.colors import COLORMAP, DIVERGING

OPACITY = 0.6
"""Share of color at the hottest place."""
HALF = 0.5
"""Share of the map's maximum at which the contour runs."""
CONTOUR = (0.13, 0.13, 0.13)
MOST_REGIONS = 12
"""A map whose half of the maximum falls into more regions is speckle, and gets no contour."""

_LIGHTEST, _RISE = 0.5, 0.75
_LUMINANCE = np.array([0.299, 0.587, 0.114])


class Overlay(np.ndarray):
    """An overlay as [H, W, 3] floats in [0, 1] that remembers its ``image`` and ``heatmap``.

    Figures draw the contour anew from them, as a line that is sharp at any size; a part of the array is an array.
    """

    image: np.ndarray
    heatmap: np.ndarray


def overlay(image: Any, heatmap: Any, opacity: float = OPACITY, threshold: float = 0.0) -> Overlay:
    """Heatmap in color over its photograph in light gray, with a contour at half maximum; nothing is rescaled.

    Args:
        image: [3, H, W] or [H, W, 3] in [0, 1], 8-bit, or a PIL picture.
        heatmap: [H, W] in [0, 1]; or, if a value is negative, in [-1, 1], drawn in blue and red without a contour.
        opacity: share of color where the heatmap is 1, in [0, 1]; it rises with the 0.75th power of the heat.
        threshold: heat below it (in size, if signed) shows no color, in [0, 1).

    Raises ValueError where sizes differ or a number is out of range.
    """
    picture, values = rgb(image), array(heatmap)
    _check(picture, values, opacity, threshold)
    laid = colored(picture, values, opacity, threshold)
    line = contour_cover(values)[..., None]
    made = (laid * (1 - line) + np.array(CONTOUR) * line).view(Overlay)
    made.image, made.heatmap = picture, values
    return made


def overlay_picture(image: Any, heatmap: Any, opacity: float = OPACITY, threshold: float = 0.0) -> Image.Image:
    """:func:`overlay` as an 8-bit RGB picture of H x W, for people; values beyond [0, 1] are cut."""
    made = overlay(image, array(heatmap).clip(0, 1), opacity, threshold)
    return Image.fromarray(np.round(255 * np.asarray(made).clip(0, 1)).astype(np.uint8))


def pair_picture(image: Any, heatmap: Any, width: int = 1440, opacity: float = OPACITY) -> Image.Image:
    """The photograph and beside it its overlay, 8-bit RGB, together ``width`` pixels wide with a white seam.

    ``opacity``: as of :func:`overlay`.
    """
    picture, seam = rgb(image), width // 60
    side = (width - seam) // 2
    size = (side, round(side * picture.shape[0] / picture.shape[1]))
    photograph = Image.fromarray(np.round(255 * picture).astype(np.uint8)).resize(size, Image.Resampling.LANCZOS)
    heat = Image.fromarray(array(heatmap).astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    pair = Image.new("RGB", (2 * side + seam, size[1]), "white")
    pair.paste(photograph, (0, 0))
    pair.paste(overlay_picture(photograph, np.asarray(heat), opacity), (side + seam, 0))
    return pair


def _check(picture: np.ndarray, values: np.ndarray, opacity: float, threshold: float) -> None:
    """ValueError for sizes or numbers that do not fit."""
    if values.shape != picture.shape[:2]:
        raise ValueError(
            f"The heatmap is {values.shape} and the picture {picture.shape[:2]}; expected one size (upsample it)."
        )
    if not (values.min() >= -1 - 1e-6 and values.max() <= 1 + 1e-6):
        raise ValueError(f"heatmap lies in [{values.min():.3g}, {values.max():.3g}]; expected [0, 1], signed [-1, 1]")
    if not 0 <= opacity <= 1 or not 0 <= threshold < 1:
        raise ValueError(f"opacity={opacity!r}, threshold={threshold!r}: expected [0, 1] and [0, 1).")


def colored(picture: np.ndarray, values: np.ndarray, opacity: float = OPACITY, threshold: float = 0.0) -> np.ndarray:
    """The light gray photograph with color on it, without a contour; [H, W, 3] floats of checked arrays."""
    gray = (_LIGHTEST + (1 - _LIGHTEST) * picture @ _LUMINANCE)[..., None]
    size = np.abs(values).clip(0, 1)
    signed = values.min() < 0
    color = matplotlib.colormaps[DIVERGING](0.5 + values / 2) if signed else matplotlib.colormaps[COLORMAP](size)
    alpha = np.where(size >= threshold, opacity * size**_RISE, 0.0)[..., None]
    return gray * (1 - alpha) + color[..., :3] * alpha


def contour_level(values: np.ndarray) -> float | None:
    """Value of the contour: half of the maximum; None for a map that is empty, signed, all above it, or speckle."""
    if values.min() < 0 or not values.any():
        return None
    level = HALF * float(values.max())
    inside = values >= level
    if inside.all() or ndimage.label(inside, structure=np.ones((3, 3)))[1] > MOST_REGIONS:
        return None
    return level


def contour_cover(values: np.ndarray) -> np.ndarray:
    """How much of each pixel the contour covers, [H, W] in [0, 1]; its width is 1 pixel, or 1/250 of the shorter side.

    The distance of a pixel from the line is its distance in value over the steepness there.
    """
    level = contour_level(values)
    if level is None or min(values.shape) < 2:
        return np.zeros(values.shape)
    width = max(1.0, min(values.shape) / 250)
    steep = np.hypot(_steepest(values, 0), _steepest(values, 1))
    distance = np.abs(values - level) / np.maximum(steep, 1e-9)
    return np.where(steep > 1e-9, (0.5 + width / 2 - distance).clip(0, 1), 0.0)


def _steepest(values: np.ndarray, axis: int) -> np.ndarray:
    """The larger of the differences of each pixel with its two neighbors along an axis, so that edges count, too."""
    steps = np.abs(np.diff(values, axis=axis))
    before, after = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
    before[axis], after[axis] = (1, 0), (0, 1)
    return np.maximum(np.pad(steps, before), np.pad(steps, after))


def line_picture(heatmap: Any, width: int = 640, height: int = 160) -> Image.Image:
    """A heatmap [L] of a sound or another series as a line with its area filled, 8-bit RGB."""
    values = np.interp(np.linspace(0, 1, width), np.linspace(0, 1, len(array(heatmap))), array(heatmap).clip(0, 1))
    rows = np.linspace(1, 0, height)[:, None]
    color = matplotlib.colormaps[COLORMAP](0.25 + 0.75 * values)[None, :, :3]
    return Image.fromarray(np.round(255 * np.where((rows <= values)[..., None], color, 1.0)).astype(np.uint8))


def slices_picture(heatmap: Any, columns: int = 8) -> Image.Image:
    """At most ``columns`` slices of a heatmap [D, H, W], evenly spread, side by side, 8-bit RGB."""
    values = array(heatmap).clip(0, 1)
    chosen = np.unique(np.linspace(0, len(values) - 1, min(columns, len(values))).round().astype(int))
    color = matplotlib.colormaps[COLORMAP](np.concatenate(list(values[chosen]), axis=1))[..., :3]
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
