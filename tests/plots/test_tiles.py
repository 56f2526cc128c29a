"""Room below tiles for a chart, and texts over the tiles of any row."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from camlib import plots


def places(figure):
    """Left, top, width and height of every panel, in inches from the upper left."""
    width, height = figure.get_size_inches()
    boxes = [ax.get_position() for ax in figure.axes]
    return np.array([(b.x0 * width, (1 - b.y1) * height, b.width * width, b.height * height) for b in boxes])


def test_room_below_keeps_panels_and_texts_where_they_are_from_the_top():
    figure = plots.grid([[np.zeros((8, 8, 3))] * 2] * 2, suptitle="a title")
    before, height, title = places(figure), figure.get_figheight(), figure.texts[0].get_position()[1]
    ax = plots.room_below(figure, 1.5, left=2.0, right=0.5)
    assert figure.get_figheight() == pytest.approx(height + 1.5)
    np.testing.assert_allclose(places(figure)[:-1], before, atol=1e-9)
    assert (1 - figure.texts[0].get_position()[1]) * (height + 1.5) == pytest.approx((1 - title) * height)
    x, y, width, high = places(figure)[-1]
    assert (x, width) == (pytest.approx(2.0), pytest.approx(figure.get_figwidth() - 2.5))
    assert y > height
    assert ax in figure.axes
    assert high == pytest.approx(0.75)


def test_room_below_keeps_the_rules_over_groups_of_columns_in_their_place():
    figure = plots.grid([[np.zeros((8, 8, 3))] * 2], groups=[("one", 1), ("two", 1)])
    before, height = [1 - rule.get_ydata()[0] for rule in figure.artists], figure.get_figheight()
    plots.room_below(figure, 1.5)
    after = [1 - rule.get_ydata()[0] for rule in figure.artists]
    assert len(before) == 2
    np.testing.assert_allclose(np.array(after) * (height + 1.5), np.array(before) * height)


def test_room_for_no_panel_is_refused():
    figure = plots.grid([[np.zeros((8, 8, 3))]])
    with pytest.raises(ValueError, match=r"height=0\.5: expected at least 0\.9 inches"):
        plots.room_below(figure, 0.5)


def test_titles_stand_over_the_tiles_of_every_row():
    titles = [["a", None], [None, "b"]]
    figure = plots.grid([[np.zeros((8, 8, 3))] * 2] * 2, titles=titles)
    assert [ax.get_title() for ax in figure.axes] == ["a", "", "", "b"]
    with pytest.raises(ValueError, match="titles has 1 entries for 2"):
        plots.grid([[np.zeros((8, 8, 3))]] * 2, titles=[["a"]])


def test_groups_stand_apart_under_their_titles():
    photo = np.full((8, 8, 3), 0.5)
    cells = [[photo] * 4, [photo] * 4]
    figure = plots.grid(cells, ["**one**", "two"], groups=[("left", 2), ("right", 2)], heads={1: ""}, colorbar=False)
    places = [ax.get_position() for ax in figure.axes]
    inner, outer = places[1].x0 - places[0].x1, places[2].x0 - places[1].x1
    assert outer > 2 * inner
    assert places[3].x0 - places[2].x1 == pytest.approx(inner)
    titles = {text.get_text(): text for text in figure.texts}
    middle = (places[2].x0 + places[3].x1) / 2
    assert titles["right"].get_position()[0] == pytest.approx(middle)
    label = figure.axes[0].yaxis.label
    assert (label.get_text(), label.get_fontweight()) == ("one", "bold")
    assert plots.text_problems(figure) == []
    plt.close(figure)


def test_groups_that_miss_a_column_are_refused():
    with pytest.raises(ValueError, match="do not add up to 2 columns"):
        plots.grid([[np.ones((4, 4)), np.ones((4, 4))]], groups=[("left", 1)])


def depths(figure):
    """How deep the lines of a figure lie, in inches from the top."""
    return [(1 - float(line.get_ydata()[0])) * figure.get_figheight() for line in figure.artists]


def test_heads_stand_over_their_rows_under_a_line_and_take_room():
    cells = [[np.eye(4)] * 2] * 3
    plain, figure = plots.grid(cells), plots.grid(cells, heads={0: "first two", 2: "the last"})
    assert figure.get_figheight() > plain.get_figheight() + 0.4
    words = {text.get_text(): text.get_position()[1] for text in figure.texts}
    tops = [figure.axes[2 * row].get_position().y1 for row in range(3)]
    bottoms = [figure.axes[2 * row].get_position().y0 for row in range(3)]
    assert words["first two"] > tops[0] > bottoms[1] > words["the last"] > tops[2]
    levels = [float(line.get_ydata()[0]) for line in figure.artists]
    assert levels[0] > words["first two"]
    assert bottoms[1] > levels[1] > words["the last"]
    assert plots.text_problems(figure) == []
    before = depths(figure)
    plots.room_below(figure, 1.5)
    assert depths(figure) == pytest.approx(before)


def test_a_head_without_words_is_a_gap_alone():
    figure = plots.grid([[np.eye(4)]] * 3, heads={1: ""}, colorbar=False)
    assert not figure.texts
    assert not figure.artists
    places = [ax.get_position() for ax in figure.axes]
    assert places[0].y0 - places[1].y1 > 2 * (places[1].y0 - places[2].y1)


def test_groups_without_titles_stand_apart_and_fill_the_same_width():
    plain, figure = (plots.grid([[np.eye(4)] * 4], groups=groups) for groups in ((), [("", 1), ("", 2), ("", 1)]))
    x, _, width, _ = places(figure)[:4].T
    gaps = x[1:] - x[:-1] - width[:-1]
    assert gaps[0] == pytest.approx(gaps[2])
    assert gaps[0] > gaps[1] + 0.1
    before, after = (made.axes[3].get_position().x1 for made in (plain, figure))
    assert before == pytest.approx(after)
