"""Which masks are scored, and what the others' scores and the map's error are taken for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm
from torch import Tensor

from camlib import framework
from camlib.engine import landmarks
from camlib.engine.kriging import NUGGET, Errors, Kriging, distances, matern
from camlib.engine.landmarks import farthest_points, most_informative, survey
from camlib.engine.map_error import MapError, Part, expected_correlation

FEW = settings(max_examples=10, deadline=None)


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def spots(n: int = 60, size: int = 6, seed: int = 0) -> Tensor:
    """Rectified feature maps [n, size, size]: one spot each, of its own place, width and height."""
    y, x, wide, high = uniform(4, n, 1, 1, seed=seed) * torch.tensor([size, size, 1.5, 3.0]).view(4, 1, 1, 1)
    rows, columns = torch.arange(size).view(1, -1, 1), torch.arange(size).view(1, 1, -1)
    return (high + 0.2) * torch.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * (wide + 0.6) ** 2))


def smooth(maps: Tensor, classes: int = 3) -> Tensor:
    """Logits [n, classes] that depend on a mask as a smooth network's might."""
    scaled = framework.normalize(maps)[0].flatten(1)
    return 8 * (scaled @ uniform(scaled.shape[1], classes, seed=7) / scaled.shape[1]).sqrt()


# -- which places


@FEW
@given(st.integers(0, 10_000), st.integers(1, 9))
def test_farthest_points_are_those_of_a_loop(seed, count):
    apart = distances(uniform(12, 2, seed=seed))
    chosen = [4]
    while len(chosen) < count:
        nearest = [min(float(apart[i, j]) for j in chosen) for i in range(12)]
        chosen.append(nearest.index(max(nearest)))
    assert farthest_points(apart, count, 4) == chosen


@FEW
@given(st.integers(0, 10_000))
def test_the_most_informative_places_leave_least_variance_one_by_one(seed):
    apart, maps = distances(uniform(11, 2, seed=seed)), uniform(11, 4, seed=seed + 1)
    covariance, expected = matern(apart, 2.0), []
    for _ in range(4):
        left = {}
        for j in set(range(11)) - set(expected) - {0}:
            known = covariance - torch.outer(covariance[j], covariance[j]) / (covariance[j, j] + NUGGET)
            left[j] = float((maps.T @ known @ maps).trace())
        best = min(left, key=left.get)
        covariance = covariance - torch.outer(covariance[best], covariance[best]) / (covariance[best, best] + NUGGET)
        expected.append(best)
    assert most_informative(Errors.before(matern(apart, 2.0)), maps, 4, barred=[0]) == expected


def test_descriptors_are_roots_of_scaled_maps_weighted_by_what_all_maps_show():
    maps = uniform(3, 2, 2) + 1
    total = sum(maps[k] - maps[k].min() for k in range(3))
    for k in range(3):
        for i in range(2):
            for j in range(2):
                scaled = (maps[k, i, j] - maps[k].min()) / (maps[k].max() - maps[k].min())
                expected = math.sqrt(scaled * (total[i, j] / total.max() + 0.1))
                assert float(landmarks.descriptors(maps)[k, 2 * i + j]) == pytest.approx(expected)


# -- scores


def test_log_odds_undo_the_sigmoid_and_stay_finite():
    values = torch.tensor([-20.0, -1.0, 0.0, 3.0], dtype=torch.float64)
    assert torch.allclose(landmarks.log_odds(values.sigmoid()), values, atol=1e-6)
    assert landmarks.log_odds(torch.tensor([0.0, 1.0])).isfinite().all()


@pytest.mark.parametrize(("mean", "variance"), [(0.0, 0.3), (-2.0, 1.0), (3.0, 2.0), (-1.0, 1e-8)])
def test_moments_of_a_sigmoid_are_its_integrals(mean, variance):
    spread = math.sqrt(variance)
    integral = lambda f: quad(lambda x: f(1 / (1 + math.exp(-mean - spread * x))) * norm.pdf(x), -9, 9)[0]  # noqa: E731
    found = landmarks.sigmoid_moments(torch.tensor([mean], dtype=torch.float64), torch.tensor([variance]).double())
    expected = integral(lambda p: p)
    assert float(found[0]) == pytest.approx(expected, rel=1e-3)
    assert float(found[1]) == pytest.approx(math.sqrt(integral(lambda p: (p - expected) ** 2)), rel=2e-2)


def test_the_five_largest_scores_of_the_picture_are_at_stake():
    found = landmarks.stakes_of(torch.tensor([0.1, 0.4, 0.0, 0.2, 0.05, 0.15, 0.1]))
    assert list(found)[:3] == [1, 3, 5]
    assert len(found) == 5
    assert found[1] == pytest.approx(0.4 / 0.95)
    assert sum(found.values()) == pytest.approx(1)
    assert list(landmarks.stakes_of(torch.tensor([1.0, -3.0]))) == [1, 0]  # outputs that are no probabilities


# -- the survey


@pytest.mark.parametrize("passes", [2, 3, 9, 30, 59])
def test_so_many_masks_are_scored_once_each_and_keep_their_scores(passes):
    maps, asked = spots(), []
    logits = smooth(maps)

    def score(chosen: Tensor) -> Tensor:
        asked.extend(chosen.tolist())
        return logits[chosen]

    found = survey(maps, passes, score, {0: 1.0})
    assert len(asked) == len(set(asked)) == passes
    assert found.kriging.known.tolist() == asked
    assert found.logits.shape == logits.shape
    assert torch.equal(found.logits[asked], logits[asked])


def test_a_survey_draws_nothing_at_random_and_depends_on_its_classes():
    maps, known = spots(), []
    logits = smooth(maps)
    for stakes in ({0: 1.0}, {0: 1.0}, {2: 1.0}, {0: 0.5, 2: 0.5}):
        torch.manual_seed(len(known))
        known.append(survey(maps, 20, lambda k: logits[k], stakes).kriging.known.tolist())
    assert known[0] == known[1]
    assert known[0] != known[2]
    assert known[3] not in (known[0], known[2])


@pytest.mark.parametrize("output", ["softmax", "sigmoid", "none"])
def test_a_smooth_score_is_known_from_a_quarter_of_the_masks(output):
    maps = spots(n=120)
    logits = smooth(maps) - 4
    found = survey(maps, 30, lambda k: logits[k], {1: 1.0}, output)
    weights = {"softmax": logits.softmax(dim=1), "sigmoid": logits.sigmoid(), "none": logits}[output][:, 1]
    exact, close = (torch.einsum("k,kij->ij", w, maps).flatten() for w in (weights, found.read(1).scores))
    assert float(torch.corrcoef(torch.stack([exact, close]))[0, 1]) > 0.999


def test_equal_maps_and_equal_scores_are_no_trouble():
    maps = spots(n=3).repeat(5, 1, 1)
    for logits in (torch.zeros(15, 3), torch.tensor([[40.0, 0.0, 0.0]]).repeat(15, 1)):
        found = survey(maps, 10, lambda k, logits=logits: logits[k], {0: 1.0})
        assert torch.allclose(found.logits, logits.double().to(found.logits), atol=1e-5)
        assert found.read(0).slopes.isfinite().all()


def test_maps_that_are_not_numbers_are_refused():
    maps = spots()
    maps[3, 2, 2] = math.nan
    with pytest.raises(ValueError, match="feature maps hold NaN or Inf"):
        survey(maps, 20, lambda k: smooth(maps)[k], {0: 1.0})


# -- the error


def test_the_expected_correlation_is_the_mean_one_of_errors_drawn():
    generator = torch.Generator().manual_seed(0)
    found, mixing = uniform(16), 0.02 * torch.randn(16, 16, generator=generator).double()
    draws = found + torch.randn(20_000, 16, generator=generator).double() @ mixing.T
    r = [float(torch.corrcoef(torch.stack([found, draw]))[0, 1]) for draw in draws[:4000]]
    assert 1 - expected_correlation(found, mixing @ mixing.T) == pytest.approx(1 - np.mean(r), rel=0.05)
    assert expected_correlation(torch.ones(16).double(), mixing @ mixing.T) is None
    along = torch.outer(found, found) + 1  # an error that only scales and shifts the map
    assert expected_correlation(found, along) == pytest.approx(1)


def test_errors_of_draws_from_the_process_are_as_large_as_expected():
    """Fields drawn from the prior itself: the true 1 − r is on average the expected one."""
    maps, generator, ratios = spots(n=80), torch.Generator().manual_seed(1), []
    flat = maps.flatten(1)
    apart, trend = distances(landmarks.descriptors(maps)), torch.ones(80, 1, dtype=torch.float64)
    factor = torch.linalg.cholesky(matern(apart, 2.0) + NUGGET * torch.eye(80, dtype=torch.float64))
    for _ in range(60):
        field = 3 + factor @ torch.randn(80, generator=generator, dtype=torch.float64)
        known = torch.randperm(80, generator=generator)[:24]
        fit = Kriging.fit(apart, trend, known, field[known])
        reading = landmarks.Reading(fit, field[known], bounded=False)
        error = MapError((Part(reading, flat, torch.ones(80).double()),), flat.sum(dim=0), 80, 24)
        found, true = reading.scores @ flat, field @ flat
        missed = 1 - float(torch.corrcoef(torch.stack([found, true]))[0, 1])
        ratios.append((missed, 1 - error.expected_correlation(found.view(6, 6), rectified=False)))
    missed, expected = np.array(ratios).T
    assert 0.7 < missed.mean() / expected.mean() < 1.4


@pytest.mark.parametrize("common", ["keep", "center", "project"])
def test_covariance_follows_the_map_through_the_removal_of_the_common_map(common):
    """Against the covariance of maps that were made with scores drawn around the interpolated ones."""
    maps, size = spots(n=12, size=3), 3
    flat, logits = maps.flatten(1), smooth(maps)
    found = survey(maps, 8, lambda k: logits[k], {0: 1.0}, "none")
    reading = found.read(0)
    error = MapError((Part(reading, flat, torch.ones(12).double()),), flat.sum(dim=0), 12, 8)
    factor = reading.variance * found.kriging.errors.times(torch.eye(12).double())
    live = torch.ones(1, 12, dtype=torch.bool)

    def made(weights: Tensor) -> Tensor:
        h = torch.einsum("k,kij->ij", weights, maps)[None]
        if common == "keep":
            return h.flatten()
        return framework.without_common_map(h, weights[None], maps[None], live, common).maps.flatten()

    base = made(reading.scores)
    effect = torch.stack(
        [made(reading.scores + step) - base for step in torch.eye(12).double()]
    )  # linear in the scores
    expected = effect.T @ factor @ effect
    assert torch.allclose(error.covariance(common), expected, atol=1e-9)
    assert base.numel() == size**2
