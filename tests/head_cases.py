"""Heads of small networks as functions of their feature maps, and traces of them."""

from __future__ import annotations

from collections.abc import Callable

import helpers
import pytest
import torch
from torch import Tensor, nn

import camlib
from camlib import METHODS, Trace
from camlib.compendium.loops.plain import Plain
from camlib.registry import Detailed

EXACT = 1e-9
TARGETS = (1, 3)
HEADS = {
    "gap": lambda: helpers.seeded(helpers.Gap),
    "mlp": lambda: helpers.seeded(helpers.Pooled),
    "average pooling": lambda: helpers.seeded(lambda: helpers.Pooled(nn.AvgPool2d(2))),
}
every_head = pytest.mark.parametrize("build", HEADS.values(), ids=HEADS.keys())


def head_of(module: nn.Module) -> nn.Sequential:
    """Feature maps -> logits."""
    if isinstance(module, helpers.Gap):
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), module.fc)
    return nn.Sequential(module.pool, nn.Flatten(), module.classifier)


def plain_of(module: nn.Module) -> Plain:
    """The network taken apart, for the loops."""
    return Plain(module, "features", module.features, head_of(module))


def looped(loop: Callable[..., Tensor], module: nn.Module, trace: Trace, **options: object) -> Tensor:
    """A loop over one picture and one class, for every picture of a trace."""
    plain = plain_of(module)
    with torch.no_grad():
        return torch.stack([loop(plain, x, c, **options) for x, c in zip(trace.inputs, TARGETS, strict=True)])


def traced(module: nn.Module, pictures: int = 2) -> Trace:
    return Trace(helpers.network(module), helpers.batch(pictures), "features")


def found(name: str, trace: Trace, targets: tuple[int, ...] = TARGETS, **options: object) -> Tensor:
    made = METHODS[name].function(trace, torch.tensor(targets[: len(trace.inputs)]), **options)
    return made.values if isinstance(made, Detailed) else made


class Smooth(nn.Module):
    """A head with curvature: tanh between two linear layers, on maps of 2 x 3 x 3."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.one, self.two = nn.Identity(), nn.Linear(18, 7), nn.Linear(7, 4)

    def head(self, maps: Tensor) -> Tensor:
        return self.two(self.one(maps.flatten(1)).tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x))


def smooth() -> tuple[Smooth, Trace]:
    module = helpers.seeded(Smooth)
    x = torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return module, Trace(camlib.Network(module), x, "maps")
