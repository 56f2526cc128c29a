"""The unified framework: H = Σ_l w_l · M_l and what turns H into a heatmap (Si et al. 2021, eq. 1).

Each step stands in one place and can be left out: weighted sum, ReLU, upsampling, scaling to [0, 1].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def class_activation_map(weights: Tensor, activations: Tensor) -> Tensor:
    """H = Σ_l w_l · M_l, the weighted sum of feature maps (Si et al. 2021, eq. 1; pixel weights: eq. 21).

    Args:
        weights: class activation weights, [B, K] (one a channel) or [B, K, h, w] (one a pixel of each channel).
        activations: feature maps M, [B, K, h, w].

    Returns:
        [B, h, w].

    Raises:
        ValueError: the shapes do not belong together.
    """
    if weights.shape == activations.shape[:2]:
        return torch.einsum("bk,bkhw->bhw", weights, activations)
    if weights.shape == activations.shape:
        return (weights * activations).sum(dim=1)
    b, k, h, w = activations.shape
    raise ValueError(f"Weights {list(weights.shape)} do not fit feature maps; expected [{b},{k}] or [{b},{k},{h},{w}].")


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear upsampling [B, h, w] -> [B, H, W], cell centers aligned (``align_corners=False``)."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def normalize(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Scale each map to [0, 1] by its own minimum and maximum.

    A map whose range is below the rounding error of its type, relative to its largest absolute value, is flat: it
    becomes zeros instead of amplified noise or NaN. The rule is free of units, so tiny gradients are no less
    a map than large ones.

    Args:
        maps: [B, H, W].

    Returns:
        (scaled maps [B, H, W] in [0, 1], flat [B] bool).
    """
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    largest = torch.maximum(high.abs(), low.abs())
    _, exponent = torch.frexp(largest)
    scale = torch.ldexp(torch.ones_like(largest), -exponent.clamp(min=-100))  # exact, and no difference overflows
    low, high, largest = low * scale, high * scale, largest * scale
    span = high - low
    flat = span <= 16 * torch.finfo(maps.dtype).eps * largest
    scaled = (maps * scale).sub_(low).div_(span.masked_fill(flat, 1.0))
    return scaled.masked_fill_(flat, 0), flat.flatten()
