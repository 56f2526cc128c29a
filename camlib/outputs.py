"""What a network's outputs are: logits of a softmax, of sigmoids, numbers as they are, functions of those."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

TargetFunction = Callable[[Any], Tensor]
"""From whatever the module returns for a batch to one number a picture, [B]; differentiable for gradients."""

OUTPUTS = ("softmax", "sigmoid", "none")


class OutputWarning(UserWarning):
    """What makes probabilities of a network's outputs was decided without being told; the message says how to tell."""


def activation_of(logits: Tensor, name: str) -> str:
    """Which of :data:`OUTPUTS` belongs to the outputs [1, C] of a first pass; warns where that is a guess."""
    if logits.shape[1] == 1:
        warnings.warn(
            f"{name} has one output; its sigmoid is taken as the probability. Say so by "
            f"Network(..., output='sigmoid'), or output='none' for a regression.",
            OutputWarning,
            stacklevel=2,
        )
        return "sigmoid"
    inside = bool((logits >= 0).all()) and bool((logits <= 1).all())
    if inside and abs(float(logits.sum()) - 1) < 1e-4:
        warnings.warn(
            f"The outputs of {name} add up to 1: they are taken as probabilities as they are. Hand over the module "
            f"without its softmax to explain logits, or say output='none', or 'softmax' if these are logits.",
            OutputWarning,
            stacklevel=2,
        )
        return "none"
    return "softmax"


def probabilities_of(outputs: Tensor, activation: str) -> Tensor:
    """Probabilities of outputs [..., C] by one of :data:`OUTPUTS`, same shape; with "none" the outputs themselves."""
    if activation == "softmax":
        return outputs.softmax(dim=-1)
    return outputs.sigmoid() if activation == "sigmoid" else outputs


@dataclass(frozen=True)
class Functions:
    """Reads whatever a module returns for a batch by functions of it, [B, functions].

    Raises ValueError when it runs, for a function that does not return one number a picture.
    """

    functions: tuple[TargetFunction, ...]

    def __call__(self, output: Any, pictures: int) -> Tensor:
        return torch.stack([_checked(function, function(output), pictures) for function in self.functions], dim=1)


@dataclass(frozen=True)
class Reading:
    """Reads whatever a module returns for a batch by one function, from the output to [B, n]."""

    function: Callable[[Any], Tensor]

    def __call__(self, output: Any, pictures: int) -> Tensor:
        return self.function(output)


def name_of(function: TargetFunction) -> str:
    """How a function is called in titles: its own name, "target function" for a lambda."""
    name = getattr(function, "__name__", type(function).__name__)
    return "target function" if name == "<lambda>" else name


def _checked(function: TargetFunction, value: Any, pictures: int) -> Tensor:
    if isinstance(value, Tensor) and value.shape == (pictures,):
        return value
    given = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
    raise ValueError(
        f"{name_of(function)} returned {given} for {pictures} picture(s); a target function returns one number a "
        f"picture, [{pictures}]: for example lambda y: y[:, 3] - y[:, 5], or masks.mean(dim=(1, 2))."
    )
