"""Networks that were trained here: their kept weights and records in data/trained/, and how they are loaded.

    net = load_trained("scenes-gap")
    record_of("scenes-gap")["accuracy"]

``python -m camlib.training scenes-gap`` makes the files; nothing of :mod:`camlib.training` is needed to read them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from camlib import paths
from camlib.networks import Network
from camlib.zoo import captioner, cifar10, rectified_heads, scenes  # noqa: F401  (they register their designs)
from camlib.zoo.designs import find_design

TRAINED = paths.DATA / "trained"
"""<name>.safetensors, <name>@<tag>.safetensors for kept stages of the training, <name>.json."""

State = dict[str, Tensor]


def file_name(name: str, tag: str = "default") -> str:
    """The file of a network's weights, or of those of a stage."""
    return f"{name}.safetensors" if tag == "default" else f"{name}@{tag}.safetensors"


def pack(state: State, name: str) -> bytes:
    """Weights as safetensors with floating-point numbers in float16: the same weights, the same bytes.

    Raises RuntimeError for a weight of the network ``name`` that float16 cannot hold.
    """
    halved = {key: v.detach().half() if v.is_floating_point() else v.detach() for key, v in state.items()}
    for key, value in halved.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise RuntimeError(f"Weight {key} of {name} holds NaN, Inf or numbers beyond float16; train it otherwise.")
    return save({key: value.contiguous() for key, value in halved.items()})


def unpack(content: bytes) -> State:
    """What :func:`pack` has packed, floating-point numbers in float32."""
    return {key: v.float() if v.is_floating_point() else v for key, v in load(content).items()}


def record_of(name: str, folder: Path = TRAINED) -> dict[str, Any]:
    """The record of a trained network: accuracy, seed, facts, size and SHA-256 of its files, ``stages`` if it has any.

    Raises ValueError for an unknown name, and FileNotFoundError where the network was not trained yet, with the
    command that does it.
    """
    return json.loads(_read(folder / f"{find_design(name).name}.json", name))


def kept_weights(name: str, tag: str = "default", folder: Path = TRAINED) -> State:
    """The kept weights of a trained network in float32, compared with the SHA-256 of its record.

    Raises:
        ValueError: an unknown name or stage (those that exist are listed), or a file that is not the record's.
        FileNotFoundError: the network was not trained yet.
    """
    record = record_of(name, folder)
    stages = {"default": record, **record.get("stages", {})}
    if tag not in stages:
        raise ValueError(f"{name} has no weights {tag!r}. Choose one of {', '.join(map(repr, stages))}.")
    file = folder / file_name(name, tag)
    content = _read(file, name)
    if hashlib.sha256(content).hexdigest() != stages[tag]["sha256"]:
        raise ValueError(f"{file} is not the file of its record. Train it anew: python -m camlib.training {name}")
    return unpack(content)


def _read(file: Path, name: str) -> bytes:
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist. Train the network: python -m camlib.training {name}")
    return file.read_bytes()


def load_trained(name: str, weights: str | None = "default", *, seed: int = 0, folder: Path = TRAINED) -> Network:
    """A trained network, in eval mode on the CPU; see :func:`camlib.load_network`.

    ``weights``: "default", the tag of a kept stage of its training, or None for random weights drawn from ``seed``.
    Raises as :func:`kept_weights`.
    """
    found = find_design(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = found.build().eval()
    label = f"{name} (random weights, seed {seed})"
    if weights is not None:
        module.load_state_dict(kept_weights(name, weights, folder))
        label = name if weights == "default" else f"{name}@{weights}"
    return Network(module, found.target_layer, found.preprocess, found.class_names, label)
