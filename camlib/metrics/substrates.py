"""What takes the place of a pixel that is taken away: one color, a blur, or another picture."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from camlib.engine import masking
from camlib.metrics.sample import Sample
from camlib.options import checked

Substrate = Literal["mean", "black", "white", "blur", "gaussian"]


def substrate_of(sample: Sample, substrate: str | Tensor, kernel: int = 11, sigma: float = 5.0) -> Tensor:
    """The normalized picture [3, H, W] that deleted pixels are taken from; names as in ``deletion_curve``."""
    inputs = sample.inputs
    if isinstance(substrate, Tensor):
        if substrate.shape != inputs.shape:
            raise ValueError(f"substrate is {list(substrate.shape)}; expected the picture's {list(inputs.shape)}.")
        return substrate
    checked("substrate", substrate, Substrate)
    if substrate in ("blur", "gaussian") and (kernel < 1 or kernel % 2 == 0 or not sigma > 0):
        raise ValueError(f"kernel={kernel}, sigma={sigma}: expected an odd number of pixels and sigma > 0.")
    if substrate == "mean":
        return torch.zeros_like(inputs)
    if substrate == "blur":
        return rise_blur(inputs, kernel, sigma)
    if substrate == "gaussian":
        return masking.blurred(inputs, sigma, radius=kernel // 2)
    return masking.constant_color(sample.network, inputs, 0.0 if substrate == "black" else 1.0)


def rise_blur(inputs: Tensor, kernel: int = 11, sigma: float = 5.0) -> Tensor:
    """RISE's blur of a normalized picture [C, H, W] (Petsiuk et al. 2018, authors' code).

    Its kernel is a point, blurred on a canvas of ``kernel`` x ``kernel`` pixels that mirrors at its border: with sigma
    5 in 11 pixels nearly a box (center 0.0088, corner 0.0077). The picture is continued by zeros.
    """
    point = np.zeros(kernel)
    point[kernel // 2] = 1
    line = torch.from_numpy(gaussian_filter1d(point, sigma, mode="reflect")).to(inputs)
    down = F.conv2d(inputs[:, None], line.view(1, 1, -1, 1), padding=(kernel // 2, 0))
    return F.conv2d(down, line.view(1, 1, 1, -1), padding=(0, kernel // 2))[:, 0]
