"""Numbers that judge a heatmap: the metrics, their controls, and their intervals.

It stands on the engine and on boxes of data; studies, evaluate and everything above import from it.
Take ``METRICS`` (name -> metric of one ``Sample``), ``Sample``, ``CONTROLS`` and the functions that are listed here.
"""

from camlib.metrics.average_drop import masked_probability, shown_part
from camlib.metrics.controls import CONTROLS, control_maps, control_samples
from camlib.metrics.curves import Curve, area_under_curve, deletion_curve, insertion_curve
from camlib.metrics.localization import (
    area_share,
    box_from_map,
    box_iou,
    energy_share,
    grid_pointing_share,
    iou_curve,
)
from camlib.metrics.registry import METRICS, Metric, find_metric, metric
from camlib.metrics.sample import Sample, probability_score
from camlib.metrics.similarity import binary_overlap, hog_similarity, pearson, spearman, ssim, top_overlap
from camlib.metrics.statistics import Interval, bootstrap_interval, mean_over_classes, paired_difference

__all__ = [
    "CONTROLS",
    "METRICS",
    "Curve",
    "Interval",
    "Metric",
    "Sample",
    "area_share",
    "area_under_curve",
    "binary_overlap",
    "bootstrap_interval",
    "box_from_map",
    "box_iou",
    "control_maps",
    "control_samples",
    "deletion_curve",
    "energy_share",
    "find_metric",
    "grid_pointing_share",
    "hog_similarity",
    "insertion_curve",
    "iou_curve",
    "masked_probability",
    "mean_over_classes",
    "metric",
    "paired_difference",
    "pearson",
    "probability_score",
    "shown_part",
    "spearman",
    "ssim",
    "top_overlap",
]
