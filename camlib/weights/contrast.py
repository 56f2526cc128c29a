"""Grad-CAM's weight against rival classes: what speaks for the class and not for those that are confused with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from camlib.engine.recording import on
from camlib.options import Count, NotNegative
from camlib.registry import method
from camlib.trace import Trace


@method(
    "finer-cam",
    title="Finer-CAM",
    sign="signed",
    family="contrast",
    source="Zhang et al. 2025 (arXiv 2501.11309), with Grad-CAM's weights",
    passes="1 forward + 1 backward",
    summary="w_k = mean gradient of y_c − γ · (mean logit of the most similar classes)",
)
def finer_cam(
    trace: Trace,
    target: Tensor,
    *,
    gamma: NotNegative = 0.6,
    rivals: Count | Sequence[int] = 3,
    weighting: Literal["mean", "probability"] = "mean",
) -> Tensor:
    """Mean gradient of a logit difference, w_k = 1/(hw) Σ_ij ∂(y_c − γ ȳ_d)/∂M_kij, [B, K].

    Args:
        trace, target: as for every method.
        gamma: strength γ of the comparison, at least 0; 0 is Grad-CAM.
        rivals: how many of the most similar classes, those with the nearest logits, are compared with; or their
            indices. There are at most C − 1 of them.
        weighting: "mean" averages over the rivals; "probability" weighs each difference y_c − γ y_d by the rival's
            softmax probability, which is differentiated as well (the authors' program).

    Raises:
        ValueError: rivals that do not exist.
    """
    own = trace.logits.gather(1, target.to(trace.logits.device)[:, None])
    similar = rival_classes(trace, target, rivals, -(trace.logits - own).abs())

    def score(logits: Tensor) -> Tensor:
        index = on(logits, similar)
        differences = logits.gather(1, on(logits, target)[:, None]) - gamma * logits.gather(1, index)  # [B, T]
        if weighting == "mean":
            return differences.mean(dim=1)
        p = logits.softmax(dim=1).gather(1, index)
        return (p * differences).sum(dim=1) / p.sum(dim=1).clamp(min=torch.finfo(p.dtype).tiny)

    return trace.score_gradients(score).mean(dim=(2, 3))


@method(
    "case",
    title="CASE",
    sign="signed",
    family="contrast",
    source="Williamson, Dwyer and Ji 2025 (arXiv 2506.07327), as in the authors' code",
    passes="1 forward + 2 backward",
    summary="Grad-CAM's weight without its projection on the mean one of rival classes",
)
def case(trace: Trace, target: Tensor, *, rivals: Count | Sequence[int] = 5) -> Tensor:
    """Grad-CAM's weight vector made orthogonal to the mean one of rival classes, w = a − (⟨a, r⟩/⟨r, r⟩) r, [B, K].

    a_k is the mean gradient of the class's logit over map k, r_k the same of the mean logit of its rivals. The authors
    take the five classes that a confusion matrix of the data set says are confused with the class most often; without
    one, the five most probable other classes of the picture (a variant in the authors' code). They add 1e-8 to ⟨r, r⟩,
    which decides where gradients are small; here it is nothing, and w = a where r is 0.

    Args:
        trace, target: as for every method.
        rivals: how many of the most probable other classes; or the indices of the classes, for example of a confusion
            matrix. There are at most C − 1 of them.

    Raises:
        ValueError: rivals that do not exist.
    """
    chosen = rival_classes(trace, target, rivals, trace.logits)
    a = trace.gradients(target).mean(dim=(2, 3))
    r = trace.score_gradients(lambda logits: logits.gather(1, on(logits, chosen)).mean(dim=1)).mean(dim=(2, 3))
    scale = r.abs().amax(dim=1, keepdim=True)
    unit = r / torch.where(scale > 0, scale, 1.0)  # the square of a small gradient would underflow
    square = (unit * unit).sum(dim=1, keepdim=True)
    return a - (a * unit).sum(dim=1, keepdim=True) / torch.where(square > 0, square, 1.0) * unit


def rival_classes(trace: Trace, target: Tensor, rivals: int | Sequence[int], rank: Tensor) -> Tensor:
    """Indices of each picture's rivals, int64 [B, T]; the target is never among them.

    Args:
        trace, target: as for every method.
        rivals: T, cut to C − 1; or the indices of classes, the same for every picture, without the target.
        rank: [B, C], highest for the first rival.

    Raises:
        ValueError: no rival is left, an index is out of range or named twice, or pictures have unequal numbers.
    """
    pictures, classes = trace.logits.shape
    if isinstance(rivals, int):
        if rivals < 1 or classes < 2:
            raise ValueError(f"rivals={rivals}, {classes} class(es): expected at least one rival and another class.")
        others = rank.clone().scatter_(1, target.to(rank.device)[:, None], -torch.inf)
        return others.topk(min(rivals, classes - 1), dim=1).indices
    named = [int(index) for index in rivals]
    if len(set(named)) != len(named) or not all(0 <= index < classes for index in named):
        raise ValueError(f"rivals={named}: expected different class indices from 0 to {classes - 1}.")
    rows = [[index for index in named if index != own] for own in target.tolist()]
    if len({len(row) for row in rows}) != 1 or not rows[0]:
        raise ValueError(
            f"rivals={named}, targets {target.tolist()}: without the target, every picture needs as many rivals as the "
            f"others, and at least one. Explain classes that are all among the rivals, or none, in one call."
        )
    return torch.tensor(rows, device=trace.logits.device).view(pictures, -1)
