"""Heads that rectify on the way: weight over mean gradient counts positive positions, on trained networks."""

from __future__ import annotations

import pytest
import torch

import camlib
from camlib.data.scenes import make_scenes

POSITIONS = 64


@pytest.fixture(scope="module")
def scenes():
    return make_scenes(8, 77, objects=(1, 2))


def mean_gradients(net, scenes, layer=None):
    """(trace, class of each scene, mean gradients [B, K])."""
    trace = camlib.Trace.of(net, *scenes.images, layer=layer)
    target = trace.logits.argmax(dim=1)
    return trace, target, trace.gradients(target).mean(dim=(2, 3))


def test_squeeze_the_ratio_counts_the_positive_positions_of_the_class_map(scenes):
    """y = mean of ReLU(w·M + b): mean gradient = w · n_c / (hw)², n_c of 64 positions (Si et al. 2021, sec. 4.1.1)."""
    net = camlib.load_network("scenes-squeeze")
    trace, target, found = mean_gradients(net, scenes)
    convolution = net.module.classifier[0]
    weight, bias = convolution.weight[:, :, 0, 0].detach(), convolution.bias.detach()
    counts = []
    for b, c in enumerate(target.tolist()):
        n = 0
        for i in range(8):
            for j in range(8):
                n += float(weight[c] @ trace.activations[b, :, i, j] + bias[c]) > 0
        torch.testing.assert_close(found[b], weight[c] * n / POSITIONS**2, rtol=1e-4, atol=1e-8)
        counts.append(n)
    assert len(set(counts)) > 1  # another picture, another ratio
    assert 0 < min(counts) < POSITIONS


def test_dense_the_ratio_counts_the_positive_positions_of_each_channel(scenes):
    """At norm5, in front of the ReLU: mean gradient = w_k · n_k / (hw)²; behind the ReLU it is w_k / hw for all."""
    net = camlib.load_network("scenes-dense")
    before, target, found = mean_gradients(net, scenes, "features")
    weight = net.module.classifier.weight.detach()[target]
    positive = (before.activations > 0).sum(dim=(2, 3))
    torch.testing.assert_close(found, weight * positive / POSITIONS**2, rtol=1e-4, atol=1e-8)
    assert float(positive.float().std(dim=1).min()) > 1  # the ratio differs from channel to channel
    behind, target, found = mean_gradients(net, scenes)
    assert behind.layer.name == "features+relu"
    torch.testing.assert_close(found, weight / POSITIONS, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "form"), [("scenes-squeeze", "y = GAP(ReLU(w·M + b))"), ("scenes-dense", "y = w·GAP(M) + b")]
)
def test_the_trace_proves_the_head(name, form, scenes):
    assert camlib.Trace.of(camlib.load_network(name), *scenes.images).head.form == form
