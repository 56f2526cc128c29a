"""Weights made from gradients and from scores of masked pictures: SA-CAM and Group-CAM."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from camlib import framework
from camlib.engine.masking import Masking, Passes, blend, blurred
from camlib.engine.scoring import Writer
from camlib.options import Count, Percent, Pixels, Seed, Share
from camlib.registry import Detailed, method
from camlib.trace import Trace
from camlib.weights.budget import Read, budgeted
from camlib.weights.gradient import grad_cam, grad_cam_plus_plus
from camlib.weights.score import class_probabilities, softmax_over_live

_PERTURBATIONS = {"constant": "mean", "noise": "noise", "blur": "blur"}
_FORMS = {
    "sum": lambda s, k, q: s + k + q,  # eq. 9-10, algorithm 2
    "score-gradient": lambda s, k, q: s * k,  # eq. 5
    "product": lambda s, k, q: s * k * q,  # eq. 6
    "mixed": lambda s, k, q: (s + k) * q,  # eq. 8
}


@method(
    "sa-cam",
    title="SA-CAM",
    sign="softmax",
    family="hybrid",
    source="Liang et al. 2022, eq. 9-13, alg. 1-2",
    passes="1 forward + 1 backward + 2K masked",
    summary="w = softmax over channels of S + λ1·(mean gradient) + λ2·(Grad-CAM++ weight)",
)
def sa_cam(
    trace: Trace,
    target: Tensor,
    *,
    perturbation: Literal["constant", "noise", "blur"] = "constant",
    lambda1: float = 1.0,
    lambda2: float = 1.0,
    tau: Share = 0.5,
    fill: Literal["white", "mean", "black"] = "white",
    scale: Literal["minmax", "max", "maxabs", "none"] = "minmax",
    form: Literal["sum", "score-gradient", "product", "mixed"] = "sum",
    softmax: bool = True,
    exact: bool = False,
    sigma: Pixels = 10.0,
    seed: Seed = 0,
    passes: Passes = None,
) -> Tensor | Detailed:
    """Self-attention weights: the score S of key area and perturbed picture plus the attention of gradients, [B, K].

    Args:
        trace, target: as for every method.
        perturbation: "constant" (mean color: the pictures of Score-CAM), "noise" or "blur" (eq. 13).
        lambda1, lambda2: factors of the mean gradient and of the Grad-CAM++ weight; the paper gives none.
        tau: threshold of the key area; the paper gives none (0.5 is half the range of its color map's blue).
        fill: color outside the key area: "white" (algorithm 1), "mean" or "black".
        scale: how S, K and Q are made comparable over the live channels: "minmax", (v − min)/(max − min); "max",
            (v − min)/max, eq. 7 as printed, which leaves [0, 1] where the minimum is not 0 (K has negative values);
            "maxabs", v/max|v|; or "none".
        form: "sum" (eq. 9-10, algorithm 2), "score-gradient" (eq. 5), "product" (eq. 6) or "mixed" (eq. 8).
        softmax: whether the weights go through a softmax over the channels (algorithm 2).
        exact: take Q from true second and third derivatives (eq. 11), see
            :func:`camlib.weights.gradient.grad_cam_plus_plus`; it matters behind layers that are not piecewise linear.
        sigma, seed: of the blur in pixels, of the noise.
        passes: a budget for each of the two kinds of masked pictures, as for ``score-cam``.
    """
    perturbed = _perturbed(perturbation, sigma, seed, passes)
    key_area = Masking("key-area", filler=fill, threshold=tau, passes=passes)
    s = attention_score(trace, target, key_area, perturbed)
    k, q = grad_cam(trace, target), grad_cam_plus_plus(trace, target, exact=exact)
    k, q = lambda1 * _scaled(k, trace.live, scale), lambda2 * _scaled(q, trace.live, scale)
    weights = _FORMS[form](_scaled(s, trace.live, scale), k, q)
    weights = softmax_over_live(weights, trace.live) if softmax else weights * trace.live
    if passes is None:
        return weights
    area, changed = (class_probabilities(trace, target, masking) for masking in (key_area, perturbed))
    steepness = _steepness(s, trace.live, scale) * (_FORMS[form](1.0, k, q) - _FORMS[form](0.0, k, q))  # linear in s
    reads = Read(key_area, "probability", steepness * (1 + changed), softmax)
    return budgeted(trace, target, weights, reads, Read(perturbed, "probability", steepness * area, softmax))


def _perturbed(perturbation: str, sigma: float, seed: int, passes: int | None) -> Masking:
    """The masking of eq. 13; options that it does not use keep their defaults, so that passes are shared."""
    options = {"constant": {}, "noise": {"seed": seed}, "blur": {"sigma": sigma}}[perturbation]
    return Masking(filler=_PERTURBATIONS[perturbation], passes=passes, **options)


def attention_score(trace: Trace, target: Tensor, key_area: Masking, perturbed: Masking) -> Tensor:
    """S_k = p(key area of map k) · (1 + p(perturbed picture of map k)), [B, K], in [0, 2] (Liang et al., eq. 12)."""
    return class_probabilities(trace, target, key_area) * (1 + class_probabilities(trace, target, perturbed))


def _scaled(scores: Tensor, live: Tensor, scale: str) -> Tensor:
    """Scores over the live channels brought to one range, [B, K]; a constant vector becomes zeros.

    So does one whose largest value is 0 or less, where "max" would divide by it.
    """
    if scale == "none":
        return scores * live
    low, span = _range(scores, live, scale)
    return torch.where(live & span.isfinite(), (scores - low) / span, 0.0)


def _steepness(scores: Tensor, live: Tensor, scale: str) -> Tensor:
    """What :func:`_scaled` multiplies differences of scores with, [B, 1]; extremes are taken for fixed."""
    return torch.ones_like(scores[:, :1]) if scale == "none" else 1 / _range(scores, live, scale)[1]


def _range(scores: Tensor, live: Tensor, scale: str) -> tuple[Tensor, Tensor]:
    """(what is subtracted, what is divided by: inf where nothing is left), [B, 1] each."""
    high = scores.masked_fill(~live, -torch.inf).amax(dim=1, keepdim=True)
    low = scores.masked_fill(~live, torch.inf).amin(dim=1, keepdim=True)
    if scale == "maxabs":
        high, low = torch.maximum(high.abs(), low.abs()), torch.zeros_like(low)
    span = high if scale == "max" else high - low
    return low, torch.where((high > low) & (span > 0) & live.any(dim=1, keepdim=True), span, torch.inf)


@method(
    "group-cam",
    title="Group-CAM",
    sign="rectified",
    family="hybrid",
    source="Zhang et al. 2021, eq. 3-8",
    passes="1 forward + 1 backward + G+1 masked, G = 32",
    summary="groups of gradient-weighted maps, each weighted by the probability that it adds to a blurred picture",
    makes="map",
)
def group_cam(
    trace: Trace,
    target: Tensor,
    *,
    groups: Count = 32,
    theta: Percent | None = 70.0,
    kernel: Count = 51,
    sigma: Pixels = 50.0,
) -> Tensor:
    """Σ_l a_l M_l over groups of channels, a_l the rise of probability over the blurred picture, [B, h, w].

    Args:
        trace, target: as for every method.
        groups: largest number of groups of neighboring channels; as in the authors' code all but the last have the
            same size, so that 112 channels make 28 groups of 4 out of 32.
        theta: values of a group below this percentile are set to 0; None leaves them (the authors' latest code).
        kernel, sigma: size and standard deviation of the Gaussian blur, in pixels.

    Raises:
        ValueError: an even kernel.
    """
    if kernel % 2 == 0:
        raise ValueError(f"kernel={kernel}: expected an odd number of pixels.")
    maps = _group_maps(trace, target, groups, theta)
    weights = torch.zeros(maps.shape[:2]).to(maps)
    for b in range(len(maps)):
        alive = (~framework.normalize(maps[b])[1]).nonzero().flatten()
        weights[b, alive] = _rises(trace, b, int(target[b]), maps[b, alive], (kernel, sigma))
    return framework.class_activation_map(weights, maps)


def _group_maps(trace: Trace, target: Tensor, groups: int, theta: float | None) -> Tensor:
    """Rectified, de-noised sum of the gradient-weighted maps of each group, [B, G, h, w]."""
    weighted = grad_cam(trace, target)[:, :, None, None] * trace.activations
    made = torch.stack([part.sum(dim=1).relu() for part in weighted.chunk(groups, dim=1)], dim=1)
    if theta is None:
        return made
    floor = made.flatten(2).quantile(theta / 100, dim=2)
    return torch.where(made < floor[:, :, None, None], 0.0, made)


def _rises(trace: Trace, b: int, target: int, maps: Tensor, blur: tuple[int, float]) -> Tensor:
    """ReLU(p(blurred picture with group l in focus) − p(blurred picture)) of each live group, [n]."""
    picture = trace.inputs[b].to(maps)
    filler = blurred(picture, blur[1], blur[0] // 2)
    masks = torch.cat([maps.new_zeros(1, *trace.size), framework.normalize(trace.enlarged(maps))[0]])

    def write(buffer: Tensor, start: int, stop: int) -> None:
        blend(picture, masks[start:stop], filler, buffer)

    run: Writer = write
    logits = trace.scorer().logits(len(masks), run, "groups")
    probabilities = trace.network.probabilities(logits)[:, target].to(maps)
    return (probabilities[1:] - probabilities[0]).relu()
