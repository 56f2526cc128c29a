"""camlib.plots: what the drawings hold, that texts do not collide, and that wrong input is named."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex

from camlib import plots
from camlib.plots import look, text_problems
from camlib.plots.arrays import array
from camlib.plots.overlays import colored


def explanation(method="grad-cam", picture=0, size=(20, 20), **changes):
    generator = torch.Generator().manual_seed(picture)
    fields = {
        "heatmap": torch.rand(size, generator=generator),
        "image": torch.rand((3, *size), generator=generator),
        "method": method,
        "target_name": "tabby, tabby cat",
        "probability": 0.8123,
        "degenerate": False,
        "picture": picture,
    }
    return SimpleNamespace(**fields | changes)


# Pictures and heatmaps


def test_show_titles_one_explanation_and_shows_its_picture():
    item = explanation(degenerate=True)
    figure = plots.show(item)
    first, second, bar = figure.axes
    assert bar.get_ylabel() == "share of this map's maximum; the line is its half"
    assert np.asarray(first.images[0].get_array()) == pytest.approx(item.image.permute(1, 2, 0).numpy())
    drawn = colored(item.image.permute(1, 2, 0).numpy(), array(item.heatmap))
    assert np.asarray(second.images[0].get_array()) == pytest.approx(drawn)
    assert second.get_title() == "Grad-CAM\ntabby 81.2%\ndegenerate"


def test_show_gives_each_picture_a_row_and_its_boxes():
    items = [explanation(method, picture) for picture in (0, 1) for method in ("a", "b")]
    figure = plots.show(items, boxes={1: [(2, 3, 10, 12)]})
    assert [bool(ax.patches) for ax in figure.axes[:6]] == [False] * 3 + [True] * 3
    frame = figure.axes[3].patches[0]
    assert (*frame.get_xy(), frame.get_width(), frame.get_height()) == (1.5, 2.5, 8, 9)


def test_show_wraps_into_columns_and_checks_titles():
    items = [explanation(str(index)) for index in range(5)]
    figure = plots.show(items, columns=2, include_image=False, titles="vwxyz")
    assert [ax.get_title() for ax in figure.axes[:6]] == [*"vwxyz", ""]
    corners = np.array([ax.get_position().p0 for ax in figure.axes[:6]]).reshape(3, 2, 2)
    assert np.ptp(corners[:, :, 0], axis=0) == pytest.approx(0)
    assert (np.diff(corners[:, :, 1], axis=0) < 0).all()
    with pytest.raises(ValueError, match="titles has 1 entries for 5"):
        plots.show(items, titles=["v"])
    with pytest.raises(ValueError, match="explanations is empty"):
        plots.show([])


def test_show_wraps_titles_so_that_neighbors_stay_apart():
    items = [explanation("grad-cam++", p, target_name="custard apple") for p in (0, 1, 2, 3) for _ in range(7)]
    assert text_problems(plots.show(items)) == []


def test_grid_holds_cells_of_all_kinds_with_labels_that_do_not_collide():
    ramp = np.arange(9.0).reshape(3, 3) / 8
    cells = [[explanation(), np.zeros((20, 20, 3)), ramp], [explanation(), None, ramp]]
    figure = plots.grid(
        cells, ["efficientnet-lite0", "a network with a long name"], ["A", "B", "C"], [["0.81"] * 3] * 2
    )
    drawn = [ax.images[0].get_array().shape if ax.images else None for ax in figure.axes[:6]]
    assert drawn == [(20, 20, 3), (20, 20, 3), (3, 3), (20, 20, 3), None, (3, 3)]
    assert figure.axes[2].images[0].get_clim() == (0, 1)
    assert text_problems(figure) == []


def test_grid_writes_methods_and_signs_as_they_are_printed():
    figure = plots.grid([[explanation()] * 2], ["score-cam"], ["grad-cam++", "of 3 x 3"], [["-0.5 [-1, 2]", "1e-3"]])
    assert [ax.get_title() for ax in figure.axes[:2]] == ["Grad-CAM++", "of 3 × 3"]
    assert [ax.get_xlabel() for ax in figure.axes[:2]] == ["−0.5 [−1, 2]", "1e−3"]
    assert figure.axes[0].get_ylabel() == "Score-CAM"


def test_every_figure_has_the_design_width_and_the_bar_says_what_its_colors_mean():
    ramp = np.arange(9.0).reshape(3, 3) / 8
    made = {
        "share of this map's maximum; the line is its half": plots.show(explanation()),
        "share of this map's maximum": plots.grid([[ramp]]),
        "share of this map's largest size": plots.grid([[ramp - 0.5]]),
        "each map: its own range": plots.grid([[5 * ramp]], limits=None),
        "value": plots.grid([[5 * ramp]], limits=(0, 5)),
    }
    for label, figure in made.items():
        assert figure.get_size_inches()[0] == plots.WIDTH
        assert figure.axes[-1].get_ylabel() == label
    assert len(plots.grid([[np.zeros((3, 3, 3))]]).axes) == 1  # a photograph alone has no bar
    assert [tick.get_text() for tick in made["share of this map's largest size"].axes[-1].get_xticklabels()] == [
        "−1",
        "0",
        "1",
    ]


def test_a_map_with_negative_values_is_drawn_around_a_white_zero():
    figure = plots.grid([[np.array([[-0.5, 0.0, 1.0]])]])
    shown = figure.axes[0].images[0]
    assert (shown.get_cmap().name, shown.get_clim()) == (plots.DIVERGING, (-1, 1))
    assert shown.to_rgba(np.array([[-0.5, 0.0, 1.0]]))[0, 1, :3] == pytest.approx(1)


def test_the_label_of_a_bar_fits_a_low_figure():
    for columns in (10, 7, 5):
        assert text_problems(plots.grid([[explanation()] * columns])) == []


def test_tiles_never_grow_out_of_the_page():
    figure = plots.grid([[np.zeros((40, 20, 3))]] * 6)
    assert figure.get_size_inches()[1] <= 12.5


def test_grid_names_what_does_not_match():
    with pytest.raises(ValueError, match="row_labels has 1 entries for 2"):
        plots.grid([[None], [None]], ["a"])
    with pytest.raises(ValueError, match="cells is empty"):
        plots.grid([])


def test_feature_maps_takes_the_strongest_channels():
    stack = np.arange(1, 7.0)[:, None, None] * np.ones((6, 2, 3))
    figure = plots.feature_maps(stack, columns=2, count=3)
    assert [ax.get_title() for ax in figure.axes] == ["k = 5", "k = 4", "k = 3", ""]
    assert [ax.images[0].get_clim() for ax in figure.axes[:3]] == [(0, 6), (0, 5), (0, 4)]
    shared = plots.feature_maps(stack, channels=[0, 2], shared=True)
    assert [ax.images[0].get_clim() for ax in shared.axes[:2]] == [(0, 3), (0, 3)]
    signed = plots.feature_maps(stack - 3, channels=[0, 5])
    assert [ax.images[0].get_clim() for ax in signed.axes] == [(-2, 2), (-3, 3)]
    assert {ax.images[0].get_cmap().name for ax in signed.axes} == {plots.DIVERGING}
    with pytest.raises(ValueError, match="channel 6 is not there; the layer has 6"):
        plots.feature_maps(stack, channels=[6])


# Curves, matrices, bars


def test_weights_curves_draws_each_series_apart():
    series = {"w": np.arange(4.0), "g * 100": torch.arange(4.0) * 2}
    ax = plots.weights_curves(series, channels=[7, 3, 9, 1]).axes[0]
    curves = ax.lines[:2]
    assert [line.get_label() for line in curves] == list(series)
    assert list(curves[1].get_ydata()) == [0, 2, 4, 6]
    assert len({(line.get_color(), line.get_marker(), line.get_linestyle()) for line in curves}) == 2
    assert [label.get_text() for label in ax.get_xticklabels()] == ["7", "3", "9", "1"]
    with pytest.raises(ValueError, match=r"must have one length; given \{'w': 4, 'channels': 2\}"):
        plots.weights_curves({"w": np.arange(4.0)}, channels=[1, 2])


def test_value_grid_writes_every_number_and_frames_blocks():
    matrix = np.arange(16.0).reshape(4, 4) - 3
    _, ax = plt.subplots()
    plots.value_grid(matrix, ax, fmt="{:.1f}", blocks=(2, 2))
    assert [text.get_text() for text in ax.texts] == [f"{value:.1f}".replace("-", "−") for value in matrix.ravel()]
    corners = sorted((*patch.get_xy(), patch.get_width()) for patch in ax.patches)
    assert corners == [(-0.5, -0.5, 2), (-0.5, 1.5, 2), (1.5, -0.5, 2), (1.5, 1.5, 2)]
    assert ax.images[0].get_clim() == (-12, 12)
    with pytest.raises(ValueError, match=r"matrix has shape \(3,\)"):
        plots.value_grid(np.ones(3))


def test_bars_show_means_intervals_and_chance():
    frame = pd.DataFrame(
        [(n, m, v, v - 0.1, v + 0.2) for n in ("a", "b") for m, v in (("x", 0.5), ("y", 0.3))],
        columns=["network", "method", "mean", "low", "high"],
    )
    ax = plots.bars_with_intervals(frame, chance=0.25).axes[0]
    assert [bar.get_width() for bar in ax.patches] == [0.5, 0.3, 0.5, 0.3]
    ends = [segment[:, 0].tolist() for segment in ax.collections[0].get_segments()]
    assert ends == [pytest.approx([0.4, 0.7]), pytest.approx([0.2, 0.5])]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["x", "y"]
    one = frame[frame["network"] == "a"].replace({"x": "grad-cam", "y": "score-cam"})
    ax_of_methods = plots.bars_with_intervals(one).axes[0]
    assert [label.get_text() for label in ax_of_methods.get_yticklabels()] == ["Grad-CAM", "Score-CAM"]
    colors = [to_hex(bar.get_facecolor()).upper() for bar in ax_of_methods.patches]
    assert colors == [plots.method_style(name).color for name in ("grad-cam", "score-cam")]
    assert "chance (0.25)" in [line.get_label() for line in ax.lines]
    with pytest.raises(ValueError, match=r"no column \['low'\]"):
        plots.bars_with_intervals(frame.drop(columns="low"))
    with pytest.raises(ValueError, match="several rows"):
        plots.bars_with_intervals(pd.concat([frame, frame]))


def test_bars_of_methods_whose_colors_are_near_have_markers():
    frame = pd.DataFrame(
        [("blocks.4", "grad-cam", 0.5, 0.4, 0.6), ("blocks.4", "grad-cam++", 0.3, 0.2, 0.4)],
        columns=["place", "method", "mean", "low", "high"],
    )
    ax = plots.bars_with_intervals(frame, category="place", group="method").axes[0]
    handles, labels = ax.get_legend_handles_labels()
    assert labels == ["Grad-CAM", "Grad-CAM++"]
    assert [handle.lines[0].get_marker() for handle in handles] == [
        plots.method_style(m).marker for m in frame["method"]
    ]
    assert [float(handle.lines[0].get_xdata()[0]) for handle in handles] == [0.5, 0.3]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("smooth-grad-cam++", ["smooth-grad-", "cam++"]),
        ("a - b", ["a - b"]),
        ("one two", ["one two"]),
        ("given\nbreaks stay", ["given", "breaks stay"]),
    ],
)
def test_wrap_breaks_after_words_and_hyphens_only(text, lines):
    assert look.wrap(text, 0.95, 10).split("\n") == lines
