"""A module that stands ready to run on pictures of one size, in the place of the caller's."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from camlib.layers import Survey, Twin
from camlib.networks.calling import Runner


class Stand:
    """Keeps the twin of a module, and makes another one as soon as the caller's module is no longer the same.

    All networks that share settings of one module (another input size, other arguments) share its stand.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._lock = threading.Lock()
        self._twin: Twin | None = None
        self._private: set[int] = set()

    def twin(self) -> Twin:
        """The twin of the module as it is now."""
        with self._lock:
            if self._twin is None or not self._twin.is_current():
                self._private = set()
                self._twin = Twin(self.module)
            return self._twin

    def twin_with_private(self, tensors: Collection[int]) -> Twin:
        """Another twin that does not share these tensors of the caller's, because a pass would write into them.

        Where it is a buffer, other passes write into other buffers: all of them become private.
        """
        with self._lock:
            buffers = {id(buffer) for buffer in self.module.buffers()}
            self._private |= set(tensors) | (buffers if buffers & set(tensors) else set())
            self._twin = Twin(self.module, self._private)
            return self._twin

    def __getstate__(self) -> dict:
        return {"module": self.module}

    def __setstate__(self, state: dict) -> None:
        self.__init__(state["module"])


@dataclass(frozen=True, eq=False)
class Ready:
    """A network ready to run on pictures of one size.

    Attributes:
        twin: what runs in the place of the caller's module.
        run: how it is called with a batch.
        survey: what its first passes found.
    """

    twin: Twin
    run: Runner
    survey: Survey

    @contextmanager
    def held(self) -> Iterator[nn.Module]:
        """The twin's module, for this thread alone: it may be hooked, and every pass of it runs in such a block."""
        with self.twin.lock, torch.inference_mode(False):
            self.twin.refresh()
            yield self.twin.module

    def calls(self, rows: Tensor) -> tuple[Tensor, ...]:
        """The rows of a batch that go into each call of the module: all of them, or one by one."""
        return (rows,) if self.run.together else rows.split(1)

    def copy(self) -> nn.Module:
        """A private copy of the structure, on the same memory, that needs no lock."""
        return self.twin.copy()
