"""camlib.plots.pooling: sums and means stand under their grids, points lie on their lines, wrong input is named."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import texts

from camlib import plots

MAPS = np.arange(16.0).reshape(1, 4, 4)


def case(gradients):
    return {"pooled": [[[7.5]]], "weights": [[[3.0]]], "gradients": gradients}


def colors(figure, beginning):
    return {text.get_color() for text in texts(figure) if text.get_text().startswith(beginning)}


def test_mean_of_the_gradients_is_the_sum_of_the_weights():
    figure = plots.pooling_grids(MAPS, {"GAP": case(np.full((1, 4, 4), 3 / 16))}, "a finding")
    words = {text.get_text().strip() for text in texts(figure)}
    assert {"a finding", "GAP", "sum of w = 3", "mean = 3"} <= words
    assert colors(figure, "mean") == {"0"}
    assert plots.text_problems(figure) == []
    plt.close(figure)


def test_a_row_where_they_differ_is_red():
    figure = plots.pooling_grids(MAPS, {"sum": case(np.full((1, 4, 4), 3.0))}, "a finding")
    assert colors(figure, "mean") == {"red"}
    plt.close(figure)


def test_maps_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"expected \[K, h, w\]"):
        plots.pooling_grids(MAPS[0], {}, "a finding")


def chart():
    w = np.array([-1.0, 0.5, 2.0])
    line = {"label": "one", "weights": w, "gradients": w / 49, "alpha": 0.49}
    counted = {"label": "positions", "weights": w, "gradients": w / 49, "counts": [1, 20, 49]}
    return plots.factor_chart({"a": [line], "b": [counted]}, "a finding")


def test_a_slope_alone_is_a_line_through_the_origin():
    (line,) = plots.factor_chart({"a": [{"label": "told", "alpha": 1.72}]}, "a finding").axes[0].lines[:1]
    assert (line.get_xy1(), line.get_slope()) == ((0, 0), 1.72)
    assert line.get_label() == "told: α = 1.72"
    plt.close("all")


def test_points_lie_on_the_line_of_their_factor():
    figure = chart()
    line, points = figure.axes[0].lines[:2]
    x, y = points.get_data()
    np.testing.assert_allclose(y, 0.49 * x)
    np.testing.assert_allclose(line.get_ydata(), 0.49 * line.get_xdata())
    assert figure.axes[0].get_legend_handles_labels()[1] == ["one: α = 0.49"]
    np.testing.assert_array_equal(figure.axes[1].collections[0].get_array(), [1, 20, 49])
    assert "positions" in {text.get_text() for text in texts(figure)}
    assert plots.text_problems(figure) == []
    plt.close(figure)
