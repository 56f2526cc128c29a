"""Methods with a budget of passes: exact where it reaches, exact at the scored channels, and honest about the rest."""

from __future__ import annotations

import math

import helpers
import pytest
import torch
from torch import Tensor

import camlib
from camlib import METHODS, Network, Preprocess, Trace
from camlib.engine.masking import Masking
from camlib.engine.scoring import Scorer
from camlib.registry import Detailed
from camlib.weights import budget, hybrid

CHANNELS = 40
BUDGETED = (
    "score-cam", "score-cam-cic", "score-cam-softmax", "score-cam-raw", "score-cam-binary", "sa-cam", "union-cam",
    "guided-score-cam",
)  # fmt: skip


def network(gain: float = 40.0) -> Network:
    module = helpers.seeded(lambda: helpers.Many(CHANNELS), seed=3)
    with torch.no_grad():
        module.fc.weight *= gain
        module.features[2].bias[7] = -100
    transform = Preprocess((helpers.SIZE,) * 2, (0.4,) * 3, (0.25,) * 3)
    return Network(module, transform=transform, class_names=helpers.CLASSES)


NET = network()
BATCH = helpers.batch(2)


def maps_agree(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


def test_the_methods_with_a_budget_are_those_that_read_masked_scores():
    assert set(BUDGETED) == {name for name in METHODS if "passes" in METHODS[name].options}


@pytest.mark.parametrize("name", BUDGETED)
@pytest.mark.parametrize("passes", [39, 40, 5000])
def test_a_budget_for_all_live_channels_is_exact_and_says_so(name, passes):
    exact = camlib.explain(NET, BATCH[:1], name)
    found = camlib.explain(NET, BATCH[:1], name, passes=passes)
    live = int(Trace(NET, BATCH[:1]).live.sum())
    assert live <= 39
    assert torch.equal(found.heatmap, exact.heatmap)
    assert torch.equal(found.raw, exact.raw)
    assert found.details["expected_correlation"] == 1.0
    assert found.details["passes"] == (2 * live if name == "sa-cam" else live)
    assert found.details["live_channels"] == live
    assert "passes" not in exact.details


@pytest.mark.parametrize("name", BUDGETED)
def test_a_budget_of_half_of_the_channels_is_close_deterministic_and_told(name):
    exact = camlib.explain(NET, BATCH[:1], name)
    found, again = (camlib.explain(NET, BATCH[:1], name, passes=20) for _ in range(2))
    assert torch.equal(found.heatmap, again.heatmap)
    assert not torch.equal(found.heatmap, exact.heatmap)
    assert maps_agree(found.raw, exact.raw) > 0.99
    assert 0.9 < found.details["expected_correlation"] < 1
    assert found.details["passes"] == (40 if name == "sa-cam" else 20)


@pytest.mark.parametrize("name", BUDGETED)
def test_each_picture_of_a_batch_is_what_it_is_alone(name):
    both = camlib.compare(NET, BATCH, [(name, {"passes": 16})])
    for index, found in enumerate(both):
        alone = camlib.explain(NET, BATCH[index : index + 1], name, passes=16)
        assert torch.allclose(found.heatmap, alone.heatmap, atol=1e-6)
        assert found.details["expected_correlation"] == pytest.approx(alone.details["expected_correlation"], abs=1e-6)


@pytest.mark.parametrize("name", BUDGETED)
@pytest.mark.parametrize(
    ("passes", "kind"),
    [
        (0, ValueError),
        (1, ValueError),
        (-4, ValueError),
        (8.0, TypeError),
        (math.nan, TypeError),
        (True, TypeError),
        ("8", TypeError),
    ],
)
def test_a_budget_that_means_nothing_is_refused(name, passes, kind):
    with pytest.raises(kind, match=r"passes=.*: expected .*at least 2"):
        camlib.explain(NET, BATCH[:1], name, passes=passes)


def test_scored_channels_keep_their_scores_and_so_many_pictures_run():
    trace, exact = Trace(NET, BATCH), Trace(NET, BATCH).masked_logits()
    found = trace.masked_logits(Masking(passes=12))
    assert trace.scorer().pictures == 24
    for b, landmarks in enumerate(trace.landmarks(Masking(passes=12))):
        channels = trace.live[b].nonzero().flatten()[landmarks.kriging.known]
        assert len(channels) == 12
        assert torch.allclose(found[b, channels], exact[b, channels], rtol=1e-9, atol=1e-9)
        assert torch.equal(found[b, channels], landmarks.scored)
        assert not found[b, ~trace.live[b]].any()
    assert trace.masked_logits(Masking(passes=12)) is found
    assert trace.scorer().pictures == 24


@pytest.mark.parametrize("name", BUDGETED)
def test_a_map_does_not_depend_on_the_classes_that_stand_beside_it(name):
    together = camlib.compare(NET, BATCH[:1], [(name, {"passes": 14})], [[3, 0, 1]])
    alone = camlib.explain(NET, BATCH[:1], name, target=0, passes=14)
    assert torch.equal(together[1].heatmap, alone.heatmap)
    assert together[1].details == alone.details


def test_classes_and_methods_share_the_passes_of_a_budget(monkeypatch):
    counted, run = [], Scorer.logits

    def count(self, number, write, what="pictures"):
        counted.append(number)
        return run(self, number, write, what)

    monkeypatch.setattr(Scorer, "logits", count)
    options = {"passes": 10}
    camlib.compare(NET, BATCH[:1], [("score-cam", options), ("score-cam-softmax", options)], [[0, 1, 2]])
    assert sum(counted) == 10


@pytest.mark.parametrize("common", ["center", "project"])
def test_the_error_is_that_of_the_map_without_the_common_map(common):
    found = camlib.explain(NET, BATCH[:1], "score-cam", passes=12, common=common)
    kept = camlib.explain(NET, BATCH[:1], "score-cam", passes=12)
    assert found.details["common"] == common
    assert 0 < found.details["expected_correlation"] <= 1
    assert found.details["expected_correlation"] != kept.details["expected_correlation"]


def test_a_constant_map_has_no_expected_correlation():
    """Every logit is negative, so the rectified sum of logits is zero everywhere."""
    net = network()
    with torch.no_grad():
        net.module.fc.bias -= 1e4
    with pytest.warns(camlib.DegenerateMapWarning):
        found = camlib.explain(net, BATCH[:1], "score-cam-raw", passes=12)
    assert found.degenerate
    assert found.details["expected_correlation"] is None


# -- the derivatives that errors are computed from


def test_a_softmax_moves_the_map_as_autograd_says():
    trace = Trace(NET, BATCH[:1])
    reading = trace.landmarks(Masking(passes=12))[0].read(2, "logit")
    maps = trace.activations[0, trace.live[0]].flatten(1)
    values = reading.scores.clone()
    jacobian = torch.autograd.functional.jacobian(lambda v: v.softmax(dim=0) @ maps, values)
    part = budget._part(reading, 1.0, values.softmax(dim=0), maps)
    assert torch.allclose(part.effect, jacobian.T, atol=1e-12)
    assert torch.allclose(part.moved, torch.zeros_like(values))


@pytest.mark.parametrize("form", ["sum", "score-gradient", "product", "mixed"])
@pytest.mark.parametrize("scale", ["minmax", "maxabs", "none"])
def test_sa_cam_moves_with_both_scores_as_differences_say(form, scale, monkeypatch):
    """Weights after a small step of one probability, against the factor that the error is computed from."""
    trace, target, step = Trace(NET, BATCH[:1]), torch.tensor([1]), 1e-6
    reads, plain = {}, hybrid.class_probabilities
    monkeypatch.setattr(hybrid, "budgeted", lambda trace, target, weights, *found: reads.update(found=found) or weights)
    call = {"form": form, "scale": scale, "softmax": False, "passes": 12}
    before = hybrid.sa_cam(trace, target, **call)
    scores = hybrid.attention_score(trace, target, *(read.masking for read in reads["found"]))
    inner = (scores > scores[trace.live].min()) & (scores < scores.max()) & trace.live
    channel = int(inner[0].nonzero().flatten()[3])
    for read in reads["found"]:

        def moved(trace, target, masking, read=read):
            found = plain(trace, target, masking).clone()
            found[0, channel] += step * (masking == read.masking)
            return found

        monkeypatch.setattr(hybrid, "class_probabilities", moved)
        change = (hybrid.sa_cam(trace, target, **call) - before) / step
        monkeypatch.setattr(hybrid, "class_probabilities", plain)
        expected = torch.zeros_like(change)
        expected[0, channel] = read.factor[0, channel]
        assert torch.allclose(change, expected, atol=1e-4 * max(1.0, float(expected.abs().max())))


def test_scores_of_a_class_are_made_once_for_all_that_follows_from_them():
    trace, masking = Trace(NET, BATCH), Masking(passes=12)
    one, other = torch.tensor([0, 2]), torch.tensor([1, 2])
    kept = hybrid.class_probabilities(trace, one, masking)
    changed = hybrid.class_probabilities(trace, other, masking)
    assert hybrid.class_probabilities(trace, one, masking) is kept
    assert torch.equal(kept[1], changed[1])
    assert not torch.equal(kept[0], changed[0])
    p = trace.masked_logits(masking).softmax(dim=2)
    assert torch.equal(kept, p[[0, 1], :, one] * trace.live)
    landmarks = trace.landmarks(masking)[0]
    assert landmarks.read(0) is landmarks.read(0)
    assert landmarks.read(0).bounded != landmarks.read(0, "logit").bounded


def test_a_method_without_a_budget_returns_its_plain_weights():
    trace, target = Trace(NET, BATCH[:1]), torch.tensor([0])
    for name in ("score-cam", "sa-cam", "score-cam-softmax"):
        assert isinstance(METHODS[name].function(trace, target), Tensor)
        assert isinstance(METHODS[name].function(trace, target, passes=8), Detailed)
