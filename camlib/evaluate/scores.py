"""What is read off scored rows: means with their intervals, paired differences, bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from camlib.evaluate.table import COUNTED, PARTS, differences, means
from camlib.metrics import Interval
from camlib.plots import bars_with_intervals

PLACE = ("network", "layer", "metric")
"""What is never averaged over: a method has one mean for each of these."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Rows of numbers, one a picture x method x class x layer x network x metric, and the questions they answer.

    Attributes:
        rows: network, layer, metric, method, picture, class, class_name, probability, value, status and note; of
            mosaics also cell and photo. ``value`` is NaN where ``status`` says why there is none.
        unit: column of what a resample draws whole: "picture", or "photo" where photographs stand in several mosaics;
            None: every row by itself.
        seed, level: of the bootstrap, see :func:`camlib.metrics.bootstrap_interval`.

    Raises:
        ValueError: a column is missing, no row, a unit that some rows do not have, or two rows for one number.
    """

    rows: pd.DataFrame
    unit: str | None = "picture"
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        needed = [*PLACE, "method", "picture", "value", "status", *([] if self.unit is None else [self.unit])]
        if missing := [name for name in needed if name not in self.rows]:
            raise ValueError(f"The rows have no column {missing}; their columns are {list(self.rows)}.")
        if self.rows.empty:
            raise ValueError("There is no row; score at least one explanation.")
        if self.unit is not None and self.rows[self.unit].isna().any():
            raise ValueError(f"{self.rows[self.unit].isna().sum()} rows have no {self.unit!r}; choose another unit.")
        key = [name for name in (*PLACE, "method", "picture", *PARTS) if name in self.rows]
        if (twice := self.rows.duplicated(key)).any():
            first = self.rows.loc[twice, key].iloc[0].to_dict()
            raise ValueError(f"Two rows stand for one number: {first}. Tell them apart, e.g. by another method name.")

    def __repr__(self) -> str:
        counted = (f"{self.rows[name].nunique()} {name}s" for name in ("method", "picture", *PLACE))
        return f"Scores({len(self.rows)} rows: {', '.join(counted)}; unit {self.unit})"

    def __add__(self, other: Scores) -> Scores:
        """The rows of both: another network, layer or metric; unit, seed and level are those of the first."""
        return replace(self, rows=pd.concat([self.rows, other.rows], ignore_index=True))

    def __radd__(self, other: object) -> Scores:
        """So that ``sum`` of several scores works, which begins with 0."""
        return self if other == 0 else NotImplemented

    def at(self, **chosen: Any) -> Scores:
        """The rows with these values, each one value or a list: ``scores.at(layer="last", method=["a", "b"])``."""
        kept = self.rows
        for name, value in chosen.items():
            if name not in kept:
                raise ValueError(f"The rows have no column {name!r}; their columns are {list(kept)}.")
            values = list(value) if isinstance(value, list | tuple | set) else [value]
            if not kept[name].isin(values).any():
                raise ValueError(f"No row has {name}={value!r}; there are {list(kept[name].unique())}.")
            kept = kept[kept[name].isin(values)]
        return replace(self, rows=kept)

    def with_unit(self, unit: str | None) -> Scores:
        """The same rows with another unit of the bootstrap."""
        return replace(self, unit=unit)

    def means(self) -> pd.DataFrame:
        """One row a method and place: network, layer, metric, method, mean, low, high, n, values and counts.

        ``n`` units and ``values`` are what the mean is made of. A degenerate map has the value that its metric defines
        for an empty map and counts in the mean; a picture without a box of the class has no value.
        """
        found = means(self.rows, PLACE, self.unit, seed=self.seed, level=self.level)
        return found.drop(columns=["better", "unit"])

    def table(self) -> pd.DataFrame:
        """One row a method: mean, low, high, n and degenerate; what has no value is counted where it occurs.

        Where there are several layers, networks or metrics, each of these columns is divided among them, so that
        ``table()["mean"]`` has methods in rows and layers in columns.
        """
        found = self.means()
        columns = ["mean", "low", "high", "n", COUNTED[0], *(name for name in COUNTED[1:] if found[name].any())]
        several = sorted(_several(found), key=("layer", "network", "metric").index)
        if not several:
            return found.set_index("method")[columns]
        methods = found["method"].unique()  # pivots sort; all keeps the order in which it appears in the rows
        places = found[several].drop_duplicates().sort_values(several, key=lambda names: pd.factorize(names)[0])
        order = pd.MultiIndex.from_frame(places) if len(several) > 1 else pd.Index(places[several[0]])
        wide = {name: found.pivot(index="method", columns=several, values=name) for name in columns}
        return pd.concat({name: part.reindex(index=methods, columns=order) for name, part in wide.items()}, axis=1)

    def difference(self, method: str, rivals: str | Sequence[str] | None = None) -> Interval | pd.DataFrame:
        """Mean of ``method`` minus a rival over what both have, with its interval: paired, whole units drawn.

        Args:
            method: its name.
            rivals: one name; or several, None for all others.

        Returns:
            For one rival the :class:`camlib.metrics.Interval` of :func:`camlib.metrics.paired_difference`. For several
            a table with one row each: network, layer and metric where there are several of them, rival, mean, low,
            high, ``n`` units, and as ``better`` the better of the two by the metric where the interval leaves out 0.

        Raises:
            ValueError: an unknown name; for one rival several networks, layers or metrics (see :meth:`at`); nothing
                that both have.
        """
        known = list(self.rows["method"].unique())
        asked = known if rivals is None else [rivals] if isinstance(rivals, str) else list(rivals)
        names = [name for name in asked if name != method]
        if unknown := [name for name in (method, *names) if name not in known]:
            raise ValueError(f"No method {', '.join(map(repr, unknown))} among the rows; they have {known}.")
        if not names:
            raise ValueError(f"{method!r} has no rival but itself; the rows have {known}.")
        if isinstance(rivals, str) and _several(self.rows):
            raise self._too_many("The difference of two methods is one interval")
        pairs = [(method, rival) for rival in names]
        found = differences(self.rows, pairs, PLACE, self.unit, seed=self.seed, level=self.level)
        if found.empty:
            raise ValueError(f"{method!r} and {names} have no picture and class in common, so nothing can be paired.")
        if isinstance(rivals, str):
            return Interval(*map(float, found.loc[0, ["difference", "low", "high"]]))
        found = found.rename(columns={"b": "rival", "difference": "mean"})
        return found[[*_several(found), "rival", "mean", "low", "high", "n", "better"]]

    def plot(self, chance: float | None = None, **options: Any) -> Figure:
        """Bars with intervals, one a method, colored by network (or layer, or metric) where there are several.

        ``chance`` draws a line; ``options`` go to :func:`camlib.plots.bars_with_intervals` (title, xlabel, ax). Raises
        ValueError where more than one of network, layer and metric varies.
        """
        several = _several(self.rows)
        if len(several) > 1:
            raise self._too_many("Bars are colored by one of network, layer and metric")
        metric = self.rows["metric"].iloc[0]
        said_by_the_chart = (metric, self.level) == ("grid-pointing-game", 0.95)
        if several != ["metric"] and not said_by_the_chart:
            options.setdefault("xlabel", f"{f'mean {metric}'.strip()}, {100 * self.level:g} % interval")
        return bars_with_intervals(self.means(), group=(several or ["network"])[0], chance=chance, **options)

    def _too_many(self, what: str) -> ValueError:
        several = _several(self.rows)
        example = f"{several[0]}={self.rows[several[0]].iloc[0]!r}"
        return ValueError(f"{what}, but the rows differ in {' and '.join(several)}; choose, e.g. scores.at({example}).")


def _several(rows: pd.DataFrame) -> list[str]:
    """Which of network, layer and metric are more than one."""
    return [name for name in PLACE if rows[name].nunique() > 1]
