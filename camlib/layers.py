"""Which tensors of a network are feature maps, and how to read each of them as ``M [B, K, h, w]``.

One probing pass records what every module returns. Modules that return the very same tensor (``layer4``,
``layer4.1``, ``layer4.1.relu``) are one layer with several names; a tensor that a later in-place ReLU overwrites
is told apart from the result by its version counter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from statistics import mode

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_POOLS = (
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.pooling._LPPoolNd,
)
RECTIFIERS = (nn.ReLU, nn.ReLU6)
_RECTIFYING = {  # operation -> (name, whether it works in place)
    torch.ops.aten.relu.default: ("relu", 0),
    torch.ops.aten.relu_.default: ("relu", 1),
    torch.ops.aten.hardtanh.default: ("relu6", 0),
    torch.ops.aten.hardtanh_.default: ("relu6", 1),
}


@dataclass(frozen=True)
class Layer:
    """One tensor of the network that can be read as feature maps.

    ``name`` is the outermost module that returns it, followed by ``:n`` when that module runs several times in one
    pass and by ``+relu`` when the network itself rectifies the tensor right after the module. ``kind`` is ``"map"``
    ([B,K,h,w]), ``"channels-last map"`` ([B,h,w,K]) or ``"tokens"`` ([B, prefix + h·w, K]).
    """

    name: str
    kind: str
    channels: int
    height: int
    width: int
    aliases: tuple[str, ...] = ()
    note: str = ""
    module: str = ""
    call: int = 1
    rectifier: str = ""
    prefix: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the feature maps."""
        return self.height, self.width

    def to_maps(self, output: Tensor) -> Tensor:
        """Read the layer's output (behind the rectifier where the name says so) as feature maps [B, K, h, w]."""
        if self.kind == "channels-last map":
            return output.permute(0, 3, 1, 2)
        if self.kind == "tokens":
            grid = output[:, self.prefix :].unflatten(1, self.size)  # [B, h, w, K]
            return grid.permute(0, 3, 1, 2)
        return output

    def from_maps(self, maps: Tensor, output: Tensor) -> Tensor:
        """The inverse of :meth:`to_maps`: a tensor with the shape of ``output``, whose class tokens are kept."""
        if self.kind == "map":
            return maps
        if self.kind == "channels-last map":
            return maps.permute(0, 2, 3, 1)
        tokens = maps.permute(0, 2, 3, 1).flatten(1, 2)
        return torch.cat([output[:, : self.prefix], tokens], dim=1)


@dataclass
class _Output:
    """What one call of one module returned."""

    name: str
    call: int
    module: nn.Module
    tensor: Tensor
    version: int
    channels_last: bool = False

    @property
    def key(self) -> tuple[int, int]:
        return id(self.tensor), self.version


@dataclass
class Probe:
    """Everything that one forward pass tells about the layers of a network, in order of completion."""

    input_size: tuple[int, int]
    logits: Tensor
    outputs: list[_Output] = field(default_factory=list)
    rectified: dict[tuple[int, int], tuple[str, tuple[int, int]]] = field(default_factory=dict)
    functional_relus: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    completed: list[tuple[str, tuple[int, ...] | None]] = field(default_factory=list)

    def groups(self) -> list[list[_Output]]:
        """Outputs that are the same tensor in the same state, in order of first completion."""
        groups: dict[tuple[int, int], list[_Output]] = {}
        for output in self.outputs:
            groups.setdefault(output.key, []).append(output)
        return list(groups.values())


class _Rectifications(TorchDispatchMode):
    """Notes every ReLU or ReLU6 that the network applies, whether by a module or by a plain function call."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[tuple[int, int], tuple[str, tuple[int, int]]] = {}
        self.kept: list[Tensor] = []  # ids stay unique only while the tensors live
        self.inside_module = 0
        self.functional = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name, in_place = _RECTIFYING.get(func, (None, 0))
        if name is None or (name == "relu6" and tuple(args[1:]) != (0.0, 6.0)):
            return func(*args, **(kwargs or {}))
        source = args[0]
        before = id(source), source._version
        result = func(*args, **(kwargs or {}))
        after = (id(source), before[1] + 1) if in_place else (id(result), result._version)
        self.kept += [source, result]
        self.seen[before] = name, after
        self.functional += not self.inside_module
        return result


def _applies_over_last_axis(module: nn.Module, tensor: Tensor) -> bool:
    """True when the module is a LayerNorm or Linear that treats the last axis of a 4-D tensor as channels."""
    if isinstance(module, nn.LayerNorm) and not type(module).__name__.endswith("2d"):
        return tuple(module.normalized_shape) == (tensor.shape[-1],)
    return isinstance(module, nn.Linear) and module.in_features == tensor.shape[-1]


@contextmanager
def _recording(module: nn.Module, probe: Probe, mode: _Rectifications) -> Iterator[None]:
    """Hook every submodule for the length of the block; hooks never outlive it."""
    handles = []
    consumers: list[tuple[nn.Module, Tensor]] = []

    def before(name: str):
        def hook(child: nn.Module, args: tuple) -> None:
            mode.inside_module += isinstance(child, RECTIFIERS)
            if args and isinstance(args[0], Tensor) and args[0].dim() == 4:
                consumers.append((child, args[0]))

        return hook

    def after(name: str):
        def hook(child: nn.Module, args: tuple, output: object) -> None:
            mode.inside_module -= isinstance(child, RECTIFIERS)
            probe.calls[name] = call = probe.calls.get(name, 0) + 1
            is_map = isinstance(output, Tensor) and output.is_floating_point() and output.dim() > 0
            probe.completed.append((name, tuple(output.shape) if is_map else None))
            if isinstance(output, Tensor):
                probe.outputs.append(_Output(name, call, child, output, output._version))
            else:
                probe.others[name] = f"a {type(output).__name__}"

        return hook

    try:
        for name, child in module.named_modules():
            if name:
                handles += [
                    child.register_forward_pre_hook(before(name)),
                    child.register_forward_hook(after(name)),
                ]
        yield
        last_axis = {id(t) for m, t in consumers if _applies_over_last_axis(m, t)}
        for output in probe.outputs:
            output.channels_last = output.tensor.dim() == 4 and (
                id(output.tensor) in last_axis or _applies_over_last_axis(output.module, output.tensor)
            )
    finally:
        for handle in handles:
            handle.remove()


def probe(module: nn.Module, inputs: Tensor) -> Probe:
    """Run ``module`` once on ``inputs`` [1, C, H, W] and note what every submodule returned.

    The module must already be in eval mode. Outputs are held only as long as the returned object lives.
    """
    result = Probe(tuple(inputs.shape[-2:]), torch.empty(0))
    mode = _Rectifications()
    with torch.no_grad(), _recording(module, result, mode), mode:
        result.logits = module(inputs)
    result.rectified, result.functional_relus = mode.seen, mode.functional
    return result


def _grid(tokens: int, probe: Probe) -> tuple[int, int, int] | None:
    """(prefix, h, w) of a token sequence: a grid that the network had as a 4-D map, after at most 8 class tokens."""
    maps = {tuple(o.tensor.shape[-2:]) for o in probe.outputs if o.tensor.dim() == 4 and not o.channels_last}
    for prefix in range(9):
        for h, w in sorted(maps, reverse=True):
            if h * w == tokens - prefix and h * w > 1 and _proportional(h, w, probe):
                return prefix, h, w
    return None


def _proportional(h: int, w: int, probe: Probe) -> bool:
    """A feature map keeps the aspect ratio of the input, up to a rounding of one cell."""
    height, width = probe.input_size
    return abs(h - w * height / width) <= max(1.0, 0.15 * h)


def _label(output: _Output, probe: Probe) -> str:
    """The module's name, with the number of the call where it runs more than once in a pass."""
    return output.name if probe.calls[output.name] == 1 else f"{output.name}:{output.call}"


def _read(output: _Output, probe: Probe) -> Layer | None:
    """The layer behind one output, or None when it is not a spatial map of this batch."""
    shape = tuple(output.tensor.shape)
    if not output.tensor.is_floating_point() or shape[:1] != (1,):
        return None
    base = {"name": _label(output, probe), "module": output.name, "call": output.call}
    if len(shape) == 4:
        kind = "channels-last map" if output.channels_last else "map"
        h, w, k = shape[1:] if output.channels_last else (*shape[2:], shape[1])
        if h * w > 1 and _proportional(h, w, probe):
            return Layer(kind=kind, channels=k, height=h, width=w, **base)
    elif len(shape) == 3 and (grid := _grid(shape[1], probe)):
        prefix, h, w = grid
        return Layer(kind="tokens", channels=shape[2], height=h, width=w, prefix=prefix, **base)
    return None


def _outermost(group: list[_Output]) -> _Output:
    return min(group, key=lambda output: output.name.count("."))


def _is_pool(group: list[_Output]) -> bool:
    """Pooling belongs to the head: it is what the class activation weight is defined behind."""
    return any(
        isinstance(o.module, _POOLS)
        or ("pool" in type(o.module).__name__.lower() and next(o.module.parameters(), None) is None)
        for o in group
    )


def _is_class_map(group: list[_Output], logits: Tensor) -> bool:
    """True for maps whose spatial means already are the logits (SqueezeNet's last convolution)."""
    maps = group[0].tensor
    if maps.dim() != 4 or logits.dim() != 2 or maps.shape[1] != logits.shape[1]:
        return False
    scale = logits.abs().max().clamp(min=1e-12) * 1e-3
    means = (maps.mean(dim=(2, 3)), maps.relu().mean(dim=(2, 3)))
    return any(bool(((mean - logits).abs() <= scale).all()) for mean in means)


def _note(group: list[_Output], probe: Probe) -> str:
    name, result = probe.rectified.get(group[0].key, ("", None))
    if not name:
        return ""
    in_place = " in-place" if result[0] == group[0].key[0] else ""
    return f"before the{in_place} {name.upper().replace('RELU', 'ReLU')}"


def _variants(group: list[_Output], probe: Probe, module_keys: set[tuple[int, int]]) -> list[Layer]:
    """The layer of a group, followed by its rectified form where only a function call makes that."""
    first = _outermost(group)
    layer = _read(first, probe)
    if layer is None:
        return []
    aliases = tuple(_label(o, probe) for o in group if o is not first)
    layers = [replace(layer, aliases=aliases, note=_note(group, probe))]
    name, result = probe.rectified.get(first.key, ("", None))
    if name and result not in module_keys:
        layers.append(replace(layer, name=f"{layer.name}+{name}", rectifier=name, note="rectified by a function call"))
    return layers


def layers_of(probe: Probe) -> list[Layer]:
    """Every spatial layer in the order in which the network computes them."""
    keys = {output.key for output in probe.outputs}
    return [layer for group in probe.groups() for layer in _variants(group, probe, keys)]


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


@contextmanager
def replacing_output(module: nn.Module, layer: Layer, replacement: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside the block the layer's output passes through ``replacement``; the hook is always removed.

    A layer that is the result of a rectifying function call is replaced behind that call: in front of it the
    derivative of the ReLU would cut the gradient wherever the rectified map is zero.
    """
    calls = 0
    rectification = _ReplacingRectification(replacement) if layer.rectifier else None

    def hook(_module: nn.Module, _args: tuple, _kwargs: dict, output: Tensor) -> Tensor | None:
        nonlocal calls
        calls += 1
        if calls != layer.call:
            return None
        if rectification:
            rectification.expect(output)
            return None
        return replacement(output)

    handle = module.get_submodule(layer.module).register_forward_hook(hook, with_kwargs=True)
    try:
        with rectification or nullcontext():
            yield
    finally:
        handle.remove()


class _ReplacingRectification(TorchFunctionMode):
    """Passes the result of one ReLU function call, the one on the expected tensor, through ``replacement``."""

    _names = ("relu", "relu_", "relu6", "relu6_", "hardtanh", "hardtanh_")

    def __init__(self, replacement: Callable[[Tensor], Tensor | None]) -> None:
        super().__init__()
        self.replacement = replacement
        self.source: Tensor | None = None
        self.version = 0

    def expect(self, source: Tensor) -> None:
        """Wait for a ReLU of this tensor in the state it has now."""
        self.source, self.version = source, source._version

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        source = self.source
        if (
            source is None
            or getattr(func, "__name__", "") not in self._names
            or (args[0] if args else kwargs.get("input")) is not source
            or source._version != self.version
        ):
            return func(*args, **kwargs)
        self.source = None
        result = func(*args, **kwargs)
        replaced = self.replacement(result)
        if replaced is None or result is not source:
            return result if replaced is None else replaced
        return source.copy_(replaced)  # in-place: the network may go on with either of the two names


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
            candidates += reversed(_variants(group, probe, keys))
    if candidates and candidates[0].kind == "tokens":
        tokens = [layer for layer in candidates if layer.kind == "tokens"]
        tokens = [layer for layer in tokens if layer.size == tokens[0].size]  # the last stage
        widths = [layer.channels for layer in tokens]  # the residual stream, not the wider inside of a block
        tokens = [layer for layer in tokens if layer.channels == mode(widths)][:24]
        alive = _patch_tokens_matter(module, inputs, tokens)
        return next((layer for layer in tokens if layer.name in alive), None)
    passed = (layer for layer in candidates if _everything_passes(module, inputs, layer, probe.logits))
    return next(passed, candidates[0] if candidates else None)


def split_name(name: str) -> tuple[str, int, str]:
    """Split ``module[:call][+relu]`` into (module, call, rectifier); call 0 means that none was named."""
    rest, _, rectifier = name.partition("+")
    base, _, call = rest.partition(":")
    return base, int(call) if call.isdigit() else 0, rectifier
