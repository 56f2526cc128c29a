"""Objects of pictures from files: PASCAL VOC's XML, one for each picture, and COCO's JSON, one for all."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from camlib.data.boxes import LabeledBox

Annotation = tuple[Callable[[], Iterable[LabeledBox]], object]
"""How to read the objects of a picture, and something that changes when they do."""


def read_voc_xml(file: str | Path, one_based: bool = True) -> tuple[LabeledBox, ...]:
    """The objects of one XML file in PASCAL VOC's format; the boxes of their parts are left out.

    ``one_based``: pixels are counted from 1 and the last one is included, as VOC does: (1, 1, w, h) is a whole picture.
    False takes the corners as half-open ones, counted from 0. Raises ValueError for a file that is missing or broken.
    """
    file = Path(file)
    try:
        objects = list(ElementTree.parse(file).getroot().iter("object"))
    except (ElementTree.ParseError, OSError, UnicodeError) as error:
        raise ValueError(f"{file.name} cannot be read as XML: {_reason(error)}.") from error
    found = []
    for number, entry in enumerate(objects, start=1):
        corners = [entry.findtext(f"bndbox/{key}", "") for key in ("xmin", "ymin", "xmax", "ymax")]
        try:
            x0, y0, x1, y1 = map(float, corners)
            if not all(map(math.isfinite, (x0, y0, x1, y1))) or x1 < x0 or y1 < y0:
                raise ValueError("no corners of a box")
        except ValueError as error:
            raise ValueError(
                f"{file.name}: object {number} has the corners {corners}; expected finite numbers in bndbox/xmin, "
                f"ymin, xmax and ymax, the smaller ones first."
            ) from error
        found.append(LabeledBox(x0 - one_based, y0 - one_based, x1, y1, entry.findtext("name", "").strip()))
    return tuple(found)


def read_coco(file: str | Path) -> dict[str, tuple[LabeledBox, ...]]:
    """File name -> objects, of a JSON file in COCO's format: boxes are (x, y, width, height); crowds are left out.

    The objects of all entries of one file name are its objects. Raises ValueError for a file that is missing, broken,
    or without images, annotations and categories; for an id that two files have, for a name that leaves the folder, and
    for a box that is no four finite numbers, or smaller than nothing.
    """
    file = Path(file)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{file.name} cannot be read as JSON: {_reason(error)}.") from error
    try:
        names = {category["id"]: str(category["name"]) for category in content["categories"]}
        files = _names_of_images(content["images"])
        found: dict[str, list[LabeledBox]] = {name: [] for name in files.values()}
        for number, annotation in enumerate(content["annotations"]):
            box = _corners(annotation["bbox"], f"annotation {annotation.get('id', f'number {number}')}")
            if not annotation.get("iscrowd"):
                name = names[annotation["category_id"]]
                found[files[annotation["image_id"]]].append(LabeledBox(*box, name))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = str(error) if isinstance(error, _Wrong) else f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{file.name} is not in COCO's format ({what}); expected images (id, file_name), annotations (image_id, "
            f"category_id, bbox of four numbers) and categories (id, name)."
        ) from error
    return {name: tuple(boxes) for name, boxes in found.items()}


class _Wrong(ValueError):
    """What is wrong, in words."""


def _names_of_images(images: Iterable[Mapping]) -> dict[object, str]:
    """Id -> file name with slashes, relative to the folder of the pictures."""
    files: dict[object, str] = {}
    for image in images:
        name = PurePosixPath(str(image["file_name"]))
        if name.is_absolute() or ".." in name.parts:
            raise _Wrong(f"the file name {image['file_name']!r} leaves the folder of the pictures")
        if files.setdefault(image["id"], name.as_posix()) != name.as_posix():
            raise _Wrong(f"id {image['id']} stands for {files[image['id']]!r} and for {name.as_posix()!r}")
    return files


def _corners(box: Sequence[float], what: str) -> tuple[float, float, float, float]:
    """(x0, y0, x1, y1) of a box (x, y, width, height)."""
    numbers = isinstance(box, list) and len(box) == 4 and all(type(value) in (int, float) for value in box)
    if not numbers or not all(map(math.isfinite, box)) or min(box[2:]) < 0:
        raise _Wrong(f"{what} has the box {box!r}, not a place and a size in finite numbers")
    x, y, width, height = box
    return x, y, x + width, y + height


def no_annotations(name: str) -> Annotation:
    """No objects on any picture."""
    return tuple, None


def coco_annotation(known: Mapping[str, tuple[LabeledBox, ...]], name: str) -> Annotation:
    """The objects that :func:`read_coco` has found for the name of a picture."""
    boxes = known.get(name, ())
    return (lambda: boxes), boxes


def xml_annotations(root: Path, one_based: bool) -> Callable[[str], Annotation]:
    """Finds the XML file below a folder for the name of a picture: of the same path, or else of the same stem."""
    files: dict[str, Path] = {}
    for file in sorted(existing_folder(root).rglob("*.xml")):
        files.setdefault(file.stem, file)
        files[file.relative_to(root).with_suffix("").as_posix()] = file

    def find(name: str) -> Annotation:
        path = PurePosixPath(name)
        file = files.get(path.with_suffix("").as_posix()) or files.get(path.stem)
        return no_annotations(name) if file is None else (partial(read_voc_xml, file, one_based), _bytes_of(file))

    return find


def existing_folder(root: str | Path) -> Path:
    """The folder as a path; raises ValueError where there is none."""
    if not Path(root).is_dir():
        raise ValueError(f"No folder at {str(root)!r}. Give the folder that holds the pictures or the annotations.")
    return Path(root)


def _bytes_of(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def _reason(error: Exception) -> str:
    """What went wrong, without the path of one machine."""
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
