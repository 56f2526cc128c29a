"""Convolutions that apply their activation themselves, in oneDNN's own layout of weights: fewer trips through memory.

On a CPU a plain pass writes what a convolution made, reads it back for the ReLU and writes it again. oneDNN, the
library under PyTorch's convolutions, can do both at once; the numbers are the same. Which convolution is followed by
which activation is found by running one picture, as in folding.py, and the logits decide whether it holds.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import conv_flop_count, register_flop_formula

from camlib.layers import Run

_POST_OPS: dict[type[nn.Module], tuple[str, tuple[float, ...]]] = {
    nn.ReLU: ("relu", ()),
    nn.ReLU6: ("hardtanh", (0.0, 6.0)),
    nn.SiLU: ("swish", ()),
    nn.Hardswish: ("hardswish", ()),
}
"""Activations that oneDNN applies to what a convolution made, with its names and numbers for them."""


def fuse(run: Run, twin: nn.Module, inputs: Tensor, keep: Collection[str], shared: Collection[Tensor]) -> int:
    """Let the convolutions of ``twin`` apply the activations that follow them; changes ``twin``.

    Args:
        run: how the copy is called.
        twin: a copy that nobody else uses, in eval mode.
        inputs: one ready picture [1, C, H, W] in the copy's type and memory format.
        keep: names of modules whose outputs must stay what they are.
        shared: tensors of the copy on the caller's memory: they are used, but neither changed nor copied.

    Returns:
        The number of convolutions that were replaced: those with an activation, and those whose weights are the
        copy's own. None outside a CPU with oneDNN, or for types other than float32 and bfloat16.
    """
    if not _available(inputs):
        return 0
    follower = _Follower(twin, keep)
    with torch.no_grad(), follower:
        run(twin, inputs.clone())
    owned = {id(tensor) for tensor in shared}
    replaced = 0
    for name, size in follower.ran_once().items():
        replaced += _replace(twin, name, follower.activation_of.get(name), size, owned)
    return replaced


def _replace(twin: nn.Module, name: str, activation: str | None, size: torch.Size, owned: Collection[int]) -> bool:
    """Put a :class:`FusedConv` in place of one convolution if it gains by it; its old weights are let go at once."""
    conv = twin.get_submodule(name)
    own = id(conv.weight) not in owned
    if activation is None and not own:
        return False
    applied = None if activation is None else twin.get_submodule(activation)
    if applied is not None and not isinstance(applied, Activation):
        applied = Activation(applied)
        twin.set_submodule(activation, applied)
    twin.set_submodule(name, FusedConv(conv, applied and applied.activation, size, own))
    return True


def _available(inputs: Tensor) -> bool:
    usable = inputs.device.type == "cpu" and inputs.dtype in (torch.float32, torch.bfloat16)
    return usable and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


if hasattr(torch.ops.mkldnn, "_convolution_pointwise"):

    @register_flop_formula(torch.ops.mkldnn._convolution_pointwise)
    def _flops(inputs: torch.Size, weight: torch.Size, *_: object, out_shape: torch.Size, **__: object) -> int:
        """Multiplications and additions, for PyTorch's FlopCounterMode: those of the convolution."""
        return conv_flop_count(inputs, weight, out_shape)


class FusedConv(nn.Module):
    """A convolution and the activation behind it in one call of oneDNN.

    With gradients switched on it computes the same with operations that PyTorch can differentiate.

    Args:
        conv: an ``nn.Conv2d`` with zero padding, or timm's ``Conv2dSame``.
        activation: the activation that follows it, or None.
        size: shape of a typical input, [N, C, H, W]; oneDNN chooses its layout of the weights by it.
        own: whether the weights may be kept in that layout alone. Shared ones are used as they are.
    """

    def __init__(self, conv: nn.Conv2d, activation: nn.Module | None, size: torch.Size, own: bool) -> None:
        super().__init__()
        self._same = _is_same(conv)
        self._kernel = conv.kernel_size
        self._padding = [0, 0] if self._same else list(conv.padding)
        self._where = (list(conv.stride), list(conv.dilation), conv.groups)
        self._activation = activation
        self._attribute, numbers = _POST_OPS[type(activation)] if activation is not None else ("none", ())
        self._numbers = list(numbers)
        self._bias = conv.bias
        self._dense: Tensor | None = None if own else conv.weight
        self._weight = self._in_own_layout(conv.weight, size) if own else conv.weight

    @property
    def own_bytes(self) -> int:
        """Bytes of weights that are kept in oneDNN's layout, besides what ``parameters()`` lists."""
        return self._weight.nbytes if self._weight.is_mkldnn else 0

    def _in_own_layout(self, weight: Tensor, size: torch.Size) -> Tensor:
        size = self._padded(torch.empty(size, device="meta")).shape
        return torch._C._nn.mkldnn_reorder_conv2d_weight(
            weight.detach().to_mkldnn(), self._padding, *self._where, list(size)
        )

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return self._differentiable(x)
        made = self._shifted(x) if self._same and self._may_shift(x) else self._run(self._padded(x), self._padding)
        made.activated = self._activation is not None
        return made

    def _run(self, x: Tensor, padding: list[int]) -> Tensor:
        return torch.ops.mkldnn._convolution_pointwise(
            x, self._weight, self._bias, padding, *self._where, self._attribute, self._numbers, ""
        )

    def _padded(self, x: Tensor) -> Tensor:
        return sys.modules["timm.layers"].pad_same(x, self._kernel, *self._where[:2]) if self._same else x

    def _may_shift(self, x: Tensor) -> bool:
        """Whether the larger side of an uneven padding is behind in both directions, and the output is the smaller."""
        stride, dilation, _ = self._where
        uneven = all(
            step == 2 and spread == 1 and kernel % 2 == 1 and kernel > 1 and side % 2 == 0
            for side, kernel, step, spread in zip(x.shape[-2:], self._kernel, stride, dilation, strict=True)
        )
        return uneven and self._weight.shape[0] < 4 * x.shape[1]

    def _shifted(self, x: Tensor) -> Tensor:
        """Padding of (p, p + 1) without a padded copy: p + 2 on both sides, and the first output left out."""
        made = self._run(x, [(kernel - 3) // 2 + 2 for kernel in self._kernel])
        height, width = (side // 2 for side in x.shape[-2:])
        cut = made[..., 1 : 1 + height, 1 : 1 + width]
        return cut.contiguous(memory_format=torch.channels_last)

    def _differentiable(self, x: Tensor) -> Tensor:
        if self._dense is None:
            self._dense = self._weight.to_dense()
        stride, dilation, groups = self._where
        return functional.conv2d(self._padded(x), self._dense, self._bias, stride, self._padding, dilation, groups)


class Activation(nn.Module):
    """An activation that leaves a tensor alone to which a :class:`FusedConv` has just applied it."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        if getattr(x, "activated", False):
            x.activated = False  # an in-place operation may change it before the next activation
            return x
        return self.activation(x)


class _Follower(ExitStack):
    """Watches one pass and finds the activation that reads what a convolution made, before anything else does."""

    def __init__(self, twin: nn.Module, keep: Collection[str]) -> None:
        super().__init__()
        self.twin = twin
        self.keep = keep
        self.activation_of: dict[str, str] = {}  # convolution -> activation
        self._sizes: dict[str, list[torch.Size]] = {}
        self._last: tuple[str, Tensor, int] | None = None  # convolution, its output, its count of changes in place

    def __enter__(self) -> _Follower:
        for name, child in self.twin.named_modules():
            if _known(child) and name not in self.keep:
                self.callback(child.register_forward_hook(self._after_conv(name)).remove)
            elif type(child) in _POST_OPS:
                self.callback(child.register_forward_pre_hook(self._before_activation(name)).remove)
            elif name in self.keep:
                self.callback(child.register_forward_hook(self._after_kept).remove)
        return self

    def ran_once(self) -> dict[str, torch.Size]:
        """Names of the convolutions that ran exactly once, with the shape of their input."""
        return {name: sizes[0] for name, sizes in self._sizes.items() if len(sizes) == 1}

    def _after_conv(self, name: str):
        def hook(_conv: nn.Module, args: tuple, output: Tensor) -> None:
            self._sizes.setdefault(name, []).append(args[0].shape)
            self._last = name, output, output._version

        return hook

    def _before_activation(self, name: str):
        def hook(_activation: nn.Module, args: tuple) -> None:
            last, self._last = self._last, None
            if last is not None and args[0] is last[1] and last[1]._version == last[2]:
                self.activation_of[last[0]] = name

        return hook

    def _after_kept(self, _module: nn.Module, _args: tuple, output: object) -> None:
        if self._last is not None and output is self._last[1]:
            self._last = None  # somebody reads it here, before the activation


def _known(module: nn.Module) -> bool:
    plain = type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    parametrized = "weight" not in module._parameters
    return (plain or _is_same(module)) and not parametrized and not module._forward_hooks


def _is_same(module: nn.Module) -> bool:
    """Whether it is timm's Conv2dSame: never before timm is imported, which takes longer than all of the engine."""
    layers = sys.modules.get("timm.layers")
    return layers is not None and type(module) is layers.Conv2dSame
