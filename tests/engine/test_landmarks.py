"""A budget of masked passes: landmarks by a literal loop, exact where it allows all, and its error told."""

from __future__ import annotations

import helpers
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import camlib
from camlib.engine import landmarks
from camlib.engine.masking import Masking
from camlib.engine.scoring import Scorer

FAMILY = ["score-cam", "score-cam-cic", "score-cam-softmax", "score-cam-raw", "score-cam-binary"]


@pytest.fixture(scope="module")
def net():
    return camlib.load_network("scenes-gap")


@pytest.fixture(scope="module")
def scenes():
    return list(camlib.scenes.make_scenes(3, 99, objects=(2, 3)).images)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 12))
def test_landmarks_are_the_farthest_by_a_literal_loop(seed, n, count):
    count = min(n, count)
    rows = torch.rand(n, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    mass = torch.rand(n, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    expected = [max(range(n), key=lambda i: float(mass[i]))]

    def gain(i):
        return float(mass[i]) * min(float(((rows[i] - rows[j]) ** 2).sum()) for j in expected)

    while len(expected) < count:
        expected.append(max(range(n), key=gain))
    assert landmarks.choose(rows, mass, count).tolist() == expected


def test_the_mass_of_a_map_is_its_norm_around_its_mean():
    maps = torch.tensor([[[1.0, 1.0], [1.0, 1.0]], [[0.0, 2.0], [0.0, 2.0]]])
    assert landmarks.mass_of(maps).tolist() == [0.0, 2.0]


def test_shares_add_up_favor_the_nearest_and_leave_landmarks_alone():
    rows = torch.tensor([[0.0], [1.0], [0.1], [0.5]], dtype=torch.float64)
    of = landmarks.shares(rows, rows[:2])
    torch.testing.assert_close(of.sum(dim=1), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(of[:2], torch.eye(2, dtype=torch.float64))
    assert float(of[2, 0]) > 0.99
    torch.testing.assert_close(of[3], torch.tensor([0.5, 0.5], dtype=torch.float64))


def test_leaving_one_out_is_a_literal_loop():
    generator = torch.Generator().manual_seed(1)
    rows, scores = torch.rand(6, 4, generator=generator).double(), torch.rand(6, 3, generator=generator).double()
    found = landmarks.leave_one_out(rows, scores)
    for i in range(6):
        rest = [j for j in range(6) if j != i]
        expected = landmarks.shares(rows[i : i + 1], rows[rest]) @ scores[rest]
        torch.testing.assert_close(found[i], expected[0])


@pytest.mark.parametrize("method", FAMILY)
def test_a_budget_for_all_channels_is_exact(method, net, scenes):
    exact = camlib.explain(net, scenes[0], method)
    live = int(camlib.Trace.of(net, scenes[0]).live.sum())
    for passes in (live, live + 100):
        e = camlib.explain(net, scenes[0], method, passes=passes)
        assert torch.equal(e.raw, exact.raw)
        assert e.details == {"passes": live, "live_channels": live, "expected_correlation": 1.0}
    assert exact.details == {}


@pytest.mark.parametrize("method", FAMILY)
def test_a_budget_runs_no_more_passes_and_comes_near(method, net, scenes, monkeypatch):
    counted, run = [], Scorer.logits
    passes = 40 if method in ("score-cam-softmax", "score-cam-raw") else 16  # logits spread farther than probabilities

    def count(self, n, write, what):
        counted.append(n)
        return run(self, n, write, what)

    exact = camlib.compare(net, scenes, [method])
    monkeypatch.setattr(Scorer, "logits", count)
    found = camlib.compare(net, scenes, [method], options={method: {"passes": passes}})
    assert counted.count(passes) == len(scenes)
    assert sum(counted) <= passes * len(scenes) + len(scenes)  # and one blank picture each
    for a, b in zip(found, exact, strict=True):
        r = float(torch.corrcoef(torch.stack([a.raw.flatten(), b.raw.flatten()]))[0, 1])
        assert r > 0.9, (method, r)
        assert a.details["passes"] == passes < a.details["live_channels"]
        assert 0 < a.details["expected_correlation"] < 1


def test_landmarks_keep_their_exact_scores_for_all_classes(net, scenes):
    trace = camlib.Trace.of(net, scenes[0])
    exact, found = trace.masked_logits(), trace.masked_logits(Masking(passes=12))
    same = ((exact - found).abs().amax(dim=2)[0] <= 1e-6) & trace.live[0]
    assert int(same.sum()) >= 12
    torch.testing.assert_close(found[0][trace.live[0]].softmax(dim=1).sum(dim=1), torch.ones(int(trace.live.sum())))


def test_a_picture_gets_in_a_batch_what_it_gets_alone(net, scenes):
    together = camlib.compare(net, scenes, ["score-cam"], options={"score-cam": {"passes": 10}})
    for e in together:
        alone = camlib.explain(net, scenes[e.picture], "score-cam", passes=10)
        torch.testing.assert_close(e.raw, alone.raw, rtol=1e-4, atol=1e-6)
        assert e.details["expected_correlation"] == pytest.approx(alone.details["expected_correlation"], rel=1e-3)


def test_the_expected_correlation_follows_the_budget(net, scenes):
    told = [camlib.explain(net, scenes[1], "score-cam", passes=n).details["expected_correlation"] for n in (4, 32, 80)]
    assert told[0] < told[1] < told[2]


WRONG = [(0, ValueError), (1, ValueError), (-3, ValueError)]
WRONG += [(2.5, TypeError), (float("nan"), TypeError), (True, TypeError), ("8", TypeError)]


@pytest.mark.parametrize(("wrong", "kind"), WRONG)
def test_a_budget_that_is_no_number_of_passes_is_refused(wrong, kind):
    with pytest.raises(kind, match=r"passes=.*: expected .*at least 2 or None"):
        camlib.explain(helpers.network(helpers.seeded(helpers.Gap)), helpers.picture(0), "score-cam", passes=wrong)
