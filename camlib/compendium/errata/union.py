"""Numbers on UnionCAM (Hu et al. 2024): eq. 4-8 as printed and as used."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

import camlib
from camlib import framework
from camlib.compendium.errata.cases import (
    GAP,
    INNER,
    VGG,
    Case,
    Number,
    agreement,
    by,
    cases,
    exact,
    mean,
    measures,
    network,
    scenes,
    where,
)
from camlib.metrics import bootstrap_interval
from camlib.registry import METHODS
from camlib.weights import union

READINGS = {
    "scaled": {},
    "printed": {"rescale": False},
    "scaled, any sign": {"clamp": False},
    "printed, any sign": {"clamp": False, "rescale": False},
}
"""Eq. 7 with the union scaled or as printed; weights of eq. 6 below 0 counted as 0, or taken as they are."""


def _branches(case: Case, **options: object) -> list[bool]:
    """Whether the union won, map by map."""
    details = METHODS["union-cam"].function(case.trace, case.target, **options).details
    return [detail["branch"] == "union" for detail in details]


@measures("ams-changed", "ams-kept", *(f"ams-wins: {reading}" for reading in READINGS))
def branches() -> Iterator[Number]:
    """How often the union wins in each reading, how often the printed one chooses otherwise, and what that loses."""
    for name in (VGG, GAP):
        won: dict[str, list[bool]] = {reading: [] for reading in READINGS}
        gains, units = [], []
        for case in cases(name):
            for reading, options in READINGS.items():
                won[reading] += _branches(case, **options)
            made = (by("union-cam", **READINGS[reading])(case) for reading in ("scaled", "printed"))
            scaled, printed = (kept(case, one) for one in made)
            gains += (scaled - printed).tolist()
            units += case.scenes
        for reading, found in won.items():
            yield mean(f"ams-wins: {reading}", name, [float(one) for one in found], units)
        changed = [a != b for a, b in zip(won["scaled"], won["printed"], strict=True)]
        yield mean("ams-changed", name, [float(one) for one in changed], units)
        yield mean("ams-kept", name, gains, units)


def kept(case: Case, made: torch.Tensor) -> torch.Tensor:
    """Probability of the class behind maps [B, h, w], each scaled to [0, 1], [B]."""
    masks = framework.normalize(framework.upsample(made, tuple(case.trace.inputs.shape[-2:])))[0]
    return union.kept_probabilities(case.trace, case.target, masks[:, None])[:, 0]


@measures("ams-brightness: scaled", "ams-brightness: printed")
def brightness() -> Iterator[Number]:
    """Correlation between β_Denoising + β_Region, the brightness of the printed mask, and the choice of the union."""
    for name in (VGG, GAP):
        for reading in ("scaled", "printed"):
            rows, units = [], []
            for case in cases(name):
                for detail in METHODS["union-cam"].function(case.trace, case.target, **READINGS[reading]).details:
                    rows.append((detail["beta_denoised"] + detail["beta_region"], detail["branch"] == "union"))
                units += case.scenes
            table = np.array(rows, dtype=float)

            def correlation(drawn: np.ndarray, of: np.ndarray = table) -> float:
                return np.corrcoef(of[drawn.astype(int)].T)[0, 1]

            interval = bootstrap_interval(np.arange(len(table)), statistic=correlation, units=units)
            yield Number(f"ams-brightness: {reading}", name, *interval, len(table))


@measures("union-negative", "union-clamp", "union-upside-down")
def clamping() -> Iterator[Number]:
    """Maps with a negative weight in eq. 6, their correlation with the clamped ones, and those shown upside down."""
    for name in (VGG, GAP):
        negative, turned, units = [], [], []
        for case in cases(name):
            details = METHODS["union-cam"].function(case.trace, case.target, clamp=False).details
            for detail in details:
                betas = detail["beta_denoised"], detail["beta_region"]
                negative.append(float(min(betas) < 0))
                turned.append(float(max(betas) < 0 and detail["branch"] == "union"))
            units += case.scenes
        yield mean("union-negative", name, negative, units)
        yield mean("union-upside-down", name, turned, units)
        yield agreement("union-clamp", name, cases(name), by("union-cam", clamp=False), by("union-cam"))


@measures("union-logit", "union-logit-branch", "union-black", "union-black-branch")
def score_and_blank() -> Iterator[Number]:
    """f as a logit, and black for the network's input 0: correlation of the maps, share of changed branches."""
    for name in (VGG, GAP):
        for id, options in (("union-logit", {"score": "logit"}), ("union-black", {"filler": "black"})):
            yield agreement(id, name, cases(name), by("union-cam", **options), by("union-cam"))
            changed, units = [], []
            for case in cases(name):
                changed += [a != b for a, b in zip(_branches(case), _branches(case, **options), strict=True)]
                units += case.scenes
            yield mean(f"{id}-branch", name, [float(one) for one in changed], units)


@measures("union-rectified")
def rectified() -> Iterator[Number]:
    """A ReLU on L_Denoising as well: nothing where maps are rectified, another map where they are not."""
    for layer in (None, INNER):
        yield agreement(
            "union-rectified", where(VGG, layer), cases(VGG, layer), by("union-cam", rectified="both"), by("union-cam")
        )


@measures("union-theta")
def theta() -> Iterator[Number]:
    """Channels of which the 10th percentile removes something that the ReLU of eq. 2 would have left."""
    for name in (VGG, GAP):
        touched, units = [], []
        for case in cases(name):
            g = case.trace.gradients(case.target).flatten(2)
            below = (g < g.quantile(0.1, dim=2, keepdim=True)) & (g > 0)
            touched += below.any(dim=2).double().mean(dim=1).tolist()
            units += case.scenes
        yield mean("union-theta", name, touched, units)


@measures("union-unnormalized")
def unnormalized() -> Iterator[Number]:
    """Pictures whose most probable class is another one where they are fed in [0, 1], not normalized."""
    names = [*(camlib.load_photo(name) for name in camlib.list_photos())]
    for name, pictures in ((VGG, scenes().images), (GAP, scenes().images), ("efficientnet-lite0", names)):
        net, changed = network(name), []
        for picture in pictures:
            plain, ready = net.prepare(picture)
            first, second = (int(net.logits(one[None]).argmax()) for one in (ready, plain.to(ready)))
            changed.append(float(first != second))
        yield mean("union-unnormalized", name, changed, range(len(changed)))


@measures("average-drop: used", "average-drop: printed")
def average_drop() -> Iterator[Number]:
    """Average drop of Score-CAM with and without the 1/N that the sources leave out."""
    drops, units = [], []
    for case in cases(VGG, classes=1):
        y = case.trace.probabilities.gather(1, case.target[:, None])[:, 0]
        drops += (100 * (y - kept(case, by("score-cam")(case))).clamp(min=0) / y).tolist()
        units += case.scenes
    yield mean("average-drop: used", VGG, drops, units)
    yield exact("average-drop: printed", VGG, sum(drops))
