"""Does the network's probability follow the heatmap? Average drop and increase, deletion and insertion.

c is the target class of the clean picture, kept for every changed version; scores are softmax probabilities, never
logits. Where libraries differ: pytorch-grad-cam's DropInConfidence is the absolute drop Y - O, and of logits unless a
softmax target is given; torchcam divides by Y + 1e-7 and gives fractions, not percent; the RISE authors' AUC gives the
last, shorter step the weight of a whole one, and their order of equal pixels is not stable.
"""

from __future__ import annotations

import math
import numbers
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.integrate import trapezoid
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from camlib.engine import masking
from camlib.metrics.arrays import pair
from camlib.metrics.registry import metric
from camlib.metrics.sample import Sample

PIXELS = ("all", "half", "binary-half")
SUBSTRATES = ("mean", "black", "white", "blur", "gaussian")

_DROP = "Multiplying dims the picture, so smooth maps near 1 everywhere win: the all-ones control has drop 0"
_LAYER = "the layer moves it more than the method"
_HALF = "maps with many exact zeros are cut less than others; ties at the median are broken by position"
_OUTSIDE = "Changed pictures lie outside what the network was trained on"


# -- average drop and increase


def shown_part(heatmap: Tensor, pixels: str = "all") -> Tensor:
    """How much of each pixel a map shows, [H, W] in [0, 1].

    Args:
        heatmap: [H, W] in [0, 1].
        pixels: "all": the heatmap itself (Chattopadhay et al. 2018); "half": its floor(HW/2) highest pixels with their
            soft values, the rest 0 (Wang et al. 2019, sec. 5.3: "50% of pixels are mute"); "binary-half": 1 on those
            of them that are positive. Equal pixels rank in raster order; a map with more than half zeros is its own
            half.
    """
    if pixels not in PIXELS:
        raise ValueError(f"pixels={pixels!r}: expected one of {PIXELS}.")
    if pixels == "all":
        return heatmap
    soft = torch.where(_ranks(heatmap) < heatmap.numel() // 2, heatmap, 0.0)
    return soft if pixels == "half" else (soft > 0).to(heatmap.dtype)


def masked_probability(sample: Sample, pixels: str = "all", filler: str | Tensor = "mean") -> float:
    """O = p_c(x · L + filler · (1 − L)) of the picture seen through its heatmap, in [0, 1]; one pass, kept.

    ``pixels`` as in :func:`shown_part`; ``filler`` as the substrates of :func:`deletion_curve`, by default zeros in
    normalized space: x · L.
    """

    def compute() -> float:
        shown = shown_part(sample.heatmap, pixels)
        hidden = substrate_of(sample, filler)

        def write(buffer: Tensor, start: int, stop: int) -> None:
            masking.blend(sample.inputs.to(buffer), shown[None].to(buffer), hidden.to(buffer), out=buffer)

        return float(sample.probabilities(1, write)[0])

    return sample.kept(("masked", pixels, filler), compute) if isinstance(filler, str) else compute()


@metric(
    "average-drop-binary",
    better="lower",
    unit="%",
    source="Wang et al. 2019, sec. 5.3, read as a binary mask",
    sways=f"Only the order of the pixels counts, and how many are positive; {_HALF}.",
    needs=("score",),
    pixels="binary-half",
)
@metric(
    "average-drop-half",
    better="lower",
    unit="%",
    source="Wang et al. 2019, sec. 5.3",
    sways=f"{_DROP}; {_HALF}.",
    needs=("score",),
    pixels="half",
)
@metric(
    "average-drop",
    better="lower",
    unit="%",
    source="Chattopadhay et al. 2018; Hu et al. 2024, sec. 4.2",
    sways=f"{_DROP}; {_LAYER}.",
    needs=("score",),
)
def average_drop(sample: Sample, *, pixels: str = "all", filler: str | Tensor = "mean") -> float:
    """Drop of the probability behind the heatmap, 100 · max(0, Y − O)/Y in [0, 100]; the mean over pictures is AD.

    Y is the probability of the clean picture, O that of :func:`masked_probability`. The papers print the sum without
    1/N. Where Y is 0 nothing can drop: 0.
    """
    clean, masked = sample.probability, masked_probability(sample, pixels, filler)
    return 100 * max(0.0, clean - masked) / clean if clean > 0 else 0.0


@metric(
    "average-increase-binary",
    better="higher",
    unit="%",
    source="Wang et al. 2019, sec. 5.3, read as a binary mask",
    sways="A picture that the network is sure of has no room for an increase; only the order of the pixels counts.",
    needs=("score",),
    pixels="binary-half",
)
@metric(
    "average-increase-half",
    better="higher",
    unit="%",
    source="Wang et al. 2019, sec. 5.3",
    sways=f"A picture that the network is sure of has no room for an increase; {_HALF}.",
    needs=("score",),
    pixels="half",
)
@metric(
    "average-increase",
    better="higher",
    unit="%",
    source="Chattopadhay et al. 2018 (increase in confidence); Hu et al. 2024, sec. 4.2",
    sways=f"A picture that the network is sure of has no room for an increase; {_LAYER}.",
    needs=("score",),
)
def average_increase(sample: Sample, *, pixels: str = "all", filler: str | Tensor = "mean") -> float:
    """100.0 where the probability rises behind the heatmap, Y < O, else 0.0; the mean over pictures is AI."""
    return 100.0 * (sample.probability < masked_probability(sample, pixels, filler))


# -- deletion and insertion


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
            "white", "blur" (RISE's: :func:`rise_blur`), "gaussian" (mirrored at the border, as Group-CAM's with kernel
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
    step: float = 1 / 28,
    substrate: str | Tensor = "mean",
    kernel: int = 11,
    sigma: float = 5.0,
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
    step: float = 1 / 28,
    substrate: str | Tensor = "blur",
    kernel: int = 11,
    sigma: float = 5.0,
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
    step: float = 1 / 28,
    deleted: str | Tensor = "mean",
    inserted: str | Tensor = "blur",
    kernel: int = 11,
    sigma: float = 5.0,
) -> float:
    """Insertion AUC − deletion AUC, in [-1, 1]; ``deleted`` and ``inserted`` are the substrates of the two curves."""
    options = {"step": step, "kernel": kernel, "sigma": sigma}
    return insertion(sample, substrate=inserted, **options) - deletion(sample, substrate=deleted, **options)


def _kept_curve(
    sample: Sample, direction: str, step: float, substrate: str | Tensor, kernel: int, sigma: float
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
    ranks = _ranks(sample.heatmap)

    def write(buffer: Tensor, start: int, stop: int) -> None:
        places, old, new = ranks.to(buffer.device), before.to(buffer), after.to(buffer)
        for picture, count in zip(buffer, counts[start:stop], strict=True):
            torch.where(places < count, new, old, out=picture)

    return Curve(np.array(counts) / ranks.numel(), sample.probabilities(len(counts), write))


def changed_pixels(pixels: int, step: float) -> list[int]:
    """How many of ``pixels`` are changed at each point of a curve, from 0 to all; the last step may be shorter.

    An int ``step`` is a number of pixels, a float in (0, 1] a share; shares are rounded to whole pixels point by point.
    Raises ValueError for anything else.
    """
    if isinstance(step, numbers.Integral) and not isinstance(step, bool) and step >= 1:
        return [*range(0, pixels, int(step)), pixels]
    if isinstance(step, numbers.Real) and not isinstance(step, numbers.Integral) and 0 < step <= 1:
        points = math.ceil(1 / step - 1e-9)
        return sorted({min(round(i * step * pixels), pixels) for i in range(points)} | {pixels})
    raise ValueError(f"step={step!r}: expected a number of pixels (an int such as 224) or a share in (0, 1] (0.01).")


def _ranks(heatmap: Tensor) -> Tensor:
    """Place of every pixel in descending order, 0 the highest, equal pixels in raster order; int64 [H, W]."""
    order = torch.argsort(heatmap.flatten(), descending=True, stable=True)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(order.numel(), device=order.device)
    return ranks.view(heatmap.shape)


# -- what takes the place of a pixel


def substrate_of(sample: Sample, substrate: str | Tensor, kernel: int = 11, sigma: float = 5.0) -> Tensor:
    """The normalized picture [3, H, W] that deleted pixels are taken from; names as in :func:`deletion_curve`."""
    inputs = sample.inputs
    if isinstance(substrate, Tensor):
        if substrate.shape != inputs.shape:
            raise ValueError(f"substrate is {list(substrate.shape)}; expected the picture's {list(inputs.shape)}.")
        return substrate
    if substrate not in SUBSTRATES:
        raise ValueError(f"substrate={substrate!r}: expected one of {SUBSTRATES} or a normalized picture [3,H,W].")
    if substrate in ("blur", "gaussian") and (kernel < 1 or kernel % 2 == 0 or not sigma > 0):
        raise ValueError(f"kernel={kernel}, sigma={sigma}: expected an odd number of pixels and sigma > 0.")
    if substrate == "mean":
        return torch.zeros_like(inputs)
    if substrate == "blur":
        return rise_blur(inputs, kernel, sigma)
    if substrate == "gaussian":
        return masking.blurred(inputs, sigma, radius=kernel // 2)
    return masking.constant_color(sample.network, inputs, 0.0 if substrate == "black" else 1.0)


def rise_blur(inputs: Tensor, kernel: int = 11, sigma: float = 5.0) -> Tensor:
    """RISE's blur of a normalized picture [C, H, W] (Petsiuk et al. 2018, authors' code).

    Its kernel is a point, blurred on a canvas of ``kernel`` x ``kernel`` pixels that mirrors at its border: with sigma
    5 in 11 pixels nearly a box (center 0.0088, corner 0.0077). The picture is continued by zeros.
    """
    point = np.zeros(kernel)
    point[kernel // 2] = 1
    line = torch.from_numpy(gaussian_filter1d(point, sigma, mode="reflect")).to(inputs)
    down = F.conv2d(inputs[:, None], line.view(1, 1, -1, 1), padding=(kernel // 2, 0))
    return F.conv2d(down, line.view(1, 1, 1, -1), padding=(0, kernel // 2))[:, 0]
