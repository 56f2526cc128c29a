"""The JSON records of figures/ and the files that they own: all of a change arrives, or nothing of it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from filelock import FileLock

from camlib import paths

Entries = dict[str, dict[str, Any]]
_LEFTOVER = re.compile(r"\..+\.(\d+)")
"""Name of a temporary file: a dot, the file's name, the process."""


def read(name: str, keys: Sequence[str] = ()) -> Entries:
    """A record of FIGURES, id -> entry; empty if there is none.

    Raises ValueError, with the name of the file and the way out, for one that is no JSON, has an entry without one of
    the ``keys`` or with anything but a text there, or names a file outside of FIGURES.
    """
    path = paths.FIGURES / name
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(entries, dict):
        raise _damaged(path, f"it holds a {type(entries).__name__}, not entries by id")
    for key, entry in entries.items():
        if trouble := _trouble(entry, keys):
            raise _damaged(path, f"{key}: {trouble}")
    return entries


def _damaged(path: Path, what: str) -> ValueError:
    return ValueError(
        f"{path.name} in {path.parent.name}/ is damaged ({what}). Take back the committed one (git checkout -- "
        f"{path.parent.name}/{path.name}), or delete it and run the notebooks again."
    )


def _trouble(entry: Any, keys: Sequence[str]) -> str:
    """What is wrong with an entry; empty if nothing is."""
    if not isinstance(entry, dict):
        return f"a {type(entry).__name__} instead of an entry"
    if wrong := [key for key in keys if not isinstance(entry.get(key), str)]:
        return f"no text under {', '.join(wrong)}"
    files = entry.get("files", {})
    if not isinstance(files, dict):
        return f"files is a {type(files).__name__}"
    return next((f"the file {name!r} lies outside" for name in files if not _inside(name)), "")


def _inside(name: str) -> bool:
    """Whether a name with slashes is one of a file below FIGURES."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


def update(
    name: str, change: Callable[[Entries], None], keys: Sequence[str] = (), files: Mapping[str, bytes] | None = None
) -> None:
    """Read, change and write a record, with files that its entries own, while no other process does.

    What the entries do not own any more is deleted. Everything is checked and written under temporary names before the
    first file is replaced. Raises what :func:`read` raises, and ValueError for an entry that JSON cannot hold.
    """
    paths.BUILD.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.BUILD / "figures.lock", timeout=60):
        entries = read(name, keys)
        before = _owned(entries)
        change(entries)
        record = _encoded(entries)
        sweep()
        replace({**(files or {}), name: record})
        for old in before - _owned(entries):
            (paths.FIGURES / old).unlink(missing_ok=True)


def _owned(entries: Entries) -> set[str]:
    return {name for entry in entries.values() for name in entry.get("files", {})}


def _encoded(entries: Entries) -> bytes:
    """The record as bytes; numbers of NumPy become Python's."""
    for key, entry in entries.items():
        try:
            _text(entry).encode()
        except (TypeError, ValueError) as error:
            raise ValueError(f"{key}: {error}; an entry holds texts and finite numbers") from error
    return (_text(entries) + "\n").encode()


def _text(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r} is no text and no number")


def replace(contents: Mapping[str, bytes]) -> None:
    """Write files of FIGURES, all under temporary names first, so that a full disk leaves the old ones."""
    staged: dict[Path, Path] = {}
    try:
        for name, content in contents.items():
            path = paths.FIGURES / name
            path.parent.mkdir(parents=True, exist_ok=True)
            staged[path] = path.with_name(f".{path.name}.{os.getpid()}")
            staged[path].write_bytes(content)
        for path, temporary in staged.items():
            temporary.replace(path)
    finally:
        _delete(staged.values())


def sweep() -> None:
    """Delete what processes left that were killed while they wrote."""
    _delete(path for path in paths.FIGURES.rglob(".*") if (left := _LEFTOVER.fullmatch(path.name)) and _gone(left[1]))


def _delete(files: Iterable[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)


def _gone(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
