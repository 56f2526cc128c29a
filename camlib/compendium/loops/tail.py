"""Methods that change feature maps and ask the head again: Ablation-CAM, FD-CAM, Recipro-CAM, LIFT-CAM."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from camlib.compendium.loops.plain import Plain, n01


def ablation_cam_loop(net: Plain, picture: Tensor, c: int, signed: bool = False) -> Tensor:
    """w_k = (y - y_k)/|y|, as printed (y - y_k)/y, with channel k set to 0 (Desai and Ramaswamy 2020, eq. 3)."""
    maps = net.maps(picture)
    y = net.head(maps[None])[0, c]
    w = []
    for k in range(len(maps)):
        without = maps.clone()
        without[k] = 0
        w.append((y - net.head(without[None])[0, c]) / (y if signed else abs(y)))
    return torch.stack(w)


def fd_cam_loop(net: Plain, picture: Tensor, c: int, quantile: float = 0.95) -> Tensor:
    """Li et al. 2022: scores with a group of similar channels alone and without it."""
    a = net.maps(picture)
    flat = [one.flatten() for one in a]
    y = net.head(a[None])[0, c]
    s = []
    for k in range(len(a)):
        cosines = []
        for j in range(len(a)):
            cosine = torch.dot(flat[k], flat[j]) / (flat[k].norm() * flat[j].norm())
            cosines.append(0.0 if cosine.isnan() else float(cosine))
        group = torch.tensor([cosine > np.quantile(cosines, quantile) for cosine in cosines])
        alone, without = a.clone(), a.clone()
        alone[~group] = 0
        without[group] = 0
        s.append(net.head(alone[None])[0, c] + y - net.head(without[None])[0, c])
    return n01(torch.stack(s)).exp() * n01(net.gradient(picture, c).mean(dim=(1, 2))) - 0.5


_KERNEL = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]).double() / 16


def recipro_cam_loop(net: Plain, picture: Tensor, c: int, gaussian: bool = False, score: str = "probability") -> Tensor:
    """Byun and Lee 2022: the score of each position's feature vector alone, [h, w]."""
    a = net.maps(picture)
    _, h, w = a.shape
    found = torch.zeros(h, w).double()
    for i in range(h):
        for j in range(w):
            kept = torch.zeros_like(a)
            for di in (-1, 0, 1) if gaussian else (0,):
                for dj in (-1, 0, 1) if gaussian else (0,):
                    if 0 <= i + di < h and 0 <= j + dj < w:
                        kept[:, i + di, j + dj] = a[:, i, j] * (_KERNEL[1 + di, 1 + dj] if gaussian else 1)
            y = net.head(kept[None])[0]
            found[i, j] = y[c] if score == "logit" else y.softmax(dim=0)[c]
    return found


def lift_cam_loop(net: Plain, picture: Tensor, c: int) -> Tensor:
    """What each channel adds to the logit by DeepLIFT's rescale rule (Jung and Oh 2021), [K].

    The head is pooling, flattening and one linear layer, or an MLP: linear, ReLU, linear. Behind a ReLU a unit counts
    with the slope (ReLU(a) - ReLU(a'))/(a - a'), a' being its value for maps of zeros.
    """
    maps = net.maps(picture)
    pool, classifier = net.head[:2], net.head[2]
    if isinstance(classifier, nn.Linear):
        first, second = classifier, None
    else:
        first, _, second = classifier
    nothing = first(pool(torch.zeros_like(maps)[None]))[0]
    whole = first(pool(maps[None]))[0]
    slope = (whole.relu() - nothing.relu()) / (whole - nothing)
    shares = []
    for k in range(len(maps)):
        alone = torch.zeros_like(maps)
        alone[k] = maps[k]
        added = first(pool(alone[None]))[0] - nothing
        shares.append(added[c] if second is None else sum(second.weight[c] * slope * added))
    return torch.stack(shares)
