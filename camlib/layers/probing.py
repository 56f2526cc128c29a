"""One probing pass: what every module of a network returns.

Modules that return the very same tensor (``layer4``, ``layer4.1``, ``layer4.1.relu``) are one layer with several
names; a tensor that a later in-place ReLU overwrites is told apart from the result by its version counter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from camlib.layers.locating import Run

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
    """Everything that one forward pass tells about the layers of a network, in order of completion.

    ``returned`` are the tensors in what the network itself returns, however they are nested.
    """

    input_size: tuple[int, ...]
    logits: Tensor
    outputs: list[Output] = field(default_factory=list)
    rectified: dict[tuple[int, int], tuple[str, tuple[int, int]]] = field(default_factory=dict)
    functional_relus: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    completed: list[tuple[str, tuple[int, ...] | None]] = field(default_factory=list)
    returned: list[Tensor] = field(default_factory=list)

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
        before = id(source), version_of(source)
        result = func(*args, **(kwargs or {}))
        after = (id(source), before[1] + 1) if in_place else (id(result), version_of(result))
        self.kept += [source, result]
        self.seen[before] = name, after
        self.functional += not self.inside_module
        return result


def tensors_in(output: object) -> Iterator[Tensor]:
    """The tensors of an output: itself, or those in its tuples, lists and dictionaries."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, dict | list | tuple):
        for part in output.values() if isinstance(output, dict) else output:
            yield from tensors_in(part)


def is_numbers(tensor: Tensor) -> bool:
    """Whether a tensor holds what feature maps hold; quantized tensors stand for such numbers."""
    return tensor.is_floating_point() or tensor.is_quantized


def version_of(tensor: Tensor) -> int:
    """How often a tensor was changed in place; 0 for those of inference mode, which do not count."""
    return 0 if tensor.is_inference() else tensor._version


def _applies_over_last_axis(module: nn.Module, tensor: Tensor) -> bool:
    """True when the module is a LayerNorm or Linear that treats the last axis of a tensor as channels."""
    if isinstance(module, nn.LayerNorm) and not type(module).__name__.endswith("2d"):
        return tuple(module.normalized_shape) == (tensor.shape[-1],)
    return isinstance(module, nn.Linear) and module.in_features == tensor.shape[-1]


@contextmanager
def _recording(module: nn.Module, probe: Probe, mode: _Rectifications) -> Iterator[None]:
    """Hook every submodule for the length of the block; hooks never outlive it."""
    handles, dims = [], len(probe.input_size) + 2
    consumers: list[tuple[nn.Module, Tensor]] = []

    def before(name: str):
        def hook(child: nn.Module, args: tuple) -> None:
            mode.inside_module += isinstance(child, RECTIFIERS)
            if args and isinstance(args[0], Tensor) and args[0].dim() == dims:
                consumers.append((child, args[0]))

        return hook

    def after(name: str):
        def hook(child: nn.Module, args: tuple, output: object) -> None:
            mode.inside_module -= isinstance(child, RECTIFIERS)
            probe.calls[name] = call = probe.calls.get(name, 0) + 1
            is_map = isinstance(output, Tensor) and is_numbers(output) and output.dim() > 0
            probe.completed.append((name, tuple(output.shape) if is_map else None))
            if isinstance(output, Tensor):
                probe.outputs.append(Output(name, call, child, output, version_of(output)))
            else:
                probe.others[name] = f"a {type(output).__name__}"

        return hook

    try:
        handles.append(module.register_forward_hook(lambda _, __, output: probe.returned.extend(tensors_in(output))))
        for name, child in module.named_modules():
            if name:
                handles += [
                    child.register_forward_pre_hook(before(name)),
                    child.register_forward_hook(after(name)),
                ]
        yield
        last_axis = {id(t) for m, t in consumers if _applies_over_last_axis(m, t)}
        for output in probe.outputs:
            output.channels_last = output.tensor.dim() == dims and (
                id(output.tensor) in last_axis or _applies_over_last_axis(output.module, output.tensor)
            )
    finally:
        for handle in handles:
            handle.remove()


def probe(run: Run, module: nn.Module, inputs: Tensor) -> Probe:
    """Run ``module`` once on ``inputs`` [1, C, *space] and note what every submodule returned.

    The module must already be in eval mode. Outputs are held only as long as the returned object lives.
    """
    result = Probe(tuple(inputs.shape[2:]), torch.empty(0))
    mode = _Rectifications()
    with torch.no_grad(), _recording(module, result, mode), mode:
        result.logits = run(module, inputs)
    result.rectified, result.functional_relus = mode.seen, mode.functional
    return result
