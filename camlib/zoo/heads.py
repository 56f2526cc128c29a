"""Classifier heads with one pooling and one linear layer: where the two class activation weights meet.

Let channel M_l [h, w] be pooled into the values m_s, s ∈ S_l. A pooling that commutes with adding a constant,
pool(M_l + t) = pool(M_l) + t, has unit total derivative, Σ_ij ∂m_s/∂M_l,ij = 1. For every y(m) then

    Σ_ij ∂y/∂M_l,ij = Σ_{s ∈ S_l} ∂y/∂m_s.

With a linear layer, ∂y^c/∂m_s = w_s^c, the mean gradient is (1/hw) Σ_{s ∈ S_l} w_s^c: eq. 6, 7 and 13-18 of
Si et al. 2021 at once. :class:`PoolingHead` is that head; :func:`total_derivatives` tells which poolings
qualify.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

PAPER_POOLINGS = ("gap", "avg 2/2", "max 2/2", "avg 2/1")
"""The four cases of Si et al. 2021, section 3.2.2, in their order."""

_KINDS = {"avg": nn.AvgPool2d, "max": nn.MaxPool2d}


def make_pooling(pooling: str | nn.Module) -> nn.Module:
    """The pooling called "gap", "avg 2/2", "max 3/2" ... (kind, window / stride), or the module itself.

    Windows and strides are square and without padding; pass a module for anything else
    (``nn.AvgPool2d(3, 2, padding=1)``, ``nn.AdaptiveMaxPool2d(3)``). Raises ValueError for another name,
    TypeError for anything that is neither a string nor a module.
    """
    if isinstance(pooling, nn.Module):
        return pooling
    if not isinstance(pooling, str):
        raise TypeError(f"pooling is a name or an nn.Module; given {type(pooling).__name__}.")
    if pooling == "gap":
        return nn.AdaptiveAvgPool2d(1)
    found = re.fullmatch(r"(avg|max) ([1-9]\d*)/([1-9]\d*)", pooling)
    if found is None:
        raise ValueError(
            f"pooling {pooling!r}: expected 'gap', or kind, window and stride as in 'avg 2/2' or 'max 3/1'."
        )
    kind, window, stride = found.groups()
    return _KINDS[kind](int(window), int(stride))


def total_derivatives(pooling: nn.Module, maps: Tensor) -> Tensor:
    """Σ_ij ∂m_s/∂M_l,ij of every pooled value m_s: 1 everywhere where the identity of this module holds.

    It is the derivative in the direction that adds one constant to whole channels: the gradient, with respect
    to u, of the sum over the gradient of u·m. ``maps`` is M [B, K, h, w], floating point; the pooling treats
    channels apart, as all poolings do. Returns [B, K, h', w'].
    """
    with torch.enable_grad():
        maps = maps.detach().requires_grad_(True)
        pooled = pooling(maps)
        u = torch.zeros_like(pooled, requires_grad=True)
        (gradients,) = torch.autograd.grad(pooled, maps, u, create_graph=True)
        return torch.autograd.grad(gradients.sum(), u)[0]


class PoolingHead(nn.Module):
    """Feature maps M [B, K, h, w] -> pooled values m -> logits y^c = Σ_s w_s^c m_s + b^c, [B, classes].

    The values m_s are ordered channel by channel, row by row within a channel (Si et al. 2021, eq. 2 and 8).

    Args:
        channels: K.
        size: (h, w) of the feature maps; the length of w depends on it.
        classes: number of logits.
        pooling: see :func:`make_pooling`; the paper's four cases are :data:`PAPER_POOLINGS`.

    Raises:
        ValueError: unknown pooling, a size that it cannot pool, or (in ``forward``) maps of another shape.
        TypeError: ``pooling`` is neither a name nor a module.
    """

    def __init__(self, channels: int, size: tuple[int, int], classes: int, pooling: str | nn.Module = "gap") -> None:
        super().__init__()
        self.pooling = make_pooling(pooling)
        self.shape = (channels, *size)
        try:
            pooled = self.pooling(torch.zeros(1, *self.shape))
        except RuntimeError as error:
            raise ValueError(
                f"{self.pooling} does not fit feature maps {list(self.shape)}: {error} Use a smaller window."
            ) from error
        self.pooled_size = tuple(pooled.shape[-2:])
        self.linear = nn.Linear(pooled[0].numel(), classes)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits [B, classes] of feature maps [B, K, h, w]."""
        if tuple(maps.shape[1:]) != self.shape:
            raise ValueError(
                f"This head takes feature maps [B, {', '.join(map(str, self.shape))}]; given {list(maps.shape)}."
            )
        return self.linear(self.pooling(maps).flatten(1))

    @property
    def position_weights(self) -> Tensor:
        """The classifier's weights w_s^c where their pooled values lie, [classes, K, h', w']."""
        return self.linear.weight.unflatten(1, (self.shape[0], *self.pooled_size))

    @property
    def channel_weights(self) -> Tensor:
        """(1/hw) Σ_{s ∈ S_l} w_s^c, [classes, K]: the mean gradient of each channel where the identity holds.

        Si et al. 2021: eq. 6 and 7 (GAP), 13-15 (average and max 2/2), 16-18 (average 2/1). Only weights are
        read, so it is the same for every picture.
        """
        return self.position_weights.sum(dim=(2, 3)) / (self.shape[1] * self.shape[2])


def gap_cam_network(features: nn.Module, channels: int, classes: int, kernels: int = 1024) -> nn.Sequential:
    """``features``, then conv 3 x 3 / 1 / 1, ReLU, GAP and one linear layer: a network made fit for GAP-CAM.

    Si et al. 2021, fig. 4; Zhou et al. 2016 for VGG.
    ``features`` maps pictures to ``channels`` feature maps; for VGG-16 that is ``features[:30]``, up to ReLU5_3,
    without the last pooling. The paper leaves the number of kernels open; the authors of CAM used 1024. The added
    layers have random weights: they must be trained. Returns a module from pictures to logits [B, classes].
    """
    maps = nn.Sequential(features, nn.Conv2d(channels, kernels, 3, 1, 1), nn.ReLU())
    return nn.Sequential(maps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(kernels, classes))
