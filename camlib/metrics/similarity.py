"""How alike two maps are: of two classes (class discrimination), of trained and random weights (sanity check)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from skimage.feature import hog
from skimage.metrics import structural_similarity

from camlib import framework
from camlib.metrics.arrays import one_map, pair
from camlib.metrics.registry import metric
from camlib.metrics.sample import Sample
from camlib.options import Count

_WINDOW = 11
_LAYER = "The layer: a small map, upsampled, is smooth, and two unrelated smooth maps are far from dissimilar"


def pearson(a: Any, b: Any) -> float:
    """Pearson correlation of two maps of the same shape, in [-1, 1].

    A constant map has no correlation with anything: the result is then 0.0, never NaN. Raises
    ValueError for maps of different shape or with values that are not finite.
    """
    first, second = pair(a, b)
    return _correlation(first.ravel(), second.ravel())


def spearman(a: Any, b: Any) -> float:
    """Spearman rank correlation of two maps of the same shape, in [-1, 1].

    Ties share their mean rank. A constant map gives 0.0, never NaN. Raises ValueError as `pearson` does.
    """
    first, second = pair(a, b)
    return _correlation(rankdata(first), rankdata(second))


def ssim(a: Any, b: Any) -> float:
    """Mean structural similarity of two maps [h, w], each scaled to [0, 1] first, in [-1, 1].

    Gaussian window of sigma 1.5 in 11 x 11 pixels, data range 1 (Wang et al. 2004; used by Adebayo et al. 2018). A
    constant map counts as zeros; two of them are alike, 1.0. Raises ValueError for maps of different shape, not
    finite, or smaller than the window.
    """
    first, second = _maps(a, b, _WINDOW)
    return float(
        structural_similarity(
            _scaled(first),
            _scaled(second),
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def hog_similarity(a: Any, b: Any, cell: int = 16) -> float:
    """Spearman correlation of two maps' histograms of oriented gradients, in [-1, 1] (Adebayo et al. 2018).

    9 orientations, cells of ``cell`` x ``cell`` pixels, blocks of 3 x 3 cells. A map without edges gives 0.0. Raises
    ValueError for maps of different shape, not finite, or smaller than one block.
    """
    first, second = _maps(a, b, 3 * cell)
    histograms = [hog(_scaled(map_), orientations=9, pixels_per_cell=(cell, cell)) for map_ in (first, second)]
    return spearman(*histograms)


def binary_overlap(a: Any, b: Any, level: float = 100 / 255, smoothing: float = 1e-6) -> tuple[float, float]:
    """IoU and Dice coefficient of the pixels above ``level`` in two maps [h, w] of the same shape, in [0, 1].

    How LFI-CAM's authors measure stability between trainings: maps as 8-bit pictures, more than 100 of 255. The
    smoothing lets two empty sets overlap wholly; the authors' Dice doubles it in the numerator alone, which gives these
    2. Raises ValueError for maps of different shape or with values that are not finite.
    """
    first, second = pair(one_map(a, "a") > level, one_map(b, "b") > level)
    both, total = (first * second).sum(), first.sum() + second.sum()
    iou = (both + smoothing) / (total - both + smoothing)
    return float(iou), float((2 * both + smoothing) / (total + smoothing))


def top_overlap(a: Any, b: Any, share: float = 0.05) -> float:
    """Share of the highest cells of one map [h, w] that are among the highest of the other, in [0, 1].

    The highest are the ``share`` of all cells, at least one; among equal values the first in raster order. 1: the two
    maps point at the same places; two unrelated maps reach ``share`` on average. Williamson, Dwyer and Ji (2025, CASE)
    ask it of the maps of the two most probable classes, and call a method class-sensitive whose median over pictures is
    surely below 0.5.

    Raises ValueError for maps of different shape, values that are not finite, or a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share!r}: expected a part of the cells in (0, 1], such as 0.05.")
    first, second = pair(one_map(a, "a"), one_map(b, "b"))
    count = max(1, round(share * first.size))
    highest = [set(np.argsort(-map_.ravel(), kind="stable")[:count]) for map_ in (first, second)]
    return len(highest[0] & highest[1]) / count


@metric(
    "class-discrimination",
    better="lower",
    unit="Pearson r",
    source="Si et al. 2021, sec. 4.3 and Liang et al. 2022, sec. 4.3, made countable",
    sways=f"{_LAYER}; a class-blind method scores 1 whatever it shows.",
    needs=("reference",),
)
def class_discrimination(sample: Sample) -> float:
    """Pearson correlation of the heatmap with that of another class of the same picture, in [-1, 1].

    1 means that the map does not depend on the class. An empty map of either class gives 0.0: count it.
    """
    return pearson(sample.heatmap, sample.reference)


@metric(
    "sanity-ssim",
    better="lower",
    unit="SSIM",
    source="Adebayo et al. 2018",
    sways=f"{_LAYER}: random 14 x 14 maps at 224 pixels still reach about 0.2; empty regions count as alike.",
    needs=("reference",),
)
def sanity_ssim(sample: Sample) -> float:
    """SSIM of the heatmap with that of the same network with random weights: it must fall as layers are randomized."""
    return ssim(sample.heatmap, sample.reference)


@metric(
    "sanity-spearman",
    better="lower",
    unit="Spearman r",
    source="Adebayo et al. 2018",
    sways="Exact zeros behind a ReLU share one rank, and maps that are centered by habit correlate without weights.",
    needs=("reference",),
)
def sanity_spearman(sample: Sample) -> float:
    """Rank correlation of the heatmap with that of the same network with random weights.

    Adebayo et al. also compare absolute values of signed maps: ``spearman(a.abs(), b.abs())``.
    """
    return spearman(sample.heatmap, sample.reference)


@metric(
    "sanity-hog",
    better="lower",
    unit="Spearman r of HOG",
    source="Adebayo et al. 2018",
    sways="The size of a cell, 16 pixels: edges of upsampling that lie on the same raster correlate.",
    needs=("reference",),
)
def sanity_hog(sample: Sample, *, cell: Count = 16) -> float:
    """Rank correlation of edge histograms of the heatmap and that of the same network with random weights."""
    return hog_similarity(sample.heatmap, sample.reference, cell)


def _maps(a: Any, b: Any, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Two maps of one shape, at least ``least`` pixels on each side."""
    first, second = pair(one_map(a, "a"), one_map(b, "b"))
    if min(first.shape) < least:
        raise ValueError(f"Maps are {first.shape}; expected at least {least} pixels on each side: upsample them first.")
    return first, second


def _scaled(values: np.ndarray) -> np.ndarray:
    """The map scaled to [0, 1] by its own minimum and maximum; a constant one becomes zeros."""
    return framework.normalize(torch.from_numpy(values)[None])[0][0].numpy()


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson correlation of two vectors; 0.0 where one of them is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
