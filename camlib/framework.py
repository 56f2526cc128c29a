"""The unified framework: H = Σ_l w_l · M_l and what turns H into a heatmap (Si et al. 2021, eq. 1).

Each step stands in one place and can be left out: weighted sum, removal of the common map, ReLU, upsampling, scaling to
[0, 1].

**The common map.** ΣM, the plain sum of all channels, is what every class shares: it knows the picture and no class.
Weights with a mean of their own carry a multiple of it into H, H = Σ_l (w_l − β) M_l + β ΣM, and weights without a sign
(probabilities, squares, rectified gradients, a softmax) have a large mean. :func:`without_common_map` makes

    H_β = ReLU(H − β ΣM)

for every method, with β = 0 ("keep", as published), the mean weight ("center") or the multiple of ΣM nearest to H
("project", least squares). It costs no further pass. Relatives:

- CASE (Williamson et al. 2025, arXiv 2506.07327) projects from Grad-CAM's weight vector the mean one of rival classes,
  in the space of channels; Finer-CAM (Zhang et al. 2025, arXiv 2501.11309) subtracts the logits of similar classes;
  both need rivals and their gradients, and both are methods here ("case", "finer-cam").
- DeepLIFT's remark on softmax (Shrikumar et al. 2017) subtracts the mean contribution over all *classes*, and CLIP
  Surgery (Li et al. 2023, arXiv 2304.05653) the mean feature over all classes ("redundant features"); contrastive
  backpropagation subtracts the signal of the other classes (Zhang et al. 2016, Gu et al. 2018, Wang and Wang 2022).
  "center" takes the mean over *channels* of one class instead: no other class is asked.
- Score-CAM's increase of confidence (Wang et al. 2020) subtracts the score of a blank picture from every weight: that
  is a multiple of ΣM, chosen by the blank picture ("score-cam-cic"). No other work found removes one from a map.
- LaFAM (Karjauv and Albayrak 2024, arXiv 2407.06059) *is* the common map, ΣM/K, and finds that it looks like Grad-CAM.
- Bae et al. 2020 (ECCV) go the other way: for boxes around whole objects they clamp negative weights to 0.

**Where the sentence ends.** H = Σ_l w_l M_l weighs the maps of one layer. FullGrad (Srinivas and Fleuret 2019) adds the
gradients of all biases to input times gradient, and only with them does its sum equal the logit: a bias has no map to
weigh. Poly-CAM (Englebert et al. 2022) multiplies maps of several layers. Neither is a weight, so neither is a method.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

COMMON = ("keep", "center", "project")
"""What can be done with the common map ΣM, see :func:`without_common_map`."""


def class_activation_map(weights: Tensor, activations: Tensor) -> Tensor:
    """H = Σ_l w_l · M_l, the weighted sum of feature maps (Si et al. 2021, eq. 1; pixel weights: eq. 21).

    Args:
        weights: class activation weights, [B, K] (one a channel) or [B, K, h, w] (one a pixel of each channel).
        activations: feature maps M, [B, K, h, w]; [B, K, w] of a sound, [B, K, d, h, w] of a volume.

    Returns:
        [B, h, w]; [B, w], [B, d, h, w].

    Raises:
        ValueError: the shapes do not belong together.
    """
    if weights.shape == activations.shape[:2]:
        return torch.einsum("bk,bk...->b...", weights, activations)
    if weights.shape == activations.shape:
        return (weights * activations).sum(dim=1)
    expected = [f"[{','.join(map(str, shape))}]" for shape in (activations.shape[:2], activations.shape)]
    raise ValueError(f"Weights {list(weights.shape)} do not fit feature maps; expected {' or '.join(expected)}.")


def checked_common(common: str, name: str, makes: str) -> str:
    """``common`` as given, if the method ``name`` can have it.

    Args:
        common: one of :data:`COMMON`.
        name, makes: of the method, see :class:`camlib.registry.Method`.

    Raises:
        ValueError: another ``common``; anything but "keep" for a saliency of pixels; "center" for a finished map.
    """
    if common not in COMMON:
        raise ValueError(f"common={common!r}: expected one of {COMMON}.")
    if common != "keep" and makes == "pixels":
        raise ValueError(
            f"{name} makes a saliency of pixels, which holds no sum of feature maps: common={common!r} does not apply. "
            f"Leave common at 'keep', or take a class activation map such as 'grad-cam'."
        )
    if common == "center" and makes == "map":
        raise ValueError(f"{name} makes a finished map without weights to center. Use common='project'.")
    return common


class WithoutCommon(NamedTuple):
    """What :func:`without_common_map` leaves.

    Attributes:
        maps: H − β ΣM, [B, h, w], before the ReLU; zeros where ``degenerate``.
        weights: w − β, so that ``maps`` is still their weighted sum; None for a finished map.
        beta: the multiple of ΣM that was removed, [B], or [B, h, w] where pixel weights were centered.
        share: share of H's norm that lies along ΣM, |⟨H, ΣM⟩|/(‖H‖ ‖ΣM‖), [B] in [0, 1]; 0 where either is zero.
        degenerate: H is a multiple of ΣM up to rounding (its own at each position, if pixel weights were centered), so
            that nothing but amplified rounding would be left, bool [B].
    """

    maps: Tensor
    weights: Tensor | None
    beta: Tensor
    share: Tensor
    degenerate: Tensor


def without_common_map(
    maps: Tensor, weights: Tensor | None, activations: Tensor, live: Tensor, common: str
) -> WithoutCommon:
    """H − β ΣM: a class activation map without the part that the plain sum of all channels has in it.

    "center": β is the mean weight of the live channels, for pixel weights the mean at each position. "project":
    β = ⟨H, ΣM⟩/⟨ΣM, ΣM⟩, so that nothing of H along ΣM is left, for weights of either shape and for finished maps. A
    constant added to all weights changes neither result.

    Args:
        maps: H [B, h, w], before the ReLU.
        weights: what made H, [B, K] or [B, K, h, w]; None for a finished map.
        activations: M [B, K, h, w].
        live: channels that count for the mean weight, bool [B, K] (:attr:`camlib.trace.Trace.live`); where none does,
            β is 0.
        common: "center" or "project".

    Raises:
        ValueError: another ``common``, or "center" without weights.
    """
    if common not in COMMON[1:] or (common == "center" and weights is None):
        raise ValueError(f"common={common!r} does not fit: a finished map has no weights to center, use 'project'.")
    total = activations.sum(dim=1)
    along = (maps * total).sum(dim=(1, 2))
    square = (total * total).sum(dim=(1, 2))
    if common == "center":
        beta = _mean_weight(weights, live)
    else:
        beta = torch.where(square > 0, along / torch.where(square > 0, square, 1.0), 0.0)
    reach = maps.abs()
    if weights is None:
        left, rest = None, maps - beta[:, None, None] * total
    else:
        left = weights - (beta[:, None] if beta.dim() == 1 and weights.dim() == 2 else _at_positions(beta))
        rest = class_activation_map(left, activations)
        reach = class_activation_map(weights.abs(), activations.abs())
    size = maps.norm(dim=(1, 2)) * square.sqrt()
    share = torch.where(size > 0, along.abs() / torch.where(size > 0, size, 1.0), 0.0).clamp(max=1)
    degenerate = rest.norm(dim=(1, 2)) <= 16 * torch.finfo(maps.dtype).eps * reach.norm(dim=(1, 2))
    return WithoutCommon(rest.masked_fill(degenerate[:, None, None], 0), left, beta, share, degenerate)


def _mean_weight(weights: Tensor, live: Tensor) -> Tensor:
    """Mean over the live channels, [B, K] -> [B] or [B, K, h, w] -> [B, h, w]."""
    counted = live.to(weights).view(*live.shape, *[1] * (weights.dim() - 2))
    return (weights * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)


def _at_positions(beta: Tensor) -> Tensor:
    """β of a picture or of its positions, ready to be taken from pixel weights [B, K, h, w]."""
    return beta[:, None, None, None] if beta.dim() == 1 else beta[:, None]


_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def upsample(maps: Tensor, size: tuple[int, ...], align_corners: bool = False) -> Tensor:
    """Linear upsampling along every axis of space, [B, h, w] -> [B, H, W].

    Cell centers are aligned; with ``align_corners`` the centers of the outermost cells are.
    """
    if tuple(maps.shape[1:]) == tuple(size):
        return maps
    return F.interpolate(maps[:, None], size, mode=_LINEAR[len(size)], align_corners=align_corners)[:, 0]


def normalize(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Scale each map to [0, 1] by its own minimum and maximum.

    A map whose range is below the rounding error of its type, relative to its largest absolute value, is flat: it
    becomes zeros instead of amplified noise or NaN. The rule is free of units, so tiny gradients are no less
    a map than large ones.

    Args:
        maps: [B, H, W]; [B, W], [B, D, H, W].

    Returns:
        (scaled maps of the same shape in [0, 1], flat [B] bool).
    """
    space = tuple(range(1, maps.dim()))
    low, high = maps.amin(dim=space, keepdim=True), maps.amax(dim=space, keepdim=True)
    largest = torch.maximum(high.abs(), low.abs())
    _, exponent = torch.frexp(largest)
    scale = torch.ldexp(torch.ones_like(largest), -exponent.clamp(min=-100))  # exact, and no difference overflows
    low, high, largest = low * scale, high * scale, largest * scale
    span = high - low
    flat = span <= 16 * torch.finfo(maps.dtype).eps * largest
    scaled = (maps * scale).sub_(low).div_(span.masked_fill(flat, 1.0))
    return scaled.masked_fill_(flat, 0), flat.flatten()


def difference(after: Tensor, before: Tensor) -> Tensor:
    """``after - before``, exactly 0 where it is below the rounding errors of the two.

    Two passes that should give one number differ in its last digits. What is made of such differences must be flat,
    and it can no longer be judged by itself: next to other rounding errors a rounding error is large.
    """
    made = after - before
    rounding = 16 * torch.finfo(made.dtype).eps * torch.maximum(after.abs(), before.abs())
    return made.masked_fill(made.abs() <= rounding, 0)
