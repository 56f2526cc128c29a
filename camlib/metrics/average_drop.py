"""Does the probability drop or rise where only the hot part of the picture is shown? Average drop and increase.

c is the target class of the clean picture, kept for every changed version; scores are softmax probabilities, never
logits. Where libraries differ: pytorch-grad-cam's DropInConfidence is the absolute drop Y - O, and of logits unless a
softmax target is given; torchcam divides by Y + 1e-7 and gives fractions, not percent.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from camlib.engine import masking
from camlib.engine.masking import Filler
from camlib.metrics.arrays import ranks
from camlib.metrics.registry import metric
from camlib.metrics.sample import Sample
from camlib.metrics.substrates import substrate_of
from camlib.options import checked

Part = Literal["all", "half", "binary-half"]

_DROP = "Multiplying dims the picture, so smooth maps near 1 everywhere win: the all-ones control has drop 0"
_LAYER = "the layer moves it more than the method"
_HALF = "maps with many exact zeros are cut less than others; ties at the median are broken by position"


def shown_part(heatmap: Tensor, pixels: str = "all") -> Tensor:
    """How much of each pixel a map shows, [H, W] in [0, 1].

    Args:
        heatmap: [H, W] in [0, 1].
        pixels: "all": the heatmap itself (Chattopadhay et al. 2018); "half": its floor(HW/2) highest pixels with their
            soft values, the rest 0 (Wang et al. 2019, sec. 5.3: "50% of pixels are mute"); "binary-half": 1 on those
            of them that are positive. Equal pixels rank in raster order; a map with more than half zeros is its own
            half.
    """
    checked("pixels", pixels, Part)
    if pixels == "all":
        return heatmap
    soft = torch.where(ranks(heatmap) < heatmap.numel() // 2, heatmap, 0.0)
    return soft if pixels == "half" else (soft > 0).to(heatmap.dtype)


def masked_probability(sample: Sample, pixels: str = "all", filler: str | Tensor = "mean") -> float:
    """O = p_c(x · L + filler · (1 − L)) of the picture seen through its heatmap, in [0, 1]; one pass, kept.

    ``pixels`` as in :func:`shown_part`; ``filler`` as the ``substrate`` of :func:`camlib.metrics.deletion_curve`,
    by default zeros in normalized space: x · L.
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
def average_drop(sample: Sample, *, pixels: Part = "all", filler: Filler | Tensor = "mean") -> float:
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
def average_increase(sample: Sample, *, pixels: Part = "all", filler: Filler | Tensor = "mean") -> float:
    """100.0 where the probability rises behind the heatmap, Y < O, else 0.0; the mean over pictures is AI."""
    return 100.0 * (sample.probability < masked_probability(sample, pixels, filler))
