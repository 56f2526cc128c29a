"""A module that is looked at and left as it was: eval mode inside a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Every submodule in eval mode inside the block and exactly as it was behind it, also after an exception."""
    modes = _modes(module)
    try:
        for child, training in modes.items():
            if training:  # nn.Module's __setattr__ is slow: write only what differs
                child.training = False
        yield
    finally:
        for child, training in modes.items():
            if child.training is not training:
                child.training = training


def _modes(module: nn.Module) -> dict[nn.Module, bool]:
    """Whether each submodule trains; a seventh of the time of ``modules()``, which shows in a map of 20 ms."""
    modes, open_ = {module: module.training}, [module]
    while open_:
        for child in open_.pop()._modules.values():
            if child is not None and child not in modes:
                modes[child] = child.training
                open_.append(child)
    return modes
