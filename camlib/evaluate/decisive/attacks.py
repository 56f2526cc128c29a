"""Claims about attacked pictures at 160 × 160: weights under FGSM, cores in foreign pictures, one black pixel.

The photographs are those that the network names right at that size. Score methods read the 48 channels that are most
active, as in notebooks 14 and 14b.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from camlib import framework
from camlib.data.examples import Dataset
from camlib.data.photographs import load_photo
from camlib.engine.scoring import Scorer
from camlib.evaluate.decisive.kept import Row
from camlib.networks import Network
from camlib.registry import METHODS
from camlib.studies.attacks import core_mask, fgsm, most_active, paste, patched_logits, random_shifts
from camlib.trace import Trace
from camlib.zoo.pretrained import load_network

NETWORK, SIDE, INNER = "efficientnet-lite0", 160, "blocks.5.0.bn1"
LEVELS = (0, 1, 2, 4, 8)
"""ε of the attack, of 255 gray levels."""
USED, PLACES = 48, 4
UNITS = {"largest weight": lambda w: w.abs().max(), "root mean square": lambda w: w.pow(2).mean().sqrt()}
AROUND = ("chelsea", "coffee", "astronaut")
COUNT = 300
COUNTS = {"weights": 120, "cores": 72, "pixel": 12}
"""Photographs of each count, from the first that is named right; "pixel": those with the smallest lead among the
first :data:`LEAST`. Raised once, from 12 weights and 24 cores, when those had left both claims undecided."""
LEAST = 80
TRIED = 64
"""Places of a black pixel, those that lower the lead most to first order."""


def rows(photographs: Dataset) -> Iterator[Row]:
    """The rows of all three counts."""
    net, right = load_network(NETWORK).with_input_size(SIDE), []
    for n in range(min(COUNT, len(photographs))):
        example = photographs[n]
        x01, x = net.prepare(example.picture)
        logits = net.logits(x[None])[0]
        first, second = logits.topk(2).values.tolist()
        if int(logits.argmax()) == example.label:
            name = example.id.rpartition("/")[2].partition(".")[0]
            right.append((n, first - second, name, example.label, x01, x))
    for number, (_, _, name, label, x01, x) in enumerate(right):
        if number < COUNTS["weights"]:
            yield from of_weights(net, x01, label, name)
        if number < COUNTS["cores"]:
            yield from of_cores(net, x, label, name, number)
    closest = sorted((entry[1:] for entry in right if entry[0] < LEAST), key=lambda entry: entry[:2])
    for _, name, label, _, x in closest[: COUNTS["pixel"]]:
        yield Row("sa-one-pixel", "ImageNet", "black", name, float(flips(net, x, label)))


def of_weights(net: Network, picture: Tensor, label: int, name: str) -> Iterator[Row]:
    """log10 of the variance of the weights over ε, the other method's over Score-CAM's, in each unit."""
    target, used, weights = torch.tensor([label]), None, {}
    for level in LEVELS:
        attacked = fgsm(net, picture[None], target, level / 255)
        trace = Trace(net, net.preprocess.normalize(attacked), INNER)
        used = most_active(trace.activations, USED) if used is None else used
        for method in ("grad-cam", "grad-cam++", "score-cam"):  # the score method last
            if method == "score-cam":  # a channel of zeros gets no mask and adds nothing
                trace.activations = trace.activations * used
            w = METHODS[method].function(trace, target)[0, used[0, :, 0, 0].bool()]
            weights.setdefault(method, []).append(w.double())
    for unit, size in UNITS.items():
        variance = {}
        for method, each in weights.items():
            w = torch.stack(each)
            variance[method] = float((w / size(w[0])).var(dim=0, unbiased=False).mean())
        for other in ("grad-cam", "grad-cam++"):
            ratio = float(np.log10(variance[other] / variance["score-cam"])) if variance["score-cam"] else np.nan
            yield Row("score-attack-weights", unit, f"{other} over score-cam", name, ratio)


def of_cores(net: Network, x: Tensor, label: int, name: str, number: int) -> Iterator[Row]:
    """Share of pasted cores (the upper half of the heatmap) that are recognized, SA-CAM minus the other method."""
    target, trace = torch.tensor([label]), Trace(net, x[None])
    scorer, found = Scorer(net, x[None]), {}
    for method in ("grad-cam", "score-cam", "sa-cam"):
        if method == "score-cam":
            trace.activations = trace.activations * most_active(trace.activations, USED)
        weights = METHODS[method].function(trace, target)
        raw = framework.class_activation_map(weights, trace.activations).relu()
        heatmap = framework.normalize(framework.upsample(raw, net.input_size))[0][0]
        found[method] = recognized(net, scorer, x, label, core_mask(heatmap, 0.5), number)
    for other in ("grad-cam", "score-cam"):
        yield Row("sa-adversarial-verification", "", f"sa-cam − {other}", name, found["sa-cam"] - found[other])


def recognized(net: Network, scorer: Scorer, x: Tensor, label: int, core: Tensor, number: int) -> float:
    """Share of places, in all foreign pictures, at which the core is still named right."""
    hits = []
    for case, around in enumerate(AROUND):
        shifts = random_shifts(core, PLACES, seed=100 * number + case)
        behind = net.prepare(load_photo(around))[1]

        def write(buffer: Tensor, start: int, stop: int, shifts=shifts, behind=behind) -> None:
            for row, shift in zip(buffer, shifts[start:stop], strict=True):
                row.copy_(paste(x, core, shift, behind))

        hits.append(float((scorer.logits(PLACES, write).argmax(dim=1) == label).double().mean()))
    return float(np.mean(hits))


def flips(net: Network, x: Tensor, label: int) -> bool:
    """Whether one black pixel at one of the :data:`TRIED` places changes the prediction of a picture [3, H, W]."""
    start = x[None].clone().requires_grad_()
    logits = net.module(start)[0]
    others = logits.masked_fill(torch.arange(len(logits)) == label, -torch.inf)
    (gradient,) = torch.autograd.grad(logits[label] - others.max(), start)
    black = net.preprocess.normalize(torch.zeros(1, 3, 1, 1))
    change = ((black - x) * gradient[0]).sum(dim=1)[0]  # of the lead, to first order
    places = change.flatten().argsort()[:TRIED]
    corners = torch.stack([places // x.shape[2], places % x.shape[2]], dim=1)
    found = patched_logits(Scorer(net, x[None]), x, corners, 1, 0)
    return bool((found.argmax(dim=1) != label).any())
