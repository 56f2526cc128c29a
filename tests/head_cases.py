"""Heads of small networks as functions of their feature maps, and traces of them."""

from __future__ import annotations

from collections.abc import Callable

import helpers
import pytest
import torch
from torch import Tensor, nn

import camlib
from camlib import METHODS, Trace
from camlib.registry import Detailed

EXACT = 1e-9
TARGETS = (1, 3)
HEADS = {
    "gap": lambda: helpers.seeded(helpers.Gap),
    "mlp": lambda: helpers.seeded(helpers.Pooled),
    "average pooling": lambda: helpers.seeded(lambda: helpers.Pooled(nn.AvgPool2d(2))),
}
every_head = pytest.mark.parametrize("build", HEADS.values(), ids=HEADS.keys())


def head_of(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """Feature maps -> logits."""
    if isinstance(module, helpers.Gap):
        return lambda maps: module.fc(maps.mean(dim=(2, 3)))
    return lambda maps: module.classifier(module.pool(maps).flatten(1))


def traced(module: nn.Module, pictures: int = 2) -> Trace:
    return Trace(helpers.network(module), helpers.batch(pictures), "features")


def found(name: str, trace: Trace, targets: tuple[int, ...] = TARGETS, **options: object) -> Tensor:
    made = METHODS[name].function(trace, torch.tensor(targets[: len(trace.inputs)]), **options)
    return made.values if isinstance(made, Detailed) else made


def gradient(module: nn.Module, maps: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Gradient [K, h, w] of a score of one picture's logits [C] with respect to its maps [K, h, w]."""
    leaf = maps.detach()[None].clone().requires_grad_(True)
    return torch.autograd.grad(score(head_of(module)(leaf)[0]), leaf)[0][0]


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


def scaled(values: Tensor) -> Tensor:
    """From 0 to 1."""
    return (values - values.min()) / (values.max() - values.min())
