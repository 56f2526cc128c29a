"""Photographs, mosaics and weight files: what ``data/manifest.json`` lists, verified when it is loaded.

``make verify`` (``python -m camlib.data verify``) checks every file and prints one line for each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from camlib import paths

Entry = dict[str, Any]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Photo:
    """What is known of a photograph; ``label``: ImageNet class or None, ``pixels``: (width, height)."""

    name: str
    label: int | None
    label_name: str | None
    title: str
    source: str
    license: str
    sha256: str
    size: int  # bytes of the file
    pixels: tuple[int, int]


@dataclass(frozen=True)
class Mosaic:
    """A picture of square cells; ``names[i]`` lies in ``boxes[i]`` = (x0, y0, x1, y1), half-open pixels."""

    picture: Image.Image
    boxes: list[Box]
    names: list[str]


def list_photos(kind: str | None = None) -> list[str]:
    """Names of the photographs in the order of the manifest: foolbox's 20, then scikit-image's.

    ``kind``: None for all, "imagenet" for those with an ImageNet label, "unlabeled" for the others.
    Raises ValueError for any other kind.
    """
    wanted = {None: (True, False), "imagenet": (True,), "unlabeled": (False,)}
    if kind not in wanted:
        raise ValueError(f"kind {kind!r}: expected None, 'imagenet' or 'unlabeled'.")
    return [e["id"] for e in _entries("photograph").values() if (e["label"] is not None) in wanted[kind]]


def photo_info(name: str) -> Photo:
    """What is known of the photograph ``name``; ValueError with the nearest names if there is none."""
    e = _entry("photograph", name)
    source = f"{e['author']}; {e['source']}"
    return Photo(
        name=e["id"],
        label=e["label"],
        label_name=e["label_name"],
        title=e["what"],
        source=source,
        license=e["license"],
        sha256=e["sha256"],
        size=e["size"],
        pixels=tuple(e["pixels"]),
    )


def load_photo(name: str) -> Image.Image:
    """The photograph ``name`` as an RGB picture, its file verified once in a process.

    Raises ValueError for an unknown name (with the nearest ones) or a wrong checksum, FileNotFoundError for
    a missing file.
    """
    _entry("photograph", name)
    with Image.open(_verified(name)) as picture:
        return picture.convert("RGB")


def weight_file(name: str) -> Path:
    """Path of the weight file ``name``, e.g. "efficientnet-lite0", its file verified once in a process.

    Raises ValueError for an unknown name (with the nearest ones) or a wrong checksum, FileNotFoundError for
    a missing file.
    """
    _entry("weights", name)
    return _verified(name)


def mosaic(pictures: Sequence[str | Image.Image], columns: int = 2, cell: int = 224) -> Mosaic:
    """Photographs in a grid of square cells, row by row: ground truth for where a class must light up.

    ``pictures``: names of photographs, or PIL pictures of mode RGB or L; their number is a multiple of
    ``columns``, so that the cells cover the mosaic. Each is cropped to its central square (the aspect ratio
    stays) and resized to ``cell`` pixels with a bicubic filter. The grid has len(pictures) / columns rows.
    Raises ValueError for an empty or incomplete grid, TypeError for anything that is no picture.
    """
    if isinstance(pictures, (str, Image.Image)):
        raise TypeError(f"pictures is one {type(pictures).__name__}; expected a sequence, e.g. [picture, picture].")
    if columns < 1 or cell < 1:
        raise ValueError(f"columns={columns}, cell={cell}: expected integers of at least 1.")
    if not pictures or len(pictures) % columns:
        raise ValueError(
            f"{len(pictures)} pictures do not fill a grid of {columns} columns: "
            f"pass {columns}, {2 * columns}, ... pictures or another number of columns."
        )
    corners = [(cell * (i % columns), cell * (i // columns)) for i in range(len(pictures))]
    whole = Image.new("RGB", (cell * columns, cell * (len(pictures) // columns)))
    for given, corner in zip(pictures, corners, strict=True):
        whole.paste(square(_as_picture(given), cell), corner)
    names = [p if isinstance(p, str) else f"picture-{i}" for i, p in enumerate(pictures, start=1)]
    return Mosaic(whole, [(x, y, x + cell, y + cell) for x, y in corners], names)


def side_by_side(left: str | Image.Image, right: str | Image.Image, cell: int = 224) -> Mosaic:
    """Two pictures in one row, each in a square cell; see ``mosaic``."""
    return mosaic([left, right], columns=2, cell=cell)


def square(picture: Image.Image, side: int) -> Image.Image:
    """The central square of ``picture`` (an odd margin is larger right or below), resized, bicubic."""
    width, height = picture.size
    short = min(width, height)
    x, y = (width - short) // 2, (height - short) // 2
    return picture.crop((x, y, x + short, y + short)).resize((side, side), Image.Resampling.BICUBIC)


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
    for entry in manifest():
        try:
            verify_entry(entry)
        except (FileNotFoundError, ValueError) as error:
            print(f"BAD  {error}")
        else:
            right += 1
            print(f"ok   {entry['id']:18} {entry['module']}/{entry['file']}")
    print(f"{right} of {len(manifest())} files are as the manifest says")
    return right == len(manifest())


@cache
def manifest() -> list[Entry]:
    """The entries of ``data/manifest.json`` in order; data/README.md says what their fields mean."""
    file = paths.DATA / "manifest.json"
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} does not exist: camlib runs from its repository. "
            "Clone it and run `make env`, or `pip install -e .`, there."
        )
    return json.loads(file.read_text(encoding="utf-8"))


def _entries(kind: str) -> dict[str, Entry]:
    return {entry["id"]: entry for entry in manifest() if entry["kind"] == kind}


def _entry(kind: str, name: str) -> Entry:
    entries = _entries(kind)
    if not isinstance(name, str):
        raise TypeError(f"name of a {kind} is a {type(name).__name__}; expected a string, one of {', '.join(entries)}.")
    if name not in entries:
        near = get_close_matches(name.lower(), entries, n=3, cutoff=0.5) or list(entries)
        raise ValueError(f"no {kind} is called {name!r}; the nearest of {len(entries)} names: {', '.join(near)}.")
    return entries[name]


@cache
def _verified(name: str) -> Path:
    return verify_entry(next(entry for entry in manifest() if entry["id"] == name))


def _as_picture(given: str | Image.Image) -> Image.Image:
    if isinstance(given, str):
        return load_photo(given)
    if not isinstance(given, Image.Image):
        raise TypeError(f"a picture is a {type(given).__name__}; expected a photograph's name or a PIL picture.")
    if given.mode not in ("RGB", "L"):
        raise ValueError(f"a picture has mode {given.mode!r}; expected RGB or L: call picture.convert('RGB') first.")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: ``python -m camlib.data verify``; 0 if every file is as the manifest says, else 1."""
    parser = argparse.ArgumentParser(prog="python -m camlib.data", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["verify"])
    parser.parse_args(arguments)
    return 0 if verify() else 1
