"""Saliency at the resolution of the input, through captum: the baselines of Wang et al. (2019), fig. 1.

captum overrides the backward pass of ``nn.ReLU`` modules only. It therefore gets a copy of the network that shares
every parameter, in which ReLU and ReLU6 modules are captum-visible and not in-place; ReLUs that a network applies by
a plain function call cannot be overridden, which is said in a warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Annotated, Literal

import lazy_loader
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camlib import framework
from camlib.engine.behind import KeepingGraph, without_checkpoints
from camlib.engine.masking import Masking, Passes
from camlib.layers import RECTIFIERS
from camlib.networks import Ready, outside_stacklevel
from camlib.options import Count, NotNegative, Range, Seed
from camlib.registry import Detailed, method
from camlib.trace import Trace
from camlib.weights.budget import Read, details_of, map_errors
from camlib.weights.score import class_probabilities

captum = lazy_loader.load("captum")  # a second that only these methods need

Signal = Literal["guided-backprop", "deconvnet"]
_SIGNALS = {"guided-backprop": "GuidedBackprop", "deconvnet": "Deconvolution"}
"""What eq. 6 of Wang et al. 2019 multiplies, and the name of captum's class."""


class _VisibleReLU6(nn.ReLU):
    """ReLU6 that is an ``nn.ReLU`` to captum: same values, same gradient, an overridable backward pass."""

    def forward(self, inputs: Tensor) -> Tensor:
        return F.relu6(inputs)


class _Whole(nn.Module):
    """A private copy of the network, ready for captum, as a function of the pictures alone.

    ``keeping``: the graph is kept where the network's own code would cut it, see :mod:`camlib.engine.behind`.
    """

    def __init__(self, ready: Ready, keeping: bool) -> None:
        super().__init__()
        self.run, self.module, self.keeping = ready.run, captum_module(ready), keeping

    def forward(self, pictures: Tensor) -> Tensor:
        pictures = pictures.clone()  # some networks write into their input
        if not self.keeping:
            return self.run(self.module, pictures)
        with without_checkpoints(), KeepingGraph() as mode:
            mode.start()
            return self.run(self.module, pictures)


def captum_module(ready: Ready) -> nn.Module:
    """A copy of the network's module on the same memory, in eval mode, whose ReLU modules captum can override."""
    twin = ready.copy()
    for parent in list(twin.modules()):
        for name, child in parent.named_children():
            if isinstance(child, RECTIFIERS):
                setattr(parent, name, _VisibleReLU6() if isinstance(child, nn.ReLU6) else nn.ReLU())
    return twin


def _saliency(trace: Trace, attributions: Tensor) -> Tensor:
    """The largest absolute value over the color channels, [B, C, H, W] -> [B, H, W]."""
    return attributions.abs().flatten(1, -len(trace.size) - 1).amax(dim=1).float()


def _attribute(trace: Trace, target: Tensor, explainer: Callable[..., object], **options: object) -> Tensor:
    """Run one captum method on a trace's batch, with gradients on whatever the caller has switched off."""
    with torch.inference_mode(False), torch.enable_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*Setting (forward, )?backward hooks.*")
        warnings.filterwarnings("ignore", message="(?s).*required_grads has been set automatically.*")
        inputs = trace.inputs.detach().clone().requires_grad_(True)
        index = target.to(inputs.device).clone()
        for keeping in (False, True):
            try:
                whole = _Whole(trace.ready, keeping)
                return explainer(whole).attribute(inputs, target=index, **options).detach()
            except RuntimeError as error:  # no graph leads from the logits to the pixels
                failure = error
        raise ValueError(
            f"{trace.network.name} has no gradient for its pixels ({str(failure).partition(chr(10))[0]}): a part of it "
            f"is not differentiable. Use a method that needs no gradient, such as 'rise'."
        ) from failure


def _warn_about_relus(trace: Trace, name: str) -> None:
    modules = sum(isinstance(child, RECTIFIERS) for child in trace.ready.twin.module.modules())
    functional = trace.ready.survey.functional_relus
    if not modules:
        text = f"{trace.network.name} has no ReLU module: {name} is the plain gradient here."
        warnings.warn(text, stacklevel=outside_stacklevel())
    elif functional:
        warnings.warn(
            f"{trace.network.name} applies {functional} ReLU(s) by a function call; {name} leaves these as they are.",
            stacklevel=outside_stacklevel(),
        )


@method(
    "gradient",
    title="Gradient",
    sign="absolute",
    family="pixel",
    source="Simonyan et al. 2013",
    passes="1 forward + 1 backward",
    summary="max over RGB of |∂y_c/∂x|",
    makes="pixels",
    relu=False,
)
def gradient(trace: Trace, target: Tensor) -> Tensor:
    """Largest absolute derivative of the target logit over the color channels, [B, H, W] (captum ``Saliency``)."""
    return _saliency(trace, _attribute(trace, target, captum.attr.Saliency, abs=False))


@method(
    "guided-backprop",
    title="Guided backpropagation",
    sign="absolute",
    family="pixel",
    source="Springenberg et al. 2014",
    passes="1 forward + 1 backward",
    summary="gradient, negative parts cut at every ReLU on the way back",
    makes="pixels",
    relu=False,
)
def guided_backprop(trace: Trace, target: Tensor) -> Tensor:
    """Gradient whose negative parts are cut at every ReLU, besides the ReLU's own mask, [B, H, W]."""
    _warn_about_relus(trace, "guided-backprop")
    return _saliency(trace, _attribute(trace, target, captum.attr.GuidedBackprop))


@method(
    "deconvnet",
    title="Deconvnet",
    sign="absolute",
    family="pixel",
    source="Zeiler and Fergus 2014",
    passes="1 forward + 1 backward",
    summary="signal of the logit, rectified at every ReLU instead of masked",
    makes="pixels",
    relu=False,
)
def deconvnet(trace: Trace, target: Tensor) -> Tensor:
    """Backward signal that is rectified at every ReLU in place of the ReLU's own mask, [B, H, W]."""
    _warn_about_relus(trace, "deconvnet")
    return _saliency(trace, _attribute(trace, target, captum.attr.Deconvolution))


@method(
    "guided-score-cam",
    title="Guided Score-CAM",
    sign="absolute",
    family="pixel",
    source="Wang et al. 2019, eq. 6",
    passes="2 forward + 1 backward + K masked",
    summary="Score-CAM's heatmap times guided backpropagation",
    makes="pixels",
    relu=False,
)
def guided_score_cam(
    trace: Trace,
    target: Tensor,
    *,
    signal: Signal = "guided-backprop",
    clip: Annotated[float, Range(0, 1, open_low=True)] = 0.99,
    passes: Passes = None,
) -> Tensor | Detailed:
    """Sum over the color channels of |heatmap · signal|, [B, H, W].

    ``signal`` is "guided-backprop", or "deconvnet", which the paper (sec. 4.4) names as the other choice, with
    artifacts. ``clip`` is the quantile at which single bright pixels are cut; 1 cuts none. :func:`guided_product` gives
    the signed colors. ``passes`` is a budget, as for ``score-cam``; the details tell of the heatmap's error.
    """
    saliency = guided_product(trace, target, signal, passes).abs().flatten(1, -len(trace.size) - 1).sum(dim=1).float()
    ceiling = saliency.flatten(1).quantile(clip, dim=1)
    cut = torch.minimum(saliency, ceiling.view(-1, *[1] * len(trace.size)))
    if passes is None:
        return cut
    weights = class_probabilities(trace, target, Masking(passes=passes))
    maps = framework.class_activation_map(weights, trace.activations).relu()
    errors = map_errors(trace, target, weights, Read(Masking(passes=passes)))
    return Detailed(cut, details_of(errors, maps, rectified=True))


def guided_product(
    trace: Trace, target: Tensor, signal: Signal = "guided-backprop", passes: int | None = None
) -> Tensor:
    """Score-CAM's heatmap in [0, 1] times the guided gradient (or deconvnet's signal), in color, [B, C, H, W]."""
    if signal not in _SIGNALS:
        raise ValueError(f"signal={signal!r}: expected one of {tuple(_SIGNALS)}.")
    _warn_about_relus(trace, signal)
    weights = class_probabilities(trace, target, Masking(passes=passes))
    maps = framework.class_activation_map(weights, trace.activations).relu()
    heatmaps, _ = framework.normalize(trace.enlarged(maps))
    guided = _attribute(trace, target, getattr(captum.attr, _SIGNALS[signal]))
    return heatmaps.view(len(guided), *[1] * (guided.dim() - heatmaps.dim()), *trace.size) * guided


@method(
    "smooth-grad",
    title="SmoothGrad",
    sign="absolute",
    family="pixel",
    source="Smilkov et al. 2017",
    passes="n (forward + backward), n = 50",
    summary="mean gradient over noisy copies",
    makes="pixels",
    relu=False,
)
def smooth_grad(
    trace: Trace, target: Tensor, *, samples: Count = 50, noise: NotNegative = 0.15, seed: Seed = 0, batch: Count = 4
) -> Tensor:
    """Mean gradient over noisy copies of each picture, [B, H, W]; noise as a share of the picture's max - min.

    ``samples`` is the number of copies, ``batch`` of which run at a time. Each picture's noise starts from ``seed``,
    so that a batch gives what single pictures give.
    """
    pixels = trace.inputs.flatten(1)
    stdevs = [noise * spread for spread in (pixels.amax(dim=1) - pixels.amin(dim=1)).tolist()]

    def over_noise(module: nn.Module) -> object:
        return _OverNoise(captum.attr.Saliency(module), stdevs, seed, samples, batch)

    return _saliency(trace, _attribute(trace, target, over_noise))


class _OverNoise:
    """Mean attribution over noisy copies, as captum's NoiseTunnel, with noise that no other thread can disturb."""

    def __init__(self, explainer: object, stdevs: list[float], seed: int, samples: int, batch: int) -> None:
        self.explainer, self.stdevs = explainer, stdevs
        self.seed, self.samples, self.batch = seed, samples, batch

    def attribute(self, inputs: Tensor, target: Tensor) -> Tensor:
        return torch.cat([self._of_one(inputs[i : i + 1], target[i], self.stdevs[i]) for i in range(len(inputs))])

    def _of_one(self, picture: Tensor, target: Tensor, stdev: float) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        total = torch.zeros_like(picture)
        for start in range(0, self.samples, self.batch):
            shape = (min(self.batch, self.samples - start), *picture.shape[1:])
            drawn = torch.randn(shape, generator=generator).to(picture.device)
            noisy = (picture.detach() + stdev * drawn).to(picture.dtype).requires_grad_(True)
            found = self.explainer.attribute(noisy, target=target.expand(len(noisy)), abs=False)
            total += found.sum(dim=0, keepdim=True)
        return total / self.samples


@method(
    "integrated-gradients",
    title="Integrated gradients",
    sign="absolute",
    family="pixel",
    source="Sundararajan et al. 2017, eq. 1",
    passes="n (forward + backward), n = 50",
    summary="(x − x') · mean gradient on the way from the baseline x' to x",
    makes="pixels",
    relu=False,
)
def integrated_gradients(
    trace: Trace, target: Tensor, *, steps: Count = 50, baseline: float = 0.0, batch: Count = 8
) -> Tensor:
    """Gradient averaged over the straight line from a constant baseline to the picture, times the difference.

    ``baseline`` is in normalized units: 0 is the mean color. ``batch`` steps run at a time. Returns [B, H, W].
    """
    size = max(batch, trace.inputs.shape[0])
    return _saliency(
        trace,
        _attribute(
            trace, target, captum.attr.IntegratedGradients, n_steps=steps, baselines=baseline, internal_batch_size=size
        ),
    )
