"""Similarities of two maps: formulas written out, known answers, and the floors that unrelated maps reach."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import Gap, network, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.signal import convolve2d
from torch import Tensor

from camlib.metrics import METRICS, Sample, binary_overlap, hog_similarity, spearman, ssim, top_overlap

NET = network(seeded(Gap))
SIZE = 96
FEW = settings(max_examples=15, deadline=None)


def smooth(seed: int, cells: int = 14, size: int = SIZE) -> Tensor:
    """Random cells, upsampled and scaled to [0, 1], as a map of a layer is; float32 [size, size]."""
    coarse = torch.rand(1, 1, cells, cells, generator=torch.Generator().manual_seed(seed))
    up = F.interpolate(coarse, (size, size), mode="bilinear", align_corners=False)[0, 0]
    return (up - up.min()) / (up.max() - up.min())


def sample_of(heatmap: Tensor, reference: Tensor) -> Sample:
    return Sample(NET, torch.zeros(3, *heatmap.shape), heatmap, 0, 0.5, reference=reference)


def literal_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004, eq. 13 with its constants, on windows that lie inside the maps."""
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    mean = lambda values: convolve2d(values, window, mode="valid")  # noqa: E731
    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    return float((((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean())


@FEW
@given(seed=st.integers(0, 10**6))
def test_ssim_is_the_formula_of_its_paper(seed):
    a, b = smooth(seed).double().numpy(), smooth(seed + 1, 7).double().numpy()
    assert ssim(a, b) == pytest.approx(literal_ssim(a, b), abs=1e-6)


def test_maps_are_scaled_before_they_are_compared():
    a, b = smooth(0).double(), smooth(1).double()
    assert ssim(7 * a - 3, b / 100) == pytest.approx(ssim(a, b))
    assert hog_similarity(7 * a - 3, b / 100) == pytest.approx(hog_similarity(a, b))


@pytest.mark.parametrize("similarity", [ssim, hog_similarity, spearman])
def test_a_map_is_like_itself_and_the_order_of_two_does_not_matter(similarity):
    a, b = smooth(2), smooth(3)
    assert similarity(a, a) == pytest.approx(1)
    assert similarity(a, b) == pytest.approx(similarity(b, a))
    assert similarity(a, b) < 0.7


def test_the_opposite_map():
    a = smooth(4)
    assert spearman(a, 1 - a) == pytest.approx(-1)
    assert ssim(a, 1 - a) < 0
    assert hog_similarity(a, 1 - a) == pytest.approx(1, abs=0.02)  # edges have no sign


def test_hog_sees_the_direction_of_edges():
    ramp = torch.linspace(0, 1, SIZE)
    stripes = (ramp * 30).sin().expand(SIZE, SIZE)
    shifted = (ramp * 30 + 1).sin().expand(SIZE, SIZE)
    assert hog_similarity(stripes, shifted) > 0.9
    assert hog_similarity(stripes, stripes.T) < 0.3


def test_constant_maps_have_a_defined_similarity():
    flat, a = torch.full((SIZE, SIZE), 0.3), smooth(5)
    assert hog_similarity(flat, a) == 0
    assert spearman(flat, a) == 0
    assert ssim(flat, torch.zeros(SIZE, SIZE)) == 1
    assert ssim(flat, a) == pytest.approx(literal_ssim(np.zeros((SIZE, SIZE)), a.double().numpy()), abs=1e-6)


def test_unrelated_maps_of_a_layer_reach_the_floors_that_were_measured_before():
    """14 x 14 at 224 pixels: SSIM 0.23, Spearman 0.00, HOG 0.04; a sanity check below these says nothing more."""
    pairs = [(smooth(2 * i, size=224), smooth(2 * i + 1, size=224)) for i in range(12)]
    found = {f: np.mean([f(a, b) for a, b in pairs]) for f in (ssim, spearman, hog_similarity)}
    assert found[ssim] == pytest.approx(0.23, abs=0.03)
    assert found[spearman] == pytest.approx(0, abs=0.06)
    assert found[hog_similarity] == pytest.approx(0.04, abs=0.04)


def test_registered_similarities_compare_the_heatmap_with_the_reference():
    a, b = smooth(6), smooth(7)
    sample = sample_of(a, b)
    flat_a, flat_b = a.flatten().numpy(), b.flatten().numpy()
    assert METRICS["class-discrimination"](sample) == pytest.approx(stats.pearsonr(flat_a, flat_b)[0], abs=1e-5)
    assert METRICS["sanity-spearman"](sample) == pytest.approx(stats.spearmanr(flat_a, flat_b)[0], abs=1e-5)
    scaled = [m.double().numpy() for m in (a, b)]
    assert METRICS["sanity-ssim"](sample) == pytest.approx(literal_ssim(*scaled), abs=1e-5)
    assert METRICS["sanity-hog"](sample, cell=32) != METRICS["sanity-hog"](sample)


def test_a_class_blind_method_does_not_discriminate_and_an_empty_map_counts_as_zero():
    a = smooth(8)
    assert METRICS["class-discrimination"](sample_of(a, a)) == pytest.approx(1)
    assert METRICS["class-discrimination"](sample_of(a, torch.zeros_like(a))) == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ssim(torch.ones(10, 40), torch.ones(10, 40)), r"\(10, 40\); expected at least 11 pixels"),
        (lambda: hog_similarity(torch.ones(40, 64), torch.ones(40, 64)), "expected at least 48 pixels"),
        (lambda: ssim(torch.ones(20, 20), torch.ones(20, 21)), "expected the same shape"),
        (lambda: ssim(torch.ones(1, 20, 20), torch.ones(1, 20, 20)), r"a has shape \(1, 20, 20\); expected \[h, w\]"),
        (lambda: hog_similarity(torch.ones(64, 64), torch.full((64, 64), float("inf"))), "b holds NaN or inf"),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# -- overlap of maps above a level


def test_overlap_above_a_level_is_that_of_the_counted_cells():
    a = np.array([[0.9, 0.5, 0.1], [0.4, 0.2, 0.0]])  # above 100/255 = 0.392: three cells
    b = np.array([[0.9, 0.3, 0.1], [0.4, 0.8, 0.39]])  # three cells, two of them shared
    iou, dice = binary_overlap(a, b)
    assert iou == pytest.approx((2 + 1e-6) / (4 + 1e-6), abs=1e-12)
    assert dice == pytest.approx((4 + 1e-6) / (6 + 1e-6), abs=1e-12)
    assert binary_overlap(a, a)[0] == 1


def test_the_level_itself_is_not_above_it():
    """100 of 255 is background, 101 is not: the authors compare 8-bit maps with >."""
    level = np.array([[100, 101]]) / 255
    full = np.ones((1, 2))
    assert binary_overlap(level, full)[0] == pytest.approx(0.5, abs=1e-6)


def test_two_empty_maps_overlap_wholly_and_one_with_a_full_map_not_at_all():
    empty, full = np.zeros((4, 4)), np.ones((4, 4))
    assert binary_overlap(empty, empty) == (1, 1)
    assert binary_overlap(empty, full)[0] == pytest.approx(0, abs=1e-7)


def test_overlap_refuses_maps_of_different_shape():
    with pytest.raises(ValueError, match=r"\(4, 4\) and b \(4, 5\)"):
        binary_overlap(np.zeros((4, 4)), np.zeros((4, 5)))


def test_top_overlap_counts_the_cells_that_both_maps_rank_highest():
    a = np.array([[9, 8, 7, 6], [1, 1, 1, 1]])
    b = np.array([[9, 1, 7, 1], [8, 6, 1, 1]])
    assert top_overlap(a, b, share=0.5) == 0.5  # 9 and 7 of four
    assert top_overlap(a, b, share=0.01) == 1  # at least one cell
    assert top_overlap(a, -a, share=0.5) == 0
    assert top_overlap(a, a + 5) == 1


def test_top_overlap_of_unrelated_maps_is_the_share():
    rng = np.random.default_rng(0)
    found = [top_overlap(*rng.random((2, 20, 20)), share=0.25) for _ in range(200)]
    assert np.mean(found) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("share", [0, -0.1, 1.5])
def test_top_overlap_refuses_a_share_that_is_none(share):
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        top_overlap(np.ones((4, 4)), np.ones((4, 4)), share=share)
