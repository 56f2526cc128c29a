"""The findings that a reader should remember: sentences of highlights.toml, their numbers from the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from camlib.compendium.items import read_table
from camlib.compendium.templates import fill
from camlib.compendium.verdicts import decided, evidence
from camlib.evaluate.evidence.populations import SCENE_NETWORKS

FILE = "highlights.toml"
PLACE = {"layer": "last", "kind": "several", "common": "keep"}
"""What a value is of, where it does not say so."""


def highlights() -> list[str]:
    """One line a finding: the sentence with its numbers, and its claim with the verdict."""
    return [_line(number, entry) for number, entry in enumerate(read_table(FILE)["finding"], start=1)]


def _line(number: int, entry: Mapping[str, Any]) -> str:
    values = {name: value_of(evidence(), **asked) for name, asked in entry["values"].items()}
    text = fill(entry["text"], values, f"finding {number} in {FILE}").replace("-0.", "\N{MINUS SIGN}0.")
    verdict = f" (`{entry['claim']}`: {decided(entry['claim']).text})" if "claim" in entry else ""
    return f"{number}. {text}{verdict}."


def value_of(rows: pd.DataFrame, *, metric: str, method: str, minus: str | None = None, **place: str) -> float:
    """Mean of a metric over networks, each with the mean over its pictures; ``minus``: of the difference to a rival.

    ``place``: layer, kind, common, and network where one is meant; :data:`PLACE` else.
    """
    chosen = PLACE | {"network": [*SCENE_NETWORKS]} | place

    def mean(name: str) -> float:
        kept = rows[rows["method"] == name]
        for column, value in chosen.items():
            kept = kept[kept[column].isin([value] if isinstance(value, str) else value)]
        if kept.empty:
            raise ValueError(f"No row of {name} at {chosen}; see data/evidence.")
        return float(kept.groupby("network")[metric].mean().mean())

    return mean(method) - (mean(minus) if minus else 0.0)
