"""Numbers on SA-CAM (Liang et al. 2022): its equations, algorithms and tables as printed and as used."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from camlib.compendium.errata.cases import (
    GAP,
    VGG,
    Case,
    Number,
    agreement,
    by,
    cases,
    exact,
    mean,
    measures,
    spread,
    total,
)
from camlib.engine.masking import Masking, blurred, masks_of
from camlib.registry import METHODS
from camlib.weights.curvature import logit_curvature
from camlib.weights.gradient import grad_cam
from camlib.weights.hybrid import attention_score

FORMS = {"eq. 5": "score-gradient", "eq. 6": "product", "eq. 8": "mixed"}
SIGMA = 10.0
LEVELS = 16
"""Widths of blur that stand for the continuum of eq. 13, third line."""
CLEAN = 75.29
"""Accuracy in % without an attack that makes table 5 a function of table 4; the paper prints none."""
TABLE_4 = ((18.40, 22.31, 22.35), (21.59, 24.18, 29.26), (29.73, 28.11, 34.67))
TABLE_5 = ((75.56, 70.37, 70.31), (71.32, 67.88, 61.14), (60.51, 62.66, 53.95))
INSERTION = {"score-cam": (0.357, 0.467, 0.441, 0.442, 0.294), "sa-cam": (0.362, 0.462, 0.447, 0.445, 0.319)}
DELETION = {"score-cam": (0.043, 0.056, 0.052, 0.057, 0.061), "sa-cam": (0.051, 0.064, 0.066, 0.058, 0.062)}
"""Tables 1 and 2, five groups each, as printed."""


@measures(*(f"sa-form: {place}" for place in FORMS))
def forms() -> Iterator[Number]:
    """The other definitions of the map against eq. 9, on maps without a softmax in any of them."""
    for name in (VGG, GAP):
        usual = by("sa-cam", softmax=False)
        for place, form in FORMS.items():
            yield agreement(f"sa-form: {place}", name, cases(name), by("sa-cam", softmax=False, form=form), usual)


@measures("sa-scale: none", "sa-scale: eq. 7", "sa-scale: size", "sa-scale: leaves")
def scales() -> Iterator[Number]:
    """S, K and Q unscaled and scaled by eq. 7 as printed; the size of K beside S; K that eq. 7 takes out of [0, 1]."""
    for name in (VGG, GAP):
        for id, scale in (("none", "none"), ("eq. 7", "max")):
            yield agreement(f"sa-scale: {id}", name, cases(name), by("sa-cam", scale=scale), by("sa-cam"))
        sizes, leaves, units = [], [], []
        for case in cases(name):
            key_area = Masking("key-area", filler="white")
            s = attention_score(case.trace, case.target, key_area, Masking())
            k = grad_cam(case.trace, case.target)
            sizes += (k.abs().amax(dim=1) / s.amax(dim=1)).tolist()
            leaves += (k.amin(dim=1) < 0).double().tolist()
            units += case.scenes
        yield mean("sa-scale: size", name, sizes, units)
        yield mean("sa-scale: leaves", name, leaves, units)


@measures("sa-softmax: ratio", "sa-softmax: sum", "sa-softmax: sum without")
def softmax() -> Iterator[Number]:
    """Largest over smallest weight behind the softmax; how near the map is to ΣM with and without it."""
    for name in (VGG, GAP):
        ratios, units = [], []
        for case in cases(name):
            weights = METHODS["sa-cam"].function(case.trace, case.target)
            lit = weights.masked_fill(~case.trace.live, torch.nan)
            ratios += [float(np.nanmax(row) / np.nanmin(row)) for row in lit.numpy()]
            units += case.scenes
        yield mean("sa-softmax: ratio", name, ratios, units)
        yield agreement("sa-softmax: sum", name, cases(name), by("sa-cam"), total)
        yield agreement("sa-softmax: sum without", name, cases(name), by("sa-cam", softmax=False), total)


@measures("sa-tau", "sa-fill", "sa-noise", "sa-blur")
def left_open() -> Iterator[Number]:
    """What the paper does not give: threshold, color of what is cut away, kind of perturbation."""
    options = {
        "sa-tau": {"tau": 0.625},
        "sa-fill": {"fill": "mean"},
        "sa-noise": {"perturbation": "noise"},
        "sa-blur": {"perturbation": "blur"},
    }
    for id, given in options.items():
        for name in (VGG, GAP):
            yield agreement(id, name, cases(name), by("sa-cam", **given), by("sa-cam"))


@measures("sa-blur-inside: used", "sa-blur-inside: printed")
def eq_13() -> Iterator[Number]:
    """Change of the picture where the mask is above 1/2 over its change where it is below, by both readings of blur."""
    for name in (VGG, GAP):
        found: dict[str, list[float]] = {"used": [], "printed": []}
        units = []
        for case in cases(name, classes=1):
            for row, scene in enumerate(case.scenes):
                picture, mask = case.trace.inputs[row], _strongest(case, row)
                used = picture * mask + blurred(picture, SIGMA) * (1 - mask)
                for reading, made in (("used", used), ("printed", _blurred_by(picture, mask))):
                    change = (made - picture).abs().mean(dim=0)
                    found[reading].append(float(change[mask > 0.5].mean() / change[mask <= 0.5].mean()))
                units.append(scene)
        for reading, values in found.items():
            yield mean(f"sa-blur-inside: {reading}", name, values, units)


def _strongest(case: Case, row: int) -> Tensor:
    """The mask [H, W] of the channel with the largest sum."""
    m = case.trace.activations[row]
    channel = int(m.sum(dim=(1, 2)).argmax())
    return masks_of(m[channel : channel + 1], tuple(case.trace.inputs.shape[-2:]), Masking())[0]


def _blurred_by(picture: Tensor, mask: Tensor) -> Tensor:
    """∫ g_{σ0·m(u)}(v − u) U(v) dv of eq. 13: each pixel blurred the more, the larger its mask is."""
    levels = np.linspace(0, 1, LEVELS + 1)
    sharp = picture.numpy()
    stack = [sharp, *(gaussian_filter(sharp, SIGMA * s, mode="mirror", axes=(1, 2)) for s in levels[1:])]
    nearest = torch.from_numpy(np.abs(mask.numpy()[None] - levels[:, None, None]).argmin(axis=0))
    return torch.from_numpy(np.stack(stack)).gather(0, nearest[None, None].expand(1, *picture.shape))[0]


@measures("sa-jet: blue", "sa-jet: red")
def algorithm_1() -> Iterator[Number]:
    """Mean heat of what ``px[0] > 127`` keeps on a JET ramp, with the colors in the order of OpenCV and of RGB."""
    heat = np.linspace(0, 1, 256)
    red, _, blue, _ = (255 * mpl.colormaps["jet"](heat)).T
    yield exact("sa-jet: blue", "JET, 256 levels", heat[blue <= 127].mean())
    yield exact("sa-jet: red", "JET, 256 levels", heat[red <= 127].mean())


@measures("sa-curvature")
def eq_11() -> Iterator[Number]:
    """The largest second derivative of the logit at activations with a positive gradient: α of eq. 11 is 0/0."""
    for name in (VGG, GAP):
        found = cases(name, count=8, classes=1)
        curved = [logit_curvature(c.trace, c.target, c.trace.gradients(c.target) > 0)[0] for c in found]
        yield exact("sa-curvature", name, max(spread(one) for one in curved))


@measures("sa-table-5", "sa-table-3")
def tables() -> Iterator[Number]:
    """Table 5 as a function of table 4; the published lead over Score-CAM, as a mean over groups."""
    accuracies, rates = torch.tensor(TABLE_4).double(), torch.tensor(TABLE_5).double()
    error = spread(100 * (1 - accuracies / CLEAN) - rates)
    yield exact("sa-table-5", "tables 4 and 5", error)
    lead = sum(INSERTION["sa-cam"]) - sum(DELETION["sa-cam"]) - sum(INSERTION["score-cam"]) + sum(DELETION["score-cam"])
    yield exact("sa-table-3", "tables 1 and 2", lead / 5)
