"""Kriging: values known at a few places, interpolated to all others with their error.

A Gaussian process over places with given distances, a linear trend whose coefficients are not known beforehand
(universal kriging; Rasmussen and Williams 2006, eq. 2.41-2.42) and Matérn's covariance of smoothness 3/2. Interpolated
values are fixed linear combinations of the known ones, so one fit serves any number of columns (all classes).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Length scales that a fit chooses from, in mean distances."""
NUGGET = 1e-3
"""Share of the variance that no distance explains; it also lets two places coincide."""


def distances(points: Tensor) -> Tensor:
    """Euclidean distances of points [n, d], [n, n], divided by their mean; zeros where all points coincide."""
    squares = points.square().sum(dim=1)
    found = (squares[:, None] + squares - 2 * points @ points.T).clamp_(min=0).fill_diagonal_(0).sqrt_()
    return found / found.mean().clamp(min=torch.finfo(found.dtype).tiny)


def matern(distances: Tensor, length: float) -> Tensor:
    """Matérn's covariance of smoothness 3/2 and variance 1, (1 + u)·exp(−u) with u = √3·distance / length."""
    u = distances * (3**0.5 / length)
    return (-u).exp_().mul_(u.add_(1))


@dataclass(frozen=True, eq=False)
class Errors:
    """Covariance Σ [n, n] of what is not known of the values at n places, for variance 1, without forming it.

    Σ = prior − L·R' − R·L' between places that are ``open``, 0 at the others.

    Attributes:
        prior: [n, n].
        left, right: L and R, [n, m].
        open: places whose values are not known, bool [n].
    """

    prior: Tensor
    left: Tensor
    right: Tensor
    open: Tensor

    @classmethod
    def before(cls, prior: Tensor) -> Errors:
        """Where no value is known."""
        nothing = prior.new_zeros(len(prior), 0)
        return cls(prior, nothing, nothing, torch.ones(len(prior), dtype=torch.bool, device=prior.device))

    def times(self, columns: Tensor) -> Tensor:
        """Σ·columns, [n, p] -> [n, p]."""
        mask = self.open[:, None].to(columns)
        columns = columns * mask
        found = self.prior @ columns - self.left @ (self.right.T @ columns) - self.right @ (self.left.T @ columns)
        return found * mask

    def row(self, place: int) -> Tensor:
        """Row ``place`` of Σ, [n]."""
        if not self.open[place]:
            return torch.zeros_like(self.prior[place])
        found = self.prior[place] - self.left @ self.right[place] - self.right @ self.left[place]
        return found * self.open

    @property
    def variances(self) -> Tensor:
        """The diagonal of Σ, [n], at least 0."""
        return (self.prior.diagonal() - 2 * (self.left * self.right).sum(dim=1)).clamp(min=0) * self.open


@dataclass(frozen=True, eq=False)
class Kriging:
    """A fit: how the values at the known places become values everywhere.

    Attributes:
        known: indices of the m places whose values are known, int64 [m].
        length: the length scale that the fit chose.
        weights: [n, m]; a row holds the shares of the known values in the value of one place.
        precision: [m, m], the inverse covariance of the known values with the trend taken out, for variance 1.
        errors: covariance of what the interpolation misses, for variance 1.
    """

    known: Tensor
    length: float
    weights: Tensor
    precision: Tensor
    errors: Errors

    @classmethod
    def fit(cls, distances: Tensor, trend: Tensor, known: Tensor, values: Tensor) -> Kriging:
        """The fit whose length scale makes the known values likeliest (restricted maximum likelihood).

        Args:
            distances: between the n places, [n, n], float64.
            trend: q functions of the place that the values may follow, [n, q], linearly independent at the known ones.
            known: indices of the known places, int64 [m], m > q.
            values: at these places, [m].

        Raises:
            ValueError: m is not larger than q.
        """
        if len(known) <= trend.shape[1]:
            raise ValueError(
                f"{len(known)} known values do not determine {trend.shape[1]} trend coefficients and an error."
            )
        between, basis = distances[known][:, known], trend[known]
        tried = [_Solved.of(between, basis, length) for length in LENGTHS]
        solved = max(tried, key=lambda each: each.likelihood(values))
        prior = matern(distances, solved.length)
        across = prior[:, known]
        weights = across @ solved.precision + trend @ solved.coefficients
        open_ = torch.ones(len(distances), dtype=torch.bool).index_fill(0, known, False)
        # Var(f - Wv) = K - X W' - W X' + W (K_m + nugget) W', X = cov(f, v): for any weights that keep the trend
        rest = across - weights @ solved.within / 2
        weights[known] = torch.eye(len(known)).to(weights)
        return cls(known, solved.length, weights, solved.precision, Errors(prior, weights, rest, open_))

    def interpolate(self, values: Tensor) -> Tensor:
        """Values everywhere, [n, ...], of known ones [m, ...]; the known ones stay exactly what they are."""
        found = torch.tensordot(self.weights.to(values), values, dims=1)
        found[self.known] = values
        return found

    def leave_one_out(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """What each known value misses when the others predict it, [m], and the variance of that for variance 1, [m].

        In closed form (Dubrule 1983): the same numbers as m fits with the chosen length scale, each without one value.
        """
        own = self.precision.diagonal()
        return (self.precision @ values) / own, 1 / own

    def variance(self, values: Tensor) -> float:
        """The variance of the process: the mean of squared left-out errors over what they are for variance 1."""
        errors, unit = self.leave_one_out(values)
        return float((errors.square() / unit).mean())


@dataclass(frozen=True, eq=False)
class _Solved:
    """The linear algebra of one length scale between the m known places."""

    length: float
    within: Tensor  # covariance with the nugget [m, m]
    precision: Tensor  # its inverse with the trend taken out [m, m]
    coefficients: Tensor  # of the trend, by known value [q, m]
    determinant: Tensor  # logarithm of those that the restricted likelihood needs

    @classmethod
    def of(cls, between: Tensor, basis: Tensor, length: float) -> _Solved:
        within = matern(between, length)
        within.diagonal().add_(NUGGET)
        factor = torch.linalg.cholesky(within)
        inverse = torch.cholesky_inverse(factor)
        projected = basis.T @ inverse
        gram = torch.linalg.cholesky(projected @ basis)
        coefficients = torch.cholesky_solve(projected, gram)
        determinant = factor.diagonal().log().sum() + gram.diagonal().log().sum()
        return cls(length, within, inverse - projected.T @ coefficients, coefficients, determinant)

    def likelihood(self, values: Tensor) -> float:
        """Logarithm of the restricted likelihood with the variance at its best value, up to a constant."""
        freedom = self.precision.shape[0] - self.coefficients.shape[0]
        variance = (values @ self.precision @ values / freedom).clamp(min=torch.finfo(values.dtype).tiny)
        return float(-self.determinant - freedom / 2 * variance.log())
