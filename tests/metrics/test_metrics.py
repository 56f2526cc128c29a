"""camlib.metrics against answers known beforehand and against scipy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from camlib import metrics


def test_share_counts_only_positive_attribution_in_the_cell():
    heatmap = np.array([[3.0, 1.0, 0.0, -5.0], [0.0, 0.0, 2.0, 0.0], [0, 0, 0, 0], [0, 0, 4.0, 0]])
    shares = [metrics.grid_pointing_share(heatmap, cell, 2, 2) for cell in range(4)]
    assert shares == pytest.approx([0.4, 0.2, 0.0, 0.4])


def test_share_of_an_all_in_and_a_zero_map():
    heatmap = torch.zeros(6, 6)
    assert metrics.grid_pointing_share(heatmap, 0, 3, 3) == 0.0
    heatmap[4:, :2] = 1
    assert metrics.grid_pointing_share(heatmap, 6, 3, 3) == 1.0


def test_share_splits_a_pixel_between_cells_by_overlap():
    heatmap = np.array([[0.0, 1.0, 0.0]])  # the middle one of three pixels lies half in each of two cells
    assert metrics.grid_pointing_share(heatmap, 0, 1, 2) == pytest.approx(0.5)
    assert metrics.grid_pointing_share(np.ones((7, 7)), 3, 2, 2) == pytest.approx(0.25)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 9), width=st.integers(1, 9), rows=st.integers(1, 4), columns=st.integers(1, 4),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_shares_of_all_cells_add_up_to_one(height, width, rows, columns, seed):
    heatmap = np.random.default_rng(seed).uniform(0.1, 1, (height, width))
    shares = [metrics.grid_pointing_share(heatmap, cell, rows, columns) for cell in range(rows * columns)]
    assert sum(shares) == pytest.approx(1)


def test_share_equals_the_box_sum_of_a_map_enlarged_to_a_multiple_of_the_grid():
    heatmap = np.random.default_rng(1).normal(size=(5, 7))
    enlarged = np.kron(heatmap.clip(min=0), np.ones((3, 2)))  # 15 x 14 pixels: 3 rows and 2 columns fit
    expected = enlarged[5:10, 7:].sum() / enlarged.sum()
    assert metrics.grid_pointing_share(heatmap, 3, 3, 2) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("heatmap", "cell", "words"),
    [
        (np.ones((2, 2)), 4, "counted row by row from 0 to 3"),
        (np.ones((2, 2)), -1, "cell_index -1"),
        (np.ones(4), 0, "expected \\[h, w\\]"),
        (np.full((2, 2), np.nan), 0, "NaN"),
    ],
)
def test_share_names_what_is_wrong(heatmap, cell, words):
    with pytest.raises(ValueError, match=words):
        metrics.grid_pointing_share(heatmap, cell, 2, 2)


def test_correlations_agree_with_scipy():
    generator = np.random.default_rng(3)
    a, b = generator.normal(size=(2, 8, 9)).round(1)
    assert metrics.pearson(a, b) == pytest.approx(stats.pearsonr(a.ravel(), b.ravel())[0])
    assert metrics.spearman(a, b) == pytest.approx(stats.spearmanr(a.ravel(), b.ravel())[0])
    assert metrics.pearson(torch.as_tensor(a), -2 * torch.as_tensor(a) + 1) == pytest.approx(-1)


def test_correlations_with_a_constant_map_are_zero():
    ramp = np.arange(9.0).reshape(3, 3)
    assert metrics.pearson(ramp, np.full((3, 3), 0.1)) == 0.0
    assert metrics.spearman(np.zeros((3, 3)), ramp) == 0.0


def test_correlation_of_different_shapes_is_refused():
    with pytest.raises(ValueError, match="same shape"):
        metrics.pearson(np.ones((2, 2)), np.ones((2, 3)))


def test_interval_agrees_with_scipy_and_repeats():
    values = np.random.default_rng(5).gamma(2.0, size=60)
    value, low, high = metrics.bootstrap_interval(values, resamples=4000, seed=1)
    peer = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=2)
    assert value == pytest.approx(values.mean())
    assert (low, high) == pytest.approx(tuple(peer.confidence_interval), rel=0.02)
    assert metrics.bootstrap_interval(values, resamples=4000, seed=1) == (value, low, high)


def test_interval_of_equal_values_has_no_width():
    assert metrics.bootstrap_interval([0.5] * 7) == (0.5, 0.5, 0.5)


def test_interval_takes_another_statistic_and_level():
    values = np.arange(101.0)
    wide = metrics.bootstrap_interval(values, statistic=np.median, level=0.99)
    narrow = metrics.bootstrap_interval(values, statistic=np.median, level=0.5)
    assert wide.value == narrow.value == 50
    assert wide.low < narrow.low < 50 < narrow.high < wide.high


def test_units_keep_the_values_of_one_picture_together():
    pictures = np.random.default_rng(7).normal(size=40)
    repeated, names = np.repeat(pictures, 10), np.repeat(np.arange(40), 10)
    alone = metrics.bootstrap_interval(pictures)
    assert metrics.bootstrap_interval(repeated, units=names) == pytest.approx(alone)
    naive = metrics.bootstrap_interval(repeated)
    assert naive.high - naive.low < 0.5 * (alone.high - alone.low)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"values": []}, "empty"),
        ({"values": [1.0, float("inf")]}, "infinite"),
        ({"values": [1.0], "level": 95}, "level is 95"),
        ({"values": [1.0, 2.0], "units": [1]}, "units has 1 entries for 2 values"),
        ({"values": [1.0], "resamples": 0}, "resamples is 0"),
    ],
)
def test_interval_names_what_is_wrong(arguments, words):
    with pytest.raises(ValueError, match=words):
        metrics.bootstrap_interval(**arguments)


def test_paired_difference_sees_what_pairing_reveals():
    generator = np.random.default_rng(11)
    pictures = generator.normal(scale=5, size=50)
    better = pictures + 0.2 + generator.normal(scale=0.1, size=50)
    value, low, high = metrics.paired_difference(better, pictures)
    assert value == pytest.approx((better - pictures).mean())
    assert 0 < low < value < high < 0.3
    with pytest.raises(ValueError, match="same shape"):
        metrics.paired_difference([1.0, 2.0], [1.0])
