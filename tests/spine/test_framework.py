"""The weighted sum of maps, upsampling and scaling by hand, and what they keep under permutations and factors."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from camlib import framework

M = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [1.0, 0.0]]])


def test_weighted_sum_of_maps_by_hand():
    one = framework.class_activation_map(torch.tensor([[2.0, -1.0]]), M[None])
    assert one.tolist() == [[[2, 3], [5, 8]]]
    pixel = torch.tensor([[[[1.0, 0.0], [0.0, 2.0]], [[5.0, 1.0], [-1.0, 0.0]]]])
    assert framework.class_activation_map(pixel, M[None]).tolist() == [[[1, 1], [-1, 8]]]


@pytest.mark.parametrize("shape", [(1, 3), (2, 2), (1, 2, 1, 1), (1, 2, 2), (2,)])
def test_weights_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"do not fit feature maps; expected \[1,2\] or \[1,2,2,2\]"):
        framework.class_activation_map(torch.ones(shape), M[None])


def test_pixel_weights_are_recognized_when_all_sizes_are_equal():
    """B = K = h = w = 2: [B,K] and [B,K,h,w] stay apart."""
    maps = torch.arange(16.0).view(2, 2, 2, 2)
    per_channel = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert torch.equal(
        framework.class_activation_map(per_channel, maps),
        framework.class_activation_map(per_channel[..., None, None].expand_as(maps), maps),
    )


def test_upsampling_by_hand():
    """Two cells on four pixels, centers aligned: a, (3a + b)/4, (a + 3b)/4, b."""
    found = framework.upsample(torch.tensor([[[0.0, 4.0], [8.0, 12.0]]]), (2, 4))
    assert found.tolist() == [[[0, 1, 3, 4], [8, 9, 11, 12]]]
    assert framework.upsample(found, (2, 4)) is found


def test_normalize_survives_a_map_that_spans_the_range_of_its_type():
    scaled, flat = framework.normalize(torch.tensor([[[-3e38, 0.0], [3e38, 3e38]]]))
    assert scaled.tolist() == [[[0.0, 0.5], [1.0, 1.0]]]
    assert not flat.any()


def test_normalize_by_hand():
    scaled, flat = framework.normalize(torch.tensor([[[1.0, 2.0], [3.0, 5.0]], [[7.0, 7.0], [7.0, 7.0]]]))
    assert scaled.tolist() == [[[0, 0.25], [0.5, 1]], [[0, 0], [0, 0]]]
    assert flat.tolist() == [False, True]


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7, 1e30, 1e-30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_map_is_flat_also_after_upsampling(value, dtype):
    up = framework.upsample(torch.full((1, 7, 7), value, dtype=dtype), (224, 224))
    scaled, flat = framework.normalize(up)
    assert flat.tolist() == [True]
    assert not scaled.any()


finite = st.floats(-1e3, 1e3, width=32)


seeds = st.integers(0, 2**31 - 1)


FEW = settings(max_examples=50, deadline=None)


def _random(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@FEW
@given(st.lists(finite, min_size=4, max_size=4), st.floats(1e-12, 1e12))
def test_normalize_fills_zero_to_one_and_knows_no_units(values, factor):
    maps = torch.tensor(values, dtype=torch.float64).view(1, 2, 2)
    assume(float(maps.max() - maps.min()) > 1e-9 * float(maps.abs().max()))
    scaled, flat = framework.normalize(maps)
    assert (float(scaled.min()), float(scaled.max()), bool(flat)) == (0.0, 1.0, False)
    again, flat = framework.normalize(maps * factor)
    assert not flat.any()
    torch.testing.assert_close(again, scaled, rtol=0, atol=1e-6)
    order = maps.flatten().argsort(stable=True)
    assert bool((scaled.flatten()[order].diff() >= 0).all())


@FEW
@given(seeds, st.integers(-100, 100))
def test_normalize_is_bit_equal_under_powers_of_two(seed, exponent):
    maps = _random(seed, 2, 5, 4)
    assert torch.equal(framework.normalize(maps)[0], framework.normalize(maps * 2.0**exponent)[0])


@FEW
@given(seeds, st.booleans(), finite, finite)
def test_h_is_linear_in_the_weights(seed, pixelwise, a, b):
    maps = _random(seed, 2, 3, 4, 5)
    u, v = (
        _random(seed + 1, *(maps.shape if pixelwise else (2, 3))),
        _random(seed + 2, *(maps.shape if pixelwise else (2, 3))),
    )
    together = framework.class_activation_map(a * u + b * v, maps)
    apart = a * framework.class_activation_map(u, maps) + b * framework.class_activation_map(v, maps)
    torch.testing.assert_close(together, apart, rtol=1e-9, atol=1e-9)


@FEW
@given(seeds, st.permutations(range(6)))
def test_order_of_the_channels_does_not_matter(seed, order):
    maps, w = _random(seed, 1, 6, 3, 4), _random(seed + 1, 1, 6)
    torch.testing.assert_close(
        framework.class_activation_map(w[:, list(order)], maps[:, list(order)]),
        framework.class_activation_map(w, maps),
    )


@FEW
@given(seeds, st.floats(1e-6, 1e6))
def test_heatmap_does_not_change_with_a_positive_factor_on_the_weights(seed, factor):
    maps, w = _random(seed, 1, 6, 3, 4), _random(seed + 1, 1, 6)

    def heatmap(weights: Tensor) -> Tensor:
        raw = framework.class_activation_map(weights, maps).relu()
        return framework.normalize(framework.upsample(raw, (12, 16)))[0]

    torch.testing.assert_close(heatmap(w * factor), heatmap(w), rtol=0, atol=1e-9)
