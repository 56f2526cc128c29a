"""Counterfactual maps (Wang et al. 2019, eq. 7): a rectified difference of two scaled maps."""

from __future__ import annotations

import warnings

import helpers
import pytest
from score_cases import assert_heatmap, case, explained, pictures

import camlib
from camlib import DegenerateMapWarning
from camlib.compendium.loops.plain import n01

PAIR = (3, 1)  # the target is the likelier of the two


@pytest.mark.parametrize("scaled", [None, False])
@pytest.mark.parametrize("method", ["score-cam", "grad-cam"])
def test_counterfactual_is_the_rectified_difference_of_two_scaled_maps(method, scaled):
    """Eq. 7 with both maps in [0, 1]; as printed (scaled=False) with the maps of eq. 5."""
    chosen, x = case("mlp-max"), pictures(1)
    target, reference = (explained(method, chosen, x, c).raw.double() for c in PAIR)
    expected = (n01(target) - n01(reference) if scaled is None else target - reference).relu()
    options = {} if scaled is None else {"scaled": scaled}
    e = camlib.counterfactual(chosen.net, x, *PAIR, method=method, layer=chosen.layer, **options)
    assert helpers.relative(e.raw, expected) < 1e-5
    assert_heatmap(e, expected)
    assert (e.target, e.target_name) == (PAIR[0], helpers.CLASSES[PAIR[0]])


def test_eq_7_as_printed_leaves_nothing_to_the_less_probable_class():
    """Score-CAM's weights are probabilities: the map of the likelier class is larger everywhere."""
    chosen, x = case("mlp-max"), pictures(1)
    p = chosen.module(x)[0].softmax(dim=0)
    likely, unlikely = int(p.argmax()), int(p.argmin())
    printed = camlib.counterfactual(chosen.net, x, unlikely, likely, layer=chosen.layer, scaled=False)
    assert printed.degenerate
    assert not printed.raw.any()
    assert bool(camlib.counterfactual(chosen.net, x, unlikely, likely, layer=chosen.layer).raw.any())


def test_counterfactual_hands_options_on_and_takes_class_names():
    chosen, x = case("mlp-max"), pictures(1)
    options = {"filler": "black"}
    target, reference = (explained("score-cam", chosen, x, c, **options).raw.double() for c in (1, 3))
    e = camlib.counterfactual(chosen.net, x, "tabby cat", "school bus", layer=chosen.layer, **options)
    assert helpers.relative(e.raw, (n01(target) - n01(reference)).relu()) < 1e-5


def test_a_counterfactual_against_itself_is_refused_or_said_to_be_flat():
    chosen, x = case("mlp-max"), pictures(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DegenerateMapWarning)
        with pytest.raises((DegenerateMapWarning, ValueError)):
            camlib.counterfactual(chosen.net, x, 1, 1, layer=chosen.layer)
