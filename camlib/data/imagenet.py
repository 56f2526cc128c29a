"""ImageNet (ILSVRC2012) from a folder, as torchvision prepares it, as Kaggle lays it out, or as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torchvision.datasets import ImageNet

from camlib.data.annotations import existing_folder, no_annotations, xml_annotations
from camlib.data.classes import imagenet_classes, imagenet_index
from camlib.data.examples import Dataset
from camlib.data.folders import of_files, pictures_in

_DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
_SYNSETS = (
    "expected one wnid a line in the order of the file names, lines '<file name> <wnid or class index>', or Kaggle's "
    "LOC_val_solution.csv"
)


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
    root = existing_folder(root)
    base = _split_folder(root, split)
    if any((root / name).is_file() for name in ("meta.bin", _DEVKIT)):
        files, base = [Path(file) for file, _ in ImageNet(str(root), split).samples], root / split
    else:
        files = pictures_in(base)
    labels = {} if synsets is None else _read_synsets(Path(synsets), files)
    found = Path(boxes) if boxes is not None else _kaggle(root, "Annotations", split)
    annotations = no_annotations if found is None else xml_annotations(found, one_based=False)
    return of_files(f"ImageNet {split}", base, files, annotations, labels)


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
    index = int(text) if text.isdecimal() and int(text) < len(imagenet_classes()) else imagenet_index(text)
    if index is None:
        raise ValueError(f"{file.name}: {text!r} is neither a wnid of ImageNet nor a class index below 1000.")
    return index
