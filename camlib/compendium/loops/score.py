"""Score-CAM and what follows from its scores (Wang et al. 2019 and 2020), one masked picture after the other."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from camlib.compendium.loops.plain import FILLERS, Plain, blur, live, n01, noise, up


def _scaled(a: Tensor, align_corners: bool, order: str) -> Tensor:
    return up(n01(a), align_corners) if order == "normalize-first" else n01(up(a, align_corners))


def _positive(a: Tensor, align_corners: bool, order: str) -> Tensor:
    return (up(a, align_corners) > 0).double()


def _unshifted(a: Tensor, align_corners: bool, order: str) -> Tensor:
    u = up(a, align_corners)
    return u / (u.max() - u.min())


MASKS = {"scaled": _scaled, "binary": _positive, "unshifted": _unshifted}
SCORES = {  # method: (masks, score of a masked picture, whether a softmax over living channels follows)
    "score-cam": ("scaled", lambda net, x, c, filler: net.p(x, c), False),
    "score-cam-cic": ("scaled", lambda net, x, c, filler: net.p(x, c) - net.p(filler.expand_as(x), c), False),
    "score-cam-softmax": ("scaled", lambda net, x, c, filler: net.logit(x, c), True),
    "score-cam-raw": ("scaled", lambda net, x, c, filler: net.logit(x, c), False),
    "score-cam-binary": ("binary", lambda net, x, c, filler: net.p(x, c), False),
}


def _behind(picture: Tensor, filler: str) -> Tensor:
    """What a mask hides the picture behind."""
    if filler == "blur":
        return blur(picture, 10.0)
    return noise(0) if filler == "noise" else FILLERS[filler]()


def score_cam_loop(
    net: Plain,
    picture: Tensor,
    c: int,
    method: str = "score-cam",
    align_corners: bool = False,
    order: str = "upsample-first",
    filler: str = "mean",
    masks: str | None = None,
    score: str | None = None,
) -> Tensor:
    """Weights [K] of one picture, by the method of :data:`SCORES`; ``score="probability"`` is softmax's eq. 8."""
    usual, score_of, softmax = SCORES[method]
    if score == "probability":
        score_of = SCORES["score-cam"][1]
    mask_of, fill, scores = MASKS[masks or usual], _behind(picture, filler), []
    for a in net.maps(picture):
        mask = mask_of(a, align_corners, order)
        masked = picture * mask + fill * (1 - mask)
        dead = -math.inf if softmax else 0.0
        scores.append(score_of(net, masked, c, fill) if live(a) else torch.tensor(dead).double())
    w = torch.stack(scores)
    return w.exp() / w.exp().sum() if softmax else w


# -- Guided Score-CAM: by what its ReLUs let pass on the way back


class _Guided(torch.autograd.Function):
    """ReLU whose backward pass keeps R[out > 0]·1[input > 0] (Springenberg et al. 2014)."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, signal: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return signal.clamp(min=0) * (x > 0)


class _Deconvolved(_Guided):
    """ReLU whose backward pass keeps R[out > 0], wherever the input was (Zeiler and Fergus 2014)."""

    @staticmethod
    def backward(ctx, signal: Tensor) -> Tensor:
        return signal.clamp(min=0)


SIGNALS = {"guided-backprop": _Guided, "deconvnet": _Deconvolved}


def _through(layers: nn.Sequential, x: Tensor, relu: type[_Guided]) -> Tensor:
    for child in layers:
        if isinstance(child, nn.Sequential):
            x = _through(child, x, relu)
        else:
            x = relu.apply(x) if isinstance(child, nn.ReLU) else child(x)
    return x


def signal_loop(net: Plain, picture: Tensor, c: int, signal: str = "guided-backprop") -> Tensor:
    """R_0 [3, H, W] of the logit, signed; body and head of the network are sequences of layers."""
    x = picture[None].clone().requires_grad_(True)
    with torch.enable_grad():
        y = _through(net.head, _through(net.body, x, SIGNALS[signal]), SIGNALS[signal])
        return torch.autograd.grad(y[0, c], x)[0][0]


def guided_score_cam_loop(
    net: Plain, picture: Tensor, c: int, signal: str = "guided-backprop", clip: float = 0.99
) -> Tensor:
    """Wang et al. 2019, eq. 6, in gray [H, W]: the sum over RGB of |heatmap · signal|, cut at a quantile."""
    w = score_cam_loop(net, picture, c)
    heat = n01(up(torch.einsum("k,khw->hw", w, net.maps(picture)).relu()))
    gray = (heat * signal_loop(net, picture, c, signal)).abs().sum(dim=0)
    return gray.clamp(max=float(np.quantile(gray.numpy(), clip)))
