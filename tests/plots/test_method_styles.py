"""Every method has one color and one marker, told apart in every kind of color vision."""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from vision import VISION, distance, seen

from camlib import METHODS
from camlib.plots import METHOD_STYLES, method_style, method_title
from camlib.plots.methods import UNKNOWN


def test_every_method_of_the_package_has_a_style_and_nothing_else_has():
    assert set(METHOD_STYLES) == {name for name, m in METHODS.items() if m.function.__module__.startswith("camlib.")}


def test_a_method_of_a_reader_gets_the_style_that_no_method_of_ours_has():
    assert method_style("my-cam") == UNKNOWN
    assert UNKNOWN.marker not in {style.marker for style in METHOD_STYLES.values()}
    assert method_style("grad-cam") is METHOD_STYLES["grad-cam"]
    assert method_style("Grad-CAM") is METHOD_STYLES["grad-cam"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("grad-cam++", "Grad-CAM++"),
        ("score-cam\np = 0.5", "Score-CAM\np = 0.5"),
        ("a score-cam", "a score-cam"),
        ("center-gaussian", "centered Gaussian"),
    ],
)
def test_names_are_written_as_the_literature_prints_them(text, written):
    assert method_title(text) == written


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
