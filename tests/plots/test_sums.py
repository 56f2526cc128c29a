"""camlib.plots.sums: bars are as long as their weights, blue where negative; products that are none are refused."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import texts
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from camlib import plots

MAPS = np.arange(18.0).reshape(2, 3, 3)
PHOTO = np.full((8, 8, 3), 0.5)


def bars(figure):
    """(width, color) of the colored bars of a figure, in the order of drawing."""
    found = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle) and patch.get_fill()]
    drawn = [(patch.get_width(), to_hex(patch.get_facecolor())) for patch in found]
    return [(width, color) for width, color in drawn if color in ("#b2182b", "#2166ac")]


def test_a_bar_is_as_long_as_its_weight_and_blue_below_zero():
    row = {"weights": [2.0, -1.0], "most": 2.0, "map": MAPS[0], "overlay": PHOTO}
    figure = plots.sum_table(MAPS, {"a method": row}, "a finding", "a note.", strong="a method")
    (first, red), (second, blue) = bars(figure)
    assert (red, blue) == ("#b2182b", "#2166ac")
    assert second == pytest.approx(-first / 2)
    assert {"a finding", "a method", "$M_2$"} <= {text.get_text().strip() for text in texts(figure)}
    assert plots.text_problems(figure) == []
    plt.close(figure)


def block(weights):
    gradients = np.stack([np.full((3, 3), 0.5), np.full((3, 3), -0.25)])
    seen = {"label": "here", "picture": PHOTO, "overlay": PHOTO, "found": "no weight is negative"}
    return seen | {"maps": MAPS, "gradients": gradients, "weights": weights}


def test_a_product_of_two_negative_factors_is_positive():
    by_hand = np.stack([np.full((3, 3), 0.5 * 4.5), np.full((3, 3), 0.25 * 2.25)])
    figure = plots.product_rows([block(by_hand)], "a finding")
    (first, red), (second, blue) = bars(figure)
    assert (red, blue) == ("#b2182b", "#2166ac")
    assert second == pytest.approx(-first / 2)
    assert plots.text_problems(figure) == []
    plt.close(figure)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="not the gradients times their sums"):
        plots.product_rows([block(np.ones((2, 3, 3)))], "a finding")
    with pytest.raises(ValueError, match=r"n weights in the rows \['short'\]"):
        plots.sum_table(MAPS, {"short": {"weights": [1.0], "most": 1.0}}, "a finding")
