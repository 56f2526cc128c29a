"""Intervals: how far a mean over pictures can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from camlib.metrics.arrays import finite, pair

_AT_ONCE = 2**18
"""Drawn units that are held at the same time, 2 MiB."""


class Interval(NamedTuple):
    """An estimate with its lower and upper bound; unpacks as ``value, low, high``."""

    value: float
    low: float
    high: float


def bootstrap_interval(
    values: Sequence[float] | np.ndarray,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    statistic: Callable[[np.ndarray], float] = np.mean,
    units: Sequence[Any] | None = None,
) -> Interval:
    """Statistic of ``values`` with its percentile bootstrap interval, as (value, low, high).

    ``values`` holds one number a picture, [n]. Where a picture gives several numbers (four cells of one
    mosaic), ``units`` names the picture of each value, and whole pictures are drawn. The same seed gives
    the same interval. Raises ValueError for empty or non-finite values, a level outside (0, 1), no resample or units
    of another length.
    """
    sample = finite(values, "values").ravel()
    if sample.size == 0:
        raise ValueError("values is empty; expected at least one number")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; expected a number between 0 and 1, such as 0.95")
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; expected at least 1, such as 2000")
    names = np.arange(sample.size) if units is None else np.asarray(units)
    if len(names) != sample.size:
        raise ValueError(f"units has {len(names)} entries for {sample.size} values; give one a value")
    kinds, owner = np.unique(names, return_inverse=True)
    generator = np.random.default_rng(seed)
    estimate = _means_of_draws(sample, owner) if statistic is np.mean else _each_of_draws(sample, owner, statistic)
    estimates = np.concatenate([estimate(draws) for draws in _draws(generator, len(kinds), resamples)])
    low, high = np.quantile(estimates, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(sample)), float(low), float(high))


def _draws(generator: np.random.Generator, units: int, resamples: int) -> Iterator[np.ndarray]:
    """Numbers of drawn units [some resamples, units]; the parts hold the same numbers whatever their size."""
    part = max(1, _AT_ONCE // units)
    for start in range(0, resamples, part):
        yield generator.integers(units, size=(min(part, resamples - start), units))


def _means_of_draws(sample: np.ndarray, owner: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Mean over the values of drawn units, from each unit's sum and count: no value is copied."""
    sums, counts = np.bincount(owner, sample), np.bincount(owner)
    return lambda draws: sums[draws].sum(axis=1) / counts[draws].sum(axis=1)


def _each_of_draws(
    sample: np.ndarray, owner: np.ndarray, statistic: Callable[[np.ndarray], float]
) -> Callable[[np.ndarray], list[float]]:
    """Any statistic of the values of drawn units."""
    members = [np.flatnonzero(owner == unit) for unit in range(owner.max() + 1)]
    return lambda draws: [statistic(sample[np.concatenate([members[unit] for unit in draw])]) for draw in draws]


def paired_difference(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray, **options: Any) -> Interval:
    """Mean of ``a - b`` over the same pictures with its bootstrap interval, as (value, low, high).

    ``a`` and ``b`` are [n], in the same order of pictures; ``options`` go to `bootstrap_interval`. The
    difference is resolved at the chosen level if the interval leaves out 0. Raises ValueError for samples of
    different length.
    """
    first, second = pair(a, b)
    return bootstrap_interval(first - second, **options)


def mean_over_classes(values: Sequence[float] | np.ndarray, classes: Sequence[Any]) -> float:
    """Mean of the classes' means: how the pointing game is averaged (Zhang et al. 2018).

    ``values`` is [n], one number a picture and class; ``classes`` names the class of each. A frequent class
    weighs no more than a rare one. Raises ValueError for empty or non-finite values or classes of another length.
    """
    sample, names = finite(values, "values").ravel(), np.asarray(classes)
    if sample.size == 0 or len(names) != sample.size:
        raise ValueError(f"{sample.size} values and {len(names)} classes; expected one class a value, and at least one")
    return float(np.mean([sample[names == name].mean() for name in np.unique(names)]))
