"""A small residual network for small pictures: the body of the networks that the compendium trains itself."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torchvision.models.resnet import BasicBlock


def residual_features(stem: int, stages: Iterable[tuple[int, int]], stem_stride: int = 1) -> nn.Sequential:
    """Pictures [B, 3, H, W] -> feature maps behind a ReLU: one 3 x 3 convolution, then one residual block a stage.

    Args:
        stem: channels of the first convolution.
        stages: (channels, stride) of each block (He et al. 2016, two 3 x 3 convolutions). A block whose output has
            another shape than its input gets a 1 x 1 convolution on its shortcut.
        stem_stride: stride of the first convolution; 1 keeps the size of the picture.
    """
    layers: list[nn.Module] = [nn.Conv2d(3, stem, 3, stem_stride, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU()]
    before = stem
    for channels, stride in stages:
        shortcut = None
        if stride != 1 or channels != before:
            shortcut = nn.Sequential(nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
        layers.append(BasicBlock(before, channels, stride, shortcut))
        before = channels
    return nn.Sequential(*layers)
