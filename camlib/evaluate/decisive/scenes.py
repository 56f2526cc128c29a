"""Claims that scenes decide: gray levels of products, SA-CAM's softmax, the union of two maps, LFI-CAM's stability.

Scene numbers begin at :data:`FIRST`; the seeds are those of the evidence, which uses the numbers below 1,200. The
networks are its seven scene networks at their last rectified layer. At a rectified layer Q of SA-CAM has no place where
it divides by almost zero: that needs a negative gradient, which its ReLU removes.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from camlib import framework, metrics
from camlib.data.scenes import make_scenes
from camlib.evaluate.decisive.kept import Row
from camlib.evaluate.evidence import judging, scenes
from camlib.evaluate.evidence.making import network_of
from camlib.evaluate.evidence.populations import HEADS, SCENE_NETWORKS
from camlib.explanation import DegenerateMapWarning, compare
from camlib.networks import Network
from camlib.registry import METHODS
from camlib.trace import Trace
from camlib.training.lfi import weight_names
from camlib.weights import union
from camlib.zoo.pretrained import load_network

FIRST, COUNTS = 10_000, {"one": 640, "several": 160}
"""Number of the first scene, and how many of each kind. Raised once, from 160 with one object, when those had left
products and unions undecided."""
LFI_SEED, LFI_COUNT = 10**9 + 700, 800


def gray_entropy(heatmap: Tensor) -> float:
    """Entropy in bits of a heatmap [H, W] in [0, 1] that is shown in 256 gray levels: 8 if all are equally frequent."""
    counts = np.bincount((255 * heatmap.double().numpy()).round().astype(int).ravel(), minlength=256)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def rows() -> Iterator[Row]:
    """Every row: so many scenes of each kind from :data:`FIRST`, and LFI-CAM's stability."""
    for name in SCENE_NETWORKS:
        for kind, count in COUNTS.items():
            yield from of_network(network_of(name), kind, range(FIRST, FIRST + count))
    yield from stability(range(LFI_COUNT))


def of_network(net: Network, kind: str, numbers: Sequence[int]) -> Iterator[Row]:
    """The rows of one scene network: with one object those of products and unions, with several the softmax."""
    layer, part = SCENE_NETWORKS[net.name][0], HEADS[net.name]
    for case in scenes.cases(net, kind, numbers):
        trace, name = Trace(net, case.inputs[None], layer), f"scene {case.number}"
        if kind == "several":
            yield from _softmax(trace, case, part)
            continue
        target = torch.tensor(case.targets[:1])
        yield from _gray_levels(trace, target, part, name)
        yield from _union(trace, target, part, name)
        if net.name == "scenes-dense":
            before = Trace(net, case.inputs[None], "features")
            yield Row("sca-densenet-slightly", part, "w and mean gradient", name, weights_alike(before, target))


def weights_alike(before: Trace, target: Tensor) -> float:
    """Correlation over channels of the classifier's weights with the mean gradients at a layer before the last ReLU."""
    row = Trace(before.network, before.inputs).head.weight[target[0]]
    return metrics.pearson(row, before.gradients(target).mean(dim=(2, 3))[0])


def _heatmaps(trace: Trace, target: Tensor, **options: object) -> Tensor:
    """Heatmaps of SA-CAM, [B, H, W]."""
    weights = METHODS["sa-cam"].function(trace, target, **options)
    raw = framework.class_activation_map(weights, trace.activations).relu()
    return framework.normalize(framework.upsample(raw, trace.network.input_size))[0]


def _gray_levels(trace: Trace, target: Tensor, part: str, picture: str) -> Iterator[Row]:
    bits = {form: gray_entropy(_heatmaps(trace, target, form=form, softmax=False)[0]) for form in ("sum", "product")}
    yield Row("sa-product-attenuates", part, "S·K·Q − S+K+Q", picture, bits["product"] - bits["sum"])


def _union(trace: Trace, target: Tensor, part: str, picture: str) -> Iterator[Row]:
    united = union.amu(trace, target, union.amd(trace, target), union.region_map(trace, target))
    _, beta, _ = union.ams(trace, target, united)
    for name, other in (("denoised map", united.beta_denoised), ("region map", united.beta_region)):
        yield Row("union-keeps-more-than-its-parts", part, f"union − {name}", picture, float(beta[0] - other[0]))


def _softmax(trace: Trace, case: scenes.Case, part: str) -> Iterator[Row]:
    for name, options in (("with Q", {}), ("λ2 = 0", {"lambda2": 0.0})):
        gains = []
        for target in case.targets:
            asked = torch.tensor([target])
            maps = [_heatmaps(trace, asked, softmax=softmax, **options)[0] for softmax in (False, True)]
            shares = judging.energies(torch.stack(maps), case.objects)
            share = shares[:, case.shapes == target].sum(dim=1) / shares.sum(dim=1)
            gains.append(float(share[0] - share[1]))
        yield Row("own-sa-softmax-hides-class", part, name, f"scene {case.number}", float(np.mean(gains)))


def stability(numbers: Sequence[int]) -> Iterator[Row]:
    """IoU of maps of two trainings above that with the next scene's map: LFI-CAM's minus Grad-CAM's of plain twins."""
    drawn = make_scenes(list(numbers), LFI_SEED, objects=(1, 1))
    excess = {
        method: _excess(name, method, drawn)
        for name, method in (("scenes-lfi", "lfi-cam"), ("scenes-plain", "grad-cam"))
    }
    for number, difference in zip(numbers, excess["lfi-cam"] - excess["grad-cam"], strict=True):
        yield Row("history-lfi-stability", "", "LFI-CAM − Grad-CAM", f"scene {number}", float(difference))


def _excess(name: str, method: str, drawn: object) -> np.ndarray:
    """Of each scene the mean over pairs of trainings of IoU minus IoU with the next scene's map."""
    pictures, targets = [image.float() / 255 for image in drawn.images], [[c] for c in drawn.labels.tolist()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateMapWarning)
        of = [compare(load_network(name, tag), pictures, [method], targets, batch_size=32) for tag in weight_names()]
    maps = [[e.heatmap for e in found] for found in of]
    found = [
        [
            metrics.binary_overlap(a[i], b[i])[0] - metrics.binary_overlap(a[i], b[(i + 1) % len(b)])[0]
            for i in range(len(a))
        ]
        for a, b in itertools.combinations(maps, 2)
    ]
    return np.mean(found, axis=0)
