"""How much of a notebook's code keeps the books: calls of report, asserts, verdict helpers.

``python tests/plumbing.py notebooks/04_sca_cam.ipynb`` prints the lines that count and the share.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

LONGEST_LINE, LARGEST_CELL, LARGEST_SHARE = 110, 25, 0.08
VERDICTS = {"holds", "does not hold", "undecided"}
HELPERS = {"decide", "told", "agreed", "seen", "verdict", "judged"}


@dataclass(frozen=True)
class Measure:
    """What `measure` finds in one notebook; lines are (number of the cell, line)."""

    code: int
    hidden: int
    plumbing: list[tuple[int, str]]
    long_lines: list[tuple[int, str]]
    large_cells: list[int]

    @property
    def share(self) -> float:
        return len(self.plumbing) / max(self.code, 1)


def measure(path: Path) -> Measure:
    """Code lines (without parameters, imports, comments and blank lines) and those of them that are plumbing.

    Plumbing is every line of a statement that calls ``report``, asserts, or decides a verdict by hand, and a loop, a
    condition or a function that does nothing else. Lines of cells whose input is hidden are counted apart: a reader
    skips them.
    """
    code, hidden, plumbing, long_lines, large_cells = 0, 0, [], [], []
    for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
        if cell.cell_type != "code":
            continue
        lines = cell.source.splitlines()
        long_lines += [(number, line) for line in lines if len(line) > LONGEST_LINE]
        large_cells += [number] if len(lines) > LARGEST_CELL else []
        if "parameters" in cell.metadata.get("tags", []):
            continue
        tree = ast.parse(cell.source)
        aside = {n for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for n in _lines(node)}
        counted = {
            n for n, line in enumerate(lines, 1) if line.strip() and not line.strip().startswith("#") and n not in aside
        }
        if is_hidden(cell):
            hidden += len(counted)
            continue
        code += len(counted)
        found = {n for node in tree.body for n in _plumbing(node)} & counted
        plumbing += [(number, lines[n - 1]) for n in sorted(found)]
    return Measure(code, hidden, plumbing, long_lines, large_cells)


def is_hidden(cell: Any) -> bool:
    """Whether a reader sees the outputs of a cell alone."""
    return "hide-input" in cell.metadata.get("tags", [])


def _lines(node: ast.AST) -> set[int]:
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    return set(range(first, node.end_lineno + 1))


def _plumbing(node: ast.stmt) -> set[int]:
    """Lines of a statement that are plumbing."""
    if isinstance(node, ast.Assert) or (isinstance(node, ast.FunctionDef) and node.name in HELPERS):
        return _lines(node)
    blocks = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
    inner = [statement for block in blocks for statement in block]
    inner += [statement for handler in getattr(node, "handlers", []) for statement in handler.body]
    if inner:
        parts = [_plumbing(statement) for statement in inner]
        bookkeeping = all(part == _lines(statement) for part, statement in zip(parts, inner, strict=True))
        return _lines(node) if bookkeeping else set().union(*parts)
    return _lines(node) if any(map(_keeps_books, ast.walk(node))) else set()


def _keeps_books(node: ast.AST) -> bool:
    """Whether an expression calls report, or names a verdict."""
    if isinstance(node, ast.Constant):
        return node.value in VERDICTS if isinstance(node.value, str) else False
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name) and node.value.id == "report"
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in HELPERS


def main(arguments: list[str]) -> None:
    """Print what counts, notebook by notebook."""
    for path in map(Path, arguments):
        found = measure(path)
        for kind, rows in (("plumbing", found.plumbing), ("long", found.long_lines)):
            print("\n".join(f"{kind} [{number}] {line}" for number, line in rows))
        print(f"{path.stem}: {len(found.plumbing)} of {found.code} lines are plumbing, {found.share:.1%}; ", end="")
        print(f"{found.hidden} lines in hidden cells; ", end="")
        print(
            f"{len(found.long_lines)} lines over {LONGEST_LINE}; cells over {LARGEST_CELL} lines: {found.large_cells}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
