"""The structure of a module copied without running any of its code; the memory of its tensors is shared.

Modules, containers and helper objects become new objects of the same classes with copied attributes. Tensors become
views of the same memory that need no gradient. Functions stay what they are unless their closure holds a module.
"""

from __future__ import annotations

import copy
import functools
import operator
import random
import sys
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Iterator
from enum import Enum

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

_ATOMS = (int, float, complex, str, bytes, bool, type(None), torch.dtype, torch.device, torch.Size, range, slice)
_MUTABLE = (list, dict, set, OrderedDict, defaultdict, deque)
_PROXIES = (weakref.ProxyType, weakref.CallableProxyType)
_TABLES = frozenset(nn.Module().__dict__)
"""Attributes of every module: its tensors, its children and its hooks."""
_LONGEST = 1024
"""Longer lists and dictionaries (vocabularies) are copied only where they hold a module."""
_DEEPEST = 50
_FOREIGN = frozenset(sys.stdlib_module_names - {"types"}) | {"torch", "numpy", "PIL"}
"""Packages whose objects are never taken apart; torch's are modules, tensors, or know no module."""


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside ``torch.compile``, ``DataParallel`` and ``DistributedDataParallel``."""
    while True:
        if type(module) in _PROXIES:
            module = _behind(module)
        elif isinstance(module, DataParallel | DistributedDataParallel):
            module = module.__dict__["_modules"]["module"]
        elif type(module).__module__ == "torch._dynamo.eval_frame":  # importing the class takes a second
            module = module.__dict__["_modules"]["_orig_mod"]
        else:
            return module


def structural_copy(module: nn.Module) -> nn.Module:
    """A copy of a module's structure in eval mode on the memory of its tensors; see :class:`Copier`."""
    copier = Copier(module)
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
        if isinstance(value, _ATOMS) and type(value) not in _PROXIES:
            return value
        known = self._made.get(id(value))
        return self._copy_of_new(value) if known is None else known

    def _copy_of_new(self, value: object) -> object:
        if type(value) in _PROXIES or isinstance(value, weakref.ReferenceType):
            return self._reference(value)
        for kind, how in self._HOW:
            if isinstance(value, kind):
                return how(self, value)
        return self._mutable(value) if type(value) in _MUTABLE else self._object(value)

    def _keep(self, original: object, made: object) -> object:
        self._made[id(original)] = made
        self._kept.append(original)
        return made

    def _content(self, container: Collection) -> Collection:
        """What is in one of the caller's containers at this moment; from now on it is watched."""
        content = container.copy()
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
        made = _blank(module)
        if made is None:
            return self._keep(module, module)
        self._keep(module, made)
        self.modules.append(module)
        self._fill(module, made)
        made.__dict__.update(_undecorated(module, made))
        if made.__dict__.get("_compiled_call_impl") is not None:
            made.__dict__["_compiled_call_impl"] = None
        if module.__dict__.get("training") and id(module) not in self.registered:
            for name, buffer in module._buffers.items():  # it goes on training, so it would write into them
                made._buffers[name] = None if buffer is None else self._owned(buffer, self.private)
        return made

    def _fill(self, value: object, made: object) -> None:
        """Copy the attributes and items of an object into its new one."""
        for name, item in self._content(value.__dict__).items():
            if name in _TABLES and type(item) in _MUTABLE and not item:  # the fast way for empty tables of hooks
                made.__dict__[name] = type(self._content(item))()
            else:
                made.__dict__[name] = self._copy(item)
        for name in _slots(value):
            object.__setattr__(made, name, self._copy(getattr(value, name)))
        if isinstance(value, list | dict | set | deque):
            self._fill_items(value, made)

    def _fill_items(self, value, made) -> None:
        content = self._content(value)
        if isinstance(value, dict):
            for key, item in content.items():
                dict.__setitem__(made, self._copy(key), self._copy(item))
        elif isinstance(value, set):
            set.update(made, map(self._copy, content))
        else:
            (list if isinstance(value, list) else deque).extend(made, map(self._copy, content))

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
        view = _view(tensor)
        self.shared[id(tensor)] = tensor, view
        return self._keep(tensor, view)

    def _owned(self, tensor: Tensor, table: dict[int, tuple[Tensor, Tensor]]) -> Tensor:
        """A copy with memory of its own."""
        if id(tensor) not in table:
            self.shared.pop(id(tensor), None)
            table[id(tensor)] = tensor, _like(tensor, tensor.detach().clone())
        return self._keep(tensor, table[id(tensor)][1])

    # -- containers, functions and objects ---------------------------------------------------------------------------

    def _mutable(self, value):
        if len(value) > _LONGEST and not _holds_module(value, set()):
            return value
        made = self._keep(value, _emptied(value))
        self._fill_items(value, made)
        return made

    def _immutable(self, value: tuple | frozenset) -> object:
        items = [self._copy(item) for item in value]
        if all(map(operator.is_, items, value)):
            return value
        return self._keep(value, value._make(items) if hasattr(value, "_make") else type(value)(items))

    def _reference(self, value: object) -> object:
        target = _behind(value)
        made = None if target is None else self._copy(target)
        if made is target:
            return value
        self.weakly_held.append(made)
        return self._keep(value, weakref.proxy(made) if type(value) in _PROXIES else type(value)(made))

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
        held = [_holds_module(_in(cell), set()) for cell in cells]
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
        if not _is_helper(value) or self._depth >= _DEEPEST or (made := _blank(value)) is None:
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


class Scripted(nn.Module):
    """TorchScript as a module without children: it runs as a whole, and what happens inside cannot be seen."""

    def __init__(self, script: nn.Module) -> None:
        super().__init__()
        self.__dict__["script"] = script  # not registered: hooks inside would change the caller's object, and not run
        self.__dict__["training"] = False

    def forward(self, *args: object, **kwargs: object) -> object:
        return self.__dict__["script"](*args, **kwargs)

    def __getattr__(self, name: str) -> object:
        return getattr(self.__dict__["script"], name)


def registered(root: nn.Module) -> Iterator[nn.Module]:
    """The modules of a tree, wrappers taken off, each once; TorchScript is not entered."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        module = unwrapped(waiting.pop())
        if id(module) not in seen:
            seen.add(id(module))
            yield module
            if not isinstance(module, torch.jit.ScriptModule):
                waiting += [child for child in module._modules.copy().values() if child is not None]


def has_own_eval(module: nn.Module) -> bool:
    """Whether changing the module's mode runs code of its own."""
    kind = type(module)
    inherited = kind.train is nn.Module.train and kind.eval is nn.Module.eval
    return not inherited or not module.__dict__.keys().isdisjoint(("train", "eval"))


@functools.lru_cache(maxsize=256)
def _decorated(kind: type) -> dict[str, Callable]:
    """Methods of a class that ``torch.compile`` decorates, as they were before."""
    found: dict[str, Callable] = {}
    for parent in reversed(kind.__mro__[:-1]):
        for name, member in vars(parent).items():
            if isinstance(member, types.FunctionType):
                found.pop(name, None)
                if (eager := member.__dict__.get("_torchdynamo_orig_callable")) is not None:
                    found[name] = eager
    return found


def _undecorated(module: nn.Module, made: nn.Module) -> dict[str, Callable]:
    methods = _decorated(type(module))
    return {name: types.MethodType(eager, made) for name, eager in methods.items() if name not in module.__dict__}


def _view(tensor: Tensor) -> Tensor:
    """Another tensor on the same memory that needs no gradient; the tensor itself where there can be none."""
    try:
        if tensor.is_inference():  # its views would be inference tensors, too
            bare = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
            bare.set_(tensor.untyped_storage(), tensor.storage_offset(), tensor.size(), tensor.stride())
        else:
            bare = tensor.detach()
    except (RuntimeError, NotImplementedError, TypeError):
        return tensor
    return _like(tensor, bare)


def _like(tensor: Tensor, bare: Tensor) -> Tensor:
    """``bare`` as a parameter if ``tensor`` is one, with the attributes that somebody gave it."""
    made = nn.Parameter(bare, requires_grad=False) if type(tensor) is nn.Parameter else bare
    made.__dict__.update(getattr(tensor, "__dict__", {}))
    return made


def _blank(value: object) -> object | None:
    """A new object of the same class without attributes, made without running its code; None if there is none."""
    base = next((kind for kind in (dict, list, set, deque) if isinstance(value, kind)), object)
    try:
        return base.__new__(type(value))
    except TypeError:
        return None


def _emptied(value):
    if isinstance(value, defaultdict):
        return defaultdict(value.default_factory)
    return deque(maxlen=value.maxlen) if isinstance(value, deque) else type(value)()


def _slots(value: object) -> Iterator[str]:
    for kind in type(value).__mro__:
        names = vars(kind).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield name


def _is_helper(value: object) -> bool:
    kind = type(value)
    return (
        hasattr(value, "__dict__")
        and not isinstance(value, type | types.ModuleType | Enum | BaseException)
        and kind.__module__.partition(".")[0] not in _FOREIGN
        and not hasattr(kind, "__del__")
    )


def _in(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # empty: the name is not bound yet
        return None


def _behind(reference: object) -> object:
    """The object that a weak reference or proxy stands for; None if it is gone."""
    try:
        return reference() if isinstance(reference, weakref.ReferenceType) else reference.__init__.__self__
    except ReferenceError:
        return None


def _holds_module(value: object, seen: set[int]) -> bool:
    """Whether a module can be reached from a value through containers, closures, methods and helper objects."""
    if isinstance(value, nn.Module):
        return True
    if isinstance(value, (*_ATOMS, Tensor)) or id(value) in seen or len(seen) > 10_000:
        return False
    seen.add(id(value))
    return any(_holds_module(part, seen) for part in _parts(value))


def _parts(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from _keys_and_values(value)
    elif isinstance(value, list | set | deque | tuple | frozenset):
        yield from tuple(value)
    elif isinstance(value, types.FunctionType):
        yield from map(_in, value.__closure__ or ())
    elif isinstance(value, types.MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, weakref.ReferenceType):
        yield value()
    elif _is_helper(value):
        yield from value.__dict__.copy().values()


def _keys_and_values(table: dict) -> Iterator[object]:
    copied = table.copy()
    yield from copied
    yield from copied.values()
