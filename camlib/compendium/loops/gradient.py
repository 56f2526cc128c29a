"""CAM and the methods that read gradients, position by position, in closed sums; Eigen-CAM's decomposition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from camlib.compendium.loops.plain import SIZE, Plain


def feature_map_loop(net: Plain, picture: Tensor, c: int) -> Tensor:
    """Every map counts 1, [K]."""
    return torch.tensor([1.0 for _ in net.maps(picture)]).double()


def gap_cam_loop(net: Plain, picture: Tensor, c: int) -> Tensor:
    """The classifier's weight of each pooled map, Σ_s w_s (Zhou et al. 2016, eq. 2; Si et al. 2021, eq. 23), [K].

    Read off the network: what y_c gains when a map grows by 1 everywhere, for pooling and one linear layer.
    """
    maps, w = net.maps(picture), []
    for k in range(len(maps)):
        grown = maps.clone()
        grown[k] += 1
        w.append(net.head(grown[None])[0, c] - net.head(maps[None])[0, c])
    return torch.stack(w)


def eigen_cam_loop(net: Plain, picture: Tensor, c: int, center: bool = False) -> Tensor:
    """First right singular vector of the maps as a matrix [hw, K], pointing where their sum does, [K]."""
    matrix = net.maps(picture).flatten(1).T.numpy()
    matrix = matrix - matrix.mean(axis=0) if center else matrix
    values, vectors = np.linalg.eigh(matrix.T @ matrix)
    first = vectors[:, np.argmax(values)]
    return torch.from_numpy(first * np.sign((matrix @ first) @ matrix.sum(axis=1)))


def grad_cam_loop(net: Plain, picture: Tensor, c: int) -> Tensor:
    """(1/hw) Σ_ij ∂y/∂M_kij (Selvaraju et al. 2017, eq. 1), [K]."""
    return torch.stack([sum(g.flatten()) / g.numel() for g in net.gradient(picture, c)])


def grad_cam_plus_plus_loop(net: Plain, picture: Tensor, c: int, exact: bool = False) -> Tensor:
    """Σ_ij α_ij ReLU(g_ij), α = g²/(2 g² + ΣM g³) (Chattopadhay et al. 2018, eq. 10 and 19), [K].

    ``exact``: α from the second and third derivatives of e^y by autograd, in place of the powers of g.
    """
    if exact:
        return _exact_plus_plus(net, picture, c)
    weights = []
    for g, a in zip(net.gradient(picture, c), net.maps(picture), strict=True):
        found = torch.zeros(()).double()
        for slope in g.flatten():
            below = 2 * slope**2 + a.sum() * slope**3
            if slope > 0 and below > 0:
                found += slope**2 / below * slope
        weights.append(found)
    return torch.stack(weights)


def _exact_plus_plus(net: Plain, picture: Tensor, c: int) -> Tensor:
    with torch.enable_grad():
        maps = net.maps(picture)[None].requires_grad_(True)
        score = net.head(maps)[0, c].exp()
        (first,) = torch.autograd.grad(score, maps, create_graph=True)
        found, totals = torch.zeros(maps.shape[1], dtype=torch.float64), maps.detach().sum(dim=(2, 3))
        for _, k, i, j in (first > 0).nonzero().tolist():
            (second,) = torch.autograd.grad(first[0, k, i, j], maps, create_graph=True)
            (third,) = torch.autograd.grad(second[0, k, i, j], maps, retain_graph=True)
            d2, d3 = second[0, k, i, j].detach(), third[0, k, i, j]
            if 2 + d3 / d2 * totals[0, k] > 1e-8:
                found[k] += (d2 / (2 * d2 + d3 * totals[0, k]) * first[0, k, i, j]).detach()
    return found / score.item()


def smooth_grad_cam_plus_plus_loop(
    net: Plain, picture: Tensor, c: int, samples: int = 25, noise: float = 0.15, seed: int = 0
) -> Tensor:
    """Grad-CAM++ with powers of g averaged over noisy pictures (Omeiza et al. 2019, eq. 7-8), [K]."""
    generator, powers = torch.Generator().manual_seed(seed), [[], [], []]
    for _ in range(samples):
        draw = torch.randn(3, *SIZE, generator=generator, dtype=torch.float32).double()
        g = net.gradient(picture + noise * (picture.max() - picture.min()) * draw, c)
        for order, kept in enumerate(powers, start=1):
            kept.append(g**order)
    d1, d2, d3 = (sum(kept) / samples for kept in powers)
    below = 2 * d2 + net.maps(picture).sum(dim=(1, 2), keepdim=True) * d3
    return (torch.where((d1 > 0) & (below > 0), d2 / below, 0.0) * d1.relu()).sum(dim=(1, 2))


def xgrad_cam_loop(net: Plain, picture: Tensor, c: int) -> Tensor:
    """Σ_ij M_kij g_kij / ΣM_k (Fu et al. 2020, eq. 8), 0 where the sum is; [K]."""
    pairs = zip(net.gradient(picture, c), net.maps(picture), strict=True)
    return torch.stack([sum((g * a).flatten()) / a.sum() if abs(a.sum()) > 1e-8 else 0 * a.sum() for g, a in pairs])


def layer_cam_loop(net: Plain, picture: Tensor, c: int) -> Tensor:
    """ReLU(g_kij) (Jiang et al. 2021, eq. 3-4), [K, h, w]."""
    g = net.gradient(picture, c)
    return torch.where(g > 0, g, 0.0)


def hires_cam_loop(net: Plain, picture: Tensor, c: int) -> Tensor:
    """g_kij (Draelos and Carin 2020), [K, h, w]."""
    return net.gradient(picture, c)


def sca_cam_loop(net: Plain, picture: Tensor, c: int, form: str = "gradient") -> Tensor:
    """g_kij times Σ_ab g_kab (Si et al. 2021, eq. 22), or times the classifier's weights (eq. 21), [K, h, w]."""
    g = net.gradient(picture, c)
    attention = gap_cam_loop(net, picture, c) if form == "softmax" else [sum(one.flatten()) for one in g]
    return torch.stack([one * a for one, a in zip(g, attention, strict=True)])


# -- contrast with other classes


def finer_cam_loop(
    net: Plain, picture: Tensor, c: int, gamma: float = 0.6, rivals: int = 3, weighting: str = "mean"
) -> Tensor:
    """Grad-CAM of y_c - γ y_d, averaged over the rivals d with the nearest logits (Zhang et al. 2025), [K]."""
    logits = net.module(picture[None])[0].detach()
    others = [d for d in range(len(logits)) if d != c]
    chosen = sorted(others, key=lambda d: abs(float(logits[d] - logits[c])))[:rivals]

    def score(y: Tensor) -> Tensor:
        share = y.exp() / y.exp().sum() if weighting == "probability" else torch.ones_like(y)
        return sum(share[d] * (y[c] - gamma * y[d]) for d in chosen) / sum(share[d] for d in chosen)

    return net.slope(net.maps(picture), score).mean(dim=(1, 2))


def case_loop(net: Plain, picture: Tensor, c: int, rivals: int | Sequence[int] = 5) -> Tensor:
    """Grad-CAM's weights without their part along the mean rival's (Williamson et al. 2025), [K]."""
    logits = net.module(picture[None])[0].detach()
    order = sorted((d for d in range(len(logits)) if d != c), key=lambda d: -float(logits[d]))
    chosen = order[:rivals] if isinstance(rivals, int) else list(rivals)
    a = grad_cam_loop(net, picture, c)
    r = sum(grad_cam_loop(net, picture, d) for d in chosen) / len(chosen)
    return a - sum(a * r) / sum(r * r) * r


def shapley_cam_loop(net: Plain, picture: Tensor, c: int, score: str = "rest") -> Tensor:
    """Mean of ∂s/∂M - ½ (∂²s/∂M²) M with the whole Hessian (Cai 2025, eq. 12), [K]; s = y_c + ln softmax_c, or y_c."""
    maps = net.maps(picture)
    flat = maps.flatten()

    def value(m: Tensor) -> Tensor:
        y = net.head(m.view(1, *maps.shape))[0]
        return y[c] + (y[c] - y.exp().sum().log()) if score == "rest" else y[c]

    with torch.enable_grad():
        slope = torch.autograd.functional.jacobian(value, flat)
        hessian = torch.autograd.functional.hessian(value, flat)
    return (slope - hessian @ flat / 2).view(maps.shape).mean(dim=(1, 2))
