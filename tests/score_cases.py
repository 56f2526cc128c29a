"""Small networks taken apart, and Score-CAM as a loop, for tests of the score family in float64.

The loops go picture by picture and channel by channel through the plain module; nothing in them is from camlib.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import helpers
import pytest
import torch
import torch.nn.functional as F
from hypothesis import settings
from torch import Tensor, nn

import camlib
from camlib import METHODS, DegenerateMapWarning, Explanation, Network, Preprocess, Trace

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)  # three different ones: a color mixed up would show
TARGETS = (1, 3)
SIZE = (32, 32)
EXACT = 1e-9  # relative; float64, other order of summation
SINGLE = 1e-6  # relative; where a blur, a noise or a color is float32
FEW = settings(max_examples=8, deadline=None)


# -- small networks, taken apart


@dataclass(frozen=True)
class Case:
    """A network as two functions: pictures -> feature maps (``body``) and feature maps -> logits (``head``)."""

    module: nn.Module
    layer: str
    body: Callable[[Tensor], Tensor]
    head: Callable[[Tensor], Tensor]

    @property
    def net(self) -> Network:
        return Network(self.module, transform=Preprocess(SIZE, MEAN, STD), class_names=helpers.CLASSES)

    def trace(self, x: Tensor) -> Trace:
        return Trace(self.net, x, self.layer)

    def maps(self, picture: Tensor) -> Tensor:
        """A [K, h, w] of one picture [3, H, W]."""
        return self.body(picture[None])[0]

    def logit(self, picture: Tensor, c: int) -> Tensor:
        return self.module(picture[None])[0, c]

    def p(self, picture: Tensor, c: int) -> Tensor:
        return self.module(picture[None])[0].softmax(dim=0)[c]

    def gradient(self, picture: Tensor, c: int) -> Tensor:
        """dy_c/dA [K, h, w]."""
        with torch.enable_grad():
            a = self.body(picture[None]).detach().requires_grad_(True)
            (g,) = torch.autograd.grad(self.head(a)[0, c], a)
        return g[0]


def gap(module: helpers.Gap, gain: float = 12.0) -> Case:
    """Any Gap network; the classifier is enlarged so that probabilities differ clearly."""
    with torch.no_grad():
        module.fc.weight *= gain
    return Case(module, "features", module.features, lambda a: module.fc(a.mean(dim=(2, 3))))


def pooled(pool: nn.Module | None = None) -> Case:
    """Pooling to 4x4 and an MLP, as in VGG."""
    module = helpers.seeded(lambda: helpers.Pooled(pool), seed=9)
    with torch.no_grad():
        module.classifier[2].weight *= 20
    return Case(module, "features", module.features, lambda a: module.classifier(module.pool(a).flatten(1)))


def functional(layer: str) -> Case:
    """DenseNet's end: batch normalization, an in-place ReLU by a function call, GAP, linear."""

    def build() -> nn.Module:
        module = helpers.FunctionalRelu()
        nn.init.uniform_(module.norm.weight, 0.5, 2.0)
        nn.init.uniform_(module.norm.bias, -0.1, 0.1)
        nn.init.uniform_(module.norm.running_var, 0.1, 0.5)
        return module

    module = helpers.seeded(build, seed=2)
    with torch.no_grad():
        module.fc.weight *= 12

    def norm(x: Tensor) -> Tensor:
        return module.norm(module.conv2(module.conv1(x).relu()))

    if layer == "norm":
        return Case(module, layer, norm, lambda a: module.fc(a.relu().mean(dim=(2, 3))))
    return Case(module, layer, lambda x: norm(x).relu(), lambda a: module.fc(a.mean(dim=(2, 3))))


def with_channels(conv: Callable[[Tensor, Tensor], None], seed: int = 0, kind: type = helpers.Gap) -> nn.Module:
    """A Gap network whose second convolution was changed by hand: ``conv(weight, bias)``."""
    module = helpers.seeded(kind, seed)
    with torch.no_grad():
        conv(module.features[2].weight, module.features[2].bias)
    return module


def _kill(weight: Tensor, bias: Tensor) -> None:
    """Channel 2 is 0 everywhere, channel 4 is 0.7 everywhere; both count in the logits where not zero."""
    weight[[2, 4]] = 0
    bias[2], bias[4] = -1.0, 0.7


def bare() -> Case:
    """Pooling and an MLP on a convolution: maps of both signs, and gradients where they are negative."""
    module = helpers.seeded(lambda: helpers.Pooled(nn.AvgPool2d(2)), seed=4)
    module.features = module.features[:3]
    with torch.no_grad():
        module.classifier[2].weight *= 20
    return Case(module, "features", module.features, lambda a: module.classifier(module.pool(a).flatten(1)))


BUILD: dict[str, Callable[[], Case]] = {
    "gap": lambda: gap(helpers.seeded(helpers.Gap)),
    "mlp-max": pooled,
    "mlp-avg": lambda: pooled(nn.AvgPool2d(2)),
    "densenet": lambda: functional("norm+relu"),
    "signed": lambda: functional("norm"),  # in front of the in-place ReLU: maps of both signs
    "bare": bare,
    "dead": lambda: gap(with_channels(_kill)),
}


DEAD = {2, 4}


ALIVE = ["gap", "mlp-max", "mlp-avg", "densenet", "signed", "bare"]


every_case = pytest.mark.parametrize("name", BUILD)


every_living_case = pytest.mark.parametrize("name", ALIVE)


@cache
def case(name: str) -> Case:
    return BUILD[name]()


def pictures(count: int = 2) -> Tensor:
    """Normalized pictures whose values in [0, 1] survive a way there and back [count, 3, 32, 32]."""
    shape = (1, 3, 1, 1)
    x01 = torch.stack([helpers.picture(seed) for seed in range(count)]).double()
    return (x01 - torch.tensor(MEAN).double().view(shape)) / torch.tensor(STD).double().view(shape)


def in_range(value: float) -> Tensor:
    """A picture of one value of [0, 1] as network input [3, 1, 1]: black is 0, white is 1."""
    return torch.tensor([(value - m) / s for m, s in zip(MEAN, STD, strict=True)]).double().view(3, 1, 1)


def made(method: str, chosen: Case, x: Tensor, targets: tuple[int, ...] = TARGETS, **options: object) -> Tensor:
    """What the registered function returns in the network's own precision."""
    found = METHODS[method].function(chosen.trace(x), torch.tensor(targets), **options)
    return found.values if isinstance(found, tuple) else found


def explained(method: str, chosen: Case, x: Tensor, target: int, **options: object) -> Explanation:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DegenerateMapWarning)
        return camlib.explain(chosen.net, x, method, target, chosen.layer, **options)


def up(a: Tensor, align_corners: bool = False) -> Tensor:
    """[h, w] -> [H, W], bilinear."""
    return F.interpolate(a[None, None], SIZE, mode="bilinear", align_corners=align_corners)[0, 0]


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
    g = gaussian(32, sigma, round(4 * sigma) if radius is None else radius)
    return g @ picture @ g.T


def n01(a: Tensor) -> Tensor:
    """(a - min)/(max - min); zeros where that is 0/0 (METHODS 0.6)."""
    span = a.max() - a.min()
    return (a - a.min()) / span if span > 1e-12 else torch.zeros_like(a)


def live(a: Tensor) -> bool:
    return bool(a.max() > a.min())


def per_picture(
    loop: Callable[..., Tensor], chosen: Case, x: Tensor, targets: tuple[int, ...] = TARGETS, **options: object
) -> Tensor:
    """A loop over one picture and one class, for every picture of a batch."""
    with torch.no_grad():
        return torch.stack([loop(chosen, one, c, **options) for one, c in zip(x, targets, strict=True)])


def assert_heatmap(e: Explanation, expected: Tensor) -> None:
    """The front door's heatmap is N01(Up(map)) of the expected low-resolution map (float32)."""
    torch.testing.assert_close(e.heatmap.double(), n01(up(expected)), rtol=0, atol=1e-5)


# -- Score-CAM as a loop


def _scaled(a: Tensor, align_corners: bool, order: str) -> Tensor:
    return up(n01(a), align_corners) if order == "normalize-first" else n01(up(a, align_corners))


def _positive(a: Tensor, align_corners: bool, order: str) -> Tensor:
    return (up(a, align_corners) > 0).double()


def _unshifted(a: Tensor, align_corners: bool, order: str) -> Tensor:
    u = up(a, align_corners)
    return u / (u.max() - u.min())


FILLERS = {
    "mean": lambda: torch.zeros(3, 1, 1).double(),
    "black": lambda: in_range(0.0),
    "white": lambda: in_range(1.0),
}
SCORES = {  # name: (mask, score of a masked picture, whether a softmax over living channels follows)
    "score-cam": (_scaled, lambda net, x, c, filler: net.p(x, c), False),
    "score-cam-cic": (_scaled, lambda net, x, c, filler: net.p(x, c) - net.p(filler.expand_as(x), c), False),
    "score-cam-softmax": (_scaled, lambda net, x, c, filler: net.logit(x, c), True),
    "score-cam-raw": (_scaled, lambda net, x, c, filler: net.logit(x, c), False),
    "score-cam-binary": (_positive, lambda net, x, c, filler: net.p(x, c), False),
}


def score_cam_loop(
    net: Case,
    picture: Tensor,
    c: int,
    method: str = "score-cam",
    align_corners: bool = False,
    order: str = "upsample-first",
    filler: str = "mean",
    masks: str | None = None,
    fill: Tensor | None = None,
) -> Tensor:
    """Weights [K] of one picture."""
    mask_of, score, softmax = SCORES[method]
    mask_of = {None: mask_of, "binary": _positive, "unshifted": _unshifted}[masks]
    fill = FILLERS[filler]() if fill is None else fill
    scores = []
    for a in net.maps(picture):
        mask = mask_of(a, align_corners, order)
        masked = picture * mask + fill * (1 - mask)
        dead = -math.inf if softmax else 0.0
        scores.append(score(net, masked, c, fill) if live(a) else torch.tensor(dead).double())
    w = torch.stack(scores)
    return w.exp() / w.exp().sum() if softmax else w


# -- networks for what is rare: a class that everything speaks against, a network that notes what it is asked


def _silent(weight: Tensor, bias: Tensor) -> None:
    bias.zero_()


def against_class_0(row: list[float]) -> Case:
    """No bias in the body: a black picture leaves no activation, any other one speaks for classes 1 to 4."""
    module = with_channels(_silent)
    with torch.no_grad():
        module.features[0].bias.zero_()
        module.fc.weight[0] = torch.tensor(row).double()
        module.fc.weight[1:] = module.fc.weight[1:].abs()
    return gap(module)


SEEN: list[Tensor] = []


class Recording(helpers.Gap):
    """Notes every batch that it is asked about, wherever a copy of it runs."""

    def forward(self, x: Tensor) -> Tensor:
        SEEN.append(x.detach().clone())
        return super().forward(x)


def recorded(run: Callable[[], object]) -> Tensor:
    """The pictures that a Recording network was asked about during ``run``, [N, 3, H, W]."""
    SEEN.clear()
    run()
    return torch.cat(SEEN)


@cache
def recording() -> Case:
    """The network "gap" that notes what it is asked about."""
    return gap(helpers.seeded(Recording))
