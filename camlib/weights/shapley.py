"""Weights that share a score out among the feature maps: ShapleyCAM by derivatives, LIFT-CAM by DeepLIFT."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from camlib.engine.deeplift import contributions
from camlib.engine.recording import Score, logit_of, on
from camlib.registry import Detailed, method
from camlib.trace import Trace


def _rest(target: Tensor) -> Score:
    return lambda logits: (logits + logits.log_softmax(dim=1)).gather(1, on(logits, target)[:, None])[:, 0]


SCORES = {"rest": _rest, "logit": logit_of}
"""Utilities of ShapleyCAM: "rest" is y_c + ln p_c (residual softmax target class), "logit" is y_c."""


@method(
    "shapley-cam",
    title="ShapleyCAM",
    sign="signed",
    family="shapley",
    source="Cai 2025 (arXiv 2501.06261), with the utility ReST",
    passes="1 forward + 2 backward",
    summary="w_k = mean of (g − ½ Hessian · M)_k for the score y_c + ln p_c",
)
def shapley_cam(trace: Trace, target: Tensor, *, score: Literal["rest", "logit"] = "rest") -> Tensor:
    """Shapley value to second order, w_k = 1/(hw) Σ_ij (g − ½ 𝐇M)_kij with gradient g and Hessian 𝐇 of the score.

    The value of a feature map in a game whose players are the activations and whose value is the score, by Taylor's
    series at M. ``score="rest"`` is the paper's utility y_c + ln p_c, which knows the other classes; ``"logit"`` is y_c
    alone. Behind ReLU layers y_c is piecewise linear: its Hessian is 0 and the logit's ShapleyCAM is Grad-CAM. With
    "rest" the Hessian is the softmax's, and two things differ at once, the score and the second order. Returns [B, K].
    """
    g, curved = trace.hessian_product(SCORES[score](target), trace.activations)
    return (g - curved / 2).mean(dim=(2, 3))


@method(
    "lift-cam",
    title="LIFT-CAM",
    sign="signed",
    family="shapley",
    source="Jung and Oh 2021 (arXiv 2102.05228), sec. 3.3; DeepLIFT: Shrikumar et al. 2017, Rescale rule",
    passes="3 forward + 2 backward",
    summary="w_k = what map k adds to the logit over maps of zeros, by DeepLIFT",
)
def lift_cam(trace: Trace, target: Tensor) -> Detailed:
    """DeepLIFT's contribution of each feature map to y_c against maps of zeros, summed over its positions, [B, K].

    An approximation of the SHAP value of "map k is there", in one backward pass; H weighs the maps with it. The weights
    sum to y_c − y_c(M = 0) where every nonlinearity behind the layer is a function of one number or a max pooling, see
    :func:`camlib.engine.deeplift.contributions`; the detail "completeness_error" says how far they are from it, as a
    share of the largest of |y_c|, |y_c(0)| and their difference. Behind a linear layer it is Ablation-CAM's drop.
    """
    shares, errors = contributions(trace.network, trace.ready, trace.layer, trace.inputs, target)
    return Detailed(trace.folded(shares).sum(dim=(2, 3)), tuple({"completeness_error": error} for error in errors))
