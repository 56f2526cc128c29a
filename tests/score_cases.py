"""Small networks taken apart, for tests of the score family in float64 against :mod:`camlib.compendium.loops`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache

import helpers
import pytest
import torch
from hypothesis import settings
from torch import Tensor, nn

import camlib
from camlib import METHODS, DegenerateMapWarning, Explanation, Network, Preprocess, Trace
from camlib.compendium.loops.plain import MEAN, SIZE, STD, Plain, n01, up

TARGETS = (1, 3)
EXACT = 1e-9  # relative; float64, other order of summation
SINGLE = 1e-6  # relative; where a blur, a noise or a color is float32
FEW = settings(max_examples=8, deadline=None)


# -- small networks, taken apart


class Case(Plain):
    """A network taken apart, and as camlib sees it."""

    @property
    def net(self) -> Network:
        return Network(self.module, transform=Preprocess(SIZE, MEAN, STD), class_names=helpers.CLASSES)

    def trace(self, x: Tensor) -> Trace:
        return Trace(self.net, x, self.layer)


def gap(module: helpers.Gap, gain: float = 12.0) -> Case:
    """Any Gap network; the classifier is enlarged so that probabilities differ clearly."""
    with torch.no_grad():
        module.fc.weight *= gain
    return Case(module, "features", module.features, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), module.fc))


def pooled(pool: nn.Module | None = None) -> Case:
    """Pooling to 4x4 and an MLP, as in VGG."""
    module = helpers.seeded(lambda: helpers.Pooled(pool), seed=9)
    with torch.no_grad():
        module.classifier[2].weight *= 20
    return Case(module, "features", module.features, nn.Sequential(module.pool, nn.Flatten(), module.classifier))


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
    return Case(module, "features", module.features, nn.Sequential(module.pool, nn.Flatten(), module.classifier))


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


def made(method: str, chosen: Case, x: Tensor, targets: tuple[int, ...] = TARGETS, **options: object) -> Tensor:
    """What the registered function returns in the network's own precision."""
    found = METHODS[method].function(chosen.trace(x), torch.tensor(targets), **options)
    return found.values if isinstance(found, tuple) else found


def explained(method: str, chosen: Case, x: Tensor, target: int, **options: object) -> Explanation:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DegenerateMapWarning)
        return camlib.explain(chosen.net, x, method, target, chosen.layer, **options)


def per_picture(
    loop: Callable[..., Tensor], chosen: Case, x: Tensor, targets: tuple[int, ...] = TARGETS, **options: object
) -> Tensor:
    """A loop over one picture and one class, for every picture of a batch."""
    with torch.no_grad():
        return torch.stack([loop(chosen, one, c, **options) for one, c in zip(x, targets, strict=True)])


def assert_heatmap(e: Explanation, expected: Tensor) -> None:
    """The front door's heatmap is N01(Up(map)) of the expected low-resolution map (float32)."""
    torch.testing.assert_close(e.heatmap.double(), n01(up(expected)), rtol=0, atol=1e-5)


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
