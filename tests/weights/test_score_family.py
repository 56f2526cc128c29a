"""The score family as a whole: flat maps, impossible options, permuted and dead channels, batches, several classes."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import helpers
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from score_cases import FEW, Case, against_class_0, case, gap, made, pictures, recorded, recording, with_channels
from torch import Tensor, nn

import camlib
from camlib import METHODS, DegenerateMapWarning
from camlib.compendium.loops.score import SCORES

# -- flat maps


FAST = {"rise": {"masks": 12}, "mask": {"steps": 3}}  # short runs


USED = {("sa-cam", "sigma"): {"perturbation": "blur"}}  # options that matter only beside another one


CAMS = {*SCORES, "guided-score-cam", "ablation-cam", "group-cam", "recipro-cam", "fd-cam", "sa-cam", "union-cam"}


NAMES = {*CAMS, "rise", "mask"}


def test_the_family_is_complete():
    assert set(METHODS) >= NAMES


def _flatten(weight: Tensor, bias: Tensor) -> None:
    weight.zero_()


@pytest.mark.parametrize("method", sorted(CAMS))
def test_a_layer_without_any_structure_gives_zeros_and_a_warning_with_the_reason(method):
    """Every channel is constant: there is nothing to explain, and that is said."""
    chosen = gap(with_channels(_flatten))
    with pytest.warns(DegenerateMapWarning, match=f"{method} .*because "):
        e = camlib.explain(chosen.net, pictures(1), method, 1, chosen.layer)
    assert e.degenerate
    assert e.reason
    assert not e.heatmap.any()
    assert bool(e.raw.isfinite().all())


def test_cic_of_a_class_that_every_channel_speaks_against():
    """All weights are negative, the ReLU leaves nothing; relu=False shows the signed map."""
    chosen, x = against_class_0([-1.0] * 6), pictures(1)
    assert bool((made("score-cam-cic", chosen, x, (0,)) < 0).all())
    with pytest.warns(DegenerateMapWarning, match="nowhere positive"):
        assert camlib.explain(chosen.net, x, "score-cam-cic", 0, chosen.layer).degenerate
    signed = camlib.explain(chosen.net, x, "score-cam-cic", 0, chosen.layer, relu=False)
    assert float(signed.raw.min()) < 0
    assert not signed.degenerate


# -- options that cannot be


BAD = [
    *[(method, "order", "sideways") for method in sorted(SCORES) if method != "score-cam-binary"],
    *[(method, "filler", "pink") for method in sorted(SCORES)],
    ("score-cam", "masks", "striped"),
    ("score-cam", "precision", "float12"),
    ("score-cam-softmax", "score", "odds"),
    ("guided-score-cam", "signal", "gradient"),
    ("guided-score-cam", "clip", 2.0),
    ("guided-score-cam", "clip", 0.0),
    ("group-cam", "groups", 0),
    ("group-cam", "theta", 101.0),
    ("group-cam", "theta", -1.0),
    ("group-cam", "kernel", 4),
    ("group-cam", "kernel", 0),
    ("group-cam", "sigma", 0.0),
    ("fd-cam", "quantile", 1.5),
    ("fd-cam", "quantile", -0.1),
    ("recipro-cam", "score", "odds"),
    ("sa-cam", "perturbation", "fog"),
    ("sa-cam", "tau", 1.5),
    ("sa-cam", "fill", "pink"),
    ("sa-cam", "scale", "log"),
    ("sa-cam", "form", "difference"),
    ("sa-cam", "sigma", -1.0),
    ("union-cam", "theta", 101.0),
    ("union-cam", "theta", -1.0),
    ("union-cam", "filler", "pink"),
    ("union-cam", "score", "odds"),
    ("union-cam", "rectified", "all"),
    ("rise", "masks", 0),
    ("rise", "cells", 0),
    ("rise", "probability", 0.0),
    ("rise", "probability", 1.5),
    ("mask", "steps", 0),
    ("mask", "learning_rate", 0.0),
    ("mask", "cell", 0),
    ("mask", "jitter", -1),
    ("mask", "l1", -1.0),
    ("mask", "tv", -1.0),
    ("mask", "sigma", 0.0),
]


@pytest.mark.parametrize(("method", "option", "value"), BAD)
def test_an_impossible_option_is_named_with_what_was_expected(method, option, value):
    chosen = case("gap")
    options = {**FAST.get(method, {}), **USED.get((method, option), {}), option: value}
    with pytest.raises(ValueError, match=r"(?i)expected") as failure:
        camlib.explain(chosen.net, pictures(1), method, 1, chosen.layer, **options)
    text = str(failure.value)
    assert option in text
    assert str(value) in text


# -- properties


def _gap_with(order: list[int]) -> Case:
    """The network "gap" with its channels in another order."""
    module = helpers.seeded(helpers.Gap)
    with torch.no_grad():
        conv = module.features[2]
        conv.weight[:], conv.bias[:] = conv.weight[order].clone(), conv.bias[order].clone()
        module.fc.weight[:] = module.fc.weight[:, order].clone()
    return gap(module)


BY_MAPS = ["group-cam", "recipro-cam", "union-cam", "guided-score-cam"]


BY_WEIGHTS = sorted(CAMS - set(BY_MAPS))


@pytest.mark.parametrize("method", [*BY_WEIGHTS, *BY_MAPS])
@FEW
@given(st.permutations(range(6)))
def test_permuting_the_channels_permutes_the_weights_and_leaves_the_map(method, order):
    """Group-CAM too, as long as each channel is a group."""
    plain, permuted = (made(method, chosen, pictures()) for chosen in (case("gap"), _gap_with(list(order))))
    expected = plain[:, list(order)] if method in BY_WEIGHTS else plain
    assert helpers.relative(permuted, expected) < 1e-6


class Seven(helpers.Gap):
    """A Gap network with a seventh channel."""

    def __init__(self) -> None:
        super().__init__()
        self.features = helpers.features(7)
        self.fc = nn.Linear(7, 5)


def _gap_and_a_dead_channel(place: int, value: float, column: float) -> Case:
    """The network "gap" with one more channel that is ``value`` everywhere and enters the logits by ``column``."""
    six, seven = helpers.seeded(helpers.Gap), helpers.seeded(Seven)
    others = [k for k in range(7) if k != place]
    with torch.no_grad():
        for name in ("weight", "bias"):
            getattr(seven.features[0], name).copy_(getattr(six.features[0], name))
            getattr(seven.features[2], name)[others] = getattr(six.features[2], name)
        seven.features[2].weight[place], seven.features[2].bias[place] = 0, value
        seven.fc.weight[:, others], seven.fc.weight[:, place] = six.fc.weight, column
        seven.fc.bias.copy_(six.fc.bias)
    return gap(seven)


@pytest.mark.parametrize("method", [m for m in (*BY_WEIGHTS, *BY_MAPS) if m != "fd-cam"])
@FEW
@given(st.integers(0, 6), st.sampled_from([(-1.0, 3.0), (-1.0, -3.0), (0.5, 0.0)]))
def test_a_dead_channel_changes_nothing(method, place, kind):
    """One that is zero whatever its weight in the head, or constant and not read by the head.

    Not so FD-CAM, whose quantiles and min-max go over all channels in the authors' code (METHODS 1.17).
    """
    x = pictures()
    plain, found = made(method, case("gap"), x), made(method, _gap_and_a_dead_channel(place, *kind), x)
    if method in BY_WEIGHTS:
        others = [k for k in range(7) if k != place]
        assert float(found[:, place].abs().max()) < 1e-12
        found = found[:, others]
    assert helpers.relative(found, plain) < 1e-6


@pytest.mark.filterwarnings("ignore:FunctionalRelu has no ReLU module")
@pytest.mark.parametrize("method", sorted(NAMES))
@pytest.mark.parametrize("name", ["mlp-max", "densenet"])
def test_a_batch_gives_what_single_pictures_give(method, name):
    chosen, x = case(name), pictures(3)
    options, targets = FAST.get(method, {}), (1, 3, 0)
    together = made(method, chosen, x, targets, **options)
    for b in range(3):
        alone = made(method, chosen, x[b : b + 1], targets[b : b + 1], **options)
        torch.testing.assert_close(alone[0], together[b], rtol=1e-6, atol=1e-6 * float(together.abs().max()))


@pytest.mark.parametrize("method", sorted(NAMES))
def test_five_classes_at_once_give_what_each_gives(method):
    chosen, x = case("mlp-max"), pictures(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateMapWarning)
        together = camlib.compare(
            chosen.net, x, [method], range(5), chosen.layer, options={method: FAST.get(method, {})}
        )
        for c, e in enumerate(together):
            alone = camlib.explain(chosen.net, x, method, c, chosen.layer, **FAST.get(method, {}))
            assert (e.target, e.degenerate) == (c, alone.degenerate)
            torch.testing.assert_close(e.heatmap, alone.heatmap, rtol=0, atol=1e-6)
            torch.testing.assert_close(e.raw, alone.raw, rtol=1e-5, atol=1e-9)


@pytest.mark.filterwarnings("ignore::camlib.DegenerateMapWarning")
@pytest.mark.parametrize("method", [*sorted(SCORES), "rise", "ablation-cam", "recipro-cam"])
def test_five_classes_cost_the_passes_of_one(method):
    """The scores of masked pictures are logits of all classes, kept with the trace."""

    def run(targets: int) -> Callable[[], object]:
        options = {method: FAST.get(method, {})}
        return lambda: camlib.compare(
            recording().net, pictures(1), [method], range(targets), "features", options=options
        )

    recorded(run(1))  # surveys of the network's layers are made once
    assert len(recorded(run(5))) == len(recorded(run(1)))
