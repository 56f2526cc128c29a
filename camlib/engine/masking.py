"""Masked pictures: what a feature map lets through of a picture, and what stands in the place of the rest.

Every score method is one blend, ``x · m + filler · (1 − m)``, of the normalized picture x with a mask m in [0, 1] made
from a feature map. :class:`Masking` names the choices that the papers and the libraries make differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor

from camlib import framework
from camlib.networks import Network

MASKS = ("scaled", "binary", "unshifted", "key-area")
ORDERS = ("upsample-first", "normalize-first")
FILLERS = ("mean", "black", "white", "blur", "noise")


@dataclass(frozen=True)
class Masking:
    """How feature maps become masks, and what they hide a picture behind.

    Attributes:
        masks: "scaled" (min-max to [0, 1]; Wang et al. 2020, eq. 8), "binary" (1 where the upsampled map is positive),
            "unshifted" (divided by max − min without subtracting the minimum, as Wang et al. 2019, eq. 1 prints it),
            "key-area" (1 where the scaled map is at least ``threshold``; Liang et al. 2022, alg. 1).
        align_corners: of the bilinear upsampling; pytorch-grad-cam's masks use True.
        order: "upsample-first" scales the upsampled map, "normalize-first" (torchcam) the small one.
        filler: behind the mask: "mean" (0 in normalized space, the mean color), "black", "white", "blur", "noise".
            Where a paper multiplies a normalized picture by its mask, what it hides is "mean", whatever it calls it;
            where it multiplies a picture in [0, 1] (Hu et al. 2024), it is black and the network's input 0 at once.
            "mean" keeps the network's input, "black" the picture.
        threshold: of "key-area".
        sigma: of "blur", in pixels of the network's input.
        seed: of "noise" (standard Gaussian in normalized units, the same for every picture).
        precision: "float32" (the network's own type) or "bfloat16".
        passes: how many masked pictures are run at most; the other channels get the scores of landmarks that look like
            them, see :mod:`camlib.engine.landmarks`. None runs all of them: exact.
    """

    masks: str = "scaled"
    align_corners: bool = False
    order: str = "upsample-first"
    filler: str = "mean"
    threshold: float = 0.5
    sigma: float = 10.0
    seed: int = 0
    precision: str = "float32"
    passes: int | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("masks", MASKS), ("order", ORDERS), ("filler", FILLERS)):
            given = getattr(self, name)
            if given not in allowed:
                raise ValueError(f"{name}={given!r}: expected one of {allowed}.")
        if self.passes is not None and (isinstance(self.passes, bool) or not isinstance(self.passes, Integral)):
            raise TypeError(f"passes={self.passes!r}: expected a whole number of at least 2, or None for all channels.")
        if self.passes is not None and self.passes < 2:
            raise ValueError(f"passes={self.passes!r}: expected at least 2, or None for all channels.")
        if not 0 <= self.threshold <= 1 or not self.sigma > 0:
            raise ValueError(
                f"threshold={self.threshold}, sigma={self.sigma}: expected a threshold in [0, 1] and sigma > 0."
            )


def masks_of(maps: Tensor, size: tuple[int, int], masking: Masking) -> Tensor:
    """Masks [n, H, W] of feature maps [n, h, w]; a constant map becomes zeros."""
    if masking.order == "normalize-first":
        maps = framework.normalize(maps)[0]
    up = upsampled(maps, size, masking.align_corners)
    if masking.masks == "binary":
        return (up > 0).to(up)
    if masking.masks == "unshifted":
        span = up.amax(dim=(1, 2), keepdim=True) - up.amin(dim=(1, 2), keepdim=True)
        return torch.where(span > 0, up / span, 0.0)
    scaled = up if masking.order == "normalize-first" else _scaled(up)
    return scaled if masking.masks == "scaled" else (scaled >= masking.threshold).to(up)


def upsampled(maps: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Bilinear upsampling [n, h, w] -> [n, H, W]."""
    return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=align_corners)[:, 0]


def _scaled(maps: Tensor) -> Tensor:
    """Min-max per map, as :func:`camlib.framework.normalize` does for live maps, in two passes over the pixels."""
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    span = (high - low).clamp(min=torch.finfo(maps.dtype).tiny)
    return maps.sub_(low).div_(span)


def live_channels(activations: Tensor) -> Tensor:
    """Channels that are not constant over their positions, bool [B, K]; a constant one makes no mask."""
    return ~framework.normalize(activations.flatten(0, 1))[1].view(activations.shape[:2])


def filler_of(network: Network, inputs: Tensor, masking: Masking) -> Tensor | None:
    """What stands behind the mask, [C, H, W] in normalized units; None for zeros (the mean color).

    ``inputs`` is one normalized picture [C, H, W].
    """
    if masking.filler == "mean":
        return None
    if masking.filler == "blur":
        return blurred(inputs, masking.sigma)
    if masking.filler == "noise":
        generator = torch.Generator().manual_seed(masking.seed)
        return torch.randn(inputs.shape, generator=generator).to(inputs)
    return constant_color(network, inputs, 0.0 if masking.filler == "black" else 1.0)


def constant_color(network: Network, inputs: Tensor, level: float) -> Tensor:
    """A picture of one gray level in [0, 1], normalized as the network wants it, [C, H, W].

    A network whose transform hides its mean and standard deviation gets the picture's own extremes instead.
    """
    if not network.normalization_known:
        low, high = inputs.min(), inputs.max()
        return torch.full_like(inputs, float(low + level * (high - low)))
    return network.preprocess.normalize(torch.full_like(inputs, float(level))).to(inputs)


def blurred(inputs: Tensor, sigma: float, radius: int | None = None) -> Tensor:
    """Gaussian blur of a picture [C, H, W], mirrored at the border; ``radius`` cuts the kernel, else 4 sigma."""
    picture = inputs.detach().float().cpu().numpy()
    radius = round(4 * sigma) if radius is None else radius
    made = gaussian_filter(picture, sigma, mode="mirror", radius=radius, axes=(1, 2))
    return torch.from_numpy(made).to(inputs)


def blend(picture: Tensor, masks: Tensor, filler: Tensor | None, out: Tensor) -> None:
    """``picture · mask + filler · (1 − mask)`` into ``out`` [n, C, H, W]; picture [C, H, W], masks [n, H, W]."""
    if filler is None:
        torch.mul(picture, masks[:, None], out=out)
    elif out.dtype == picture.dtype:
        torch.lerp(filler, picture, masks[:, None], out=out)
    else:
        out.copy_(torch.lerp(filler, picture, masks[:, None]))
