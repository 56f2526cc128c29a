"""Photographs: the two most probable classes, and the rows of all maps of the first at the layers of a network."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from camlib.data import datasets
from camlib.data.examples import Dataset
from camlib.engine.scoring import Scorer
from camlib.evaluate.evidence import judging
from camlib.evaluate.evidence.populations import (
    CLASS_MAPS,
    CURVED_PHOTOGRAPHS,
    LAYERS,
    PHOTO_NETWORKS,
    PHOTO_SEED,
    PHOTOGRAPHS,
)
from camlib.evaluate.evidence.scenes import Row, Version
from camlib.explanation import DegenerateMapWarning, Explanation, compare
from camlib.metrics import Sample, probability_score
from camlib.networks import Network
from camlib.registry import METHODS

KIND = "photographs"
_FIRST_ONLY = ("sa-cam", "score-cam-binary")


def drawn(samples: Path) -> Dataset:
    """The first photographs in the order drawn by :data:`PHOTO_SEED`; ``samples`` is laid out as ImageNet is."""
    every = ordered(samples)
    return Dataset(every.name, every.ids[:PHOTOGRAPHS], every.make)


def ordered(samples: Path) -> Dataset:
    """All photographs in the order that is drawn by :data:`PHOTO_SEED`."""
    found = datasets.imagenet(samples)
    ids = sorted(found.ids)
    random.Random(PHOTO_SEED).shuffle(ids)
    return Dataset(found.name, tuple(ids), found.make)


def versions(number: int) -> Iterator[Version]:
    """(method, options) of every map of the photograph with this place in the order."""
    for name in CLASS_MAPS:
        if number < CURVED_PHOTOGRAPHS or name not in _FIRST_ONLY:
            yield name, {}
            if METHODS[name].makes == "weights":
                yield name, {"common": "center"}
            yield name, {"common": "project"}


def rows_of_chunk(net: Network, photographs: Dataset, numbers: Sequence[int]) -> tuple[list[Row], list[Row]]:
    """(rows, facts) of the photographs with these places in the order, at every layer of the network."""
    rows, facts = [], []
    for number in numbers:
        example = photographs[number]
        name, picture = Path(example.id).stem, example.picture
        inputs = net.prepare(picture)[1]
        probabilities = net.probabilities(net.logits(inputs[None]))[0]
        targets = probabilities.topk(2).indices.tolist()
        place = {"network": net.name, "kind": KIND, "picture": name, "target": net.class_name(targets[0])}
        facts.append(place | {"probability": float(probabilities[targets[0]]), "right": targets[0] == example.label})
        for layer in LAYERS[: len(PHOTO_NETWORKS[net.name])]:
            columns = _columns(net, layer, picture, inputs, targets, number)
            rows += judging.as_rows(place | {"layer": layer}, columns)
    return rows, facts


def _columns(
    net: Network, layer: str, picture: Image.Image, inputs: torch.Tensor, targets: list[int], number: int
) -> dict[str, list]:
    """The columns of the most probable class at one layer."""
    found = _explained(net, layer, picture, targets, list(versions(number)))
    columns, heatmaps = judging.columns_of(found[::2], number)
    columns["alike_class"] = [judging.alike(a.raw, b.raw) for a, b in zip(found[::2], found[1::2], strict=True)]
    columns["extent"] = judging.extents(torch.stack(heatmaps)).tolist()
    noise = torch.rand(1, *inputs.shape, generator=torch.Generator().manual_seed(0))
    sample = Sample.of(net, inputs, heatmaps[0], targets[0], probability_score(Scorer(net, noise)))
    columns |= judging.behind(sample, heatmaps)
    if number < CURVED_PHOTOGRAPHS:
        curved = [m if common == "keep" else None for m, common in zip(heatmaps, columns["common"], strict=True)]
        columns |= judging.curves(sample, curved)
    return columns


def _explained(
    net: Network, layer: str, picture: Image.Image, targets: list[int], asked: list[Version]
) -> list[Explanation]:
    """The maps: version by version, class by class."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateMapWarning)  # rows say which maps are flat
        return compare(net, picture, asked, targets, layer=PHOTO_NETWORKS[net.name][LAYERS.index(layer)])


def settings() -> dict[str, Any]:
    """What decides about the rows besides the network."""
    return {"photographs": [PHOTO_SEED, CURVED_PHOTOGRAPHS], "methods": CLASS_MAPS, "first": _FIRST_ONLY}
