"""Lines, dots and headed grids: what is drawn where."""

import numpy as np
import pandas as pd
import pytest

from camlib import plots

BAND = {0: (0.5, 0.4, 0.7), 10: (0.6, 0.5, 0.8)}


def test_a_line_has_its_values_its_bars_and_the_look_of_its_method():
    ax = plots.figure(3).subplots()
    plots.interval_lines(ax, {"grad-cam": BAND, "accuracy": BAND}, spread=2.0, styles={"accuracy": "--"})
    line, other = (container.lines[0] for container in ax.containers)
    assert line.get_color() == plots.method_style("grad-cam").color
    assert line.get_marker() == plots.method_style("grad-cam").marker
    assert (list(line.get_xdata()), list(other.get_xdata())) == ([-1, 9], [1, 11])
    assert list(line.get_ydata()) == [0.5, 0.6]
    assert other.get_linestyle() == "--"
    ends = np.array(ax.containers[0].lines[2][0].get_segments())[:, :, 1]
    assert np.allclose(ends, [[0.4, 0.7], [0.5, 0.8]])
    assert ax.get_legend_handles_labels()[1] == ["Grad-CAM", "accuracy"]


def test_dots_stand_in_rows_from_the_top_and_are_named_once():
    ax = plots.figure(3).subplots()
    plots.interval_dots(ax, {"last": {"score-cam": (1, 0, 2)}, "inner": {"score-cam": (3, 2, 4)}}, "variance")
    assert [text.get_text() for text in ax.get_yticklabels()] == ["last", "inner"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert ax.get_legend_handles_labels()[1] == ["Score-CAM"]


def test_the_picture_stands_once_above_the_cells_with_its_text_beside_it():
    picture, map_ = np.full((8, 8, 3), 0.5), np.eye(8)
    figure = plots.headed_grid(
        picture, "what is seen", [[map_] * 3] * 2, ["grad-cam", "b"], ["one", "two\nlines", "three"], beside=[picture]
    )
    above, below = figure.axes[:3], figure.axes[3:6]
    assert [len(ax.images) for ax in above] == [1, 0, 1]
    assert [text.get_text() for text in above[1].texts] == ["what is seen"]
    assert [ax.get_title() for ax in below] == ["one", "two\nlines", "three"]
    assert below[0].get_ylabel() == "Grad-CAM"
    assert plots.text_problems(figure) == []


def test_a_row_without_room_for_a_text_is_refused():
    with pytest.raises(ValueError, match="leave no room"):
        plots.headed_grid(np.zeros((4, 4, 3)), "x", [[np.eye(4)] * 2], beside=[np.zeros((4, 4, 3))])


def test_names_stand_at_the_ends_of_their_lines_and_apart():
    ax = plots.room_below(plots.grid([[np.zeros((8, 8, 3))]]), 2.0, right=1.5)
    for name, end in (("low", 0.1), ("near", 0.5), ("nearer", 0.51)):
        ax.plot([0, 1], [0, end], label=name)
    plots.name_lines(ax, {"low": "lowest"})
    places = {text.get_text(): text.xy[1] for text in ax.texts}
    assert list(places) == ["lowest", "near", "nearer"]
    assert places["nearer"] - places["near"] > 0.1
    assert plots.text_problems(ax.figure) == []


def test_a_headline_is_bold_at_the_left_with_its_note_under_it():
    figure = plots.figure(3)
    figure.subplots()
    plots.headline(figure, "what is found", "what is shown")
    head, note = figure.texts
    assert (head.get_ha(), head.get_weight(), head.get_text().strip()) == ("left", "bold", "what is found")
    assert note.get_text() == "what is shown"
    assert plots.text_problems(figure) == []


def test_factors_are_bars_from_one_with_two_digits():
    rows = pd.DataFrame([("map", "n", 0.9013), ("maps", "n", 183.2)], columns=["what", "network", "factor"])
    figure = plots.factor_figure(rows, {"n": "N"}, {"maps": "many maps\nat once", "map": "a map"}, "a finding")
    ax = figure.axes[0]
    texts = [text.get_text() for text in ax.texts]
    assert {"0.90×", "180×", "many maps", "at once", "a map"} <= set(texts)
    bars = sorted(ax.patches, key=lambda bar: bar.get_y())
    ends = [sorted((bar.get_x(), bar.get_x() + bar.get_width())) for bar in bars]
    assert np.allclose(ends, [[1, 183.2], [0.9013, 1]])
    assert plots.text_problems(figure) == []
    with pytest.raises(ValueError, match=r"\['maps'\] have no name"):
        plots.factor_figure(rows, {"n": "N"}, {"map": "a map"}, "a finding")
