"""Small networks with random weights in float64, taken apart: heads of every kind that the formulas tell apart."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from camlib.compendium.loops.plain import Plain

CLASSES = 5
CHANNELS = 6


def _build(pool: nn.Module, hidden: Callable[[], nn.Module] | None, seed: int, gain: float, signed: bool) -> Plain:
    """conv - ReLU - conv (- ReLU where not ``signed``) - pool - linear, or an MLP with the activation ``hidden``.

    ``gain`` enlarges the last layer, so that probabilities differ clearly.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, CHANNELS, 3, 2, 1), *([] if signed else [nn.ReLU()])]
        flat = pool(torch.zeros(1, CHANNELS, 8, 8)).numel()
        last = nn.Linear(flat if hidden is None else 12, CLASSES)
        classifier = last if hidden is None else nn.Sequential(nn.Linear(flat, 12), hidden(), last)
        with torch.no_grad():
            last.weight *= gain
        whole = nn.Sequential(nn.Sequential(*body), nn.Sequential(pool, nn.Flatten(), classifier)).eval().double()
    return Plain(whole.requires_grad_(False), "0", whole[0], whole[1])


def _dead() -> Plain:
    """As "gap", but channel 2 is zero and channel 4 constant: neither makes a mask."""
    net = _build(nn.AdaptiveAvgPool2d(1), None, 0, 12.0, signed=False)
    last = net.body[2]
    with torch.no_grad():
        last.weight[[2, 4]] = 0
        last.bias[2], last.bias[4] = -1.0, 0.7
    return net


NETWORKS: dict[str, Callable[[], Plain]] = {
    "gap": lambda: _build(nn.AdaptiveAvgPool2d(1), None, 0, 12.0, signed=False),
    "average": lambda: _build(nn.AvgPool2d(2), nn.ReLU, 9, 20.0, signed=False),
    "max": lambda: _build(nn.MaxPool2d(2), nn.ReLU, 9, 20.0, signed=False),
    "signed": lambda: _build(nn.AvgPool2d(2), nn.ReLU, 4, 20.0, signed=True),
    "smooth": lambda: _build(nn.AvgPool2d(4), nn.SiLU, 1, 6.0, signed=False),
    "dead": _dead,
}
"""Global average pooling and a linear layer; an MLP behind average or max pooling; one with maps of both signs; one
with a smooth activation; one with channels that are constant."""
