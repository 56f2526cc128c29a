"""Pointing games, boxes and several objects: maps that one can check with a pencil, brute force, other libraries."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers import Gap, network, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from camlib.data.boxes import resized_boxes
from camlib.metrics import (
    METRICS,
    Sample,
    area_share,
    box_from_map,
    box_iou,
    control_samples,
    energy_share,
    grid_pointing_share,
    iou_curve,
    mean_over_classes,
)

NET = network(seeded(Gap))
MANY = settings(max_examples=60, deadline=None)


def sample_of(heatmap: Tensor, boxes: list = (), **truth: object) -> Sample:
    """A sample that needs no network: inputs of the heatmap's size and no score."""
    return Sample(NET, torch.zeros(3, *heatmap.shape), heatmap, 0, 0.5, boxes=boxes, **truth)


def blank(*pixels: tuple[int, int, float], size: tuple[int, int] = (6, 8)) -> Tensor:
    """Zeros but for (y, x, value)."""
    heatmap = torch.zeros(size)
    for y, x, value in pixels:
        heatmap[y, x] = value
    return heatmap


@st.composite
def maps_and_boxes(draw, count: int = 1):
    """A heatmap with many ties and ``count`` boxes inside it."""
    height, width, seed = draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(st.integers(0, 10**6))
    heatmap = torch.from_numpy(np.random.default_rng(seed).integers(0, 5, (height, width)) / 4).float()
    boxes = []
    for _ in range(count):
        x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        boxes.append((x0, y0, draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))))
    return heatmap, boxes


def pixels_of(box: tuple[int, int, int, int]) -> set[tuple[int, int]]:
    x0, y0, x1, y1 = box
    return {(y, x) for y in range(y0, y1) for x in range(x0, x1)}


# -- energy


def test_energy_all_in_half_in_none_in_and_empty():
    box = [(2, 1, 4, 3)]
    assert METRICS["energy-pointing-game"](sample_of(blank((1, 2, 1.0), (2, 3, 0.5)), box)) == 1
    assert METRICS["energy-pointing-game"](sample_of(blank((1, 2, 0.5), (3, 3, 0.25), (1, 4, 0.25)), box)) == 0.5
    assert METRICS["energy-pointing-game"](sample_of(blank((2, 1, 1.0)), box)) == 0
    assert METRICS["energy-pointing-game"](sample_of(blank(), box)) == 0


def test_rows_are_y_and_columns_are_x():
    """The authors' helper of Score-CAM mixes them up: a box that is high and narrow tells."""
    heatmap = blank((4, 1, 1.0))
    assert METRICS["energy-pointing-game"](sample_of(heatmap, [(1, 0, 2, 6)])) == 1
    assert METRICS["energy-pointing-game"](sample_of(heatmap, [(0, 1, 6, 2)])) == 0


def test_energy_of_overlapping_boxes_counts_once():
    sample = sample_of(torch.ones(4, 4), [(0, 0, 2, 4), (1, 0, 3, 4)])
    assert METRICS["energy-pointing-game"](sample) == pytest.approx(0.75)


def test_energy_in_a_mask():
    mask = torch.zeros(2, 3, dtype=torch.bool)
    mask[0, 0] = mask[1, 2] = True
    heatmap = torch.tensor([[0.5, 1, 0], [0, 0, 0.25]])
    assert METRICS["energy-in-mask"](sample_of(heatmap, mask=mask)) == pytest.approx(0.75 / 1.75)


def test_a_uniform_map_scores_the_area():
    sample = sample_of(blank((0, 0, 1.0), size=(10, 20)), [(0, 0, 5, 4), (3, 2, 6, 10)])
    expected = len(pixels_of((0, 0, 5, 4)) | pixels_of((3, 2, 6, 10))) / 200
    assert METRICS["energy-pointing-game"](control_samples(sample)["all-ones"]) == pytest.approx(expected)
    assert area_share(sample) == pytest.approx(expected)
    assert area_share(sample_of(torch.ones(3, 3))) == 0


@MANY
@given(case=maps_and_boxes(count=2), scale=st.floats(1e-12, 1e12))
def test_energy_is_the_share_by_brute_force_on_any_scale(case, scale):
    heatmap, boxes = case
    inside = pixels_of(boxes[0]) | pixels_of(boxes[1])
    total = float(heatmap.double().sum())
    expected = sum(float(heatmap[p]) for p in inside) / total if total else 0.0
    assert METRICS["energy-pointing-game"](sample_of(heatmap, boxes)) == pytest.approx(expected)
    region = np.zeros(heatmap.shape, dtype=bool)
    for y, x in inside:
        region[y, x] = True
    assert energy_share(heatmap.double() * scale, region) == pytest.approx(expected)


def test_negative_attribution_counts_as_none():
    assert energy_share([[3.0, -9.0], [1.0, 0.0]], [[True, True], [False, False]]) == 0.75
    assert energy_share(-np.ones((2, 2)), np.ones((2, 2))) == 0


@MANY
@given(
    height=st.integers(1, 9), width=st.integers(1, 9), rows=st.integers(1, 3), columns=st.integers(1, 3),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_grid_pointing_game_reads_the_small_map_in_its_cells(height, width, rows, columns, seed):
    raw = torch.from_numpy(np.random.default_rng(seed).normal(size=(height, width)))
    for cell in range(rows * columns):
        y, x = divmod(cell, columns)
        box = [(x * 6, y * 6, x * 6 + 6, y * 6 + 6)]
        sample = sample_of(torch.ones(rows * 6, columns * 6), box, raw=raw)
        assert METRICS["grid-pointing-game"](sample) == pytest.approx(grid_pointing_share(raw, cell, rows, columns))


def test_grid_pointing_game_without_a_small_map_reads_the_heatmap():
    sample = sample_of(torch.tensor([[1.0, 0.5], [0.5, 0.0]]), [(0, 0, 1, 1)])
    assert METRICS["grid-pointing-game"](sample) == 0.5


# -- pointing


@pytest.mark.parametrize(("x", "hit"), [(5, 0), (6, 1), (20, 1), (29, 1), (43, 1), (44, 0)])
def test_pointing_less_than_fifteen_pixels_from_the_box_hits(x, hit):
    """The box has the columns 20 to 29; TorchRay's comparison is ``<``."""
    sample = sample_of(blank((12, x, 1.0), size=(40, 60)), [(20, 10, 30, 20)])
    assert METRICS["pointing-game"](sample) == hit


@pytest.mark.parametrize(("aside", "hit"), [(10, 1), (11, 0)])
def test_the_distance_to_a_corner_is_euclidean(aside, hit):
    """10 pixels right and 10 below are 14.1 pixels away, 11 and 11 are 15.6."""
    sample = sample_of(blank((19 + aside, 29 + aside, 1.0), size=(40, 60)), [(20, 10, 30, 20)])
    assert METRICS["pointing-game"](sample) == hit


def test_pointing_without_tolerance_means_inside():
    box, game = (2, 1, 4, 3), METRICS["pointing-game"]
    places = [(y, x) for y in range(6) for x in range(8)]
    assert {p for p in places if game(sample_of(blank((*p, 1.0)), [box]), tolerance=0)} == pixels_of(box)


def test_of_equal_maxima_the_first_in_raster_order_points():
    box = [(5, 0, 6, 1)]
    assert METRICS["pointing-game"](sample_of(blank((0, 5, 1.0), (3, 0, 1.0)), box), tolerance=1) == 1
    assert METRICS["pointing-game"](sample_of(blank((0, 0, 1.0), (0, 5, 1.0)), box), tolerance=1) == 0


def test_an_empty_map_points_nowhere():
    assert METRICS["pointing-game"](sample_of(blank(), [(0, 0, 8, 6)])) == 0
    assert METRICS["pointing-game"](sample_of(torch.ones(6, 8), [(0, 0, 1, 1)])) == 1


@MANY
@given(case=maps_and_boxes(count=2), tolerance=st.floats(0.01, 12))
def test_pointing_is_that_of_all_distances(case, tolerance):
    """TorchRay accepts where any pixel of the object is less than the tolerance from the point."""
    heatmap, boxes = case
    points = [(y, x) for y in range(heatmap.shape[0]) for x in range(heatmap.shape[1])]
    top = max(points, key=lambda p: float(heatmap[p]))  # the first of equal ones
    near = any(math.dist(top, pixel) < tolerance for box in boxes for pixel in pixels_of(box))
    expected = float(near and float(heatmap[top]) > 0)
    assert METRICS["pointing-game"](sample_of(heatmap, boxes), tolerance=tolerance) == expected


def test_accuracy_is_the_mean_over_classes():
    assert mean_over_classes([1, 1, 1, 0, 0.5], ["dog", "dog", "dog", "dog", "cat"]) == pytest.approx((0.75 + 0.5) / 2)
    with pytest.raises(ValueError, match="2 values and 1 classes"):
        mean_over_classes([1, 0], ["dog"])
    with pytest.raises(ValueError, match="at least one"):
        mean_over_classes([], [])


# -- boxes from maps


def test_box_is_tight_around_the_largest_region():
    heatmap = blank((0, 0, 1.0), (2, 3, 0.5), (2, 4, 0.5), (3, 5, 0.21), (4, 5, 0.19))
    assert box_from_map(heatmap) == (3, 2, 6, 4)  # (3, 5) touches (2, 4) by a corner; 0.19 is below 0.2 of 1
    assert box_from_map(heatmap, 0.18) == (3, 2, 6, 5)
    assert box_from_map(heatmap, 0.9) == (0, 0, 1, 1)


def test_the_threshold_itself_belongs_to_the_region():
    heatmap = blank((1, 1, 1.0), (1, 2, 0.5))
    assert box_from_map(heatmap, 0.5) == (1, 1, 3, 2)


def test_of_equal_regions_the_first_in_raster_order_is_taken():
    assert box_from_map(blank((4, 0, 1.0), (1, 6, 1.0), (1, 2, 1.0))) == (2, 1, 3, 2)


def test_an_empty_map_and_a_uniform_one_give_the_whole_picture():
    for heatmap in (torch.zeros(6, 8), torch.ones(6, 8), -torch.ones(6, 8)):
        assert box_from_map(heatmap) == (0, 0, 8, 6)
    assert box_from_map(blank((1, 1, 1.0)), threshold=0) == (0, 0, 8, 6)
    sample = sample_of(blank(), [(0, 0, 4, 6)])
    assert METRICS["box-iou"](sample) == 0.5
    assert METRICS["localization-accuracy"](sample) == 1
    assert METRICS["localization-accuracy"](sample, overlap=0.51) == 0


def test_the_other_rules_by_hand():
    heatmap = np.array([[0.0, 0.1, 0.2, 0.7, 0.0]])
    assert box_from_map(heatmap, 1.0, "mean") == (2, 0, 4, 1)  # mean 0.2
    assert box_from_map(heatmap, 0.5, "mean") == (1, 0, 4, 1)
    assert box_from_map(heatmap, 9.0, "mean") == (0, 0, 5, 1)  # no pixel reaches 1.8: the whole picture
    assert box_from_map(heatmap, 0.7, "energy") == (3, 0, 4, 1)
    assert box_from_map(heatmap, 0.71, "energy") == (2, 0, 4, 1)
    assert box_from_map(heatmap, 1.0, "energy") == (1, 0, 4, 1)
    shifted = heatmap + 0.5  # minimum 0.5, range 0.7
    assert box_from_map(shifted, 0.2, "range") == (2, 0, 4, 1)
    assert box_from_map(shifted, 0.2, "max") == (0, 0, 5, 1)


@MANY
@given(case=maps_and_boxes(), threshold=st.sampled_from([0.2, 0.25, 0.5, 0.6, 1.0]))
def test_box_is_that_of_the_largest_component_by_scipy(case, threshold):
    heatmap, _ = case
    labels, count = ndimage.label(heatmap >= threshold * heatmap.max(), structure=np.ones((3, 3)))
    sizes = ndimage.sum_labels(np.ones(heatmap.shape), labels, range(1, count + 1))
    rows, columns = ndimage.find_objects(labels)[int(np.argmax(sizes))]
    assert box_from_map(heatmap, threshold) == (columns.start, rows.start, columns.stop, rows.stop)


@MANY
@given(case=maps_and_boxes(count=2))
def test_iou_counts_pixels(case):
    _, (first, second) = case
    a, b = pixels_of(first), pixels_of(second)
    assert box_iou(first, second) == pytest.approx(len(a & b) / len(a | b))
    assert box_iou(second, first) == box_iou(first, second)
    assert box_iou(first, first) == 1


def test_iou_by_hand():
    assert box_iou((0, 0, 4, 4), (2, 2, 6, 6)) == pytest.approx(4 / 28)
    assert box_iou((0, 0, 4, 4), (4, 0, 8, 4)) == 0  # half-open boxes only touch


def test_the_best_fitting_box_counts():
    heatmap = torch.zeros(6, 8)
    heatmap[1:3, 1:3] = 1
    assert METRICS["box-iou"](sample_of(heatmap, [(4, 4, 8, 6), (1, 1, 3, 4)])) == pytest.approx(4 / 6)


def test_the_threshold_sweep_of_a_pyramid():
    heatmap = torch.full((6, 6), 0.1)
    heatmap[1:5, 1:5] = 0.5
    heatmap[2:4, 2:4] = 1
    thresholds, ious = iou_curve(sample_of(heatmap, [(1, 1, 5, 5)]), thresholds=[0.05, 0.3, 0.8])
    assert thresholds.tolist() == [0.05, 0.3, 0.8]
    assert ious == pytest.approx([16 / 36, 1, 4 / 16])
    thresholds, ious = iou_curve(sample_of(heatmap, [(1, 1, 5, 5)]))
    assert (len(thresholds), thresholds[0], thresholds[-1]) == (19, 0.05, 0.95)
    assert ious.max() == 1


# -- several objects


def test_coverage_counts_boxes_with_a_pixel_above_half_of_the_maximum():
    heatmap = blank((0, 0, 0.8), (0, 3, 0.4), (5, 7, 0.41))
    boxes = [(0, 0, 1, 1), (3, 0, 4, 1), (6, 4, 8, 6), (2, 2, 4, 4)]
    assert METRICS["several-objects-coverage"](sample_of(heatmap, boxes)) == 0.5  # 0.4 is not above half of 0.8
    assert METRICS["several-objects-coverage"](sample_of(heatmap, boxes), level=0.4) == 0.75
    assert METRICS["several-objects-coverage"](sample_of(blank(), boxes)) == 0
    assert METRICS["several-objects-coverage"](sample_of(torch.ones(6, 8), boxes)) == 1


def test_balance_is_the_smallest_share():
    cells = [(0, 0, 2, 2), (2, 2, 4, 4)]
    even, lopsided = torch.eye(4), torch.diag(torch.tensor([1.0, 1.0, 0.5, 0.0]))
    assert METRICS["several-objects-balance"](sample_of(even, cells)) == 0.5
    assert METRICS["several-objects-balance"](sample_of(lopsided, cells)) == pytest.approx(0.2)
    assert METRICS["several-objects-balance"](sample_of(torch.zeros(4, 4), cells)) == 0
    assert METRICS["several-objects-balance"](sample_of(torch.ones(4, 4), cells, raw=torch.eye(2))) == 0.5


# -- boxes of the photograph


def test_boxes_follow_an_anisotropic_resize():
    assert resized_boxes([(100, 50, 300, 200)], (375, 500), (224, 224)) == ((45, 30, 134, 119),)
    assert resized_boxes([(-10, 0, 600, 375)], (375, 500), (224, 224)) == ((0, 0, 224, 224),)
    assert resized_boxes([(499, 374, 500, 375)], (375, 500), (10, 10)) == ((9, 9, 10, 10),)


@MANY
@given(case=maps_and_boxes(), height=st.integers(1, 300), width=st.integers(1, 300))
def test_resized_boxes_hold_a_pixel_inside_the_picture_and_miss_by_less_than_one(case, height, width):
    heatmap, boxes = case
    size = tuple(heatmap.shape)
    assert resized_boxes(boxes, size, size) == tuple(boxes)
    ((x0, y0, x1, y1),) = resized_boxes(boxes, size, (height, width))
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height
    exact = np.array(boxes[0]) * np.array([width, height] * 2) / np.array([*size[::-1]] * 2)
    assert np.abs(exact - (x0, y0, x1, y1)).max() <= 1


def test_a_box_outside_the_picture_is_refused():
    with pytest.raises(ValueError, match=r"box \(600, 0, 700, 10\) has no area in a picture of H x W = 375 x 500"):
        resized_boxes([(600, 0, 700, 10)], (375, 500), (224, 224))


# -- other libraries


def test_energy_and_pointing_agree_with_quantus_where_they_mean_the_same():
    """Not on empty maps (NaN there) nor on ties (any of the maxima hits there)."""
    reason = "not in the lock, it wants a second OpenCV; pip install --no-deps quantus cachetools"
    quantus = pytest.importorskip("quantus", reason=reason)
    generator = np.random.default_rng(0)
    options = {"normalise": False, "disable_warnings": True}
    for _ in range(5):
        heatmap = generator.permutation(64).reshape(8, 8) / 63
        region = np.zeros((8, 8))
        region[2:6, 1:5] = 1
        batch = {"x_batch": np.zeros((1, 3, 8, 8)), "y_batch": np.zeros(1, int), "a_batch": heatmap[None, None]}
        sample = sample_of(torch.from_numpy(heatmap).float(), [(1, 2, 5, 6)])
        energy = quantus.RelevanceMassAccuracy(**options)(model=NET.module, s_batch=region[None, None], **batch)
        assert METRICS["energy-pointing-game"](sample) == pytest.approx(energy[0], rel=1e-6)
        hit = quantus.PointingGame(**options)(model=NET.module, s_batch=region[None, None], **batch)
        assert METRICS["pointing-game"](sample, tolerance=0) == float(hit[0])


# -- bad input


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: box_from_map(s.heatmap, 1.2), r"threshold=1.2: expected a number in \[0, 1\]"),
        (lambda s: box_from_map(s.heatmap, -0.1, "mean"), "threshold=-0.1"),
        (lambda s: box_from_map(s.heatmap, 0.2, "median"), r"rule='median': expected one of \('max', 'mean'"),
        (lambda s: box_from_map(torch.ones(1, 2, 2)), r"expected \[h, w\]: pass one map"),
        (lambda s: energy_share(torch.full((2, 2), float("nan")), torch.ones(2, 2)), "heatmap holds NaN"),
        (lambda s: energy_share(torch.ones(2, 2), torch.ones(2)), r"region has shape \(2,\)"),
        (lambda s: METRICS["pointing-game"](s, tolerance=-1), "tolerance=-1: expected a number of at least 0"),
        (lambda s: METRICS["energy-pointing-game"](s, box=1), "has no option 'box'. Its options: none"),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(sample_of(torch.ones(2, 2), [(0, 0, 1, 1)]))
