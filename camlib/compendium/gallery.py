"""The gallery, and the generated blocks of the README: texts made of the manifest and the ledger."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camlib import paths
from camlib.compendium.captions import caption_text, mark_text
from camlib.compendium.errata import page as errata
from camlib.compendium.highlights import highlights
from camlib.compendium.items import FILE, ITEMS, KINDS, PAPERS, Item
from camlib.compendium.ledger import claims, claims_text, counts_text, enter_ruled
from camlib.compendium.manifest import manifest
from camlib.compendium.writing import markdown_table, sha256, write_file


def gallery() -> list[str]:
    """Write README.md, claims.md and errata.md in figures/ and the generated blocks of the README; say what was done.

    The README is touched only for the repository's own figures/, not for CAMLIB_FIGURES. Returns one line for
    each file written and each block that the README lacks. Raises ValueError for a block without an end.
    """
    lines = []
    enter_ruled()
    for path, text in _generated_files().items():
        write_file(path, text.encode())
        lines.append(f"wrote {_relative(path)}")
    readme = paths.ROOT / "README.md"
    if not _owns_readme():
        return [*lines, f"left README.md alone: figures are in {_relative(paths.FIGURES)}"]
    if not readme.exists():
        return [*lines, "README.md is not there: no blocks to refresh"]
    text, missing = _with_blocks(readme.read_text(encoding="utf-8"))
    write_file(readme, text.encode())
    skipped = [f"README.md has no <!-- begin:{name} --> … <!-- end:{name} -->: skipped" for name in missing]
    return [*lines, "refreshed README.md", *skipped]


def problems() -> list[str]:
    """Everything in which files, manifest and generated texts disagree; empty if all is well."""
    found = []
    owned = {"manifest.json", "claims.json", "README.md", "claims.md", errata.NAME}
    for item_id, entry in manifest().items():
        if item_id not in ITEMS:
            found.append(f"{item_id}: in the manifest, but not in {FILE}")
        elif (entry["notebook"], entry["title"]) != (ITEMS[item_id].notebook, ITEMS[item_id].title):
            found.append(f"{item_id}: notebook or title differ from {FILE}; run the notebook again")
        for name, digest in entry.get("files", {}).items():
            owned.add(name)
            path = paths.FIGURES / name
            if not path.exists():
                found.append(f"{name}: missing; notebook {entry['notebook']} makes it")
            elif sha256(path.read_bytes()) != digest:
                found.append(f"{name}: not the file that {entry['notebook']} made")
    present = {path.relative_to(paths.FIGURES).as_posix() for path in paths.FIGURES.rglob("*") if path.is_file()}
    found += [f"{name}: no item of the manifest owns it" for name in sorted(present - owned)]
    return found + _stale()


def _stale() -> list[str]:
    """Generated texts that are not what they would be now."""
    found = []
    for path, text in _generated_files().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            found.append(f"{_relative(path)}: stale; python -m camlib.compendium.report gallery renews it")
    readme = paths.ROOT / "README.md"
    if _owns_readme() and readme.exists():
        text = readme.read_text(encoding="utf-8")
        if _with_blocks(text)[0] != text:
            found.append("README.md: a generated block is stale; python -m camlib.compendium.report gallery renews it")
    return found


def _generated_files() -> dict[Path, str]:
    """The generated files of FIGURES with their texts."""
    entries = {key: entry for key, entry in manifest().items() if key in ITEMS}
    return {
        paths.FIGURES / "README.md": gallery_text(entries),
        paths.FIGURES / "claims.md": claims_text(claims()),
        paths.FIGURES / errata.NAME: errata.text(),
    }


def gallery_text(entries: Mapping[str, Any]) -> str:
    """The gallery in Markdown: counts, then each paper's pictures, tables and equations, made and open."""
    made = sum(item_id in entries for item_id in ITEMS)
    counts = [[PAPERS[paper], *(_count(entries, paper, kind) for kind in KINDS)] for paper in PAPERS]
    parts = [
        "# Gallery",
        f"{made} of {len(ITEMS)} items are made, {len(ITEMS) - made} are open. "
        "This page is generated from `manifest.json`; the claims that they decide: [claims.md](claims.md); "
        f"slips and open places of the sources: [{errata.NAME}]({errata.NAME}).",
        markdown_table(["made / all", *(f"{kind}s" for kind in KINDS)], counts),
    ]
    for paper, name in PAPERS.items():
        parts += [f"## {name}", *_section(entries, [item for item in ITEMS.values() if item.paper == paper])]
    return "\n\n".join(parts) + "\n"


def _count(entries: Mapping[str, Any], paper: str, kind: str) -> str:
    """Made and all items of one kind."""
    ids = [item.id for item in ITEMS.values() if (item.paper, item.kind) == (paper, kind)]
    return f"{sum(item_id in entries for item_id in ids)} / {len(ids)}" if ids else ""


def _section(entries: Mapping[str, Any], items: Sequence[Item]) -> list[str]:
    """One paper: its made items with files, its checked equations, its open items."""
    shown = [item for item in items if entries.get(item.id, {}).get("files")]
    checked = [item for item in items if entries.get(item.id, {}).get("checks")]
    still = [[item.id, item.title, item.notebook] for item in items if item.id not in entries]
    parts = [_exhibit(item, entries[item.id]) for item in shown]
    if checked:
        rows = [row for item in checked for row in _check_rows(item, entries[item.id])]
        parts.append(markdown_table(["checked", "what", "holds to", "network, data", "notebook"], rows))
    if still:
        parts.append("<details><summary>open: " + str(len(still)) + "</summary>")
        parts.append(markdown_table(["open", "what", "notebook to come"], still))
        parts.append("</details>")
    return parts


def _exhibit(item: Item, entry: Mapping[str, Any]) -> str:
    """One made item: heading, picture, caption, links."""
    names = list(entry["files"])
    pictures = [f'<img src="{name}" width="720" alt="{item.title}">' for name in names if name.endswith(".png")]
    links = " · ".join(
        f"[{Path(name).suffix[1:] if name.count('-') <= 2 else Path(name).name}]({name})" for name in names
    )
    return "\n\n".join(
        [f"### {item.id} · {item.title}", *pictures, caption_text(item, entry), f"{links} · {_notebook(item)}"]
    )


def _check_rows(item: Item, entry: Mapping[str, Any]) -> list[list[str]]:
    """Table rows of an equation's checked statements."""
    return [
        [
            item.id,
            row["statement"],
            f"{row['holds_to']:.3g}",
            f"{row['network']}; {row['data']}{mark_text(row)}",
            _notebook(item),
        ]
        for row in entry["checks"]
    ]


def _notebook(item: Item, base: Path | None = None) -> str:
    """Link to a notebook, from FIGURES unless another folder is given."""
    path = _from(base or paths.FIGURES, paths.NOTEBOOKS / f"{item.notebook}.ipynb")
    return f"[{item.notebook}]({path})"


def _with_blocks(text: str) -> tuple[str, list[str]]:
    """The README with its blocks renewed, and the names of the blocks that it lacks."""
    makers = {"methods": methods_block, "items": items_block, "claims": claims_block}
    missing = []
    for name, maker in makers.items():
        begin, end = f"<!-- begin:{name} -->", f"<!-- end:{name} -->"
        if begin not in text:
            missing.append(name)
            continue
        head, _, rest = text.partition(begin)
        if end not in rest:
            raise ValueError(f"README.md has {begin} without {end} after it; add the line")
        text = f"{head}{begin}\n{maker()}\n{end}{rest.partition(end)[2]}"
    return text, missing


def methods_block(methods: Mapping[str, Any] | None = None) -> str:
    """Table of the registered methods: name, family, weight in one clause, source, passes."""
    if methods is None:
        import camlib  # the registry is filled by the package; report itself stays below it

        methods = camlib.METHODS
    rows = [[f"`{m.name}`", m.family, m.summary, m.source, m.passes] for m in methods.values()]
    return markdown_table(["method", "family", "what it is", "source", "passes"], rows)


def items_block() -> str:
    """Table paper → items → notebook with counts, one row for each paper and notebook."""
    entries = manifest()
    rows = []
    for paper, name in PAPERS.items():
        for notebook in dict.fromkeys(item.notebook for item in ITEMS.values() if item.paper == paper):
            members = [item for item in ITEMS.values() if (item.paper, item.notebook) == (paper, notebook)]
            made = sum(item.id in entries for item in members)
            state = f"{made} of {len(members)}" if made else "open"
            place = _notebook(members[0], paths.ROOT) if made else notebook
            rows.append([name, _ranges([item.id.removeprefix(f"{paper}-") for item in members]), place, state])
    made = sum(item_id in entries for item_id in ITEMS)
    link = _from(paths.ROOT, paths.FIGURES / "README.md")
    head = f"{made} of {len(ITEMS)} items are made; all of them with captions: [gallery]({link})."
    return head + "\n\n" + markdown_table(["paper", "items", "notebook", "made"], rows)


def claims_block() -> str:
    """The findings to remember, and how many claims have which verdict."""
    rows = claims()
    if not rows:
        return "No claim is decided yet."
    link = _from(paths.ROOT, paths.FIGURES / "claims.md")
    count = f"All {len(rows)} claims with effects, intervals and numbers of pictures: [the ledger]({link})"
    return "\n".join([*highlights(), "", f"{count}; {counts_text(rows)}."])


def _ranges(names: Sequence[str]) -> str:
    """Short ids with runs of numbers folded: fig-01, fig-02, fig-03 -> fig 01 to 03."""
    runs: dict[str, list[list[str]]] = {}
    for name in names:
        word, _, number = name.rpartition("-")
        if not number.isdigit():
            word, number = name.replace("-", " "), ""
        known = runs.setdefault(word, [])
        follows = known and number and int(known[-1][-1]) + 1 == int(number)
        known[-1].append(number) if follows else known.append([number])
    folded = {
        word: ", ".join(run[0] if len(run) == 1 else f"{run[0]}\N{EN DASH}{run[-1]}" for run in known)
        for word, known in runs.items()
    }
    return "; ".join(f"{word} {numbers}".strip() for word, numbers in folded.items())


def _owns_readme() -> bool:
    """Whether the figures at hand are the repository's own."""
    return paths.FIGURES.resolve() == (paths.ROOT / "figures").resolve()


def _from(base: Path, path: Path) -> str:
    """Relative link from a folder to a file."""
    return Path(os.path.relpath(path, base)).as_posix()


def _relative(path: Path) -> str:
    """Path as seen from the repository."""
    return _from(paths.ROOT, path)
