"""Group-CAM and SA-CAM against loops transcribed from the papers."""

from __future__ import annotations

import math

import helpers
import numpy as np
import pytest
import torch
from score_cases import (
    FILLERS,
    SINGLE,
    SIZE,
    TARGETS,
    Case,
    assert_heatmap,
    blur,
    case,
    every_case,
    every_living_case,
    explained,
    live,
    made,
    n01,
    per_picture,
    pictures,
    up,
)
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

# -- Group-CAM (METHODS 1.13)


def group_cam_loop(
    net: Case,
    picture: Tensor,
    c: int,
    groups: int = 32,
    theta: float | None = 70.0,
    kernel: int = 51,
    sigma: float = 50.0,
    sizes: tuple[int, ...] | None = None,
) -> Tensor:
    """Zhang et al. 2021 at low resolution, [h, w]; ``sizes`` are the channels of each group."""
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
    assert start == len(a)
    return total


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, None),  # 32 groups of 6 channels: one channel each, the others are empty
        ({"groups": 6, "theta": None}, None),
        ({"groups": 3}, (2, 2, 2)),
        ({"groups": 4}, (2, 2, 2)),  # 6 is no multiple of 4: as torch.chunk in the authors' code, fewer groups
        ({"groups": 2, "theta": 40.0, "kernel": 7, "sigma": 2.0}, (3, 3)),
        ({"groups": 1, "theta": None, "kernel": 5, "sigma": 10.0}, (6,)),
    ],
)
@every_case
def test_group_cam_equals_a_loop_over_the_groups(name, options, sizes):
    chosen, x, classes = case(name), pictures(1).expand(3, -1, -1, -1), (0, 1, 2)
    expected = per_picture(group_cam_loop, chosen, x, classes, sizes=sizes, **options)
    found = made("group-cam", chosen, x, classes, **options)
    assert found.shape == (3, 8, 8)
    assert helpers.relative(found, expected) < SINGLE
    b = int(expected.flatten(1).amax(dim=1).argmax())
    assert_heatmap(explained("group-cam", chosen, x[:1], b, **options), expected[b])


def test_a_group_of_zeros_is_skipped():
    """The official code divides 0 by 0 there and loses the whole map (METHODS 1.13)."""
    chosen, x = case("dead"), pictures()
    found = made("group-cam", chosen, x, groups=6, theta=None)
    assert bool(found.isfinite().all())
    assert float(found.max()) > 0


# -- SA-CAM (METHODS 1.14)


def sa_cam_loop(
    net: Case,
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
    blurred: Tensor | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """Algorithms 1 and 2 of Liang et al. 2022, weights [K]."""
    a, g = net.maps(picture), net.gradient(picture, c)
    hidden = {"constant": torch.zeros_like(picture), "blur": blurred, "noise": noise}[perturbation]
    alive, s, k, q = [], [], [], []
    for i in range(len(a)):
        alive.append(live(a[i]))
        if not alive[-1]:
            continue
        heat = n01(up(a[i]))
        segmented = torch.where(heat >= tau, picture, FILLERS[fill]())
        perturbed = picture * heat + hidden * (1 - heat)
        s.append(net.p(segmented, c) * (1 + net.p(perturbed, c)))
        k.append(g[i].mean())
        priority = torch.zeros(()).double()
        for g_ab in g[i].flatten():
            denominator = 2 * g_ab**2 + a[i].sum() * g_ab**3
            if g_ab > 0 and denominator > 0:
                priority += g_ab**2 / denominator * g_ab
        q.append(priority)
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


SA_OPTIONS = [
    {},
    {"lambda1": 0.0, "lambda2": 0.0},
    {"lambda1": 2.0, "lambda2": 0.5},
    {"tau": 0.2, "fill": "black"},
    {"tau": 0.8, "fill": "mean"},
    {"scale": "none"},
    {"scale": "maxabs"},
    {"scale": "max"},
    {"exact": True},  # the same: the networks are piecewise linear
    {"form": "score-gradient"},
    {"form": "product"},
    {"form": "mixed", "scale": "none"},
    {"form": "mixed", "softmax": False},
    {"softmax": False},
]


@pytest.mark.parametrize("options", SA_OPTIONS, ids=str)
@every_case
def test_sa_cam_equals_algorithm_2(name, options):
    chosen, x = case(name), pictures()
    expected = per_picture(sa_cam_loop, chosen, x, **options)
    assert helpers.relative(made("sa-cam", chosen, x, **options), expected) < SINGLE


@pytest.mark.parametrize("sigma", [10.0, 2.0])
@every_living_case
def test_sa_cam_with_a_blurred_picture_behind_the_mask(name, sigma):
    chosen, x = case(name), pictures()
    with torch.no_grad():
        expected = torch.stack(
            [
                sa_cam_loop(chosen, one, c, perturbation="blur", softmax=False, blurred=blur(one, sigma))
                for one, c in zip(x, TARGETS, strict=True)
            ]
        )
    options = {} if sigma == 10.0 else {"sigma": sigma}
    found = made("sa-cam", chosen, x, perturbation="blur", softmax=False, **options)
    assert helpers.relative(found, expected) < SINGLE


@every_living_case
def test_sa_cam_with_noise_behind_the_mask(name):
    """One draw of standard normal noise a picture, the same for every channel."""
    chosen, x = case(name), pictures()
    noise = torch.randn(3, *SIZE, generator=torch.Generator().manual_seed(5)).double()
    expected = per_picture(sa_cam_loop, chosen, x, perturbation="noise", softmax=False, noise=noise)
    found = made("sa-cam", chosen, x, perturbation="noise", softmax=False, seed=5)
    assert helpers.relative(found, expected) < SINGLE
    other = made("sa-cam", chosen, x, perturbation="noise", softmax=False, seed=6)
    assert helpers.relative(other, expected) > 1e-4


def test_sa_cam_weights_are_all_positive_and_nearly_equal():
    """METHODS 1.14.2 q: with S, K and Q in [0, 1] no weight is more than e³ times another."""
    found = made("sa-cam", case("mlp-max"), pictures())
    assert bool((found > 0).all())
    assert bool((found.amax(dim=1) / found.amin(dim=1) <= math.exp(3)).all())
    torch.testing.assert_close(found.sum(dim=1), torch.ones(2).double())
