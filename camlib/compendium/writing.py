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

from camlib.compendium.pictures import figure_picture
from camlib.plots.look import signs


def figure_files(figure: Figure, item_id: str, vector: bool) -> tuple[dict[str, bytes], list[str]]:
    """Bytes of a figure's files by name, and what is wrong with its texts.

    The picture is .webp or .png (:mod:`camlib.compendium.pictures`); with ``vector`` a .pdf stands beside it. Raises
    ValueError for a picture over 600 KB.
    """
    try:
        suffix, content, problems = figure_picture(figure)
    except ValueError as error:
        raise ValueError(f"{item_id}: {error}") from error
    files = {f"{item_id}{suffix}": content}
    if vector:
        files[f"{item_id}.pdf"] = _pdf(figure)
    return files, problems


def table_files(frame: pd.DataFrame, item_id: str) -> dict[str, bytes]:
    """Bytes of a table's files by name: .csv and .md."""
    return {f"{item_id}.csv": csv_bytes(frame), f"{item_id}.md": _frame_markdown(frame).encode()}


def _pdf(figure: Figure) -> bytes:
    """The figure as PDF, without anything that changes from run to run."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf", metadata={"CreationDate": None}, bbox_inches=None)
    return buffer.getvalue()


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
    """A table cell in words, with true signs; nothing for what is missing."""
    if isinstance(value, float):
        return "" if math.isnan(value) else signs(f"{value:.4g}")
    return "" if value is None or value is pd.NA else signs(str(value))


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
