"""Class activation weights made from the gradient g_kij = ∂y_c/∂M_kij of the target logit."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from camlib.engine.linear_head import pooled_rows
from camlib.options import Count, NotNegative, Seed
from camlib.registry import method
from camlib.trace import Trace
from camlib.weights.curvature import logit_curvature

_SMALLEST = 1e-8


@method(
    "grad-cam",
    title="Grad-CAM",
    sign="signed",
    family="gradient",
    source="Selvaraju et al. 2017, eq. 1; Si et al. 2021, eq. 5",
    passes="1 forward + 1 backward",
    summary="w_k = mean of g_k",
)
def grad_cam(trace: Trace, target: Tensor) -> Tensor:
    """Mean gradient of the target logit over each feature map, w_k = 1/(hw) Σ_ij g_kij.

    Returns [B, K].
    """
    return trace.gradients(target).mean(dim=(2, 3))


@method(
    "grad-cam++",
    title="Grad-CAM++",
    sign="rectified",
    family="gradient",
    source="Chattopadhay et al. 2018, eq. 5 and 19",
    passes="1 forward + 1 backward",
    summary="w_k = Σ α_kij ReLU(g_kij), α from second and third derivatives",
)
def grad_cam_plus_plus(trace: Trace, target: Tensor, *, exact: bool = False) -> Tensor:
    """Positive gradients weighted by α = D2/(2·D2 + D3·Σ_ab M_kab), Dn the n-th derivatives of exp(y_c).

    By default D2 = g² and D3 = g³, as the paper has it: these are the derivatives where the network behind the layer
    is piecewise linear (ReLU, pooling, linear layers). Behind other activations (SiLU, GELU, tanh, an attention gate)
    they are not, and the weights can come out in another order. ``exact=True`` differentiates the network behind the
    layer again, D2 = g² + y″ and D3 = g³ + 3·g·y″ + y‴ at every activation with a positive gradient: K·h·w passes of
    it, three times back, so it suits a small tail.

    The common factor exp(y_c) is left out: it is one positive constant for all channels. With g² and g³ each position
    with g > 0 contributes g/(2 + g·ΣM); positions with a denominator up to 1e-8 (layers with negative activations) are
    dropped. Returns [B, K].
    """
    g = trace.gradients(target)
    if not exact:
        return plus_plus_weights(g, g**2, g**3, trace.activations)
    second, third = logit_curvature(trace, target, g > 0)
    return plus_plus_weights(g, g**2 + second, g**3 + 3 * g * second + third, trace.activations)


def plus_plus_weights(d1: Tensor, d2: Tensor, d3: Tensor, activations: Tensor) -> Tensor:
    """Σ_ij α_kij ReLU(D1_kij) with α = D2/(2 D2 + D3 Σ_ab M_kab) (Chattopadhay et al. 2018, eq. 19).

    D1, D2, D3 are [B, K, h, w] derivatives (or their means over noisy passes), ``activations`` is M. Numerator and
    denominator are divided by D2, so that no epsilon decides for small gradients. Returns [B, K].
    """
    total = activations.sum(dim=(2, 3), keepdim=True)
    positive = d1 > 0
    # D3/D2 is the gradient itself in one pass; the guard only meets positions that are dropped anyway.
    ratio = d3 / torch.where(positive & (d2 != 0), d2, torch.ones_like(d2))
    denominator = 2 + ratio * total
    used = positive & (denominator > _SMALLEST)
    return torch.where(used, d1 / torch.where(used, denominator, torch.ones_like(d1)), 0.0).sum(dim=(2, 3))


@method(
    "xgrad-cam",
    title="XGrad-CAM",
    sign="signed",
    family="gradient",
    source="Fu et al. 2020, eq. 8",
    passes="1 forward + 1 backward",
    summary="w_k = Σ g_kij M_kij / Σ M_kij",
)
def xgrad_cam(trace: Trace, target: Tensor) -> Tensor:
    """Gradient averaged with the activations as weights, w_k = Σ_ij g_kij M_kij / Σ_ij M_kij.

    A channel whose activations sum to (almost) zero gets weight 0. Returns [B, K].
    """
    m = trace.activations
    total = m.sum(dim=(2, 3))
    alive = total.abs() > _SMALLEST
    weighted = (trace.gradients(target) * m).sum(dim=(2, 3))
    return torch.where(alive, weighted / torch.where(alive, total, torch.ones_like(total)), 0.0)


@method(
    "layer-cam",
    title="LayerCAM",
    sign="rectified",
    family="gradient",
    source="Jiang et al. 2021, eq. 6-7",
    passes="1 forward + 1 backward",
    summary="w_kij = ReLU(g_kij)",
)
def layer_cam(trace: Trace, target: Tensor) -> Tensor:
    """Positive pixel gradients, w_kij = ReLU(g_kij).

    Returns [B, K, h, w].
    """
    return trace.gradients(target).relu()


@method(
    "hires-cam",
    title="HiResCAM",
    sign="signed",
    family="gradient",
    source="Draelos and Carin 2020, sec. 3 (the authors' code sums Σ_k g_k · M_k, then rectifies)",
    passes="1 forward + 1 backward",
    summary="w_kij = g_kij: Grad-CAM without the averaging",
)
def hires_cam(trace: Trace, target: Tensor) -> Tensor:
    """Pixel gradients as they are, w_kij = g_kij: H = Σ_k g_k · M_k, element by element.

    Grad-CAM replaces g_kij by its mean over the map; the difference between the two is that averaging and nothing else.
    Behind one linear layer on the flattened maps, Σ_ij H_ij = y − b. The equation has no ReLU, the authors' program
    rectifies H before it scales it, and so does this; ``relu=False`` shows the equation. Returns [B, K, h, w].
    """
    return trace.gradients(target)


@method(
    "sca-cam",
    title="SCA-CAM",
    sign="squared",
    family="gradient",
    source="Si et al. 2021, eq. 22 (form='softmax': eq. 21, 23-24)",
    passes="1 forward + 1 backward",
    summary="w_kij = (Σ_ab g_kab) · g_kij: channel times spatial attention",
)
def sca_cam(trace: Trace, target: Tensor, *, form: Literal["gradient", "softmax"] = "gradient") -> Tensor:
    """Spatial attention g_kij times channel attention: Σ_ab g_kab (eq. 22), or the classifier's weights (eq. 21).

    ``form="softmax"`` takes the weights of the classifier: w_k behind global average pooling, Σ_s w_s over the pooled
    values m_s of channel k behind another pooling (eq. 23-24), see :func:`camlib.engine.linear_head.pooled_rows`.

    The paper leaves constant factors out and names neither ReLU nor scaling. On the networks that it shows the ReLU
    changes nothing: with global average pooling H = Σ_k w_k² M_k/hw is nowhere negative. Elsewhere H may be, and is
    rectified here as Grad-CAM's is; ``relu=False`` shows it as printed. Returns [B, K, h, w]. Raises ValueError for
    ``form="softmax"`` where no weights of the network are those of its channels.
    """
    g = trace.gradients(target)
    channel = g.sum(dim=(2, 3)) if form == "gradient" else _classifier_rows(trace, target)
    return channel[:, :, None, None] * g


def _classifier_rows(trace: Trace, target: Tensor) -> Tensor:
    """The classifier's weights of each channel, [B, K]; raises ValueError where the network has none."""
    if trace.head is not None:
        return trace.head.weight[target.to(trace.head.weight.device)]
    sums, classes = trace.gradients(target).sum(dim=(2, 3)), trace.logits.shape[1]
    with trace.ready.held() as module:
        rows = pooled_rows(module, sums, target, classes, trace.network.dtype)
    if rows is None:
        raise ValueError(
            f"form='softmax' needs one linear layer behind a pooling, with Σ_s w_s = Σ_ij g_ij in every channel (Si et "
            f"al. 2021, eq. 24); {trace.network.name} has none behind {trace.layer.name!r}. Use form='gradient'."
        )
    return rows


@method(
    "smooth-grad-cam++",
    title="Smooth Grad-CAM++",
    sign="rectified",
    family="gradient",
    source="Omeiza et al. 2019, eq. 7-8, numerator corrected to the second derivative",
    passes="1 forward + n (forward + backward), n = 25",
    summary="Grad-CAM++ with derivatives averaged over noisy copies",
)
def smooth_grad_cam_plus_plus(
    trace: Trace, target: Tensor, *, samples: Count = 25, noise: NotNegative = 0.15, seed: Seed = 0
) -> Tensor:
    """Grad-CAM++ weights from mean derivatives over ``samples`` noisy pictures; M comes from the clean picture.

    ``noise`` is the standard deviation as a share of the picture's max - min (SmoothGrad's rule), ``seed`` that of
    the draws. The derivatives are powers of gradients, which is exact behind piecewise linear layers alone, see
    :func:`grad_cam_plus_plus`. Returns [B, K].
    """
    d1, d2, d3 = trace.noisy_moments(target, samples, noise, seed)
    return plus_plus_weights(d1, d2, d3, trace.activations)
