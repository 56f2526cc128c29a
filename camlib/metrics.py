"""Numbers that judge a heatmap, and the intervals that go with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata


class Interval(NamedTuple):
    """An estimate with its lower and upper bound; unpacks as ``value, low, high``."""

    value: float
    low: float
    high: float


def grid_pointing_share(heatmap: Any, cell_index: int, rows: int, columns: int) -> float:
    """Share of the positive attribution that lies inside one cell of a grid mosaic.

    ``heatmap`` is [h, w], at any resolution and on any scale; negative values count as 0. Cells are
    counted row by row from the top left. Where h or w is no multiple of the grid, a pixel that two
    cells share counts in proportion to its overlap. Returns a float in [0, 1]; chance is
    1 / (rows * columns). A map without positive values scores 0.0: count those with
    ``Explanation.degenerate``. Raises ValueError for a map that is not finite and 2-D or a cell outside
    the grid. Grid pointing game: Böhle et al. 2021.
    """
    values = _finite(heatmap, "heatmap")
    if values.ndim != 2:
        raise ValueError(f"heatmap has shape {values.shape}; expected [h, w]: pass one map at a time")
    if rows < 1 or columns < 1 or not 0 <= cell_index < rows * columns:
        raise ValueError(
            f"cell_index {cell_index} is not in a {rows} x {columns} grid; "
            f"cells are counted row by row from 0 to {rows * columns - 1}"
        )
    positive = values.clip(min=0)
    total = positive.sum()
    if total == 0:
        return 0.0
    row, column = divmod(cell_index, columns)
    inside = _overlap(values.shape[0], row, rows) @ positive @ _overlap(values.shape[1], column, columns)
    return float(inside / total)


def pearson(a: Any, b: Any) -> float:
    """Pearson correlation of two maps of the same shape, in [-1, 1].

    A constant map has no correlation with anything: the result is then 0.0, never NaN. Raises
    ValueError for maps of different shape or with values that are not finite.
    """
    first, second = _pair(a, b)
    return _correlation(first.ravel(), second.ravel())


def spearman(a: Any, b: Any) -> float:
    """Spearman rank correlation of two maps of the same shape, in [-1, 1].

    Ties share their mean rank. A constant map gives 0.0, never NaN. Raises ValueError as `pearson` does.
    """
    first, second = _pair(a, b)
    return _correlation(rankdata(first), rankdata(second))


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
    the same interval. Raises ValueError for empty or non-finite values, a level outside (0, 1) or units of
    another length.
    """
    sample = _finite(values, "values").ravel()
    if sample.size == 0:
        raise ValueError("values is empty; expected at least one number")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; expected a number between 0 and 1, such as 0.95")
    names = np.arange(sample.size) if units is None else np.asarray(units)
    if len(names) != sample.size:
        raise ValueError(f"units has {len(names)} entries for {sample.size} values; give one a value")
    kinds, owner = np.unique(names, return_inverse=True)
    members = [np.flatnonzero(owner == kind) for kind in range(len(kinds))]
    generator = np.random.default_rng(seed)
    draws = generator.integers(len(members), size=(resamples, len(members)))
    estimates = [statistic(sample[np.concatenate([members[unit] for unit in draw])]) for draw in draws]
    low, high = np.quantile(estimates, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(sample)), float(low), float(high))


def paired_difference(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray, **options: Any) -> Interval:
    """Mean of ``a - b`` over the same pictures with its bootstrap interval, as (value, low, high).

    ``a`` and ``b`` are [n], in the same order of pictures; ``options`` go to `bootstrap_interval`. The
    difference is resolved at the chosen level if the interval leaves out 0. Raises ValueError for samples of
    different length.
    """
    first, second = _pair(a, b)
    return bootstrap_interval(first - second, **options)


def _overlap(size: int, index: int, parts: int) -> np.ndarray:
    """Fraction of each of ``size`` pixels that lies in part ``index`` of ``parts`` equal parts, [size]."""
    edges = np.arange(size + 1)
    low, high = index * size / parts, (index + 1) * size / parts
    return np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson correlation of two vectors; 0.0 where one of them is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _pair(a: Any, b: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two finite float64 arrays of one shape."""
    first, second = _finite(a, "a"), _finite(b, "b")
    if first.shape != second.shape:
        raise ValueError(f"a has shape {first.shape} and b {second.shape}; expected the same shape")
    return first, second


def _finite(values: Any, name: str) -> np.ndarray:
    """``values`` as a float64 array; ValueError if something in it is not finite."""
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinite values; expected finite numbers only")
    return array
