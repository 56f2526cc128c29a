"""Does the heatmap lie on the object? Pointing games, boxes from maps, several objects of one class.

Where libraries differ: Quantus' pointing game counts a hit where any of several equal maxima lies inside and knows no
tolerance, ours takes the first; its relevance mass accuracy is our energy share on maps without negative values, NaN
(not 0) for an empty one. The Score-CAM authors' helper indexes rows with x; here rows are y.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from skimage.measure import label, regionprops
from torchvision.ops import box_iou as pairwise_iou

from camlib.data.boxes import Box
from camlib.metrics.arrays import one_map
from camlib.metrics.registry import metric
from camlib.metrics.sample import Sample
from camlib.options import NotNegative, Share

Rule = Literal["max", "mean", "range", "energy"]
THRESHOLDS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "max": lambda map_, t: map_ >= t * map_.max(),
    "mean": lambda map_, t: map_ >= t * map_.mean(),
    "range": lambda map_, t: map_ - map_.min() >= t * np.ptp(map_),
    "energy": lambda map_, t: map_ >= _energy_level(map_, t),
}
"""Rules that cut an object out of a map by a number t; "max": Zhou et al. 2016, the others: Fong and Vedaldi 2017."""


# -- energy


def energy_share(heatmap: Any, region: Any) -> float:
    """Share of the positive attribution that lies inside a region, in [0, 1] (Wang et al. 2019, sec. 5.2.2).

    ``heatmap`` is [h, w], on any scale; negative values count as 0. ``region`` is bool [H, W], rows are y; where the
    heatmap has another resolution, its pixels count in proportion to their overlap. A uniform map scores the region's
    share of the area; a map without positive values scores 0.0 (count it). Raises ValueError for a map or region that
    is not finite and 2-D.
    """
    positive = one_map(heatmap, "heatmap").clip(min=0)
    inside = one_map(region, "region") > 0
    total = positive.sum()
    if total == 0:
        return 0.0
    rows, columns = (
        _overlap(small, np.arange(large)[:, None], large)
        for small, large in zip(positive.shape, inside.shape, strict=True)
    )
    return float((positive * (rows.T @ inside @ columns)).sum() / total)


def grid_pointing_share(heatmap: Any, cell_index: int, rows: int, columns: int) -> float:
    """Share of the positive attribution that lies inside one cell of a grid mosaic.

    ``heatmap`` is [h, w], at any resolution and on any scale; negative values count as 0. Cells are
    counted row by row from the top left. Where h or w is no multiple of the grid, a pixel that two
    cells share counts in proportion to its overlap. Returns a float in [0, 1]; chance is
    1 / (rows * columns). A map without positive values scores 0.0: count those with
    ``Explanation.degenerate``. Raises ValueError for a map that is not finite and 2-D or a cell outside
    the grid. Grid pointing game: Böhle et al. 2021.
    """
    values = one_map(heatmap, "heatmap")
    if rows < 1 or columns < 1 or not 0 <= cell_index < rows * columns:
        raise ValueError(
            f"cell_index {cell_index} is not in a {rows} x {columns} grid; "
            f"cells are counted row by row from 0 to {rows * columns - 1}"
        )
    positive = values.clip(min=0)
    total = positive.sum()
    if total == 0:
        return 0.0
    row, column = divmod(cell_index, columns)
    inside = _overlap(values.shape[0], row, rows) @ positive @ _overlap(values.shape[1], column, columns)
    return float(inside / total)


@metric(
    "energy-pointing-game",
    better="higher",
    unit="share",
    source="Wang et al. 2019, sec. 5.2.2 (Overlap; Wang et al. 2020: Proportion)",
    sways="The size of the boxes: a uniform map scores their share of the area, so compare with the all-ones control.",
    needs=("boxes",),
)
def energy_pointing_game(sample: Sample) -> float:
    """Share of the heatmap's energy inside the boxes of the target class (their union), in [0, 1]; empty map: 0.

    The paper leaves out pictures whose object covers more than half of the area, see :func:`area_share`.
    """
    return energy_share(sample.heatmap, _region(sample.boxes, sample.size))


@metric(
    "energy-in-mask",
    better="higher",
    unit="share",
    source="Wang et al. 2019, sec. 5.2.2, with a mask in the place of the box",
    sways="The size of the object: a uniform map scores its share of the area; coarse maps spill over its outline.",
    needs=("mask",),
)
def energy_in_mask(sample: Sample) -> float:
    """Share of the heatmap's energy on the pixels of the object, in [0, 1]; empty map: 0."""
    return energy_share(sample.heatmap, sample.mask)


@metric(
    "grid-pointing-game",
    better="higher",
    unit="share",
    source="Böhle et al. 2021",
    sways="Receptive fields: last-layer maps of networks with global average pooling are local, and grids favor them.",
    needs=("boxes",),
)
def grid_pointing_game(sample: Sample) -> float:
    """Share of the positive attribution inside the cells of the target class, in [0, 1]; chance is their area.

    ``boxes`` are those cells. Reads the map before scaling (``raw``) where the sample has it: scaling to [0, 1]
    shifts a map whose minimum is not 0. Empty map: 0.
    """
    attribution = sample.heatmap if sample.raw is None else sample.raw
    return energy_share(attribution, _region(sample.boxes, sample.size))


# -- points


@metric(
    "pointing-game",
    better="higher",
    unit="hit",
    source="Zhang et al. 2018; tolerance as in TorchRay",
    sways="One pixel decides: the tolerance, the size of the object, and large objects in the center hit by chance.",
    needs=("boxes",),
)
def pointing_game(sample: Sample, *, tolerance: NotNegative = 15.0) -> float:
    """1.0 where the largest value lies in a box of the target class or within the tolerance of it, else 0.0.

    Within is less than ``tolerance`` pixels, Euclidean between pixel centers (TorchRay's rule). Of equal maxima the
    first in raster order counts; an empty map is a miss. The accuracy of the paper is the mean over classes of their
    mean hits: :func:`camlib.metrics.mean_over_classes`.
    """
    if tolerance < 0:
        raise ValueError(f"tolerance={tolerance}: expected pixels, 0 or more.")
    if sample.empty:
        return 0.0
    y, x = divmod(int(sample.heatmap.flatten().argmax()), sample.size[1])
    distances = [np.hypot(_beyond(x, x0, x1), _beyond(y, y0, y1)) for x0, y0, x1, y1 in sample.boxes]
    return float(min(distances) == 0 or min(distances) < tolerance)


def _beyond(position: int, low: int, high: int) -> int:
    """Pixels from ``position`` to the half-open interval, 0 inside."""
    return max(low - position, 0, position - (high - 1))


# -- boxes


def box_from_map(heatmap: Any, threshold: float = 0.2, rule: str = "max") -> Box:
    """Tight box (x0, y0, x1, y1), half-open, around the largest region above a threshold (Zhou et al. 2016).

    The region is the largest component of 8-connected pixels that reach the threshold, of equal ones the first in
    raster order. Negative values count as 0; a map without positive ones gives the whole picture.

    Args:
        heatmap: [h, w], on any scale.
        threshold: 0.2 by Zhou et al. (2016), 0.15 by Selvaraju et al. (2017).
        rule: "max": at least threshold x maximum; "mean": x mean; "range": x range above the minimum; "energy": the
            hottest pixels that together hold this share of the sum.

    Raises:
        ValueError: an unknown rule, or a threshold below 0 or (but for "mean") above 1.
    """
    values = one_map(heatmap, "heatmap").clip(min=0)
    if rule not in THRESHOLDS:
        raise ValueError(f"rule={rule!r}: expected one of {tuple(THRESHOLDS)}.")
    if not 0 <= threshold <= (np.inf if rule == "mean" else 1):
        raise ValueError(f"threshold={threshold}: expected a number in [0, 1], such as 0.2, for the rule {rule!r}.")
    whole = (0, 0, values.shape[1], values.shape[0])
    if not values.any():
        return whole
    regions = regionprops(label(THRESHOLDS[rule](values, threshold), connectivity=2))
    if not regions:  # a multiple of the mean that no pixel reaches
        return whole
    y0, x0, y1, x1 = max(regions, key=lambda region: region.area).bbox
    return int(x0), int(y0), int(x1), int(y1)


def box_iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two half-open boxes (x0, y0, x1, y1), in [0, 1]."""
    first, second = (torch.tensor([tuple(box)], dtype=torch.float64) for box in (a, b))
    return float(pairwise_iou(first, second))


def iou_curve(
    sample: Sample, thresholds: Iterable[float] = tuple(np.arange(1, 20) / 20), rule: str = "max"
) -> tuple[np.ndarray, np.ndarray]:
    """(thresholds, IoU): how the box of :func:`box_from_map` depends on the threshold; float64 arrays of one length."""
    levels = np.array(list(thresholds), dtype=np.float64)
    return levels, np.array([box_iou_of_map(sample, threshold=float(level), rule=rule) for level in levels])


@metric(
    "box-iou",
    better="higher",
    unit="IoU",
    source="Zhou et al. 2016",
    sways="The threshold (see iou_curve), and maps that cover the whole object, at which an explanation need not aim.",
    needs=("boxes",),
)
def box_iou_of_map(sample: Sample, *, threshold: NotNegative = 0.2, rule: Rule = "max") -> float:
    """IoU of the box that a threshold cuts out of the heatmap with the best-fitting ground-truth box, in [0, 1].

    An empty map stands for the whole picture.
    """
    found = box_from_map(sample.heatmap, threshold, rule)
    return max(box_iou(found, box) for box in sample.boxes)


@metric(
    "localization-accuracy",
    better="higher",
    unit="hit",
    source="Zhou et al. 2016; ILSVRC",
    sways="The threshold of the map; objects of more than half of the area are hit by the box of the whole picture.",
    needs=("boxes",),
)
def localization_accuracy(
    sample: Sample, *, threshold: NotNegative = 0.2, rule: Rule = "max", overlap: Share = 0.5
) -> float:
    """1.0 where the box from the map has an IoU of at least ``overlap`` with a ground-truth box, else 0.0."""
    return float(box_iou_of_map(sample, threshold=threshold, rule=rule) >= overlap)


# -- several objects of one class


@metric(
    "several-objects-coverage",
    better="higher",
    unit="share",
    source="Wang et al. 2019, sec. 5.1.2 and Liang et al. 2022, fig. 7, made countable",
    sways="A map that is high everywhere covers every box: read it next to the energy pointing game.",
    needs=("boxes",),
)
def several_objects_coverage(sample: Sample, *, level: Share = 0.5) -> float:
    """Share of the boxes that hold at least one pixel above ``level`` x maximum, in [0, 1]; empty map: 0."""
    hot = sample.heatmap > level * sample.heatmap.max()
    return float(np.mean([bool(hot[y0:y1, x0:x1].any()) for x0, y0, x1, y1 in sample.boxes]))


@metric(
    "several-objects-balance",
    better="higher",
    unit="share",
    source="Wang et al. 2019, sec. 5.1.2, on a mosaic with the class in several cells",
    sways="The number and size of the objects: with n equal cells it cannot exceed 1/n.",
    needs=("boxes",),
)
def several_objects_balance(sample: Sample) -> float:
    """Smallest share of the positive attribution that any one of the boxes gets, in [0, 1/n]; empty map: 0."""
    attribution = sample.heatmap if sample.raw is None else sample.raw
    return min(energy_share(attribution, _region([box], sample.size)) for box in sample.boxes)


# -- ground truth


def area_share(sample: Sample) -> float:
    """Share of the picture that the sample's boxes cover (their union), in [0, 1]; 0.0 without boxes."""
    return float(_region(sample.boxes, sample.size).mean())


def _region(boxes: Iterable[Box], size: tuple[int, int]) -> np.ndarray:
    """Union of boxes as bool [H, W]."""
    inside = np.zeros(size, dtype=bool)
    for x0, y0, x1, y1 in boxes:
        inside[y0:y1, x0:x1] = True
    return inside


def _overlap(size: int, index: int | np.ndarray, parts: int) -> np.ndarray:
    """Fraction of each of ``size`` pixels that lies in part ``index`` of ``parts`` equal parts, [..., size]."""
    edges = np.arange(size + 1)
    low, high = index * size / parts, (index + 1) * size / parts
    return np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None)


def _energy_level(values: np.ndarray, share: float) -> float:
    """Smallest value among the hottest pixels that together hold ``share`` of the sum."""
    descending = np.sort(values, axis=None)[::-1]
    sums = np.cumsum(descending)
    return float(descending[min(np.searchsorted(sums, share * sums[-1]), descending.size - 1)])
