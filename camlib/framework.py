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
    return made.masked_fill(made.abs() <= 16 * torch.finfo(made.dtype).eps * torch.maximum(after.abs(), before.abs()), 0)
