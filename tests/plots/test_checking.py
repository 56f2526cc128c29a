"""The checker of texts, against figures whose faults are known."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from camlib import plots
from camlib.plots.checking import draw


def page(*texts, width=plots.WIDTH, **look):
    """A figure of 5 inches height with texts at (x, y) in inches."""
    figure = plt.figure(figsize=(width, 5), layout="none")
    for x, y, text in texts:
        figure.text(x / width, y / 5, text, **{"fontsize": 10, **look})
    return figure


def test_a_figure_that_is_well_has_no_problem():
    figure = plots.figure(3)
    ax = figure.subplots()
    ax.plot([0, 1], label="a line")
    ax.set(xlabel="x", ylabel="y", title="a title")
    ax.legend()
    assert plots.text_problems(figure) == []


def test_overlapping_texts_are_named():
    assert plots.text_problems(page((1, 1, "first"), (1.1, 1.02, "second"))) == ["'first' lies over 'second'"]


def test_texts_on_one_line_need_a_gap_and_lines_above_each_other_need_none():
    end = 1 + draw(page((1, 1, "first"))).lines[0].corners[:, 0].max() / plots.DPI - 1
    assert plots.text_problems(page((1, 1, "first"), (end + 1.5 / 72, 1, "second"))) == ["'first' lies over 'second'"]
    assert plots.text_problems(page((1, 1, "first"), (end + 3 / 72, 1, "second"))) == []
    assert plots.text_problems(page((1, 1, "first"), (1, 1 + 10 / 72, "second"))) == []


def test_a_text_that_leaves_the_canvas_is_named():
    assert plots.text_problems(page((9.8, 1, "too far right"))) == ["'too far right' leaves the canvas"]
    assert plots.text_problems(page((1, -0.1, "too low"))) == ["'too low' leaves the canvas"]


@pytest.mark.parametrize(("size", "width", "well"), [(9, 10, True), (8.9, 10, False), (9, 12, False), (7, 5, True)])
def test_size_is_that_of_the_figure_at_its_displayed_width(size, width, well):
    found = plots.text_problems(page((1, 1, "words"), width=width, fontsize=size))
    assert (found == []) == well
    if not well:
        assert found == [f"'words' has {size * 10 / width:.3g} displayed pixels; the smallest is 9"]


def test_small_texts_of_one_size_are_named_together():
    figure = page((1, 1, "one"), (3, 1, "two"), (5, 1, "three"), fontsize=7)
    figure.texts[2].set_fontsize(8)
    assert plots.text_problems(figure) == [
        "'one' and 1 more have 7 displayed pixels; the smallest is 9",
        "'three' has 8 displayed pixels; the smallest is 9",
    ]


def test_turned_texts_are_told_from_their_bounding_boxes():
    """Two parallel lines at 45 degrees whose boxes overlap, though no ink does; then one on the other."""
    parallel = page((2, 2, "a long turned line"), (2.3, 2, "a long turned line"), rotation=45)
    assert plots.text_problems(parallel) == []
    assert len(plots.text_problems(page((2, 2, "one turned line"), (2.05, 2, "another"), rotation=45))) == 1


def test_what_is_not_drawn_is_no_text():
    figure = plots.figure(3)
    ax = figure.subplots()
    ax.set_xticks([0, 1, 1.001, 1.002], ["zero", "beyond", "beyond too", "and too"])
    ax.set_xlim(0, 0.9)
    figure.text(0.5, 0.5, "unseen", visible=False)
    figure.text(0.5, 0.5, "transparent", alpha=0)
    assert "zero" in {line.text for line in draw(figure).lines}
    assert {"beyond", "unseen", "transparent"}.isdisjoint(line.text for line in draw(figure).lines)
    assert plots.text_problems(figure) == []


def test_lines_of_one_text_count_one_by_one_and_formulas_as_one():
    figure = page((1, 1, "two\nlines"), (4, 1, "$w_k = \\Sigma_{ij} g$"))
    assert [line.text for line in draw(figure).lines] == ["two", "lines", "$w_k = \\Sigma_{ij} g$"]
    assert plots.text_problems(figure) == []


def test_ink_lies_within_the_corners():
    """All dark pixels of a lone turned word lie inside its rectangle, and reach to its sides."""
    figure = page((3, 2, "Word"), rotation=90)
    corners = draw(figure).lines[0].corners
    figure.set_dpi(plots.DPI)
    figure.canvas.draw()
    ys, xs = np.nonzero(np.asarray(figure.canvas.buffer_rgba())[..., 0] < 128)
    low, high = corners.min(0), corners.max(0)
    assert (low - 1.5 <= [xs.min(), ys.min()]).all()
    assert (high + 1.5 >= [xs.max(), ys.max()]).all()
    assert np.array([xs.min(), ys.min()]) == pytest.approx(low, abs=4)
    assert np.array([xs.max(), ys.max()]) == pytest.approx(high, abs=4)


def test_checking_leaves_the_figure_as_it_was():
    figure = page((1, 1, "words"))
    canvas, dpi = figure.canvas, figure.dpi
    plots.text_problems(figure)
    assert (figure.canvas, figure.dpi) == (canvas, dpi)


# Width


def test_a_figure_is_fitted_to_the_design_width_once():
    figure = plt.figure(figsize=(5, 2))
    assert plots.fit(figure).get_size_inches() == pytest.approx((10, 4))
    assert plots.fit(figure).get_size_inches() == pytest.approx((10, 4))
    assert plots.figure(3).get_size_inches() == pytest.approx((10, 3))
    with pytest.raises(ValueError, match="height=0: expected inches above 0"):
        plots.figure(0)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("-0.5 [-1, -.2]", "−0.5 [−1, −.2]"),
        ("7 x 7 x 1280", "7 × 7 × 1280"),
        ("7x7", "7 × 7"),
        ("bull-mastiff-2", "bull-mastiff-2"),
        ("2-3", "2-3"),
        ("-1e-05", "−1e−05"),
        ("score-cam: -3", "score-cam: −3"),
    ],
)
def test_signs_are_true_signs(text, written):
    assert plots.signs(text) == written
