"""Architectures at full size with cheap seeded weights: initialization is what takes time in 80 networks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, lru_cache
from math import sqrt
from unittest.mock import patch

import helpers
import torch
import torchvision
from torch import Tensor, nn

_DRAWS = ("uniform_", "normal_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_")
_LAYERS = (nn.modules.conv._ConvNd, nn.Linear, nn.MultiheadAttention)


def quick(build: Callable[[], nn.Module], size: int) -> nn.Module:
    """The module in eval mode, as if it had seen some data: He-uniform weights, batch statistics of noise pictures.

    The initializers of torch.nn.init draw nothing while it is built; then one block of seeded noise is scaled into
    every weight. Branches that start switched off (zeros in a norm's weight, layer scales of 1e-6) are switched on.
    """
    with undrawn():
        module = build()
    with torch.no_grad():
        for child in module.modules():
            for name, parameter in child.named_parameters(recurse=False):
                _fill(parameter, name, isinstance(child, _LAYERS))
        _calibrate(module, size)
    return module.eval()


def ready(count: int, size: int) -> Tensor:
    """Normalized noise pictures [count, 3, size, size]."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(count))


@lru_cache(2)
def known(name: str, size: int = 64) -> tuple[nn.Module, Tensor, Tensor]:
    """(module, noise, its logits) of a torchvision classifier or of Lite0, for tests that leave the module as it is."""
    if name == "efficientnet-lite0":
        module, noise = helpers.lite0().module, ready(1, 224)
    else:
        module, noise = quick(lambda: slim(torchvision.models.get_model(name, weights=None)), size), ready(1, size)
    with torch.no_grad():
        return module, noise, module(noise)


def slim(module: nn.Module) -> nn.Module:
    """VGG with 64 neurons in its hidden linear layers instead of 4096, which are nine tenths of its time here."""
    if isinstance(module, torchvision.models.VGG):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for place, sizes in {0: (25088, 64), 3: (64, 64), 6: (64, 1000)}.items():
                module.classifier[place] = nn.Linear(*sizes)
    return module


@contextmanager
def narrow() -> Iterator[None]:
    """Torchvision's widest families with a fraction of their channels, every module in its place and with its name.

    Nine tenths of the time of a ViT-H or a RegNet of 128 GF go into products of wide matrices; layers, heads and the
    order of computation are those of the published network.
    """
    models = torchvision.models
    config, convnext = models.convnext.CNBlockConfig, models.convnext.ConvNeXt
    transformer = models.vision_transformer.VisionTransformer
    blocks, swin = models.regnet.BlockParams.from_init_params, models.swin_transformer.SwinTransformer
    efficientnet, resnet = models.efficientnet.EfficientNet, models.resnet.ResNet

    def thin_blocks(*args: object, **kwargs: object) -> object:
        made = blocks(*args, **kwargs)
        if all(group > 100 and group % 8 == 0 for group in made.group_widths):
            made.widths, made.group_widths = ([n // 8 for n in sizes] for sizes in (made.widths, made.group_widths))
        return made

    def thin_convnext(stages: list, **settings: object) -> nn.Module:
        thin = [config(s.input_channels // 4, s.out_channels and s.out_channels // 4, s.num_layers) for s in stages]
        return convnext(thin, **settings)

    def thin_transformer(**sizes: object) -> nn.Module:
        return transformer(**sizes | {name: sizes[name] // 4 for name in ("hidden_dim", "mlp_dim")})

    def thin_swin(**sizes: object) -> nn.Module:
        return swin(**sizes | {"embed_dim": sizes["embed_dim"] // 4})

    def thin_efficientnet(stages: list, dropout: float, last_channel: int | None, **settings: object) -> nn.Module:
        if max(stage.out_channels for stage in stages) > 400:
            stages, last_channel = list(map(copy.copy, stages)), last_channel and last_channel // 4
            for stage in stages:
                stage.input_channels, stage.out_channels = stage.input_channels // 4, stage.out_channels // 4
        return efficientnet(stages, dropout, last_channel=last_channel, **settings)

    def thin_resnet(*layers: object, groups: int = 1, width_per_group: int = 64, **settings: object) -> nn.Module:
        wide = groups * width_per_group > 64  # the 3x3 convolutions of a Wide ResNet and of ResNeXt
        return resnet(*layers, groups=groups, width_per_group=width_per_group // (4 if wide else 1), **settings)

    with (
        patch.object(models.efficientnet, "EfficientNet", thin_efficientnet),
        patch.object(models.resnet, "ResNet", thin_resnet),
        patch.object(models.regnet.BlockParams, "from_init_params", thin_blocks),
        patch.object(models.convnext, "ConvNeXt", thin_convnext),
        patch.object(models.vision_transformer, "VisionTransformer", thin_transformer),
        patch.object(models.swin_transformer, "SwinTransformer", thin_swin),
    ):
        yield


@contextmanager
def undrawn() -> Iterator[None]:
    """The initializers of torch.nn.init leave tensors as they come: building takes no time, weights mean nothing."""

    def leave(tensor: Tensor, *_: object, **__: object) -> Tensor:
        return tensor.detach().zero_() if _is_vector(tensor) else tensor

    with ExitStack() as stack:
        for module in (nn.init, nn.modules.activation):
            for name in _DRAWS:
                if hasattr(module, name):
                    stack.enter_context(patch.object(module, name, leave))
        yield


@cache
def _noise() -> Tensor:
    return torch.rand(2**22 - 1, generator=torch.Generator().manual_seed(0)) * 2 - 1


def _is_vector(tensor: Tensor) -> bool:
    return tensor.numel() == max(tensor.shape, default=1)


def _fill(parameter: Tensor, name: str, is_layer: bool) -> None:
    if is_layer and parameter.dim() > 1:
        _scaled_noise(parameter.view(-1), sqrt(6 / parameter[0].numel()))
    elif not _is_vector(parameter):  # embeddings, tables of position biases
        _scaled_noise(parameter.view(-1), 0.02)
    elif "bias" not in name and bool((parameter.abs() < 0.01).all()):
        parameter.fill_(1.0)


def _scaled_noise(flat: Tensor, scale: float) -> None:
    for piece in flat.split(_noise().numel()):
        torch.mul(_noise()[: piece.numel()], scale, out=piece)


def _calibrate(module: nn.Module, size: int) -> None:
    """Running statistics of one batch, so that signals neither vanish nor explode."""
    norms = [child for child in module.eval().modules() if isinstance(child, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum, norm.training = 1.0, True
    if norms:
        module(ready(2, size))
