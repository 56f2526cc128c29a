"""A private twin of anybody's module: the same computation on the same memory, and none of the caller's objects.

Explaining needs hooks, eval mode and now and then another ``forward``. All of that happens to the twin, so that nothing
of the caller's module changes, not for a moment and in no thread: others may predict and train with it meanwhile.
"""

from __future__ import annotations

import itertools
import operator
import threading
from collections.abc import Collection, Hashable
from typing import Any

import torch
from torch import Tensor, nn

from camlib.layers.copying import Copier, structural_copy
from camlib.layers.parts import has_own_eval


class Twin:
    """The twin of a module, in eval mode, and whether it still is one.

    Args:
        module: the caller's module. ``torch.compile``, ``DataParallel`` and ``DistributedDataParallel`` are taken off,
            at the top and inside: the twin is the eager module on one device.
        private: ids of tensors of the caller's that the twin must not share, because a pass writes into them.

    Attributes:
        module: the copy.
        lock: held by whoever runs the twin, hooks it or replaces a ``forward`` in it.
        surveys, notes: what was found out about it; they go when the twin goes.
    """

    def __init__(self, module: nn.Module, private: Collection[int] = ()) -> None:
        self.lock = threading.RLock()
        self.surveys: dict[Hashable, Any] = {}
        self.notes: dict[Hashable, Any] = {}
        self._copier = Copier(module, private)
        self._watch = _Watch(self._copier)
        self.module: nn.Module = self._copier.root

    def is_current(self) -> bool:
        """Whether the caller's module still is what was copied: children, tensors, memory, hooks, settings.

        Its train or eval mode does not matter.
        """
        return self._watch.holds()

    def refresh(self) -> None:
        """Bring the tensors that are not shared back to the values that the caller's have now."""
        if self._copier.private:
            with torch.inference_mode(False), torch.no_grad():
                for original, own in self._copier.private.values():
                    own.copy_(original)

    def copy(self) -> nn.Module:
        """A copy of the twin that may be run and changed without a lock; tensors that passes write into are its own."""
        with self.lock:
            self.refresh()
            own = [id(tensor) for _, tensor in self._copier.private.values()]
            return structural_copy(self.module, own)

    def name_of(self, original: nn.Module) -> str | None:
        """Name of the twin's module in the place of one of the caller's; None for one that is not part of it."""
        counterpart = self.counterpart(original)
        return next((name for name, child in self.module.named_modules() if child is counterpart), None)

    def counterpart(self, original: nn.Module) -> nn.Module | None:
        """The twin's module in the place of one of the caller's; None for a module that is not part of it."""
        return self._copier.counterpart(original)

    def shared_memory(self) -> dict[int, list[int]]:
        """Address of each piece of memory that belongs to the caller -> ids of the caller's tensors in it."""
        found: dict[int, list[int]] = {}
        for original, view in self._copier.shared.values():
            if (address := address_of(view)) is not None:
                found.setdefault(address, []).append(id(original))
        return found


def address_of(tensor: Tensor) -> int | None:
    """Where a tensor's memory begins; None for tensors without any (meta, sparse, quantized, fake, empty)."""
    try:
        return tensor.untyped_storage().data_ptr() or None
    except (RuntimeError, NotImplementedError):
        return None


class _Watch:
    """Whether the caller's containers still hold the very objects, and its tensors the very memory, that were copied.

    The comparisons run in C: a fifth of a millisecond for EfficientNet-Lite0.
    """

    def __init__(self, copier: Copier) -> None:
        pairs = list({id(container): (container, content) for container, content in copier.watched}.values())
        tables = [(container, content) for container, content in pairs if content and isinstance(content, dict)]
        rows = [(container, content) for container, content in pairs if content and not isinstance(content, dict)]
        self._empty = [container for container, content in pairs if not content]
        self._tables, self._rows = [table for table, _ in tables], [row for row, _ in rows]
        self._keys, self._values = [], []
        for table, content in tables:
            keys = [key for key in dict.keys(table) if key in content]  # an OrderedDict has an order of its own
            self._keys += keys
            self._values += [content[key] for key in keys]
        self._items = [item for _, content in rows for item in content]
        self._slots = copier.slots
        self._modules = copier.modules
        self._classes = list(map(type, copier.modules))
        self._modes = {id(m.__dict__) for m in copier.modules if id(m) in copier.registered and not has_own_eval(m)}
        watched = [pair for pair in copier.shared.values() if _comparable(*pair)]
        watched += [
            (original, original.detach())
            for original, _ in (*copier.private.values(), *copier.merged.values())
            if not original.is_inference()
        ]
        self._tensors, self._views = [original for original, _ in watched], [view for _, view in watched]
        self._merged = [(t, t._version) for t, _ in copier.merged.values() if not t.is_inference()]

    def holds(self) -> bool:
        """Nothing has changed but the modes of modules."""
        try:
            return self._structure_holds() and self._memory_holds()
        except RuntimeError:  # another thread changes a table while it is read; tensors on different devices
            return False

    def _structure_holds(self) -> bool:
        if any(self._empty) or not all(map(operator.is_, map(type, self._modules), self._classes)):
            return False
        if not all(getattr(owner, name, None) is item for owner, name, item in self._slots):
            return False
        if list(itertools.chain.from_iterable(map(dict.keys, self._tables))) != self._keys:
            return False
        items = list(itertools.chain.from_iterable(self._rows))
        if len(items) != len(self._items) or not all(map(operator.is_, items, self._items)):
            return False
        values = itertools.chain.from_iterable(map(dict.values, self._tables))
        return all(map(operator.is_, values, self._values)) or self._only_modes_changed()

    def _only_modes_changed(self) -> bool:
        position, values = 0, self._values.copy()
        for table in self._tables:
            for name, value in dict.items(table):
                if value is not values[position]:
                    if name != "training" or id(table) not in self._modes:
                        return False
                    values[position] = value
                position += 1
        self._values = values
        return True

    def _memory_holds(self) -> bool:
        if not all(map(Tensor.is_set_to, self._views, self._tensors)):
            return False
        return all(tensor._version == version for tensor, version in self._merged)


def _comparable(original: Tensor, view: Tensor) -> bool:
    try:
        return view.is_set_to(original)
    except (RuntimeError, NotImplementedError):  # sparse, quantized
        return False
