"""Numbers on Score-CAM (Wang et al. 2019): masks, guided maps, counterfactuals and captions as printed and as used."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from camlib import framework
from camlib.compendium.errata.cases import (
    GAP,
    INNER,
    SEED,
    VGG,
    Case,
    Number,
    agreement,
    by,
    cases,
    correlations,
    mean,
    measures,
    network,
    total,
    where,
)
from camlib.data.scenes import COLORS, SHAPES, make_scenes
from camlib.engine.masking import Masking, masks_of
from camlib.registry import METHODS
from camlib.trace import Trace
from camlib.weights.score import blank_probabilities
from camlib.zoo.captioner import VOCABULARY, Captioner

CAPTIONED = 60
"""Scenes of two objects, whose words are explained."""


@measures("score-mask-leaves", "score-unshifted")
def eq_1() -> Iterator[Number]:
    """Eq. 1 does not subtract the minimum: masks with values above 1 or below 0, and the maps that they lead to."""
    for layer in (None, INNER):
        outside, units = [], []
        for case in cases(VGG, layer, classes=1):
            for row, scene in enumerate(case.scenes):
                lit = case.trace.live[row]
                size = tuple(case.trace.inputs.shape[-2:])
                masks = masks_of(case.trace.activations[row, lit], size, Masking("unshifted"))
                outside += ((masks.amax(dim=(1, 2)) > 1 + 1e-5) | (masks.amin(dim=(1, 2)) < -1e-5)).double().tolist()
                units += [scene] * len(masks)
        yield mean("score-mask-leaves", where(VGG, layer), outside, units)
        yield agreement(
            "score-unshifted", where(VGG, layer), cases(VGG, layer), by("score-cam", masks="unshifted"), by("score-cam")
        )


def _sum_of_scaled(case: Case) -> Tensor:
    """Eq. 5 with the maps of eq. 1 in the place of the raw ones."""
    weights = METHODS["score-cam"].function(case.trace, case.target)
    m = case.trace.activations
    scaled = framework.normalize(m.flatten(0, 1))[0].view_as(m)
    return framework.class_activation_map(weights, scaled).relu()


@measures("score-scaled-sum", "score-black")
def eq_5() -> Iterator[Number]:
    """Scaled maps in the final sum, and black behind the masks."""
    for name in (VGG, GAP):
        yield agreement("score-scaled-sum", name, cases(name), _sum_of_scaled, by("score-cam"))
        yield agreement("score-black", name, cases(name), by("score-cam", filler="black"), by("score-cam"))


@measures("score-deconvnet")
def eq_6() -> Iterator[Number]:
    """Deconvnet in the place of guided backpropagation."""
    found = cases(VGG, count=24, classes=1)
    yield agreement("score-deconvnet", VGG, found, by("guided-score-cam", signal="deconvnet"), by("guided-score-cam"))


@measures("counterfactual-empty: scaled", "counterfactual-empty: printed", "counterfactual")
def eq_7() -> Iterator[Number]:
    """Counterfactuals of the two most probable classes: empty maps of the second one, agreement for the first."""
    for name in (VGG, GAP):
        empty: dict[str, list[float]] = {"scaled": [], "printed": []}
        r, units = [], []
        for first, second in _pairs(name):
            raw = by("score-cam")(first), by("score-cam")(second)
            unit = tuple(framework.normalize(one)[0] for one in raw)
            empty["printed"] += (~((raw[1] - raw[0]) > 0).any(dim=2).any(dim=1)).double().tolist()
            empty["scaled"] += (~((unit[1] - unit[0]) > 0).any(dim=2).any(dim=1)).double().tolist()
            r += correlations((raw[0] - raw[1]).relu(), (unit[0] - unit[1]).relu())
            units += first.scenes
        for reading, values in empty.items():
            yield mean(f"counterfactual-empty: {reading}", name, values, units)
        yield mean("counterfactual", name, r, units)


def _pairs(name: str) -> Iterator[tuple[Case, Case]]:
    """The most probable class of each batch, and the second one."""
    found = cases(name)
    return zip(found[0::3], found[1::3], strict=True)


@measures("caption-ratio", "caption-sum: printed", "caption-sum: used")
def below_eq_8() -> Iterator[Number]:
    """Words of captions: the printed softmax of a probability, beside the probability itself."""
    name = "scenes-captions"
    captioner = Captioner(network(name))
    drawn = make_scenes(
        CAPTIONED, SEED, objects=(2, 2), occlusion=0, repeat=0, size=int(captioner.network.preprocess.size[0])
    )
    ratio, units = [], []
    r: dict[str, list[float]] = {"printed": [], "used": []}
    for scene in range(CAPTIONED):
        picture = drawn.images[scene]
        for prefix, word in captioner.steps(captioner.caption(picture)):
            if word not in (*SHAPES, *COLORS):
                continue
            net = captioner.next_word(prefix)
            case = Case(Trace.of(net, picture), torch.tensor([VOCABULARY.index(word)]), (scene,))
            printed = METHODS["score-cam-softmax"].function(case.trace, case.target, score="probability")
            lit = printed[case.trace.live]
            ratio.append(float(lit.max() / lit.min()))
            options = {"printed": by("score-cam-softmax", score="probability"), "used": by("score-cam")}
            for reading, made in options.items():
                r[reading] += correlations(made(case), total(case))
            units.append(scene)
    yield mean("caption-ratio", name, ratio, units)
    for reading, values in r.items():
        yield mean(f"caption-sum: {reading}", name, values, units)


@measures("score-two")
def second_paper() -> Iterator[Number]:
    """The two definitions of Wang et al. 2020: increase of confidence (def. 5), softmax over channels (alg. 1)."""
    for name in (VGG, GAP):
        yield agreement("score-two", name, cases(name), by("score-cam-softmax"), by("score-cam-cic"))


@measures("blank-probability", "blank-subtracted")
def blank() -> Iterator[Number]:
    """What the slides set to 0: the probability of the blank picture; the map with it subtracted, and without."""
    for name in (VGG, GAP):
        values, units = [], []
        for case in cases(name):
            values += blank_probabilities(case.trace, case.target).tolist()
            units += case.scenes
        yield mean("blank-probability", name, values, units)
        yield agreement("blank-subtracted", name, cases(name), by("score-cam-cic"), by("score-cam"))
