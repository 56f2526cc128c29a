"""Passes and what a user has attached to a network: errors, a second class, gradients, graphs, hooks, kept tensors."""

import helpers
import pytest
import torch
from helpers import PICTURE, READY, gap
from torch import Tensor, nn

import camlib
from camlib import METHODS, Trace

PASSES: list[int] = []
"""Rows of each pass of a ``Counting`` module, or of what runs in its place."""
FAILS_AT: list[int | None] = [None]


class Counting(nn.Module):
    """Raises in a given forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = helpers.Gap()

    def forward(self, x: Tensor) -> Tensor:
        PASSES.append(len(x))
        if len(PASSES) == FAILS_AT[0]:
            raise RuntimeError("out of luck")
        return self.inner(x)


def test_module_that_raises_in_the_fourth_forward():
    module = helpers.seeded(Counting)
    net = helpers.network(module)
    net.layers()
    PASSES.clear()
    FAILS_AT[0] = 4
    before = helpers.state(module)
    with pytest.raises(RuntimeError, match="out of luck"):
        camlib.explain(net, PICTURE, "smooth-grad-cam++", 1, samples=8)
    assert len(PASSES) == 4
    helpers.assert_same(before, helpers.state(module))
    FAILS_AT[0] = None
    fresh = camlib.explain(helpers.network(helpers.seeded(Counting)), PICTURE, "smooth-grad-cam++", 1, samples=8)
    assert torch.equal(camlib.explain(net, PICTURE, "smooth-grad-cam++", 1, samples=8).heatmap, fresh.heatmap)


def test_second_class_from_one_forward():
    module = helpers.seeded(Counting)
    trace = Trace(helpers.network(module), READY)
    passes = len(PASSES)
    found = [METHODS["grad-cam"].function(trace, torch.tensor([c]))[0] for c in (0, 3, 0)]
    assert len(PASSES) == passes
    for weights, c in zip(found, (0, 3, 0), strict=True):
        torch.testing.assert_close(weights, module.inner.fc.weight[c].detach() / 64)


def test_a_users_own_gradients_stay():
    net = gap()
    loss = net.module(READY).square().sum()
    loss.backward()
    kept = {name: p.grad.clone() for name, p in net.module.named_parameters()}
    camlib.compare(net, PICTURE, helpers.POST_HOC, [1, 2], options=helpers.short(helpers.POST_HOC))
    assert all(torch.equal(p.grad, kept[name]) for name, p in net.module.named_parameters())


def test_a_users_own_graph_can_still_be_walked():
    net = gap()
    loss = net.module(READY).square().sum()
    camlib.compare(net, PICTURE, ["grad-cam", "guided-backprop", "smooth-grad-cam++"], [1])
    loss.backward()
    again = gap().module
    again(READY).square().sum().backward()
    for found, expected in zip(net.module.parameters(), again.parameters(), strict=True):
        assert torch.equal(found.grad, expected.grad)


def test_a_users_own_hooks_run_and_stay():
    net = gap()
    seen = []
    handle = net.module.features.register_forward_hook(lambda *_: seen.append(1))
    camlib.explain(net, PICTURE, "grad-cam", 1)
    assert seen
    assert len(net.module.features._forward_hooks) == 1
    handle.remove()


class Lazy(helpers.Gap):
    """Makes a tensor in its first pass and keeps it, as networks with position tables do."""

    ramp: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        maps = self.features(x)
        if self.ramp is None:
            self.ramp = torch.linspace(1, 2, 8, dtype=maps.dtype)
        return self.fc((maps * self.ramp).mean(dim=(2, 3)))


@pytest.mark.parametrize("first", [lambda net: net.predict(PICTURE), lambda net: net.layers(), lambda net: None])
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_tensors_that_a_module_keeps_from_an_earlier_pass(first, mode):
    net = helpers.network(helpers.seeded(Lazy))
    with mode():
        first(net)
        inside = camlib.explain(net, PICTURE, "grad-cam", 1, "features")
    outside = camlib.explain(net, PICTURE, "grad-cam", 1, "features")
    expected = camlib.explain(helpers.network(helpers.seeded(Lazy)), PICTURE, "grad-cam", 1, "features")
    assert torch.equal(inside.heatmap, expected.heatmap)
    assert torch.equal(outside.heatmap, expected.heatmap)
