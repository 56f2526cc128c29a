"""The manifest: what has been made of each item: caption, facts, files with their digests, and checked statements."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from camlib import checkpoints
from camlib.compendium.items import Item, find_item
from camlib.compendium.records import read, update
from camlib.compendium.writing import csv_bytes, figure_files, sha256, table_files

RECORD = "manifest.json"
KEYS = ("kind", "paper", "title", "notebook")
"""What every entry says in words."""
_made_here: set[str] = set()
"""Items that this process has touched: a notebook's first touch starts their entry anew."""


def manifest() -> dict[str, Any]:
    """What has been made: item id -> title, caption, network, data, n, seed, files with sha256, checks."""
    return read(RECORD, KEYS)


def find_entry(item_id: str) -> dict[str, Any]:
    """The manifest entry of an item; ValueError if it has not been made."""
    entries = manifest()
    if item_id not in entries:
        raise ValueError(f"{item_id} is not made yet; notebook {find_item(item_id).notebook} makes it")
    return entries[item_id]


def save(
    made: Figure | pd.DataFrame,
    item_id: str,
    *,
    caption: str,
    network: str,
    data: str,
    n: int | None,
    seed: int | None,
    differs: str | None = None,
    finding: str | None = None,
    vector: bool = False,
    profile: str = "offline",
    extra: Mapping[str, pd.DataFrame] | None = None,
) -> None:
    """Write a figure or a table to ``figures/<paper>/<item>.*`` and enter it in the manifest.

    A Figure becomes .webp if it shows photographs, else .png, 1440 pixels wide, and, with ``vector``, also .pdf; a
    DataFrame becomes .csv and .md. ``extra`` adds tables beside it: {"rows": frame} writes <item>-rows.csv. Calling it
    again replaces the files. Texts of a figure that nobody can read are entered under "texts". Where this process has
    loaded weights that are not the published ones, the item is marked as not comparable. Raises ValueError for an
    unknown item, an empty caption, a figure for a table item (or the reverse), or a picture over 600 KB; TypeError for
    another object.
    """
    item = find_item(item_id)
    if not caption.strip():
        raise ValueError(f"{item_id}: caption is empty; say what is shown")
    _check_kind(made, item)
    drawn = isinstance(made, Figure)
    contents, texts = figure_files(made, item_id, vector) if drawn else (table_files(made, item_id), [])
    for part, frame in (extra or {}).items():
        contents[f"{item_id}-{part}.csv"] = csv_bytes(frame)
    facts = {
        "caption": caption.strip(),
        "network": network,
        "data": data,
        "n": n,
        "seed": seed,
        "differs": differs,
        **({"finding": finding.strip()} if finding else {}),
        "profile": profile,
        "files": {},
        **({"texts": texts} if texts else {}),
        **mark(network),
    }
    files = {f"{item.paper}/{name}": content for name, content in contents.items()}
    facts["files"] = {name: sha256(content) for name, content in files.items()}
    update(RECORD, partial(_enter, item, facts), KEYS, files)
    _made_here.add(item.id)


def check(item_id: str, statement: str, error: float, tolerance: float, network: str, data: str, profile: str) -> str:
    """Assert that a statement holds to a tolerance and enter it; see `camlib.compendium.report.check`."""
    item, size, limit = find_item(item_id), float(error), float(tolerance)
    if not limit >= 0:
        raise ValueError(f"{item_id}: tolerance is {tolerance}; expected a number that is not negative")
    if not size <= limit:
        raise AssertionError(
            f"{item_id} does not hold on {network}, {data}: {statement}; error {size:.3g}, tolerance {limit:.3g}"
        )
    row = {"statement": statement, "holds_to": limit, "network": network, "data": data, **mark(network)}
    update(RECORD, partial(_enter_check, item, row, profile), KEYS)
    _made_here.add(item.id)
    return f"{item_id} holds to {limit:.3g}"


def mark(network: str = "") -> dict[str, str]:
    """The mark of what this process makes after it loaded weights that are not the published ones; else empty.

    ``network`` is the item's own word: what is made with "none" needs no mark.
    """
    why = None if network.startswith("none") else checkpoints.not_comparable()
    return {} if why is None else {"not_comparable": why}


def _check_kind(made: Any, item: Item) -> None:
    """TypeError or ValueError where an object cannot be that item."""
    if not isinstance(made, Figure | pd.DataFrame):
        raise TypeError(f"{item.id}: given {type(made).__name__}; expected a matplotlib Figure or a pandas DataFrame")
    wrong = "table" if isinstance(made, Figure) else "figure"
    if item.kind == wrong:
        raise ValueError(f"{item.id} is a {item.kind}; given a {type(made).__name__}. Tables beside a figure: extra=")


# Entries


def _fresh(item: Item, entries: dict[str, Any]) -> dict[str, Any]:
    """The entry of an item, emptied if this process touches the item for the first time."""
    if item.id not in _made_here:
        entries.pop(item.id, None)
    base = {"kind": item.kind, "paper": item.paper, "title": item.title, "notebook": item.notebook}
    return entries.setdefault(item.id, base)


def _enter(item: Item, facts: dict[str, Any], entries: dict[str, Any]) -> None:
    """Put files and caption of an item into the entries, in place of what an older run made."""
    for name in ("files", "texts", "finding"):
        entries.get(item.id, {}).pop(name, None)
    _fresh(item, entries).update(facts)


def _enter_check(item: Item, row: dict[str, Any], profile: str, entries: dict[str, Any]) -> None:
    """Put one checked statement of an item into the entries, in place of the same one of before."""
    entry = _fresh(item, entries)
    entry.setdefault("profile", profile)
    others = [known for known in entry.get("checks", []) if _case(known) != _case(row)]
    entry["checks"] = sorted([*others, row], key=_case)


def _case(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["statement"], row["network"], row["data"]
