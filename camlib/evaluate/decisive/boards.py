"""Claims that mosaics of photographs decide: accuracy and localization, channel attention, the sign of a weight.

Four photographs of four classes in a 2 × 2 mosaic at twice the network's input size; those that the first and the last
network name right with a probability over one half when they see them alone, each in one mosaic, the same four for all
networks. A row is the mean over the four cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from camlib import framework, metrics
from camlib.data.examples import Dataset, Example
from camlib.data.mosaics import mosaic, square
from camlib.evaluate.decisive.kept import Row
from camlib.networks import Network
from camlib.registry import METHODS
from camlib.trace import Trace
from camlib.zoo.pretrained import load_network

INNER = {
    "efficientnet-lite0": "blocks.4.2.bn2",
    "efficientnet-lite1": "blocks.4.3.bn2",
    "efficientnet-lite2": "blocks.4.3.bn2",
}
"""Network -> a rectified layer of twice the last one's side; in the order of their accuracy."""
SIGNS = {"last layer": None, "blocks.5.0.bn1": "blocks.5.0.bn1"}
"""Layers of the first network at which signs of weights are counted, as notebook 06a does."""
COUNTS = {"accuracy": 75, "signs": 14, "attention": 75}
"""Mosaics of each count, from the first; 75 are all that the fresh photographs could fill. Raised once, from 18 and 5,
when those had left both claims undecided."""


def rows(photographs: Dataset) -> Iterator[Row]:
    """The rows of all counts."""
    nets, playing, number = [load_network(name) for name in INNER], [], 0
    for example in photographs:
        if number == max(COUNTS.values()):
            return
        if all(sure(net, example) for net in (nets[0], nets[-1])):
            playing.append(example)
        if len(playing) == 4:
            yield from of_board(nets, playing, number)
            playing, number = [], number + 1


def sure(net: Network, example: Example) -> bool:
    """Whether a network names a photograph right, with a probability over one half, as its cell shows it."""
    index, _, p = net.predict(square(example.picture, net.input_size[0]), top=1)[0]
    return index == example.label and p > 0.5


def of_board(nets: Sequence[Network], four: Sequence[Example], number: int) -> Iterator[Row]:
    """The rows of one mosaic of a network's own input size each; ``number`` says for which counts it plays."""
    board = "+".join(example.id.rpartition("/")[2].partition(".")[0] for example in four)
    pictures, labels = [example.picture for example in four], [example.label for example in four]
    wide = [net.with_input_size(2 * net.input_size[0]) for net in nets]
    seen = [mosaic(pictures, cell=net.input_size[0]).picture for net in nets]
    if number < COUNTS["accuracy"]:
        first, last = (Trace.of(wide[n], seen[n]) for n in (0, -1))
        for method in ("grad-cam", "layer-cam", "sca-cam"):
            step = share(last, method, labels) - share(first, method, labels)
            yield Row("sca-accuracy-localizes", method, f"{nets[-1].name} − {nets[0].name}", board, step)
    if number < COUNTS["signs"]:
        for part, layer in SIGNS.items():
            gap = sign_gap(Trace.of(wide[0], seen[0], layer=layer), labels)
            yield Row("score-weights-background", part, "ten largest − ten most negative", board, gap)
    if number < COUNTS["attention"]:
        for net, broad, picture in zip(nets, wide, seen, strict=True):
            inner = Trace.of(broad, picture, layer=INNER[net.name])
            gain = share(inner, "sca-cam", labels) - share(inner, "hires-cam", labels)
            yield Row("own-sca-channel-attention-helps", net.name, "SCA-CAM − spatial attention alone", board, gain)


def share(trace: Trace, method: str, labels: Sequence[int]) -> float:
    """Mean over the cells of the share of a map's positive part in the cell of its class."""
    found = []
    for cell, label in enumerate(labels):
        weights = METHODS[method].function(trace, torch.tensor([label]))
        raw = framework.class_activation_map(weights, trace.activations).relu()[0]
        found.append(metrics.grid_pointing_share(raw, cell, 2, 2))
    return float(np.mean(found))


def sign_gap(trace: Trace, labels: Sequence[int]) -> float:
    """Share of a channel's activation in the cell of the class, the ten largest Grad-CAM weights minus the ten least.

    Channels above the median activity compete; mean over the cells.
    """
    corners = cell_sums(trace.activations[0])
    shares = corners / corners.sum(dim=1, keepdim=True).clamp(min=1e-9)
    active = (corners.sum(dim=1) > corners.sum(dim=1).median()).nonzero()[:, 0]
    gaps = []
    for cell, label in enumerate(labels):
        weight = METHODS["grad-cam"].function(trace, torch.tensor([label]))[0, active]
        order = active[weight.argsort(descending=True)]
        gaps.append(float(shares[order[:10], cell].mean() - shares[order[-10:], cell].mean()))
    return float(np.mean(gaps))


def cell_sums(maps: Tensor) -> Tensor:
    """Sum of each rectified map [K, h, w] in each of the four cells, [K, 4]."""
    h, w = maps.shape[1] // 2, maps.shape[2] // 2
    return maps.relu().unfold(1, h, h).unfold(2, w, w).sum(dim=(3, 4)).flatten(1)
