"""The page of the loops, ``figures/loops.md``, made of the rows of ``data/loops.csv``.

It reads no network and no picture, so that the gallery can make it each time.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

from camlib import paths
from camlib.compendium.writing import markdown_table

NAME = "loops.md"
DATA = paths.DATA / "loops.csv"
LEAST = 1e-15  # below it a deviation is rounding, and says nothing about a machine


@dataclass(frozen=True)
class Row:
    """The largest deviation of a method from its loop, relative to the loop's largest value."""

    method: str
    options: str
    source: str
    networks: str
    values: str
    error: float


COLUMNS = tuple(column.name for column in fields(Row))


def keep(rows: Sequence[Row]) -> str:
    """The rows as the text of a CSV file; deviations to one digit, rounding to at most 1e-15."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([*astuple(row)[:-1], f"{max(row.error, LEAST):.0e}"] for row in rows)
    return stream.getvalue()


def read() -> list[Row]:
    """The rows that are kept; none where nothing was measured yet."""
    if not DATA.exists():
        return []
    with DATA.open(encoding="utf-8", newline="") as stream:
        return [Row(**row | {"error": float(row["error"])}) for row in csv.DictReader(stream)]


def text() -> str:
    """The page in Markdown."""
    rows = read()
    if not rows:
        return "# Methods beside their loops\n\nNothing was measured yet: `python -m camlib.compendium.loops`.\n"
    worst = max(rows, key=lambda row: row.error)
    parts = [
        "# Methods beside their loops",
        f"Every class activation weight and every option that changes its formula, {len(rows)} readings of "
        f"{len({row.method for row in rows})} methods, against a loop that is written from the paper, picture by "
        "picture and channel by channel, without camlib (`camlib/compendium/loops/`). The tests compare with the same "
        "loops. What is printed is the largest deviation over two pictures, two classes and the networks named, "
        f"relative to the loop's largest value. The largest of all is {worst.error:.0e} ({worst.method}).",
        "Weights and maps are float64; heatmaps, blurs, noise and colors are float32, hence 1e-7. Networks: "
        + _words(),
        markdown_table(
            ["method", "options", "source", "networks", "largest deviation"],
            [
                [row.method, f"`{row.options}`" if row.options else "", row.source, row.networks, f"{row.error:.0e}"]
                for row in rows
            ],
        ),
        "Not in the table: `precision` and `passes`, which trade exactness for time and say their own error; LFI-CAM, "
        "RISE, Mask and the pixel methods, which have loops and peers of their own in the tests.",
        "`python -m camlib.compendium.loops` measures anew and writes `data/loops.csv` and this page.",
    ]
    return "\n\n".join(parts) + "\n"


def _words() -> str:
    return (
        "Networks: `gap`, global average pooling and a linear layer; `average` and `max`, an MLP behind such a "
        "pooling; `signed`, the same in front of which nothing is rectified; `smooth`, an MLP with SiLU; `dead`, `gap` "
        "with one channel that is zero and one that is constant."
    )
