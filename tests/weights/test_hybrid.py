"""Group-CAM and SA-CAM against loops transcribed from the papers."""

from __future__ import annotations

import math

import helpers
import pytest
import torch
from score_cases import (
    SINGLE,
    assert_heatmap,
    case,
    every_case,
    every_living_case,
    explained,
    made,
    per_picture,
    pictures,
)

from camlib.compendium.loops.hybrid import group_cam_loop, sa_cam_loop

# -- Group-CAM (METHODS 1.13)


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, None),  # 32 groups of 6 channels: one channel each, the others are empty
        ({"groups": 6, "theta": None}, None),
        ({"groups": 3}, (2, 2, 2)),
        ({"groups": 4}, (2, 2, 2)),  # 6 is no multiple of 4: as torch.chunk in the authors' code, fewer groups
        ({"groups": 2, "theta": 40.0, "kernel": 7, "sigma": 2.0}, (3, 3)),
        ({"groups": 1, "theta": None, "kernel": 5, "sigma": 10.0}, (6,)),
    ],
)
@every_case
def test_group_cam_equals_a_loop_over_the_groups(name, options, sizes):
    chosen, x, classes = case(name), pictures(1).expand(3, -1, -1, -1), (0, 1, 2)
    expected = per_picture(group_cam_loop, chosen, x, classes, sizes=sizes, **options)
    found = made("group-cam", chosen, x, classes, **options)
    assert found.shape == (3, 8, 8)
    assert helpers.relative(found, expected) < SINGLE
    b = int(expected.flatten(1).amax(dim=1).argmax())
    assert_heatmap(explained("group-cam", chosen, x[:1], b, **options), expected[b])


def test_a_group_of_zeros_is_skipped():
    """The official code divides 0 by 0 there and loses the whole map (METHODS 1.13)."""
    chosen, x = case("dead"), pictures()
    found = made("group-cam", chosen, x, groups=6, theta=None)
    assert bool(found.isfinite().all())
    assert float(found.max()) > 0


# -- SA-CAM (METHODS 1.14)


SA_OPTIONS = [
    {},
    {"lambda1": 0.0, "lambda2": 0.0},
    {"lambda1": 2.0, "lambda2": 0.5},
    {"tau": 0.2, "fill": "black"},
    {"tau": 0.8, "fill": "mean"},
    {"scale": "none"},
    {"scale": "maxabs"},
    {"scale": "max"},
    {"exact": True},  # the same: the networks are piecewise linear
    {"form": "score-gradient"},
    {"form": "product"},
    {"form": "mixed", "scale": "none"},
    {"form": "mixed", "softmax": False},
    {"softmax": False},
]


@pytest.mark.parametrize("options", SA_OPTIONS, ids=str)
@every_case
def test_sa_cam_equals_algorithm_2(name, options):
    chosen, x = case(name), pictures()
    expected = per_picture(sa_cam_loop, chosen, x, **{**options, "exact": False})
    assert helpers.relative(made("sa-cam", chosen, x, **options), expected) < SINGLE


@pytest.mark.parametrize("sigma", [10.0, 2.0])
@every_living_case
def test_sa_cam_with_a_blurred_picture_behind_the_mask(name, sigma):
    chosen, x = case(name), pictures()
    expected = per_picture(sa_cam_loop, chosen, x, perturbation="blur", softmax=False, sigma=sigma)
    options = {} if sigma == 10.0 else {"sigma": sigma}
    found = made("sa-cam", chosen, x, perturbation="blur", softmax=False, **options)
    assert helpers.relative(found, expected) < SINGLE


@every_living_case
def test_sa_cam_with_noise_behind_the_mask(name):
    """One draw of standard normal noise a picture, the same for every channel."""
    chosen, x = case(name), pictures()
    expected = per_picture(sa_cam_loop, chosen, x, perturbation="noise", softmax=False, seed=5)
    found = made("sa-cam", chosen, x, perturbation="noise", softmax=False, seed=5)
    assert helpers.relative(found, expected) < SINGLE
    other = made("sa-cam", chosen, x, perturbation="noise", softmax=False, seed=6)
    assert helpers.relative(other, expected) > 1e-4


def test_sa_cam_weights_are_all_positive_and_nearly_equal():
    """METHODS 1.14.2 q: with S, K and Q in [0, 1] no weight is more than e³ times another."""
    found = made("sa-cam", case("mlp-max"), pictures())
    assert bool((found > 0).all())
    assert bool((found.amax(dim=1) / found.amin(dim=1) <= math.exp(3)).all())
    torch.testing.assert_close(found.sum(dim=1), torch.ones(2).double())
