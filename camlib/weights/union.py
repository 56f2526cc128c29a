"""UnionCAM: a denoised gradient map, a map of region scores, and the better of their union and the latter.

The three modules of the paper are separate functions: :func:`amd` (denoising), :func:`amu` (union), :func:`ams`
(selection). Maps stay at the layer's resolution: upsampling keeps sums and constants, so scaling by the upsampled
map's minimum and maximum is the same before and after it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from camlib import framework
from camlib.engine.masking import Masking, blend, filler_of
from camlib.engine.scoring import Writer
from camlib.registry import Detailed, method
from camlib.trace import Trace
from camlib.weights.score import blank_probabilities, score_cam


@dataclass(frozen=True)
class Union:
    """What :func:`amu` makes: the union and its parts, each scaled to [0, 1] at the input's size, and their weights.

    ``denoised``, ``region``, ``union`` are [B, h, w]; ``beta_denoised``, ``beta_region`` [B] are at least 0.
    """

    denoised: Tensor
    region: Tensor
    union: Tensor
    beta_denoised: Tensor
    beta_region: Tensor


def amd(trace: Trace, target: Tensor, theta: float = 10.0) -> Tensor:
    """Activation map denoising (Hu et al. 2024, eq. 1-3): pixel gradients below a percentile dropped, [B, h, w].

    D = ReLU(g) where g is at least the ``theta``-th percentile of its channel; each channel's D is scaled to sum 1 and
    multiplied with its map. Raises ValueError for theta outside [0, 100].
    """
    if not 0 <= theta <= 100:
        raise ValueError(f"theta={theta}: expected a percentile in [0, 100].")
    g = trace.gradients(target)
    floor = g.flatten(2).quantile(theta / 100, dim=2)[:, :, None, None]
    denoised = torch.where(g >= floor, g.relu(), 0.0)
    total = denoised.sum(dim=(2, 3), keepdim=True)
    alpha = torch.where(total > 0, denoised / torch.where(total > 0, total, 1.0), 0.0)
    return framework.class_activation_map(alpha, trace.activations)


def region_map(trace: Trace, target: Tensor, filler: str = "mean") -> Tensor:
    """The region-score map: rectified Score-CAM, [B, h, w] (Hu et al. 2024, sec. 3.2)."""
    weights = score_cam(trace, target, filler=filler)
    return framework.class_activation_map(weights, trace.activations).relu()


def amu(trace: Trace, target: Tensor, denoised: Tensor, region: Tensor, filler: str = "mean") -> Union:
    """Activation map union (eq. 4-6): both maps weighted by the probability that they add to the blank picture.

    Args:
        trace, target: as for every method.
        denoised, region: maps [B, h, w].
        filler: the blank picture, see :class:`camlib.engine.masking.Masking`.

    A negative weight counts as 0: with two of them min-max scaling would turn the map upside down.
    """
    size = tuple(trace.inputs.shape[-2:])
    denoised, region = _scaled(denoised, size), _scaled(region, size)
    blank = blank_probabilities(trace, target, filler)
    kept = kept_probabilities(trace, target, torch.stack([denoised, region], dim=1), filler)
    beta = (kept - blank[:, None]).clamp(min=0)
    weights = beta[:, :, None, None]
    return Union(denoised, region, weights[:, 0] * denoised + weights[:, 1] * region, beta[:, 0], beta[:, 1])


def ams(trace: Trace, target: Tensor, union: Union, filler: str = "mean") -> tuple[Tensor, Tensor, Tensor]:
    """Activation map selection (eq. 7-8): the union where it keeps more probability than the region map.

    Returns (map [B, h, w], weight of the union [B], whether the union won [B]); a tie goes to the region map, also the
    one where the denoised map has no weight and the union is the region map.
    """
    scaled = _scaled(union.union, tuple(trace.inputs.shape[-2:]))
    beta = kept_probabilities(trace, target, scaled[:, None], filler)[:, 0] - blank_probabilities(trace, target, filler)
    won = (beta > union.beta_region) & (union.beta_denoised > 0)
    return torch.where(won[:, None, None], scaled, union.region), beta, won


def kept_probabilities(trace: Trace, target: Tensor, maps: Tensor, filler: str = "mean") -> Tensor:
    """Probability of the target for the picture behind each map, [B, n]; maps [B, n, h, w] scaled to [0, 1]."""
    size, masking = tuple(trace.inputs.shape[-2:]), Masking(filler=filler)

    def write(b: int) -> Writer:
        picture = trace.inputs[b].to(maps)
        back, masks = filler_of(trace.network, picture, masking), framework.upsample(maps[b], size)
        return lambda buffer, start, stop: blend(picture, masks[start:stop], back, buffer)

    probabilities = trace.picture_logits(None, maps.shape[1], write, "maps as masks").softmax(dim=2)
    return probabilities[torch.arange(len(maps)), :, target.to(maps.device)]


def _scaled(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps [B, h, w] scaled so that their upsampled versions fill [0, 1]; flat maps become zeros."""
    large = framework.upsample(maps, size)
    flat = framework.normalize(large)[1]
    low, high = large.amin(dim=(1, 2)), large.amax(dim=(1, 2))
    span = torch.where(flat, torch.inf, high - low)
    return (maps - torch.where(flat, 0.0, low)[:, None, None]) / span[:, None, None]


@method(
    "union-cam",
    title="UnionCAM",
    sign="rectified",
    family="hybrid",
    source="Hu et al. 2024, eq. 1-8",
    passes="1 forward + 1 backward + K+4 masked",
    summary="denoised gradient map united with Score-CAM, or Score-CAM alone where that keeps more probability",
    makes="map",
    relu=False,
)
def union_cam(trace: Trace, target: Tensor, *, theta: float = 10.0, filler: str = "mean") -> Detailed:
    """The map that :func:`ams` selects, [B, h, w], with the branch that won and the weights as details.

    ``theta`` is the percentile of the denoising, ``filler`` the blank picture ("mean" is 0 in normalized space).
    """
    united = amu(trace, target, amd(trace, target, theta), region_map(trace, target, filler), filler)
    maps, beta, won = ams(trace, target, united, filler)
    return Detailed(
        maps,
        tuple(
            {
                "branch": "union" if won[b] else "region",
                "beta_denoised": float(united.beta_denoised[b]),
                "beta_region": float(united.beta_region[b]),
                "beta_union": float(beta[b]),
            }
            for b in range(len(maps))
        ),
    )
