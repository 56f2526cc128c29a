"""The structure of a module copied without running any of its code; the memory of its tensors is shared.

Modules, containers and helper objects become new objects of the same classes with copied attributes. Tensors become
views of the same memory that need no gradient. Functions stay what they are unless their closure holds a module.
"""

from __future__ import annotations

import copy
import functools
import operator
import random
import types
import weakref
from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor, nn

from camlib.layers.parts import (
    ATOMS,
    MUTABLE,
    PROXIES,
    Scripted,
    base_of,
    behind,
    blank,
    emptied,
    has_own_eval,
    holds_module,
    inside,
    is_helper,
    like,
    registered,
    slots_of,
    undecorated,
    unwrapped,
    view_of,
)

_TABLES = frozenset(nn.Module().__dict__)
"""Attributes of every module: its tensors, its children and its hooks."""
_LONGEST = 1024
"""Longer lists and dictionaries (vocabularies) are copied only where they hold a module."""
_DEEPEST = 50


def structural_copy(module: nn.Module, private: Collection[int] = ()) -> nn.Module:
    """A copy of a module's structure in eval mode on the memory of its tensors; see :class:`Copier`."""
    copier = Copier(module, private)
    if copier.weakly_held:
        copier.root.__dict__["_weakly_held"] = copier.weakly_held
    return copier.root


class Copier:
    """Copies one tree of modules and remembers what was copied from what.

    Registered modules end in eval mode, which is written and not called. A module that is held in a plain list keeps
    its mode, as it would under ``root.eval()``.

    Args:
        root: the caller's module.
        private: ids of tensors that get memory of their own.

    Attributes:
        root: the copy.
        modules: the caller's modules that were copied.
        registered: ids of those that their parents register.
        watched: (container of the caller's, what was in it); the copy is true as long as nothing of this changes.
        slots: (object of the caller's, slot, what was in it), which must not change either.
        shared: id -> (tensor of the caller's, the copy's view of it).
        private: id -> (tensor of the caller's, the copy's own), which follows the caller's values.
        merged: the same for tensors that the caller's ``eval()`` may have changed in the copy.
        weakly_held: copies of what the module holds by weak references; somebody must keep them alive.
    """

    def __init__(self, root: nn.Module, private: Collection[int] = ()) -> None:
        self._own = frozenset(private)
        self._made: dict[int, object] = {}
        self._kept: list[object] = []  # an id stays unique only while its object lives
        self._depth = 0
        self.modules: list[nn.Module] = []
        self.registered = {id(child) for child in registered(root)}
        self.watched: list[tuple[Collection, Collection]] = []
        self.slots: list[tuple[object, str, object]] = []
        self.shared: dict[int, tuple[Tensor, Tensor]] = {}
        self.private: dict[int, tuple[Tensor, Tensor]] = {}
        self.merged: dict[int, tuple[Tensor, Tensor]] = {}
        self.weakly_held: list[object] = []
        with torch.inference_mode(False), torch.no_grad():
            self.root: nn.Module = self._module(root)
            self._end_training()

    def counterpart(self, original: nn.Module) -> nn.Module | None:
        """The copy of one of the caller's modules, or None."""
        found = self._made.get(id(unwrapped(original)))
        return found if isinstance(found, nn.Module) else None

    def _copy(self, value: object) -> object:
        """The copy of any value; the value itself where there is nothing in it to protect."""
        if isinstance(value, ATOMS) and type(value) not in PROXIES:
            return value
        known = self._made.get(id(value))
        return self._copy_of_new(value) if known is None else known

    def _copy_of_new(self, value: object) -> object:
        if type(value) in MUTABLE:
            return self._mutable(value)
        if type(value) in PROXIES or isinstance(value, weakref.ReferenceType):
            return self._reference(value)
        for kind, how in self._HOW:
            if isinstance(value, kind):
                return how(self, value)
        return self._object(value)

    def _keep(self, original: object, made: object) -> object:
        self._made[id(original)] = made
        self._kept.append(original)
        return made

    def _content(self, container: Collection) -> Collection:
        """What is in one of the caller's containers at this moment; from now on it is watched."""
        base = base_of(container)
        content = dict(base.items(container)) if isinstance(container, dict) else list(base.__iter__(container))
        self.watched.append((container, content))
        return content

    # -- modules -----------------------------------------------------------------------------------------------------

    def _module(self, given: nn.Module) -> nn.Module:
        module = unwrapped(given)
        if module is not given:
            self._content(given.__dict__["_modules"])
            return self._keep(given, self._copy(module))
        if isinstance(module, torch.jit.ScriptModule):
            return self._keep(module, Scripted(self._script(module)))
        made = blank(module)
        if made is None:
            return self._keep(module, module)
        self._keep(module, made)
        self.modules.append(module)
        self._fill(module, made)
        made.__dict__.update(undecorated(module, made))
        if made.__dict__.get("_compiled_call_impl") is not None:
            made.__dict__["_compiled_call_impl"] = None
        if module.__dict__.get("training") and id(module) not in self.registered:
            for name, buffer in module._buffers.items():  # it goes on training, so it would write into them
                made._buffers[name] = None if buffer is None else self._owned(buffer, self.private)
        return made

    def _fill(self, value: object, made: object) -> None:
        """Copy the attributes and items of an object into its new one."""
        for name, item in self._content(getattr(value, "__dict__", {})).items():
            if name in _TABLES and type(item) in MUTABLE and not item:  # the fast way for empty tables of hooks
                self._content(item)
                made.__dict__[name] = type(item)()
            else:
                made.__dict__[name] = self._copy(item)
        for name in slots_of(value):
            self.slots.append((value, name, getattr(value, name)))
            object.__setattr__(made, name, self._copy(getattr(value, name)))
        if base_of(value) is not object:
            self._fill_items(value, made)

    def _fill_items(self, value, made) -> None:
        base, content = base_of(value), self._content(value)
        if isinstance(value, dict):
            for key, item in content.items():
                base.__setitem__(made, self._copy(key), self._copy(item))
        elif isinstance(value, set):
            base.update(made, map(self._copy, content))
        else:
            base.extend(made, map(self._copy, content))

    def _script(self, module: nn.Module) -> nn.Module:
        """TorchScript has no structure to copy: a module in eval mode is run as it is, another one is cloned."""
        if not any(child.training for child in module.modules()):
            return module
        for tensor in (*module.parameters(), *module.buffers()):
            self.merged[id(tensor)] = tensor, tensor
        return copy.deepcopy(module).eval()

    def _end_training(self) -> None:
        """Eval mode for the registered modules, written and not called.

        A class with a ``train`` or ``eval`` of its own may merge weights there. Where such a module is in train mode,
        its part of the copy gets tensors of its own, and its code runs on them.
        """
        trained = [m for m in self.modules if id(m) in self.registered and m.__dict__.get("training")]
        for module in filter(has_own_eval, trained):
            for child in registered(module):
                self._own_tensors(child)
            try:
                self._made[id(module)].eval()
            except Exception:  # an exported module refuses to change its mode; the flags are written anyway
                continue
        for module in self.modules:
            if id(module) in self.registered and "training" in module.__dict__:
                self._made[id(module)].__dict__["training"] = False

    def _own_tensors(self, module: nn.Module) -> None:
        made = self._made[id(module)]
        for theirs, ours in ((module._parameters, made._parameters), (module._buffers, made._buffers)):
            for name, tensor in theirs.items():
                if tensor is not None:
                    ours[name] = self._owned(tensor, self.merged)

    # -- tensors -----------------------------------------------------------------------------------------------------

    def _tensor(self, tensor: Tensor) -> Tensor:
        if id(tensor) in self._own:
            return self._owned(tensor, self.private)
        view = view_of(tensor)
        self.shared[id(tensor)] = tensor, view
        return self._keep(tensor, view)

    def _owned(self, tensor: Tensor, table: dict[int, tuple[Tensor, Tensor]]) -> Tensor:
        """A copy with memory of its own."""
        if id(tensor) not in table:
            self.shared.pop(id(tensor), None)
            table[id(tensor)] = tensor, like(tensor, tensor.detach().clone())
        return self._keep(tensor, table[id(tensor)][1])

    # -- containers, functions and objects ---------------------------------------------------------------------------

    def _mutable(self, value):
        if len(value) > _LONGEST and not holds_module(value, set()):
            return value
        made = self._keep(value, emptied(value))
        self._fill_items(value, made)
        return made

    def _immutable(self, value: tuple | frozenset) -> object:
        items = [self._copy(item) for item in value]
        if all(map(operator.is_, items, value)):
            return value
        return self._keep(value, value._make(items) if hasattr(value, "_make") else type(value)(items))

    def _reference(self, value: object) -> object:
        target = behind(value)
        made = None if target is None else self._copy(target)
        if made is target:
            return value
        self.weakly_held.append(made)
        return self._keep(value, weakref.proxy(made) if type(value) in PROXIES else type(value)(made))

    def _method(self, method: types.MethodType) -> object:
        return self._keep(method, types.MethodType(self._copy(method.__func__), self._copy(method.__self__)))

    def _partial(self, value: functools.partial) -> object:
        keywords = {name: self._copy(item) for name, item in value.keywords.items()}
        return self._keep(value, type(value)(self._copy(value.func), *map(self._copy, value.args), **keywords))

    def _function(self, function: types.FunctionType) -> object:
        """A function whose closure holds a module gets the copy's; every other function stays itself."""
        if (eager := function.__dict__.get("_torchdynamo_orig_callable")) is not None:
            return self._keep(function, self._copy(eager))
        cells = function.__closure__ or ()
        held = [holds_module(inside(cell), set()) for cell in cells]
        if not any(held):
            return function
        own = tuple(types.CellType() if holds else cell for cell, holds in zip(cells, held, strict=True))
        made = types.FunctionType(function.__code__, function.__globals__, function.__name__, None, own)
        made.__defaults__, made.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
        made.__dict__.update(function.__dict__)
        self._keep(function, made)
        for cell, new in zip(cells, own, strict=True):
            if new is not cell:
                new.cell_contents = self._copy(cell.cell_contents)
        return made

    def _generator(self, value: object) -> object:
        """A source of random numbers of the module's own: a copy, so that the caller's stays where it is."""
        made = value.clone_state() if isinstance(value, torch.Generator) else copy.deepcopy(value)
        return self._keep(value, made)

    def _object(self, value: object) -> object:
        """A helper object of the caller's: a new one with copied attributes, or itself where it cannot be copied."""
        if not is_helper(value) or self._depth >= _DEEPEST or (made := blank(value)) is None:
            return value
        self._keep(value, made)
        self._depth += 1
        self._fill(value, made)
        self._depth -= 1
        return made

    _HOW = (
        (nn.Module, _module),
        (Tensor, _tensor),
        ((tuple, frozenset), _immutable),
        (types.FunctionType, _function),
        (types.MethodType, _method),
        (functools.partial, _partial),
        ((torch.Generator, np.random.Generator, np.random.RandomState, random.Random), _generator),
    )
