"""Gradients behind a layer although the network's own code forbids them: frozen, detached, checkpointed, int8."""

from __future__ import annotations

import threading

import helpers
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointFunction, checkpoint

import camlib
from camlib import Network, Trace

INPUTS = helpers.batch(2, torch.float32)
TARGET = torch.tensor([1, 3])


class Frozen(nn.Module):
    """body - head, where the body's part of the graph is cut in one way or another."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, stride=2, padding=1), nn.ReLU()
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 5))
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, f"_{self.how}")(x)

    def _no_grad(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            maps = self.body(x)
        return self.head(maps)

    @torch.no_grad()
    def _all_of_it(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))

    def _detach(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).detach())

    def _data(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).data)

    def _inference(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            maps = self.body(x)
        return self.head(maps)

    def _reentrant(self, x: Tensor) -> Tensor:
        return self.head(checkpoint(self.body, x, use_reentrant=True))

    def _checkpoint(self, x: Tensor) -> Tensor:
        return self.head(checkpoint(self.body, x, use_reentrant=False))

    def _reentrant_head(self, x: Tensor) -> Tensor:
        return checkpoint(self.head, self.body(x), use_reentrant=True)

    def _checkpointed_head(self, x: Tensor) -> Tensor:
        return checkpoint(self.head, self.body(x), use_reentrant=False)


WAYS = [name[1:] for name in vars(Frozen) if name.startswith("_") and not name.startswith("__")]


def frozen(how: str) -> Frozen:
    return helpers.seeded(lambda: Frozen(how), dtype=torch.float32)


def by_hand(module: Frozen, layer: str) -> tuple[Tensor, Tensor]:
    """(maps, gradients of the target logits) of the same function without any cut."""
    first, rest = (module.body, module.head) if layer == "body" else (module.body[:2], [*module.body[2:], *module.head])
    maps = first(INPUTS).detach().requires_grad_(True)
    logits = nn.Sequential(*rest)(maps)
    return maps.detach(), torch.autograd.grad(logits.gather(1, TARGET[:, None]).sum(), maps)[0]


@pytest.mark.parametrize("layer", ["body", "body.1"])
@pytest.mark.parametrize("how", WAYS)
def test_the_gradient_of_what_follows_a_layer_exists(how, layer):
    if (how, layer) == ("inference", "body.1"):
        pytest.skip("inside inference mode nothing records a graph")
    module = frozen(how)
    for parameter in module.parameters():
        parameter.requires_grad_(how != "detach")
    trace = Trace(Network(module), INPUTS, layer)
    maps, gradient = by_hand(frozen(how), layer)
    torch.testing.assert_close(trace.activations, maps)
    torch.testing.assert_close(trace.gradients(TARGET), gradient)
    assert all(parameter.grad is None for parameter in module.parameters())
    assert torch.utils.checkpoint.CheckpointFunction is CheckpointFunction


@pytest.mark.parametrize("method", ["grad-cam++", "smooth-grad-cam++", "sa-cam", "lift-cam", "shapley-cam", "gradient"])
@pytest.mark.parametrize("how", ["no_grad", "detach", "reentrant", "reentrant_head"])
@pytest.mark.filterwarnings("ignore::camlib.DegenerateMapWarning", "ignore:None of the inputs have requires_grad")
def test_methods_do_not_notice(how, method):
    wanted, found = (
        camlib.explain(Network(frozen(way), "body"), INPUTS[:1], method, 1, **helpers.short([method])[method]).raw
        for way in ("checkpointed_head", how)
    )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_a_stop_behind_the_layer_that_leaves_another_way_is_the_networks_own():
    """A gate that is not differentiated is part of what the network defines: the gradient is autograd's."""

    class Gate(Frozen):
        def forward(self, x: Tensor) -> Tensor:
            maps = self.body(x)
            with torch.no_grad():
                gate = maps.mean(dim=1, keepdim=True).sigmoid()
            return self.head(maps * gate)

    module = helpers.seeded(lambda: Gate("no_grad"), dtype=torch.float32)
    maps = module.body(INPUTS).detach().requires_grad_(True)
    gate = maps.detach().mean(dim=1, keepdim=True).sigmoid()
    logits = module.head(maps * gate)
    (gradient,) = torch.autograd.grad(logits.gather(1, TARGET[:, None]).sum(), maps)
    torch.testing.assert_close(Trace(Network(module), INPUTS, "body").gradients(TARGET), gradient)


def test_where_there_is_none_the_reason_is_said_and_scores_work():
    class Decided(Frozen):
        def forward(self, x: Tensor) -> Tensor:
            return self.head((self.body(x) > 0.05).float())

    net = Network(helpers.seeded(lambda: Decided("no_grad"), dtype=torch.float32))
    with pytest.raises(ValueError, match=r"depend on layer 'body', but what follows it has no gradient.*'score-cam'"):
        camlib.explain(net, INPUTS[:1], "grad-cam", 1, layer="body")
    for method in ("score-cam", "ablation-cam", "recipro-cam"):
        assert camlib.explain(net, INPUTS[:1], method, 1, layer="body").raw.shape == (8, 8)


def test_a_layer_beside_the_way_is_told_from_one_without_a_gradient():
    class Beside(Frozen):
        def __init__(self) -> None:
            super().__init__("no_grad")
            self.aside = nn.Conv2d(6, 6, 1)

        def forward(self, x: Tensor) -> Tensor:
            maps = self.body(x)
            self.aside(maps)
            return self.head(maps)

    net = Network(helpers.seeded(Beside, dtype=torch.float32))
    with pytest.raises(ValueError, match=r"do not depend on layer 'aside'. Choose .* for example 'body'\."):
        camlib.explain(net, INPUTS[:1], "grad-cam", 1, layer="aside")


def test_other_threads_checkpoint_as_before():
    """While one thread's checkpoints run plainly, another trains with its own."""
    module, other = frozen("reentrant"), frozen("reentrant")
    x = INPUTS.clone().requires_grad_(True)
    other(x).sum().backward()
    wanted, faults, stop = x.grad.clone(), [], []

    def train() -> None:
        while not stop:
            mine = INPUTS.clone().requires_grad_(True)
            other(mine).sum().backward()
            if not torch.equal(mine.grad, wanted):
                faults.append(1)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for _ in range(10):
            Trace(Network(module), INPUTS, "body").gradients(TARGET)
    finally:
        stop.append(1)
        thread.join()
    assert not faults
