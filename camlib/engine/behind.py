"""Recording a graph behind a layer although the network's own code forbids it.

A frozen backbone runs in ``torch.no_grad()``, or its result is detached, or a block is checkpointed: all of this cuts
the graph between the layer and the logits. The layer's maps are camlib's own leaf, the function behind them is the same
with and without these, and its gradient exists.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import checkpoint

_patching = threading.RLock()


class KeepingGraph(TorchFunctionMode):
    """From :meth:`start` to the end of the block gradients stay on, and ``detach`` gives the tensor itself."""

    def __init__(self) -> None:
        super().__init__()
        self.started = False

    def start(self) -> None:
        """The leaf is made: everything from here on is recorded."""
        self.started = True

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self.started:
            if func is torch._C._set_grad_enabled:
                return func(True)
            if func in (Tensor.detach, torch.detach, Tensor.data.__get__):
                return args[0].view_as(args[0])
            if func is Tensor.detach_:
                return args[0]
        return func(*args, **kwargs)


@contextmanager
def without_checkpoints() -> Iterator[None]:
    """Inside the block this thread's reentrant checkpoints run their function plainly; other threads notice nothing.

    They run it without gradients and again in the backward pass, which allows no gradient of a single tensor.
    """
    own, theirs = threading.get_ident(), checkpoint.CheckpointFunction

    def apply(function, preserve_rng_state, *args):
        return function(*args) if threading.get_ident() == own else theirs.apply(function, preserve_rng_state, *args)

    with _patching:
        checkpoint.CheckpointFunction = SimpleNamespace(apply=apply)
        try:
            yield
        finally:
            checkpoint.CheckpointFunction = theirs
