"""Numbers that judge a heatmap: the registry of metrics, their controls, and the intervals that go with them.

``METRICS`` maps the name of each metric to its function of one :class:`Sample`, with the direction that is better and
what sways it. Controls that look at no network stand beside every method: :data:`CONTROLS`.
"""

from camlib.metrics.controls import CONTROLS, control_maps, control_samples
from camlib.metrics.faithfulness import (
    Curve,
    area_under_curve,
    deletion_curve,
    insertion_curve,
    masked_probability,
    shown_part,
)
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
from camlib.metrics.similarity import binary_overlap, hog_similarity, pearson, spearman, ssim
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
]
