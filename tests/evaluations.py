"""Small pictures, a small network and a plan that the tests of camlib.evaluate share."""

from __future__ import annotations

from dataclasses import replace

import helpers
import numpy as np
import pandas as pd
import torch
from helpers import Gap, network, seeded
from PIL import Image

from camlib import Network
from camlib.data.datasets import Dataset, Example, LabeledBox

METRICS = ("average-drop", "average-increase", "energy-pointing-game", "pointing-game")
METHODS = ("grad-cam", "score-cam")
SIZE = helpers.SIZE


def sure(seed: int = 4, dtype: torch.dtype = torch.float64) -> Gap:
    """A network with some confidence, so that probabilities rise on some pictures and drop on others."""
    module = seeded(Gap, seed, dtype)
    with torch.no_grad():
        module.fc.weight *= 8
    return module


def net() -> Network:
    return network(sure(), SIZE)


def photo(seed: int, width: int = 40, height: int = 30) -> Image.Image:
    values = helpers.picture(seed, height, width).permute(1, 2, 0).numpy()
    return Image.fromarray(np.round(values * 255).astype(np.uint8))


def examples(*changes: dict, count: int = 4) -> Dataset:
    """Small pictures "0", "1" ... with one box of every class; ``changes`` are fields of the last examples."""
    boxes = tuple(LabeledBox(4, 3, 30, 20, name) for name in helpers.CLASSES)
    made = [Example(str(i), lambda i=i: photo(i), lambda: boxes) for i in range(count)]
    made += [replace(made[0], **{"id": f"changed {i}", **change}) for i, change in enumerate(changes)]
    by_id = {example.id: example for example in made}
    return Dataset("test pictures", tuple(by_id), by_id.__getitem__)


def status_of(rows: pd.DataFrame, picture: str, metric: str = "average-drop") -> set[tuple[str, str]]:
    part = rows[(rows["picture"] == picture) & (rows["metric"] == metric)]
    assert len(part)
    return {*zip(part["status"], part["note"], strict=True)}


def assert_same_rows(a: pd.DataFrame, b: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(a, b, rtol=1e-6, atol=1e-9)
