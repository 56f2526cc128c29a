"""Overlays: a light gray photograph, color where the map is warm, one thin contour at half of the map's maximum.

Color is laid on like a glaze: it takes away the share of each of red, green and blue that the color lacks, and the
photograph shines through everywhere. So what lies below the hottest place stays recognizable, on orange cats and black
eagles alike: the photograph gives the light and dark, the map alone gives the color.
"""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from PIL import Image
from scipy import ndimage

from camlib.plots.arrays import array, rgb
from camlib.plots.colors import COLORMAP, DIVERGING

OPACITY = 0.8
"""How much of what a color lacks the glaze takes away; at the hottest place two fifths of the contrast are left."""
HALF = 0.5
"""Share of the map's maximum at which the contour runs."""
CONTOUR = (0.13, 0.13, 0.13)
MOST_REGIONS = 12
"""A map whose half of the maximum falls into more regions is speckle, and gets no contour."""
SMOOTH = 1 / 28
"""Spread of the Gaussian that the contour's map is smoothed by, in shorter sides of the picture: a quarter of a cell of
a 7 x 7 map. Bilinear enlarging folds a map along its cells, and a contour across a fold has corners and slivers."""

_DARKEST = 0.65
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
        opacity: strength of the glaze, in [0, 1]: 0 leaves the gray photograph, 1 multiplies it by the map's color.
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
    gray = (_DARKEST + (1 - _DARKEST) * picture @ _LUMINANCE)[..., None]
    size, signed = np.abs(values).clip(0, 1), values.min() < 0
    color = matplotlib.colormaps[DIVERGING](0.5 + values / 2) if signed else matplotlib.colormaps[COLORMAP](size)
    strength = np.where(size >= threshold, opacity, 0.0)[..., None]
    return gray * (1 - strength * (1 - color[..., :3]))


def contour_map(values: np.ndarray) -> tuple[np.ndarray, float] | None:
    """The slightly smoothed map that the contour follows, and half of its maximum.

    None for a map that is empty, signed, all above half of its maximum, or speckle.
    """
    if values.min() < 0 or not values.any():
        return None
    inside = values >= HALF * float(values.max())
    if inside.all() or ndimage.label(inside, structure=np.ones((3, 3)))[1] > MOST_REGIONS:
        return None
    smoothed = ndimage.gaussian_filter(values.astype(np.float64), SMOOTH * min(values.shape), mode="nearest")
    return smoothed, HALF * float(smoothed.max())


def contour_cover(values: np.ndarray) -> np.ndarray:
    """How much of each pixel the contour covers, [H, W] in [0, 1]; its width is 1 pixel, or 1/250 of the shorter side.

    The distance of a pixel from the line is its distance in value over the steepness there.
    """
    found = contour_map(values)
    if found is None or min(values.shape) < 2:
        return np.zeros(values.shape)
    values, level = found
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
