"""Claims that mosaics of photographs decide: accuracy and localization, channel attention, the sign of a weight.

Four photographs of four classes in a 2 × 2 mosaic at twice the network's input size; those that every network names
right with a probability over one half when it sees them alone, each in one mosaic, the same four for all networks. A
row is the mean over the four cells.
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
COUNT = 100
"""Photographs that may play."""


def rows(photographs: Dataset) -> Iterator[Row]:
    """The rows of every mosaic of the photographs that all networks name right."""
    nets = [load_network(name) for name in INNER]
    playing = []
    for n in range(min(COUNT, len(photographs))):
        example = photographs[n]
        if all(sure(net, example) for net in nets):
            playing.append(example)
        if len(playing) == 4:
            yield from of_board(nets, playing)
            playing = []


def sure(net: Network, example: Example) -> bool:
    """Whether a network names a photograph right, with a probability over one half, as its cell shows it."""
    index, _, p = net.predict(square(example.picture, net.input_size[0]), top=1)[0]
    return index == example.label and p > 0.5


def of_board(nets: Sequence[Network], four: Sequence[Example]) -> Iterator[Row]:
    """The rows of one mosaic."""
    board = "+".join(example.id.rpartition("/")[2].partition(".")[0] for example in four)
    labels, shares = [example.label for example in four], {}
    for net in nets:
        side = net.input_size[0]
        wide, picture = net.with_input_size(2 * side), mosaic([e.picture for e in four], cell=side).picture
        trace = Trace.of(wide, picture)
        for method in ("grad-cam", "layer-cam", "sca-cam"):
            shares[net.name, method] = share(trace, method, labels)
        inner = Trace.of(wide, picture, layer=INNER[net.name])
        gain = share(inner, "sca-cam", labels) - share(inner, "hires-cam", labels)
        yield Row("own-sca-channel-attention-helps", net.name, "SCA-CAM − spatial attention alone", board, gain)
        if net is nets[0]:
            for part, layer in SIGNS.items():
                gap = sign_gap(trace if layer is None else Trace.of(wide, picture, layer=layer), labels)
                yield Row("score-weights-background", part, "ten largest − ten most negative", board, gap)
    for method in ("grad-cam", "layer-cam", "sca-cam"):
        step = shares[nets[-1].name, method] - shares[nets[0].name, method]
        yield Row("sca-accuracy-localizes", method, f"{nets[-1].name} − {nets[0].name}", board, step)


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
