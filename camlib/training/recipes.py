"""Recipes: how a network of :mod:`camlib.zoo.designs` is trained and tested, and how its weights come to be kept."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from camlib.engine import runtime
from camlib.registry import no_such, refuse_taken
from camlib.zoo.designs import Design, find_design
from camlib.zoo.trained import TRAINED, State, file_name, pack, unpack


@dataclass
class Run:
    """One training: its seed, a place for stages worth keeping, and a voice.

    Attributes:
        seed: what makes one training differ from another; everything random is drawn from it.
        name: the network that is trained.
        say: takes a line about the progress.
        stages: tag -> (weights, facts), filled by :meth:`keep`.
    """

    seed: int
    name: str = ""
    say: Callable[[str], None] = lambda line: None
    stages: dict[str, tuple[State, dict[str, Any]]] = field(default_factory=dict)

    def keep(self, tag: str, module: nn.Module, **facts: Any) -> None:
        """Keep the module's present weights as ``load_network(name, weights=tag)``, with facts for the record.

        Raises ValueError for a tag that is taken or not made of letters, digits, dots and hyphens.
        """
        if not re.fullmatch(r"[A-Za-z0-9.-]+", tag) or tag in self.stages or tag == "default":
            raise ValueError(f"tag {tag!r}: expected letters, digits, dots and hyphens, another one for each stage.")
        self.stages[tag] = ({key: value.clone() for key, value in module.state_dict().items()}, facts)


Train = Callable[[nn.Module, Run], Mapping[str, Any]]


@dataclass(frozen=True)
class Recipe:
    """How one network is trained; the attributes are the design and the arguments of :func:`recipe`."""

    design: Design
    train: Train
    test: Callable[[nn.Module, int], float]
    accuracy: float
    after: tuple[str, ...]
    minutes: float

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.design.name


_recipes: dict[str, Recipe] = {}
RECIPES: Mapping[str, Recipe] = MappingProxyType(_recipes)


def recipe(
    *names: str,
    test: Callable[[nn.Module, int], float],
    accuracy: float,
    after: Sequence[str] = (),
    minutes: float = 1,
) -> Callable[[Train], Train]:
    """Register the decorated function as the training of these networks.

    The function, ``train(module, run)``, leaves the trained weights in the module and returns facts for the record
    (epochs, numbers of pictures ...; whatever JSON can hold, no times).

    Args:
        names: of designs, see :func:`camlib.zoo.designs.design`.
        test: ``test(module, seed)`` is the accuracy in [0, 1] on pictures that no training has seen; ``seed`` draws
            them where they are drawn.
        accuracy: stated accuracy; weights that test below it are not kept.
        after: recipes whose kept weights this one starts from, see :func:`camlib.zoo.trained.kept_weights`.
        minutes: about how long training takes on one core; of several networks the longest are begun first.

    Raises:
        ValueError: there is no such design, it has another recipe, or ``after`` names an unknown recipe.
    """
    if not 0 <= accuracy <= 1:
        raise ValueError(f"accuracy={accuracy}: expected a share in [0, 1].")
    for earlier in after:
        find_recipe(earlier)

    def register(train: Train) -> Train:
        for name in names:
            if name in _recipes:
                refuse_taken(name, _recipes[name].train, train)
            _recipes[name] = Recipe(find_design(name), train, test, accuracy, tuple(after), minutes)
        return train

    return register


def find_recipe(name: str) -> Recipe:
    """The recipe called ``name``; raises ValueError with the nearest names."""
    if name not in RECIPES:
        raise no_such("recipe", name, RECIPES, "camlib.training.RECIPES")
    return RECIPES[name]


# -- training


def train(
    name: str, seed: int = 0, folder: Path = TRAINED, say: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Train a network from its seed and keep its weights (float16) and its record in ``folder``; returns the record.

    The same seed, thread count, machine and torch give the same bytes. The record's accuracies are those of the
    weights as they are kept. Each file is written under another name and renamed.

    Raises:
        RuntimeError: the trained network tests below the recipe's accuracy, or a weight does not fit float16; then
            nothing is written.
    """
    found = find_recipe(name)
    runtime.setup(seed)
    module, run = found.design.build(), Run(seed, name, say)
    facts = dict(found.train(module, run))
    states = {"default": (module.state_dict(), facts), **run.stages}
    contents, record = {}, {"name": name, "seed": seed, "torch": torch.__version__.partition("+")[0]}
    record["parameters"] = sum(p.numel() for p in module.parameters())
    for tag, (state, said) in states.items():
        content = pack(state, name)
        module.load_state_dict(unpack(content))
        reached = round(found.test(module.eval(), seed), 4)
        contents[file_name(name, tag)] = content
        digest = hashlib.sha256(content).hexdigest()
        entry = {**said, "accuracy": reached, "bytes": len(content), "sha256": digest}
        record |= entry if tag == "default" else {"stages": {**record.get("stages", {}), tag: entry}}
    if record["accuracy"] < found.accuracy:
        raise RuntimeError(f"{name} reaches an accuracy of {record['accuracy']}, below the {found.accuracy} it states.")
    contents[f"{name}.json"] = (json.dumps(record, indent=1) + "\n").encode()
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(f"{name}@*.safetensors"):
        if stale.name not in contents:
            stale.unlink()
    for file, content in contents.items():
        temporary = folder / f".{file}.{os.getpid()}"
        temporary.write_bytes(content)
        temporary.replace(folder / file)
    return record


def train_aloud(name: str, seed: int = 0) -> None:
    """:func:`train` into :data:`TRAINED`, its progress and its accuracy printed line by line."""
    record = train(name, seed, say=lambda line: print(f"{name}: {line}", flush=True))
    print(f"{name}: accuracy {record['accuracy']:.4f}, {record['bytes']} bytes", flush=True)


def take_environment(variables: Mapping[str, str]) -> None:
    """Give this process the variables: one that a server forks has the environment of the server's first start."""
    os.environ.update(variables)
