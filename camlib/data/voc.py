"""PASCAL VOC with all annotated objects."""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import VOCDetection

from camlib.data.annotations import existing_folder, xml_annotations
from camlib.data.examples import Dataset
from camlib.data.folders import of_files

TORCHVISION_SPLITS = ("train", "trainval", "val")
"""Lists of VOC that torchvision's reader knows for every year; of 2007 it also knows "test"."""


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
    root, year = existing_folder(root), str(year)
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
    annotations = xml_annotations(devkit / "Annotations", one_based=True)
    return of_files(f"VOC{year} {split}", devkit / "JPEGImages", pictures, annotations)
