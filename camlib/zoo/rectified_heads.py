"""Small networks of SqueezeNet's and DenseNet's kind: a ReLU stands between their last maps and the logits.

With a plain GAP head the mean gradient is the classifier's weight divided by h·w. Behind a ReLU only the positive
positions count, so the factor between the two depends on the picture and the class (SqueezeNet: 1 x 1 convolution,
ReLU, GAP) or on the channel (DenseNet: norm, ReLU, GAP, linear); see Si et al. 2021, sec. 4.1.1. The ResNet-like body
with a plain head is ``scenes-plain``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import DenseNet

from camlib.data.scenes import SHAPES
from camlib.zoo.scenes import scene_design


class Fire(nn.Module):
    """1 x 1 squeeze, then 1 x 1 and 3 x 3 expansion side by side (Iandola et al. 2016), batch-normalized."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = _normalized(inputs, squeeze, 1)
        self.expand1x1 = _normalized(squeeze, expand, 1)
        self.expand3x3 = _normalized(squeeze, expand, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        squeezed = self.squeeze(inputs)
        return torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1)


def _normalized(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class SqueezeNetwork(nn.Module):
    """``features``, then SqueezeNet's head: a 1 x 1 convolution to one map a class, ReLU, GAP."""

    def __init__(self) -> None:
        super().__init__()
        first = [_normalized(3, 24, 5, 2), nn.MaxPool2d(2), Fire(24, 12, 24)]
        self.features = nn.Sequential(*first, nn.MaxPool2d(2), Fire(48, 16, 32), Fire(64, 24, 48))
        self.classifier = nn.Sequential(nn.Conv2d(96, len(SHAPES), 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, inputs: Tensor) -> Tensor:
        return self.classifier(self.features(inputs))


@scene_design("scenes-squeeze", target_layer="features")
def scenes_squeeze() -> nn.Module:
    """SqueezeNet's kind: fire modules, 1 x 1 convolution, ReLU, GAP."""
    return SqueezeNetwork()


@scene_design("scenes-dense", target_layer="features+relu")
def scenes_dense() -> nn.Module:
    """DenseNet's kind: torchvision's DenseNet in small, norm, ReLU, GAP, linear."""
    return DenseNet(12, (4, 4), 24, num_classes=len(SHAPES), memory_efficient=False)
