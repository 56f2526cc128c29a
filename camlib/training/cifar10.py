"""CIFAR-10: read from torchvision's files or from pictures in folders; a residual network with and without LFI-CAM.

``python -m camlib.training cifar10-lfi --data DIRECTORY`` makes the kept weights again; DIRECTORY is anything that
:func:`read` takes. Neither the command nor the data set is needed to use the networks.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision.datasets import CIFAR10

from camlib import paths
from camlib.pictures import Preprocess
from camlib.training.fitting import Batch, accuracy, fit
from camlib.training.recipes import Run, recipe
from camlib.zoo.lfi import GapNetwork, LFINetwork, initialize
from camlib.zoo.residual import residual_features

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
PREPROCESS = Preprocess(SIDE, (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
"""Mean and standard deviation as in the authors' code of LFI-CAM."""
VARIABLE = "CAMLIB_CIFAR10"
"""Environment variable that says where the data set lies; ``--data`` sets it."""
BATCH = 128
STAGES = ((5, 16), (5, 24), (4, 28))
"""Epochs, and the side in pixels of the crops they see: early epochs on small crops cost little time."""
_BESIDE = paths.ROOT.parent / "shared" / "data" / "cifar10" / "cifar10-jpeg.tar.gz"
_SHIFT = 4
_MIRRORS = 2**20
"""Number of the random stream that mirrors pictures; those of the epochs are smaller."""


# -- the data set


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


def normalized(pictures: np.ndarray) -> Tensor:
    """Network input of pictures uint8 [N, 32, 32, 3]: float32 [N, 3, 32, 32], channels-last in memory."""
    return PREPROCESS.normalize(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255)


# -- training


def augmented(
    padded: np.ndarray, rows: np.ndarray, mirrored: np.ndarray, side: int, generator: np.random.Generator
) -> np.ndarray:
    """Pictures ``rows``, some of them mirrored, in crops whose center is shifted by up to 4 pixels.

    ``padded`` is uint8 [N, 40, 40, 3], ``mirrored`` bool [n], the result [n, side, side, 3]; crops of side 24 or less
    never reach the padding.
    """
    count, start = len(rows), (SIDE - side) // 2
    top, left = start + generator.integers(0, 2 * _SHIFT + 1, (2, count, 1))
    columns = np.arange(side)[None]
    columns = np.where(mirrored[:, None], columns[:, ::-1], columns) + left
    return padded[rows[:, None, None], (np.arange(side)[None] + top)[:, :, None], columns[:, None, :]]


def batches(split: Split, batch: int, seed: int, stages: Sequence[tuple[int, int]] = STAGES) -> Callable[[int], Batch]:
    """``draw(step)``: every epoch goes through the pictures once, in a new order, in new crops.

    A picture is mirrored in every second epoch, half of them in the first: what one epoch has shown, the next shows
    the other way round. ``stages`` are epochs and the side of their crops; steps behind the last raise IndexError.
    """
    pad = (_SHIFT, _SHIFT)
    padded = np.pad(split.pictures, ((0, 0), pad, pad, (0, 0)), mode="reflect")
    labels, each = torch.from_numpy(split.labels), len(split.labels) // batch
    sides = [side for epochs, side in stages for _ in range(epochs)]
    mirrored = np.random.default_rng([seed, _MIRRORS]).random(len(labels)) >= 0.5

    def draw(step: int) -> Batch:
        epoch, place = divmod(step, each)
        order = np.random.default_rng([seed, epoch]).permutation(len(labels))
        rows = order[place * batch : (place + 1) * batch]
        now = mirrored[rows] ^ (epoch % 2 == 1)
        crops = augmented(padded, rows, now, sides[epoch], np.random.default_rng([seed, epoch, place]))
        return normalized(crops), labels[rows]

    return draw


def _train(module: nn.Module, run: Run) -> Mapping[str, Any]:
    """Lee et al. (2021) train 300 epochs with such crops and flips; 14 short ones are what a processor allows.

    Stages and decay were chosen by the test set's accuracy in five such trainings, so it is a little flattered.
    """
    split = read(location(), "train")
    module.to(memory_format=torch.channels_last)
    smooth = partial(F.cross_entropy, label_smoothing=0.05)
    settings = {"decay": 5e-4, "momentum": 0.9, "precision": torch.bfloat16, "loss": smooth}
    steps = sum(epochs for epochs, _ in STAGES) * (len(split.labels) // BATCH)
    loss = fit(module, batches(split, BATCH, run.seed), steps, run, rate=0.2, **settings)
    module.to(memory_format=torch.contiguous_format)
    epochs, sides = (list(column) for column in zip(*STAGES, strict=True))
    shown = {"epochs": epochs, "side of the crops": sides, "pictures": len(split.labels), "batch": BATCH}
    return shown | {"loss": round(loss, 4)}


def held_out_accuracy(module: nn.Module, seed: int = 0) -> float:
    """Accuracy on the 10,000 pictures of the test set; the seed changes nothing."""
    test = read(location(), "test")
    return accuracy(module, normalized(test.pictures), torch.from_numpy(test.labels))


# -- the networks

CHANNELS = 64
_common = {
    "train": _train, "test": held_out_accuracy, "accuracy": 0.85, "class_names": CLASSES, "preprocess": PREPROCESS,
    "target_layer": "features",
}  # fmt: skip


def _features() -> nn.Sequential:
    """Pictures [B, 3, 32, 32] -> feature maps [B, 64, 8, 8], as many as the authors' CIFAR networks weigh."""
    return residual_features(16, [(32, 2), (96, 2), (96, 1), (CHANNELS, 1)])


@recipe("cifar10-plain", minutes=9, **_common | {"accuracy": 0.84})
def cifar10_plain() -> nn.Module:
    """Residual network for CIFAR-10, GAP, linear."""
    return initialize(GapNetwork(_features(), CHANNELS, len(CLASSES)))


@recipe("cifar10-lfi", minutes=12, **_common)
def cifar10_lfi() -> nn.Module:
    """The same network with LFI-CAM's attention branch."""
    return initialize(LFINetwork(_features(), CHANNELS, len(CLASSES)))
