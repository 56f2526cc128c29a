"""Several maps on one picture: of each map only the contour at half of its maximum, in a color of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from camlib.plots.arrays import array, rgb
from camlib.plots.methods import method_title
from camlib.plots.overlays import colored, contour_map


def outlines(
    ax: Axes,
    image: Any,
    heatmaps: Mapping[str, Any],
    colors: Mapping[str, str],
    width: float = 1.3,
) -> tuple[list[Line2D], list[str]]:
    """The light gray picture with the contour of each heatmap over it, as :func:`camlib.plots.overlay` draws it.

    Returns lines and names for a legend, in the order of ``heatmaps``; methods have their titles.

    Args:
        ax: the panel; its ticks and frame go.
        image: a picture as of :func:`camlib.plots.overlay`, of any size.
        heatmaps: name -> [h, w] with no negative value; each is spread over the whole picture, whatever its size.
        colors: color of each name.
        width: of the lines, in points.

    A map without a contour (empty, all above half of its maximum, speckle) leaves no line. Raises KeyError for a name
    without a color.
    """
    picture = rgb(image)
    height, across = picture.shape[:2]
    ax.imshow(colored(picture, np.zeros((height, across))), extent=(0, 1, 1, 0), aspect=height / across)
    for name, heatmap in heatmaps.items():
        color, found = colors[name], contour_map(array(heatmap))
        if found is not None:
            values, level = found
            ys, xs = ((np.arange(count) + 0.5) / count for count in values.shape)
            ax.contour(xs, ys, values, levels=[level], colors=[color], linewidths=width)
    ax.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(1, 0))
    ax.spines[:].set_visible(False)
    handles = [Line2D([], [], color=colors[name], linewidth=width) for name in heatmaps]
    return handles, [method_title(name) for name in heatmaps]
