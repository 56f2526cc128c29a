"""Figures and tables as files: the same bytes for the same content, on every run."""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from camlib.compendium.png import compact

LARGEST_PNG = 400_000
RESOLUTIONS = (150, 125, 100)
"""Dots an inch that a figure is tried at until it is small enough."""


def figure_files(figure: Figure, item_id: str, vector: bool) -> dict[str, bytes]:
    """Bytes of a figure's files by name: .png and, with ``vector``, .pdf; ValueError for a picture over 400 KB."""
    files = {f"{item_id}.png": _png(figure, item_id)}
    if vector:
        files[f"{item_id}.pdf"] = _print(figure, "pdf", {"CreationDate": None})
    return files


def table_files(frame: pd.DataFrame, item_id: str) -> dict[str, bytes]:
    """Bytes of a table's files by name: .csv and .md."""
    return {f"{item_id}.csv": csv_bytes(frame), f"{item_id}.md": _frame_markdown(frame).encode()}


def _print(figure: Figure, kind: str, metadata: dict[str, Any], dpi: int = 150) -> bytes:
    """The figure in one format, without anything that changes from run to run."""
    buffer = io.BytesIO()
    quick = {"pil_kwargs": {"compress_level": 1}} if kind == "png" else {}  # camlib.compendium.png compresses it anew
    figure.savefig(buffer, format=kind, dpi=dpi, bbox_inches="tight", pad_inches=0.06, metadata=metadata, **quick)
    return buffer.getvalue()


def _png(figure: Figure, item_id: str) -> bytes:
    """PNG under 400 KB: exact if that fits, else with fewer levels a color, else with fewer dots."""
    for dpi in RESOLUTIONS:
        written = compact(_print(figure, "png", {"Software": None}, dpi), LARGEST_PNG, dpi)
        if len(written) <= LARGEST_PNG:
            return written
    raise ValueError(
        f"{item_id}: the picture takes {len(written) // 1000} KB, more than {LARGEST_PNG // 1000}; "
        f"show fewer or smaller photographs (cell= in plots.grid and plots.show)"
    )


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """Table as CSV; floats keep eight digits, which is all that float32 results hold."""
    return frame.to_csv(index=_has_index(frame), float_format="%.8g", lineterminator="\n").encode()


def _frame_markdown(frame: pd.DataFrame) -> str:
    """Table as Markdown; floats with four digits."""
    flat = frame.reset_index() if _has_index(frame) else frame
    titles = [" ".join(map(str, name)).strip() if isinstance(name, tuple) else str(name) for name in flat.columns]
    rows = [[_text(value) for value in row] for row in flat.itertuples(index=False, name=None)]
    return markdown_table(titles, rows) + "\n"


def _has_index(frame: pd.DataFrame) -> bool:
    """Whether the index says something."""
    return not isinstance(frame.index, pd.RangeIndex)


def _text(value: Any) -> str:
    """A table cell in words; nothing for what is missing."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4g}"
    return "" if value is None or value is pd.NA else str(value)


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown table; bars and line breaks in cells are escaped."""
    lines = [list(titles), ["---"] * len(titles), *rows]
    cells = [[re.sub(r"\s*\n\s*", " ", cell).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def write_file(path: Path, content: bytes) -> None:
    """Write to a temporary name of this process, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)


def sha256(content: bytes) -> str:
    """Digest of a file's content in hex."""
    return hashlib.sha256(content).hexdigest()
