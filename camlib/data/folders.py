"""Any folder of pictures, with boxes from VOC's or COCO's files or without; and data sets of given files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from camlib import checkpoints
from camlib.data.annotations import (
    Annotation,
    coco_annotation,
    existing_folder,
    no_annotations,
    read_coco,
    xml_annotations,
)
from camlib.data.classes import imagenet_index
from camlib.data.examples import Dataset, Example, digest
from camlib.pictures import PICTURE_SUFFIXES, to_pil

_WNID = re.compile(r"n\d{8}")


def folder(root: str | Path, boxes: str | Path | None = None) -> Dataset:
    """Any folder of pictures, subfolders included.

    Args:
        root: the folder. A picture in a subfolder that is named by a wnid gets that label.
        boxes: None for no boxes; a folder of VOC XML files (same path or same name as the picture); or a JSON file in
            COCO's format, whose file names are relative to ``root`` (crowds are left out).

    Raises:
        ValueError: no such folder or file, no picture, or a JSON file that is not COCO's.
    """
    root = existing_folder(root)
    files = pictures_in(root)
    annotations = no_annotations
    if boxes is not None and Path(boxes).suffix.lower() == ".json":
        known = read_coco(boxes)
        files = sorted({*files, *(root / name for name in known)})
        annotations = partial(coco_annotation, known)
    elif boxes is not None:
        annotations = xml_annotations(Path(boxes), one_based=True)
    return of_files(f"folder {root.resolve().name}", root, files, annotations)


def of_files(
    name: str,
    base: Path,
    files: Sequence[Path],
    annotations: Callable[[str], Annotation],
    labels: Mapping[str, int] | None = None,
) -> Dataset:
    """The data set of these files; their names are relative to ``base``."""
    places = {_readable(file.relative_to(base)): file for file in files}

    def make(name: str) -> Example:
        file = places[name]
        label = labels[file.name] if labels else _label_of(file)
        annotate, content = annotations(name)
        return Example(name, partial(to_pil, file), annotate, label, digest(_content_of(file), content, label))

    return Dataset(name, tuple(places), make)


def pictures_in(root: Path) -> list[Path]:
    """The pictures below a folder, sorted; raises ValueError where there is none."""
    found = sorted(file for file in root.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES and file.is_file())
    if not found:
        raise ValueError(f"No picture below {str(root)!r}: expected files that end in {', '.join(PICTURE_SUFFIXES)}.")
    return found


def _readable(path: Path) -> str:
    """The path with slashes; bytes of its name that are no UTF-8 as \\xff, so that it can be stored and printed."""
    return path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _content_of(file: Path) -> str | None:
    """SHA-256 of a file; None where it is missing, which is found out again when it is opened."""
    try:
        return checkpoints.digest(file)
    except OSError:
        return None


def _label_of(file: Path) -> int | None:
    """ImageNet index of the innermost folder that is named by a wnid."""
    return next((imagenet_index(part) for part in reversed(file.parts[:-1]) if _WNID.fullmatch(part)), None)
