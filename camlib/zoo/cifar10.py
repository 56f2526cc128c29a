"""Small networks for CIFAR-10: a residual network with LFI-CAM's attention branch, and its plain twin."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from camlib.data.cifar10 import CLASSES, SIDE
from camlib.pictures import Preprocess
from camlib.zoo.designs import design
from camlib.zoo.lfi import GapNetwork, LFINetwork, initialize
from camlib.zoo.residual import residual_features

PREPROCESS = Preprocess(SIDE, (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
"""Mean and standard deviation as in the authors' code of LFI-CAM."""
CHANNELS = 64

_cifar10 = partial(design, class_names=CLASSES, preprocess=PREPROCESS, target_layer="features")


def normalized(pictures: np.ndarray) -> Tensor:
    """Network input of pictures uint8 [N, 32, 32, 3]: float32 [N, 3, 32, 32], channels-last in memory."""
    return PREPROCESS.normalize(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255)


def _features() -> nn.Sequential:
    """Pictures [B, 3, 32, 32] -> feature maps [B, 64, 8, 8], as many as the authors' CIFAR networks weigh."""
    return residual_features(16, [(32, 2), (96, 2), (96, 1), (CHANNELS, 1)])


@_cifar10("cifar10-plain")
def cifar10_plain() -> nn.Module:
    """Residual network for CIFAR-10, GAP, linear."""
    return initialize(GapNetwork(_features(), CHANNELS, len(CLASSES)))


@_cifar10("cifar10-lfi")
def cifar10_lfi() -> nn.Module:
    """The same network with LFI-CAM's attention branch."""
    return initialize(LFINetwork(_features(), CHANNELS, len(CLASSES)))
