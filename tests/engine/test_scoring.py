"""Masked pictures streamed in batches: each once, dead ones never, whole after an interrupt, scores in bfloat16."""

from __future__ import annotations

import helpers
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import camlib
from camlib import Masking, Trace
from camlib.engine import scoring


def test_batch_keeps_the_widest_tensor_under_32_mib():
    cpu, mib = torch.device("cpu"), 2**20
    assert scoring.batch_for(16 * mib, cpu) == 1
    assert scoring.batch_for(16 * mib - 1, cpu) == 2
    assert scoring.batch_for(64 * mib, cpu) == 1
    assert scoring.batch_for(1, cpu) == scoring.LARGEST_BATCH
    assert scoring.batch_for(0, cpu) == scoring.LARGEST_BATCH


def test_widest_tensor_of_lite0_is_its_expansion_to_96_channels():
    scorer = scoring.Scorer(helpers.lite0(), helpers.bull_mastiff())
    assert 96 * 112 * 112 * 4 <= scorer.copy.widest <= 96 * 114 * 114 * 4  # it pads by itself
    assert scorer.batch * scorer.copy.widest < 32 * 2**20


@given(count=st.integers(1, 40), batch=st.integers(1, 9))
def test_every_item_is_written_and_kept_once(count, batch):
    buffer, sizes = torch.empty(batch, 2), []

    def write(rows: Tensor, start: int, stop: int) -> None:
        sizes.append(len(rows))
        rows.copy_(torch.arange(start, stop).float()[:, None].expand(-1, 2))

    moved = []
    made = scoring._stream(lambda rows: rows * 2, buffer, count, write, moved.append)
    assert torch.equal(made, 2 * torch.arange(count).float()[:, None].expand(-1, 2))
    assert sum(sizes) == sum(moved) == count
    assert max(sizes) <= batch


def test_a_stream_of_nothing_is_refused():
    with pytest.raises(ValueError, match="count=0: expected at least one item"):
        scoring.Scorer(helpers.network(helpers.seeded(helpers.Gap)), helpers.batch(1)).logits(0, lambda *_: None)


def test_pictures_live_one_batch_at_a_time():
    """64 channels at 128 x 128 in a batch of 2: 64 pictures are 12 MB, one batch is 0.4 MB."""
    module = helpers.seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 64, 8, stride=8), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 256, 5))
    )
    net = helpers.network(module.float(), 128, target_layer="1")
    trace = Trace.of(net, helpers.picture(0, 128, 128))
    seen = []

    def spy(_module: nn.Module, args: tuple) -> None:
        seen.append((args[0].shape[0], args[0].untyped_storage().data_ptr()))

    scorer = trace.scorer()
    scorer.batch, scorer._buffer = 2, scorer._buffer[:2].clone(memory_format=torch.channels_last)
    handle = scorer.copy.module.register_forward_pre_hook(spy)
    trace.masked_logits()
    handle.remove()
    assert sum(n for n, _ in seen) == int(trace.live.sum()) > 32
    assert {n for n, _ in seen} <= {1, 2}
    assert len({place for _, place in seen}) == 1


def test_dead_channels_cost_nothing_and_get_zeros():
    class HalfDead(helpers.Gap):
        def forward(self, x: Tensor) -> Tensor:
            maps = self.features(x)
            keep = torch.tensor([1.0, 0, 1, 0, 0, 1]).to(x)[:, None, None]
            return self.fc(self.gate(maps * keep + (1 - keep) * 0.25).mean(dim=(2, 3)))

        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Identity()

    trace = Trace.of(helpers.network(helpers.seeded(HalfDead), target_layer="gate"), helpers.picture(0))
    assert trace.live[0].tolist() == [True, False, True, False, False, True]
    before = trace.scorer().pictures
    logits = trace.masked_logits()
    assert trace.scorer().pictures - before == 3
    assert not bool(logits[0, [1, 3, 4]].any())
    assert bool(logits[0, [0, 2, 5]].all())


@pytest.mark.parametrize("method", ["score-cam", "ablation-cam", "sa-cam", "union-cam", "rise", "mask", "fd-cam"])
@pytest.mark.parametrize("at", [1, 2])
def test_an_interrupt_leaves_the_network_as_it_was(method, at, monkeypatch):
    """Ctrl-C arrives in the middle of the passes, wherever they run."""
    net = helpers.network(helpers.seeded(helpers.Trainable))
    net.layers()
    net.module.train()
    before = helpers.state(net.module)
    calls = []
    plain = nn.Linear.forward

    def forward(self: nn.Linear, x: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) > at:
            raise KeyboardInterrupt
        return plain(self, x)

    monkeypatch.setattr(nn.Linear, "forward", forward)
    with pytest.raises(KeyboardInterrupt):
        camlib.explain(net, helpers.picture(0), method, 1)
    monkeypatch.undo()
    helpers.assert_same(before, helpers.state(net.module))
    assert not any("forward" in child.__dict__ for child in net.module.modules())
    assert camlib.explain(net, helpers.picture(0), "grad-cam", 1).heatmap.max() == 1


def test_bfloat16_prints_its_error_and_keeps_the_map():
    net, x = helpers.lite0(), helpers.bull_mastiff()
    exact = camlib.explain(net, x, "score-cam", 243, "blocks.4")
    with pytest.warns(camlib.ApproximationWarning, match=r"bfloat16 scores.* map correlation 0\.99\d+") as record:
        half = camlib.explain(net, x, "score-cam", 243, "blocks.4", precision="bfloat16")
    assert helpers.correlation(half.heatmap, exact.heatmap) >= 0.99
    assert not torch.equal(half.weights, exact.weights)
    assert record[0].filename == __file__


def test_unknown_precision_is_named():
    net = helpers.network(helpers.seeded(helpers.Gap))
    with pytest.raises(ValueError, match=r"precision='int8': expected one of \('float32', 'bfloat16'\)"):
        camlib.explain(net, helpers.picture(0), "score-cam", precision="int8")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"masks": "soft"}, r"masks='soft': expected one of \('scaled', 'binary', 'unshifted', 'key-area'\)"),
        ({"order": "later"}, r"order='later': expected one of"),
        ({"filler": "red"}, r"filler='red': expected one of \('mean', 'black', 'white', 'blur', 'noise'\)"),
        ({"threshold": 1.5}, r"threshold=1.5: expected a number of at least 0 and at most 1"),
        ({"sigma": 0.0}, r"sigma=0.0: expected a number above 0"),
    ],
)
def test_masking_names_what_it_does_not_know(options, words):
    with pytest.raises(ValueError, match=words):
        Masking(**options)


def test_scores_of_all_classes_are_made_once():

    trace = Trace.of(helpers.network(helpers.seeded(helpers.Gap)), helpers.picture(0))
    first = trace.masked_logits()
    assert all(trace.masked_logits() is first for _ in range(5))
    assert trace.masked_logits(Masking()) is first
