"""Does the probability follow the hottest pixels? Deletion and insertion: curves, and the areas under them.

Scores are softmax probabilities of the clean picture's target class. The RISE authors' AUC gives the last, shorter step
the weight of a whole one, and their order of equal pixels is not stable.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numpy as np
import torch
from scipy.integrate import trapezoid
from torch import Tensor

from camlib.metrics.arrays import pair, ranks
from camlib.metrics.registry import metric
from camlib.metrics.sample import Sample
from camlib.metrics.substrates import Substrate, substrate_of
from camlib.options import Count, Pixels, Range, checked

Step = Count | Annotated[float, Range(0, 1, open_low=True)]
"""A number of pixels, an int such as 224, or a share of them, a float such as 0.01."""
_OUTSIDE = "Changed pictures lie outside what the network was trained on"


class Curve(NamedTuple):
    """Probability of the target against the fraction of changed pixels; unpacks as ``fractions, probabilities``.

    Both are float64 arrays of n + 1 points, from fraction 0 to 1.
    """

    fractions: np.ndarray
    probabilities: np.ndarray

    @property
    def auc(self) -> float:
        """Area under the curve, in [0, 1]; see :func:`area_under_curve`."""
        return area_under_curve(*self)


def area_under_curve(fractions: np.ndarray, probabilities: np.ndarray) -> float:
    """Trapezoid rule on the true fractions, in [0, 1] for probabilities.

    Equal to RISE's (Σ p − p_first/2 − p_last/2)/n where all steps are of one size.
    """
    x, y = pair(fractions, probabilities)
    return float(trapezoid(y, x))


def deletion_curve(
    sample: Sample,
    *,
    step: float = 1 / 28,
    substrate: str | Tensor = "mean",
    kernel: int = 11,
    sigma: float = 5.0,
) -> Curve:
    """Probability of the target while the picture's pixels are replaced, the highest first (Petsiuk et al. 2018).

    The pictures of all steps stream through the score's buffer; no more than one batch of them exists at a time.

    Args:
        sample: needs a ``score``.
        step: pixels changed from one point to the next: an int counts them, a float in (0, 1] is a share of the
            picture. At 224 x 224 RISE takes 224 * 8 = 1/28 for data sets and 224 for single pictures, Group-CAM 448,
            Wang et al. 2020 take 0.01.
        substrate: what stands in the place of a deleted pixel: "mean" (0 in normalized space, the mean color), "black",
            "white", "blur" (RISE's), "gaussian" (mirrored at the border, as Group-CAM's with kernel
            51 and sigma 50), or a normalized picture [3, H, W].
        kernel, sigma: side in pixels (odd) and standard deviation of the blurs.

    Returns:
        The :class:`Curve`: begins with the clean picture, ends with the substrate. Equal pixels are taken in raster
        order, so an empty map deletes from the top left: count it.
    """
    return _kept_curve(sample, "deletion", step, substrate, kernel, sigma)


def insertion_curve(
    sample: Sample,
    *,
    step: float = 1 / 28,
    substrate: str | Tensor = "blur",
    kernel: int = 11,
    sigma: float = 5.0,
) -> Curve:
    """Probability of the target while the picture's pixels are put into a substrate, the highest first.

    Options as in :func:`deletion_curve`; begins with the substrate (RISE: the blurred picture; Wang et al. 2020, read
    as a binary mask: "mean"), ends with the clean picture.
    """
    return _kept_curve(sample, "insertion", step, substrate, kernel, sigma)


_CURVE = {"unit": "AUC", "needs": ("score",)}


@metric(
    "deletion-1-percent",
    better="lower",
    source="Wang et al. 2020, table 3",
    sways=f"{_OUTSIDE}: gray holes are new objects to it; the unlikely classes' AUC is small whatever the map.",
    step=0.01,
    **_CURVE,
)
@metric(
    "deletion",
    better="lower",
    source="Petsiuk et al. 2018 (RISE)",
    sways=f"{_OUTSIDE}: scattered holes can destroy a picture faster than a good map does; step and substrate.",
    **_CURVE,
)
def deletion(
    sample: Sample,
    *,
    step: Step = 1 / 28,
    substrate: Substrate | Tensor = "mean",
    kernel: Count = 11,
    sigma: Pixels = 5.0,
) -> float:
    """Area under the deletion curve, in [0, 1]; options as in :func:`deletion_curve`. SA-CAM's fade-out."""
    return deletion_curve(sample, step=step, substrate=substrate, kernel=kernel, sigma=sigma).auc


@metric(
    "insertion-1-percent",
    better="higher",
    source="Wang et al. 2020, table 3, read as a binary mask",
    sways=f"{_OUTSIDE}: an empty canvas favors maps whose highest pixels are one connected patch.",
    step=0.01,
    substrate="mean",
    **_CURVE,
)
@metric(
    "insertion",
    better="higher",
    source="Petsiuk et al. 2018 (RISE)",
    sways="The blur: what the network still recognizes in it is credited to every map; and the clean probability.",
    **_CURVE,
)
def insertion(
    sample: Sample,
    *,
    step: Step = 1 / 28,
    substrate: Substrate | Tensor = "blur",
    kernel: Count = 11,
    sigma: Pixels = 5.0,
) -> float:
    """Area under the insertion curve, in [0, 1]; options as in :func:`insertion_curve`. SA-CAM's fade-in."""
    return insertion_curve(sample, step=step, substrate=substrate, kernel=kernel, sigma=sigma).auc


@metric(
    "overall",
    better="higher",
    unit="difference of AUC",
    source="Liang et al. 2022, sec. 4.5",
    sways="What sways deletion and insertion; the paper gives neither step nor substrate: RISE's stand here.",
    needs=("score",),
)
def overall(
    sample: Sample,
    *,
    step: Step = 1 / 28,
    deleted: Substrate | Tensor = "mean",
    inserted: Substrate | Tensor = "blur",
    kernel: Count = 11,
    sigma: Pixels = 5.0,
) -> float:
    """Insertion AUC − deletion AUC, in [-1, 1]; ``deleted`` and ``inserted`` are the substrates of the two curves."""
    options = {"step": step, "kernel": kernel, "sigma": sigma}
    return insertion(sample, substrate=inserted, **options) - deletion(sample, substrate=deleted, **options)


def _kept_curve(
    sample: Sample, direction: str, step: float, substrate: Substrate | Tensor, kernel: int, sigma: float
) -> Curve:
    counts = changed_pixels(sample.heatmap.numel(), step)

    def compute() -> Curve:
        ends = sample.inputs, substrate_of(sample, substrate, kernel, sigma)
        before, after = ends if direction == "deletion" else ends[::-1]
        return _curve(sample, before, after, counts)

    key = (direction, tuple(counts), substrate, kernel, sigma)
    return sample.kept(key, compute) if isinstance(substrate, str) else compute()


def _curve(sample: Sample, before: Tensor, after: Tensor, counts: list[int]) -> Curve:
    """Probabilities when the ``counts`` highest pixels of ``before`` have turned into those of ``after``."""
    order = ranks(sample.heatmap)

    def write(buffer: Tensor, start: int, stop: int) -> None:
        places, old, new = order.to(buffer.device), before.to(buffer), after.to(buffer)
        for picture, count in zip(buffer, counts[start:stop], strict=True):
            torch.where(places < count, new, old, out=picture)

    return Curve(np.array(counts) / order.numel(), sample.probabilities(len(counts), write))


def changed_pixels(pixels: int, step: float) -> list[int]:
    """How many of ``pixels`` are changed at each point of a curve, from 0 to all; the last step may be shorter.

    ``step`` is a :data:`Step`; shares are rounded to whole pixels point by point. Raises ValueError or TypeError for
    anything else.
    """
    step = checked("step", step, Step)
    if isinstance(step, int):
        return [*range(0, pixels, step), pixels]
    points = math.ceil(1 / step - 1e-9)
    return sorted({min(round(i * step * pixels), pixels) for i in range(points)} | {pixels})
