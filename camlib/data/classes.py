"""Names of classes: ImageNet's thousand, their wnids, and which of them a name of VOC or COCO stands for."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from functools import cache
from importlib import resources

from timm.data import ImageNetInfo
from torchvision.models import get_model_weights

from camlib.networks import Network


@cache
def imagenet_classes() -> tuple[str, ...]:
    """The 1,000 ImageNet class names in the order of the logits, from torchvision's weight metadata."""
    return tuple(get_model_weights("resnet18").IMAGENET1K_V1.meta["categories"])


def imagenet_index(wnid: str) -> int | None:
    """ImageNet index of a wnid such as "n01440764": its rank among the 1000 sorted ones; None for any other text."""
    return _wnids().get(wnid)


@cache
def _wnids() -> dict[str, int]:
    return {wnid: index for index, wnid in enumerate(ImageNetInfo("imagenet-1k").label_names())}


@cache
def voc_classes() -> dict[str, frozenset[int]]:
    """VOC's names, and COCO's for the same things -> ImageNet indices, from ``voc_imagenet.csv``."""
    text = resources.files("camlib.data").joinpath("voc_imagenet.csv").read_text(encoding="utf-8")
    ranges = defaultdict(set)
    for row in csv.DictReader(io.StringIO(text)):
        for name in (row["voc"], row["coco"]):
            ranges[name] |= set(range(int(row["first"]), int(row["last"]) + 1))
    return {name: frozenset(indices) for name, indices in ranges.items()}


def classes_of(name: str, network: Network) -> frozenset[int]:
    """Indices of the network's classes that an object called ``name`` stands for; empty where there is none.

    The name of a class of the network stands for it. For a network with ImageNet's 1000 classes, so does a wnid, and
    one of VOC's twenty names (or COCO's for the same things) stands for the classes of ``voc_imagenet.csv``: those that
    are such a thing by WordNet and by VOC's guidelines for annotators (cars without trucks and emergency vehicles,
    domestic cats and dogs only, bicycles with tricycles and unicycles, ships among the boats). ImageNet's cow is an ox,
    its horse a sorrel, and of people it knows three. Names are taken at their word: COCO's kite is a toy, ImageNet's a
    bird.
    """
    wanted, known = _plain(name), network.class_names or []
    found = frozenset(i for i, each in enumerate(known) if _plain(each) == wanted)
    if found or tuple(known) != imagenet_classes():
        return found
    index = imagenet_index(name)
    return voc_classes().get(wanted, found) if index is None else frozenset({index})


def _plain(name: str) -> str:
    return name.replace("_", " ").strip().casefold()
