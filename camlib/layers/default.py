"""Which layer is explained when none is named: the last feature maps before the head."""

from __future__ import annotations

from contextlib import ExitStack
from statistics import mode

import torch
from torch import Tensor, nn

from camlib.layers.layer import Layer
from camlib.layers.locating import Run
from camlib.layers.probing import Output, Probe
from camlib.layers.reading import Reader
from camlib.layers.replacing import replacing_output

_POOLS = (
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.pooling._LPPoolNd,
)
_LOOKED_AT = 24
"""Layers that are tried, from the last one on."""


def default_layer(run: Run, module: nn.Module, inputs: Tensor, reader: Reader) -> Layer | None:
    """The last feature maps before the head: the target layer of the papers.

    The last spatial tensor in order of computation that is neither the result of pooling nor already one map a
    class and that no branch goes around, rectified if the network rectifies it; where branches go around all of them,
    the last one from which a gradient reaches the logits; for token networks the last one whose patch tokens still
    reach them (behind the last attention only the class token does). None when there is no such tensor.
    """
    logits, dense = reader.probe.logits, _dense_channels(reader.probe)
    candidates: list[Layer] = []
    for group in reversed(reader.probe.groups()):
        if not _is_pool(group) and not _is_class_map(group, logits, dense):
            candidates += reversed(reader.variants(group))
    if candidates and candidates[0].kind == "tokens":
        tokens = [layer for layer in candidates if layer.kind == "tokens"]
        tokens = [layer for layer in tokens if layer.size == tokens[0].size]  # the last stage
        widths = [layer.channels for layer in tokens]  # the residual stream, not the wider inside of a block
        tokens = [layer for layer in tokens if layer.channels == mode(widths)][:_LOOKED_AT]
        alive = _reaching(run, module, inputs, tokens)
        return next((layer for layer in tokens if layer.name in alive), None)
    if candidates and not _same(_of_another(run, module, inputs), logits):  # else every layer would seem to pass
        passed = (layer for layer in candidates if _everything_passes(run, module, inputs, layer, logits))
        if (found := next(passed, None)) is not None:
            return found
    tried = candidates[:_LOOKED_AT]
    alive = _reaching(run, module, inputs, tried) if tried else set()
    return next((layer for layer in tried if layer.name in alive), candidates[0] if candidates else None)


def _is_pool(group: list[Output]) -> bool:
    """Pooling belongs to the head: it is what the class activation weight is defined behind."""
    return any(
        isinstance(o.module, _POOLS)
        or ("pool" in type(o.module).__name__.lower() and next(o.module.parameters(), None) is None)
        for o in group
    )


def _dense_channels(probe: Probe) -> frozenset[int]:
    """Numbers of channels of the maps that a network returns and nothing else (the classes of a segmentation)."""
    dims = len(probe.input_size) + 2
    maps = all(tensor.dim() == dims for tensor in probe.returned)
    return frozenset(tensor.shape[1] for tensor in probe.returned) if maps else frozenset()


def _is_class_map(group: list[Output], logits: Tensor, dense: frozenset[int]) -> bool:
    """True for maps that already are the answer: one a class of a segmentation, or with the logits as their means."""
    maps = group[0].tensor
    if maps.dim() > 3 and maps.shape[1] in dense:
        return True
    if maps.dim() < 3 or not maps.is_floating_point() or maps.shape[:2] != logits.shape:
        return False
    scale = logits.abs().max().clamp(min=1e-12) * 1e-3
    means = (maps.flatten(2).mean(dim=2), maps.relu().flatten(2).mean(dim=2))
    return any(bool(((mean - logits).abs() <= scale).all()) for mean in means)


def _reaching(run: Run, module: nn.Module, inputs: Tensor, layers: list[Layer]) -> set[str]:
    """Names of the layers from whose maps, or patch tokens, a gradient flows to the logits."""
    found: dict[str, Tensor] = {}
    calls: dict[str, int] = {}

    def keep(name: str):
        def hook(_: nn.Module, __: tuple, output: Tensor) -> None:
            calls[name] = calls.get(name, 0) + 1
            found[f"{name}#{calls[name]}"] = output

        return hook

    with ExitStack() as stack, torch.enable_grad():
        for name in {layer.module for layer in layers}:
            stack.callback(module.get_submodule(name).register_forward_hook(keep(name)).remove)
        read = _what_is_read(run, module, inputs.detach().clone().requires_grad_(True))
        tensors = [found[f"{layer.module}#{layer.call}"] for layer in layers]
        if not all(tensor.requires_grad for tensor in (*read, *tensors)):  # a part that runs without gradients
            return {layer.name for layer in layers if _changing(run, module, inputs, layer, read)}
        score = sum((t * torch.linspace(-1, 1, t.shape[1]).to(t)).sum() for t in read)
        gradients = torch.autograd.grad(score, tensors, allow_unused=True)
    return {
        layer.name
        for layer, gradient in zip(layers, gradients, strict=True)
        if gradient is not None and bool(gradient[:, layer.prefix :].any())
    }


def _what_is_read(run: Run, module: nn.Module, inputs: Tensor) -> list[Tensor]:
    """The logits, and what the last linear layer reads: a fresh head may be all zeros (torchvision's ViT)."""
    features: list[Tensor] = []

    def keep(_: nn.Module, args: tuple) -> None:
        if args and args[0].dim() == 2:
            features.append(args[0])

    with ExitStack() as stack:
        for child in module.modules():
            if isinstance(child, nn.Linear):
                stack.callback(child.register_forward_pre_hook(keep).remove)
        return [run(module, inputs), *features[-1:]]


def _changing(run: Run, module: nn.Module, inputs: Tensor, layer: Layer, read: list[Tensor]) -> bool:
    """Whether what is read changes when the maps, or patch tokens, are turned around."""
    with (
        torch.no_grad(),
        replacing_output(module, layer, lambda output: layer.from_maps(layer.to_maps(output).flip(-1) + 1, output)),
    ):
        changed = _what_is_read(run, module, inputs.clone())
    return any(not torch.equal(before, after) for before, after in zip(read, changed, strict=True))


def _everything_passes(run: Run, module: nn.Module, inputs: Tensor, layer: Layer, logits: Tensor) -> bool:
    """True when the logits depend on the picture through this layer alone.

    The feature maps of the picture are put in place of those of another picture; no branch goes around the layer
    exactly when the logits are those of the first picture.
    """
    kept: list[Tensor] = []

    def keep(output: Tensor) -> None:
        kept.append(layer.to_maps(output).clone())

    with torch.no_grad():
        with replacing_output(module, layer, keep):
            run(module, inputs.clone())
        if not kept:  # a rectifier inside compiled code cannot be reached
            return False
        with replacing_output(module, layer, lambda output: layer.put(kept[0], output)):
            other = _of_another(run, module, inputs)
    return _same(other, logits)


def _of_another(run: Run, module: nn.Module, inputs: Tensor) -> Tensor:
    """Logits of another picture than ``inputs``."""
    with torch.no_grad():
        return run(module, inputs.flip(-1) * 0.5)


def _same(logits: Tensor, expected: Tensor) -> bool:
    return bool((logits - expected).abs().max() <= 1e-3 * expected.abs().max() + 1e-12)
