"""How a module is called with a batch of pictures: what it gets beside them, and what of its output is the logits."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from camlib.layers import kept_random_state, tensors_in

Extra = tuple | list | Mapping[str, Any] | None
"""Arguments of a module's forward beside the picture: a tuple behind it, or a dictionary by name."""
Read = Callable[[Any, int], Tensor]
"""From a module's output and the number of pictures to logits [B, classes]."""


@dataclass(frozen=True, eq=False)
class Call:
    """``call(module, pictures)``: one call with constant arguments beside the pictures, and the logits of its output.

    Tensors of shape [1, ...] among the arguments are repeated for each picture of a batch; everything else is passed
    as it is.

    Attributes:
        extra: the arguments; a tuple follows the pictures, a dictionary goes by name.
        keyword: name of the parameter that takes the pictures; "" for the first position.
        read: from the module's output and the number of pictures to logits [B, classes]; None where it returns them.
    """

    extra: Extra = None
    keyword: str = ""
    read: Read | None = None

    def __call__(self, module: nn.Module, pictures: Tensor) -> Any:
        return self.logits(self.output(module, pictures), pictures)

    def output(self, module: nn.Module, pictures: Tensor) -> Any:
        """Whatever the module returns."""
        return module(pictures) if self.extra is None else self._with_extra(module, pictures)

    def logits(self, output: Any, pictures: Tensor) -> Any:
        """The logits in an output; a regression's [B] become [B, 1]."""
        found = output if self.read is None else self.read(output, len(pictures))
        one_each = isinstance(found, Tensor) and found.dim() < 2 and found.numel() == len(pictures)
        return found.reshape(len(pictures), 1) if one_each else found

    def _with_extra(self, module: nn.Module, pictures: Tensor) -> Any:
        if not isinstance(self.extra, Mapping):
            return module(pictures, *(_for_batch(value, pictures) for value in self.extra))
        named = {name: _for_batch(value, pictures) for name, value in self.extra.items()}
        return module(**{self.keyword: pictures}, **named) if self.keyword else module(pictures, **named)

    @property
    def key(self) -> Hashable:
        """What tells calls apart that may find other layers: kinds and shapes of the arguments, the reading."""
        extra = self.extra.items() if isinstance(self.extra, Mapping) else enumerate(self.extra or ())
        return tuple((name, _kind(value)) for name, value in extra), self.read


def everything(output: Any) -> Tensor:
    """One number that depends on all of an output, however it is nested, [1, 1]: for looking at layers."""
    means = [tensor.float().mean().nan_to_num() for tensor in tensors_in(output)]
    return torch.stack(means).sum().reshape(1, 1)


def call_with(module: nn.Module, extra: Extra, read: Read | None = None) -> Call:
    """The :class:`Call` of a module with arguments beside the picture; raises TypeError for another kind of those."""
    if extra is not None and not isinstance(extra, tuple | list | Mapping):
        raise TypeError(
            f"inputs are the arguments of forward beside the picture: a tuple, or a dictionary by name; given "
            f"{type(extra).__name__}."
        )
    return Call(extra, _parameter_left(module, extra) if isinstance(extra, Mapping) else "", read)


def _parameter_left(module: nn.Module, named: Mapping[str, Any]) -> str:
    """The first parameter of forward that is not named, unless it comes first anyway."""
    try:
        names = list(inspect.signature(module.forward).parameters)
    except (TypeError, ValueError):
        return ""
    free = [name for name in names if name not in named]
    return free[0] if free and names[0] != free[0] else ""


def _for_batch(value: Any, pictures: Tensor) -> Any:
    if not isinstance(value, Tensor):
        return value
    value = value.detach().to(pictures.device, pictures.dtype if value.is_floating_point() else None)
    one = value.dim() > 0 and value.shape[0] == 1 and len(pictures) > 1
    return value.expand(len(pictures), *value.shape[1:]) if one else value


def _kind(value: Any) -> Hashable:
    if isinstance(value, Tensor):
        return tuple(value.shape), value.dtype
    return value if isinstance(value, Hashable) else type(value)


@dataclass(frozen=True, eq=False)
class Runner:
    """``run(module, pictures)``: logits of a batch, in as many calls as the network needs.

    Attributes:
        call: how the module is called.
        together: False where every picture runs alone.
        draws: True where a pass draws random numbers; the caller's random state is then put back behind it.
    """

    call: Call
    together: bool = True
    draws: bool = False

    def __call__(self, module: nn.Module, pictures: Tensor) -> Tensor:
        with kept_random_state() if self.draws else nullcontext():
            if self.together or len(pictures) == 1:
                return self.call(module, pictures)
            return torch.cat([self.call(module, picture) for picture in pictures.split(1)])
