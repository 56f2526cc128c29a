"""Which notebooks have to run again: those that changed in code, or whose imports or data did.

    python -m camlib.compendium.stale build/notebooks notebooks/*.ipynb    prints them, and to stderr why
    python -m camlib.compendium.stale --all build/notebooks ...            prints all

A run keeps beside itself, in .needs/, a digest of everything that it needs: its own code cells, the modules that it
imports (found in the syntax trees, modules that these import included), its entries in items.toml and claims.toml, the
files of data/ that one of these modules names, and requirements.lock. Text between cells needs no run: it is copied
into the run. Times of files do not matter, so that a checkout, a copy or ``touch`` runs nothing.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

PACKAGE = "camlib"
ALWAYS = ("camlib/compendium/notebook_cleaner.py", "requirements.lock")
PAGES = frozenset({"camlib/compendium/gallery.py"})
"""What is imported and makes the pages of figures/ alone: nothing of it is in a notebook."""
LISTS = ("items.toml", "claims.toml")
"""A notebook needs its own entries of these, not those of others."""
RECORDS = ".needs"


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


class Imports:
    """The modules of a package that are there, and which of them a piece of code imports.

    Args:
        root: folder of the package, of data/ and of requirements.lock.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._edges: dict[Path, set[Path]] = {}
        self._faces: dict[Path, dict[str, str]] = {}
        self._pages = {root / name for name in PAGES}

    def closure(self, trees: Iterable[ast.AST]) -> set[Path]:
        """Files of all modules that these trees import, and those that these import, and so on."""
        found: set[Path] = set()
        open_ = {path for tree in trees for path in self._imported(tree)}
        open_ |= {path for name in ALWAYS if name.endswith(".py") and (path := self.root / name).is_file()}
        while open_:
            path = open_.pop()
            found.add(path)
            if path not in self._edges:
                self._edges[path] = set(self._imported(_tree(path), path))
            open_ |= self._edges[path] - found - self._pages
        return found

    def _imported(self, tree: ast.AST, path: Path | None = None) -> Iterator[Path]:
        bound: dict[str, str] = {}
        loads_all = False
        for node in ast.walk(tree):
            match node:
                case ast.Import():
                    for alias in node.names:
                        first = alias.name.partition(".")[0]
                        bound[alias.asname or first] = alias.name if alias.asname else first
                        yield from self._files(alias.name)
                case ast.ImportFrom(module=str(module), level=0):
                    for alias in node.names:
                        bound[alias.asname or alias.name] = f"{module}.{alias.name}"
                        yield from self._files(f"{module}.{alias.name}")
                case ast.Constant(value=str(text)) if re.fullmatch(rf"{PACKAGE}(\.\w+)+", text):
                    yield from self._files(text)  # imported by name
                case ast.Call(func=ast.Name(id="import_module")):
                    loads_all = True
        yield from self._files_of_attributes(tree, bound)
        if loads_all and path is not None and path.name == "__init__.py":
            yield from path.parent.glob("*.py")

    def _files_of_attributes(self, tree: ast.AST, bound: Mapping[str, str]) -> Iterator[Path]:
        """``plots.overlays.x`` where ``plots`` is a package: lazy packages import what is named."""
        for node in ast.walk(tree):
            parts: list[str] = []
            while isinstance(node, ast.Attribute):
                parts.append(node.attr)
                node = node.value
            if parts and isinstance(node, ast.Name) and bound.get(node.id, "").partition(".")[0] == PACKAGE:
                yield from self._files(".".join([bound[node.id], *reversed(parts)]))

    def _files(self, dotted: str) -> Iterator[Path]:
        """Files that are read when a dotted name of the package is imported."""
        first, *parts = dotted.split(".")
        folder = self.root / PACKAGE
        if first != PACKAGE or not (folder / "__init__.py").is_file():
            return
        for number, part in enumerate([None, *parts]):
            if part is not None and (folder / part / "__init__.py").is_file():
                folder = folder / part
            elif part is not None:
                if (folder / f"{part}.py").is_file():
                    yield folder / f"{part}.py"
                elif target := self._handed_on(folder / "__init__.py").get(part):
                    yield from self._files(".".join([target, *parts[number:]]))
                return
            yield folder / "__init__.py"

    def _handed_on(self, init: Path) -> dict[str, str]:
        """Name -> where a package takes it from: what it hands to lazy_loader, or its stub."""
        if init not in self._faces:
            self._faces[init] = dict(self._lazy_names(init))
        return self._faces[init]

    def _lazy_names(self, init: Path) -> Iterator[tuple[str, str]]:
        package = ".".join(init.parent.relative_to(self.root).parts)
        stub = init.with_suffix(".pyi")
        for node in ast.walk(_tree(init)):
            if isinstance(node, ast.keyword) and node.arg == "submod_attrs":
                for module, names in ast.literal_eval(node.value).items():
                    yield from ((name, f"{package}.{module}.{name}") for name in names)
        for node in ast.walk(_tree(stub)) if stub.is_file() else ():
            if isinstance(node, ast.ImportFrom):
                module = f"{package}.{node.module}" if node.module else package
                yield from ((alias.asname or alias.name, f"{module}.{alias.name}") for alias in node.names)


def needs(notebook: Path, imports: Imports) -> dict[str, str]:
    """What a notebook needs -> digest, by path from the root; "code" is the notebook's own."""
    cells = _cells(notebook)
    trees = [*_trees(cells)]
    modules = imports.closure(trees)
    said = set().union(*(_words(tree) for tree in [*trees, *(_tree(path) for path in modules)]))
    files = {*modules, *_data(imports.root, said), *_beside(modules, said), imports.root / "requirements.lock"}
    found = {path.relative_to(imports.root).as_posix(): _digest(path) for path in files if path.is_file()}
    for name in [name for name in found if name.endswith(LISTS)]:
        found[name] = _digest_of_entries(imports.root / name, notebook.stem)
    code = [[cell["source"], cell.get("metadata", {}).get("tags", [])] for cell in cells]
    return {"code": _short(json.dumps(code).encode())} | dict(sorted(found.items()))


def _cells(notebook: Path) -> list[dict]:
    cells = json.loads(notebook.read_text(encoding="utf-8") or "{}").get("cells", [])
    return [cell | {"source": _text(cell)} for cell in cells if cell["cell_type"] == "code" and _text(cell).strip()]


def _text(cell: Mapping) -> str:
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def _trees(cells: Sequence[Mapping]) -> Iterator[ast.AST]:
    """The code of a notebook as one tree, names that one cell imports are used in others; magics are left out."""
    module = ast.Module(body=[], type_ignores=[])
    for cell in cells:
        with suppress(SyntaxError):
            module.body += ast.parse(cell["source"]).body
    yield module


@cache
def _words(tree: ast.AST) -> frozenset[str]:
    """Parts of the strings in a tree that may be names of files."""
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return frozenset(word for text in texts if len(text) < 80 for word in (text, *re.split(r"[/.\\]", text)))


def _data(root: Path, said: Iterable[str]) -> Iterator[Path]:
    """Files of data/ whose name, or that of their folder, is said: "bench" for bench.csv and bench-machine.json."""
    for entry in sorted((root / "data").glob("*")):
        if entry.suffix != ".md" and re.split(r"[.-]", entry.name)[0] in said:
            yield from sorted(entry.rglob("*")) if entry.is_dir() else [entry]


def _beside(modules: Iterable[Path], said: Iterable[str]) -> Iterator[Path]:
    """Tables and texts that lie beside the modules and are named by one of them."""
    for folder in {path.parent for path in modules}:
        yield from folder.glob("*.pyi")
        yield from (path for path in folder.glob("*.*") if path.suffix in (".toml", ".csv") and path.name in said)


def _digest_of_entries(file: Path, notebook: str) -> str:
    entries = tomllib.loads(file.read_text(encoding="utf-8"))
    own = {
        key: entry for key, entry in entries.items() if isinstance(entry, dict) and entry.get("notebook") == notebook
    }
    return _short(json.dumps(own, sort_keys=True).encode())


@cache
def _digest(path: Path) -> str:
    return _short(path.read_bytes())


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


# What is kept beside a run


def record_path(run: Path) -> Path:
    """Where the digests of a run lie."""
    return run.parent / RECORDS / f"{run.stem}.json"


def remember(run: Path, found: Mapping[str, str]) -> None:
    """Keep beside a run what it needed."""
    path = record_path(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")


def why(notebook: Path, run: Path, imports: Imports) -> str:
    """Why a notebook has to run again, in a few words; empty if it has not."""
    if not run.is_file():
        return "it has not run yet"
    if not record_path(run).is_file():
        return "nobody knows what its run needed"
    before, now = json.loads(record_path(run).read_text(encoding="utf-8")), needs(notebook, imports)
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    first = "its code" if changed[:1] == ["code"] else (changed or [""])[0]
    return f"{first} changed" + (f", and {len(changed) - 1} more" if len(changed) > 1 else "") if changed else ""


def copy_text(notebook: Path, run: Path) -> bool:
    """Bring the text between the cells of a run up to date, its code being the notebook's; whether it changed."""
    told, ran = (json.loads(path.read_text(encoding="utf-8") or "{}") for path in (notebook, run))
    executed, coded = (
        [cell for cell in notebook.get("cells", []) if cell["cell_type"] == "code"] for notebook in (ran, told)
    )
    if len(executed) != len(coded):
        return False  # a cell with parameters was injected
    executed = iter(executed)
    cells = [next(executed, cell) if cell["cell_type"] == "code" else cell for cell in told.get("cells", [])]
    pairs = zip(cells, told.get("cells", []), strict=True)
    cells = [cell | {"id": own["id"]} if "id" in own else cell for cell, own in pairs]
    if cells == ran.get("cells", []):
        return False
    run.write_text(
        json.dumps(ran | {"cells": cells}, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
    )
    return True


FEW = 5
"""So many notebooks with one reason are named, more are counted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line, see the head of this module; paths are seen from the repository's folder."""
    parser = argparse.ArgumentParser(prog="python -m camlib.compendium.stale", description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="folder of the runs")
    parser.add_argument("notebooks", type=Path, nargs="*")
    parser.add_argument("--all", action="store_true", help="all of them, whatever changed")
    options = parser.parse_args(arguments)
    imports, names = Imports(Path.cwd()), {}
    for notebook in options.notebooks:
        run = options.runs / notebook.name
        if reason := "asked for" if options.all else why(notebook, run, imports):
            names.setdefault(reason, []).append(notebook.stem)
            print(notebook.as_posix())
        else:
            copy_text(notebook, run)
    for reason, found in names.items():  # a fresh clone has one reason for all of them
        said = found if len(found) <= FEW else [f"each of {len(found)} notebooks"]
        print("\n".join(f"{name} runs: {reason}" for name in said), file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
