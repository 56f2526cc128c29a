"""The other libraries as functions of the same network, layer and photograph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from camlib import framework
from camlib.compendium.bench.subjects import Subject

GRADIENT = ("grad-cam", "grad-cam++", "xgrad-cam", "layer-cam")
"""Gradient methods that peers have."""


class MissingPeers(RuntimeError):
    """The libraries to compare with are not installed; the message says how to get them."""


@dataclass(frozen=True)
class Peer:
    """Another library as functions of a :class:`Subject` and the module that it may use up.

    ``score(subject, module, batch)`` and ``gradient[method](subject, module)`` return the map, [h, w] or [H, W].
    ``ablation(subject, module, batch, channels)`` ablates so many channels, all where it is None. What a library does
    not have is None or missing. ``batch`` holds the default batch of "score" and "ablation".
    """

    name: str
    batch: Mapping[str, int]
    score: Callable[[Subject, nn.Module, int], Tensor] | None = None
    ablation: Callable[[Subject, nn.Module, int, int | None], Tensor] | None = None
    gradient: Mapping[str, Callable[[Subject, nn.Module], Tensor]] = field(default_factory=dict)


def load_peers() -> list[Peer]:
    """pytorch-grad-cam, torchcam and captum; raises :class:`MissingPeers` where one is not installed."""
    try:
        return [load() for load in LOADERS.values()]
    except ImportError as error:
        raise MissingPeers(
            f"The measurement compares with pytorch-grad-cam, torchcam and captum, but {error.name or error} is not "
            f"installed. Install the extra 'peers' in the repository: pip install -e '.[peers]'."
        ) from error


def _pytorch_grad_cam() -> Peer:
    import pytorch_grad_cam as library
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    def run(kind: type, subject: Subject, module: nn.Module, batch: int | None = None, **settings: Any) -> Tensor:
        with kind(model=module, target_layers=[module.get_submodule(subject.module)], **settings) as cam:
            if batch:
                cam.batch_size = batch
            return torch.from_numpy(cam(subject.inputs, [ClassifierOutputTarget(subject.target)])[0])

    def ablation(subject: Subject, module: nn.Module, batch: int, channels: int | None) -> Tensor:
        # A share below 1 picks so many channels twice: those that matter most and those that matter least.
        ratio = 1.0 if channels is None else (channels // 2 + 0.5) / subject.channels
        return run(library.AblationCAM, subject, module, batch, ratio_channels_to_ablate=ratio)

    kinds = (library.GradCAM, library.GradCAMPlusPlus, library.XGradCAM, library.LayerCAM)
    gradient = {method: partial(run, kind) for method, kind in zip(GRADIENT, kinds, strict=True)}
    score = partial(run, library.ScoreCAM)
    return Peer("pytorch-grad-cam", {"score": 16, "ablation": 32}, score, ablation, gradient)


def _torchcam() -> Peer:
    from torchcam import methods as library

    def run(kind: type, subject: Subject, module: nn.Module, **settings: Any) -> Tensor:
        shape = tuple(subject.inputs.shape[1:])
        scoring = kind is library.ScoreCAM
        with kind(module, target_layer=subject.module, input_shape=shape, **settings) as extractor:
            with torch.set_grad_enabled(not scoring):
                logits = module(subject.inputs)
            (maps,) = extractor(subject.target, logits)
        return maps[0].detach()

    def score(subject: Subject, module: nn.Module, batch: int) -> Tensor:
        return run(library.ScoreCAM, subject, module, batch_size=batch)

    kinds = (library.GradCAM, library.GradCAMpp, library.XGradCAM, library.LayerCAM)
    gradient = {method: partial(run, kind) for method, kind in zip(GRADIENT, kinds, strict=True)}
    return Peer("torchcam", {"score": 32}, score, None, gradient)


def _captum() -> Peer:
    from captum.attr import LayerActivation, LayerFeatureAblation, LayerGradCam

    def grad_cam(subject: Subject, module: nn.Module) -> Tensor:
        explainer = LayerGradCam(module, module.get_submodule(subject.module))
        return explainer.attribute(subject.inputs, target=subject.target, relu_attributions=True)[0, 0].detach()

    def ablation(subject: Subject, module: nn.Module, batch: int, channels: int | None) -> Tensor:
        layer, groups = module.get_submodule(subject.module), channels or subject.channels
        group = (torch.arange(subject.channels) * groups // subject.channels).view(1, -1, 1, 1)
        with torch.no_grad():
            maps = LayerActivation(module, layer).attribute(subject.inputs)
            drops = LayerFeatureAblation(module, layer).attribute(
                subject.inputs, target=subject.target, layer_mask=group, perturbations_per_eval=batch
            )
        weights = drops.mean(dim=(2, 3))  # captum repeats a channel's drop over its positions
        return framework.class_activation_map(weights, maps)[0].relu()

    return Peer("captum", {"ablation": 1}, None, ablation, {"grad-cam": grad_cam})


LOADERS = {"pytorch-grad-cam": _pytorch_grad_cam, "torchcam": _torchcam, "captum": _captum}
