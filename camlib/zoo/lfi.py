"""LFI-CAM (Lee et al. 2021): a classifier that learns the class activation weight of its own feature maps.

Not a post-hoc method: the branch is part of the network and is trained with it. With F [B, K, h, w] the feature maps
and g the picture's mean color at their resolution,

    M_k = s(F_k)·g,   w = softmax_k(FIN(M)),   a = s(ReLU(Σ_k w_k F_k)),   y = linear(GAP((1 + a)·F)),

with s the scaling to [0, 1] by minimum and maximum, and one cross-entropy on y teaches everything. The map a has no
class: there is one a picture, and it cannot answer why class c. :class:`GapNetwork` is the same network without the
branch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camlib import framework

RELUS = (2, 4)
"""ReLUs in the Feature Importance Network: 2 in the authors' CIFAR networks, 4 in their ImageNet networks."""


class Attention(NamedTuple):
    """What the attention branch makes of a batch, in the order in which it makes it.

    Attributes:
        masks: M_k = s(F_k)·g, [B, K, h, w]; negative where the normalized picture is.
        weights: importance w, the class activation weight, [B, K]; positive, sum 1 over K.
        map: ReLU(Σ_k w_k F_k), [B, h, w].
        scaled: a, the map in [0, 1], [B, h, w]; a constant map keeps its value.
    """

    masks: Tensor
    weights: Tensor
    map: Tensor
    scaled: Tensor


def gray_picture(inputs: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean over the color channels of the normalized pictures [B, C, H, W] at the maps' size, [B, 1, h, w]."""
    return F.interpolate(inputs.mean(dim=1, keepdim=True), size, mode="bilinear", align_corners=False)


def channel_scaling(maps: Tensor) -> Tensor:
    """s(F_k): each feature map scaled to [0, 1] by its own minimum and maximum, [B, K, h, w].

    A constant channel becomes ones, and every position whose activation is exactly 0 becomes 0: a dead channel is all
    zeros. That is what the authors' code does about 0/0; see :func:`camlib.framework.normalize` for camlib's own rule.
    """
    low = maps.amin(dim=(2, 3), keepdim=True)
    span = maps.amax(dim=(2, 3), keepdim=True) - low
    flat = span == 0
    scaled = torch.where(flat, 1.0, (maps - low) / torch.where(flat, 1.0, span))
    return torch.where(maps == 0, 0.0, scaled)


def map_scaling(maps: Tensor) -> Tensor:
    """Attention maps [B, h, w] scaled to [0, 1]; a constant one keeps its value (the authors' rule for 0/0)."""
    low = maps.amin(dim=(1, 2), keepdim=True)
    span = maps.amax(dim=(1, 2), keepdim=True) - low
    flat = span == 0
    return torch.where(flat, maps, (maps - low) / torch.where(flat, 1.0, span))


class FeatureImportanceNetwork(nn.Sequential):
    """Four 3 x 3 convolutions of K to K channels, each with batch normalization, then the mean over positions.

    Masks [B, K, h, w] -> one value a channel, [B, K]; 4(9K² + 2K) parameters.

    Args:
        channels: K.
        relus: 2 (behind the second and the fourth convolution) or 4 (behind each), see :data:`RELUS`.

    Raises:
        ValueError: another number of ReLUs.
    """

    def __init__(self, channels: int, relus: int = 2) -> None:
        if relus not in RELUS:
            raise ValueError(f"relus={relus!r}: expected one of {RELUS}, as in the authors' CIFAR or ImageNet code.")
        layers: list[nn.Module] = []
        for number in range(1, 5):
            layers += [nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)]
            if relus == 4 or number % 2 == 0:
                layers.append(nn.ReLU())
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class AttentionBranch(nn.Module):
    """Normalized pictures [B, C, H, W] and their feature maps [B, K, h, w] -> :class:`Attention`."""

    def __init__(self, channels: int, relus: int = 2) -> None:
        super().__init__()
        self.importance = FeatureImportanceNetwork(channels, relus)
        self.relu = nn.ReLU()  # a module, so that guided backpropagation finds it

    def forward(self, inputs: Tensor, maps: Tensor) -> Attention:
        masks = channel_scaling(maps) * gray_picture(inputs, tuple(maps.shape[-2:]))
        weights = self.importance(masks).softmax(dim=1)
        map_ = self.relu(framework.class_activation_map(weights, maps)[:, None])[:, 0]
        return Attention(masks, weights, map_, map_scaling(map_))


class Perception(nn.Module):
    """Feature maps under attention, (1 + a)·F_k, [B, K, h, w]; a module, so that they are a layer with a name."""

    def forward(self, maps: Tensor, scaled: Tensor) -> Tensor:
        return (1 + scaled[:, None]) * maps


class GapNetwork(nn.Module):
    """Feature maps, global average pooling, one linear layer: :class:`LFINetwork` without its branch.

    Args:
        features: pictures [B, C, H, W] -> feature maps [B, K, h, w].
        channels: K.
        classes: number of logits.
        last: what stands between the maps and the pooling; ``Sequential(BatchNorm2d, ReLU)`` for a DenseNet, where it
            comes after the attention. None for nothing.
    """

    target_layer = "features"

    def __init__(self, features: nn.Module, channels: int, classes: int, last: nn.Module | None = None) -> None:
        super().__init__()
        self.features = features
        self.last = last
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def head(self, maps: Tensor) -> Tensor:
        """Logits [B, classes] of feature maps."""
        maps = maps if self.last is None else self.last(maps)
        return self.classifier(self.pool(maps).flatten(1))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.features(inputs))


class LFINetwork(GapNetwork):
    """A classifier with LFI-CAM's attention branch (Lee et al. 2021); arguments as for :class:`GapNetwork`.

    ``relus`` chooses the variant of the Feature Importance Network. Layer ``features`` has the maps F that LFI-CAM
    weighs, layer ``perception`` has (1 + a)·F, behind which the head is linear.
    """

    def __init__(
        self, features: nn.Module, channels: int, classes: int, last: nn.Module | None = None, relus: int = 2
    ) -> None:
        super().__init__(features, channels, classes, last)
        self.attention = AttentionBranch(channels, relus)
        self.perception = Perception()

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.features(inputs)
        return self.head(self.perception(maps, self.attention(inputs, maps).scaled))


def initialize(module: nn.Module) -> nn.Module:
    """Weights as the authors draw them: convolutions He normal (fan-out), batch normalization 1 and 0.

    Reads the global random state. Returns the module.
    """
    for child in module.modules():
        if isinstance(child, nn.Conv2d):
            nn.init.kaiming_normal_(child.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(child, nn.BatchNorm2d):
            nn.init.ones_(child.weight)
            nn.init.zeros_(child.bias)
    return module
