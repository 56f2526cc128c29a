"""IS-CAM, SS-CAM and Opti-CAM: Score-CAM averaged over steps and draws, and a mask that is optimized."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from camlib.compendium.loops.plain import SIZE, Plain, live, n01, up


def _weighted(
    net: Plain, picture: Tensor, c: int, shown_of: Callable[[Tensor], list[Tensor]], weighting: str
) -> Tensor:
    """Mean logit over the pictures that each channel's mask makes, then a softmax over channels; or probability."""
    logits, probabilities, alive = [], [], []
    for a in net.maps(picture):
        alive.append(live(a))
        shown = shown_of(n01(up(a))) if alive[-1] else []
        logits.append(sum(net.logit(one, c) for one in shown) / max(len(shown), 1))
        probabilities.append(sum(net.p(one, c) for one in shown) / max(len(shown), 1))
    if weighting == "probability":
        return torch.tensor(probabilities, dtype=torch.float64)
    powers = torch.tensor(logits, dtype=torch.float64).exp() * torch.tensor(alive)
    return powers / powers.sum()


def is_cam_loop(
    net: Plain, picture: Tensor, c: int, steps: int = 10, path: str = "cumulative", weighting: str = "softmax"
) -> Tensor:
    """Naidu et al. 2020: the mask in steps from 0 to 1, added up as in algorithm 1 or on a line, [K]."""

    def shown(mask: Tensor) -> list[Tensor]:
        pictures, factor = [], 0.0
        for i in range(1, steps + 1):
            factor = factor + i / steps if path == "cumulative" else i / steps
            pictures.append(picture * (factor * mask))
        return pictures

    return _weighted(net, picture, c, shown, weighting)


def ss_cam_loop(
    net: Plain,
    picture: Tensor,
    c: int,
    samples: int = 35,
    sigma: float = 2.0,
    noise: str = "mask",
    weighting: str = "softmax",
    seed: int = 0,
) -> Tensor:
    """Wang et al. 2020 (SS-CAM): noise on the mask, or on the masked picture; draw n has the seed samples·seed + n."""
    shape = SIZE if noise == "mask" else (3, *SIZE)
    draws = [
        torch.randn(shape, generator=torch.Generator().manual_seed(seed * samples + n)).double() for n in range(samples)
    ]

    def shown(mask: Tensor) -> list[Tensor]:
        if noise == "mask":
            return [picture * (mask + sigma * draw) for draw in draws]
        return [picture * mask + sigma * draw for draw in draws]

    return _weighted(net, picture, c, shown, weighting)


def opti_cam_steps(
    net: Plain, picture: Tensor, c: int, steps: int = 100, learning_rate: float = 0.1
) -> tuple[Tensor, float, float]:
    """Zhang et al. 2023, eq. 8-10, with Adam as Kingma and Ba 2015 print it (algorithm 1).

    Weights [K], and the logits of the masked picture before the first and after the last step.
    """
    maps = net.maps(picture)
    channels = len(maps)

    def logit(u: Tensor) -> Tensor:
        s = sum(u.exp()[k] / u.exp().sum() * maps[k] for k in range(channels))
        enlarged = up(s)
        mask = (enlarged - enlarged.min()) / (enlarged.max() - enlarged.min())
        return net.logit(picture * mask, c)

    with torch.enable_grad():
        u = torch.zeros(channels, dtype=torch.float64, requires_grad=True)
        first, m, v = float(logit(u).detach()), torch.zeros(channels).double(), torch.zeros(channels).double()
        for t in range(1, steps + 1):
            (g,) = torch.autograd.grad(-logit(u), u)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            step = learning_rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
            u = (u - step).detach().requires_grad_(True)
        return u.detach().softmax(dim=0), first, float(logit(u).detach())


def opti_cam_loop(net: Plain, picture: Tensor, c: int, steps: int = 100, learning_rate: float = 0.1) -> Tensor:
    """Weights of :func:`opti_cam_steps` alone, [K]."""
    return opti_cam_steps(net, picture, c, steps, learning_rate)[0]
