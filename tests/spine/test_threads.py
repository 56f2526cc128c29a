"""Eight threads give what one gives, and nobody else's passes are disturbed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import helpers
import pytest
import torch
from torch import nn

import camlib
from camlib import Network

METHODS = ["grad-cam", "grad-cam++", "layer-cam", "recipro-cam", "ablation-cam", "score-cam", "gradient", "smooth-grad"]
pytestmark = pytest.mark.filterwarnings("ignore::camlib.DegenerateMapWarning")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)  # of PyTorch's own, until conftest sets up the next test


def in_train_mode() -> nn.Module:
    return helpers.seeded(helpers.Trainable, dtype=torch.float32).train()


def work(nets: list[Network]) -> list[tuple[Network, str, int]]:
    return [(nets[i % len(nets)], METHODS[i % len(METHODS)], i % 3) for i in range(24)]


def explained(job: tuple[Network, str, int]) -> torch.Tensor:
    net, method, picture = job
    options = helpers.short([method])[method]
    return camlib.explain(net, helpers.picture(picture), method, 1, **options).raw


def one_network(module: nn.Module) -> list[Network]:
    return [helpers.network(module)]


def several_networks(module: nn.Module) -> list[Network]:
    return [helpers.network(module) for _ in range(3)]


def a_part_of_it(module: nn.Module) -> list[Network]:
    part = nn.Sequential(module.features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), module.fc)
    return [helpers.network(module), helpers.network(part.eval())]


@pytest.mark.parametrize("networks", [one_network, several_networks, a_part_of_it])
def test_eight_threads_give_what_one_gives(networks):
    module = in_train_mode()
    nets = networks(module)
    before = helpers.state(module)
    jobs = work(nets)
    alone = list(map(explained, jobs))
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(explained, jobs))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
    helpers.assert_same(before, helpers.state(module))
    assert not any("forward" in child.__dict__ for child in module.modules())


def test_first_passes_of_eight_threads_at_once():
    module = in_train_mode()
    wanted = [explained(job) for job in work(one_network(module))[:8]]
    net = helpers.network(module)
    start = threading.Barrier(8)

    def late(job: tuple[Network, str, int]) -> torch.Tensor:
        start.wait()
        return explained((net, *job[1:]))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(late, work([net])[:8]))
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))


@pytest.mark.parametrize("training", [True, False])
def test_predictions_of_another_thread_are_its_own(training):
    """In train mode a pass without gradients changes the running statistics: by the caller's passes alone."""
    module = in_train_mode().train(training)
    for child in module.modules():
        if isinstance(child, nn.Dropout | nn.Dropout2d):
            child.p = 0.0
    twin = helpers.seeded(helpers.Trainable, dtype=torch.float32).train(training)
    twin.load_state_dict(module.state_dict())
    for child in twin.modules():
        if isinstance(child, nn.Dropout | nn.Dropout2d):
            child.p = 0.0
    net, inputs, stop, faults, passes = helpers.network(module), helpers.batch(2, torch.float32), [], [], []

    def predict() -> None:
        while not stop:
            with torch.no_grad():
                if not torch.equal(module(inputs), twin(inputs)):
                    faults.append("another answer")
            if any(child.training is not training for child in module.modules()):
                faults.append("another mode")
            passes.append(1)

    thread = threading.Thread(target=predict)
    thread.start()
    try:
        for job in work([net])[:16]:
            explained(job)
    finally:
        stop.append(1)
        thread.join()
    assert passes
    assert not faults
    for (name, mine), theirs in zip(module.state_dict().items(), twin.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), name
