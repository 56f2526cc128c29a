"""A budget of masked passes: a few landmark masks are scored, the others get the scores of masks that look alike.

Feature maps that are near each other after scaling let through nearly the same picture, and the network says nearly the
same of it. Landmarks are chosen by farthest-point sampling among the scaled maps, channels that move the class
activation map most before others; a Gaussian kernel carries their scores to the rest. What is lost is told by leaving
each landmark out. On 60 photographs at the last layer of EfficientNet-Lite0 an eighth of the passes gives a map whose
correlation with the exact one is 0.998 in the median and 0.989 for the 5th percentile (random channels alone: 0.976 and
0.734); at an inner layer, where masks hide little, 0.936 and 0.874 (44 photographs). The rule was chosen on the same
pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor

from camlib import framework


def scaled_rows(maps: Tensor) -> Tensor:
    """Live feature maps [n, h, w], each scaled to [0, 1] by its own minimum and maximum, as rows [n, h·w]."""
    return framework.normalize(maps)[0].flatten(1)


def mass_of(maps: Tensor) -> Tensor:
    """How far a channel of maps [n, h, w] moves a class activation map: its norm around its own mean, [n]."""
    flat = maps.flatten(1)
    return (flat - flat.mean(dim=1, keepdim=True)).norm(dim=1)


def choose(rows: Tensor, mass: Tensor, count: int) -> Tensor:
    """Weighted farthest-point sampling: indices [count] of rows [n, d].

    The first is the row of the largest mass; each next one has the largest product of its mass and its squared distance
    to the nearest landmark. Of equal ones the first is taken.
    """
    chosen = [int(mass.argmax())]
    nearest = (rows - rows[chosen[0]]).square().sum(dim=1)
    for _ in range(count - 1):
        chosen.append(int((nearest * mass).argmax()))
        nearest = torch.minimum(nearest, (rows - rows[chosen[-1]]).square().sum(dim=1))
    return torch.tensor(chosen, device=rows.device)


def shares(rows: Tensor, landmarks: Tensor, exclude_self: bool = False) -> Tensor:
    """How much of each landmark's score a row takes over, [n, m]; each row adds up to 1.

    A Gaussian kernel of the distance, as wide as the row's distance to its nearest landmark (but for rows that are
    landmarks, which keep their own score). ``exclude_self`` leaves row i without landmark i, for landmarks among
    themselves.
    """
    squared = torch.cdist(rows, landmarks).square()
    if exclude_self:
        squared.fill_diagonal_(torch.inf)
    nearest = squared.amin(dim=1, keepdim=True)
    width = nearest.clamp(min=torch.finfo(rows.dtype).tiny)
    return torch.softmax(-(squared - nearest) / width * 2, dim=1)


def leave_one_out(rows: Tensor, scores: Tensor) -> Tensor:
    """What the other landmarks would have said of each one, [m, ...], from landmark rows [m, d] and scores [m, ...]."""
    return (shares(rows, rows, exclude_self=True).to(scores) @ scores.flatten(1)).view_as(scores)


def expected_correlation(maps: Tensor, weights: Tensor, chosen: Tensor, scores: Tensor) -> float:
    """Correlation with the exact map that is to be expected of H = Σ w·M, by the landmarks' own leave-one-out errors.

    Errors of different channels are taken as independent and as large as the landmarks' mean error, so that the map's
    error adds up in squares. Landmarks lie far from each other, so the estimate is on the careful side.

    Args:
        maps: live feature maps [n, h, w].
        weights: weights of all of them [n].
        chosen: indices of the landmarks [m].
        scores: exact scores of the landmarks [m].
    """
    centered = maps.flatten(1) - maps.flatten(1).mean(dim=1, keepdim=True)
    error = (leave_one_out(scaled_rows(maps)[chosen], scores[:, None])[:, 0] - scores).square().mean()
    unscored = torch.ones(len(maps), dtype=torch.bool, device=maps.device)
    unscored[chosen] = False
    lost = error * centered[unscored].square().sum()
    signal = (weights @ centered).square().sum()
    return float((signal / (signal + lost).clamp(min=torch.finfo(maps.dtype).tiny)).sqrt())
