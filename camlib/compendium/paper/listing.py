"""What a run in the papers' setting has left out, read off the notebooks as they ran and off the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat

from camlib.compendium import report
from camlib.compendium.lenient import DEPENDENT, DOUBTED, FAILED, LEFT_OUT, remarks
from camlib.compendium.paper.setting import notebooks


@dataclass(frozen=True)
class Listing:
    """The end of a run: lines to print, and whether something failed that was not merely missing."""

    lines: Sequence[str]
    failed: bool


def listing(runs: Path, left_out: Mapping[str, str]) -> Listing:
    """What is there and what is not.

    Args:
        runs: folder of the notebooks as they ran.
        left_out: item -> why it was left out, of tables that no notebook makes.
    """
    names = [path.stem for path in notebooks()]
    said = {name: _said(runs / f"{name}.ipynb") for name in names if (runs / f"{name}.ipynb").is_file()}
    made = report.manifest()
    absent = {item.id: item for item in report.ITEMS.values() if item.notebook in names and item.id not in made}
    marked = [item_id for item_id, entry in made.items() if _is_marked(entry)]
    stopped = [name for name in names if name not in said]
    lines = [f"{len(made)} items are made; {len(marked)} of them are not comparable, by their weights."]
    lines += _section(
        "Left out, item by item:", [*_items(absent, said), *(f"{i}: {why}" for i, why in left_out.items())]
    )
    lines += _section("Left out or failed, cell by cell:", _cells(said, (LEFT_OUT, FAILED)))
    lines += _section("Sentences of the text that do not hold here:", _cells(said, (DOUBTED,)))
    lines += _section("Stopped before the end (see above):", stopped)
    failed = bool(stopped) or any(line.startswith(FAILED) for found in said.values() for _, line in found)
    return Listing(lines, failed)


def _said(run: Path) -> list[tuple[int, str]]:
    return list(remarks(nbformat.read(run, as_version=4)))


def _is_marked(entry: Mapping[str, object]) -> bool:
    return "not_comparable" in entry or any("not_comparable" in row for row in entry.get("checks", []))


def _items(absent: Mapping[str, report.Item], said: Mapping[str, Sequence[tuple[int, str]]]) -> list[str]:
    """Items by notebook, with the first reason that the notebook gives."""
    lines = []
    for name in dict.fromkeys(item.notebook for item in absent.values()):
        reasons = [line for _, line in said.get(name, []) if not line.startswith(DOUBTED)]
        why = reasons[0] if reasons else "not made with these parameters" if name in said else "stopped"
        lines.append(f"{', '.join(i for i, item in absent.items() if item.notebook == name)}: {name}, {why}")
    return lines


def _cells(said: Mapping[str, Sequence[tuple[int, str]]], kinds: tuple[str, ...]) -> list[str]:
    """Every cell of a kind; those that merely need another one are counted."""
    lines = []
    for name, found in said.items():
        chosen = [(cell, line) for cell, line in found if line.startswith(kinds)]
        own = [f"{name}, cell {cell}: {line}" for cell, line in chosen if not line.startswith(DEPENDENT)]
        others = len(chosen) - len(own)
        lines += [*own, *([f"{name}: {others} more cells that need them"] if others else [])]
    return lines


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)] if lines else []
