"""A private copy of a classifier for many forward passes: Conv+BatchNorm folded, activations fused, channels-last.

The caller's module is never touched: the copy shares its tensors until one of them has to change. Folding is found by
running one picture, not by module types: a convolution whose output goes into a BatchNorm takes it over if the folded
convolution reproduces the BatchNorm's output. Subclasses of ``Conv2d`` (EfficientNet-Lite's, with its own padding)
therefore fold as well, and whatever cannot be folded stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from camlib.engine.fusing import FusedConv, fuse
from camlib.layers import Run, structural_copy

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Largest deviation of logits, relative to the largest logit, that still counts as the same network."""
_HALF_TOLERANCE = 5e-2


@dataclass(frozen=True)
class FastCopy:
    """A copy of a classifier that computes the same logits faster.

    Attributes:
        module: the copy, in eval mode; the caller's own module where no copy could be made or agreed.
        norms: BatchNorms that ran, ``folded``: those of them that a convolution took over.
        fused: convolutions that run through :class:`camlib.engine.fusing.FusedConv`.
        memory_format: format in which it wants its inputs.
        widest: bytes of the largest tensor that one picture makes on its way.
        own: bytes of weights that it does not share with the caller's module.
        error: largest deviation of its logits from the original's, relative to the largest logit.
    """

    module: nn.Module
    norms: int
    folded: int
    fused: int
    memory_format: torch.memory_format
    widest: int
    own: int
    error: float


class WidestTensor(TorchDispatchMode):
    """Inside the block notes the bytes of the largest tensor that any operation makes; views make nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        known = {tensor.untyped_storage().data_ptr() for tensor in args if _has_storage(tensor)}
        for made in result if isinstance(result, tuple | list) else (result,):
            if _has_storage(made) and made.untyped_storage().data_ptr() not in known:
                self.bytes = max(self.bytes, made.numel() * made.element_size())
        return result


def _has_storage(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided


def plain(module: nn.Module, pictures: Tensor) -> Tensor:
    """The logits of a module that takes a batch and nothing else."""
    return module(pictures)


def fast_copy(
    module: nn.Module,
    inputs: Tensor,
    expected: Tensor,
    dtype: torch.dtype | None = None,
    keep: Collection[str] = (),
    fused: bool = True,
    run: Run = plain,
) -> FastCopy:
    """The fastest copy that reproduces the logits: folded, fused and channels-last, or less of it where that fails.

    Args:
        module: the classifier; nothing in it is changed.
        inputs: ready pictures [n, C, *space] on the module's device, in its type. The first one is watched on its way;
            the copy is proven on all of them.
        expected: the module's logits for them, [n, classes]; NaN where the module itself gives NaN.
        dtype: type of the copy; None keeps the module's own.
        keep: names of modules whose outputs must stay what they are (a layer that is going to be read).
        fused: whether convolutions may apply their activations themselves (on a CPU, see :mod:`camlib.engine.fusing`).
        run: how the module is called.

    Returns:
        The :class:`FastCopy`. Folding is exact up to rounding; a copy whose logits deviate by more than
        :data:`TOLERANCE` is given up, in the end for a copy of the structure alone.
    """
    dtype = dtype or inputs.dtype
    formats = [torch.channels_last, torch.contiguous_format] if inputs.dim() == 4 else [torch.contiguous_format]
    plans = [(True, True, formats[0])] if fused else []
    plans += [(True, False, formats[0]), *((False, False, memory_format) for memory_format in formats)]
    for plan in plans:
        try:
            made = _attempt(module, inputs, expected, dtype, keep, run, *plan)
        except Exception:
            continue  # a copy is never a must: the next one is plainer
        if made.error <= tolerance(dtype):
            return made
    return _measured(run, structural_copy(module), inputs, expected, (0, 0, 0), 0, torch.contiguous_format)


def tolerance(dtype: torch.dtype) -> float:
    """Relative deviation of logits up to which two computations in this type count as the same."""
    return TOLERANCE.get(dtype, _HALF_TOLERANCE)


def _attempt(
    module: nn.Module,
    inputs: Tensor,
    expected: Tensor,
    dtype: torch.dtype,
    keep: Collection[str],
    run: Run,
    fold: bool,
    fusing: bool,
    memory_format: torch.memory_format,
) -> FastCopy:
    twin = structural_copy(module)
    shared = [*twin.parameters(), *twin.buffers()]
    norms, folded = _fold(run, twin, inputs[:1], keep) if fold else (0, 0)
    if dtype != inputs.dtype:
        _convert(twin, dtype)
    ready = inputs.to(dtype).contiguous(memory_format=memory_format)
    fused = fuse(run, twin, ready[:1], keep, shared) if fusing else 0
    return _measured(run, twin, ready, expected, (norms, folded, fused), _own_bytes(twin, shared), memory_format)


def _measured(
    run: Run,
    twin: nn.Module,
    inputs: Tensor,
    expected: Tensor,
    counts: tuple[int, int, int],
    own: int,
    memory_format: torch.memory_format,
) -> FastCopy:
    with torch.no_grad():  # on copies of the pictures: some networks write into their input
        with WidestTensor() as widest:
            run(twin, inputs[:1].clone(memory_format=memory_format))
        found = run(twin, inputs.clone(memory_format=memory_format))
    return FastCopy(twin, *counts, memory_format, widest.bytes, own, relative_error(found, expected))


def _own_bytes(twin: nn.Module, shared: Collection[Tensor]) -> int:
    known = {id(tensor) for tensor in shared}
    tensors = sum(p.nbytes for p in [*twin.parameters(), *twin.buffers()] if id(p) not in known)
    return tensors + sum(child.own_bytes for child in twin.modules() if isinstance(child, FusedConv))


def relative_error(logits: Tensor, expected: Tensor) -> float:
    """Largest deviation of logits, relative to the largest expected one; infinite where only one of them is finite."""
    finite = expected.isfinite()
    if not torch.equal(finite, logits.isfinite()):
        return torch.inf
    if not bool(finite.any()):
        return 0.0
    scale = expected[finite].abs().max().clamp(min=1e-12)
    return float((logits.to(expected) - expected)[finite].abs().max() / scale)


def _fold(run: Run, twin: nn.Module, inputs: Tensor, keep: Collection[str]) -> tuple[int, int]:
    """Fold what can be folded in the copy; (BatchNorms that ran, BatchNorms folded)."""
    finder = _PairFinder(twin, keep)
    if not finder.norms:
        return 0, 0
    with torch.no_grad(), finder:
        run(twin, inputs.clone())
    for conv, norm in finder.pairs():
        weight, bias = folded_parameters(finder.modules[conv], finder.modules[norm])
        finder.modules[conv].weight = nn.Parameter(weight, requires_grad=False)
        finder.modules[conv].bias = nn.Parameter(bias, requires_grad=False)
        twin.set_submodule(norm, _rest_of(finder.modules[norm]))
    return len(finder.ran), len(finder.pairs())


def folded_parameters(conv: nn.Conv2d, norm: nn.modules.batchnorm._BatchNorm) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution that equals ``norm(conv(x))`` in eval mode; computed in float64."""
    with torch.no_grad():
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        scale = scale if norm.weight is None else scale * norm.weight.double()
        shift = 0.0 if norm.bias is None else norm.bias.double()
        start = 0.0 if conv.bias is None else conv.bias.double()
        bias = (start - norm.running_mean.double()) * scale + shift
        weight = conv.weight.double() * scale.view(-1, 1, 1, 1)
        return weight.to(conv.weight), bias.to(conv.weight)


def _rest_of(norm: nn.Module) -> nn.Module:
    """What stays of a folded BatchNorm: nothing, or the activation that timm builds into it."""
    return nn.Identity() if type(norm) is nn.BatchNorm2d else nn.Sequential(norm.drop, norm.act)


def _foldable(norm: nn.Module) -> bool:
    known = type(norm) is nn.BatchNorm2d or all(hasattr(norm, part) for part in ("drop", "act"))
    return known and norm.running_mean is not None


class _PairFinder(ExitStack):
    """Watches one pass and finds (convolution, BatchNorm) pairs that one convolution reproduces."""

    def __init__(self, twin: nn.Module, keep: Collection[str]) -> None:
        super().__init__()
        self.modules = dict(twin.named_modules())
        self.keep = keep
        self.norms = [n for n, m in self.modules.items() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        self.calls: dict[str, int] = {}
        self.ran: set[str] = set()
        self._last: tuple[str, Tensor, Tensor] | None = None  # convolution, its input, its output
        self._found: dict[str, str] = {}  # BatchNorm -> convolution

    def __enter__(self) -> _PairFinder:
        for name, child in self.modules.items():
            if isinstance(child, nn.Conv2d):
                self.callback(child.register_forward_hook(self._after_conv(name)).remove)
            elif name in self.norms:
                self.callback(child.register_forward_hook(self._after_norm(name)).remove)
        return self

    def pairs(self) -> list[tuple[str, str]]:
        """(convolution, BatchNorm) where each ran once in the pass."""
        return [(c, n) for n, c in self._found.items() if self.calls[c] == self.calls[n] == 1]

    def _after_conv(self, name: str):
        def hook(conv: nn.Conv2d, args: tuple, output: Tensor) -> None:
            self.calls[name] = self.calls.get(name, 0) + 1
            self._last = name, args[0], output

        return hook

    def _after_norm(self, name: str):
        def hook(norm: nn.Module, args: tuple, output: Tensor) -> None:
            self.calls[name] = self.calls.get(name, 0) + 1
            self.ran.add(name)
            last, self._last = self._last, None
            if last is None or args[0] is not last[2] or last[0] in self.keep or not _foldable(norm):
                return
            if self._reproduced(last[0], norm, last[1], output):
                self._found[name] = last[0]

        return hook

    def _reproduced(self, conv_name: str, norm: nn.Module, inputs: Tensor, output: Tensor) -> bool:
        conv = self.modules[conv_name]
        if "weight" not in conv._parameters or conv.out_channels != norm.num_features:
            return False  # a parametrized weight, or a normalization of something else
        single = copy.copy(conv)  # its own table of parameters, the same everything else
        single._parameters, single._forward_hooks = dict(conv._parameters), {}
        weight, bias = folded_parameters(conv, norm)
        single._parameters |= {"weight": weight, "bias": bias}
        found = _rest_of(norm)(single(inputs))
        return bool((found - output).abs().max() <= tolerance(output.dtype) * output.abs().max().clamp(min=1e-6))


def _convert(twin: nn.Module, dtype: torch.dtype) -> None:
    """Give the copy its own tensors in another type; the shared ones stay as they are."""
    for child in twin.modules():
        for name, parameter in child._parameters.items():
            if parameter is not None and parameter.is_floating_point():
                child._parameters[name] = nn.Parameter(parameter.detach().to(dtype), requires_grad=False)
        for name, buffer in child._buffers.items():
            if buffer is not None and buffer.is_floating_point():
                child._buffers[name] = buffer.to(dtype)
