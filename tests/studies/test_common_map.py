"""camlib.studies.common_map: the identity, the bound and what reaches it, against plain linear algebra."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings

from camlib.framework import without_common_map
from camlib.studies.common_map import angle_between, closeness


def made(seed, channels=6, side=3, signed=False, spread=1.0):
    """Weights [1, K] and rectified maps [1, K, h, w]; weights are not negative unless ``signed``."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(1, channels, side, side, generator=generator, dtype=torch.float64).clamp(min=0)
    weights = 1 + spread * torch.randn(1, channels, generator=generator, dtype=torch.float64)
    return (weights if signed else weights.clamp(min=0.01)), maps


def plain_angle(first, second):
    first, second = np.ravel(first), np.ravel(second)
    return float(np.arccos(np.clip(first @ second / np.linalg.norm(first) / np.linalg.norm(second), -1, 1)))


cases = {
    "seed": st.integers(0, 10_000),
    "channels": st.integers(2, 12),
    "side": st.integers(2, 5),
    "signed": st.booleans(),
    "spread": st.floats(0.01, 5),
    "centered": st.booleans(),
}


@settings(max_examples=150, deadline=None)
@given(**cases)
def test_no_map_is_farther_from_the_sum_than_the_bound(seed, channels, side, signed, spread, centered):
    found = closeness(*made(seed, channels, side, signed, spread), centered=centered)
    assert float(found.angle) <= float(found.bound) + 1e-7 or torch.isnan(found.angle).item()


@settings(max_examples=100, deadline=None)
@given(**cases)
def test_the_tangent_is_spread_times_shape_over_agreement(seed, channels, side, signed, spread, centered):
    weights, maps = made(seed, channels, side, signed, spread)
    found = closeness(weights, maps, centered=centered)
    m = maps[0].flatten(1).numpy()
    m = m - m.mean(axis=1, keepdims=True) if centered else m
    w, total = weights[0].numpy(), m.sum(axis=0)
    v = w - w.mean()
    assume(np.linalg.norm(v) > 1e-9 and np.linalg.norm(total) > 1e-9)
    unit = total / np.linalg.norm(total)
    rest = m - np.outer(m @ unit, unit)
    shape = len(w) ** 0.5 * np.linalg.norm(v @ rest) / np.linalg.norm(v) / np.linalg.norm(total)
    cv, lengths, r = (float(each) for each in (found.spread, found.lengths, found.agreement))
    sine, cosine = abs(cv) * shape, 1 + r * cv * lengths
    expected = np.arctan2(sine, cosine) if w.mean() > 0 else np.arctan2(sine, -cosine)
    assert float(found.angle) == pytest.approx(expected, abs=1e-6)
    assert shape <= float(found.shapes) + 1e-9


def test_the_bound_is_reached_by_the_first_singular_vector():
    _, maps = made(3, channels=5)
    m = maps[0].flatten(1)
    unit = m.sum(0) / m.sum(0).norm()
    v = torch.linalg.svd(m - torch.outer(m @ unit, unit))[0][:, 0]
    assert abs(float(v.sum())) < 1e-12, "weights that leave the sum of the rests alone: it is zero"
    found = closeness((1 + 0.3 * v)[None], maps)
    assert float(found.angle) == pytest.approx(float(found.bound), abs=1e-9)


def test_equal_weights_give_the_sum_and_opposite_ones_its_negative():
    _, maps = made(1)
    weights = torch.full((1, 6), 0.7, dtype=torch.float64)
    assert float(closeness(weights, maps).angle) == pytest.approx(0, abs=1e-7)
    assert float(closeness(-weights, maps).angle) == pytest.approx(np.pi, abs=1e-7)
    assert float(closeness(-weights, maps).bound) == pytest.approx(np.pi)


def test_multiples_of_one_map_have_no_shapes_of_their_own():
    _, maps = made(2)
    found = closeness(torch.rand(1, 4).double() + 0.1, maps[:, :1] * torch.tensor([1.0, 2.0, 0.5, 3.0])[:, None, None])
    assert float(found.shapes) == pytest.approx(0, abs=1e-12)
    assert float(found.angle) == pytest.approx(0, abs=1e-7)


def test_centered_angles_are_pearsons_correlation():
    weights, maps = made(5, signed=True)
    found = closeness(weights, maps, centered=True)
    h = torch.einsum("bk,bkhw->bhw", weights, maps).flatten().numpy()
    assert np.cos(float(found.angle)) == pytest.approx(np.corrcoef(h, maps.sum(1).flatten().numpy())[0, 1])


def test_rows_are_independent_and_weights_of_pixels_are_refused():
    (w, m), (v, n) = made(1), made(2)
    both = closeness(torch.cat([w, v]), torch.cat([m, n]))
    assert both.bound.tolist() == pytest.approx([float(closeness(w, m).bound), float(closeness(v, n).bound)])
    with pytest.raises(ValueError, match=r"expected \[B, K\] and \[B, K, h, w\]"):
        closeness(torch.rand(1, 6, 3, 3), m)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000))
def test_two_maps_are_no_farther_apart_than_their_angles_to_the_sum_together(seed):
    generator = torch.Generator().manual_seed(seed)
    a, b, total = torch.rand(3, 1, 9, generator=generator, dtype=torch.float64)
    assert float(angle_between(a, b)) <= float(angle_between(a, total) + angle_between(b, total)) + 1e-9
    assert float(angle_between(a, b)) == pytest.approx(plain_angle(a, b), abs=1e-7)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000))
def test_means_over_pictures_obey_the_same_geometry(seed):
    """cos(θ₁ + θ₂) is convex in both cosines, so that 2x² − 1 of the mean similarity bounds the mean likeness."""
    generator = torch.Generator().manual_seed(seed)
    a, b, total = torch.randn(3, 8, 4, generator=generator, dtype=torch.float64)
    to_sum = torch.cat([angle_between(a, total), angle_between(b, total)]).cos().mean()
    assert float(angle_between(a, b).cos().mean()) >= 2 * float(to_sum) ** 2 - 1 - 1e-9


def test_what_projection_removes_is_the_mean_weight_weighed_by_lengths():
    weights, maps = made(7, signed=True)
    total = maps.sum(dim=1)
    made_map = torch.einsum("bk,bkhw->bhw", weights, maps)
    lengths = (maps * total[:, None]).sum(dim=(2, 3))
    live = torch.ones_like(weights, dtype=torch.bool)
    removed = without_common_map(made_map, weights, maps, live, "project").beta
    assert float(removed) == pytest.approx(float((weights * lengths).sum() / lengths.sum()))
    found = closeness(weights, maps)
    factor = 1 + found.agreement * found.spread * found.lengths
    assert float(removed) == pytest.approx(float(weights.mean() * factor)), "and the plain mean times 1 + r cv cv"
