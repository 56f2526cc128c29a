"""Scenes: their classes, what each object does to the network's answer, and the rows of all maps at both layers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from camlib.data.scenes import SHAPES, Scenes, make_scenes
from camlib.engine.scoring import Scorer
from camlib.evaluate.evidence import judging
from camlib.evaluate.evidence.populations import (
    CLASS_MAPS,
    CURVED,
    DEAR,
    DEAR_MAPS,
    LAYERS,
    PIXEL_MAPS,
    SCENE_KINDS,
    SCENE_NETWORKS,
    SEEDS,
    VARIED,
)
from camlib.explanation import DegenerateMapWarning, Explanation, compare
from camlib.metrics import Sample, probability_score
from camlib.metrics.sample import Score
from camlib.networks import Network
from camlib.registry import METHODS
from camlib.zoo.scenes import SIZE, scene_inputs

Row = dict[str, Any]
Version = tuple[str, dict[str, str]]
BATCH = 6


@dataclass(frozen=True, eq=False)
class Case:
    """One scene with the classes that are explained.

    Attributes:
        number: of the scene in its seed.
        picture: [3, S, S] in [0, 1].
        inputs: the same, normalized.
        targets: the shape of the first object, and of the first object of another shape.
        objects: visible pixels of each object, bool [objects, S, S].
        shapes: of each object.
        logits: of the whole scene, [classes].
        without: logits of the scene without each of its objects, [objects, classes].
    """

    number: int
    picture: Tensor
    inputs: Tensor
    targets: tuple[int, ...]
    objects: Tensor
    shapes: Tensor
    logits: Tensor
    without: Tensor

    def masks(self, target: int) -> Tensor:
        """Visible pixels of each object of a class, bool [n, S, S]."""
        return self.objects[self.shapes == target]

    def effects(self, target: int) -> Tensor:
        """By how much the logit of a class falls when each object is taken out, [objects]."""
        return self.logits[target] - self.without[:, target]


def cases(net: Network, kind: str, numbers: Sequence[int]) -> list[Case]:
    """The scenes with these numbers that count: one object that is named right, or two classes.

    Every object is visible: scenes where an object hides another completely do not exist (:mod:`camlib.data.scenes`).
    """
    settings = {"seed": SEEDS[kind], "objects": SCENE_KINDS[kind]}
    scenes = make_scenes(numbers, **settings)
    inputs = scene_inputs(scenes)
    removed = [make_scenes(numbers, **settings, removed=k) for k in range(scenes.shapes.shape[1])]
    with torch.inference_mode():
        logits = net.module(inputs)
        without = torch.stack([net.module(scene_inputs(each)) for each in removed], dim=1)
    found = [_case(scenes, i, inputs[i], logits[i], without[i]) for i in range(len(scenes))]
    if kind == "several":
        return [case for case in found if len(case.targets) == 2]
    return [case for case in found if case.targets[0] == int(case.logits.argmax())]


def _case(scenes: Scenes, i: int, inputs: Tensor, logits: Tensor, without: Tensor) -> Case:
    count = int(scenes.counts[i])
    shapes = scenes.shapes[i, :count]
    others = [int(s) for s in shapes if s != shapes[0]]
    return Case(
        number=int(scenes.indices[i]),
        picture=scenes.images[i].float() / 255,
        inputs=inputs,
        targets=(int(shapes[0]), *others[:1]),
        objects=scenes.masks[i, :count],
        shapes=shapes,
        logits=logits.clone(),
        without=without[:count].clone(),
    )


def rows_of_chunk(net: Network, kind: str, numbers: Sequence[int]) -> tuple[list[Row], list[Row]]:
    """(rows, facts) of the scenes with these numbers at both layers; facts: one row a scene and class."""
    chosen = cases(net, kind, numbers)
    facts = [_facts(net, kind, case, target) for case in chosen for target in case.targets]
    score = scorer(net)
    rows = []
    for layer in LAYERS:
        for start in range(0, len(chosen), BATCH):
            part = chosen[start : start + BATCH]
            asked = list(versions(kind, layer, part[-1].number))
            for case, found in zip(part, explained(net, layer, part, asked), strict=True):
                rows += rows_of(net, layer, kind, case, found, score)
    return rows, facts


def scorer(net: Network) -> Score:
    """Probabilities of changed scenes, by one fast copy of the network that is proven on noise."""
    noise = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return probability_score(Scorer(net, noise))


def _facts(net: Network, kind: str, case: Case, target: int) -> Row:
    """What is known of a scene and a class before any map: probability, area, and what its objects do to the logit."""
    return {
        "network": net.name,
        "kind": kind,
        "picture": case.number,
        "target": SHAPES[target],
        "probability": float(net.probabilities(case.logits[None])[0, target]),
        "area": float(case.masks(target).any(dim=0).float().mean()),
        "effect": float(case.effects(target)[case.shapes == target].sum()),
        "objects": len(case.shapes),
    }


# -- maps


def versions(kind: str, layer: str, number: int) -> Iterator[Version]:
    """(method, options) of every map of a scene; the common map is removed on the first numbers only."""
    for name in CLASS_MAPS:
        yield name, {}
        if number < VARIED:
            if METHODS[name].makes == "weights":
                yield name, {"common": "center"}
            yield name, {"common": "project"}
    if kind == "one" and layer == "last":
        first = (PIXEL_MAPS if number < VARIED else ()) + (DEAR_MAPS if number < DEAR else ())
        yield from ((name, {}) for name in first)


def explained(net: Network, layer: str, part: list[Case], asked: list[Version]) -> list[list[Explanation]]:
    """The maps of each scene: version by version, target by target."""
    name = SCENE_NETWORKS[net.name][LAYERS.index(layer)]
    pictures, targets = [case.picture for case in part], [list(case.targets) for case in part]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateMapWarning)  # rows say which maps are flat
        found = compare(net, pictures, asked, targets, layer=name)
    each = len(found) // len(part)
    return [found[i * each : (i + 1) * each] for i in range(len(part))]


def rows_of(net: Network, layer: str, kind: str, case: Case, found: list[Explanation], score: Score) -> list[Row]:
    """The rows of one scene at one layer, class by class and method by method; the first map is the common one, ΣM."""
    count, rows = len(case.targets), []
    for slot, target in enumerate(case.targets):
        columns, heatmaps = judging.columns_of(found[slot::count], case.number if kind == "one" else None)
        columns |= _place(case, target, torch.stack(heatmaps))
        if kind == "one":
            columns |= _passes(net, layer, case, heatmaps, columns["common"], score)
        if slot == 0 and count == 2:
            pairs = zip(found[::2], found[1::2], strict=True)
            columns["alike_class"] = [judging.alike(a.raw, b.raw) for a, b in pairs]
        place = {"network": net.name, "layer": layer, "kind": kind, "picture": case.number, "target": SHAPES[target]}
        rows += judging.as_rows(place, columns)
    return rows


def _passes(
    net: Network, layer: str, case: Case, heatmaps: list[Tensor], common: list[str], score: Score
) -> dict[str, list]:
    """What the network says of the scene seen through the maps; on the first numbers the curves, too."""
    sample = Sample.of(net, case.inputs, heatmaps[0], case.targets[0], score)
    columns = judging.behind(sample, heatmaps)
    if case.number < CURVED:
        wanted = [layer == "last" or each == "keep" for each in common]
        curved = [map_ if this else None for map_, this in zip(heatmaps, wanted, strict=True)]
        columns |= judging.curves(sample, curved)
    return columns


def _place(case: Case, target: int, heatmaps: Tensor) -> dict[str, list]:
    """Where the heatmaps [n, H, W] of a class lie: energy, extent, hit; with several objects cause and twins."""
    shares = judging.energies(heatmaps, case.objects)
    own = case.shapes == target
    found = {
        "energy": shares[:, own].sum(dim=1).tolist(),
        "extent": judging.extents(heatmaps).tolist(),
        "hit": judging.hits(heatmaps, case.masks(target).any(dim=0)).tolist(),
    }
    if len(case.shapes) > 1:
        found["on_objects"] = shares.sum(dim=1).tolist()
        found["cause"] = judging.agreement(shares, case.effects(target)).tolist()
    if int(own.sum()) > 1:
        found["twins"] = judging.all_lit(heatmaps, case.masks(target)).tolist()
    return found
