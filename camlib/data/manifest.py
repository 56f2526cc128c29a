"""Files that packages bring, photographs and weights: what ``data/manifest.json`` lists, verified when it is loaded.

``make verify`` (``python -m camlib.data verify``) checks every file and prints one line for each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from camlib import paths

Entry = dict[str, Any]


@cache
def listed() -> list[Entry]:
    """The entries of ``data/manifest.json`` in order; data/README.md says what their fields mean."""
    file = paths.DATA / "manifest.json"
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} does not exist: camlib runs from its repository. "
            "Clone it and run `make env`, or `pip install -e .`, there."
        )
    return json.loads(file.read_text(encoding="utf-8"))


def entries(kind: str) -> dict[str, Entry]:
    """The entries of a kind, "photograph" or "weights", by name."""
    return {entry["id"]: entry for entry in listed() if entry["kind"] == kind}


def find_entry(kind: str, name: str) -> Entry:
    """The entry of this kind and name; ValueError with the nearest names, TypeError for a name that is no string."""
    known = entries(kind)
    if not isinstance(name, str):
        raise TypeError(f"name of a {kind} is a {type(name).__name__}; expected a string, one of {', '.join(known)}.")
    if name not in known:
        near = get_close_matches(name.lower(), known, n=3, cutoff=0.5) or list(known)
        raise ValueError(f"no {kind} is called {name!r}; the nearest of {len(known)} names: {', '.join(near)}.")
    return known[name]


@cache
def verified_file(name: str) -> Path:
    """Path of a file of the manifest, compared with its SHA-256 once in a process; raises as :func:`verify_entry`."""
    return verify_entry(next(entry for entry in listed() if entry["id"] == name))


def weight_file(name: str) -> Path:
    """Path of the weight file ``name``, e.g. "efficientnet-lite0", its file verified once in a process.

    Raises ValueError for an unknown name (with the nearest ones) or a wrong checksum, FileNotFoundError for
    a missing file.
    """
    find_entry("weights", name)
    return verified_file(name)


def verify_entry(entry: Entry) -> Path:
    """Path of the file that a manifest entry describes, after comparing its SHA-256 with the entry.

    Raises FileNotFoundError when the package or its file is missing, ValueError when the checksum differs;
    both name the file and the pip command that repairs it.
    """
    repair = f"Repair it with: pip install --force-reinstall --no-deps {entry['package']}=={entry['version']}"
    spec = find_spec(entry["module"])
    if spec is None:
        raise FileNotFoundError(f"{entry['id']}: the package {entry['package']} is not installed. {repair}")
    path = Path(spec.submodule_search_locations[0], entry["file"])
    if not path.is_file():
        raise FileNotFoundError(f"{entry['id']}: {path} does not exist. {repair}")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != entry["sha256"]:
        raise ValueError(
            f"{entry['id']}: {path} has SHA-256 {found}, data/manifest.json expects {entry['sha256']}. {repair}"
        )
    return path


def verify() -> bool:
    """Check every file of the manifest, print a line for each and a closing count; True if all is well."""
    right = 0
    for entry in listed():
        try:
            verify_entry(entry)
        except (FileNotFoundError, ValueError) as error:
            print(f"BAD  {error}")
        else:
            right += 1
            print(f"ok   {entry['id']:18} {entry['module']}/{entry['file']}")
    print(f"{right} of {len(listed())} files are as the manifest says")
    return right == len(listed())


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: ``python -m camlib.data verify``; 0 if every file is as the manifest says, else 1."""
    parser = argparse.ArgumentParser(prog="python -m camlib.data", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["verify"])
    parser.parse_args(arguments)
    return 0 if verify() else 1
