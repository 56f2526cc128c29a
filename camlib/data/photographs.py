"""The photographs that packages bring, by name; each file is verified when it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from camlib.data.examples import Dataset, Example
from camlib.data.manifest import entries, find_entry, verified_file
from camlib.pictures import to_pil


@dataclass(frozen=True)
class Photo:
    """What is known of a photograph.

    ``label``: ImageNet class or None, ``short``: its title in figures, ``pixels``: (width, height).
    """

    name: str
    label: int | None
    label_name: str | None
    title: str
    short: str
    source: str
    license: str
    sha256: str
    size: int  # bytes of the file
    pixels: tuple[int, int]


def list_photos(kind: str | None = None) -> list[str]:
    """Names of the photographs in the order of the manifest: foolbox's 20, then scikit-image's.

    ``kind``: None for all, "imagenet" for those with an ImageNet label, "unlabeled" for the others.
    Raises ValueError for any other kind.
    """
    wanted = {None: (True, False), "imagenet": (True,), "unlabeled": (False,)}
    if kind not in wanted:
        raise ValueError(f"kind {kind!r}: expected None, 'imagenet' or 'unlabeled'.")
    return [e["id"] for e in entries("photograph").values() if (e["label"] is not None) in wanted[kind]]


def photo_info(name: str) -> Photo:
    """What is known of the photograph ``name``; ValueError with the nearest names if there is none."""
    e = find_entry("photograph", name)
    source = f"{e['author']}; {e['source']}"
    return Photo(
        name=e["id"],
        label=e["label"],
        label_name=e["label_name"],
        title=e["what"],
        short=e["short"],
        source=source,
        license=e["license"],
        sha256=e["sha256"],
        size=e["size"],
        pixels=tuple(e["pixels"]),
    )


def load_photo(name: str) -> Image.Image:
    """The photograph ``name`` as an RGB picture, its file verified once in a process; or a file of one's own.

    Raises ValueError for an unknown name (with the nearest ones) or a wrong checksum, FileNotFoundError for
    a missing file.
    """
    if isinstance(name, str) and name not in list_photos() and Path(name).is_file():
        return to_pil(name)
    find_entry("photograph", name)
    with Image.open(verified_file(name)) as picture:
        return picture.convert("RGB")


def photos(kind: str | None = None) -> Dataset:
    """The offline photographs; ``kind`` as in :func:`camlib.list_photos`. They have labels, but no boxes."""

    def make(name: str) -> Example:
        photo = photo_info(name)
        return Example(name, partial(load_photo, name), label=photo.label, version=photo.sha256[:16])

    return Dataset("photos" if kind is None else f"photos ({kind})", tuple(list_photos(kind)), make)
