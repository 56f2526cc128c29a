"""Masked pictures: what a feature map lets through of a picture, and what stands in the place of the rest.

Every score method is one blend, ``x · m + filler · (1 − m)``, of the normalized picture x with a mask m in [0, 1] made
from a feature map. :class:`Masking` names the choices that the papers and the libraries make differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from camlib import framework
from camlib.networks import Network
from camlib.options import Pixels, Range, Seed, Share, checked, declared

Kind = Literal["scaled", "binary", "unshifted", "key-area"]
Order = Literal["upsample-first", "normalize-first"]
Filler = Literal["mean", "black", "white", "blur", "noise"]
Precision = Literal["float32", "bfloat16"]
Passes = Annotated[int, Range(2)] | None


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

    masks: Kind = "scaled"
    align_corners: bool = False
    order: Order = "upsample-first"
    filler: Filler = "mean"
    threshold: Share = 0.5
    sigma: Pixels = 10.0
    seed: Seed = 0
    precision: Precision = "float32"
    passes: Passes = None

    def __post_init__(self) -> None:
        for name, kind in declared(Masking).items():
            object.__setattr__(self, name, checked(name, getattr(self, name), kind))


def masks_of(maps: Tensor, size: tuple[int, ...], masking: Masking) -> Tensor:
    """Masks [n, H, W] of feature maps [n, h, w]; a constant map becomes zeros."""
    if masking.order == "normalize-first":
        maps = framework.normalize(maps)[0]
    up = framework.upsample(maps, size, masking.align_corners)
    up = up.clone() if up is maps else up  # it is scaled in place
    if masking.masks == "binary":
        return (up > 0).to(up)
    if masking.masks == "unshifted":
        span = up.amax(dim=space_of(up), keepdim=True) - up.amin(dim=space_of(up), keepdim=True)
        return torch.where(span > 0, up / span, 0.0)
    scaled = up if masking.order == "normalize-first" else _scaled(up)
    return scaled if masking.masks == "scaled" else (scaled >= masking.threshold).to(up)


def space_of(maps: Tensor) -> tuple[int, ...]:
    """The axes of space of maps [n, h, w]: all but the first."""
    return tuple(range(1, maps.dim()))


def _scaled(maps: Tensor) -> Tensor:
    """Min-max per map, as :func:`camlib.framework.normalize` does for live maps, in two passes over the pixels."""
    low, high = maps.amin(dim=space_of(maps), keepdim=True), maps.amax(dim=space_of(maps), keepdim=True)
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
    if not network.knows_colors_of(inputs):
        low, high = inputs.min(), inputs.max()
        return torch.full_like(inputs, float(low + level * (high - low)))
    return network.preprocess.normalize(torch.full_like(inputs, float(level))).to(inputs)


def blurred(inputs: Tensor, sigma: float, radius: int | None = None, axes: tuple[int, ...] | None = None) -> Tensor:
    """Gaussian blur of a picture [C, H, W], mirrored at the border; ``radius`` cuts the kernel, else 4 sigma.

    ``axes`` are blurred, all but the first where none are named.
    """
    picture = inputs.detach().float().cpu().numpy()
    radius = round(4 * sigma) if radius is None else radius
    made = gaussian_filter(picture, sigma, mode="mirror", radius=radius, axes=axes or space_of(inputs))
    return torch.from_numpy(made).to(inputs)


def blend(picture: Tensor, masks: Tensor, filler: Tensor | None, out: Tensor) -> None:
    """``picture · mask + filler · (1 − mask)`` into ``out`` [n, C, H, W]; picture [C, H, W], masks [n, H, W].

    The axes of the masks are the last ones of the picture.
    """
    masks = masks.reshape(len(masks), *[1] * (picture.dim() + 1 - masks.dim()), *masks.shape[1:])
    if filler is None:
        torch.mul(picture, masks, out=out)
    elif out.dtype == picture.dtype:
        torch.lerp(filler, picture, masks, out=out)
    else:
        out.copy_(torch.lerp(filler, picture, masks))
