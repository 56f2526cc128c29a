"""Score-CAM averaged over many masks of each map: IS-CAM on a path of mask strengths, SS-CAM over noisy masks.

Both make N masked pictures for each live channel, N·K passes in all, once for all classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from camlib.engine.masking import Masking, blend, masks_of
from camlib.engine.scoring import Writer, progress
from camlib.options import Count, NotNegative, Seed
from camlib.registry import method
from camlib.trace import Trace
from camlib.weights.score import softmax_over_live

PATHS: dict[str, Callable[[int, int], float]] = {
    "cumulative": lambda i, n: i * (i + 1) / 2 / n,
    "linear": lambda i, n: i / n,
}
"""Factor of the mask in step i = 1 … n of IS-CAM."""
Path = Literal["cumulative", "linear"]
Weighting = Literal["softmax", "probability"]


@method(
    "is-cam",
    title="IS-CAM",
    sign="softmax",
    family="score",
    source="Naidu et al. 2020 (arXiv 2010.03023), as torchcam documents it",
    passes="1 forward + 10K masked",
    summary="w = softmax over channels of the mean logit along N strengths of each mask",
)
def is_cam(
    trace: Trace, target: Tensor, *, steps: Count = 10, path: Path = "cumulative", weighting: Weighting = "softmax"
) -> Tensor:
    """Score-CAM integrated over the strength of each mask: mean score of x · (t_i H_k) for i = 1 … N, [B, K].

    Args:
        trace, target: as for every method.
        steps: N.
        path: "cumulative", t_i = Σ_{j ≤ i} j/N, which grows to (N + 1)/2, so that late pictures are brighter than the
            original (both programs found have it so); "linear", t_i = i/N, from black to Score-CAM's mask.
        weighting: "softmax" over the live channels of the mean logit (a baseline's logit, subtracted from all of them,
            changes nothing); "probability", the mean softmax probability of the class, as Score-CAM's.
    """
    factors = [PATHS[path](i, steps) for i in range(1, steps + 1)]

    def masked(b: int, channels: Tensor, draw: int) -> Writer:
        picture = trace.inputs[b].to(trace.activations.dtype)
        maps = trace.unfolded(trace.activations[b, channels])

        def write(buffer: Tensor, start: int, stop: int) -> None:
            masks = masks_of(maps[start:stop], trace.size, Masking())
            blend(picture, masks.mul_(factors[draw]), None, buffer)

        return write

    return _weights(trace, target, ("is-cam", steps, path), steps, masked, weighting)


@method(
    "ss-cam",
    title="SS-CAM",
    sign="softmax",
    family="score",
    source="Wang et al. 2020 (SS-CAM, arXiv 2006.14255), as torchcam documents it",
    passes="1 forward + 35K masked",
    summary="w = softmax over channels of the mean logit behind N noisy versions of each mask",
)
def ss_cam(
    trace: Trace,
    target: Tensor,
    *,
    samples: Count = 35,
    sigma: NotNegative = 2.0,
    noise: Literal["mask", "picture"] = "mask",
    weighting: Weighting = "softmax",
    seed: Seed = 0,
) -> Tensor:
    """Score-CAM smoothed by noise: mean score of x · (H_k + δ_n) or of x · H_k + δ_n over N draws of δ, [B, K].

    Args:
        trace, target: as for every method.
        samples: N.
        sigma: standard deviation of the Gaussian δ, in units of the mask (range 1) or of the normalized picture.
        noise: "mask" adds δ to the scaled map (the paper's first type), "picture" to the masked picture (its second).
        weighting: "softmax" over the live channels of the mean logit; "probability", the mean softmax probability of
            the class (the authors' program).
        seed: of the draws. The N draws are the same for every channel and picture, so that channels differ by their
            maps alone and a batch gives what single pictures give.
    """
    shape = trace.size if noise == "mask" else tuple(trace.inputs.shape[1:])

    def masked(b: int, channels: Tensor, draw: int) -> Writer:
        picture = trace.inputs[b].to(trace.activations.dtype)
        maps = trace.unfolded(trace.activations[b, channels])
        generator = torch.Generator().manual_seed(seed * samples + draw)
        delta = sigma * torch.randn(shape, generator=generator).to(picture)

        def write(buffer: Tensor, start: int, stop: int) -> None:
            masks = masks_of(maps[start:stop], trace.size, Masking())
            blend(picture, masks.add_(delta) if noise == "mask" else masks, None, buffer)
            if noise == "picture":
                buffer.add_(delta)

        return write

    return _weights(trace, target, ("ss-cam", samples, sigma, noise, seed), samples, masked, weighting)


def _weights(
    trace: Trace,
    target: Tensor,
    key: tuple,
    draws: int,
    masked: Callable[[int, Tensor, int], Writer],
    weighting: str,
) -> Tensor:
    """Weights from the mean score over the draws of every live channel, [B, K]; 0 for constant channels.

    ``masked(b, channels, draw)`` writes picture b masked by each of the channels in one of the draws.
    """
    probabilities = weighting == "probability"

    def means() -> Tensor:
        made = torch.zeros(*trace.live.shape, trace.logits.shape[1]).to(trace.logits)
        with progress(draws * int(trace.live.sum()), key[0]) as advance:
            for b in range(len(made)):
                channels = trace.live[b].nonzero().flatten()
                for draw in range(draws if len(channels) else 0):
                    logits = trace.scorer().logits(len(channels), masked(b, channels, draw), key[0]).to(made)
                    made[b, channels] += (trace.network.probabilities(logits) if probabilities else logits) / draws
                    advance(len(channels))
        return made

    scores = trace.once((*key, weighting), means)[torch.arange(len(target)), :, target.to(trace.logits.device)]
    return scores * trace.live if probabilities else softmax_over_live(scores, trace.live)
