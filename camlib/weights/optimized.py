"""Weights that are searched for: Opti-CAM climbs to the mask behind which the class has its largest logit."""

from __future__ import annotations

import torch
from torch import Tensor

from camlib import framework
from camlib.engine.scoring import progress
from camlib.options import Count, Positive
from camlib.registry import Detailed, method
from camlib.trace import Trace


@method(
    "opti-cam",
    title="Opti-CAM",
    sign="softmax",
    family="score",
    source="Zhang et al. 2023 (arXiv 2301.07002), eq. 8-11",
    passes="2 forward + 100 (forward + backward)",
    summary="w = softmax(u), u climbing to the largest logit of class c behind the map as a mask",
    relu=False,
)
def opti_cam(trace: Trace, target: Tensor, *, steps: Count = 100, learning_rate: Positive = 0.1) -> Detailed:
    """w = softmax(u) with u* = argmax_u y_c(x · n(up(Σ_k softmax(u)_k M_k))), by Adam, [B, K], positive, sum 1.

    n scales to [0, 1] and up enlarges to the picture. u starts at 0, the map at the mean of all channels; nothing is
    drawn, so there is no seed. Channels that are constant get weight 0: scaling takes them out of the map. The last
    step's u is returned (the authors stop earlier where the objective has got worse between two tenths of the way). The
    details say the logit behind the first and behind the last mask, "logit_first" and "logit_last": what the climb won.

    Args:
        trace, target: as for every method.
        steps: of Adam, each one forward and one backward pass of the whole network for each picture.
        learning_rate: of Adam.
    """
    weights, details = torch.zeros(trace.live.shape).to(trace.activations), []
    with progress(steps * len(target), "opti-cam") as advance:
        for b in range(len(target)):
            channels = trace.live[b].nonzero().flatten()
            if not len(channels):
                details.append({})
                continue
            climb = _Climb(trace, b, int(target[b]), channels)
            weights[b, channels], first, last = climb.run(steps, learning_rate, advance)
            details.append({"logit_first": first, "logit_last": last})
    return Detailed(weights, tuple(details))


class _Climb:
    """The optimization for one picture and class over its live channels."""

    def __init__(self, trace: Trace, b: int, target: int, channels: Tensor) -> None:
        with torch.inference_mode(False):
            self.picture = trace.inputs[b : b + 1].clone()
            self.maps = trace.activations[b : b + 1, channels.clone()].clone()
        self.scorer, self.target, self.enlarge = trace.scorer(), target, trace.enlarged

    def run(self, steps: int, rate: float, advance) -> tuple[Tensor, float, float]:
        """(weights [n], logit behind the first mask, logit behind the last one)."""
        with torch.inference_mode(False), torch.enable_grad():
            u = torch.zeros(1, self.maps.shape[1]).to(self.maps).requires_grad_(True)
            adam, reached = torch.optim.Adam([u], lr=rate), []
            for _ in range(steps):
                logit = self._logit(u)
                reached.append(float(logit.detach()))
                u.grad = torch.autograd.grad(-logit, u)[0]
                adam.step()
                advance(1)
            return u.detach().softmax(dim=1)[0], reached[0], float(self._logit(u).detach())

    def _logit(self, u: Tensor) -> Tensor:
        """The class's logit behind the scaled, enlarged map (eq. 10)."""
        weighted = framework.class_activation_map(u.softmax(dim=1), self.maps)
        mask, _ = framework.normalize(self.enlarge(weighted))
        return self.scorer.run(self.picture * mask.to(self.picture))[0, self.target]
