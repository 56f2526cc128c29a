"""The pictures, one after the other: all scores of each, its rows, and what is finished kept."""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from camlib import paths
from camlib.data import datasets
from camlib.data.scenes import make_scenes
from camlib.engine import kriging, landmarks
from camlib.evaluate.budget.choices import CHOICES, PARTS, Exact, rows_of
from camlib.evaluate.budget.tables import replace_file
from camlib.networks import Network
from camlib.pictures import Picture
from camlib.trace import Trace
from camlib.zoo.pretrained import load_network

KEPT = paths.BUILD / "budget"
SCENES_SEED = 1501
Row = dict[str, Any]


@dataclass(frozen=True)
class Population:
    """Pictures of one kind, explained by one network at one of its layers (None: its target layer)."""

    network: str
    layer: str | None
    pictures: str = "photographs"

    @property
    def name(self) -> str:
        """As the command line and the record call it."""
        return f"{self.network}:{self.layer or 'last'}"


POPULATIONS = (
    Population("efficientnet-lite0", None),
    Population("efficientnet-lite1", None),
    Population("efficientnet-lite2", None),
    Population("efficientnet-lite0", "blocks.4.2.bn2"),
    Population("scenes-gap", None, "scenes"),
    Population("scenes-vgg", None, "scenes"),
)


def pictures_of(population: Population, samples: Path | None, skip: int, count: int) -> list[tuple[str, Callable]]:
    """(name, function that opens the picture) of a population; photographs in the order drawn by lot with seed 0."""
    if population.pictures == "scenes":
        scenes = make_scenes(count, seed=SCENES_SEED)
        return [(f"scene-{i:04d}", partial(scenes.images.__getitem__, i)) for i in range(count)]
    if samples is None:
        raise ValueError(
            f"{population.name} needs photographs: --samples DIR, a folder as of ImageNet (DIR/val/<wnid>)."
        )
    dataset = datasets.imagenet(samples)
    ids = sorted(dataset.ids)
    random.Random(0).shuffle(ids)
    return [(Path(name).stem, partial(getattr, dataset.make(name), "picture")) for name in ids[skip : skip + count]]


class Keeper:
    """What is finished, one file a picture: rows under a digest of everything that decides about them."""

    def __init__(self, folder: Path, population: Population) -> None:
        self.folder = folder / population.name.replace(":", "-")
        self.digest = hashlib.sha256(json.dumps(settings(), sort_keys=True).encode()).hexdigest()[:12]

    def rows(self, picture: str) -> list[Row] | None:
        """The rows of a finished picture; None of one that is not."""
        file = self.folder / f"{picture}.{self.digest}.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None

    def keep(self, picture: str, rows: list[Row]) -> list[Row]:
        """Write the rows, whole or not at all."""
        replace_file(self.folder / f"{picture}.{self.digest}.json", json.dumps(rows).encode())
        return rows

    def scored(self, picture: str, trace: Trace) -> tuple[Tensor, tuple[float, float]]:
        """Logits of the picture's live channels, and processor times: of the network's copy, of them. Kept, too."""
        file = self.folder / f"{picture}.npz"
        if not file.exists():
            start = time.process_time()
            trace.scorer()
            ready = time.process_time()
            logits = trace.masked_logits()[0, trace.live[0]]
            seconds = ready - start, time.process_time() - ready
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_name(f".{picture}.{os.getpid()}.npz")
            np.savez(temporary, logits=logits.cpu().numpy(), seconds=seconds)
            temporary.replace(file)
        with np.load(file) as kept:
            return torch.from_numpy(kept["logits"]), tuple(kept["seconds"].tolist())


def measure(
    population: Population, samples: Path | None, skip: int, count: int, kept: Path = KEPT
) -> tuple[list[Row], list[dict[str, str]]]:
    """(rows, failures) of a population; a picture that cannot be done is a failure with a reason."""
    pictures, keeper = pictures_of(population, samples, skip, count), Keeper(kept, population)
    rows, failures = [], []
    network = cache(partial(load_network, population.network))  # not before a picture needs it
    for name, load in tqdm(pictures, desc=population.name, unit="picture"):
        try:
            found = keeper.rows(name)
            if found is None:
                found = keeper.keep(name, _rows(network(), population, name, load(), keeper))
            rows += found
        except (OSError, ValueError) as error:
            failures.append({"picture": name, "population": population.name, "why": type(error).__name__})
    return rows, failures


def _rows(network: Network, population: Population, name: str, picture: Picture, keeper: Keeper) -> list[Row]:
    trace = Trace.of(network, picture, layer=population.layer)
    logits, seconds = keeper.scored(name, trace)
    stakes = landmarks.stakes_of(trace.probabilities[0])
    exact = Exact(trace.activations[0, trace.live[0]].cpu(), logits, stakes, network.output)
    known = {"picture": name, "network": population.network, "layer": trace.layer.name}
    return [known | row for row in rows_of(exact, seconds, random.Random(name))]


def settings() -> dict[str, Any]:
    """What decides about the rows of a picture besides the picture, the network and the layer."""
    return {
        "parts": PARTS,
        "first share": landmarks.FIRST_SHARE,
        "rounds": landmarks.ROUNDS,
        "first length": landmarks.FIRST_LENGTH,
        "lengths": kriging.LENGTHS,
        "nugget": kriging.NUGGET,
        "choices": list(CHOICES),
        "rows": 2,  # raise it when a choice is written anew
    }
