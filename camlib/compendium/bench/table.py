"""The rows of a measurement: their columns and order, what is composed of them, and the files that keep them."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from camlib import paths
from camlib.compendium.bench.cases import CASES
from camlib.compendium.bench.peers import GRADIENT
from camlib.compendium.bench.subjects import SETUPS

COLUMNS = (
    "case", "network", "layer", "library", "setting", "run", "value", "unit", "ratio", "passes", "timed",
)  # fmt: skip
"""Columns of the rows. ``value`` (s, MB, or the correlation r) is that of the whole job, ``ratio`` divides it by that
of camlib in the same round. The job has ``passes`` of the whole network; ``timed`` ran, and their time is scaled."""
COMPOSED = "fastest peers"
OUT = paths.DATA / "bench.csv"


def combination(rows: pd.DataFrame, network: str, case: str) -> pd.DataFrame:
    """One row: the fastest peer for each of the six methods that peers have, for five classes one by one.

    Composed of the medians of the network's measured rows; no row where a method was not measured. The ratio is to
    camlib's time in ``case``: "six-methods", the same ones, or "seven-methods", where SA-CAM, which no peer has, is
    camlib's work alone.
    """
    of_network = rows[(rows["network"] == network) & (rows["unit"] == "s")]
    ours = of_network[(of_network["case"] == case) & (of_network["library"] == "camlib")]
    peers = of_network[of_network["case"].isin(needed := [*GRADIENT, "ablation-cam", "score-cam"])]
    peers = peers[~peers["library"].isin(["camlib", "limit"])]
    medians = peers.groupby(["case", "library", "setting"])["value"].median().groupby("case").min()
    if ours.empty or not set(needed) <= set(medians.index):
        return rows.iloc[:0]
    value, first = 5 * float(medians.sum()), ours.iloc[:1]
    words = {"library": COMPOSED, "setting": "six methods, five classes, composed", "value": value}
    counts = {"passes": 5 * first["passes"], "timed": 0, "ratio": value / float(ours["value"].median())}
    return first.assign(**words, **counts)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Medians over the rounds, one line for each case, network, layer, library, setting and unit, in their order.

    Columns besides those: ``value`` and ``ratio`` (medians), ``low`` and ``high`` (smallest and largest ratio),
    ``runs``, ``passes``, ``timed``.
    """
    keys = ["case", "network", "layer", "library", "setting", "unit"]
    found = rows.groupby(keys, sort=False, dropna=False)
    return found.agg(
        value=("value", statistics.median), ratio=("ratio", "median"), low=("ratio", "min"), high=("ratio", "max"),
        runs=("run", "size"), passes=("passes", "first"), timed=("timed", "first"),
    ).reset_index()  # fmt: skip


def read(out: Path = OUT) -> tuple[pd.DataFrame, dict[str, Any]]:
    """:func:`summary` of a measurement and its machine; FileNotFoundError says how to make one."""
    if not (out.exists() and _beside(out).exists()):
        raise FileNotFoundError(
            f"{out.name} or {_beside(out).name} is not there; `make bench` measures and writes both."
        )
    return summary(pd.read_csv(out)), json.loads(_beside(out).read_text(encoding="utf-8"))


def earlier(out: Path, facts: Mapping[str, Any], cases: Sequence[str], networks: Sequence[str]) -> pd.DataFrame:
    """Rows at ``out`` that a measurement of these cases and networks leaves as they are.

    Raises ValueError where there are such rows and they come from another machine or another kind of run.
    """
    if not out.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    rows, beside = pd.read_csv(out), _beside(out)
    renewed = [name for case in cases for name in (GRADIENT if case == "gradient" else [case])]
    rest = rows[~(rows["case"].isin(renewed) & rows["network"].isin(networks))]
    before = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else None
    if len(rest) and before != dict(facts):
        raise ValueError(
            f"{out.name} holds other cases, measured under {before}; this run is under {dict(facts)}. Measure all "
            f"cases together (no --only, no --networks), or give another file with --out."
        )
    return rest


def renewed(rows: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """``measured``, and those of the earlier ``rows`` whose case was not measured on their network.

    A case may bring rows of another one: the pilot of the batches is measured wherever a best batch is needed.
    """
    again = pd.MultiIndex.from_frame(rows[["case", "network"]]).isin(
        pd.MultiIndex.from_frame(measured[["case", "network"]])
    )
    return pd.concat([part for part in (rows[~again], measured) if len(part)], ignore_index=True)


def save(rows: pd.DataFrame, facts: Mapping[str, Any], out: Path) -> pd.DataFrame:
    """Write rows, in the order of cases, and the machine beside them; returns the rows with those composed of them."""
    rows = rows[rows["library"] != COMPOSED]
    composed = [
        combination(rows, network, case)
        for network in rows["network"].unique()
        for case in ("six-methods", "seven-methods")
    ]
    rows = pd.concat([rows, *[row for row in composed if len(row)]], ignore_index=True)[list(COLUMNS)]
    rows = rows.sort_values(["network", "case"], key=_places, kind="stable", ignore_index=True)
    _replace(out, rows.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    _replace(_beside(out), json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return rows


def _beside(out: Path) -> Path:
    """Where the machine of a table is described."""
    return out.with_name(f"{out.stem}-machine.json")


def _places(column: pd.Series) -> pd.Series:
    """Cases and networks in the order in which this module names them."""
    order = [name for case in CASES for name in (GRADIENT if case == "gradient" else (case,))]
    places = {name: place for place, name in enumerate([*order, *SETUPS])}
    return column.map(lambda name: places.get(name, len(places)))


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
