"""The rows as they are kept, and what they say."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from camlib import paths

OUT = paths.DATA / "evidence" / "budget.parquet"
COLUMNS = {
    "picture": "name of the file, or the number of the scene",
    "network": "name in the zoo",
    "layer": "layer of the maps",
    "choice": "how the scored channels were chosen, see CHOICES; exact: all of them",
    "part": "the budget is K/part passes",
    "passes": "masked pictures that are scored",
    "live": "K, channels that are not constant",
    "r": "correlation of the rectified map with the exact one",
    "expected": "correlation that the method itself expects, where it does",
    "seconds": "processor time: copy of the network, choice, interpolation, and passes/K of what all scores take",
}


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Median, 5th percentile and smallest r of each network, layer, choice and part, with n and mean passes."""
    found = rows[rows["choice"] != "exact"].groupby(["network", "layer", "choice", "part"], sort=False)
    return found.agg(
        n=("r", "size"), passes=("passes", "mean"), median=("r", "median"), low=("r", lambda r: r.quantile(0.05)),
        least=("r", "min"),
    ).reset_index()  # fmt: skip


def knowledge(rows: pd.DataFrame) -> pd.DataFrame:
    """How well the expected correlation knows the true one, by network, layer and part.

    ``spearman`` of 1 − expected with 1 − r over the pictures; ``ratio``, the median of (1 − r)/(1 − expected);
    ``speed``, the median of the exact scores' processor time over the budget's.
    """
    keys, found = ["network", "layer"], []
    exact = rows[rows["choice"] == "exact"].set_index([*keys, "picture"]).sort_index()["seconds"]
    for (network, layer, part), some in rows[rows["choice"] == "budget"].groupby([*keys, "part"], sort=False):
        missed, expected = 1 - some["r"], 1 - some["expected"]
        whole = exact.loc[network, layer].loc[some["picture"]].to_numpy()
        found.append(
            {"network": network, "layer": layer, "part": part, "n": len(some)}
            | {"spearman": missed.corr(expected, "spearman")}
            | {"ratio": (missed / expected).median(), "speed": float(np.median(whole / some["seconds"]))}
        )
    return pd.DataFrame(found)


def write(rows: Sequence[Mapping[str, Any]], record: Mapping[str, Any], out: Path = OUT) -> pd.DataFrame:
    """The rows as a Parquet file and its record beside it; returns them as a table."""
    frame = pd.DataFrame(rows)[list(COLUMNS)]
    small = dict.fromkeys(("r", "expected", "seconds"), "float32") | {"part": "int16"}
    frame = frame.astype(small | dict.fromkeys(("passes", "live"), "int32"))
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    frame.to_parquet(temporary, engine="pyarrow", compression="zstd", index=False)
    temporary.replace(out)
    replace_file(out.with_suffix(".json"), (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    return frame


def comparable(record: Mapping[str, Any], out: Path = OUT) -> dict[str, Any]:
    """The record of the rows that are there; ValueError where they were made with other pictures or settings."""
    read(out)
    earlier = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    for key in ("settings", "seeds", "threads"):
        if json.loads(json.dumps(record[key])) != earlier[key]:
            raise ValueError(
                f"{out.name} was made with {key} {earlier[key]}, these rows with {record[key]}: measure all."
            )
    skipped = earlier["pictures"]["skipped"]
    if record["pictures"]["skipped"] != skipped:
        raise ValueError(f"{out.name} was made with --skip {skipped}: give the same, or measure all.")
    return earlier


def added(
    rows: Sequence[Mapping[str, Any]], record: Mapping[str, Any], out: Path = OUT
) -> tuple[list[Mapping[str, Any]], dict[str, Any]]:
    """Rows and record with those of other populations that ``out`` holds, in the order in which they were made."""
    earlier = comparable(record, out)
    new = {(row["network"], row["layer"]) for row in rows}
    old = [row for row in read(out).to_dict("records") if (row["network"], row["layer"]) not in new]
    names = list(dict.fromkeys([*earlier["populations"], *record["populations"]]))
    command = record["command"].partition(" --pictures")[0] + f" --pictures N --only {' '.join(names)}"
    failed = [
        each for each in earlier["pictures"]["failures"] if each["population"] not in record["populations"]
    ] + record["pictures"]["failures"]
    each = _each(earlier) | _each(record)
    pictures = record["pictures"] | {"each": each, "failed": len(failed), "failures": failed}
    populations = earlier["populations"] | record["populations"]
    machines = dict.fromkeys([earlier["machine"], record["machine"]])
    joined = {"command": command, "populations": populations, "pictures": pictures, "machine": "; ".join(machines)}
    return [*old, *rows], dict(record) | joined


def _each(record: Mapping[str, Any]) -> dict[str, int]:
    """How many pictures each population has."""
    each = record["pictures"]["each"]
    return dict(each) if isinstance(each, Mapping) else dict.fromkeys(record["populations"], each)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)


def read(out: Path = OUT) -> pd.DataFrame:
    """The rows; FileNotFoundError says how to make them."""
    if not out.exists():
        raise FileNotFoundError(f"{out.name} is not there; python -m camlib.evaluate.budget --samples DIR makes it.")
    return pd.read_parquet(out, engine="pyarrow")
