"""Group-CAM, SA-CAM and UnionCAM as their papers print them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from camlib.compendium.loops.gradient import grad_cam_plus_plus_loop
from camlib.compendium.loops.plain import FILLERS, Plain, blur, live, n01, noise, up
from camlib.compendium.loops.score import score_cam_loop


def group_cam_loop(
    net: Plain,
    picture: Tensor,
    c: int,
    groups: int = 32,
    theta: float | None = 70.0,
    kernel: int = 51,
    sigma: float = 50.0,
    sizes: tuple[int, ...] | None = None,
) -> Tensor:
    """Zhang et al. 2021 at low resolution, [h, w]; ``sizes`` are the channels of each group, one each where None."""
    a = net.maps(picture)
    b = net.gradient(picture, c).mean(dim=(1, 2))[:, None, None] * a
    blurred = gaussian_blur(picture[None], [kernel, kernel], [sigma, sigma])[0]
    blank = net.p(blurred, c)
    total, start = torch.zeros_like(a[0]), 0
    for size in sizes or (1,) * len(a):
        m = b[start : start + size].sum(dim=0).relu()
        start += size
        if theta is not None:
            m = torch.where(m < np.percentile(m.numpy(), theta), 0.0, m)
        if not live(m):
            continue
        mask = n01(up(m))
        alpha = (net.p(picture * mask + blurred * (1 - mask), c) - blank).relu()
        total += alpha * m
    if start != len(a):
        raise ValueError(f"groups of {sizes} channels do not make {len(a)}")
    return total


def sa_cam_loop(
    net: Plain,
    picture: Tensor,
    c: int,
    perturbation: str = "constant",
    lambda1: float = 1.0,
    lambda2: float = 1.0,
    tau: float = 0.5,
    fill: str = "white",
    scale: str = "minmax",
    form: str = "sum",
    softmax: bool = True,
    exact: bool = False,
    sigma: float = 10.0,
    seed: int = 0,
) -> Tensor:
    """Algorithms 1 and 2 of Liang et al. 2022, weights [K]."""
    a, g = net.maps(picture), net.gradient(picture, c)
    hidden = {"constant": torch.zeros_like, "blur": lambda x: blur(x, sigma), "noise": lambda x: noise(seed)}
    behind, priorities = hidden[perturbation](picture), grad_cam_plus_plus_loop(net, picture, c, exact)
    alive, s, k, q = [], [], [], []
    for i in range(len(a)):
        alive.append(live(a[i]))
        if not alive[-1]:
            continue
        heat = n01(up(a[i]))
        segmented = torch.where(heat >= tau, picture, FILLERS[fill]())
        perturbed = picture * heat + behind * (1 - heat)
        s.append(net.p(segmented, c) * (1 + net.p(perturbed, c)))
        k.append(g[i].mean())
        q.append(priorities[i])
    s, k, q = (_rescaled(torch.stack(values), scale) for values in (s, k, q))
    sa = {
        "sum": s + lambda1 * k + lambda2 * q,  # eq. 9-10
        "score-gradient": s * k,  # eq. 5
        "product": s * k * q,  # eq. 6
        "mixed": (s + k) * q,  # eq. 8
    }[form]
    w = torch.zeros(len(a)).double()
    w[torch.tensor(alive)] = sa.exp() / sa.exp().sum() if softmax else sa
    return w


def _rescaled(values: Tensor, scale: str) -> Tensor:
    if scale == "none":
        return values
    if scale == "minmax":
        return n01(values)
    if scale == "max":  # eq. 7 as printed
        high, low = values.max(), values.min()
        return (values - low) / high if high > max(low, 0) else torch.zeros_like(values)
    top = values.abs().max()
    return values / top if top > 0 else torch.zeros_like(values)


# -- UnionCAM


def amd_loop(net: Plain, picture: Tensor, c: int, theta: float = 10.0) -> Tensor:
    """Hu et al. 2024, eq. 1-3: gradients below a percentile of their channel dropped, each channel rescaled."""
    a, g = net.maps(picture), net.gradient(picture, c)
    found = torch.zeros_like(a[0])
    for k in range(len(a)):
        d = g[k].relu() * (g[k] >= np.percentile(g[k].numpy(), theta))
        if d.sum() > 0:
            found += d / d.sum() * a[k]
    return found


def union_cam_loop(
    net: Plain,
    picture: Tensor,
    c: int,
    theta: float = 10.0,
    filler: str = "mean",
    score: str = "probability",
    clamp: bool = True,
    rescale: bool = True,
    rectified: str = "region",
) -> dict[str, Tensor | str | float]:
    """Eq. 4-8, by default with negative contributions cut at 0 and L_De-Region scaled as its parts before eq. 7.

    ``clamp=False, rescale=False`` is what is printed. Every intermediate result and the final map [H, W].
    """
    fill = FILLERS[filler]()
    f = net.p if score == "probability" else net.logit

    def beta(mask: Tensor) -> float:
        return float(f(picture * mask + fill * (1 - mask), c) - f(fill.expand_as(picture), c))

    denoised = amd_loop(net, picture, c, theta)
    denoised = n01(up(denoised.relu() if rectified == "both" else denoised))
    w = score_cam_loop(net, picture, c, "score-cam" if score == "probability" else "score-cam-raw", filler=filler)
    region = torch.einsum("k,khw->hw", w, net.maps(picture))
    region = n01(up(region if rectified == "neither" else region.relu()))
    beta_denoised, beta_region = beta(denoised), beta(region)
    used = max(beta_denoised, 0) if clamp else beta_denoised, max(beta_region, 0) if clamp else beta_region
    united = used[0] * denoised + used[1] * region
    beta_union = beta(n01(united) if rescale else united)
    use_union = beta_union > used[1] + 1e-12 and used[0] != 0  # with β_Denoised = 0 both maps are the same: a tie
    return {
        "branch": "union" if use_union else "region",
        "beta_denoised": beta_denoised,
        "beta_region": beta_region,
        "beta_union": beta_union,
        "heatmap": n01(united) if use_union else region,
    }
