"""Every method has one color and one marker, told apart in every kind of color vision."""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from skimage.color import rgb2lab

from camlib import METHODS
from camlib.plots import METHOD_STYLES, method_style
from camlib.plots.methods import UNKNOWN

# Machado, Oliveira and Fernandes 2009, severity 1: what is left of linear RGB
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def seen(color: str, vision: str) -> np.ndarray:
    """CIELAB of a color as that kind of vision sees it."""
    c = np.array(to_rgb(color))
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    left = np.clip(np.asarray(VISION[vision]) @ linear, 0, 1)
    return rgb2lab(np.where(left <= 0.0031308, left * 12.92, 1.055 * left ** (1 / 2.4) - 0.055))


def distance(a: str, b: str, vision: str) -> float:
    return float(np.linalg.norm(seen(a, vision) - seen(b, vision)))


def test_every_method_of_the_package_has_a_style_and_nothing_else_has():
    assert set(METHOD_STYLES) == {name for name, m in METHODS.items() if m.function.__module__.startswith("camlib.")}


def test_a_method_of_a_reader_gets_the_style_that_no_method_of_ours_has():
    assert method_style("my-cam") == UNKNOWN
    assert UNKNOWN.marker not in {style.marker for style in METHOD_STYLES.values()}
    assert method_style("grad-cam") is METHOD_STYLES["grad-cam"]


@pytest.mark.parametrize("vision", VISION)
def test_methods_of_one_marker_have_colors_that_anybody_can_tell_apart(vision):
    """A just noticeable difference is about 2.3; small markers need ten times that."""
    for (a, one), (b, other) in combinations(METHOD_STYLES.items(), 2):
        if one.marker == other.marker:
            assert distance(one.color, other.color, vision) > 25, (a, b)


def test_colors_and_markers_are_unique_and_visible_on_white():
    styles = list(METHOD_STYLES.values())
    assert len({style.color for style in styles}) == len(styles)
    for a, b in combinations(styles, 2):
        assert distance(a.color, b.color, "normal") > 2.3
    for style in styles:
        assert seen(style.color, "normal")[0] < 80
        plt.plot([0], [0], color=style.color, marker=style.marker)
    plt.close("all")


def test_related_methods_have_related_hues_and_different_markers():
    families = {}
    for name, style in METHOD_STYLES.items():
        families.setdefault(METHODS[name].family, []).append(style)
    for styles in families.values():
        assert len({style.marker for style in styles}) == len(styles)
        chroma = [np.array(seen(style.color, "normal")[1:]) for style in styles]
        for a, b in combinations(chroma, 2):
            if np.linalg.norm(a) > 5:
                assert float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) > np.cos(np.radians(40))


def test_titles_are_unique_and_printable():
    titles = [m.title for m in METHODS.values()]
    assert len(set(titles)) == len(titles)
    assert all(title.isprintable() and len(title) <= 24 for title in titles)
