"""On what the numbers of the errata are computed: seeded scenes, small trained networks, two maps of one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

import camlib
from camlib import framework
from camlib.compendium.errata.page import Number
from camlib.metrics import bootstrap_interval, pearson
from camlib.registry import METHODS, Detailed
from camlib.trace import Trace

SEED = 10**9 + 15
"""Family of the scenes; no network was trained on it."""
SCENES, CLASSES, BATCH = 120, 3, 8
VGG, GAP = "scenes-vgg", "scenes-gap"
INNER = "features.18"
"""The last convolution of scenes-vgg, in front of batch normalization and ReLU: feature maps of both signs."""


@dataclass(frozen=True)
class Case:
    """A batch of scenes on one network, and one class for each: ``scenes`` says which scene each row is."""

    trace: Trace
    target: Tensor
    scenes: tuple[int, ...]


MEASURES: dict[str, Callable[[], Iterator[Number]]] = {}
"""Id of a measure -> what computes its numbers, one for each population."""


def measures(*ids: str) -> Callable[[Callable[[], Iterator[Number]]], Callable[[], Iterator[Number]]]:
    """Enter a function that yields the numbers of these ids."""

    def enter(function: Callable[[], Iterator[Number]]) -> Callable[[], Iterator[Number]]:
        MEASURES.update(dict.fromkeys(ids, function))
        return function

    return enter


@cache
def network(name: str) -> camlib.Network:
    """One of the networks that were trained on scenes."""
    return camlib.load_network(name)


@cache
def scenes() -> camlib.scenes.Scenes:
    """The scenes of all numbers: one to four objects each."""
    return camlib.scenes.make_scenes(SCENES, SEED, objects=(1, 4))


@cache
def cases(name: str, layer: str | None = None, count: int = SCENES, classes: int = CLASSES) -> list[Case]:
    """Scenes in batches, once for each of their most probable classes; passes are shared."""
    net, found = network(name), []
    for start in range(0, count, BATCH):
        rows = range(start, min(start + BATCH, count))
        trace = Trace(net, torch.stack([net.prepare(scenes().images[i])[1] for i in rows]), layer)
        ranked = trace.logits.topk(classes, dim=1).indices
        found += [Case(trace, ranked[:, rank], tuple(rows)) for rank in range(classes)]
    return found


@cache
def photographs() -> list[Case]:
    """The most probable class of every bundled photograph on EfficientNet-Lite0, last layer."""
    net = camlib.load_network("efficientnet-lite0")
    traces = [Trace.of(net, camlib.load_photo(name)) for name in camlib.list_photos()]
    return [Case(trace, trace.logits.argmax(dim=1), (i,)) for i, trace in enumerate(traces)]


def maps(case: Case, method: str, relu: bool | None = None, **options: Any) -> Tensor:
    """Class activation maps [B, h, w] of a case, rectified as the front door does."""
    entry = METHODS[method]
    made = entry.function(case.trace, case.target, **options)
    made = made.values if isinstance(made, Detailed) else made
    if entry.makes == "weights":
        made = framework.class_activation_map(made, case.trace.activations)
    return made.relu() if (entry.relu if relu is None else relu) else made


def total(case: Case) -> Tensor:
    """ΣM, the plain sum of all feature maps, [B, h, w]."""
    return case.trace.activations.sum(dim=1)


def correlations(first: Tensor, second: Tensor) -> list[float]:
    """Pearson correlation of each pair of maps; 0 for a map that is empty."""
    return [pearson(a.double().numpy(), b.double().numpy()) for a, b in zip(first, second, strict=True)]


def mean(id: str, population: str, values: Sequence[float], units: Sequence[int]) -> Number:
    """The mean of one value a map, with an interval that draws whole scenes."""
    interval = bootstrap_interval(values, units=units)
    return Number(id, population, *interval, len(values))


def exact(id: str, population: str, value: float) -> Number:
    """A number without chance in it."""
    return Number(id, population, float(value), float(value), float(value), 1)


def agreement(id: str, population: str, found: list[Case], a: Callable, b: Callable) -> Number:
    """Mean correlation of two maps over cases; ``a`` and ``b`` make maps [B, h, w] of a case."""
    values = [r for case in found for r in correlations(a(case), b(case))]
    return mean(id, population, values, [scene for case in found for scene in case.scenes])


def by(method: str, **options: Any) -> Callable[[Case], Tensor]:
    """The maps of a method with options, as a function of a case."""
    return lambda case: maps(case, method, **options)


def where(name: str, layer: str | None = None) -> str:
    """The population's name in the tables."""
    return name if layer is None else f"{name}, {layer}"


def spread(values: Tensor) -> float:
    """Largest absolute value."""
    return float(np.abs(values.detach().numpy()).max())
