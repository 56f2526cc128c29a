"""Schematic figures: real tensors in lanes of blocks, wires that stay off pictures and bridge each other."""

import itertools
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import texts
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from camlib import plots
from camlib.plots import TIMES, Block, Link, Stage, text_problems
from camlib.plots.bodies import shown_channels
from camlib.plots.routes import BRIDGE, bridged


def stages():
    generator = np.random.default_rng(0)
    return {
        "photo": Stage("photograph", generator.uniform(size=(20, 20, 3)), "image"),
        "body": Stage("network\nbody"),
        "maps": Stage("feature maps", generator.uniform(size=(40, 7, 7)), "stack", note="after the last ReLU"),
        "weights": Stage("weights", generator.normal(size=40), "vector"),
        "weighted": Stage("$w M$", (generator.normal(size=40), generator.uniform(size=(40, 7, 7))), "weighted"),
        "scores": Stage("class scores", [("bull mastiff", 0.5), ("tiger cat", 0.25)], "scores"),
        "times": Stage("x", kind="op"),
        "sum": Stage("Σ", kind="op"),
        "map": Stage("class activation map", generator.uniform(size=(7, 7)), "map"),
        "matrix": Stage("worked", np.arange(9.0).reshape(3, 3), "matrix"),
    }


def crossing_figure():
    s = stages()
    lanes = [
        [s["photo"], s["body"], s["maps"], Stage("GAP"), s["scores"]],
        [None, None, s["weights"], None, s["times"], s["sum"], s["map"], "=", s["matrix"]],
    ]
    return plots.pipeline(
        lanes,
        [Link(s["scores"], s["weights"], "gradient", gradient=True), (s["maps"], "x", "maps")],
        label="forward and map",
        title="A pipeline",
    )


def test_pipeline_texts_can_be_read_at_the_design_width():
    figure = crossing_figure()
    assert text_problems(figure) == []
    assert figure.get_size_inches()[0] == plots.WIDTH


def test_pipeline_reads_shapes_off_the_content():
    words = "\n".join(text.get_text() for text in texts(crossing_figure()))
    for shape in ("20 x 20", "7 x 7 x 40\nafter the last ReLU", "\n40\n", "\n7 x 7\n", "\n3 x 3"):
        assert shape.replace(" x ", TIMES) in words
    weighted = plots.pipeline([stages()["weighted"]])
    assert "7 × 7 × 40" in [text.get_text() for text in texts(weighted)]


def test_pipeline_draws_real_channels_and_real_values():
    s = stages()
    strongest = np.argsort(-s["maps"].content.sum(axis=(1, 2)))[:4]
    figure = plots.pipeline([s["maps"], s["weights"]])
    cards = [np.asarray(image.get_array()) for image in figure.axes[0].images]
    assert len(cards) == 4
    for channel in strongest:
        assert any(np.array_equal(card, s["maps"].content[channel]) for card in cards)
    bars = [patch.get_width() for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    shown = s["weights"].content[np.linspace(0, 39, 24).round().astype(int)]
    drawn = np.array(bars[-24:])  # the vector is drawn last, its frame first
    assert drawn / np.abs(drawn).max() == pytest.approx(shown / np.abs(shown).max())


def test_a_weighted_sum_shows_each_weight_beside_its_map():
    weights, maps = np.array([0.5, -1.0, 2.0]), np.arange(1, 13.0).reshape(3, 2, 2)
    figure = plots.pipeline([Stage("$w M$", (weights, maps), "weighted", channels=[0, 1, 2])])
    ax = figure.axes[0]
    cards = [np.asarray(image.get_array()) for image in ax.images]
    assert [card.tolist() for card in cards] == maps.tolist()
    colors = {1: to_rgb("#B2182B"), -1: to_rgb("#2166AC")}
    bars = [p for p in ax.patches if isinstance(p, Rectangle) and p.get_facecolor()[:3] in colors.values()]
    lengths = np.array([bar.get_width() for bar in bars])
    assert lengths / lengths[2] == pytest.approx(weights / 2)
    assert [bar.get_facecolor()[:3] for bar in bars] == [colors[sign] for sign in (1, -1, 1)]
    for bar, image in zip(bars, ax.images, strict=True):  # on one level, the bar at the left
        left, _, bottom, top = image.get_extent()
        assert bottom < bar.get_y() + bar.get_height() / 2 < top
        assert max(bar.get_x(), bar.get_x() + bar.get_width()) < left


def test_weights_of_each_pixel_are_signed_maps_of_one_range_beside_theirs():
    weights, maps = np.random.default_rng(0).normal(size=(5, 3, 3)), np.ones((5, 3, 3))
    ax = plots.pipeline([Stage("$w M$", (weights, maps), "weighted", channels=[4, 2])]).axes[0]
    signed = [image for image in ax.images if image.get_cmap().name == plots.DIVERGING]
    assert [np.asarray(image.get_array()).tolist() for image in signed] == weights[[4, 2]].tolist()
    assert {image.get_clim() for image in signed} == {(-np.abs(weights).max(), np.abs(weights).max())}


def test_channels_of_a_sum_go_from_the_largest_weight_to_the_smallest_and_are_not_faint():
    maps = np.ones((10, 2, 2))
    maps[7] = 0
    maps[8] = 0.1
    stage = Stage("a", (np.arange(10.0), maps), "weighted")
    assert shown_channels(stage) == [9, 5, 2, 0]  # of 9 6 5 4 3 2 1 0: the first, the last, two between
    assert shown_channels(Stage("a", (np.ones(2), np.zeros((2, 2, 2))), "weighted")) == [0, 1]


def test_an_overlay_keeps_its_contour_as_a_line():
    heat = np.zeros((20, 20))
    heat[5:12, 4:9] = 1
    plain = plots.pipeline([Stage("a", np.ones((20, 20, 3)), "image")]).axes[0]
    laid = plots.pipeline([Stage("a", plots.overlay(np.ones((20, 20, 3)), heat), "image")]).axes[0]
    assert len(laid.collections) == len(plain.collections) + 1
    line = laid.collections[-1].get_paths()[0].vertices
    left, right, bottom, top = laid.images[0].get_extent()
    across, down = (right - left) * np.array([4, 9]) / 20, (top - bottom) * np.array([12, 5]) / 20
    assert [line[:, 0].min(), line[:, 0].max()] == pytest.approx(left + across, abs=1e-3)
    assert [line[:, 1].min(), line[:, 1].max()] == pytest.approx(top - down, abs=1e-3)


def test_pipeline_routes_stay_off_the_pictures():
    s = stages()
    lanes = [[s["photo"], s["body"], s["maps"]], [None, s["map"], s["weights"]]]
    figure = plots.pipeline(lanes, [(s["photo"], s["weights"]), (s["maps"], s["map"]), (s["photo"], s["map"])])
    pictures = [image.get_extent() for image in figure.axes[0].images]
    for line in figure.axes[0].lines:
        for (x0, y0), (x1, y1) in itertools.pairwise(line.get_xydata()):
            for left, right, bottom, top in pictures:
                inside = max(x0, x1) > left + 0.01 and min(x0, x1) < right - 0.01
                assert not (inside and max(y0, y1) > bottom + 0.01 and min(y0, y1) < top - 0.01)


def test_a_wire_bridges_the_upright_pieces_that_it_crosses():
    level, upright = [(0.0, 1.0), (3.0, 1.0)], [(1.0, 0.0), (1.0, 2.0), (2.0, 2.0)]
    path = np.array(bridged(level, [upright]))
    assert path[:, 1].max() == pytest.approx(1 + BRIDGE)
    over = path[path[:, 1] > 1 + 1e-9]
    assert (np.abs(over[:, 0] - 1) < BRIDGE).all()
    assert (path[0], path[-1]) == (pytest.approx([0, 1]), pytest.approx([3, 1]))
    assert (np.diff(path[:, 0]) >= -1e-12).all()
    back = np.array(bridged(level[::-1], [upright]))
    assert (np.diff(back[:, 0]) <= 1e-12).all()
    assert back[:, 1].max() == pytest.approx(1 + BRIDGE)


@pytest.mark.parametrize("other", [[(1.0, 1.5), (1.0, 3.0)], [(0.0, 0.0), (0.0, 2.0)], [(0.0, 2.0), (3.0, 2.0)]])
def test_what_does_not_cross_is_not_bridged(other):
    level = [(0.0, 1.0), (3.0, 1.0)]
    assert bridged(level, [other]) == level


def test_wires_of_one_block_bridge_each_other():
    a, b, c, d = (Stage(name, np.eye(3), "map") for name in "abcd")
    e, f, g, h = (Stage(name, np.eye(3), "map") for name in "efgh")
    figure = plots.pipeline([[a, b, c, d], [e, f, g, h]], [Link(a, g), Link(f, d), Link(e, c)])
    curved = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 12]
    assert curved
    assert text_problems(figure) == []


@example([(0, 6), (5, 3), (4, 2), (1, 7)])
@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=4))
def test_no_two_wires_cross_without_a_bridge(pairs):
    """Wires as they are drawn: a level piece and an upright piece of another wire never meet inside of both."""
    stages_ = [Stage(str(k), np.eye(3), "map") for k in range(8)]
    links = [Link(stages_[a], stages_[b]) for a, b in pairs if a != b]
    figure = plots.pipeline([stages_[:4], stages_[4:]], links)
    wires = [line.get_xydata() for line in figure.axes[0].lines]
    plt.close(figure)
    for one, other in itertools.permutations(wires, 2):
        if np.allclose(one[0], other[0]):
            continue  # a fork of one stage
        for (x0, y0), (x1, y1) in itertools.pairwise(one):
            for (u0, v0), (u1, v1) in itertools.pairwise(other):
                level, upright = abs(y1 - y0) < 1e-6, abs(u1 - u0) < 1e-6
                inside = min(x0, x1) + 0.07 < u0 < max(x0, x1) - 0.07
                inside = inside and min(v0, v1) < y0 - 1e-6 < y0 + 1e-6 < max(v0, v1)
                assert not (level and upright and inside)


def test_a_pipeline_shrinks_to_the_page_and_refuses_what_cannot():
    s = stages()
    pictures = [Stage(str(k), s["photo"].content, "image") for k in range(8)]
    few, many = plots.pipeline(pictures[:3]), plots.pipeline(pictures)
    heights = [np.ptp(figure.axes[0].images[0].get_extent()[2:]) for figure in (few, many)]
    assert heights[0] == pytest.approx(1.25)
    assert 0.6 <= heights[1] < 1.25
    assert {figure.get_size_inches()[0] for figure in (few, many)} == {plots.WIDTH}
    with pytest.raises(ValueError, match=r"block 0 is \d+.\d inches wide, more than 10: 14 columns"):
        plots.pipeline([Stage(f"a long label {k}") for k in range(14)])


def test_blocks_stand_below_each_other_at_one_scale_with_their_labels():
    s = stages()
    pictures = [Stage(str(k), s["photo"].content, "image") for k in range(8)]
    figure = plots.pipelines([Block(pictures, label="many"), Block([s["map"], s["weighted"]], label="few")])
    first, second = figure.axes
    assert first.get_position().y0 > second.get_position().y1
    assert np.ptp(first.images[0].get_extent()[2:]) == pytest.approx(np.ptp(second.images[0].get_extent()[2:]))
    assert {"many", "few"} <= {text.get_text() for text in texts(figure)}
    assert text_problems(figure) == []


def test_a_wide_picture_is_no_wider_than_1_7_times_its_height_allows():
    wide = plots.pipeline([Stage("a", np.zeros((10, 40, 3)), "image")]).axes[0].images[0].get_extent()
    assert wide[1] - wide[0] == pytest.approx(1.7 * 1.25)
    assert (wide[1] - wide[0]) / (wide[3] - wide[2]) == pytest.approx(4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Stage("a", kind="photo"), "kind 'photo' of stage 'a' is not one of"),
        (lambda: Stage("a", kind="map"), "needs content"),
        (lambda: Stage("a", np.ones((2, 2)), "stack"), r"has shape \(2, 2\); expected 3-D"),
        (lambda: Stage("a", (np.ones(3), np.ones((2, 4, 4))), "weighted"), r"weights \(3,\) for maps \(2, 4, 4\)"),
        (lambda: plots.pipeline([Stage("a"), Stage("b")], [("a", "c")]), "no stage of that label"),
        (lambda: plots.pipeline([Stage("a"), Stage("a")], [("a", "a")]), "2 stages of that label"),
        (lambda: plots.pipeline([[Stage("a")]] * 3), "a block has 3 lanes with 3 stages; expected one or two"),
        (lambda: plots.pipeline([]), "a block has 1 lanes with 0 stages"),
        (lambda: plots.pipelines([]), "blocks is empty"),
        (lambda: plots.network_diagram([]), "layers is empty"),
        (lambda: plots.network_diagram([("conv", (3, 4))]), r"layer 'conv' has shape \(3, 4\)"),
    ],
)
def test_schematics_name_what_is_wrong(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_network_diagram_groups_layers_and_colors_kinds():
    layer = SimpleNamespace(name="conv1_1", channels=64, height=224, width=224, kind="conv")
    rest = [
        ("conv1_2", (64, 224, 224)),
        ("pool1", (64, 112, 112), "pool"),
        ("conv2_1", (128, 112, 112)),
        ("GAP", (128, 1, 1), "GAP"),
        ("fc", (1000,)),
    ]
    figure = plots.network_diagram([layer, *rest], title="a network")
    words = [text.get_text().replace(TIMES, " x ") for text in texts(figure)]
    assert "conv1_1 … conv1_2\n224 x 224 x 64" in words
    assert {"fc\n1000", "pool1\n112 x 112 x 64", "conv", "pool", "GAP", "linear"} <= set(words)
    assert text_problems(figure) == []
    fronts = [patch.get_xy() for patch in figure.axes[0].patches][::3]
    heights = [corners[:, 1].max() - corners[:, 1].min() for corners in fronts]
    assert heights[0] == heights[1] == pytest.approx(heights[2] * np.sqrt(2))
