"""UnionCAM against equations 1 to 8 of the paper, written out."""

from __future__ import annotations

import contextlib
import itertools

import helpers
import pytest
import torch
from score_cases import BUILD, EXACT, TARGETS, Case, against_class_0, case, every_case, gap, per_picture, pictures
from torch import Tensor

import camlib
from camlib import DegenerateMapWarning
from camlib.compendium.loops.hybrid import amd_loop, union_cam_loop
from camlib.compendium.loops.plain import n01, up
from camlib.compendium.loops.score import score_cam_loop
from camlib.weights import union


def union_details(chosen: Case, picture: Tensor, c: int, **options: object) -> dict[str, Tensor | str | float]:
    with torch.no_grad():
        return union_cam_loop(chosen, picture, c, **options)


def assert_union_cam(chosen: Case, picture: Tensor, c: int, **options: object) -> dict:
    """The front door agrees with the loop in map, branch and the three contributions."""
    expected = union_details(chosen, picture, c, **options)
    empty = not bool(expected["heatmap"].any())  # with f as logit the region map of a class below zero is empty
    with pytest.warns(DegenerateMapWarning) if empty else contextlib.nullcontext():
        e = camlib.explain(chosen.net, picture[None], "union-cam", c, chosen.layer, **options)
    torch.testing.assert_close(e.heatmap.double(), expected["heatmap"], rtol=0, atol=1e-5)
    assert e.details["branch"] == expected["branch"]
    for key in ("beta_denoised", "beta_region", "beta_union"):
        found = (e.details[key], expected[key])
        found = tuple(max(0.0, one) for one in found) if options.get("clamp", True) else found
        assert found[0] == pytest.approx(found[1], abs=1e-7, rel=1e-6), key
    return expected


UNION_OPTIONS = [
    {},
    {"theta": 80.0},
    {"filler": "black"},
    {"score": "logit"},
    {"clamp": False},
    {"rescale": False},
    {"clamp": False, "rescale": False},
    {"rectified": "both"},
    {"rectified": "neither", "score": "logit", "clamp": False},
]


@pytest.mark.parametrize("options", UNION_OPTIONS, ids=str)
@every_case
def test_union_cam_equals_equations_1_to_8(name, options):
    for picture in pictures():
        for c in range(5):
            assert_union_cam(case(name), picture, c, **options)


@pytest.mark.parametrize("options", UNION_OPTIONS[3:], ids=str)
def test_each_reading_of_union_cam_changes_a_branch_or_a_map(options):
    """On the networks above, for one of the classes; a ReLU more or less where maps are signed alone."""
    changed = dict.fromkeys(("gap", "mlp-max", "bare"), False)
    for name, picture in itertools.product(changed, pictures()):
        for c in range(5):
            usual, other = (union_details(case(name), picture, c, **given) for given in ({}, options))
            same_branch = usual["branch"] == other["branch"]
            changed[name] |= not same_branch or float((usual["heatmap"] - other["heatmap"]).abs().max()) > 1e-3
    assert changed["bare"]
    assert "rectified" not in options or "score" in options or not (changed["gap"] or changed["mlp-max"])


def test_eq_7_as_printed_takes_the_map_that_keeps_less():
    """The text says that AMS selects the map with the higher score. With L_De-Region unscaled it can take the lower."""
    picture, lower = pictures(1)[0], []
    for name in BUILD:
        chosen = case(name)
        for c in range(5):
            printed = union_details(chosen, picture, c, rescale=False)
            scaled = union_details(chosen, picture, c)
            with torch.no_grad():
                kept = [float(chosen.p(picture * one["heatmap"], c)) for one in (printed, scaled)]
            assert kept[0] < kept[1] + 1e-9
            lower.append(kept[0] < kept[1] - 1e-9)
    assert any(lower)


@pytest.mark.parametrize("theta", [0.0, 10.0, 75.0, 95.0])
@every_case
def test_amd_equals_equations_1_to_3(name, theta):
    chosen, x = case(name), pictures()
    expected = per_picture(amd_loop, chosen, x, theta=theta)
    assert helpers.relative(union.amd(chosen.trace(x), torch.tensor(TARGETS), theta), expected) < EXACT


@pytest.mark.parametrize("theta", [10.0, 50.0, 99.0])
def test_amd_on_a_gap_network_is_the_mean_of_the_maps_that_speak_for_the_class(theta):
    """(1/hw) Σ A_k over w_k > 0 whatever theta is: the gradient is constant (METHODS 1.21)."""
    chosen, x = case("gap"), pictures()
    with torch.no_grad():
        positive = (chosen.module.fc.weight[list(TARGETS)] > 0).double()
        expected = torch.einsum("bk,bkhw->bhw", positive, chosen.body(x)) / 64
    assert helpers.relative(union.amd(chosen.trace(x), torch.tensor(TARGETS), theta), expected) < EXACT


def test_the_percentile_of_amd_does_nothing_in_front_of_a_2x2_maximum_up_to_75():
    """At most a quarter of the positions has a gradient, so the percentile is never positive (METHODS 1.15)."""
    target = torch.tensor(TARGETS)
    maximum, average = case("mlp-max").trace(pictures()), case("mlp-avg").trace(pictures())
    assert torch.equal(union.amd(maximum, target, 75.0), union.amd(maximum, target, 0.0))
    for trace in (maximum, average):
        assert helpers.relative(union.amd(trace, target, 95.0), union.amd(trace, target, 0.0)) > 0.05
    assert helpers.relative(union.amd(average, target, 75.0), union.amd(average, target, 0.0)) > 0.05


@every_case
def test_amu_equals_equations_4_to_6(name):
    """Both maps in [0, 1] at the input's size, and their sum weighted by what they add to the blank picture."""
    chosen, x, target = case(name), pictures(), torch.tensor(TARGETS)
    trace = chosen.trace(x)
    denoised = per_picture(amd_loop, chosen, x)
    weights = per_picture(score_cam_loop, chosen, x)
    region = torch.einsum("bk,bkhw->bhw", weights, chosen.body(x).detach()).relu()
    found = union.amu(trace, target, denoised, region)
    for b, c in enumerate(TARGETS):
        expected = union_details(chosen, x[b], c)
        parts = n01(up(denoised[b])), n01(up(region[b]))
        betas = max(expected["beta_denoised"], 0), max(expected["beta_region"], 0)
        torch.testing.assert_close(up(found.denoised[b]), parts[0])
        torch.testing.assert_close(up(found.region[b]), parts[1])
        assert (float(found.beta_denoised[b]), float(found.beta_region[b])) == pytest.approx(betas, abs=1e-12)
        torch.testing.assert_close(up(found.union[b]), betas[0] * parts[0] + betas[1] * parts[1])


def test_ams_takes_the_union_only_where_it_keeps_more_probability():
    """Eq. 7-8 with contributions set by hand around the one that the union has; a tie goes to the region map."""
    chosen, x, target = case("mlp-max"), pictures(1), torch.tensor([0])
    trace = chosen.trace(x)
    maps = chosen.maps(x[0]).detach()
    united, region = maps[0][None], maps[1][None]
    parts = {"denoised": united, "region": region, "union": united, "beta_denoised": torch.ones(1).double()}

    def selected(beta_region: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return union.ams(trace, target, union.Union(**parts, beta_region=beta_region))

    _, beta, _ = selected(torch.zeros(1).double())
    with torch.no_grad():
        blank = torch.zeros_like(x[0])
        expected = chosen.p(x[0] * n01(up(united[0])), 0) - chosen.p(blank, 0)
    assert float(beta) == pytest.approx(float(expected), rel=EXACT)
    for difference, won in ((-1e-9, True), (0.0, False), (1e-9, False)):
        found, _, which = selected(beta + difference)
        assert which.tolist() == [won]
        torch.testing.assert_close(up(found[0]), n01(up(united[0])) if won else up(region[0]))


def test_both_branches_of_eq_8_occur_among_the_networks_above():
    found = [union_details(case(name), picture, c) for name in BUILD for picture in pictures() for c in range(5)]
    assert {one["branch"] for one in found} == {"union", "region"}
    assert {(one["beta_denoised"] > 0, one["beta_region"] > 0) for one in found} == {
        (False, False), (False, True), (True, False), (True, True)
    }  # fmt: skip


def test_a_batch_of_union_cam_has_the_details_of_its_pictures():
    chosen, x = case("mlp-max"), pictures(2)
    together = camlib.compare(chosen.net, x, ["union-cam"], [0, 1, 2, 3, 4], chosen.layer)
    for e in together:
        alone = union_details(chosen, x[e.picture], e.target)
        assert e.details["branch"] == alone["branch"]
        assert max(0.0, e.details["beta_region"]) == pytest.approx(max(0.0, alone["beta_region"]), abs=1e-7)


@pytest.mark.parametrize("row", [[-1.0] * 6, [0.01, -1, -1, -1, -1, -1]])
def test_negative_contributions_do_not_turn_the_map_around(row):
    """Eq. 6 with negative β and a min-max would show the background; here β is cut at 0 and L_Region stays."""
    chosen, picture = against_class_0(row), pictures(1)[0]
    found = assert_union_cam(chosen, picture, 0)
    assert found["beta_region"] < 0
    assert (found["beta_denoised"] < 0) == (max(row) > 0)
    assert found["branch"] == "region"
    if max(row) > 0:  # both contributions are negative: the sum of eq. 6 as printed, scaled to [0, 1], is upside down
        printed = assert_union_cam(chosen, picture, 0, clamp=False)
        parts = union_details(chosen, picture, 0, clamp=False)
        assert printed["branch"] == parts["branch"]


def test_a_tie_of_eq_8_goes_to_the_region_map():
    """Equal rows of the classifier: every picture has the probability 1/5, every contribution is 0."""
    module = helpers.seeded(helpers.Gap)
    with torch.no_grad():
        module.fc.weight[:] = module.fc.weight[1].clone()
        module.fc.bias.zero_()
    found = assert_union_cam(gap(module), pictures(1)[0], 1)
    assert (found["beta_union"], found["branch"]) == (0.0, "region")
