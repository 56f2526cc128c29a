"""Pictures to evaluate on: the offline photographs and mosaics, ImageNet, PASCAL VOC, any folder with or without boxes.

Every reader returns a :class:`Dataset`, a sequence of :class:`Example`. No picture is opened and no annotation parsed
before it is asked for, so that one broken file among 50,000 is met where it can be counted. Boxes are half-open
(x0, y0, x1, y1) in the pixels of the picture as it is displayed (EXIF rotation applied); :func:`boxes_on_input` brings
them to the network's input, where heatmaps live, and :func:`classes_of` says for which classes an object counts.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from xml.etree import ElementTree

from PIL import Image
from timm.data import ImageNetInfo
from torchvision.datasets import ImageNet, VOCDetection

from camlib.data import photographs as data
from camlib.metrics import resized_boxes
from camlib.metrics.sample import Box
from camlib.networks import Network
from camlib.pictures import Preprocess, to_pil
from camlib.zoo.pretrained import imagenet_classes

PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
TORCHVISION_SPLITS = ("train", "trainval", "val")
"""Lists of VOC that torchvision's reader knows for every year; of 2007 it also knows "test"."""
_WNID = re.compile(r"n\d{8}")
_DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
_SYNSETS = (
    "expected one wnid a line in the order of the file names, lines '<file name> <wnid or class index>', or Kaggle's "
    "LOC_val_solution.csv"
)


class LabeledBox(NamedTuple):
    """An object: half-open (x0, y0, x1, y1) in pixels of its picture, and what the data set calls it."""

    x0: float
    y0: float
    x1: float
    y1: float
    name: str


@dataclass(frozen=True, eq=False)
class Example:
    """One picture with its ground truth, both read when they are asked for.

    Attributes:
        id: unique in its data set; never an absolute path.
        load: opens the picture (RGB, upright); raises an exception if it cannot.
        annotate: returns the objects; raises ValueError for a broken annotation.
        label: ImageNet index, or None.
        version: changes when the picture's size in bytes, its annotation or its label does, so that results of
            another version of the file are not taken for this one's.
    """

    id: str
    load: Callable[[], Image.Image]
    annotate: Callable[[], Iterable[LabeledBox]] = tuple
    label: int | None = None
    version: str = ""

    @property
    def picture(self) -> Image.Image:
        """The picture, opened anew."""
        return self.load()

    @property
    def boxes(self) -> tuple[LabeledBox, ...]:
        """The annotated objects; empty where there are none."""
        return tuple(self.annotate())


@dataclass(frozen=True, eq=False)
class Dataset(Sequence[Example]):
    """A list of examples, made one by one.

    Attributes:
        name: what it is, with every choice that decides about its content; part of the settings of a run.
        ids: the examples' names, in order.
        make: id -> :class:`Example`.
    """

    name: str
    ids: tuple[str, ...]
    make: Callable[[str], Example]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return replace(self, ids=self.ids[index])
        return self.make(self.ids[index])

    def sample(self, count: int | None, seed: int = 0) -> Dataset:
        """``count`` examples drawn by lot, in the old order; all of them for None or where there are no more.

        A larger count with the same seed contains the smaller ones, so that a run can be extended.
        """
        if count is not None and count < 1:
            raise ValueError(f"count={count}: expected at least one picture, or None for all.")
        if count is None or count >= len(self):
            return self
        drawn = random.Random(seed).sample(range(len(self)), len(self))[:count]
        return replace(self, ids=tuple(self.ids[i] for i in sorted(drawn)))


# -- what comes with the package


def photos(kind: str | None = None) -> Dataset:
    """The offline photographs; ``kind`` as in :func:`camlib.list_photos`. They have labels, but no boxes."""

    def make(name: str) -> Example:
        photo = data.photo_info(name)
        return Example(name, partial(data.load_photo, name), label=photo.label, version=photo.sha256[:16])

    return Dataset("photos" if kind is None else f"photos ({kind})", tuple(data.list_photos(kind)), make)


def mosaics(count: int = 20, columns: int = 2, cell: int = 224, seed: int = 0) -> Dataset:
    """Grids of ``columns`` x ``columns`` labeled photographs of different classes, drawn by lot.

    The cells are the boxes, named by their class. Böhle et al. (2021) feed the whole as one larger input: take a
    network with that input size (``--input-size 448``), and explain the classes of all cells (``--target objects``).
    Raises ValueError for a grid with more cells than there are classes.
    """
    by_class = defaultdict(list)
    for name in data.list_photos("imagenet"):
        by_class[data.photo_info(name).label_name].append(name)
    if count < 1 or columns < 1 or columns**2 > len(by_class):
        raise ValueError(
            f"count={count}, columns={columns}: expected at least one mosaic of at most {len(by_class)} cells, the "
            f"number of classes among the photographs."
        )
    lot = random.Random(seed)
    layouts = {}
    for number in range(count):
        classes = lot.sample(sorted(by_class), columns**2)
        names = tuple(lot.choice(by_class[name]) for name in classes)
        layouts[f"{number:03d} {'+'.join(names)}"] = names

    def make(name: str) -> Example:
        names = layouts[name]
        corners = [(cell * (i % columns), cell * (i // columns)) for i in range(len(names))]
        boxes = tuple(
            LabeledBox(x, y, x + cell, y + cell, data.photo_info(each).label_name)
            for (x, y), each in zip(corners, names, strict=True)
        )
        version = _digest(*(data.photo_info(each).sha256 for each in names), cell)
        return Example(name, lambda: data.mosaic(names, columns, cell).picture, lambda: boxes, version=version)

    return Dataset(f"mosaics of {columns} x {columns} cells of {cell} pixels, seed {seed}", tuple(layouts), make)


# -- data sets of the papers


def imagenet(
    root: str | Path, split: str = "val", boxes: str | Path | None = None, synsets: str | Path | None = None
) -> Dataset:
    """ImageNet (ILSVRC2012) from a folder, with its labels and, where there are, its boxes.

    A folder that torchvision prepared, or can prepare (``meta.bin``, or the devkit's archive), goes through
    ``torchvision.datasets.ImageNet``. Any other is taken as it is: ``<split>/<wnid>/*.JPEG``, folders of wnids in the
    root itself, Kaggle's ``ILSVRC/Data/CLS-LOC/<split>``, or pictures side by side. A label is the rank of the wnid
    among the 1000 sorted wnids, whatever number of class folders there is.

    Args:
        root: the folder.
        split: "val" or "train".
        boxes: folder of the XML files, or None: Kaggle's ``Annotations/CLS-LOC/<split>`` where it exists. ILSVRC's
            corners are taken as they stand; whether its last pixel belongs to the box differs by its authors, which
            is one pixel.
        synsets: labels of pictures that lie side by side: a file with one wnid a line in the order of the file names,
            with lines "<file name> <wnid or class index>", or Kaggle's ``LOC_val_solution.csv``.

    Raises:
        ValueError: no such folder, no picture in it, or a label file that does not fit.
    """
    root = _existing_folder(root)
    base = _split_folder(root, split)
    if any((root / name).is_file() for name in ("meta.bin", _DEVKIT)):
        files, base = [Path(file) for file, _ in ImageNet(str(root), split).samples], root / split
    else:
        files = _pictures_in(base)
    labels = {} if synsets is None else _read_synsets(Path(synsets), files)
    found = Path(boxes) if boxes is not None else _kaggle(root, "Annotations", split)
    annotations = _no_annotations if found is None else _xml_annotations(found, one_based=False)
    return _of_files(f"ImageNet {split}", base, files, annotations, labels)


def voc(root: str | Path, year: int | str = 2007, split: str = "test") -> Dataset:
    """PASCAL VOC with all annotated objects, through ``torchvision.datasets.VOCDetection``.

    Args:
        root: the folder that holds ``VOCdevkit``, the devkit itself, or its ``VOC<year>``.
        year: 2007 to 2012.
        split: a list in ``ImageSets/Main``: "train", "val", "trainval", of 2007 also "test"; other lists of ids (one
            class, a list of your own) are read from there as well.

    Raises:
        ValueError: no such folder, year or list.
    """
    root, year = _existing_folder(root), str(year)
    below = {f"VOC{year}": root.parent.parent, "VOCdevkit": root.parent}.get(root.resolve().name, root)
    devkit = below / "VOCdevkit" / f"VOC{year}"
    lists = {file.stem: file for file in (devkit / "ImageSets" / "Main").glob("*.txt")}
    if split not in lists:
        raise ValueError(
            f"No list {split!r} of VOC {year} in {str(root)!r}: expected the file VOCdevkit/VOC{year}/ImageSets/Main/"
            f"{split}.txt there. Lists found: {', '.join(sorted(lists)) or 'none'}."
        )
    if split in TORCHVISION_SPLITS or (year, split) == ("2007", "test"):
        pictures = [Path(file) for file in VOCDetection(str(below), year, split).images]
    else:
        names = [line.split()[0] for line in lists[split].read_text(encoding="utf-8").splitlines() if line.strip()]
        pictures = [devkit / "JPEGImages" / f"{name}.jpg" for name in names]
    annotations = _xml_annotations(devkit / "Annotations", one_based=True)
    return _of_files(f"VOC{year} {split}", devkit / "JPEGImages", pictures, annotations)


def folder(root: str | Path, boxes: str | Path | None = None) -> Dataset:
    """Any folder of pictures, subfolders included.

    Args:
        root: the folder. A picture in a subfolder that is named by a wnid gets that label.
        boxes: None for no boxes; a folder of VOC XML files (same path or same name as the picture); or a JSON file in
            COCO's format, whose file names are relative to ``root`` (crowds are left out).

    Raises:
        ValueError: no such folder or file, no picture, or a JSON file that is not COCO's.
    """
    root = _existing_folder(root)
    files = _pictures_in(root)
    annotations = _no_annotations
    if boxes is not None and Path(boxes).suffix.lower() == ".json":
        known = read_coco(boxes)
        files = sorted({*files, *(root / name for name in known)})
        annotations = partial(_coco_annotation, known)
    elif boxes is not None:
        annotations = _xml_annotations(Path(boxes), one_based=True)
    return _of_files(f"folder {root.resolve().name}", root, files, annotations)


def single_object(dataset: Dataset, largest_share: float = 0.5, count: int | None = None, seed: int = 0) -> Dataset:
    """Pictures with exactly one object, which covers less than a share of the picture; the energy-based pointing game.

    Pictures are opened in an order drawn by lot until ``count`` of them fit (None: all are opened); the old order comes
    back at the end, and a larger count contains the smaller ones. What cannot be read does not fit. Raises ValueError
    where no picture fits.
    """
    fitting: list[int] = []
    for index in random.Random(seed).sample(range(len(dataset)), len(dataset)):
        if len(fitting) == (len(dataset) if count is None else count):
            break
        if _has_one_object(dataset[index], largest_share):
            fitting.append(index)
    if not fitting:
        raise ValueError(
            f"No picture of {dataset.name} has exactly one object that covers less than {largest_share:.0%} of it; "
            f"{len(dataset)} were looked at. Give a data set with boxes."
        )
    ids = tuple(dataset.ids[index] for index in sorted(fitting))
    return replace(dataset, name=f"{dataset.name}, one object below {largest_share:.0%}", ids=ids)


def _has_one_object(example: Example, largest_share: float) -> bool:
    try:
        boxes = example.boxes
        if len(boxes) != 1:
            return False
        width, height = example.picture.size
    except (OSError, ValueError):
        return False
    return (boxes[0].x1 - boxes[0].x0) * (boxes[0].y1 - boxes[0].y0) < largest_share * width * height


# -- annotations


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


_Annotation = tuple[Callable[[], Iterable[LabeledBox]], object]
"""How to read the objects of a picture, and something that changes when they do."""


def _no_annotations(name: str) -> _Annotation:
    return tuple, None


def _coco_annotation(known: Mapping[str, tuple[LabeledBox, ...]], name: str) -> _Annotation:
    boxes = known.get(name, ())
    return (lambda: boxes), boxes


def _xml_annotations(root: Path, one_based: bool) -> Callable[[str], _Annotation]:
    """Finds the XML file below a folder for the name of a picture: of the same path, or else of the same stem."""
    files: dict[str, Path] = {}
    for file in sorted(_existing_folder(root).rglob("*.xml")):
        files.setdefault(file.stem, file)
        files[file.relative_to(root).with_suffix("").as_posix()] = file

    def find(name: str) -> _Annotation:
        path = PurePosixPath(name)
        file = files.get(path.with_suffix("").as_posix()) or files.get(path.stem)
        return _no_annotations(name) if file is None else (partial(read_voc_xml, file, one_based), _bytes_of(file))

    return find


# -- which class is meant, and where it lies on the input


def classes_of(name: str, network: Network) -> frozenset[int]:
    """Indices of the network's classes that an object called ``name`` stands for; empty where there is none.

    The name of a class of the network stands for it. For a network with ImageNet's 1000 classes, so does a wnid, and
    one of VOC's twenty names (or COCO's for the same things) stands for the classes of ``voc_imagenet.csv``: those that
    are such a thing by WordNet and by VOC's guidelines for annotators (cars without trucks and emergency vehicles,
    domestic cats and dogs only, bicycles with tricycles and unicycles, ships among the boats). ImageNet's cow is an ox,
    its horse a sorrel, and of people it knows three. Names are taken at their word: COCO's kite is a toy, ImageNet's a
    bird.
    """
    wanted, known = _plain(name), network.class_names or []
    found = frozenset(i for i, each in enumerate(known) if _plain(each) == wanted)
    if found or tuple(known) != imagenet_classes():
        return found
    index = imagenet_index(name)
    return voc_classes().get(wanted, found) if index is None else frozenset({index})


@cache
def voc_classes() -> dict[str, frozenset[int]]:
    """VOC's names, and COCO's for the same things -> ImageNet indices, from ``voc_imagenet.csv``."""
    text = resources.files("camlib.data").joinpath("voc_imagenet.csv").read_text(encoding="utf-8")
    ranges = defaultdict(set)
    for row in csv.DictReader(io.StringIO(text)):
        for name in (row["voc"], row["coco"]):
            ranges[name] |= set(range(int(row["first"]), int(row["last"]) + 1))
    return {name: frozenset(indices) for name, indices in ranges.items()}


def imagenet_index(wnid: str) -> int | None:
    """ImageNet index of a wnid such as "n01440764": its rank among the 1000 sorted ones; None for any other text."""
    return _wnids().get(wnid)


@cache
def _wnids() -> dict[str, int]:
    return {wnid: index for index, wnid in enumerate(ImageNetInfo("imagenet-1k").label_names())}


def boxes_on_input(
    boxes: Iterable[Sequence[float]], size: tuple[int, int], transform: Preprocess | Callable
) -> tuple[Box, ...]:
    """Boxes of a picture after the preprocessing: whole half-open pixels of the network's input and of its heatmaps.

    Args:
        boxes: (x0, y0, x1, y1, ...), half-open pixels of the picture.
        size: (width, height) of the picture.
        transform: a :class:`camlib.Preprocess` (both sides resized to the input), a preset of torchvision's weights,
            or a composition of Resize and CenterCrop with steps that leave the geometry alone.

    Returns:
        (x0, y0, x1, y1), clipped to the input; a box with no part in it is left out.

    Raises:
        ValueError: a transform whose geometry is not known.
    """
    width, height = size
    columns, rows = _Axis(width), _Axis(height)
    for resize, crop in _geometry(transform):
        if resize is not None:
            new_width, new_height = _resized(columns.size, rows.size, resize)
            columns.resize(new_width)
            rows.resize(new_height)
        if crop is not None:
            columns.crop(crop[1])
            rows.crop(crop[0])
    moved = [(columns(x0), rows(y0), columns(x1), rows(y1)) for x0, y0, x1, y1, *_ in boxes]
    inside = [b for b in moved if max(b[0], 0) < min(b[2], columns.size) and max(b[1], 0) < min(b[3], rows.size)]
    return resized_boxes(inside, (rows.size, columns.size), (rows.size, columns.size))


class _Axis:
    """Where a coordinate of the picture goes along one side: x -> scale * x + shift, on ``size`` pixels."""

    def __init__(self, size: int) -> None:
        self.size, self.scale, self.shift = size, 1.0, 0.0

    def __call__(self, position: float) -> float:
        return self.scale * position + self.shift

    def resize(self, size: int) -> None:
        factor = size / self.size
        self.size, self.scale, self.shift = size, self.scale * factor, self.shift * factor

    def crop(self, size: int) -> None:
        """torchvision's center crop: a short side is padded first, the odd pixel behind."""
        before = round((self.size - size) / 2) if self.size >= size else -((size - self.size) // 2)
        self.size, self.shift = size, self.shift - before


_NO_GEOMETRY = (
    "ToTensor", "PILToTensor", "ToImage", "ToDtype", "ConvertImageDtype", "Normalize", "MaybeToTensor", "Grayscale",
)  # fmt: skip


def _geometry(transform: Any) -> list[tuple[tuple[int, ...] | None, tuple[int, int] | None]]:
    """Steps (size to resize to, size to crop to) of a transform; one number resizes the shorter side."""
    if isinstance(transform, Preprocess):
        return [(tuple(transform.size), None)]
    if hasattr(transform, "resize_size") and hasattr(transform, "crop_size"):  # a preset of torchvision's weights
        crop = _numbers(transform.crop_size)
        return [(_numbers(transform.resize_size), (crop[0], crop[-1]))]
    steps = []
    for part in getattr(transform, "transforms", [transform]):
        kind = type(part).__name__
        if kind == "Resize" and getattr(part, "max_size", None) is None:
            steps.append((_numbers(part.size), None))
        elif kind == "CenterCrop":
            crop = _numbers(part.size)
            steps.append((None, (crop[0], crop[-1])))
        elif kind not in _NO_GEOMETRY:
            raise ValueError(
                f"Boxes cannot be followed through the transform {kind}; expected a camlib.Preprocess, a preset of "
                f"torchvision's weights, or a composition of Resize and CenterCrop. Give the network such a one."
            )
    return steps


def _numbers(size: int | Sequence[int]) -> tuple[int, ...]:
    return (size,) if isinstance(size, int) else tuple(size)


def _resized(width: int, height: int, size: tuple[int, ...]) -> tuple[int, int]:
    """(width, height) after torchvision's Resize: (h, w) for both sides, or one number for the shorter one."""
    if len(size) == 2:
        return size[1], size[0]
    short, long = sorted((width, height))
    longer = int(size[0] * long / short)
    return (size[0], longer) if width <= height else (longer, size[0])


# -- files


def _of_files(
    name: str,
    base: Path,
    files: Sequence[Path],
    annotations: Callable[[str], _Annotation],
    labels: Mapping[str, int] | None = None,
) -> Dataset:
    """The data set of these files; their names are relative to ``base``."""
    places = {file.relative_to(base).as_posix(): file for file in files}

    def make(name: str) -> Example:
        file = places[name]
        label = labels[file.name] if labels else _label_of(file)
        annotate, content = annotations(name)
        return Example(name, partial(to_pil, file), annotate, label, _digest(_size_of(file), content, label))

    return Dataset(name, tuple(places), make)


def _digest(*parts: object) -> str:
    """16 hexadecimal digits that change with any of the parts."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _size_of(file: Path) -> int | None:
    """Bytes of a file; None where it is missing, which is found out again when it is opened."""
    try:
        return file.stat().st_size
    except OSError:
        return None


def _bytes_of(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def _label_of(file: Path) -> int | None:
    """ImageNet index of the innermost folder that is named by a wnid."""
    return next((imagenet_index(part) for part in reversed(file.parts[:-1]) if _WNID.fullmatch(part)), None)


def _existing_folder(root: str | Path) -> Path:
    if not Path(root).is_dir():
        raise ValueError(f"No folder at {str(root)!r}. Give the folder that holds the pictures or the annotations.")
    return Path(root)


def _pictures_in(root: Path) -> list[Path]:
    found = sorted(file for file in root.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES and file.is_file())
    if not found:
        raise ValueError(f"No picture below {str(root)!r}: expected files that end in {', '.join(PICTURE_SUFFIXES)}.")
    return found


def _kaggle(root: Path, part: str, split: str) -> Path | None:
    """Kaggle's folder of the data or of the annotations, if this is its layout."""
    places = (root / part / "CLS-LOC" / split, root / "ILSVRC" / part / "CLS-LOC" / split)
    return next((place for place in places if place.is_dir()), None)


def _split_folder(root: Path, split: str) -> Path:
    return _kaggle(root, "Data", split) or (root / split if (root / split).is_dir() else root)


def _read_synsets(file: Path, pictures: Sequence[Path]) -> dict[str, int]:
    """File name -> ImageNet index, from a label file of any of the three kinds."""
    if not file.is_file():
        raise ValueError(f"No label file at {str(file)!r}; {_SYNSETS}.")
    lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if lines and lines[0][0].startswith("ImageId,"):
        lines = [[line[0].partition(",")[0], line[0].partition(",")[2]] for line in lines[1:]]
    if lines and all(len(line) == 1 for line in lines):
        if len(lines) != len(pictures):
            raise ValueError(f"{file.name} has {len(lines)} lines for {len(pictures)} pictures; {_SYNSETS}.")
        names = sorted(picture.name for picture in pictures)
        lines = [[name, *line] for name, line in zip(names, lines, strict=True)]
    by_stem = {Path(line[0]).stem: _index_of(line[1], file) for line in lines if len(line) == 2}
    missing = [picture.name for picture in pictures if picture.stem not in by_stem]
    if missing:
        raise ValueError(
            f"{file.name} has no label for {len(missing)} pictures, the first is {missing[0]}; {_SYNSETS}."
        )
    return {picture.name: by_stem[picture.stem] for picture in pictures}


def _index_of(text: str, file: Path) -> int:
    index = int(text) if text.isdecimal() and int(text) < len(_wnids()) else imagenet_index(text)
    if index is None:
        raise ValueError(f"{file.name}: {text!r} is neither a wnid of ImageNet nor a class index below 1000.")
    return index


def _plain(name: str) -> str:
    return name.replace("_", " ").strip().casefold()


def _reason(error: Exception) -> str:
    """What went wrong, without the path of one machine."""
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
