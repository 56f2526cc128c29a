"""Contours of several maps on one picture: where they run, in which colors, what leaves none."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.contour import ContourSet

from camlib import plots


def disk(size, radius=0.25):
    """A cone whose height falls to half of its maximum at ``radius`` of the picture around the middle."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    return np.clip(1 - np.hypot(x, y) / (2 * radius), 0, 1)


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def contours(ax):
    return [artist for artist in ax.get_children() if isinstance(artist, ContourSet)]


def test_maps_of_different_sizes_lie_at_one_place_on_the_picture(ax):
    plots.outlines(ax, np.full((40, 80, 3), 0.5), {"a": disk(64), "b": disk(224)}, {"a": "red", "b": "blue"})
    radii = []
    for found, color in zip(contours(ax), ("red", "blue"), strict=True):
        (path,) = found.get_paths()
        radii.append(np.hypot(*(path.vertices - 0.5).T))
        assert np.allclose(radii[-1], 0.26, atol=0.02)  # the contour is of the smoothed cone, whose top is lower
        assert np.allclose(found.get_edgecolor(), to_rgba(color))
    assert abs(radii[0].mean() - radii[1].mean()) < 0.003


def test_a_map_without_a_contour_leaves_no_line_and_is_still_named(ax):
    lines, names = plots.outlines(ax, np.zeros((8, 8, 3)), {"grad-cam": np.zeros((8, 8))}, {"grad-cam": "red"})
    assert not contours(ax)
    assert names == ["Grad-CAM"]
    assert lines[0].get_color() == "red"


def test_a_name_without_a_color_is_an_error(ax):
    with pytest.raises(KeyError):
        plots.outlines(ax, np.zeros((8, 8, 3)), {"a": disk(8)}, {})
