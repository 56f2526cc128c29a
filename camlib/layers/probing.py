"""One probing pass: what every module of a network returns, and which of these tensors are feature maps.

Modules that return the very same tensor (``layer4``, ``layer4.1``, ``layer4.1.relu``) are one layer with several
names; a tensor that a later in-place ReLU overwrites is told apart from the result by its version counter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from camlib.layers.layer import Layer

RECTIFIERS = (nn.ReLU, nn.ReLU6)
_RECTIFYING = {  # operation -> (name, whether it works in place)
    torch.ops.aten.relu.default: ("relu", 0),
    torch.ops.aten.relu_.default: ("relu", 1),
    torch.ops.aten.hardtanh.default: ("relu6", 0),
    torch.ops.aten.hardtanh_.default: ("relu6", 1),
}


@dataclass
class Output:
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
    outputs: list[Output] = field(default_factory=list)
    rectified: dict[tuple[int, int], tuple[str, tuple[int, int]]] = field(default_factory=dict)
    functional_relus: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    completed: list[tuple[str, tuple[int, ...] | None]] = field(default_factory=list)

    def groups(self) -> list[list[Output]]:
        """Outputs that are the same tensor in the same state, in order of first completion."""
        groups: dict[tuple[int, int], list[Output]] = {}
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
                probe.outputs.append(Output(name, call, child, output, output._version))
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


def _label(output: Output, probe: Probe) -> str:
    """The module's name, with the number of the call where it runs more than once in a pass."""
    return output.name if probe.calls[output.name] == 1 else f"{output.name}:{output.call}"


def _read(output: Output, probe: Probe) -> Layer | None:
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


def _outermost(group: list[Output]) -> Output:
    return min(group, key=lambda output: output.name.count("."))


def _note(group: list[Output], probe: Probe) -> str:
    name, result = probe.rectified.get(group[0].key, ("", None))
    if not name:
        return ""
    in_place = " in-place" if result[0] == group[0].key[0] else ""
    return f"before the{in_place} {name.upper().replace('RELU', 'ReLU')}"


def variants(group: list[Output], probe: Probe, module_keys: set[tuple[int, int]]) -> list[Layer]:
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
    return [layer for group in probe.groups() for layer in variants(group, probe, keys)]
