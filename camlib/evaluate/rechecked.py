"""Rows that a notebook has measured and measures again in part, in data/rechecked.

A notebook that asks many pictures and shows one need not ask them all whenever it runs: it measures the one, which must
come out as it was kept, and takes the other rows from the file. With ``anew`` it asks all and keeps what it finds::

    python -m camlib.compendium.notebook_runner run 14_robustness -p anew true
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from camlib import paths

FOLDER = paths.DATA / "rechecked"
DIGITS = 6


def completed(
    name: str, rows: pd.DataFrame, keys: Sequence[str], anew: bool = False, tolerance: float = 5e-3
) -> pd.DataFrame:
    """All rows of a study, of which some were measured just now.

    Args:
        name: of the file, data/rechecked/NAME.csv.
        rows: what was measured: ``keys`` and columns of numbers, texts or true and false. With ``anew`` all rows.
        keys: columns that tell rows apart.
        anew: whether ``rows`` are kept, rounded to six decimals, in place of what the file holds.
        tolerance: by how much a number may differ from the kept one, relative to it where it is beyond 1: another
            processor rounds differently.

    Returns:
        The rows of the file, in its order; with ``anew`` ``rows`` as given.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: a row just measured is not in the file or differs from it, with the first of them and the command
            that measures all of them again; two rows with the same keys.
    """
    if rows.duplicated(list(keys)).any():
        raise ValueError(f"{name}: {', '.join(keys)} do not tell all rows apart.")
    file = FOLDER / f"{name}.csv"
    if anew:
        _write(rows, file)
        return rows
    if not file.is_file():
        raise FileNotFoundError(f"{file.name} does not exist in data/rechecked. Run the notebook with -p anew true.")
    kept = pd.read_csv(file)
    _compare(name, rows.set_index(list(keys)), kept.set_index(list(keys)), tolerance)
    return kept


def _compare(name: str, rows: pd.DataFrame, kept: pd.DataFrame, tolerance: float) -> None:
    advice = "What a method computes has changed: run the notebook with -p anew true and read its text again."
    if not rows.index.isin(kept.index).all():
        raise ValueError(f"{name}.csv has no row {rows.index[~rows.index.isin(kept.index)][0]}. {advice}")
    known = kept.loc[rows.index]
    for column in rows:
        now, then = rows[column], known[column]
        if pd.api.types.is_float_dtype(now):
            same = np.isclose(now, then, rtol=tolerance, atol=tolerance, equal_nan=True)
        else:
            same = (now == then).to_numpy()
        if not same.all():
            key = rows.index[~same][0]
            raise ValueError(f"{name}.csv, {key}: {column} was {then[key]} and is now {now[key]}. {advice}")


def _write(rows: pd.DataFrame, file: Path) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    rows.round(DIGITS).to_csv(temporary, index=False, lineterminator="\n")
    temporary.replace(file)
