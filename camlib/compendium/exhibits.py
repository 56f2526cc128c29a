"""The text of the gallery: contents and thumbnails, then each item with verdict, picture or table, caption, links."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camlib import paths
from camlib.compendium.items import ITEMS, PAPERS, Item
from camlib.compendium.ledger import verdict_text
from camlib.compendium.templates import mark_text, provenance, reading
from camlib.compendium.writing import markdown_table

PICTURES = (".webp", ".png")
MARKS = {"holds": "✓", "does not": "✗", "no difference": "=", "depends": "⇄", "undecided": "·"}
"""Marks of verdicts by how they begin."""
LONGEST = 24
"""Rows of a table that is shown; a longer one is folded."""
_THUMBNAIL = 160

Entries = Mapping[str, Any]


def gallery_text(entries: Entries, ledger: Entries, notes: str) -> str:
    """The gallery in Markdown, for a wide page and a phone alike.

    ``entries`` are those of the manifest, ``ledger`` those of the claims, ``notes`` is a sentence with links that
    stands below the title. What is not made is listed at the end.
    """
    made = sum(item_id in entries for item_id in ITEMS)
    counts = f"{made} of {len(ITEMS)} items are made." if made < len(ITEMS) else f"All {made} items are made."
    papers = {paper: _exhibited(entries, paper) for paper in PAPERS}
    papers = {paper: items for paper, items in papers.items() if items}
    checked = [item for item in ITEMS.values() if entries.get(item.id, {}).get("checks")]
    ends = [("equations", f"Equations and algorithms ({len(checked)})")] if checked else []
    parts = ["# Gallery", f"{counts} {notes}"]
    parts.append("\n".join(f"- [{name}](#{link})" for link, name in [*_names(papers), *ends]))
    for paper, items in papers.items():
        parts += [f"**[{PAPERS[paper]}](#{paper})**", _thumbnails(entries, items)]
    for paper, items in papers.items():
        parts += ["---", f'<a id="{paper}"></a>', f"## {PAPERS[paper]}"]
        parts += [_exhibit(item, entries[item.id], ledger) for item in items]
    if checked:
        parts += ["---", '<a id="equations"></a>', "## Equations and algorithms", _checks(entries, checked)]
    return "\n\n".join([*parts, *_still_open(entries)]) + "\n"


def notebook_link(item: Item, base: Path) -> str:
    """Link to the notebook of an item from a folder."""
    path = os.path.relpath(paths.notebook(item.notebook), base)
    return f"[{item.notebook}]({Path(path).as_posix()})"


def badge(verdict: str) -> str:
    """The mark of a verdict and its words: "✗ does not hold"."""
    mark = next((mark for begin, mark in MARKS.items() if verdict.startswith(begin)), "•")
    return f"{mark} {verdict}"


def _names(papers: Mapping[str, Sequence[Item]]) -> list[tuple[str, str]]:
    """Link and name with counts of each paper."""
    found = []
    for paper, items in papers.items():
        counts = [(sum(item.kind == kind for item in items), kind) for kind in ("figure", "table")]
        words = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for count, kind in counts if count)
        found.append((paper, f"{PAPERS[paper]}: {words}" if words else PAPERS[paper]))
    return found


def _exhibited(entries: Entries, paper: str) -> list[Item]:
    """Items of a paper that have files."""
    return [item for item in ITEMS.values() if item.paper == paper and entries.get(item.id, {}).get("files")]


def _picture(entry: Mapping[str, Any]) -> str | None:
    return next((name for name in entry["files"] if name.endswith(PICTURES)), None)


def _thumbnails(entries: Entries, items: Sequence[Item]) -> str:
    """Small pictures that lead to the items, as many on a line as fit; tables by their names."""
    pictures, tables = [], []
    for item in items:
        name = _picture(entries[item.id])
        title = html.escape(item.title, quote=True)
        if name is None:
            tables.append(f"[{item.title}](#{item.id})")
        else:
            image = f'<img src="{name}" width="{_THUMBNAIL}" alt="{title}" title="{title}">'
            pictures.append(f'<a href="#{item.id}">{image}</a>')
    return "\n\n".join(filter(None, ["\n".join(pictures), f"Tables: {' · '.join(tables)}" if tables else ""]))


def _exhibit(item: Item, entry: Mapping[str, Any], ledger: Entries) -> str:
    """One item: heading, verdicts, picture or table, caption, provenance and links in small type."""
    name = _picture(entry)
    title = html.escape(item.title, quote=True)
    body = f'<a href="{name}"><img src="{name}" width="720" alt="{title}"></a>' if name else _table(entry)
    parts = [f'<a id="{item.id}"></a>', f"### {item.title}", *_verdicts(item, ledger), body, reading(entry)]
    parts.append(f"<sub>{item.id} · {provenance(entry)}<br>{_links(item, entry)}</sub>")
    return "\n\n".join(filter(None, parts))


def _verdicts(item: Item, ledger: Entries) -> list[str]:
    """What became of the claims that the item stands for, a line each."""
    rows = [ledger[claim] for claim in item.claims if claim in ledger]
    lines = [f"**{badge(verdict_text(row))}** · [{row['claim']}](claims.md)" for row in rows]
    return ["<br>\n".join(lines)] if lines else []


def _table(entry: Mapping[str, Any]) -> str:
    """The table itself, from its .md file; folded if it is long."""
    name = next((name for name in entry["files"] if name.endswith(".md")), None)
    path = paths.FIGURES / name if name else None
    if path is None or not path.is_file():
        return ""
    text = path.read_text(encoding="utf-8").strip()
    rows = text.count("\n") - 1
    return text if rows <= LONGEST else _folded(f"the table, {rows} rows", text)


def _links(item: Item, entry: Mapping[str, Any]) -> str:
    """Notebook, data and vector of an item."""
    links = [notebook_link(item, paths.FIGURES)]
    for name in entry["files"]:
        suffix = Path(name).suffix
        if suffix == ".pdf":
            links.append(f"[PDF]({name})")
        elif suffix == ".csv":
            part = Path(name).stem.removeprefix(item.id).strip("-")
            links.append(f"[{part or 'data'} (CSV)]({name})")
    return " · ".join(links)


def _checks(entries: Entries, items: Sequence[Item]) -> str:
    """All checked statements in one folded table."""
    rows = [
        [
            f"{item.title} ({item.id})",
            row["statement"],
            f"{row['holds_to']:.3g}",
            f"{row['network']}; {row['data']}{mark_text(row)}",
            notebook_link(item, paths.FIGURES),
        ]
        for item in items
        for row in entries[item.id]["checks"]
    ]
    titles = ["what", "checked", "holds to", "on", "notebook"]
    return _folded(f"{len(rows)} statements about {len(items)} equations and algorithms", markdown_table(titles, rows))


def _still_open(entries: Entries) -> list[str]:
    """What is not made yet, folded."""
    rows = [[item.id, item.title, item.notebook] for item in ITEMS.values() if item.id not in entries]
    if not rows:
        return []
    return [_folded(f"open: {len(rows)}", markdown_table(["open", "what", "notebook to come"], rows))]


def _folded(summary: str, text: str) -> str:
    return f"<details>\n<summary>{summary}</summary>\n\n{text}\n\n</details>"
