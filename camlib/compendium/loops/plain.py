"""A network taken apart, and the arithmetic that the loops share.

Everything goes picture by picture and channel by channel; nothing here is from camlib, so that both can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = (32, 32)
"""Height and width of the pictures that the loops work on."""
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
"""Of the colors: three different ones, so that a color mixed up would show."""


@dataclass(frozen=True)
class Plain:
    """A network as two functions: pictures -> feature maps (``body``) and feature maps -> logits (``head``)."""

    module: nn.Module
    layer: str
    body: Callable[[Tensor], Tensor]
    head: Callable[[Tensor], Tensor]

    def maps(self, picture: Tensor) -> Tensor:
        """A [K, h, w] of one picture [3, H, W]."""
        return self.body(picture[None])[0].detach()

    def logit(self, picture: Tensor, c: int) -> Tensor:
        """y_c of one picture."""
        return self.module(picture[None])[0, c]

    def p(self, picture: Tensor, c: int) -> Tensor:
        """Softmax probability of class c for one picture."""
        return self.module(picture[None])[0].softmax(dim=0)[c]

    def gradient(self, picture: Tensor, c: int) -> Tensor:
        """dy_c/dA [K, h, w]."""
        return self.slope(self.maps(picture), lambda y: y[c])

    def slope(self, maps: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
        """Gradient [K, h, w] of a score of the logits [C] with respect to maps [K, h, w]."""
        with torch.enable_grad():
            a = maps.detach()[None].clone().requires_grad_(True)
            (g,) = torch.autograd.grad(score(self.head(a)[0]), a)
        return g[0]


def up(a: Tensor, align_corners: bool = False) -> Tensor:
    """[h, w] -> [H, W], bilinear."""
    return F.interpolate(a[None, None], SIZE, mode="bilinear", align_corners=align_corners)[0, 0]


def n01(a: Tensor) -> Tensor:
    """(a - min)/(max - min); zeros where that is 0/0."""
    span = a.max() - a.min()
    return (a - a.min()) / span if span > 1e-12 else torch.zeros_like(a)


def live(a: Tensor) -> bool:
    """Whether a map is not constant."""
    return bool(a.max() > a.min())


def in_range(value: float) -> Tensor:
    """A picture of one value of [0, 1] as network input [3, 1, 1]: black is 0, white is 1."""
    return torch.tensor([(value - m) / s for m, s in zip(MEAN, STD, strict=True)]).double().view(3, 1, 1)


FILLERS: dict[str, Callable[[], Tensor]] = {
    "mean": lambda: torch.zeros(3, 1, 1).double(),
    "black": lambda: in_range(0.0),
    "white": lambda: in_range(1.0),
}


def noise(seed: int) -> Tensor:
    """A picture of standard normal values, drawn in float32."""
    return torch.randn(3, *SIZE, generator=torch.Generator().manual_seed(seed)).double()


@cache
def gaussian(n: int, sigma: float, radius: int) -> Tensor:
    """Matrix [n, n] of a Gaussian cut at ``radius``, mirrored at the ends (the outermost pixel not repeated)."""
    made = torch.zeros(n, n).double()
    for i in range(n):
        for d in range(-radius, radius + 1):
            j = (i + d) % (2 * n - 2)
            made[i, min(j, 2 * n - 2 - j)] += math.exp(-(d**2) / (2 * sigma**2))
    return made / made.sum(dim=1, keepdim=True)


def blur(picture: Tensor, sigma: float, radius: int | None = None) -> Tensor:
    """Gaussian blur of [..., 32, 32] in pixels, cut at 4 sigma unless told."""
    g = gaussian(SIZE[0], sigma, round(4 * sigma) if radius is None else radius)
    return g @ picture @ g.T
