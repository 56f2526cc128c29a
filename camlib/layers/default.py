"""Which layer is explained when none is named: the last feature maps before the head."""

from __future__ import annotations

from statistics import mode

import torch
from torch import Tensor, nn

from camlib.layers.layer import Layer
from camlib.layers.probing import Output, Probe, variants
from camlib.layers.replacing import replacing_output

_POOLS = (
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.pooling._LPPoolNd,
)


def default_layer(module: nn.Module, inputs: Tensor, probe: Probe) -> Layer | None:
    """The last feature maps before the head: the target layer of the papers.

    The last spatial tensor in order of computation that is neither the result of pooling nor already one map a
    class and that no branch goes around, rectified if the network rectifies it; for token networks the last one
    whose patch tokens still reach the logits (behind the last attention only the class token does). None when
    there is no such tensor.
    """
    keys = {output.key for output in probe.outputs}
    candidates: list[Layer] = []
    for group in reversed(probe.groups()):
        if not _is_pool(group) and not _is_class_map(group, probe.logits):
            candidates += reversed(variants(group, probe, keys))
    if candidates and candidates[0].kind == "tokens":
        tokens = [layer for layer in candidates if layer.kind == "tokens"]
        tokens = [layer for layer in tokens if layer.size == tokens[0].size]  # the last stage
        widths = [layer.channels for layer in tokens]  # the residual stream, not the wider inside of a block
        tokens = [layer for layer in tokens if layer.channels == mode(widths)][:24]
        alive = _patch_tokens_matter(module, inputs, tokens)
        return next((layer for layer in tokens if layer.name in alive), None)
    passed = (layer for layer in candidates if _everything_passes(module, inputs, layer, probe.logits))
    return next(passed, candidates[0] if candidates else None)


def _is_pool(group: list[Output]) -> bool:
    """Pooling belongs to the head: it is what the class activation weight is defined behind."""
    return any(
        isinstance(o.module, _POOLS)
        or ("pool" in type(o.module).__name__.lower() and next(o.module.parameters(), None) is None)
        for o in group
    )


def _is_class_map(group: list[Output], logits: Tensor) -> bool:
    """True for maps whose spatial means already are the logits (SqueezeNet's last convolution)."""
    maps = group[0].tensor
    if maps.dim() != 4 or logits.dim() != 2 or maps.shape[1] != logits.shape[1]:
        return False
    scale = logits.abs().max().clamp(min=1e-12) * 1e-3
    means = (maps.mean(dim=(2, 3)), maps.relu().mean(dim=(2, 3)))
    return any(bool(((mean - logits).abs() <= scale).all()) for mean in means)


def _patch_tokens_matter(module: nn.Module, inputs: Tensor, layers: list[Layer]) -> set[str]:
    """Names of the token layers from whose patch tokens a gradient flows to the logits."""
    found: dict[str, Tensor] = {}
    calls: dict[str, int] = {}

    def keep(name: str):
        def hook(_: nn.Module, __: tuple, output: Tensor) -> None:
            calls[name] = calls.get(name, 0) + 1
            found[f"{name}#{calls[name]}"] = output

        return hook

    features: list[Tensor] = []

    def keep_features(_: nn.Module, args: tuple) -> None:
        if args and args[0].dim() == 2:
            features.append(args[0])

    handles = [
        module.get_submodule(name).register_forward_hook(keep(name)) for name in {layer.module for layer in layers}
    ]
    handles += [
        child.register_forward_pre_hook(keep_features) for child in module.modules() if isinstance(child, nn.Linear)
    ]
    try:
        with torch.enable_grad():
            logits = module(inputs.detach().clone().requires_grad_(True))
            tensors = [found[f"{layer.module}#{layer.call}"] for layer in layers]
            # A fresh head may be all zeros (torchvision's ViT): then its input tells what it would read.
            read = [logits, *features[-1:]]
            score = sum((t * torch.linspace(-1, 1, t.shape[1]).to(t)).sum() for t in read)
            gradients = torch.autograd.grad(score, tensors, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    return {
        layer.name
        for layer, gradient in zip(layers, gradients, strict=True)
        if gradient is not None and bool(gradient[:, layer.prefix :].any())
    }


def _everything_passes(module: nn.Module, inputs: Tensor, layer: Layer, logits: Tensor) -> bool:
    """True when the logits depend on the picture through this layer alone.

    The feature maps of the picture are put in place of those of another picture; no branch goes around the layer
    exactly when the logits are those of the first picture.
    """
    kept: list[Tensor] = []

    def keep(output: Tensor) -> None:
        kept.append(layer.to_maps(output).clone())

    with torch.no_grad():
        with replacing_output(module, layer, keep):
            module(inputs)
        if not kept:  # a rectifier inside compiled code cannot be reached
            return False
        with replacing_output(module, layer, lambda output: layer.from_maps(kept[0], output).clone()):
            other = module(inputs.flip(-1) * 0.5)
    return bool((other - logits).abs().max() <= 1e-3 * logits.abs().max() + 1e-12)
