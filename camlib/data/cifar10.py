"""CIFAR-10: read from torchvision's files or from pictures in folders, and the 20 pictures that foolbox carries.

The data set is needed to train the networks ``cifar10-plain`` and ``cifar10-lfi``, and not to use them.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from torchvision.datasets import CIFAR10

from camlib import paths

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
VARIABLE = "CAMLIB_CIFAR10"
"""Environment variable that says where the data set lies."""
_BESIDE = paths.ROOT.parent / "shared" / "data" / "cifar10" / "cifar10-jpeg.tar.gz"


class Split(NamedTuple):
    """Pictures uint8 [N, 32, 32, 3] and their class indices int64 [N]."""

    pictures: np.ndarray
    labels: np.ndarray


def location() -> Path:
    """Where CIFAR-10 lies: what CAMLIB_CIFAR10 names, else the archive that may lie beside the repository.

    Raises FileNotFoundError where it is neither.
    """
    path = Path(os.environ.get(VARIABLE) or _BESIDE)
    if not path.exists():
        raise FileNotFoundError(
            f"No CIFAR-10 at {path}. Name a directory with {CIFAR10.base_folder}/ (torchvision's, "
            f"CIFAR10(root, download=True) makes it): python -m camlib.training cifar10-lfi --data DIRECTORY"
        )
    return path


@cache
def read(path: str | Path, split: str) -> Split:
    """One split ("train" or "test") of CIFAR-10.

    Args:
        path: directory that holds torchvision's ``cifar-10-batches-py``; or a ``.tar.gz`` archive or a directory of
            pictures ``<split>/<class>/<name>.jpg`` (or .png). Re-coded JPEGs differ slightly from the original arrays.
        split: "train" or "test".

    Raises:
        ValueError: another split, or pictures of another size.
        FileNotFoundError: nothing of that kind lies there.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split {split!r}: expected 'train' or 'test'.")
    path = Path(path)
    if (path / CIFAR10.base_folder).is_dir():
        found = CIFAR10(path, train=split == "train", download=False)
        return Split(found.data, np.array(found.targets))
    files = _archive(path, split) if path.is_file() else _folder(path, split)
    pairs = sorted(files, key=lambda entry: entry[:2])
    if not pairs:
        raise FileNotFoundError(
            f"No CIFAR-10 in {str(path)!r}: expected a directory with {CIFAR10.base_folder}/ (torchvision's), or an "
            f"archive .tar.gz or a directory of pictures {split}/airplane/0000.jpg and so on."
        )
    pictures = np.stack([_decoded(content, name) for _, name, content in pairs])
    return Split(pictures, np.array([label for label, _, _ in pairs]))


def _archive(path: Path, split: str) -> Iterator[tuple[int, str, bytes]]:
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and (label := _label(Path(member.name), split)) is not None:
                yield label, Path(member.name).name, archive.extractfile(member).read()


def _folder(path: Path, split: str) -> Iterator[tuple[int, str, bytes]]:
    for file in path.glob(f"{split}/*/*"):
        if (label := _label(file, split)) is not None:
            yield label, file.name, file.read_bytes()


def _label(file: Path, split: str) -> int | None:
    """Class index of ``.../<split>/<class>/<name>``; None for any other file."""
    known = file.suffix in (".jpg", ".png") and len(file.parts) >= 3 and file.parts[-3] == split
    return CLASSES.index(file.parts[-2]) if known and file.parts[-2] in CLASSES else None


def _decoded(content: bytes, name: str) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        array = np.asarray(picture.convert("RGB"))
    if array.shape != (SIDE, SIDE, 3):
        raise ValueError(f"{name}: a picture of CIFAR-10 is 32x32; this one is {array.shape[1]}x{array.shape[0]}.")
    return array


def sample() -> Split:
    """The 20 pictures of CIFAR-10 that foolbox brings along, in the order of its files; the label is in the name."""
    folder = Path(find_spec("foolbox").submodule_search_locations[0], "data")
    files = sorted(folder.glob("cifar10_*.png"))
    pictures = np.stack([_decoded(file.read_bytes(), file.name) for file in files])
    return Split(pictures, np.array([int(file.stem.rpartition("_")[2]) for file in files]))
