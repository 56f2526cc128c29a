"""What a network's outputs are: logits of a softmax, of sigmoids, or numbers to be taken as they are."""

from __future__ import annotations

import warnings

from torch import Tensor

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
