"""Rows become tables: a mean with its interval for each method and metric, and every difference between two methods.

Layers are never mixed: each has a section of its own, and a difference is formed within it, over the same pictures.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
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
            table=means(rows),
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


def means(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean with interval and counts for each layer, metric and method, in the order of the rows."""
    found = []
    for (layer, metric, method), part in _groups(rows, ["layer", "metric", "method"]):
        valued = part[part["value"].notna()]
        metric_of = METRICS[Choice.parse(metric).name]
        mean, low, high = bootstrap_interval(valued["value"], units=_units(valued)) if len(valued) else [np.nan] * 3
        counts = part["status"].value_counts()
        found.append(
            {
                "layer": layer,
                "metric": metric,
                "better": metric_of.better,
                "unit": metric_of.unit,
                "method": method,
                "mean": mean,
                "low": low,
                "high": high,
                "n": valued["picture"].nunique(),
                **{status: int(counts.get(status, 0)) for status in COUNTED},
            }
        )
    names = ["layer", "metric", "better", "unit", "method", "mean", "low", "high", "n", *COUNTED]
    return pd.DataFrame(found, columns=names)


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """a − b with its interval for every two methods, and every method and control, of one layer and metric."""
    found = []
    for (layer, metric), part in _groups(rows, ["layer", "metric"]):
        values = part.pivot_table(index=["picture", "class"], columns="method", values="value", sort=False)
        for a, b in itertools.combinations(dict.fromkeys(part["method"]), 2):
            if a in CONTROLS or not {a, b} <= set(values.columns):
                continue
            both = values[[a, b]].dropna()
            if len(both):
                found.append({"layer": layer, "metric": metric, "a": a, "b": b, **_difference(both, metric)})
    return pd.DataFrame(found, columns=["layer", "metric", "a", "b", "difference", "low", "high", "n", "better"])


def _difference(both: pd.DataFrame, metric: str) -> dict[str, Any]:
    (a, b), pictures = both.columns, both.index.get_level_values("picture")
    units = None if pictures.is_unique else pictures
    value, low, high = paired_difference(both[a], both[b], units=units)
    better = ""
    if low > 0 or high < 0:
        better = a if (value > 0) == (METRICS[Choice.parse(metric).name].better == "higher") else b
    return {"difference": value, "low": low, "high": high, "n": pictures.nunique(), "better": better}


def _groups(rows: pd.DataFrame, by: list[str]) -> Any:
    return rows.groupby(by, sort=False) if len(rows) else ()


def _units(valued: pd.DataFrame) -> pd.Series | None:
    """The picture of each value, where a picture has several."""
    return None if valued["picture"].is_unique else valued["picture"]


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
