"""The gallery, and the generated blocks of the README: texts made of the manifest and the ledger."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from camlib import paths, registry
from camlib.compendium import accuracies
from camlib.compendium.errata import page as errata
from camlib.compendium.exhibits import gallery_text, notebook_link
from camlib.compendium.highlights import highlights
from camlib.compendium.items import FILE, ITEMS, PAPERS
from camlib.compendium.ledger import claims, claims_text, counts_text, enter_ruled
from camlib.compendium.loops import page as loops
from camlib.compendium.manifest import manifest
from camlib.compendium.records import sweep
from camlib.compendium.writing import markdown_table, sha256, write_file

NOTES = (
    "A mark says what became of the paper's claim: ✓ holds, ✗ does not hold, = no difference that matters, ⇄ depends "
    f"on the network or layer, · undecided ([all claims](claims.md), [slips of the sources]({errata.NAME})). "
    f"Every method stands [beside a loop written from its paper]({loops.NAME}), every network that is trained here "
    f"[with its accuracy]({accuracies.NAME}). A picture leads to its file; this page is generated from `manifest.json`."
)

METHODS_HEAD = """\
# Every method, as data of the registry

`camlib.METHODS` holds these names; each is one function in `camlib/weights/` or `camlib/baselines/`.
K: channels; hw: positions."""


def gallery() -> list[str]:
    """Write the generated pages of figures/ and the generated blocks of the README; say what was done.

    The README is touched only for the repository's own figures/, not for CAMLIB_FIGURES. Returns one line for
    each file written and each block that the README lacks. Raises ValueError for a block without an end.
    """
    sweep()
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


def unreadable() -> list[str]:
    """Texts of figures that nobody can read, a line each: too small at 720 pixels, off the canvas, over others."""
    return [f"{item_id}: {text}" for item_id, entry in manifest().items() for text in entry.get("texts", ())]


def problems() -> list[str]:
    """Everything in which files, manifest and generated texts disagree; empty if all is well."""
    found = []
    owned = {"manifest.json", "claims.json", *(path.name for path in _generated_files())}
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
        paths.FIGURES / "README.md": gallery_text(entries, claims(), NOTES),
        paths.FIGURES / "claims.md": claims_text(claims()),
        paths.FIGURES / errata.NAME: errata.text(),
        paths.FIGURES / loops.NAME: loops.text(),
        paths.FIGURES / accuracies.NAME: accuracies.text(),
        paths.FIGURES / "methods.md": f"{METHODS_HEAD}\n\n{methods_block()}\n",
        paths.FIGURES / "items.md": f"# What is made, and where\n\n{items_block()}\n",
    }


def _with_blocks(text: str) -> tuple[str, list[str]]:
    """The README with its blocks renewed, and the names of the blocks that it lacks."""
    makers = {"claims": claims_block, "choice": choice_block, "families": families_block}
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
        methods = registry.METHODS
    rows = [[f"`{m.name}`", m.family, m.summary, m.source, m.passes] for m in methods.values()]
    return markdown_table(["method", "family", "what it is", "source", "passes"], rows)


def families_block(methods: Mapping[str, Any] | None = None) -> str:
    """Names of the methods, a line a family."""
    if methods is None:
        methods = registry.METHODS
    names: dict[str, list[str]] = {}
    for each in methods.values():
        names.setdefault(each.family, []).append(f"`{each.name}`")
    return markdown_table(["family", "methods"], [[family, " ".join(found)] for family, found in names.items()])


def choice_block() -> str:
    """Best version of a method for each purpose, behind a linear and a deep head, at any cost and at a few passes."""
    if "own-table-choice" not in manifest():
        return "Not made yet."
    table = pd.read_csv(paths.FIGURES / "own" / "own-table-choice.csv")
    heads, rows = ["GAP", "MLP (VGG)"], []
    for purpose, lines in table.groupby("purpose", sort=False):
        found = lines.set_index("passes")
        rows.append([purpose, *(found.loc[passes, head] for head in heads for passes in ("any", "a few passes"))])
    return markdown_table(["purpose", *(f"{head}, {word}" for head in heads for word in ("best", "cheap"))], rows)


def items_block() -> str:
    """Table paper → items → notebook with counts, one row for each paper and notebook."""
    entries = manifest()
    rows = []
    for paper, name in PAPERS.items():
        for notebook in dict.fromkeys(item.notebook for item in ITEMS.values() if item.paper == paper):
            members = [item for item in ITEMS.values() if (item.paper, item.notebook) == (paper, notebook)]
            made = sum(item.id in entries for item in members)
            state = f"{made} of {len(members)}" if made else "open"
            place = notebook_link(members[0], paths.FIGURES) if made else notebook
            rows.append([name, _ranges([item.id.removeprefix(f"{paper}-") for item in members]), place, state])
    made = sum(item_id in entries for item_id in ITEMS)
    head = f"{made} of {len(ITEMS)} items are made; all of them with captions: [gallery](README.md)."
    return head + "\n\n" + markdown_table(["paper", "items", "notebook", "made"], rows)


def claims_block() -> str:
    """The findings to remember, and how many claims have which verdict."""
    rows = claims()
    if not rows:
        return "No claim is decided yet."
    link = _from(paths.ROOT, paths.FIGURES / "claims.md")
    count = f"All {len(rows)} claims with effects, intervals and numbers of pictures: [the ledger]({link})"
    by_rows = sum("command" in row for row in rows.values())
    head = f"{by_rows} of the {len(rows)} claims are decided by rows, the others in notebooks, on fewer pictures."
    return "\n".join([f"{head} The findings to remember:", "", *highlights(), "", f"{count}; {counts_text(rows)}."])


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
