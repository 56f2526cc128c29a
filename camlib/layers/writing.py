"""What a pass would change besides its output: memory that belongs to the caller, and the state of random numbers."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class WritesToMemory(BaseException):
    """A pass was about to write into memory of the caller's; no network's own ``except Exception`` may hide it.

    Attributes:
        tensors: ids of the caller's tensors in that memory.
    """

    def __init__(self, tensors: list[int]) -> None:
        super().__init__(tensors)
        self.tensors = tensors


class WriteGuard(TorchDispatchMode):
    """Inside the block an operation that would write into the given memory raises :class:`WritesToMemory` instead."""

    def __init__(self, memory: Mapping[int, list[int]]) -> None:
        super().__init__()
        self.memory = memory

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if _may_write(func):
            for tensor in _written(func, args, kwargs):
                owners = self.memory.get(_address(tensor))
                if owners is not None:
                    raise WritesToMemory(owners)
        return func(*args, **kwargs)


def _written(func, args: tuple, kwargs: dict) -> Iterator[Tensor]:
    """Tensors that an operation changes in place."""
    places, names = _writing_arguments(func)
    candidates = [args[place] for place in places if place < len(args)]
    candidates += [kwargs[name] for name in names if name in kwargs]
    if _is_batch_norm(func) and True in [a for a in args if isinstance(a, bool)]:
        candidates += [a for a in args[3:5] if isinstance(a, Tensor)]  # running statistics, changed without saying so
    for value in candidates:
        yield from (t for t in (value if isinstance(value, list | tuple) else [value]) if isinstance(t, Tensor))


@cache
def _may_write(func) -> bool:
    return any(_writing_arguments(func)) or _is_batch_norm(func)


def _is_batch_norm(func) -> bool:
    return "batch_norm" in func.__name__


@cache
def _writing_arguments(func) -> tuple[tuple[int, ...], tuple[str, ...]]:
    arguments = func._schema.arguments
    writes = [i for i, a in enumerate(arguments) if a.alias_info is not None and a.alias_info.is_write]
    return tuple(i for i in writes if not arguments[i].kwarg_only), tuple(arguments[i].name for i in writes)


def _address(tensor: Tensor) -> int | None:
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return None


@contextmanager
def kept_random_state() -> Iterator[list[bool]]:
    """The random states of PyTorch (CPU and CUDA), NumPy and Python are after the block as they were before it.

    Yields a list that gets, behind the block, whether anything in it drew random numbers.
    """
    drew: list[bool] = []
    before = _random_state()
    try:
        yield drew
    finally:
        after = _random_state()
        changed = [key for key, state in before.items() if not _same(state, after[key])]
        for key in changed:
            _restore(key, before[key])
        drew.append(bool(changed))


def _random_state() -> dict[str, object]:
    state: dict[str, object] = {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),
        "python": random.getstate(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state |= {f"cuda:{i}": torch.cuda.get_rng_state(i) for i in range(torch.cuda.device_count())}
    return state


def _same(before: object, after: object) -> bool:
    if isinstance(before, Tensor):
        return torch.equal(before, after)
    pairs = zip(before, after, strict=True)
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


def _restore(key: str, state: object) -> None:
    if key == "torch":
        torch.set_rng_state(state)
    elif key == "numpy":
        np.random.set_state(state)
    elif key == "python":
        random.setstate(state)
    else:
        torch.cuda.set_rng_state(state, int(key.partition(":")[2]))
