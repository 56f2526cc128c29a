"""Recipes: how a network is built, trained and tested, and which files keep its weights and its record."""

from __future__ import annotations

import difflib
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
from safetensors.torch import load, save
from torch import Tensor, nn

from camlib import paths
from camlib.engine import runtime
from camlib.networks import Network
from camlib.pictures import Preprocess
from camlib.registry import refuse_taken

TRAINED = paths.DATA / "trained"
"""<name>.safetensors, <name>@<tag>.safetensors for kept stages of the training, <name>.json."""

State = dict[str, Tensor]


@dataclass
class Run:
    """One training: its seed, a place for stages worth keeping, and a voice.

    Attributes:
        seed: what makes one training differ from another; everything random is drawn from it.
        say: takes a line about the progress.
        stages: tag -> (weights, facts), filled by :meth:`keep`.
    """

    seed: int
    say: Callable[[str], None] = lambda line: None
    stages: dict[str, tuple[State, dict[str, Any]]] = field(default_factory=dict)

    def keep(self, tag: str, module: nn.Module, **facts: Any) -> None:
        """Keep the module's present weights as ``load_network(name, weights=tag)``, with facts for the record.

        Raises ValueError for a tag that is taken or not made of letters, digits, dots and hyphens.
        """
        if not re.fullmatch(r"[A-Za-z0-9.-]+", tag) or tag in self.stages or tag == "default":
            raise ValueError(f"tag {tag!r}: expected letters, digits, dots and hyphens, another one for each stage.")
        self.stages[tag] = ({key: value.clone() for key, value in module.state_dict().items()}, facts)


@dataclass(frozen=True)
class Recipe:
    """One trained network; the attributes are the arguments of :func:`recipe`."""

    name: str
    build: Callable[[], nn.Module]
    train: Callable[[nn.Module, Run], Mapping[str, Any]]
    test: Callable[[nn.Module, int], float]
    accuracy: float
    class_names: tuple[str, ...]
    preprocess: Preprocess
    target_layer: str | None
    after: tuple[str, ...]
    minutes: float
    summary: str


_recipes: dict[str, Recipe] = {}
RECIPES: Mapping[str, Recipe] = MappingProxyType(_recipes)


def recipe(
    name: str,
    *,
    train: Callable[[nn.Module, Run], Mapping[str, Any]],
    test: Callable[[nn.Module, int], float],
    accuracy: float,
    class_names: Sequence[str],
    preprocess: Preprocess,
    target_layer: str | None = None,
    after: Sequence[str] = (),
    minutes: float = 1,
) -> Callable[[Callable[[], nn.Module]], Callable[[], nn.Module]]:
    """Register the decorated function, which builds the module with random weights, as a trained network.

    Args:
        name: what :func:`camlib.load_network` takes.
        train: ``train(module, run)`` leaves the trained weights in the module and returns facts for the record
            (epochs, numbers of pictures ...; whatever JSON can hold, no times).
        test: ``test(module, seed)`` is the accuracy in [0, 1] on pictures that no training has seen; ``seed`` draws
            them where they are drawn.
        accuracy: stated accuracy; weights that test below it are not kept.
        class_names, preprocess, target_layer: of the :class:`camlib.Network`.
        after: recipes whose kept weights this one starts from, see :func:`kept_weights`.
        minutes: about how long training takes on one core; of several networks the longest are begun first.

    Raises:
        ValueError: the name is taken by another function or not kebab-case, or ``after`` names an unknown recipe.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError(f"Recipe name {name!r} is not kebab-case, like 'scenes-gap'.")
    if not 0 <= accuracy <= 1:
        raise ValueError(f"accuracy={accuracy}: expected a share in [0, 1].")
    for earlier in after:
        find_recipe(earlier)

    def register(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        if name in _recipes:
            refuse_taken(name, _recipes[name].build, build)
        _recipes[name] = Recipe(
            name=name,
            build=build,
            train=train,
            test=test,
            accuracy=accuracy,
            class_names=tuple(class_names),
            preprocess=preprocess,
            target_layer=target_layer,
            after=tuple(after),
            minutes=minutes,
            summary=(build.__doc__ or "").strip().partition("\n")[0],
        )
        return build

    return register


def find_recipe(name: str) -> Recipe:
    """The recipe called ``name``; raises ValueError with the nearest names."""
    if name not in RECIPES:
        near = difflib.get_close_matches(str(name), RECIPES, n=4, cutoff=0.4) or list(RECIPES)
        raise ValueError(f"No recipe is called {name!r}. Nearest: {', '.join(near)}; see camlib.training.RECIPES.")
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
    module, run = found.build(), Run(seed, say)
    facts = dict(found.train(module, run))
    states = {"default": (module.state_dict(), facts), **run.stages}
    contents, record = {}, {"name": name, "seed": seed, "torch": torch.__version__.partition("+")[0]}
    record["parameters"] = sum(p.numel() for p in module.parameters())
    for tag, (state, said) in states.items():
        content = _packed(state, name)
        module.load_state_dict(_unpacked(content))
        reached = round(found.test(module.eval(), seed), 4)
        contents[_file_name(name, tag)] = content
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


def _file_name(name: str, tag: str) -> str:
    return f"{name}.safetensors" if tag == "default" else f"{name}@{tag}.safetensors"


def _packed(state: State, name: str) -> bytes:
    """Weights as safetensors with floating-point numbers in float16: the same weights, the same bytes."""
    halved = {key: v.detach().half() if v.is_floating_point() else v.detach() for key, v in state.items()}
    for key, value in halved.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise RuntimeError(f"Weight {key} of {name} holds NaN, Inf or numbers beyond float16; train it otherwise.")
    return save({key: value.contiguous() for key, value in halved.items()})


def _unpacked(content: bytes) -> State:
    return {key: v.float() if v.is_floating_point() else v for key, v in load(content).items()}


# -- what is kept


def record_of(name: str, folder: Path = TRAINED) -> dict[str, Any]:
    """The record of a trained network: accuracy, seed, facts, size and SHA-256 of its files, ``stages`` if it has any.

    Raises FileNotFoundError where the network was not trained yet, with the command that does it.
    """
    return json.loads(_read(folder / f"{find_recipe(name).name}.json", name))


def kept_weights(name: str, tag: str = "default", folder: Path = TRAINED) -> State:
    """The kept weights of a trained network in float32, compared with the SHA-256 of its record.

    Raises:
        ValueError: an unknown recipe or stage (those that exist are listed), or a file that is not the record's.
        FileNotFoundError: the network was not trained yet.
    """
    record = record_of(name, folder)
    stages = {"default": record, **record.get("stages", {})}
    if tag not in stages:
        raise ValueError(f"{name} has no weights {tag!r}. Choose one of {', '.join(map(repr, stages))}.")
    file = folder / _file_name(name, tag)
    content = _read(file, name)
    if hashlib.sha256(content).hexdigest() != stages[tag]["sha256"]:
        raise ValueError(f"{file} is not the file of its record. Train it anew: python -m camlib.training {name}")
    return _unpacked(content)


def _read(file: Path, name: str) -> bytes:
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist. Train the network: python -m camlib.training {name}")
    return file.read_bytes()


def load_trained(name: str, weights: str | None = "default", *, seed: int = 0, folder: Path = TRAINED) -> Network:
    """A trained network, in eval mode on the CPU; see :func:`camlib.load_network`.

    ``weights``: "default", the tag of a kept stage of its training, or None for random weights drawn from ``seed``.
    Raises as :func:`kept_weights`.
    """
    found = find_recipe(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = found.build().eval()
    label = f"{name} (random weights, seed {seed})"
    if weights is not None:
        module.load_state_dict(kept_weights(name, weights, folder))
        label = name if weights == "default" else f"{name}@{weights}"
    return Network(module, found.target_layer, found.preprocess, found.class_names, label)
