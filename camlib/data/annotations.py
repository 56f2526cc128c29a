"""Objects of pictures from files: PASCAL VOC's XML, one for each picture, and COCO's JSON, one for all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
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
        except ValueError as error:
            raise ValueError(
                f"{file.name}: object {number} has the corners {corners}; expected numbers in bndbox/xmin, ymin, xmax "
                f"and ymax."
            ) from error
        found.append(LabeledBox(x0 - one_based, y0 - one_based, x1, y1, entry.findtext("name", "").strip()))
    return tuple(found)


def read_coco(file: str | Path) -> dict[str, tuple[LabeledBox, ...]]:
    """File name -> objects, of a JSON file in COCO's format: boxes are (x, y, width, height); crowds are left out.

    Raises ValueError for a file that is missing, broken, or without images, annotations and categories.
    """
    file = Path(file)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        names = {category["id"]: category["name"] for category in content["categories"]}
        found = {image["id"]: (image["file_name"], []) for image in content["images"]}
        for annotation in content["annotations"]:
            x, y, width, height = annotation["bbox"]
            if not annotation.get("iscrowd"):
                name = names[annotation["category_id"]]
                found[annotation["image_id"]][1].append(LabeledBox(x, y, x + width, y + height, name))
    except (OSError, UnicodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{file.name} cannot be read as JSON: {_reason(error)}.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file.name} is not in COCO's format ({type(error).__name__}: {error}); expected images (id, file_name), "
            f"annotations (image_id, category_id, bbox of four numbers) and categories (id, name)."
        ) from error
    return {name: tuple(boxes) for name, boxes in found.values()}


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
