"""Decisive rows as they are kept, and what they say of a claim."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats

from camlib.evaluate.evidence.kept import EVIDENCE
from camlib.metrics import Interval

CLAIMS = {
    "boards": ("sca-accuracy-localizes", "own-sca-channel-attention-helps", "score-weights-background"),
    "photographs": (
        "sca-early-layers-edges",
        "sca-late-layers-objects",
        "sca-densenet-slightly",
        "score-weights-no-relation",
    ),
    "attacks": ("score-attack-weights", "sa-adversarial-verification", "sa-one-pixel"),
    "scenes": (
        "sa-product-attenuates",
        "own-sa-softmax-hides-class",
        "union-keeps-more-than-its-parts",
        "history-lfi-stability",
        "sca-densenet-slightly",
    ),
}
"""Study -> the claims that it counts for."""


class Row(NamedTuple):
    """One number: of a contrast in a part of a claim, on one picture (of a mosaic of four: their mean)."""

    claim: str
    part: str
    contrast: str
    picture: str
    value: float


def file_of(study: str, folder: Path = EVIDENCE) -> Path:
    """Where the rows of a study lie."""
    return folder / f"decisive-{study}.parquet"


def as_table(rows: Iterable[Row]) -> pa.Table:
    """Rows as they are stored; a value that is not finite, such as the share of an empty map, is left out."""
    frame = pd.DataFrame([row for row in rows if np.isfinite(row.value)], columns=Row._fields)
    frame["value"] = frame["value"].astype("float32")
    return pa.Table.from_pandas(frame, preserve_index=False)


@cache
def read(study: str, folder: Path = EVIDENCE) -> pd.DataFrame:
    """The rows of a study; FileNotFoundError with the command that makes them."""
    file = file_of(study, folder)
    if not file.is_file():
        raise FileNotFoundError(f"{file.name} does not exist. Make it: python -m camlib.evaluate.decisive {study}")
    return pq.read_table(file).to_pandas()


def of_claim(claim_id: str, folder: Path = EVIDENCE) -> pd.DataFrame:
    """The rows of one claim; ValueError for a claim that no study counts for."""
    found = [read(study, folder) for study, claims in CLAIMS.items() if claim_id in claims]
    if not found:
        raise ValueError(f"no rows decide {claim_id!r}; expected one of {sorted({*sum(CLAIMS.values(), ())})}")
    rows = pd.concat(found, ignore_index=True)
    return rows[rows["claim"] == claim_id]


def made(claim_id: str, folder: Path = EVIDENCE) -> bool:
    """Whether the rows of a claim exist."""
    files = [file_of(study, folder) for study, claims in CLAIMS.items() if claim_id in claims]
    return bool(files) and all(file.is_file() for file in files)


def intervals(claim_id: str, folder: Path = EVIDENCE) -> dict[tuple[str, str], Interval]:
    """Mean with its 95 % interval by Student's t over pictures, by (part, contrast)."""
    groups = of_claim(claim_id, folder).groupby(["part", "contrast"], sort=False)["value"]
    return {key: _interval(values.to_numpy(dtype=float)) for key, values in groups}


def units(claim_id: str, folder: Path = EVIDENCE) -> int:
    """Number of pictures that the intervals stand on: the smallest over parts and contrasts."""
    return int(of_claim(claim_id, folder).groupby(["part", "contrast"]).size().min())


def _interval(values: np.ndarray) -> Interval:
    half = float(stats.t.isf(0.025, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    mean = float(values.mean())
    return Interval(mean, mean - half, mean + half)
