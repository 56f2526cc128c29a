"""Class activation weights that are scores: the network's answer to the picture masked by each feature map.

All of them read the same K forward passes (:meth:`Trace.masked_logits`), which are made once for all classes; with
``passes`` they run a part of them, and say what that does to the map (:mod:`camlib.weights.budget`).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from camlib.engine.masking import Filler, Kind, Masking, Order, Passes, Precision, filler_of
from camlib.registry import Detailed, method
from camlib.trace import Trace
from camlib.weights.budget import Read, budgeted

_V1, _V2 = "Wang et al. 2019", "Wang et al. 2020"
Score = Literal["probability", "logit"]
"""What a class's score can be."""


@method(
    "score-cam",
    title="Score-CAM",
    sign="positive by construction",
    family="score",
    source=f"{_V1}, eq. 1-5 (mask normalized as in {_V2}, eq. 8)",
    passes="1 forward + K masked",
    summary="w_k = probability of class c for the picture masked by map k",
)
def score_cam(
    trace: Trace,
    target: Tensor,
    *,
    masks: Kind = "scaled",
    align_corners: bool = False,
    order: Order = "upsample-first",
    filler: Filler = "mean",
    precision: Precision = "float32",
    passes: Passes = None,
) -> Tensor | Detailed:
    """Softmax probability of the target class for each masked picture, [B, K], in [0, 1].

    ``masks``, ``align_corners``, ``order``, ``filler`` and ``precision`` are those of
    :class:`camlib.engine.masking.Masking`: ``masks="unshifted"`` is eq. 1 as printed, ``filler`` what eq. 2 leaves of
    the picture where the mask is 0, ``precision="bfloat16"`` warns with its error. Channels that are constant get
    weight 0.

    ``passes`` is a budget: so many masked pictures run for each picture, and the scores of the other channels are
    interpolated (:mod:`camlib.engine.landmarks`). The explanation's details then hold ``passes`` (that ran),
    ``live_channels`` and ``expected_correlation``, the correlation that its map is expected to have with the exact one.
    """
    masking = Masking(masks, align_corners, order, filler, precision=precision, passes=passes)
    weights = class_probabilities(trace, target, masking)
    return budgeted(trace, target, weights, Read(masking))


@method(
    "score-cam-cic",
    title="Score-CAM (increase)",
    sign="signed",
    family="score",
    source=f"{_V2}, def. 4-5, eq. 9",
    passes="1 forward + K+1 masked",
    summary="w_k = that probability minus the one of the blank picture (increase of confidence)",
)
def score_cam_cic(
    trace: Trace,
    target: Tensor,
    *,
    align_corners: bool = False,
    order: Order = "upsample-first",
    filler: Filler = "mean",
    precision: Precision = "float32",
    passes: Passes = None,
) -> Tensor | Detailed:
    """Channel-wise increase of confidence: masked picture minus blank picture (all ``filler``), [B, K], in [-1, 1].

    ``align_corners``, ``order``, ``precision`` and ``passes`` are those of ``score-cam``.
    """
    masking = Masking("scaled", align_corners, order, filler, precision=precision, passes=passes)
    increase = class_probabilities(trace, target, masking) - blank_probabilities(trace, target, filler)[:, None]
    return budgeted(trace, target, increase * trace.live, Read(masking))


@method(
    "score-cam-softmax",
    title="Score-CAM (softmax)",
    sign="softmax",
    family="score",
    source=f"{_V2}, alg. 1 (score='probability': {_V1}, eq. 8 and the sum below it)",
    passes="1 forward + K masked",
    summary="w = softmax over channels of the logits of class c",
)
def score_cam_softmax(
    trace: Trace,
    target: Tensor,
    *,
    score: Score = "logit",
    align_corners: bool = False,
    order: Order = "upsample-first",
    filler: Filler = "mean",
    precision: Precision = "float32",
    passes: Passes = None,
) -> Tensor | Detailed:
    """Softmax over the live channels of the target's logit, [B, K], sums to 1; so read pytorch-grad-cam and torchcam.

    The algorithm also subtracts the logit of a blank picture, which a softmax does not notice. ``score="probability"``
    puts the probability there, as Wang et al. 2019 print it for captions (below eq. 8). Numbers in [0, 1] leave a
    softmax no weight above e = 2.72 times another: the map is close to the plain sum of all channels.
    ``align_corners``, ``order``, ``filler``, ``precision`` and ``passes`` are those of ``score-cam``.
    """
    masking = Masking("scaled", align_corners, order, filler, precision=precision, passes=passes)
    weights = softmax_over_live(masked_scores(trace, target, masking, score), trace.live)
    return budgeted(trace, target, weights, Read(masking, score, softmax=True))


@method(
    "score-cam-raw",
    title="Score-CAM (logits)",
    sign="signed",
    family="score",
    source=f"{_V1}, sec. 4.3 and fig. 5 (before the softmax)",
    passes="1 forward + K masked",
    summary="w_k = logit of class c for the picture masked by map k",
)
def score_cam_raw(
    trace: Trace,
    target: Tensor,
    *,
    align_corners: bool = False,
    order: Order = "upsample-first",
    filler: Filler = "mean",
    precision: Precision = "float32",
    passes: Passes = None,
) -> Tensor | Detailed:
    """Logit of the target class for each masked picture, [B, K]; it does not tell classes apart, says the paper.

    ``align_corners``, ``order``, ``filler``, ``precision`` and ``passes`` are those of ``score-cam``.
    """
    masking = Masking("scaled", align_corners, order, filler, precision=precision, passes=passes)
    weights = masked_scores(trace, target, masking, "logit")
    return budgeted(trace, target, weights, Read(masking, "logit"))


@method(
    "score-cam-binary",
    title="Score-CAM (binary masks)",
    sign="positive by construction",
    family="score",
    source=f"{_V1}, sec. 4.2",
    passes="1 forward + K masked",
    summary="score-cam with masks that are 1 where the map is positive",
)
def score_cam_binary(
    trace: Trace,
    target: Tensor,
    *,
    align_corners: bool = False,
    filler: Filler = "mean",
    precision: Precision = "float32",
    passes: Passes = None,
) -> Tensor | Detailed:
    """Softmax probability for pictures masked by 1[upsampled map > 0], [B, K], in [0, 1].

    ``align_corners``, ``filler``, ``precision`` and ``passes`` are those of ``score-cam``.
    """
    masking = Masking("binary", align_corners, filler=filler, precision=precision, passes=passes)
    return budgeted(trace, target, class_probabilities(trace, target, masking), Read(masking))


def class_probabilities(trace: Trace, target: Tensor, masking: Masking) -> Tensor:
    """Softmax probability of the target class for each masked picture, [B, K]; 0 for constant channels. Kept."""
    key = "class probabilities", masking, tuple(target.tolist())
    return trace.once(key, lambda: masked_scores(trace, target, masking, "probability"))


def masked_scores(trace: Trace, target: Tensor, masking: Masking, score: str) -> Tensor:
    """Score ("probability" or "logit") of the target class for each masked picture, [B, K]; 0 for constant channels."""
    return of_class(scores_of(trace, trace.masked_logits(masking), score), target) * trace.live


def scores_of(trace: Trace, logits: Tensor, score: str) -> Tensor:
    """Scores of all classes from logits [..., C]: probabilities by the network's output activation, or the logits."""
    return trace.network.probabilities(logits) if score == "probability" else logits


def of_class(scores: Tensor, target: Tensor) -> Tensor:
    """Each picture's target column, [B, n, C] -> [B, n]."""
    return scores[torch.arange(len(scores)), :, target.to(scores.device)]


def blank_logits(trace: Trace, filler: str = "mean") -> Tensor:
    """Logits for a picture that is ``filler`` throughout, [B, 1, C]; kept, so that all classes share the pass."""
    masking = Masking(filler=filler)

    def write(b: int):
        blank = filler_of(trace.network, trace.inputs[b], masking)
        return lambda buffer, start, stop: buffer.copy_(torch.zeros_like(buffer) if blank is None else blank)

    return trace.picture_logits(("blank", filler), 1, write, "blank pictures")


def blank_probabilities(trace: Trace, target: Tensor, filler: str = "mean") -> Tensor:
    """Softmax probability of the target class for a picture that is ``filler`` throughout, [B]."""
    return of_class(trace.network.probabilities(blank_logits(trace, filler)), target)[:, 0]


def softmax_over_live(scores: Tensor, live: Tensor) -> Tensor:
    """Softmax over the channels that are live, [B, K]; zeros for the others and where none is."""
    weights = scores.masked_fill(~live, -torch.inf).softmax(dim=1)
    return torch.where(live, weights, torch.zeros_like(weights))
