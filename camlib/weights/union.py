"""UnionCAM: a denoised gradient map, a map of region scores, and the better of their union and the latter.

The three modules of the paper are separate functions: :func:`amd` (denoising), :func:`amu` (union), :func:`ams`
(selection). Maps stay at the layer's resolution: upsampling keeps sums and constants, so scaling by the upsampled
map's minimum and maximum is the same before and after it.

Where the paper can be read in two ways, an option of the method holds both; ``figures/errata.md`` says how much each
one changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from camlib import framework
from camlib.engine.masking import Filler, Masking, Passes, blend, filler_of
from camlib.engine.scoring import Writer
from camlib.options import Percent
from camlib.registry import Detailed, method
from camlib.trace import Trace
from camlib.weights.budget import Read, details_of, map_errors
from camlib.weights.score import Score, blank_logits, blank_probabilities, masked_scores, of_class, scores_of

__all__ = ["Union", "amd", "ams", "amu", "blank_probabilities", "kept_probabilities", "region_map", "union_cam"]


@dataclass(frozen=True)
class Union:
    """What :func:`amu` makes: two maps, each scaled to [0, 1] at the input's size, their weights and weighted sum.

    ``denoised``, ``region``, ``union`` are [B, h, w]; ``beta_denoised``, ``beta_region`` [B] are at least 0 where
    they were clamped. The union is the sum of eq. 6 as it stands; it is not scaled.
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


def region_map(
    trace: Trace,
    target: Tensor,
    filler: str = "mean",
    score: str = "probability",
    relu: bool = True,
    passes: int | None = None,
) -> Tensor:
    """The region-score map: Score-CAM, [B, h, w] (Hu et al. 2024, sec. 3.2).

    Args:
        trace, target: as for every method.
        filler: what stands behind each mask, see :class:`camlib.engine.masking.Masking`.
        score: "probability" or "logit" of the class for each masked picture.
        relu: rectify the sum, as Score-CAM does (Wang et al. 2019, eq. 5).
        passes: a budget, as for ``score-cam``.
    """
    weights = masked_scores(trace, target, Masking(filler=filler, passes=passes), score)
    maps = framework.class_activation_map(weights, trace.activations)
    return maps.relu() if relu else maps


def amu(
    trace: Trace,
    target: Tensor,
    denoised: Tensor,
    region: Tensor,
    filler: str = "mean",
    score: str = "probability",
    clamp: bool = True,
) -> Union:
    """Activation map union (Hu et al. 2024, eq. 4-6): both maps weighted by the score that they add to the blank one.

    Args:
        trace, target: as for every method.
        denoised, region: maps [B, h, w]; each is scaled to [0, 1] before it masks the picture.
        filler: the blank picture, see :class:`camlib.engine.masking.Masking`.
        score: the paper's f, "probability" or "logit".
        clamp: count a negative weight as 0. With negative weights the sum can be a map upside down, which the scaling
            to [0, 1] then shows.
    """
    denoised, region = _scaled(trace, denoised), _scaled(trace, region)
    beta = _added(trace, target, torch.stack([denoised, region], dim=1), filler, score)
    beta = beta.clamp(min=0) if clamp else beta
    weights = beta[:, :, None, None]
    return Union(denoised, region, weights[:, 0] * denoised + weights[:, 1] * region, beta[:, 0], beta[:, 1])


def ams(
    trace: Trace,
    target: Tensor,
    union: Union,
    filler: str = "mean",
    score: str = "probability",
    rescale: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Activation map selection (Hu et al. 2024, eq. 7-8): the union where it adds more score than the region map.

    ``rescale=True`` scales the union to [0, 1] before it masks the picture, as both of its parts were; False takes
    eq. 7 as it is printed, with the sum of eq. 6 for a mask. That mask is dim where both weights are small and above 1
    where their sum is, so that the selection asks how bright the union is, and not where it lies.

    Returns (map [B, h, w], weight of the union [B], whether the union won [B]); a tie goes to the region map, also the
    one where the denoised map has weight 0 and the union is the region map.
    """
    scaled = _scaled(trace, union.union)
    mask = scaled if rescale else union.union
    beta = _added(trace, target, mask[:, None], filler, score)[:, 0]
    won = (beta > union.beta_region) & (union.beta_denoised != 0)
    return torch.where(won[:, None, None], scaled, union.region), beta, won


def kept_probabilities(trace: Trace, target: Tensor, maps: Tensor, filler: str = "mean") -> Tensor:
    """Probability of the target for the picture behind each map, [B, n]; maps [B, n, h, w] are masks, 1 keeps all."""
    return of_class(trace.network.probabilities(_kept_logits(trace, maps, filler)), target)


def _added(trace: Trace, target: Tensor, maps: Tensor, filler: str, score: str) -> Tensor:
    """Score of the target for the picture behind each map, less that of the blank picture, [B, n] (eq. 4, 5 and 7)."""
    kept, blank = (scores_of(trace, y, score) for y in (_kept_logits(trace, maps, filler), blank_logits(trace, filler)))
    return of_class(kept - blank, target)


def _kept_logits(trace: Trace, maps: Tensor, filler: str) -> Tensor:
    """Logits of the pictures that maps [B, n, h, w] let through, [B, n, C]."""
    masking = Masking(filler=filler)

    def write(b: int) -> Writer:
        picture = trace.inputs[b].to(maps)
        back, masks = filler_of(trace.network, picture, masking), trace.enlarged(maps[b])
        return lambda buffer, start, stop: blend(picture, masks[start:stop], back, buffer)

    return trace.picture_logits(None, maps.shape[1], write, "maps as masks")


def _scaled(trace: Trace, maps: Tensor) -> Tensor:
    """Maps [B, h, w] scaled so that their upsampled versions fill [0, 1]; flat maps become zeros."""
    large = trace.enlarged(maps)
    flat = framework.normalize(large)[1]
    low, high = large.flatten(1).amin(dim=1), large.flatten(1).amax(dim=1)
    span = torch.where(flat, torch.inf, high - low)
    return (maps - torch.where(flat, 0.0, low)[:, None, None]) / span[:, None, None]


@method(
    "union-cam",
    title="UnionCAM",
    sign="rectified",
    family="hybrid",
    source="Hu et al. 2024, eq. 1-8 (eq. 7 with the union scaled as its parts)",
    passes="1 forward + 1 backward + K+4 masked",
    summary="denoised gradient map united with Score-CAM, or Score-CAM alone where that keeps more probability",
    makes="map",
    relu=False,
)
def union_cam(
    trace: Trace,
    target: Tensor,
    *,
    theta: Percent = 10.0,
    filler: Filler = "mean",
    score: Score = "probability",
    clamp: bool = True,
    rescale: bool = True,
    rectified: Literal["region", "both", "neither"] = "region",
    passes: Passes = None,
) -> Detailed:
    """The map that :func:`ams` selects, [B, h, w], with the branch that won and the weights as details.

    Args:
        trace, target: as for every method.
        theta: percentile of the denoising (eq. 1), in [0, 100].
        filler: the blank picture and what stands behind each mask. "mean" is the network's input 0, which is what the
            paper's picture in [0, 1] has for black; "black" is black as a picture.
        score: f, "probability" or "logit"; the paper calls it score, class confidence and prediction score.
        clamp: count negative weights of eq. 4-5 as 0; False takes them as printed.
        rescale: scale the union to [0, 1] before eq. 7; False takes eq. 7 as printed.
        rectified: which maps get a ReLU: "region" (eq. 2 prints none, Score-CAM's eq. 5 one), "both" or "neither".
            It matters where feature maps have negative values, and nowhere else.
        passes: a budget for the region map, as for ``score-cam``; the details tell of that map's error.
    """
    denoised = amd(trace, target, theta)
    denoised = denoised.relu() if rectified == "both" else denoised
    region = region_map(trace, target, filler, score, rectified != "neither", passes)
    united = amu(trace, target, denoised, region, filler, score, clamp)
    maps, beta, won = ams(trace, target, united, filler, score, rescale)
    return Detailed(
        maps,
        tuple(
            {
                "branch": "union" if won[b] else "region",
                "beta_denoised": float(united.beta_denoised[b]),
                "beta_region": float(united.beta_region[b]),
                "beta_union": float(beta[b]),
            }
            | found
            for b, found in enumerate(_region_details(trace, target, filler, score, region, rectified, passes))
        ),
    )


def _region_details(
    trace: Trace, target: Tensor, filler: str, score: str, region: Tensor, rectified: str, passes: int | None
) -> tuple[dict[str, object], ...]:
    """What a budget did to the region map; nothing without one."""
    if passes is None:
        return ({},) * len(region)
    masking = Masking(filler=filler, passes=passes)
    weights = masked_scores(trace, target, masking, score)
    return details_of(map_errors(trace, target, weights, Read(masking, score)), region, rectified != "neither")
