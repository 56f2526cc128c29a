"""DeepLIFT's Rescale rule behind a layer: what each activation adds to a logit over activations of zero.

The network runs on two rows a picture, its feature maps M and zeros. Behind the layer every nonlinear function of one
number gets the slope of its chord, Δout/Δin, in place of its derivative, and a max pooling the difference of its two
results, shared out between the places of the two maxima. One backward pass then carries these slopes from the logit to
the maps, and multiplied with M − 0 they are contributions. Functions are replaced as they are called, so that modules,
function calls and in-place ones are alike to it; nothing of the network is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from camlib.engine.recording import Unreached, logit_of, on, record, widened
from camlib.layers import Layer
from camlib.networks import Network, Ready

_NAMES = (
    "relu relu_ relu6 hardtanh hardtanh_ leaky_relu leaky_relu_ elu elu_ selu selu_ celu silu gelu mish softplus "
    "sigmoid sigmoid_ hardsigmoid hardswish logsigmoid tanh tanh_ clamp clamp_ clip exp log sqrt"
)
ELEMENTWISE = frozenset(
    found for name in _NAMES.split() for home in (F, torch, Tensor) if callable(found := getattr(home, name, None))
)
"""Functions of one number that get the Rescale rule."""
_MAX_POOLINGS = {"max_pool2d": F.max_pool2d, "adaptive_max_pool2d": F.adaptive_max_pool2d}


def contributions(
    network: Network, ready: Ready, layer: Layer, inputs: Tensor, target: Tensor
) -> tuple[Tensor, list[float]]:
    """DeepLIFT's contribution of every activation to each picture's logit, with zeros as the reference.

    Args:
        network, ready, layer: what runs, and the layer whose activations contribute.
        inputs: ready batch [B, C, H, W].
        target: class index of every picture, int64 [B].

    Returns:
        (contributions [B, K, h, w] in logit units; how far each picture's sum is from y_c(M) − y_c(0), relative to the
        largest of the three numbers). A product of two parts that both depend on the layer (an attention gate) and a
        normalization by the layer's own statistics have no rule: their plain gradient is used, and the error tells.

    Raises:
        ValueError: the logits do not depend on the layer, or the network takes one picture at a time.
    """
    if not ready.run.together:
        raise ValueError(
            f"DeepLIFT runs maps and zeros side by side in one pass; {network.name} takes one picture at a time. Use "
            f"'ablation-cam', which asks the same by leaving maps out."
        )
    pictures = len(inputs)
    halves = torch.cat([inputs, inputs])

    def against_zeros(maps: Tensor) -> Tensor:
        return torch.cat([maps[:pictures], torch.zeros_like(maps[:pictures])])

    with _Rescaling(pictures):
        recording = record(network, ready, layer, halves, against_zeros)
    twice = torch.cat([target, target])
    try:
        slopes = recording.score_gradient(lambda y: y.gather(1, on(y, twice)[:, None])[:pictures, 0])
    except Unreached:
        raise ValueError(f"The logits of {network.name} do not depend on layer {layer.name!r}.") from None
    shares = slopes[:pictures] * widened(recording.maps[:pictures])
    scores = widened(logit_of(twice)(recording.logits.detach()))
    with_maps, without = scores[:pictures], scores[pictures:]
    gap = (shares.flatten(1).sum(dim=1) - (with_maps - without)).abs()
    size = torch.stack([with_maps.abs(), without.abs(), (with_maps - without).abs()]).amax(dim=0)
    return shares, (gap / torch.where(size > 0, size, 1.0)).tolist()


class _Rescaling(TorchFunctionMode):
    """Inside, nonlinear functions of tensors that record a graph get DeepLIFT's slopes; values stay what they are."""

    def __init__(self, pictures: int) -> None:
        super().__init__()
        self.pictures = pictures

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        x = args[0] if args and isinstance(args[0], Tensor) else None
        if x is None or not x.requires_grad or x.shape[:1] != (2 * self.pictures,):
            return func(*args, **kwargs)
        if func in ELEMENTWISE:
            in_place = kwargs.pop("inplace", False) or func.__name__.endswith("_")
            return _chord(func, x, args[1:], kwargs, self.pictures, in_place)
        pool = _MAX_POOLINGS.get(getattr(func, "__name__", ""))  # PyTorch has several objects of one name
        if pool is not None and not kwargs.get("return_indices"):
            return _max_pooling(pool, x, args[1:], kwargs, self.pictures)
        return func(*args, **kwargs)


def _chord(func: Callable, x: Tensor, args: tuple, kwargs: dict, pictures: int, in_place: bool) -> Tensor:
    """``func(x)`` with the slope (f(x) − f(x'))/(x − x') of picture and reference, f'(x) where both agree."""
    with torch.enable_grad():
        inner = x.detach().clone().requires_grad_(True)
        made = func(inner.clone(), *args, **kwargs)
        (slope,) = torch.autograd.grad(made.sum(), inner)
    made = made.detach()
    (a, b), d_out = x.detach().split(pictures), made[:pictures] - made[pictures:]
    d_in = a - b
    near = d_in.abs() <= torch.finfo(x.dtype).eps ** 0.5 * torch.maximum(a.abs(), b.abs())
    chord = torch.where(near, slope[:pictures], d_out / torch.where(near, torch.ones_like(d_in), d_in))
    out = made + torch.cat([chord, chord]) * (x - x.detach())
    return x.copy_(out) if in_place else out


def _max_pooling(pool: Callable, x: Tensor, args: tuple, kwargs: dict, pictures: int) -> Tensor:
    """A max pooling whose difference is shared out between the places of the two maxima.

    Of Δ = o − o', the part max(o, o') − o' goes to where the picture has its maximum, the part o − max(o, o') to where
    the reference has its own; each divided by the difference of the inputs there.
    """
    made, places = pool(x.detach(), *args, **{**kwargs, "return_indices": True})
    flat, index = x.flatten(2), places.flatten(2)
    o, reference = made[:pictures].flatten(2), made[pictures:].flatten(2)
    high = torch.maximum(o, reference)
    out = made.clone()
    for part, place in ((high - reference, index[:pictures]), (o - high, index[pictures:])):
        taken = flat[:pictures].gather(2, place)
        d_in = taken.detach() - flat[pictures:].detach().gather(2, place)
        slope = torch.where(d_in == 0, 0.0, part / torch.where(d_in == 0, torch.ones_like(d_in), d_in))
        out[:pictures] = out[:pictures] + (slope * (taken - taken.detach())).view_as(made[:pictures])
    return out
