"""Heads with one pooling: the identity of the two class activation weights, and where it fails."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import features, network, picture, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import camlib
from camlib import Trace, explain
from camlib.zoo.heads import PAPER_POOLINGS, PoolingHead, gap_cam_network, make_pooling, total_derivatives

CLASSES = 2

HOLDS = {
    **{name: name for name in PAPER_POOLINGS},
    "max 2/1 (overlapping)": "max 2/1",
    "avg 3/2 (overlapping, strided)": "avg 3/2",
    "avg 2/3 (skips positions)": "avg 2/3",
    "adaptive average to 3 x 3": nn.AdaptiveAvgPool2d(3),
    "adaptive max to 3 x 3": nn.AdaptiveMaxPool2d(3),
    "average, padding not counted": nn.AvgPool2d(3, 2, padding=1, count_include_pad=False),
    "max, padded with -inf": nn.MaxPool2d(3, 2, padding=1),
    "dilated max": nn.MaxPool2d(2, 1, dilation=2),
    "oblong average": nn.AvgPool2d((3, 2), (1, 2)),
}
FAILS = {
    "average, zero padding counted": nn.AvgPool2d(3, 2, padding=1),
    "sum": nn.AvgPool2d(2, divisor_override=1),
    "root of squares": nn.LPPool2d(2, 2),
}


class LogSumExp(nn.Module):
    """Smooth maximum of a whole channel, log(mean(exp)): it commutes with adding a constant, too."""

    def forward(self, maps: Tensor) -> Tensor:
        count = maps.shape[-2] * maps.shape[-1]
        return maps.logsumexp(dim=(-2, -1), keepdim=True) - math.log(count)


def head_and_maps(
    pooling: str | nn.Module, size: tuple[int, int] = (7, 7), channels: int = 3, seed: int = 0
) -> tuple[PoolingHead, Tensor]:
    """A float64 head with random weights and random maps as a leaf of the graph, two pictures."""
    head = seeded(lambda: PoolingHead(channels, size, CLASSES, pooling), seed)
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(2, channels, *size, generator=generator, dtype=torch.float64)
    return head, maps.requires_grad_(True)


def mean_gradients(head: nn.Module, maps: Tensor) -> Tensor:
    """Mean gradient of every class and channel by autograd, [B, classes, K]."""
    logits = head(maps)
    rows = [torch.autograd.grad(logits[:, c].sum(), maps, retain_graph=True)[0] for c in range(CLASSES)]
    return torch.stack([row.mean(dim=(2, 3)) for row in rows], dim=1)


@pytest.mark.parametrize("pooling", HOLDS.values(), ids=HOLDS)
def test_mean_gradient_is_the_summed_weights_over_the_area(pooling: str | nn.Module) -> None:
    head, maps = head_and_maps(pooling)
    expected = head.channel_weights.expand(2, -1, -1)
    torch.testing.assert_close(mean_gradients(head, maps), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("pooling", FAILS.values(), ids=FAILS)
def test_identity_fails_where_a_constant_does_not_pass_through(pooling: nn.Module) -> None:
    head, maps = head_and_maps(pooling)
    error = (mean_gradients(head, maps) - head.channel_weights).abs().max()
    assert error > 0.1 * head.channel_weights.abs().max()
    ones = torch.ones_like(total := total_derivatives(head.pooling, maps.detach()))
    assert (total - ones).abs().max() > 0.3


def test_sum_pooling_misses_by_the_size_of_its_window() -> None:
    head, maps = head_and_maps(FAILS["sum"])
    torch.testing.assert_close(
        mean_gradients(head, maps), 4 * head.channel_weights.expand(2, -1, -1), atol=1e-12, rtol=0
    )


def test_zero_padding_counts_in_proportion_to_the_real_pixels() -> None:
    total = total_derivatives(FAILS["average, zero padding counted"], torch.zeros(1, 1, 4, 4))
    torch.testing.assert_close(total, torch.tensor([[[[4 / 9, 6 / 9], [6 / 9, 9 / 9]]]]))


@pytest.mark.parametrize("pooling", [*HOLDS.values(), LogSumExp()], ids=[*HOLDS, "log-sum-exp"])
def test_qualifying_poolings_have_unit_total_derivative(pooling: str | nn.Module) -> None:
    maps = torch.randn(2, 3, 7, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    module = make_pooling(pooling)
    total = total_derivatives(module, maps)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-12, rtol=0)
    torch.testing.assert_close(module(maps + 0.5), module(maps) + 0.5, atol=1e-12, rtol=0)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_identity_over_shapes_and_pooling_parameters(data: st.DataObject) -> None:
    height, width, channels = (data.draw(st.integers(low, 9)) for low in (2, 2, 1))
    window = data.draw(st.integers(1, min(height, width)))
    stride = data.draw(st.integers(1, 4))
    padding = data.draw(st.integers(0, window // 2))
    pooling = data.draw(
        st.sampled_from(
            [
                nn.AvgPool2d(window, stride, padding, count_include_pad=False),
                nn.MaxPool2d(window, stride, padding),
                nn.AdaptiveAvgPool2d(window),
                nn.AdaptiveMaxPool2d(window),
            ]
        )
    )
    head, maps = head_and_maps(pooling, (height, width), channels, seed=data.draw(st.integers(0, 99)))
    found = mean_gradients(head, maps)
    torch.testing.assert_close(found, head.channel_weights.expand_as(found), atol=1e-12, rtol=0)


def test_ties_do_not_break_the_identity_of_max_pooling() -> None:
    head, _ = head_and_maps("max 2/2")
    flat = torch.zeros(2, 3, 7, 7, dtype=torch.float64, requires_grad=True)
    found = mean_gradients(head, flat)
    torch.testing.assert_close(found, head.channel_weights.expand_as(found), atol=1e-12, rtol=0)


def test_mlp_head_follows_its_local_weights_and_no_matrix() -> None:
    pool = nn.MaxPool2d(2)
    mlp = seeded(lambda: nn.Sequential(nn.Linear(27, 12), nn.ReLU(), nn.Linear(12, CLASSES)))
    _, maps = head_and_maps("max 2/2")
    pooled = pool(maps).flatten(1)
    score = mlp(pooled)[:, 1].sum()
    at_maps, at_pooled = torch.autograd.grad(score, [maps, pooled])
    local = at_pooled.view(2, 3, 9).sum(dim=2) / 49
    torch.testing.assert_close(at_maps.mean(dim=(2, 3)), local, atol=1e-12, rtol=0)
    matrix = (mlp[2].weight @ mlp[0].weight)[1].view(3, 9).sum(dim=1) / 49
    assert (local - matrix).abs().max() > 0.1 * matrix.abs().max()
    assert (local[0] - local[1]).abs().max() > 0.01 * local.abs().max()  # another picture, other weights


def test_length_of_the_weights_in_the_four_cases_of_the_paper() -> None:
    lengths = [PoolingHead(3, (4, 4), 2, pooling).linear.in_features for pooling in PAPER_POOLINGS]
    assert lengths == [3, 12, 12, 27]


def test_values_are_ordered_channel_by_channel_and_row_by_row() -> None:
    head = PoolingHead(2, (4, 4), 1, "avg 2/2")
    head.linear.weight.data = torch.arange(8.0)[None]
    assert head.position_weights.tolist() == [[[[0, 1], [2, 3]], [[4, 5], [6, 7]]]]
    assert head.channel_weights.tolist() == [[6 / 16, 22 / 16]]


def test_logits_by_hand() -> None:
    head = PoolingHead(1, (4, 4), 1, "max 2/2")
    head.linear.weight.data = torch.tensor([[1.0, 10.0, 100.0, 1000.0]])
    head.linear.bias.data = torch.tensor([0.5])
    assert head(torch.arange(16.0).view(1, 1, 4, 4)).item() == 5 + 70 + 1300 + 15000 + 0.5


@pytest.mark.parametrize("pooling", PAPER_POOLINGS)
def test_a_network_with_this_head_is_explained_at_its_feature_maps(pooling: str) -> None:
    module = seeded(lambda: nn.Sequential(features(), PoolingHead(6, (8, 8), 5, pooling)), dtype=torch.float32)
    net = network(module)
    trace = Trace.of(net, picture())
    assert trace.layer.size == (8, 8)
    assert trace.layer.channels == 6
    expected = module[1].channel_weights[3].detach()
    found = explain(net, picture(), "grad-cam", target=3).weights
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    assert (trace.head is not None) == (pooling == "gap")


@pytest.mark.parametrize("pooling", ["GAP", "avg 2", "avg 0/1", "max 2/0", "median 2/2", ""])
def test_unknown_names_are_refused_with_an_example(pooling: str) -> None:
    with pytest.raises(ValueError, match="expected 'gap', or kind, window and stride as in 'avg 2/2'"):
        make_pooling(pooling)


def test_other_objects_are_refused() -> None:
    with pytest.raises(TypeError, match="given int"):
        PoolingHead(3, (4, 4), 2, 2)


def test_a_window_larger_than_the_map_is_refused() -> None:
    with pytest.raises(ValueError, match=r"does not fit feature maps \[3, 4, 4\]"):
        PoolingHead(3, (4, 4), 2, "avg 5/1")


@pytest.mark.parametrize("shape", [(1, 3, 5, 4), (1, 2, 4, 4), (3, 4, 4)])
def test_maps_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"takes feature maps \[B, 3, 4, 4\]; given"):
        PoolingHead(3, (4, 4), 2)(torch.zeros(shape))


def test_gap_cam_network_is_vgg_with_a_head_that_gap_cam_can_read():
    vgg = camlib.load_network("vgg11", weights=None, seed=0)
    module = gap_cam_network(vgg.module.features[:20], 512, 1000, kernels=24)
    net = camlib.Network(module, transform=camlib.Preprocess((64, 64)))
    trace = camlib.Trace.of(net, camlib.load_photo("goose"))
    assert trace.activations.shape == (1, 24, 4, 4)
    assert bool((trace.activations >= 0).all())
    assert trace.head.form == "y = w·GAP(M) + b"
    assert torch.equal(trace.head.weight, module[-1].weight)
    convolution = module[0][1]
    assert (convolution.kernel_size, convolution.stride, convolution.padding) == ((3, 3), (1, 1), (1, 1))
