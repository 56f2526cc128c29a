"""Rows that a study keeps as parquet."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd


def write(frame: pd.DataFrame, out: Path) -> None:
    """Keep the rows; the file is whole or not there."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    frame.to_parquet(temporary, engine="pyarrow", compression="zstd", index=False)
    temporary.replace(out)
