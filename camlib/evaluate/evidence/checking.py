"""Rows drawn at random are made again and compared, so that kept numbers cannot go stale unseen."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from camlib.evaluate.evidence import kept, scenes
from camlib.evaluate.evidence.making import network_of
from camlib.evaluate.evidence.populations import CLASS_MAPS, PIXEL_MAPS

TOLERANCE = 0.003
"""Largest difference of a share that another processor's rounding is allowed: a kept share is rounded to 1/1000."""


class Difference(NamedTuple):
    """A number that is not what was kept."""

    row: dict[str, Any]
    column: str
    kept: Any
    found: Any


def draw(count: int, file: Path = kept.EVIDENCE / "scenes.parquet") -> pd.DataFrame:
    """``count`` rows of class activation maps and gradients of pixels, drawn with a seed that is the file's own digest.

    Rows that change draw others. RISE and Mask are left out: each costs more than all other draws together.
    """
    rows = kept.read("scenes", file.parent)
    rows = rows[rows["method"].isin([*CLASS_MAPS, *PIXEL_MAPS])]
    seed = hashlib.sha256(file.read_bytes()).hexdigest()
    return rows.iloc[sorted(random.Random(seed).sample(range(len(rows)), count))]


def differences(drawn: pd.DataFrame) -> list[Difference]:
    """What differs where the drawn rows are made again; nothing if all is well."""
    return [found for row in drawn.to_dict("records") for found in _compared(row)]


def _compared(row: dict[str, Any]) -> list[Difference]:
    """One row against the same row made anew."""
    net = network_of(row["network"])
    (case,) = scenes.cases(net, row["kind"], [row["picture"]])
    asked = [("feature-map", {}), (row["method"], {} if row["common"] == "keep" else {"common": row["common"]})]
    (maps,) = scenes.explained(net, row["layer"], [case], asked)
    made = scenes.rows_of(net, row["layer"], row["kind"], case, maps, scenes.scorer(net))
    names = ("method", "common", "target")
    fresh = next(each for each in reversed(made) if all(each[name] == row[name] for name in names))
    place = {name: row[name] for name in (*kept.NAMES, "drop", "drop_half")}
    found = [Difference(place, name, row[name], fresh.get(name)) for name in (*kept.SHARES, *kept.MARKS)]
    return [each for each in found if not _same(each.kept, each.found) and not _turned_by_rounding(each)]


def _same(old: Any, new: Any) -> bool:
    if pd.isna(old) or new is None:
        return pd.isna(old) and new is None
    return old == new if isinstance(new, bool) else abs(old - new) <= TOLERANCE


def _turned_by_rounding(each: Difference) -> bool:
    """Whether a probability that neither drops nor rises by more than rounding is said to rise once and once not."""
    return each.column.startswith("rise") and each.row["drop" + each.column.removeprefix("rise")] <= TOLERANCE
