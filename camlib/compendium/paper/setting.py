"""What the papers' setting needs and what of it is here: weights of eight networks, folders of ImageNet and VOC."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat

from camlib import checkpoints, paths
from camlib.checkpoints import WeightsUnavailable
from camlib.data import datasets
from camlib.data.datasets import Dataset
from camlib.zoo.pretrained import checkpoint_file, load_network, published_weights

NETWORKS = (
    "squeezenet1_1",
    "resnet18",
    "resnet50",
    "resnet101",
    "densenet161",
    "vgg16",
    "vgg19",
    "mobilenet_v2",
)
"""Networks that the papers show, by torchvision's names; SqueezeNet is 1.1 by its error rates (notebook 03)."""
ABSENT = "absent"
_STATES = "weights.json"


@dataclass(frozen=True)
class Weights:
    """Weights of one network: where they belong, how large they are, what one pass of a picture costs.

    ``state`` is the first digits of the file's SHA-256, or "absent".
    """

    network: str
    file: Path
    megabytes: float
    gflops: float

    @classmethod
    def of(cls, network: str) -> Weights:
        """By torchvision's name; size and operations are those of torchvision's own description."""
        meta = published_weights(network).meta
        return cls(network, checkpoint_file(network), meta["_file_size"], meta["_ops"])

    @property
    def here(self) -> bool:
        """Whether a file of that name is there."""
        return self.file.is_file()

    @property
    def state(self) -> str:
        """What decides whether a run has to be made again."""
        return checkpoints.digest(self.file)[:16] if self.here else ABSENT

    @property
    def said(self) -> str:
        """The state in words."""
        if not self.here:
            return "to be downloaded"
        if checkpoints.verified(self.file) is False:
            return "here, not torchvision's file: not comparable"
        return "here"


def fetch(networks: Iterable[str]) -> dict[str, str]:
    """Download what is absent, one file after the other; network -> why it cannot be had."""
    missing = {}
    for network in networks:
        if not Weights.of(network).here:
            try:
                load_network(network)
            except WeightsUnavailable as error:
                missing[network] = _why(Weights.of(network), error.__cause__)
    return missing


def _why(weights: Weights, cause: BaseException | None) -> str:
    """One sentence: what is missing where, why it was not downloaded, what helps."""
    said = str(cause).strip().partition("\n")[0]
    why = "is switched off (HF_HUB_OFFLINE=1 or CAMLIB_OFFLINE=1)" if cause is None else f"failed ({said})"
    return (
        f"{weights.file.name} ({weights.megabytes:.0f} MB) is not in {weights.file.parent}, and downloading it {why}: "
        f"run `make paper` again with a connection, or copy the file there from another machine (TORCH_HOME moves the "
        f"folder)."
    )


# -- notebooks


def notebooks() -> list[Path]:
    """The notebooks of the course and of its appendix in order; solutions of exercises make no items."""
    return [path for path in paths.notebooks() if path.parent.name != paths.SOLUTIONS]


def networks_of(notebook: Path) -> tuple[str, ...]:
    """Networks whose weights a notebook loads in the paper profile, read off its code.

    Every name of :data:`NETWORKS` that stands there as a string, unless all it is used for is a network with random
    weights, ``load_network("vgg16", None)``.
    """
    found: set[str] = set()
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code":
            nodes = list(ast.walk(ast.parse(cell.source)))
            random = {id(call.args[0]) for call in nodes if _asks_for_random_weights(call)}
            strings = (node for node in nodes if isinstance(node, ast.Constant) and id(node) not in random)
            found |= {node.value for node in strings if node.value in NETWORKS}
    return tuple(name for name in NETWORKS if name in found)


def _asks_for_random_weights(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and node.args):
        return False
    called = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if not called.endswith("load_network"):
        return False
    weights = [*node.args[1:2], *(keyword.value for keyword in node.keywords if keyword.arg == "weights")]
    return any(isinstance(value, ast.Constant) and value.value is None for value in weights)


def forget_outdated(runs: Path) -> list[str]:
    """Delete runs that were made with other weights than those that are here now; their names.

    make compares times of files, and a checkpoint that has come since is none of its files.
    """
    record = runs / _STATES
    before = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    now = {path.stem: {name: Weights.of(name).state for name in networks_of(path)} for path in notebooks()}
    outdated = [name for name, states in now.items() if before.get(name, states) != states]
    for name in outdated:
        (runs / f"{name}.ipynb").unlink(missing_ok=True)
    runs.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return outdated


# -- folders


@dataclass(frozen=True)
class Folders:
    """Data sets of the papers by name, and why one is not there."""

    found: Mapping[str, Dataset]
    lacking: Mapping[str, str]


def read_folders(
    imagenet: str | None, voc: str | None, boxes: str | None = None, synsets: str | None = None
) -> Folders:
    """ "imagenet", "boxes" (the same pictures, where they have boxes) and "voc"; no picture is opened."""
    found: dict[str, Dataset] = {}
    lacking: dict[str, str] = {}
    readers = {
        "imagenet": (imagenet, lambda: datasets.imagenet(imagenet, "val", boxes, synsets), _NO_IMAGENET),
        "voc": (voc, lambda: datasets.voc(voc, 2007, "test"), _NO_VOC),
    }
    for name, (given, read, without) in readers.items():
        try:
            if given:
                found[name] = read()
            else:
                lacking[name] = without
        except (ValueError, OSError, RuntimeError) as error:
            lacking[name] = f"{name.upper()}={given}: {error}"
    if "imagenet" not in found:
        lacking["boxes"] = lacking["imagenet"]
    elif _has_boxes(found["imagenet"]):
        found["boxes"] = found["imagenet"]
    else:
        lacking["boxes"] = _NO_BOXES
    return Folders(found, lacking)


_NO_IMAGENET = (
    "IMAGENET is not given. With the validation pictures of ILSVRC2012: make paper IMAGENET=DIR, where DIR holds "
    "val/<wnid>/*.JPEG, torchvision's or Kaggle's layout, or pictures side by side and SYNSETS=FILE."
)
_NO_VOC = "VOC is not given. With the test pictures of PASCAL VOC 2007: make paper VOC=DIR, where DIR holds VOCdevkit."
_NO_BOXES = (
    "IMAGENET has no boxes. With the annotations of ILSVRC2012: make paper IMAGENET=DIR BOXES=DIR, where BOXES holds "
    "the XML files (Kaggle's layout is found by itself)."
)


def _has_boxes(dataset: Dataset, look_at: int = 50) -> bool:
    """Whether one of the first pictures of a sample has an object; annotations that cannot be read are not one."""
    return any(_boxes_of(example) for example in dataset.sample(min(look_at, len(dataset))))


def _boxes_of(example: datasets.Example) -> Sequence[datasets.LabeledBox]:
    try:
        return example.boxes
    except ValueError:
        return ()
