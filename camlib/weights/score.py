"""Class activation weights that are scores: the network's answer to the picture masked by each feature map.

All of them read the same K forward passes (:meth:`Trace.masked_logits`), which are made once for all classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from camlib.engine.masking import Masking, filler_of
from camlib.registry import method
from camlib.trace import Trace

_V1, _V2 = "Wang et al. 2019", "Wang et al. 2020"


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
    masks: str = "scaled",
    align_corners: bool = False,
    order: str = "upsample-first",
    filler: str = "mean",
    precision: str = "float32",
) -> Tensor:
    """Softmax probability of the target class for each masked picture, [B, K], in [0, 1].

    The options are those of :class:`camlib.engine.masking.Masking`; ``precision="bfloat16"`` warns with its error.
    Channels that are constant get weight 0.
    """
    return class_probabilities(trace, target, Masking(masks, align_corners, order, filler, precision=precision))


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
    order: str = "upsample-first",
    filler: str = "mean",
    precision: str = "float32",
) -> Tensor:
    """Channel-wise increase of confidence: masked picture minus blank picture (all ``filler``), [B, K], in [-1, 1]."""
    masking = Masking("scaled", align_corners, order, filler, precision=precision)
    increase = class_probabilities(trace, target, masking) - blank_probabilities(trace, target, filler)[:, None]
    return increase * trace.live


@method(
    "score-cam-softmax",
    title="Score-CAM (softmax)",
    sign="softmax",
    family="score",
    source=f"{_V2}, alg. 1; the reading of pytorch-grad-cam and torchcam",
    passes="1 forward + K masked",
    summary="w = softmax over channels of the logits of class c",
)
def score_cam_softmax(
    trace: Trace,
    target: Tensor,
    *,
    align_corners: bool = False,
    order: str = "upsample-first",
    filler: str = "mean",
    precision: str = "float32",
) -> Tensor:
    """Softmax over the live channels of the target's logit, [B, K], sums to 1.

    The algorithm also subtracts the logit of a blank picture, which a softmax does not notice.
    """
    masking = Masking("scaled", align_corners, order, filler, precision=precision)
    return softmax_over_live(_class_logits(trace, target, masking), trace.live)


@method(
    "score-cam-raw",
    title="Score-CAM (logits)",
    sign="signed",
    family="score",
    source=f"{_V1}, sec. 5.1 and fig. 5 (before the softmax)",
    passes="1 forward + K masked",
    summary="w_k = logit of class c for the picture masked by map k",
)
def score_cam_raw(
    trace: Trace,
    target: Tensor,
    *,
    align_corners: bool = False,
    order: str = "upsample-first",
    filler: str = "mean",
    precision: str = "float32",
) -> Tensor:
    """Logit of the target class for each masked picture, [B, K]; it does not tell classes apart, says the paper."""
    return _class_logits(trace, target, Masking("scaled", align_corners, order, filler, precision=precision))


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
    filler: str = "mean",
    precision: str = "float32",
) -> Tensor:
    """Softmax probability for pictures masked by 1[upsampled map > 0], [B, K], in [0, 1]."""
    masking = Masking("binary", align_corners, filler=filler, precision=precision)
    return class_probabilities(trace, target, masking)


def class_probabilities(trace: Trace, target: Tensor, masking: Masking) -> Tensor:
    """Softmax probability of the target class for each masked picture, [B, K]; 0 for constant channels."""
    return _of_class(trace.masked_logits(masking).softmax(dim=2), target) * trace.live


def _class_logits(trace: Trace, target: Tensor, masking: Masking) -> Tensor:
    return _of_class(trace.masked_logits(masking), target)


def _of_class(scores: Tensor, target: Tensor) -> Tensor:
    """Each picture's target column, [B, n, C] -> [B, n]."""
    return scores[torch.arange(len(scores)), :, target.to(scores.device)]


def blank_probabilities(trace: Trace, target: Tensor, filler: str = "mean") -> Tensor:
    """Softmax probability of the target class for a picture that is ``filler`` throughout, [B]."""
    masking = Masking(filler=filler)

    def write(b: int):
        blank = filler_of(trace.network, trace.inputs[b], masking)
        return lambda buffer, start, stop: buffer.copy_(torch.zeros_like(buffer) if blank is None else blank)

    logits = trace.picture_logits(("blank", filler), 1, write, "blank pictures")
    return _of_class(logits.softmax(dim=2), target)[:, 0]


def softmax_over_live(scores: Tensor, live: Tensor) -> Tensor:
    """Softmax over the channels that are live, [B, K]; zeros for the others and where none is."""
    weights = scores.masked_fill(~live, -torch.inf).softmax(dim=1)
    return torch.where(live, weights, torch.zeros_like(weights))
