"""Ablation-CAM, FD-CAM and Recipro-CAM against loops over channels and positions through the plain head."""

from __future__ import annotations

import helpers
import pytest
import torch
from score_cases import (
    EXACT,
    TARGETS,
    assert_heatmap,
    case,
    every_case,
    explained,
    gap,
    made,
    per_picture,
    pictures,
)

from camlib.compendium.loops.tail import ablation_cam_loop, fd_cam_loop, recipro_cam_loop

# -- Ablation-CAM (METHODS 1.12)


@pytest.mark.parametrize("options", [{}, {"signed": True}], ids=str)
@every_case
def test_ablation_cam_equals_a_loop_over_the_channels(name, options):
    chosen, x = case(name), pictures()
    for targets in ((0, 1), (2, 3), (4, 4)):
        expected = per_picture(ablation_cam_loop, chosen, x, targets, **options)
        assert helpers.relative(made("ablation-cam", chosen, x, targets, **options), expected) < EXACT


def test_ablation_cam_on_a_gap_network_for_logits_of_both_signs():
    """w_k = w_k^fc·m_k/|y| (METHODS 1.21): a negative logit must not turn the map around."""
    chosen, x = case("gap"), pictures(1)
    with torch.no_grad():
        means, y = chosen.maps(x[0]).mean(dim=(1, 2)), chosen.module(x)[0]
        rows = chosen.module.fc.weight
        assert bool((y > 0).any())
        assert bool((y < 0).any())
        for c in range(5):
            found = made("ablation-cam", chosen, x, (c,))[0]
            assert helpers.relative(found, rows[c] * means / y[c].abs()) < EXACT
            assert bool((found.sign() == rows[c].sign() * means.sign()).all())
            printed = made("ablation-cam", chosen, x, (c,), signed=True)[0]
            assert torch.equal(printed, found * y[c].sign())


# -- FD-CAM (METHODS 1.17)


@pytest.mark.parametrize("quantile", [None, 0.5, 0.3])
@every_case
def test_fd_cam_equals_a_loop_over_the_channels(name, quantile):
    chosen, x = case(name), pictures()
    options = {} if quantile is None else {"quantile": quantile}
    expected = per_picture(fd_cam_loop, chosen, x, **options)
    assert helpers.relative(made("fd-cam", chosen, x, **options), expected) < 1e-8


# -- Recipro-CAM (METHODS 1.18)


@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("score", ["probability", "logit"])
@every_case
def test_recipro_cam_equals_a_loop_over_the_positions(name, score, gaussian):
    chosen, x = case(name), pictures()
    expected = per_picture(recipro_cam_loop, chosen, x, score=score, gaussian=gaussian)
    found = made("recipro-cam", chosen, x, score=score, gaussian=gaussian)
    assert found.shape == (2, 8, 8)
    assert helpers.relative(found, expected) < EXACT


def test_recipro_cam_with_logits_is_cam_plus_the_bias():
    """R_ij = CAM_ij/hw + b_c on a GAP network (METHODS 1.21)."""
    chosen, x = case("gap"), pictures()
    found = made("recipro-cam", chosen, x, score="logit")
    with torch.no_grad():
        rows, bias = chosen.module.fc.weight[list(TARGETS)], chosen.module.fc.bias[list(TARGETS)]
        expected = torch.einsum("bk,bkhw->bhw", rows, chosen.body(x)) / 64 + bias[:, None, None]
    assert helpers.relative(found, expected) < 1e-12


def test_the_heatmap_of_recipro_cam_is_not_rectified_away():
    """With logits that are all negative the map still shows where the least negative ones are."""
    module = helpers.seeded(helpers.Gap)
    with torch.no_grad():
        module.fc.bias -= 100
    chosen, x = gap(module), pictures(1)
    with torch.no_grad():
        expected = recipro_cam_loop(chosen, x[0], 1, score="logit")
    assert float(expected.max()) < 0
    assert_heatmap(explained("recipro-cam", chosen, x, 1, score="logit"), expected)
