"""How near a weighted sum of feature maps must come to their plain sum ΣM, whatever the weights say.

Write w = w̄ + v: the mean over the K channels, and what is left, whose sum is 0. Then H = w̄ ΣM + Σ_k v_k M_k. Let cv be
the standard deviation of w over |w̄|. Split every map into its part along ΣM, of length a_k, and the rest R_k. The mean
of a is ‖ΣM‖/K, and ΣR = 0: equal weights leave no rest. So, with r the correlation of w and a over channels, exactly

    tan θ = cv · τ(v) / |1 + r · cv(w) · cv(a)|,        τ(v) = √K ‖Σ_k v_k R_k‖ / (‖v‖ ‖ΣM‖) ≤ τ,

    τ = √K σ₁(R) / ‖ΣM‖,

where θ is the angle between H and ΣM, cv(w) has the sign of w̄, and σ₁ is the largest singular value. The bound is
reached: some v of every length is the first singular vector of R. Maps that are not negative cannot cancel in ΣM,
‖ΣM‖ ≥ ‖M‖_F, which keeps τ small; weights that are not negative have cv ≤ √(K − 1), and far less if no few of them
rule. Weights with a sign have any cv, and the bound says nothing. With maps that are centered over positions first the
angle is that of Pearson's correlation, cos θ = r(H, ΣM).

Two maps at angles θ₁ and θ₂ from ΣM are at most θ₁ + θ₂ apart, so their correlation is at least cos(θ₁ + θ₂): a method
that stays near ΣM *cannot* tell classes apart.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Closeness(NamedTuple):
    """What decides how near Σ w M is to ΣM, a number a picture, [B]; angles in radians.

    Attributes:
        angle: between H and ΣM, in [0, π]; NaN where either is zero.
        bound: the largest angle of any weights with this cv and this correlation with the lengths; π where the
            denominator is not positive, so that nothing is promised.
        spread: cv, standard deviation of the weights over their mean, with its sign; ±inf where the mean is 0.
        shapes: τ, how much channels differ in shape; 0 if all are multiples of one map.
        lengths: cv of the lengths a_k.
        agreement: correlation of weights and lengths over the channels, in [-1, 1]; 0 where either is constant.
    """

    angle: Tensor
    bound: Tensor
    spread: Tensor
    shapes: Tensor
    lengths: Tensor
    agreement: Tensor


def closeness(weights: Tensor, activations: Tensor, *, centered: bool = False) -> Closeness:
    """The angle between Σ w M and ΣM, and its bound by the spread of the weights and the shapes of the maps.

    Args:
        weights: one a channel, [B, K].
        activations: feature maps, [B, K, h, w]. Channels that are zero everywhere count as any other.
        centered: take the mean over positions from every map first, so that cos of the angle is Pearson's correlation.

    Raises:
        ValueError: shapes that do not belong together, such as weights of pixels.
    """
    if weights.shape != activations.shape[:2] or activations.dim() != 4:
        raise ValueError(
            f"Weights {list(weights.shape)} and maps {list(activations.shape)}; expected [B, K] and [B, K, h, w]."
        )
    w, maps = weights.double(), activations.double().flatten(2)
    if centered:
        maps = maps - maps.mean(dim=2, keepdim=True)
    total, made = maps.sum(dim=1), torch.einsum("bk,bkn->bn", w, maps)
    size = total.norm(dim=1)
    along = torch.einsum("bkn,bn->bk", maps, total / size[:, None])
    rest = maps - along[..., None] * (total / size[:, None])[:, None]
    shapes = w.shape[1] ** 0.5 * torch.linalg.matrix_norm(rest, ord=2) / size
    spread, lengths = (each.std(dim=1, correction=0) / each.mean(dim=1) for each in (w, along))
    agreement = _correlation(w, along)
    steepness = 1 + torch.nan_to_num(agreement * spread * lengths, nan=0.0)
    limit = torch.atan2(spread.abs() * shapes, steepness)
    limit = torch.where(steepness > 0, limit, torch.pi)
    return Closeness(angle_between(made, total), _facing(limit, w.mean(dim=1)), spread, shapes, lengths, agreement)


def angle_between(first: Tensor, second: Tensor) -> Tensor:
    """Angle of two vectors [B, n] in radians, [B] in [0, π], exact for small angles, too; NaN where one is zero."""
    first, second = (each / each.norm(dim=1, keepdim=True) for each in (first, second))
    return 2 * torch.atan2((first - second).norm(dim=1), (first + second).norm(dim=1))


def _facing(limit: Tensor, mean: Tensor) -> Tensor:
    """A negative mean weight turns H around: nothing is promised then."""
    return torch.where(mean > 0, limit, torch.pi)


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's correlation over channels, [B]; 0 where one is constant."""
    first, second = (each - each.mean(dim=1, keepdim=True) for each in (first, second))
    size = first.norm(dim=1) * second.norm(dim=1)
    return torch.where(size > 0, (first * second).sum(dim=1) / torch.where(size > 0, size, 1.0), 0.0)
