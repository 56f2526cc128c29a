"""Networks that are trained here, as they are built: the module with random weights, and what goes in and comes out.

    @design("scenes-gap", class_names=SHAPES, preprocess=PREPROCESS, target_layer="features")
    def scenes_gap() -> nn.Module:
        return PooledNetwork("gap")

How a design is trained is its recipe in :mod:`camlib.training`; what was kept of that is :mod:`camlib.zoo.trained`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn

from camlib.pictures import Preprocess
from camlib.registry import no_such, refuse_taken

Builder = Callable[[], nn.Module]


@dataclass(frozen=True)
class Design:
    """One network; the attributes are the arguments of :func:`design` and the first line of the builder's docstring."""

    name: str
    build: Builder
    class_names: tuple[str, ...]
    preprocess: Preprocess
    target_layer: str | None
    summary: str


_designs: dict[str, Design] = {}
DESIGNS: Mapping[str, Design] = MappingProxyType(_designs)
"""The registered designs by name; :mod:`camlib.zoo.trained` imports the modules that bring them."""


def design(
    name: str, *, class_names: Sequence[str], preprocess: Preprocess, target_layer: str | None = None
) -> Callable[[Builder], Builder]:
    """Register the decorated function, which builds the module with random weights from the global random state.

    Args:
        name: what :func:`camlib.load_network` takes.
        class_names, preprocess, target_layer: of the :class:`camlib.Network`.

    Raises:
        ValueError: the name is taken by another function, or it is not kebab-case.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError(f"Network name {name!r} is not kebab-case, like 'scenes-gap'.")

    def register(build: Builder) -> Builder:
        if name in _designs:
            refuse_taken(name, _designs[name].build, build)
        summary = (build.__doc__ or "").strip().partition("\n")[0]
        _designs[name] = Design(name, build, tuple(class_names), preprocess, target_layer, summary)
        return build

    return register


def find_design(name: str) -> Design:
    """The design called ``name``; raises ValueError with the nearest names."""
    if name not in DESIGNS:
        raise no_such("network that is trained here", name, DESIGNS, "camlib.zoo.designs.DESIGNS")
    return DESIGNS[name]
