"""Kriging against the textbook's linear system, solved place by place, and against refits with one value left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import null_space
from scipy.special import gamma, kv
from torch import Tensor

from camlib.engine.kriging import LENGTHS, NUGGET, Errors, Kriging, distances, matern

FEW = settings(max_examples=15, deadline=None)
SEEDS = st.integers(0, 10_000)


def places(seed: int, n: int = 18, m: int = 9) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(distances, trend of two columns, known places, values at all places)."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(n, 3, generator=generator, dtype=torch.float64)
    values = (3 * points[:, 0]).sin() + points[:, 1] + 0.1 * torch.randn(n, generator=generator, dtype=torch.float64)
    trend = torch.stack([torch.ones(n, dtype=torch.float64), points[:, 1]], dim=1)
    return distances(points), trend, torch.randperm(n, generator=generator)[:m], values


def textbook(apart: np.ndarray, trend: np.ndarray, known: list[int], length: float) -> tuple[np.ndarray, np.ndarray]:
    """Kriging weights [n, m] and error covariance [n, n] from the system with Lagrange multipliers, place by place."""
    kernel = lambda d: float((1 + 3**0.5 * d / length) * np.exp(-(3**0.5) * d / length))  # noqa: E731
    n, m, q = len(apart), len(known), trend.shape[1]
    system = np.zeros((m + q, m + q))
    for a, i in enumerate(known):
        for b, j in enumerate(known):
            system[a, b] = kernel(apart[i, j]) + (NUGGET if a == b else 0)
        system[a, m:] = system[m:, a] = trend[i]
    right = np.zeros((n, m + q))
    for x in range(n):
        right[x] = [*(kernel(apart[x, i]) for i in known), *trend[x]]
    solved = np.linalg.solve(system, right.T).T
    covariance = np.array([[kernel(apart[x, y]) - right[x] @ solved[y] for y in range(n)] for x in range(n)])
    return solved[:, :m], covariance


def test_distances_are_euclidean_and_their_mean_is_one():
    points = torch.rand(7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.tensor([[float((a - b).norm()) for b in points] for a in points], dtype=torch.float64)
    assert torch.allclose(distances(points), expected / expected.mean(), atol=1e-7)
    assert not distances(points[:1].expand(4, -1)).any()


@pytest.mark.parametrize("length", [0.5, 3.0])
def test_covariance_is_materns_of_smoothness_three_halves(length):
    far = np.linspace(0.01, 4, 20)
    u = np.sqrt(3) * far / length
    expected = 2 ** (1 - 1.5) / gamma(1.5) * u**1.5 * kv(1.5, u)  # Rasmussen and Williams, eq. 4.14
    np.testing.assert_allclose(matern(torch.from_numpy(far), length), expected, rtol=1e-12)
    assert matern(torch.zeros(1), length) == 1


@FEW
@given(SEEDS)
def test_weights_and_errors_are_the_textbooks(seed):
    apart, trend, known, values = places(seed)
    fit = Kriging.fit(apart, trend, known, values[known])
    weights, covariance = textbook(apart.numpy(), trend.numpy(), known.tolist(), fit.length)
    hidden = fit.errors.open.numpy()
    np.testing.assert_allclose(fit.weights.numpy()[hidden], weights[hidden], atol=1e-9)
    assert torch.equal(fit.interpolate(values[known])[known], values[known])
    columns = torch.rand(len(apart), 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    covariance[~hidden], covariance[:, ~hidden] = 0, 0
    np.testing.assert_allclose(fit.errors.times(columns), covariance @ columns.numpy(), atol=1e-9)
    np.testing.assert_allclose(fit.errors.variances, covariance.diagonal(), atol=1e-9)
    np.testing.assert_allclose(fit.errors.row(3), covariance[3], atol=1e-9)


@FEW
@given(SEEDS)
def test_left_out_errors_are_those_of_refits_without_the_value(seed):
    apart, trend, known, values = places(seed)
    fit = Kriging.fit(apart, trend, known, values[known])
    errors, unit = fit.leave_one_out(values[known])
    for a, place in enumerate(known.tolist()):
        others = [i for i in known.tolist() if i != place]
        weights, covariance = textbook(apart.numpy(), trend.numpy(), others, fit.length)
        missed = float(values[place]) - float(weights[place] @ values[others].numpy())
        assert float(errors[a]) == pytest.approx(missed, abs=1e-8)
        assert float(unit[a]) == pytest.approx(covariance[place, place] + NUGGET, abs=1e-8)
    assert fit.variance(values[known]) == pytest.approx(float((errors**2 / unit).mean()))


@FEW
@given(SEEDS)
def test_the_length_is_the_likeliest_of_contrasts_without_the_trend(seed):
    apart, trend, known, values = places(seed)
    free = null_space(trend[known].numpy().T)  # what no trend can reach
    contrasts = free.T @ values[known].numpy()

    def logarithm(length: float) -> float:
        within = matern(apart[known][:, known], length).numpy() + NUGGET * np.eye(len(known))
        projected = free.T @ within @ free
        variance = contrasts @ np.linalg.solve(projected, contrasts) / len(contrasts)
        return -0.5 * (len(contrasts) * np.log(variance) + np.linalg.slogdet(projected)[1])

    assert Kriging.fit(apart, trend, known, values[known]).length == max(LENGTHS, key=logarithm)


def test_a_trend_is_found_everywhere():
    apart, trend, known, _ = places(3)
    values = trend @ torch.tensor([2.0, -5.0], dtype=torch.float64)
    fit = Kriging.fit(apart, trend, known, values[known])
    assert torch.allclose(fit.interpolate(values[known]), values)


def test_columns_are_interpolated_as_each_alone_and_keep_their_type():
    apart, trend, known, values = places(4)
    fit = Kriging.fit(apart, trend, known, values[known])
    pair = torch.stack([values, values.square()], dim=1)[known]
    assert torch.allclose(fit.interpolate(pair)[:, 1], fit.interpolate(pair[:, 1]))
    assert fit.interpolate(pair.float()).dtype == torch.float32


def test_too_few_values_for_the_trend_are_refused():
    apart, trend, known, values = places(5)
    with pytest.raises(ValueError, match="2 known values do not determine 2 trend coefficients"):
        Kriging.fit(apart, trend, known[:2], values[known[:2]])


def test_before_any_value_is_known_the_errors_are_the_prior():
    prior = matern(places(6)[0], 2.0)
    errors = Errors.before(prior)
    assert torch.equal(errors.times(torch.eye(len(prior), dtype=torch.float64)), prior)
    assert torch.equal(errors.row(2), prior[2])
