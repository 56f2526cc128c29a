"""Items of the papers, the files that notebooks make of them, the manifest, the claims and the gallery."""

from __future__ import annotations

import argparse
import csv
import difflib
import hashlib
import io
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from filelock import FileLock
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from camlib import checkpoints, paths
from camlib.compendium.png import compact

PAPERS = {
    "sca": "SCA-CAM (Si et al. 2021)",
    "sa": "SA-CAM (Liang et al. 2022)",
    "union": "UnionCAM (Hu et al. 2024)",
    "score": "Score-CAM (Wang et al. 2019)",
    "history": "History of CAM (Baek 2022)",
    "own": "What the compendium adds",
    "cost": "What a map costs",
}
VERDICTS = ("holds", "does not hold", "undecided here")
KINDS = ("figure", "table", "equation", "algorithm")
LARGEST_PNG = 400_000
RESOLUTIONS = (150, 125, 100)
"""Dots an inch that a figure is tried at until it is small enough."""

_made_here: set[str] = set()
"""Items that this process has touched: a notebook's first touch starts their entry anew."""
_figures: dict[str, Figure] = {}
"""Figures that were saved and not yet shown."""


@dataclass(frozen=True)
class Item:
    """One figure, table, equation or algorithm of a paper, and the one notebook that makes it."""

    id: str
    paper: str
    kind: str
    title: str
    notebook: str


def _load_items() -> dict[str, Item]:
    """Items in the order of items.csv; ValueError for a wrong kind, an unknown paper or a doubled id."""
    text = resources.files("camlib.compendium").joinpath("items.csv").read_text(encoding="utf-8")
    items: dict[str, Item] = {}
    for row in csv.DictReader(io.StringIO(text)):
        item = Item(**row)
        if item.id in items or item.kind not in KINDS or item.paper not in PAPERS:
            raise ValueError(f"items.csv: row {row} repeats an id or has a kind not in {KINDS} or an unknown paper")
        items[item.id] = item
    return items


ITEMS: Mapping[str, Item] = MappingProxyType(_load_items())


# What a notebook calls


def save(
    obj: Figure | pd.DataFrame,
    item_id: str,
    *,
    caption: str,
    network: str,
    data: str,
    n: int | None,
    seed: int | None,
    differs: str | None = None,
    vector: bool = False,
    profile: str = "offline",
    extra: Mapping[str, pd.DataFrame] | None = None,
) -> None:
    """Write a figure or a table to ``figures/<paper>/<item>.*`` and enter it in the manifest.

    A Figure becomes .png (150 dpi, coarser only if it must be) and, with ``vector``, also .pdf (for plots
    without photographs); a DataFrame becomes .csv and .md. ``extra`` adds tables beside it: {"rows": frame}
    writes <item>-rows.csv. ``caption`` says what is shown; network, data, n and seed complete it, ``differs``
    says in one line what is not as in the paper. Calling it again replaces the files. Where this process has
    loaded weights that are not the published ones, the item is marked as not comparable. Raises ValueError for an
    unknown item, an empty caption, a figure for a table item (or the reverse), or a picture over 400 KB;
    TypeError for another object.
    """
    item = _item(item_id)
    if not caption.strip():
        raise ValueError(f"{item_id}: caption is empty; say what is shown")
    _check_kind(obj, item)
    contents = _figure_files(obj, item_id, vector) if isinstance(obj, Figure) else _table_files(obj, item_id)
    for part, frame in (extra or {}).items():
        contents[f"{item_id}-{part}.csv"] = _csv(frame)
    facts = {
        "caption": caption.strip(),
        "network": network,
        "data": data,
        "n": n,
        "seed": seed,
        "differs": differs,
        "profile": profile,
        "files": {},
        **_mark(network),
    }
    for name, content in contents.items():
        path = f"{item.paper}/{name}"
        _write(paths.FIGURES / path, content)
        facts["files"][path] = _sha256(content)
    _update("manifest.json", partial(_enter, item, facts))
    if isinstance(obj, Figure):
        _figures[item_id] = obj


def check(
    item_id: str,
    statement: str,
    error: float,
    tolerance: float,
    *,
    network: str,
    data: str,
    profile: str = "offline",
) -> str:
    """Assert that an equation holds to ``tolerance`` and enter the statement in the manifest.

    ``error`` is the largest deviation that was measured; only the tolerance is kept, so that the record
    does not change with rounding. Returns a line to print, such as "sca-eq-6 holds to 1e-06". Raises
    AssertionError where the error is larger or NaN, ValueError for an unknown item or a tolerance that is
    negative.
    """
    item, size, limit = _item(item_id), float(error), float(tolerance)
    if not limit >= 0:
        raise ValueError(f"{item_id}: tolerance is {tolerance}; expected a number that is not negative")
    if not size <= limit:
        raise AssertionError(
            f"{item_id} does not hold on {network}, {data}: {statement}; error {size:.3g}, tolerance {limit:.3g}"
        )
    row = {"statement": statement, "holds_to": limit, "network": network, "data": data, **_mark(network)}
    _update("manifest.json", partial(_enter_check, item, row, profile))
    return f"{item_id} holds to {limit:.3g}"


def claim(
    claim_id: str,
    *,
    paper: str,
    claim: str,
    evidence: str,
    ours: str | float,
    verdict: str,
    notebook: str,
    interval: tuple[float, float] | None = None,
) -> str:
    """Enter one claim of a paper in the ledger: what it says, its evidence, what we measure, who is right.

    ``ours`` is a sentence or a number (kept to three digits), ``interval`` its lower and upper bound.
    Returns the line "claim: verdict" to print. Raises ValueError for a verdict, paper or notebook that
    does not exist.
    """
    notebooks = sorted({item.notebook for item in ITEMS.values()})
    for name, given, allowed in (
        ("verdict", verdict, VERDICTS),
        ("paper", paper, list(PAPERS)),
        ("notebook", notebook, notebooks),
    ):
        if given not in allowed:
            raise ValueError(f"{claim_id}: {name} is {given!r}; expected one of {list(allowed)}")
    row = {
        "paper": paper,
        "claim": claim,
        "evidence": evidence,
        "ours": ours if isinstance(ours, str) else f"{ours:.3g}",
        "interval": None if interval is None else " … ".join(f"{bound:.3g}" for bound in interval),
        "verdict": verdict,
        "notebook": notebook,
        **_mark(),
    }
    _update("claims.json", lambda entries: entries.update({claim_id: row}))
    return f"{claim}: {_verdict(row)}"


def caption_md(item_id: str) -> str:
    """Caption of a saved item in Markdown: what is shown, on what, and what differs from the paper."""
    return _caption(_item(item_id), _entry(item_id))


def show(item_id: str) -> Markdown:
    """Display a saved figure and return its caption, so that the caption stands below the figure.

    The figure is closed: the notebook would show it a second time. Tables show nothing but their caption.
    """
    figure = _figures.pop(item_id, None)
    if figure is not None:
        display(figure)
        plt.close(figure)
    return Markdown(caption_md(item_id))


def manifest() -> dict[str, Any]:
    """What has been made: item id -> title, caption, network, data, n, seed, files with sha256, checks."""
    return _read("manifest.json")


def claims() -> dict[str, Any]:
    """The ledger: claim id -> paper, claim, evidence, ours, interval, verdict, notebook."""
    return _read("claims.json")


# Entries of the manifest


def _mark(network: str = "") -> dict[str, str]:
    """The mark of what this process makes after it loaded weights that are not the published ones; else empty.

    ``network`` is the item's own word: what is made with "none" needs no mark.
    """
    why = None if network.startswith("none") else checkpoints.not_comparable()
    return {} if why is None else {"not_comparable": why}


def _verdict(row: Mapping[str, Any]) -> str:
    """The verdict of a claim, or that there is none."""
    return f"{row['verdict']}, not comparable" if "not_comparable" in row else row["verdict"]


def _item(item_id: str) -> Item:
    """The item; ValueError with the nearest ids if there is none."""
    if item_id not in ITEMS:
        near = difflib.get_close_matches(str(item_id), ITEMS, n=4, cutoff=0.5)
        hint = f"nearest: {', '.join(near)}" if near else "camlib.compendium.report.ITEMS lists all"
        raise ValueError(f"no item {item_id!r}; {hint}")
    return ITEMS[item_id]


def _check_kind(obj: Any, item: Item) -> None:
    """TypeError or ValueError where an object cannot be that item."""
    if not isinstance(obj, Figure | pd.DataFrame):
        raise TypeError(f"{item.id}: given {type(obj).__name__}; expected a matplotlib Figure or a pandas DataFrame")
    wrong = "table" if isinstance(obj, Figure) else "figure"
    if item.kind == wrong:
        raise ValueError(f"{item.id} is a {item.kind}; given a {type(obj).__name__}. Tables beside a figure: extra=")


def _entry(item_id: str) -> dict[str, Any]:
    """The manifest entry of an item; ValueError if it has not been made."""
    entries = manifest()
    if item_id not in entries:
        raise ValueError(f"{item_id} is not made yet; notebook {_item(item_id).notebook} makes it")
    return entries[item_id]


def _fresh(item: Item, entries: dict[str, Any]) -> dict[str, Any]:
    """The entry of an item, emptied if this process touches the item for the first time."""
    if item.id not in _made_here:
        _made_here.add(item.id)
        _remove(entries.get(item.id, {}).get("files", {}), keep=())
        entries.pop(item.id, None)
    base = {"kind": item.kind, "paper": item.paper, "title": item.title, "notebook": item.notebook}
    return entries.setdefault(item.id, base)


def _enter(item: Item, facts: dict[str, Any], entries: dict[str, Any]) -> None:
    """Put files and caption of an item into the entries; delete what only an older run made."""
    old = entries.get(item.id, {}).get("files", {})
    _remove(old, keep=facts["files"])
    entries.get(item.id, {}).pop("files", None)
    _fresh(item, entries).update(facts)


def _enter_check(item: Item, row: dict[str, Any], profile: str, entries: dict[str, Any]) -> None:
    """Put one checked statement of an item into the entries, in place of the same one of before."""
    entry = _fresh(item, entries)
    entry.setdefault("profile", profile)
    others = [known for known in entry.get("checks", []) if _case(known) != _case(row)]
    entry["checks"] = sorted([*others, row], key=_case)


def _case(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["statement"], row["network"], row["data"]


def _remove(files: Iterable[str], keep: Iterable[str]) -> None:
    """Delete files of FIGURES except those to keep."""
    for name in set(files) - set(keep):
        (paths.FIGURES / name).unlink(missing_ok=True)


# Files


def _figure_files(figure: Figure, item_id: str, vector: bool) -> dict[str, bytes]:
    """Bytes of a figure's files by name."""
    files = {f"{item_id}.png": _png(figure, item_id)}
    if vector:
        files[f"{item_id}.pdf"] = _print(figure, "pdf", {"CreationDate": None})
    return files


def _table_files(frame: pd.DataFrame, item_id: str) -> dict[str, bytes]:
    """Bytes of a table's files by name."""
    return {f"{item_id}.csv": _csv(frame), f"{item_id}.md": _frame_markdown(frame).encode()}


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


def _csv(frame: pd.DataFrame) -> bytes:
    """Table as CSV; floats keep eight digits, which is all that float32 results hold."""
    return frame.to_csv(index=_has_index(frame), float_format="%.8g", lineterminator="\n").encode()


def _frame_markdown(frame: pd.DataFrame) -> str:
    """Table as Markdown; floats with four digits."""
    flat = frame.reset_index() if _has_index(frame) else frame
    titles = [" ".join(map(str, name)).strip() if isinstance(name, tuple) else str(name) for name in flat.columns]
    rows = [[_text(value) for value in row] for row in flat.itertuples(index=False, name=None)]
    return _table(titles, rows) + "\n"


def _has_index(frame: pd.DataFrame) -> bool:
    """Whether the index says something."""
    return not isinstance(frame.index, pd.RangeIndex)


def _text(value: Any) -> str:
    """A table cell in words; nothing for what is missing."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4g}"
    return "" if value is None or value is pd.NA else str(value)


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown table; bars and line breaks in cells are escaped."""
    lines = [list(titles), ["---"] * len(titles), *rows]
    cells = [[re.sub(r"\s*\n\s*", " ", cell).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def _write(path: Path, content: bytes) -> None:
    """Write to a temporary name of this process, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read(name: str) -> dict[str, Any]:
    """A JSON file of FIGURES; empty if there is none."""
    path = paths.FIGURES / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _update(name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Read, change and write a JSON file of FIGURES while no other process does."""
    paths.BUILD.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.BUILD / "figures.lock", timeout=60):
        entries = _read(name)
        change(entries)
        text = json.dumps(entries, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        _write(paths.FIGURES / name, (text + "\n").encode())


# Gallery, ledger and the generated blocks of the README


def gallery() -> list[str]:
    """Write figures/README.md, figures/claims.md and the generated blocks of the README; say what was done.

    The README is touched only for the repository's own figures/, not for CAMLIB_FIGURES. Returns one line for
    each file written and each block that the README lacks. Raises ValueError for a block without an end.
    """
    lines = []
    for path, text in _generated_files().items():
        _write(path, text.encode())
        lines.append(f"wrote {_relative(path)}")
    readme = paths.ROOT / "README.md"
    if not _owns_readme():
        return [*lines, f"left README.md alone: figures are in {_relative(paths.FIGURES)}"]
    if not readme.exists():
        return [*lines, "README.md is not there: no blocks to refresh"]
    text, missing = _with_blocks(readme.read_text(encoding="utf-8"))
    _write(readme, text.encode())
    skipped = [f"README.md has no <!-- begin:{name} --> … <!-- end:{name} -->: skipped" for name in missing]
    return [*lines, "refreshed README.md", *skipped]


def problems() -> list[str]:
    """Everything in which files, manifest and generated texts disagree; empty if all is well."""
    found = []
    owned = {"manifest.json", "claims.json", "README.md", "claims.md"}
    for item_id, entry in manifest().items():
        if item_id not in ITEMS:
            found.append(f"{item_id}: in the manifest, but not in items.csv")
        elif (entry["notebook"], entry["title"]) != (ITEMS[item_id].notebook, ITEMS[item_id].title):
            found.append(f"{item_id}: notebook or title differ from items.csv; run the notebook again")
        for name, digest in entry.get("files", {}).items():
            owned.add(name)
            path = paths.FIGURES / name
            if not path.exists():
                found.append(f"{name}: missing; notebook {entry['notebook']} makes it")
            elif _sha256(path.read_bytes()) != digest:
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
    }


def gallery_text(entries: Mapping[str, Any]) -> str:
    """The gallery in Markdown: counts, then each paper's pictures, tables and equations, made and open."""
    made = sum(item_id in entries for item_id in ITEMS)
    counts = [[PAPERS[paper], *(_count(entries, paper, kind) for kind in KINDS)] for paper in PAPERS]
    parts = [
        "# Gallery",
        f"{made} of {len(ITEMS)} items are made, {len(ITEMS) - made} are open. "
        "This page is generated from `manifest.json`; the claims that they decide: [claims.md](claims.md).",
        _table(["made / all", *(f"{kind}s" for kind in KINDS)], counts),
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
        parts.append(_table(["checked", "what", "holds to", "network, data", "notebook"], rows))
    if still:
        parts.append("<details><summary>open: " + str(len(still)) + "</summary>")
        parts.append(_table(["open", "what", "notebook to come"], still))
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
        [f"### {item.id} · {item.title}", *pictures, _caption(item, entry), f"{links} · {_notebook(item)}"]
    )


def _check_rows(item: Item, entry: Mapping[str, Any]) -> list[list[str]]:
    """Table rows of an equation's checked statements."""
    return [
        [
            item.id,
            row["statement"],
            f"{row['holds_to']:.3g}",
            f"{row['network']}; {row['data']}{_marked(row)}",
            _notebook(item),
        ]
        for row in entry["checks"]
    ]


def _caption(item: Item, entry: Mapping[str, Any]) -> str:
    """Caption with network, data, n, seed and difference from the paper, or what was checked."""
    if "caption" not in entry:
        mark = next(filter(None, map(_marked, entry["checks"])), "")
        rows = [
            f"{row['statement']} (to {row['holds_to']:.3g}; {row['network']}; {row['data']})" for row in entry["checks"]
        ]
        return f"**{item.id}.** {item.title}. Checked: {'; '.join(rows)}.{mark}"
    facts = {key: entry[key] for key in ("network", "data", "n", "seed") if entry[key] not in (None, "")}
    text = f"**{item.id}.** {entry['caption']} *{'; '.join(_fact(*fact) for fact in facts.items())}.*"
    return text + (f" Differs from the paper: {entry['differs']}" if entry["differs"] else "") + _marked(entry)


def _marked(entry: Mapping[str, Any]) -> str:
    """The mark as the end of a sentence."""
    return f" **Not comparable:** {entry['not_comparable']}." if "not_comparable" in entry else ""


def _fact(name: str, value: Any) -> str:
    """One fact of a caption."""
    return {"network": "Network", "data": "data"}.get(name, name) + (f" = {value}" if name == "n" else f" {value}")


def _notebook(item: Item, base: Path | None = None) -> str:
    """Link to a notebook, from FIGURES unless another folder is given."""
    path = _from(base or paths.FIGURES, paths.NOTEBOOKS / f"{item.notebook}.ipynb")
    return f"[{item.notebook}]({path})"


def claims_text(rows: Mapping[str, Any]) -> str:
    """The ledger of claims in Markdown."""
    titles = ["claim", "paper", "the paper's evidence", "ours [interval]", "verdict", "notebook"]
    table = [
        [
            row["claim"],
            PAPERS[row["paper"]],
            row["evidence"],
            _ours(row),
            f"**{_verdict(row)}**",
            row["notebook"],
        ]
        for row in _by_paper(rows)
    ]
    counts = ", ".join(f"{sum(row['verdict'] == word for row in rows.values())} {word}" for word in VERDICTS)
    body = _table(titles, table) if table else "No notebook has decided a claim yet."
    marked = sum("not_comparable" in row for row in rows.values())
    counts += f". {marked} of them are not comparable with a paper, by their weights" if marked else ""
    return f"# What the papers claim, and what we find\n\n{len(rows)} claims: {counts}.\n\n{body}\n"


def _by_paper(rows: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Claims in the order of papers, then of ids."""
    order = list(PAPERS)
    return [rows[key] for key in sorted(rows, key=lambda key: (order.index(rows[key]["paper"]), key))]


def _ours(row: Mapping[str, Any]) -> str:
    """Our value with its interval."""
    return row["ours"] + (f" [{row['interval']}]" if row["interval"] else "")


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
    return _table(["method", "family", "what it is", "source", "passes"], rows)


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
    return head + "\n\n" + _table(["paper", "items", "notebook", "made"], rows)


def claims_block() -> str:
    """One line a claim with its verdict."""
    rows = _by_paper(claims())
    if not rows:
        return "No notebook has decided a claim yet."
    lines = [f"- {row['claim']} ({PAPERS[row['paper']]}): **{_verdict(row)}**" for row in rows]
    link = _from(paths.ROOT, paths.FIGURES / "claims.md")
    return "\n".join([*lines, "", f"Evidence on both sides, numbers and intervals: [the ledger]({link})."])


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: ``gallery`` writes, ``check`` compares and returns 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m camlib.compendium.report", description=__doc__)
    parser.add_argument("command", choices=("gallery", "check"), help="write the gallery, or check all files")
    command = parser.parse_args(arguments).command
    lines = gallery() if command == "gallery" else problems()
    print("\n".join(lines) if lines else "figures, manifest and gallery agree")
    return int(command == "check" and bool(lines))


if __name__ == "__main__":
    sys.exit(main())
