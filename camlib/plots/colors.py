"""The two color maps of every figure, made in a perceptual space: heat from white to crimson, signs around white.

A step of the map is the same step for the eye everywhere, and heat only ever gets darker, so that the order of two
places is right in print, for any kind of color vision and on a gray photograph. Bright maps such as inferno were tried
as overlays: their hottest color, yellow, fades on a light photograph, and dark blue at the cold end soils it.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.colors import ListedColormap, to_rgb
from scipy.interpolate import PchipInterpolator

COLORMAP = "camlib-heat"
"""The one color map of every heatmap in [0, 1]: white is 0, dark crimson is 1."""

DIVERGING = "camlib-signed"
"""The one color map of signed weights and maps: blue, white at 0, red."""

_HEAT = ("#FFFFFF", "#FFEFB5", "#FFCF5A", "#FF9F3A", "#FA6A3C", "#E63A4E", "#C0185F", "#A50F5B")
_ARMS = (("#2166AC", "#67A5D4", "#FFFFFF"), ("#FFFFFF", "#EE8A73", "#B2182B"))

# Björn Ottosson 2020, "A perceptual color space for image processing": linear RGB -> cones -> OKLab
_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def oklab(colors: np.ndarray) -> np.ndarray:
    """OKLab (lightness, green-red, blue-yellow) of sRGB colors [..., 3] in [0, 1]."""
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _CONES.T) @ _LAB.T


def srgb(lab: np.ndarray) -> np.ndarray:
    """The inverse of :func:`oklab`, cut to [0, 1]."""
    linear = ((lab @ np.linalg.inv(_LAB).T) ** 3 @ np.linalg.inv(_CONES).T).clip(0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def even_path(colors: Sequence[str], count: int) -> np.ndarray:
    """``count`` colors [count, 3] on a smooth path through the given ones, each as far from the last for the eye."""
    points = oklab(np.array([to_rgb(color) for color in colors]))
    path = PchipInterpolator(np.arange(len(points)), points)(np.linspace(0, len(points) - 1, 4096))
    path = oklab(srgb(path))  # what a screen can show of it
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    places = np.linspace(0, length[-1], count)
    return srgb(np.stack([np.interp(places, length, axis) for axis in path.T], axis=1))


def _register() -> None:
    """Make both maps known to matplotlib by name."""
    negative, positive = (even_path(arm, 129) for arm in _ARMS)
    tables = {COLORMAP: even_path(_HEAT, 256), DIVERGING: np.concatenate([negative, positive[1:]])}
    for name, table in tables.items():
        matplotlib.colormaps.register(ListedColormap(table, name), force=True)


_register()
