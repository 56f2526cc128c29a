"""Rows become tables: a mean with its interval for each method and metric, and every difference between two methods.

Layers are never mixed: each has a section of its own, and a difference is formed within it, over the same pictures.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from camlib.data.datasets import Dataset
from camlib.evaluate import store
from camlib.evaluate.plan import TARGETS, Cell, Choice, Plan
from camlib.metrics import CONTROLS, METRICS, bootstrap_interval, paired_difference

COUNTED = tuple(status for status in store.STATUSES if status != store.OK)
"""What tables count beside the mean; the first of them has a value and is part of it."""


WHERE = ("layer", "metric")
"""What the rows of one run are never averaged over."""
PARTS = ("class", "cell", "photo")
"""What tells the rows of one picture apart: the first of these that the rows have."""


@dataclass(frozen=True, eq=False)
class Results:
    """What a run has found, as far as it has come.

    Attributes:
        rows: one row per picture, method, metric and class, see :data:`camlib.evaluate.store.COLUMNS`.
        table: mean with a 95 % bootstrap interval over pictures for each layer, metric and method or control; ``n``
            pictures with a value, and how many rows are degenerate (their value is part of the mean) or have none.
        differences: mean of a − b over the pictures that both have, with its interval, for every pair of methods and
            every method and control; ``better`` names one of them where the interval leaves out 0.
        pictures, finished: number of pictures of the data set, and of those that are finished.
        facts: the settings that all rows have in common.
    """

    rows: pd.DataFrame
    table: pd.DataFrame
    differences: pd.DataFrame
    pictures: int
    finished: int
    facts: dict[str, Any]

    @classmethod
    def read(cls, plan: Plan, dataset: Dataset, cells: Sequence[Cell], out: str | Path) -> Results:
        """The results in a folder that belong to a plan and to the pictures of a data set as they are now."""
        found = store.read(out, {cell.setting.key for cell in cells})
        order = {example.id: (place, example.version) for place, example in enumerate(dataset)}
        current = [order.get(p, (0, None))[1] == v for p, v in zip(found["picture"], found["version"], strict=True)]
        rows = found[np.array(current, dtype=bool)]
        places = {
            "layer": {name: i for i, name in enumerate(plan.layers)},
            "metric": {choice.label: i for i, choice in enumerate(plan.metrics)},
            "method": {name: i for i, name in enumerate(plan.judged)},
            "picture": {name: place for name, (place, _) in order.items()},
        }
        rows = rows.sort_values(
            [*places, "class"], key=lambda column: column.map(places[column.name]) if column.name in places else column
        )
        rows = rows[list(store.COLUMNS)].reset_index(drop=True)
        made = rows[["picture", "layer", "method", "metric"]].drop_duplicates()["picture"].value_counts()
        return cls(
            rows=rows,
            table=means(rows).drop(columns="values"),
            differences=differences(rows),
            pictures=len(dataset),
            finished=int((made == len(cells)).sum()),
            facts={
                "dataset": dataset.name,
                "network": plan.network.name,
                "verified": plan.network.verified,
                "target": plan.target,
                **plan.environment,
            },
        )

    def write(self, out: str | Path) -> list[Path]:
        """Write ``rows.csv``, ``table.csv``, ``differences.csv`` and ``table.md`` into a folder; the files' paths."""
        out = Path(out)
        frames = {"rows": self.rows, "table": self.table, "differences": self.differences}
        written = []
        for name, frame in frames.items():
            text = frame.to_csv(index=False, float_format="%.8g", lineterminator="\n")
            written.append(_write(out / f"{name}.csv", text))
        return [*written, _write(out / "table.md", self.markdown())]

    def failures(self, most: int = 10) -> list[str]:
        """A line for each kind of failure: how many pictures, one of them, why; the most frequent kinds first."""
        failed = self.rows[self.rows["status"].isin((store.CORRUPT, store.ERROR))]
        kind = failed["note"].str.replace(r"'[^']*'|\d+", "…", regex=True)  # names and numbers do not make a kind
        grouped = failed.groupby([failed["status"], kind])
        kinds = grouped.agg({"picture": ["nunique", "first"], "note": "first"})
        found = [(count, f"{count} x {status}, such as {picture}: {note}") for (status, _), (count, picture, note) in
                 zip(kinds.index, kinds.itertuples(index=False, name=None), strict=True)]  # fmt: skip
        lines = [line for _, line in sorted(found, key=lambda each: -each[0])]
        return lines[:most] + ([f"and {len(lines) - most} other kinds of failure"] if len(lines) > most else [])

    def markdown(self) -> str:
        """Both tables with what is needed to read them."""
        facts = self.facts
        preprocess = json.dumps(store.plain(facts["preprocess"]))
        lines = [
            f"# {facts['network']} on {facts['dataset']}",
            *(["**Not comparable:** the weights are not the published ones."] if facts["verified"] is False else []),
            f"{self.finished} of {self.pictures} pictures finished; explained: {TARGETS[facts['target']]} "
            f"(`{facts['target']}`). Means with 95 % bootstrap intervals over pictures, each drawn with all of its "
            f"classes; degenerate (flat) maps are part of the mean, rows without a value are not.",
            f"Weights sha256 {facts['weights'][:16]}, input {preprocess}, seed {facts['seed']}, {facts['dtype']} on "
            f"{facts['device']}, " + ", ".join(f"{name} {number}" for name, number in facts["versions"].items()) + ".",
        ]
        for layer in dict.fromkeys(self.table["layer"]):
            lines += [f"## Layer {layer}", _markdown(self.table, layer), "### Differences a − b over the same pictures"]
            lines += [_markdown(self.differences, layer)]
        names = dict.fromkeys(Choice.parse(label).name for label in self.table["metric"])
        lines += ["## What sways the metrics", "\n".join(f"- {name}: {METRICS[name].sways}" for name in names)]
        return "\n\n".join(lines) + "\n"


def means(
    rows: pd.DataFrame, where: Sequence[str] = WHERE, unit: str | None = "picture", **bootstrap: Any
) -> pd.DataFrame:
    """Mean with interval and counts for each method at each place, in the order of the rows.

    Args:
        rows: with the columns ``where``, method, value, status and the unit.
        where: columns that say what is never mixed; "metric" is followed by its better direction and its unit.
        unit: column of what a resample draws whole, see :func:`camlib.metrics.bootstrap_interval`; None: each row.
        bootstrap: level, resamples and seed.

    Returns:
        One row each: ``where``, method, mean, low, high, ``n`` units and ``values`` that the mean is made of, and how
        many rows are :data:`COUNTED`.
    """
    found = []
    for place, part in _groups(rows, [*where, "method"]):
        valued = part[part["value"].notna()]
        units = None if unit is None else valued[unit]
        interval = bootstrap_interval(valued["value"], units=units, **bootstrap) if len(valued) else [np.nan] * 3
        counts = part["status"].value_counts()
        found.append(
            _named([*where, "method"], place)
            | dict(zip(("mean", "low", "high"), interval, strict=True))
            | {"n": len(valued) if units is None else units.nunique(), "values": len(valued)}
            | {status: int(counts.get(status, 0)) for status in COUNTED}
        )
    names = [*_named([*where, "method"], [""] * (len(where) + 1)), "mean", "low", "high", "n", "values", *COUNTED]
    return pd.DataFrame(found, columns=names)


def differences(
    rows: pd.DataFrame,
    pairs: Sequence[tuple[str, str]] | None = None,
    where: Sequence[str] = WHERE,
    unit: str | None = "picture",
    **bootstrap: Any,
) -> pd.DataFrame:
    """a − b with its interval over what both have, for every pair of methods at each place.

    ``pairs``: (a, b); None for every two methods, and every method and control. Others as in :func:`means`.
    """
    if alone := [pair for pair in pairs or () if pair[0] == pair[1]]:
        raise ValueError(f"pairs has {alone[0]}: a method does not differ from itself; expected two methods a pair.")
    found = []
    for place, part in _groups(rows, list(where)):
        values = side_by_side(part, unit)
        units = None if unit is None else np.unique(values.index.get_level_values(unit), return_inverse=True)[1]
        columns = {name: values[name].to_numpy(dtype="float64") for name in values.columns}
        every_two = itertools.combinations(dict.fromkeys(part["method"]), 2)
        for a, b in pairs or [(a, b) for a, b in every_two if a not in CONTROLS]:
            if not {a, b} <= set(columns):
                continue
            both = ~(np.isnan(columns[a]) | np.isnan(columns[b]))
            if both.any():
                names = dict(zip(where, place, strict=True))
                pair = {name: columns[name][both] for name in (a, b)}
                drawn = None if units is None else units[both]
                found.append({**names, "a": a, "b": b, **_difference(pair, names.get("metric", ""), drawn, bootstrap)})
    return pd.DataFrame(found, columns=[*where, "a", "b", "difference", "low", "high", "n", "better"])


def side_by_side(rows: pd.DataFrame, unit: str | None = "picture") -> pd.DataFrame:
    """Values with a column for each method, and a row for each part of each picture; the unit is a level, too."""
    part = next((name for name in PARTS if name in rows and rows[name].notna().any()), None)
    index = list(dict.fromkeys(name for name in ("picture", part, unit) if name is not None))
    return rows.pivot_table(index=index, columns="method", values="value", sort=False)


def _difference(
    pair: Mapping[str, np.ndarray], metric: str, units: np.ndarray | None, bootstrap: dict[str, Any]
) -> dict[str, Any]:
    """What a row says of the two methods whose values are a ``pair``, with the number of each value's unit."""
    a, b = pair
    value, low, high = paired_difference(pair[a], pair[b], units=units, **bootstrap)
    better = ""
    if low > 0 or high < 0:
        better = {"higher": a if value > 0 else b, "lower": b if value > 0 else a}.get(_of_metric(metric)["better"], "")
    count = len(pair[a]) if units is None else len(np.unique(units))
    return {"difference": value, "low": low, "high": high, "n": count, "better": better}


def _groups(rows: pd.DataFrame, by: list[str]) -> Any:
    return rows.groupby(by, sort=False) if len(rows) else ()


def _named(names: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    """The values by name; behind the metric, its better direction and its unit."""
    found: dict[str, str] = {}
    for name, value in zip(names, values, strict=True):
        found[name] = value
        if name == "metric":
            found |= _of_metric(value)
    return found


def _of_metric(label: str) -> dict[str, str]:
    """What tables say of a metric; nothing of one that the registry does not know."""
    known = METRICS.get(Choice.parse(label).name)
    return {"better": known.better if known else "", "unit": known.unit if known else ""}


def _markdown(frame: pd.DataFrame, layer: str) -> str:
    part = frame[frame["layer"] == layer].drop(columns="layer")
    return part.map(_text).to_markdown(index=False, disable_numparse=True) if len(part) else "none"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.4g}"
    return str(value)


def _write(path: Path, text: str) -> Path:
    """Write under a temporary name, then rename: a reader finds a whole file."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text, encoding="utf-8")
    return temporary.replace(path)
