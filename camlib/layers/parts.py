"""What a module holds, and how to make a new object of each kind without running any code of the caller's."""

from __future__ import annotations

import functools
import sys
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

ATOMS = (int, float, complex, str, bytes, bool, type(None), torch.dtype, torch.device, torch.Size, range, slice)
MUTABLE = (list, dict, set, OrderedDict, defaultdict, deque)
PROXIES = (weakref.ProxyType, weakref.CallableProxyType)
_FOREIGN = frozenset(sys.stdlib_module_names - {"types"}) | {"torch", "numpy", "PIL"}
"""Packages whose objects are never taken apart; torch's are modules, tensors, or know no module."""


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside ``torch.compile``, ``DataParallel`` and ``DistributedDataParallel``."""
    while True:
        if type(module) in PROXIES:
            module = behind(module)
        elif isinstance(module, DataParallel | DistributedDataParallel):
            module = module.__dict__["_modules"]["module"]
        elif type(module).__module__ == "torch._dynamo.eval_frame":  # importing the class takes a second
            module = module.__dict__["_modules"]["_orig_mod"]
        else:
            return module


def plain_name(root: nn.Module, name: str) -> str:
    """A layer's name without the ``module.`` and ``_orig_mod.`` of wrappers, which are not part of what runs."""
    kept: list[str] = []
    module: nn.Module | None = root
    parts = name.split(".")
    for position, part in enumerate(parts):
        if module is None:
            return ".".join([*kept, *parts[position:]])
        if unwrapped(module) is not module and part in ("module", "_orig_mod"):
            module = module._modules.get(part)
            continue
        kept.append(part)
        module = unwrapped(module)._modules.get(part)
    return ".".join(kept)


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


def undecorated(module: nn.Module, made: nn.Module) -> dict[str, Callable]:
    methods = _decorated(type(module))
    return {name: types.MethodType(eager, made) for name, eager in methods.items() if name not in module.__dict__}


def view_of(tensor: Tensor) -> Tensor:
    """Another tensor on the same memory that needs no gradient; the tensor itself where there can be none."""
    try:
        if tensor.is_inference():  # its views would be inference tensors, too
            bare = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
            bare.set_(tensor.untyped_storage(), tensor.storage_offset(), tensor.size(), tensor.stride())
        else:
            bare = tensor.detach()
    except (RuntimeError, NotImplementedError, TypeError):
        return tensor
    return like(tensor, bare)


def like(tensor: Tensor, bare: Tensor) -> Tensor:
    """``bare`` as a parameter if ``tensor`` is one, with the attributes that somebody gave it."""
    made = nn.Parameter(bare, requires_grad=False) if type(tensor) is nn.Parameter else bare
    made.__dict__.update(getattr(tensor, "__dict__", {}))
    return made


_CONTAINERS = (OrderedDict, defaultdict, *MUTABLE)


def base_of(value: object) -> type:
    """The kind of container that an object is made of, ``object`` if of none."""
    parents = type(value).__mro__  # a class may compare equal to another one, or not be hashed: only identity tells
    return next((kind for kind in _CONTAINERS if any(parent is kind for parent in parents)), object)


_WRITTEN_IN_PYTHON = 1 << 9
"""Flag of a class that a ``class`` statement made; the others are those whose ``__new__`` is nobody's code."""


def blank(value: object) -> object | None:
    """A new object of the same class without attributes, made without running its code; None if there is none."""
    base = next(kind for kind in type(value).__mro__ if not kind.__flags__ & _WRITTEN_IN_PYTHON)
    try:
        return base.__new__(type(value))
    except TypeError:
        return None


def emptied(value):
    """A new empty container of the same kind."""
    if isinstance(value, defaultdict):
        return defaultdict(value.default_factory)
    return deque(maxlen=value.maxlen) if isinstance(value, deque) else type(value)()


def slots_of(value: object) -> Iterator[str]:
    for kind in type(value).__mro__:
        names = vars(kind).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield name


def is_helper(value: object) -> bool:
    kind = type(value)
    return bool(
        (kind is types.SimpleNamespace or kind.__flags__ & _WRITTEN_IN_PYTHON)
        and not isinstance(value, type | types.ModuleType | Enum | BaseException)
        and kind.__module__.partition(".")[0] not in _FOREIGN
        and not hasattr(kind, "__del__")
    )


def inside(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # empty: the name is not bound yet
        return None


def behind(reference: object) -> object:
    """The object that a weak reference or proxy stands for; None if it is gone."""
    try:
        return reference() if isinstance(reference, weakref.ReferenceType) else reference.__init__.__self__
    except ReferenceError:
        return None


def holds_module(value: object, seen: set[int]) -> bool:
    """Whether a module can be reached from a value through containers, closures, methods and helper objects."""
    if isinstance(value, nn.Module):
        return True
    if isinstance(value, (*ATOMS, Tensor)) or id(value) in seen or len(seen) > 10_000:
        return False
    seen.add(id(value))
    return any(holds_module(part, seen) for part in _parts(value))


def _parts(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from _keys_and_values(value)
    elif isinstance(value, list | set | deque | tuple | frozenset):
        yield from tuple(value)
    elif isinstance(value, types.FunctionType):
        yield from map(inside, value.__closure__ or ())
    elif isinstance(value, types.MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, weakref.ReferenceType):
        yield value()
    elif is_helper(value):
        yield from getattr(value, "__dict__", {}).copy().values()
        yield from (getattr(value, name) for name in slots_of(value))


def _keys_and_values(table: dict) -> Iterator[object]:
    copied = table.copy()
    yield from copied
    yield from copied.values()
