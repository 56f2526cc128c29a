"""What a network says of pictures that feature maps mask, and of feature maps with one channel missing."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from camlib import framework
from camlib.engine.masking import Masking, blend, filler_of, masks_of
from camlib.engine.scoring import Scorer, Writer
from camlib.networks import Network, outside_stacklevel

_SAMPLED_MASKS = 32


class ApproximationWarning(UserWarning):
    """An approximation that was asked for was used; the message gives its measured error."""


def masked_pictures(network: Network, picture: Tensor, maps: Tensor, masking: Masking) -> Writer:
    """Writes ``picture`` [C, H, W] masked by each of the feature maps [n, h, w]; every one must be live."""
    picture = picture.to(maps.dtype)
    size, filler = tuple(picture.shape[1 - maps.dim() :]), filler_of(network, picture, masking)

    def write(buffer: Tensor, start: int, stop: int) -> None:
        blend(picture, masks_of(maps[start:stop], size, masking), filler, buffer)

    return write


class Ablation:
    """Writes feature maps [K, h, w] with one channel of each row set to 0; rewrites only what differs.

    Copying all maps for each row takes a fifth of the time of an ablation in front of a linear head. The buffer is
    written anew where the network behind the layer has changed it in place.
    """

    def __init__(self, maps: Tensor) -> None:
        self.maps, self.zeroed, self.version = maps, slice(0, 0), -1

    def __call__(self, buffer: Tensor, start: int, stop: int) -> None:
        rows = torch.arange(len(buffer), device=buffer.device)
        if buffer._version == self.version:
            buffer[rows, self.zeroed.start + rows] = self.maps[self.zeroed][: len(buffer)]
        else:
            buffer.copy_(self.maps)
        buffer[rows, start + rows] = 0
        self.zeroed, self.version = slice(start, stop), buffer._version


def warn_about_precision(write: Writer, maps: Tensor, target: int, exact: Scorer, found: Scorer, name: str) -> None:
    """Warn with the error of a low precision, measured on a sample of the masks of one picture.

    Args:
        write: writes the picture masked by each of ``maps``.
        maps: the sampled feature maps [n, h, w].
        target: the class whose probabilities are compared.
        exact, found: the engine in the network's own precision and in the low one.
        name: of the low precision.
    """
    if len(maps) < 2:
        return
    low, high = (scorer.logits(len(maps), write, "masked pictures") for scorer in (found, exact))
    scores = torch.stack([exact.network.probabilities(y)[:, target] for y in (low, high)]).to(maps)
    made = framework.class_activation_map(scores, maps.expand(2, *maps.shape))
    r = float(torch.corrcoef(made.flatten(1).double())[0, 1])
    warnings.warn(
        f"{name} scores, measured on {len(maps)} masks in both precisions: map correlation {r:.4f}, largest deviation "
        f"of a probability {float((scores[0] - scores[1]).abs().max()):.1g}, of a logit "
        f"{float((low - high).abs().max()):.2g}.",
        ApproximationWarning,
        stacklevel=outside_stacklevel(),
    )


def sampled(channels: Tensor) -> Tensor:
    """At most 32 of the channels, spread evenly."""
    return channels[:: max(1, len(channels) // _SAMPLED_MASKS)][:_SAMPLED_MASKS]
