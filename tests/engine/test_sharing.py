"""Masked pictures are scored once for all processes of a run: never others, never where passes are counted."""

from __future__ import annotations

import helpers
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from camlib import Network, Trace, paths
from camlib.engine import sharing
from camlib.engine.masking import Masking


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A run's folder, and this process sharing in it for the length of a test."""
    monkeypatch.setenv(paths.SHARED, str(tmp_path / "run"))
    sharing.share()
    yield tmp_path / "run"
    sharing.share(False)


def net(seed: int = 0, dtype: torch.dtype = torch.float32) -> Network:
    return helpers.network(helpers.seeded(helpers.Trainable, seed, dtype))


def asked(network: Network, inputs: Tensor, masking: Masking | None = None, scale: float = 1.0) -> tuple[Tensor, int]:
    """(logits of masked pictures, number of pictures that ran) of a new trace, as another process would ask."""
    trace = Trace(network, inputs, "features")
    trace.activations = trace.activations * scale
    made = trace.masked_logits(masking)
    return made, sum(scorer.pictures for scorer in trace._scorers.values())


def computed(*question: object, **scale: float) -> tuple[Tensor, int]:
    sharing.share(False)
    try:
        return asked(*question, **scale)
    finally:
        sharing.share()


BATCH = helpers.batch(2, torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("masking", [None, Masking(filler="black"), Masking(masks="binary")])
def test_the_second_to_ask_gets_the_same_bits_without_a_pass(folder, dtype, masking):
    inputs = helpers.batch(2, dtype)
    expected, passes = computed(net(dtype=dtype), inputs, masking)
    assert passes > 0
    first, second = (asked(net(dtype=dtype), inputs, masking) for _ in range(2))
    assert (first[1], second[1]) == (passes, 0)
    assert torch.equal(first[0], expected)
    assert torch.equal(second[0], expected)
    assert second[0].dtype == expected.dtype
    assert [path.suffix for path in folder.iterdir()] == [".npy"] * 2, "a file a picture, and no temporary one"


def test_one_picture_of_a_batch_may_be_known(folder):
    asked(net(), BATCH)
    changed = torch.stack([BATCH[0], BATCH[1] + 1e-3])
    found, passes = asked(net(), changed)
    expected, all_passes = computed(net(), changed)
    assert 0 < passes < all_passes
    assert torch.equal(found, expected)


def _bias_in_place() -> Network:
    other = net()
    with torch.no_grad():
        other.module.fc.bias.add_(0.1)
    return other


def _statistics() -> Network:
    other = net()
    other.module.features[1].running_mean.add_(0.1)
    return other


@pytest.mark.parametrize(
    "question",
    [
        (net(1), BATCH),
        (_bias_in_place(), BATCH),
        (_statistics(), BATCH),
        (net(), BATCH + 1e-3),
        (net(), BATCH, Masking(filler="black")),
        (net(), BATCH, Masking(masks="key-area", threshold=0.4)),
    ],
    ids=["weights", "bias changed in place", "running mean", "picture", "filler", "threshold"],
)
def test_another_question_is_computed(folder, question):
    asked(net(), BATCH)
    asked(net(), BATCH, Masking(masks="key-area", threshold=0.5))
    found, passes = asked(*question)
    expected, all_passes = computed(*question)
    assert passes == all_passes > 0
    assert torch.equal(found, expected)


def test_the_weights_of_the_network_are_read_once_a_trace(folder, monkeypatch):
    read, plain = [], sharing.digest_of
    monkeypatch.setattr(sharing, "digest_of", lambda module: read.append(module) or plain(module))
    trace = Trace(net(), BATCH, "features")
    for masking in (None, Masking(filler="black")):
        trace.masked_logits(masking)
    assert read == [trace.network.module]


def test_changed_feature_maps_are_computed(folder):
    asked(net(), BATCH)
    assert asked(net(), BATCH, scale=0.5)[1] > 0


def test_nothing_is_shared_unless_somebody_wants_it_and_names_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(paths.SHARED, str(tmp_path))
    assert [asked(net(), BATCH)[1] > 0 for _ in range(2)] == [True, True]
    assert not list(tmp_path.iterdir())
    monkeypatch.delenv(paths.SHARED)
    sharing.share()
    try:
        assert [asked(net(), BATCH)[1] > 0 for _ in range(2)] == [True, True]
    finally:
        sharing.share(False)


def test_operations_that_are_counted_are_done(folder):
    asked(net(), BATCH)
    with FlopCounterMode(display=False) as counter:
        _, passes = asked(net(), BATCH)
    assert passes > 0
    assert counter.get_total_flops() > passes * 32 * 32


def test_a_pass_that_fails_leaves_nothing(folder):
    def fails() -> Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sharing.once_a_run(lambda: "network", ["question"], fails)
    assert not folder.exists()
    made = sharing.once_a_run(lambda: "network", ["question"], lambda: torch.arange(3.0))
    (file,) = folder.iterdir()
    assert np.array_equal(np.load(file), made.numpy())
