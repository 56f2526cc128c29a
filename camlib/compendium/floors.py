"""``make map``: the floors of the package, read from its imports.

A room is a file at the top of camlib or a folder there, a wing. It stands one floor above the highest of the rooms that
it imports from. Nothing is imported to find out: imports are read from the syntax trees, those inside functions too.
``python -m camlib.compendium.floors --renew`` writes the same text into the README.
"""

from __future__ import annotations

import argparse
import ast
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from camlib import paths

PACKAGE = paths.ROOT / "camlib"
README = paths.ROOT / "README.md"
BEGIN, END = "<!-- begin:floors -->\n", "<!-- end:floors -->"


@dataclass(frozen=True)
class Source:
    """One file: its path in the package, its room, its lines, its syntax tree, the other rooms that it imports from."""

    path: str
    room: str
    lines: int
    tree: ast.Module
    imports: frozenset[str]

    @property
    def summary(self) -> str:
        """First line of its docstring."""
        return (ast.get_docstring(self.tree) or "").partition("\n")[0].replace("``", "")

    @property
    def longest_function(self) -> tuple[int, str]:
        """(lines, name) of its longest function or method, its docstring left out; (0, "") without any."""
        functions = [node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        return max(((_length(node), node.name) for node in functions), default=(0, ""))


def sources(package: Path = PACKAGE) -> list[Source]:
    """Every file of a package but its face, the topmost ``__init__.py``, which hands names on and defines none."""
    face = _face(package)
    files = {path: path.relative_to(package) for path in sorted(package.rglob("*.py"))}
    del files[package / "__init__.py"]
    rooms = {inside.parts[0].removesuffix(".py"): _room(inside) for inside in files.values()}
    found = []
    for path, inside in files.items():
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        imports = {rooms[name] for name in _named(tree, package.name, face) if name in rooms} - {_room(inside)}
        found.append(Source(inside.as_posix(), _room(inside), len(text.splitlines()), tree, frozenset(imports)))
    return found


def _room(inside: Path) -> str:
    """Where a file lies: "networks.py" for one at the top of the package, "engine/" for one in a wing."""
    return inside.name if len(inside.parts) == 1 else f"{inside.parts[0]}/"


def _face(package: Path) -> dict[str, str]:
    """Name of the face -> the room that brings it, from the stub ``__init__.pyi``."""
    stub = package / "__init__.pyi"
    nodes = ast.parse(stub.read_text(encoding="utf-8")).body if stub.is_file() else []
    imported = [(node.module, alias) for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
    return {alias.asname or alias.name: (module or alias.name).partition(".")[0] for module, alias in imported}


def _named(tree: ast.Module, package: str, face: Mapping[str, str]) -> Iterator[str]:
    """What a file names of the package, first part only: imports, and attributes of the package itself."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module)) if module.startswith(f"{package}."):
                yield module.split(".")[1]
            case ast.ImportFrom(module=str(module)) if module == package:
                yield from (face.get(alias.name, alias.name) for alias in node.names)
            case ast.Import():
                yield from (a.name.split(".")[1] for a in node.names if a.name.startswith(f"{package}."))
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name == package:
                yield face.get(attribute, attribute)


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the end, without those of the docstring."""
    said = function.body[0] if ast.get_docstring(function) is not None else None
    return function.end_lineno - function.lineno + 1 - (said.end_lineno - said.lineno + 1 if said else 0)


def floors(found: Sequence[Source]) -> list[list[str]]:
    """Rooms by floor, the ground first; raises ValueError for rooms that import each other in a circle."""
    left = {room: set().union(*(s.imports for s in found if s.room == room)) for room in {s.room for s in found}}
    levels: list[list[str]] = []
    while left:
        level = sorted(room for room, below in left.items() if not below & left.keys())
        if not level:
            named = "; ".join(f"{room} imports {', '.join(sorted(left[room] & left.keys()))}" for room in sorted(left))
            raise ValueError(f"Rooms that import each other in a circle, or stand above one: {named}.")
        levels.append(level)
        for room in level:
            del left[room]
    return levels


def map_text(found: Sequence[Source]) -> str:
    """The floors as text, the ground last: a line a room, with its lines of code and what it says of itself."""
    rows = []
    for number, level in reversed(list(enumerate(floors(found), start=1))):
        for place, room in enumerate(level):
            own = [source for source in found if source.room == room]
            summary = next((source.summary for source in own if source.path in (room, f"{room}__init__.py")), "")
            floor = f"floor {number}" if place == 0 else ""
            rows.append(f"{floor:8s} {room:15s} {sum(source.lines for source in own):5,d}  {summary}".rstrip())
    return "\n".join(rows) + "\n"


def block(found: Sequence[Source]) -> str:
    """The map as it stands in the README, between :data:`BEGIN` and :data:`END`."""
    return f"```text\n{map_text(found)}```\n"


def renewed(readme: str, found: Sequence[Source]) -> str:
    """The text of a README with its map made anew; raises ValueError where it has no place for one."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, behind = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The README has no lines {BEGIN.strip()} and {END}: add them where the map belongs.")
    return before + begin + block(found) + end + behind


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: print the map, the longest file and the longest function; ``--renew`` the README, too."""
    parser = argparse.ArgumentParser(prog="python -m camlib.compendium.floors", description=__doc__.splitlines()[0])
    parser.add_argument("--renew", action="store_true", help="write the map into the README")
    options = parser.parse_args(arguments)
    found = sources()
    longest, busiest = max(found, key=lambda s: s.lines), max(found, key=lambda s: s.longest_function)
    print(map_text(found))
    print(f"{len(found)} files, {sum(source.lines for source in found):,} lines")
    print(f"longest file: {longest.path}, {longest.lines} lines")
    print(f"longest function: {busiest.longest_function[1]} in {busiest.path}, {busiest.longest_function[0]} lines")
    if options.renew:
        temporary = README.with_name(f".{README.name}.{os.getpid()}")
        temporary.write_text(renewed(README.read_text(encoding="utf-8"), found), encoding="utf-8")
        temporary.replace(README)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
