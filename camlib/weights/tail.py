"""Weights from the network behind the layer: feature maps are changed, and only the tail runs again.

One forward pass makes the maps; K ablations cost K passes of what lies behind them, which for a head of pooling and a
linear layer is next to nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from camlib.engine.scoring import Writer
from camlib.options import Inside
from camlib.registry import method
from camlib.trace import Trace
from camlib.weights.score import Score

_KERNEL = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16


def _of_class(logits: Tensor, target: Tensor) -> Tensor:
    return logits[torch.arange(len(logits)), :, target.to(logits.device)]


@method(
    "ablation-cam",
    title="Ablation-CAM",
    sign="signed",
    family="tail",
    source="Desai and Ramaswamy 2020, eq. 3 (|y| for y)",
    passes="1 forward + K tails",
    summary="w_k = (y − y without map k) / |y|",
)
def ablation_cam(trace: Trace, target: Tensor, *, signed: bool = False) -> Tensor:
    """Relative drop of the target logit when channel k is set to 0, [B, K].

    The paper divides by y, which turns the map upside down where the logit is negative: the channels that speak against
    the class light up. |y| keeps the sign of the drop; ``signed=True`` divides by y as printed. A logit of exactly 0 is
    left as a divisor of 1.
    """
    y = trace.logits.gather(1, target.to(trace.logits.device)[:, None])
    drop = y - _of_class(trace.ablated_logits(), target)
    return drop / torch.where(y == 0, torch.ones_like(y), y if signed else y.abs())


@method(
    "recipro-cam",
    title="Recipro-CAM",
    sign="positive by construction",
    family="tail",
    source="Byun and Lee 2022, eq. 2-4",
    passes="1 forward + hw tails",
    summary="map value at a position = probability of class c from that position's features alone",
    makes="map",
    relu=False,
)
def recipro_cam(trace: Trace, target: Tensor, *, gaussian: bool = False, score: Score = "probability") -> Tensor:
    """Score of the target class when all positions but one are set to 0, [B, h, w].

    ``gaussian`` stamps the position's features with a 3x3 binomial kernel; ``score`` is "probability" or "logit".
    """
    h, w = trace.activations.shape[-2:]
    stamps = torch.eye(h * w).view(h * w, 1, h, w)
    if gaussian:
        stamps = F.conv2d(stamps, _KERNEL[None, None], padding=1)

    def write(b: int) -> Writer:
        features = trace.maps[b].flatten(1).T[:, :, None, None]  # [hw, K, 1, 1]
        spread = stamps.to(features)
        return lambda buffer, start, stop: torch.mul(features[start:stop], spread[start:stop], out=buffer)

    logits = trace.tail_logits(("positions", gaussian), h * w, write, "single positions")
    scores = trace.network.probabilities(logits) if score == "probability" else logits
    return _of_class(scores, target).view(-1, h, w)


@method(
    "fd-cam",
    title="FD-CAM",
    sign="shifted",
    family="tail",
    source="Li et al. 2022, eq. 4-9",
    passes="1 forward + 1 backward + 2K tails",
    summary="w_k = exp(score of the group of map k) · mean g_k − 0.5, both scaled to [0, 1]",
)
def fd_cam(trace: Trace, target: Tensor, *, quantile: Inside = 0.95) -> Tensor:
    """Grad-CAM's weight times a score of each channel's group switched on and off, [B, K].

    The group of a channel are the channels whose cosine similarity to it is above the ``quantile`` of its
    similarities.
    """
    count = trace.activations.shape[1]

    def write(b: int) -> Writer:
        group = _groups(trace.activations[b], quantile)
        keep = torch.cat([group, 1 - group]).to(trace.maps)[:, :, None, None]  # on, off: [2K, K, 1, 1]
        return lambda buffer, start, stop: torch.mul(trace.maps[b], keep[start:stop], out=buffer)

    logits = _of_class(trace.tail_logits(("groups", quantile), 2 * count, write, "channel groups"), target)
    y = trace.logits.gather(1, target.to(trace.logits.device)[:, None])
    score = logits[:, :count] + y - logits[:, count:]
    return _unit(score).exp() * _unit(trace.gradients(target).mean(dim=(2, 3))) - 0.5


def _groups(maps: Tensor, quantile: float) -> Tensor:
    """Which channels j belong to the group of channel k, float [K, K] of 0 and 1."""
    flat = maps.flatten(1)
    unit = flat / flat.norm(dim=1, keepdim=True).clamp(min=torch.finfo(flat.dtype).tiny)
    similarity = unit @ unit.T
    return (similarity > similarity.quantile(quantile, dim=1, keepdim=True)).to(flat)


def _unit(scores: Tensor) -> Tensor:
    """Min-max over the channels of each picture, [B, K] in [0, 1]; zeros where all are equal."""
    low, high = scores.amin(dim=1, keepdim=True), scores.amax(dim=1, keepdim=True)
    return torch.where(high > low, (scores - low) / torch.where(high > low, high - low, 1.0), 0.0)
