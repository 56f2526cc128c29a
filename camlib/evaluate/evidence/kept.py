"""Rows as they are kept: columns, what is rounded, files that are whole or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from camlib import paths
from camlib.evaluate.evidence import judging
from camlib.evaluate.evidence.populations import METHODS

EVIDENCE = paths.DATA / "evidence"
PARTS = ("scenes", "photographs")
NAMES = ("network", "layer", "kind", "picture", "target", "method", "common")
"""What a row is about; no two rows agree in all of them."""
SHARES = (
    "energy",
    "on_objects",
    "extent",
    "cause",
    "alike_sum",
    "alike_class",
    "drop",
    "drop_half",
    "deletion",
    "insertion",
)
"""Numbers in [-1, 1], kept to 1/1000: a mean over hundreds of pictures does not feel it."""
MARKS = ("hit", "twins", "rise", "rise_half", "flat")
"""True or false, or not asked."""
FACTS = ("network", "kind", "picture", "target", "probability", "area", "effect", "objects", "right")
"""Of a picture and a class, in a file of their own: probability of the class, share of the area that it covers, by how
much its logit falls without its objects, number of objects; of a photograph whether the class is its label."""
STEPS = 1000


def as_table(rows: Sequence[dict[str, Any]] | pd.DataFrame) -> pa.Table:
    """Rows as they are stored, sorted, so that neighbors are alike and the same rows make the same bytes."""
    frame = pd.DataFrame(rows).reindex(columns=[*NAMES, *SHARES, *MARKS])
    order = {name: i for i, name in enumerate(METHODS)}
    keys = ["network", "layer", "kind", "common", "method", "picture", "target"]
    frame = frame.sort_values(keys, key=lambda column: column.map(order) if column.name == "method" else column)
    arrays = {}
    for name in NAMES:
        text = not pd.api.types.is_numeric_dtype(frame[name])
        arrays[name] = pa.array(frame[name].astype(str) if text else frame[name].astype("int32"))
    for name in SHARES:
        exact = frame[name].to_numpy(dtype="float64", na_value=np.nan)
        steps = np.rint(exact * STEPS)
        arrays[name] = pa.array(steps, from_pandas=True).cast(pa.int16())
    for name in MARKS:
        arrays[name] = pa.array(frame[name].astype(object).where(frame[name].notna(), None), pa.bool_())
    return pa.table(arrays)


def as_facts(facts: Sequence[dict[str, Any]] | pd.DataFrame) -> pa.Table:
    """Facts as they are stored."""
    frame = pd.DataFrame(facts).reindex(columns=FACTS).sort_values(["network", "kind", "picture", "target"])
    numbers = {"probability": "float32", "area": "float32", "effect": "float32", "objects": "float32"}
    frame = frame.dropna(axis="columns", how="all")
    kinds = {name: kind for name, kind in numbers.items() if name in frame}
    return pa.Table.from_pandas(frame.astype(kinds), preserve_index=False)


def write(table: pa.Table, file: Path) -> None:
    """The table as parquet, whole or not at all; whole numbers byte by byte, a sixth less than with dictionaries."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    numbers = [field.name for field in table.schema if pa.types.is_integer(field.type)]
    pq.write_table(
        table,
        temporary,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in table.column_names if name not in numbers],
        column_encoding=dict.fromkeys(numbers, "BYTE_STREAM_SPLIT"),
        row_group_size=1 << 20,
    )
    temporary.replace(file)


def read(part: str = "scenes", folder: Path = EVIDENCE, **chosen: Any) -> pd.DataFrame:
    """The rows of "scenes" or "photographs", with the names of the metrics (:func:`judging.with_metrics`).

    ``chosen`` keeps the rows with these values, each one value or a list: ``read(layer="last", method=["a", "b"])``.

    Raises:
        FileNotFoundError: no such rows yet, with the command that makes them.
        ValueError: an unknown part or column.
    """
    _known(part)
    if unknown := sorted(set(chosen) - set(NAMES)):
        raise ValueError(f"Rows have no column {unknown} to choose by; expected some of {NAMES}.")
    filters = [(name, "in", value if isinstance(value, list | tuple) else [value]) for name, value in chosen.items()]
    return judging.with_metrics(_read(part, folder, filters=filters or None))


def names(part: str = "scenes", folder: Path = EVIDENCE) -> pd.DataFrame:
    """What the rows are about, in the order of :func:`read`, without what was measured: a seventh of the time."""
    return _read(part, folder, columns=list(NAMES))


def column(metric: str, part: str = "scenes", folder: Path = EVIDENCE) -> pd.Series:
    """One metric of all rows, as :func:`read` has it; ValueError for one that rows do not have."""
    if metric not in (known := (*SHARES, *MARKS, *judging.DERIVED)):
        raise ValueError(f"metric={metric!r}: expected one of {known}.")
    sources = judging.DERIVED.get(metric)
    rows = _read(part, folder, columns=list(sources or [metric]))
    return judging.with_metrics(rows, [metric] if sources else [])[metric]


def _known(part: str) -> None:
    if part not in PARTS:
        raise ValueError(f"part={part!r}: expected one of {PARTS}.")


def _read(part: str, folder: Path, **options: Any) -> pd.DataFrame:
    _known(part)
    texts = [name for name in NAMES if name != "picture"]
    frame = pq.read_table(_existing(folder / f"{part}.parquet"), read_dictionary=texts, **options).to_pandas()
    return frame.assign(**{name: (frame[name] / STEPS).astype("float32") for name in SHARES if name in frame})


def read_facts(part: str = "scenes", folder: Path = EVIDENCE) -> pd.DataFrame:
    """The facts of each picture and class, see :data:`FACTS`."""
    return pq.read_table(_existing(folder / f"{part}-facts.parquet")).to_pandas()


def record(part: str = "scenes", folder: Path = EVIDENCE) -> dict[str, Any]:
    """How the rows were made: command, seeds, versions, machine, hours, what was passed over, what failed."""
    return json.loads(_existing(folder / f"{part}.json").read_text(encoding="utf-8"))


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise FileNotFoundError(
            f"{file.name} does not exist in {file.parent}. Make it: make evidence (it takes hours)."
        )
    return file
