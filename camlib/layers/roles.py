"""Layers by role, for networks whose names nobody knows: "last", "inner", and the stages on the way."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from camlib.layers.layer import Layer

ROLES = ("last", "inner")
"""What a layer may be called in any network: the one that is explained when none is named, and one stage before it."""
_PARTS = 2
"""Names of at most so many parts are stages; longer ones stand inside of them."""


def by_role(role: str, layers: Sequence[Layer], last: Layer) -> Layer:
    """The layer that plays a role; ``layers`` in order of computation, ``last`` the default one.

    "inner" is where the last but one stage ends: the last layer with finer maps than ``last`` (blocks.4 of
    EfficientNet-Lite, layer3 of a ResNet, features.22 of VGG-16). Where all maps have one size, as in a vision
    transformer, it is the one in the middle.
    """
    if role == "last":
        return last
    finer = stages(layers, last)[:-1]
    return finer[-1] if finer else _middle(layers, last)


def stages(layers: Sequence[Layer], last: Layer) -> list[Layer]:
    """The last layer of each size on the way to ``last``, the finest first, ``last`` itself at the end."""
    before = _before(layers, last)
    finer = [layer for layer in before if prod(layer.size) > prod(last.size)]
    named = [layer for layer in finer if layer.name.count(".") < _PARTS] or finer
    found = {prod(layer.size): layer for layer in named}
    return [*(found[size] for size in sorted(found, reverse=True)), last]


def _before(layers: Sequence[Layer], last: Layer) -> list[Layer]:
    names = [layer.name for layer in layers]
    return list(layers[: names.index(last.name)]) if last.name in names else list(layers)


def _middle(layers: Sequence[Layer], last: Layer) -> Layer:
    """The middle one of the layers that are shaped as ``last`` is, ``last`` where it is the only one."""
    alike = [layer for layer in _before(layers, last) if (layer.size, layer.channels) == (last.size, last.channels)]
    named = [layer for layer in alike if layer.name.count(".") < _PARTS] or alike
    return named[len(named) // 2] if named else last
