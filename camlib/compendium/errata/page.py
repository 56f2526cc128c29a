"""The page of the errata, ``figures/errata.md``: the words of ``errata.toml`` with the numbers of ``data/errata.csv``.

It reads no network and no picture, so that the gallery can make it each time.
"""

from __future__ import annotations

import csv
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from camlib import paths
from camlib.compendium.items import PAPERS
from camlib.compendium.writing import markdown_table

NAME = "errata.md"
DATA = paths.DATA / "errata.csv"
SOURCES = {key: PAPERS[key] for key in ("sca", "sa", "union", "score", "history")} | {"beside": "What they stand on"}
KINDS = {"slip": "slips", "open": "left open"}
WINS = ("ams-wins: scaled", "ams-wins: printed", "ams-wins: scaled, any sign", "ams-wins: printed, any sign")
"""Columns of the table of UnionCAM's branches, beside the share of maps whose branch changes."""


@dataclass(frozen=True)
class Number:
    """One measured number: a mean over ``n`` maps (or pictures) with its interval, or one exact value (n = 1)."""

    id: str
    population: str
    value: float
    low: float
    high: float
    n: int


COLUMNS = tuple(column.name for column in fields(Number))


@dataclass(frozen=True)
class Erratum:
    """One place of one source: what is printed, what camlib computes, and where the difference is tested and measured.

    ``source`` is a key of SOURCES, ``kind`` one of KINDS; ``option`` gives the printed version, ``test`` is a test's
    id, ``numbers`` are ids of [numbers]; these three may be empty.
    """

    source: str
    kind: str
    place: str
    printed: str
    here: str
    option: str = ""
    test: str = ""
    numbers: tuple[str, ...] = ()


@cache
def _table() -> Mapping[str, Any]:
    text = resources.files(__package__).joinpath("errata.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def errata() -> list[Erratum]:
    """All errata in the order of the file; ValueError for a source, a kind or a number that is not known."""
    table = _table()
    found = [Erratum(**entry | {"numbers": tuple(entry.get("numbers", ()))}) for entry in table["errata"]]
    for one in found:
        unknown = [number for number in one.numbers if number not in table["numbers"]]
        if one.source not in SOURCES or one.kind not in KINDS or unknown:
            raise ValueError(
                f"errata.toml, {one.source} {one.place}: expected a source of {[*SOURCES]}, a kind of {[*KINDS]} and "
                f"numbers of [numbers]; given kind {one.kind!r} and unknown numbers {unknown}"
            )
    return found


def forms() -> dict[str, tuple[str, str]]:
    """Number's id -> (what it is, format)."""
    return {key: (words, form) for key, (words, form) in _table()["numbers"].items()}


def numbers() -> dict[tuple[str, str], Number]:
    """The measured numbers by (id, population), in the order of the file; none where nothing was measured yet."""
    if not DATA.exists():
        return {}
    with DATA.open(encoding="utf-8", newline="") as stream:
        rows = [
            Number(row["id"], row["population"], *(float(row[key]) for key in ("value", "low", "high")), int(row["n"]))
            for row in csv.DictReader(stream)
        ]
    return {(row.id, row.population): row for row in rows}


def text() -> str:
    """The page in Markdown."""
    found, measured = errata(), numbers()
    slips = sum(one.kind == "slip" for one in found)
    parts = [
        "# Errata of the sources",
        f"{slips} slips and {len(found) - slips} places that a source leaves open: what camlib computes there, the "
        "option that gives the printed version, the test that shows the difference, and its size.",
        "The default is what the source prints, unless the print is a slip: then it is the corrected version. Where a "
        "source says nothing, it is the reading that the source's other sentences, figures or code support.",
        _how_measured(measured),
        *_branches(measured),
    ]
    for source, title in SOURCES.items():
        rows = [_row(one, measured) for one in found if one.source == source]
        table = markdown_table(["place", "kind", "printed", "here", "size of the difference", "test"], rows)
        parts += [f"## {title}", table]
    return "\n\n".join(parts) + "\n"


def _how_measured(measured: Mapping[tuple[str, str], Number]) -> str:
    if not measured:
        return "Nothing was measured yet: `python -m camlib.compendium.errata measure`."
    return (
        "Sizes are means over maps of scenes that no network was trained on, for the three most probable classes of "
        "each, with a 95 % bootstrap interval that draws whole scenes; *r* is the Pearson correlation of the map as "
        "printed with the map as used, 0 where one is empty. `features.18` of scenes-vgg is a convolution whose "
        "feature maps have negative values. `python -m camlib.compendium.errata measure` computes the numbers anew "
        "into `data/errata.csv`."
    )


def _branches(measured: Mapping[tuple[str, str], Number]) -> list[str]:
    """How often UnionCAM's union wins, in the four readings of eq. 6 and 7."""
    known = forms()
    populations = [population for key, population in measured if key == WINS[0]]
    if not populations:
        return []
    rows = []
    for population in populations:
        cells = [measured[key, population] for key in (*WINS, "ams-changed")]
        counts = [f"{number.value * number.n:.0f} ({_value(number, known[number.id][1])})" for number in cells]
        rows.append([population, str(cells[0].n), *counts])
    titles = ["network", "maps", *(known[key][0] for key in WINS), "another branch, first against second"]
    words = "Maps of UnionCAM for which the union wins over the region map (eq. 8), by reading of eq. 6 and 7:"
    return ["## Branches of UnionCAM", words, markdown_table(titles, rows)]


def _row(one: Erratum, measured: Mapping[tuple[str, str], Number]) -> list[str]:
    here = one.here + (f". As printed: `{one.option}`" if one.option and one.kind == "slip" else "")
    here += f". Other readings: `{one.option}`" if one.option and one.kind == "open" else ""
    return [one.place, one.kind, one.printed, here, _size(one.numbers, measured), _link(one.test)]


def _size(ids: Sequence[str], measured: Mapping[tuple[str, str], Number]) -> str:
    """The numbers in words, population by population."""
    known, parts = forms(), []
    for key in ids:
        words, form = known[key]
        values = [f"{_value(row, form)} ({row.population})" for (id, _), row in measured.items() if id == key]
        parts.append(f"{words}: {', '.join(values) or 'not measured'}")
    return "; ".join(parts)


def _value(number: Number, form: str) -> str:
    """A value with its interval, in the number's own format; an exact one stands alone."""
    own = f"{number.value:{form}}"
    if number.n == 1:
        return own
    bound = form.replace("%", "f") if form.endswith("%") else form
    scale = 100 if form.endswith("%") else 1
    return f"{own} [{number.low * scale:{bound}}, {number.high * scale:{bound}}]".replace("-", "\N{MINUS SIGN}")


def _link(test: str) -> str:
    """A test's name as a link to its file."""
    if not test:
        return ""
    path, _, name = test.partition("::")
    target = Path(os.path.relpath(paths.ROOT / path, paths.FIGURES)).as_posix()
    return f"[{name.removeprefix('test_').replace('_', ' ')}]({target})"
