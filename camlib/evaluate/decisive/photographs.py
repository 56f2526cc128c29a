"""Claims that single photographs decide: edges, shuffled tiles, weights before the last ReLU, weights and scores."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from skimage.filters import sobel, sobel_h, sobel_v
from skimage.transform import resize
from torch import Tensor

from camlib import metrics
from camlib.data.examples import Dataset
from camlib.data.mosaics import side_by_side, square
from camlib.data.photographs import list_photos, load_photo
from camlib.evaluate.decisive.kept import Row
from camlib.evaluate.decisive.scenes import weights_alike
from camlib.networks import Network
from camlib.registry import METHODS
from camlib.trace import Trace
from camlib.zoo.pretrained import load_network

NETWORK = "efficientnet-lite0"
STAGES = {"conv1": "bn1", "conv2_x": "blocks.1.1.bn2", "conv5_x": "bn2"}
"""A rectified tensor of the two lowest stages of notebook 01a, and of the last."""
KINDS = {"strength": (sobel,), "signed": (sobel_h, sobel_v)}
"""Kind of edge -> filters; of two the mean counts."""
TILES = (14, 28)
BEFORE = {f"efficientnet-lite{i}": "bn2.drop" for i in range(3)}
"""Network -> its last maps before the ReLU6."""
LAYERS = {"last layer": None, "blocks.5.0.bn1": "blocks.5.0.bn1"}
CHANNELS = 24
COUNTS = {"edges": 40, "tiles": 60, "weights": 20, "scores": 40}
"""Photographs of each count, from the first fresh one."""


def rows(photographs: Dataset) -> Iterator[Row]:
    """The rows of all counts; the channels that follow edges are chosen on the offline photographs."""
    net = load_network(NETWORK)
    wide = net.with_input_size((224, 448))
    nets = {name: load_network(name) for name in BEFORE}
    for n in range(min(max(COUNTS.values()), len(photographs))):
        picture, name = photographs[n].picture, photographs[n].id.rpartition("/")[2].partition(".")[0]
        if n < COUNTS["edges"]:
            yield from of_edges(net, picture, name)
        if n < COUNTS["tiles"]:
            yield from of_tiles(wide, picture, name)
        if n < COUNTS["weights"]:
            yield from of_weights(nets, picture, name)
        if n < COUNTS["scores"]:
            yield from of_scores(net, picture, name, n)


def of_edges(net: Network, picture: Image.Image, name: str) -> Iterator[Row]:
    """Correlation with edges of the channels that were chosen, lower stage minus the last one."""
    r = edge_correlations(net, picture)
    for kind, filters in KINDS.items():
        found = {}
        for stage in STAGES:
            best = [best_channels()[stage, f.__name__] for f in filters]
            values = [sign * float(r[stage, f.__name__][k]) for f, (k, sign) in zip(filters, best, strict=True)]
            found[stage] = float(np.mean(values))
        for low in ("conv1", "conv2_x"):
            yield Row("sca-early-layers-edges", kind, f"{low} − conv5_x", name, found[low] - found["conv5_x"])


@functools.cache
def best_channels() -> dict[tuple[str, str], tuple[int, float]]:
    """Of each stage and filter (channel, sign) with the largest mean correlation on the offline photographs."""
    net = load_network(NETWORK)
    found = [edge_correlations(net, load_photo(name)) for name in list_photos("imagenet")]
    means = {key: torch.stack([r[key] for r in found]).mean(dim=0) for key in found[0]}
    best = {key: int(mean.abs().argmax()) for key, mean in means.items()}
    return {key: (k, float(means[key][k].sign())) for key, k in best.items()}


def edge_correlations(net: Network, picture: Image.Image) -> dict[tuple[str, str], Tensor]:
    """Pearson's r of every channel with the edges of the photograph, [K], by (stage, filter)."""
    gray, found = net.prepare(picture)[0].mean(dim=0).numpy(), {}
    for stage, layer in STAGES.items():
        maps = Trace.of(net, picture, layer=layer).activations[0]
        centered = maps.flatten(1) - maps.flatten(1).mean(dim=1, keepdim=True)
        for find in {f for filters in KINDS.values() for f in filters}:
            edge = torch.tensor(resize(find(gray), maps.shape[1:], anti_aliasing=True)).flatten().float()
            edge = edge - edge.mean()
            found[stage, find.__name__] = centered @ edge / (centered.norm(dim=1).clamp(min=1e-9) * edge.norm())
    return found


def of_tiles(wide: Network, picture: Image.Image, name: str) -> Iterator[Row]:
    """Share of ΣM in the photograph beside a copy of it with shuffled tiles; half is chance."""
    whole = square(picture, 224)
    for tile in TILES:
        trace = Trace.of(wide, side_by_side(whole, shuffled(whole, tile)).picture)
        share = metrics.grid_pointing_share(trace.activations[0].sum(dim=0), 0, 1, 2)
        yield Row("sca-late-layers-objects", f"{tile} pixels", "share of the intact cell", name, float(share))


def shuffled(picture: Image.Image, tile: int, seed: int = 0) -> Image.Image:
    """A picture of 224 × 224 with its square tiles in another order."""
    a = np.asarray(picture).reshape(224 // tile, tile, 224 // tile, tile, 3).swapaxes(1, 2)
    order = np.random.default_rng(seed).permutation(a.shape[0] * a.shape[1])
    tiles = a.reshape(-1, tile, tile, 3)[order].reshape(a.shape)
    return Image.fromarray(tiles.swapaxes(1, 2).reshape(224, 224, 3))


def of_weights(nets: dict[str, Network], picture: Image.Image, name: str) -> Iterator[Row]:
    """Classifier weights and mean gradients in front of the last ReLU, the most probable class."""
    for net_name, net in nets.items():
        before = Trace.of(net, picture, layer=BEFORE[net_name])
        r = weights_alike(before, before.logits.argmax(dim=1))
        yield Row("sca-densenet-slightly", net_name, "w and mean gradient", name, r)


def of_scores(net: Network, picture: Image.Image, name: str, number: int) -> Iterator[Row]:
    """Rank correlation of weights with the probability when only the channel's region is shown, drawn channels."""
    for part, layer in LAYERS.items():
        trace = Trace.of(net, picture, layer=layer)
        target = trace.logits.argmax(dim=1)
        weights = {m: METHODS[m].function(trace, target)[0] for m in ("grad-cam", "grad-cam++")}
        alive = (trace.activations[0].amax(dim=(1, 2)) > 0).nonzero()[:, 0].numpy()
        chosen = np.random.default_rng(number).choice(alive, min(CHANNELS, len(alive)), replace=False)
        scores = shown_only(trace, target, torch.from_numpy(chosen))
        for method, weight in weights.items():
            r = metrics.spearman(weight[chosen], scores)
            yield Row("score-weights-no-relation", part, method, name, float(r))


def shown_only(trace: Trace, target: Tensor, channels: Tensor) -> Tensor:
    """Probability of the class behind the masks of some channels, [n]; a channel of zeros gets no mask and no pass."""
    kept = torch.zeros(trace.activations.shape[1])
    kept[channels] = 1
    some = Trace(trace.network, trace.inputs, trace.layer.name)
    some.activations = some.activations * kept[:, None, None]
    return METHODS["score-cam"].function(some, target)[0, channels]
