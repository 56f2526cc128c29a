"""Options, checked by what a function declares of them: types, ranges and words, in one place for all of them.

A method or a metric writes its keyword options as ``samples: Count = 25, noise: NotNegative = 0.15``; what is given is
compared with that before anything runs. Numbers of NumPy and one-element tensors are taken as Python's.
"""

from __future__ import annotations

import math
import numbers
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``; the ends belong to it unless ``open_low`` or ``open_high`` says otherwise."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        low = "" if self.low == -math.inf else f"above {self.low:g}" if self.open_low else f"of at least {self.low:g}"
        high = "" if self.high == math.inf else f"below {self.high:g}" if self.open_high else f"at most {self.high:g}"
        return " and ".join(part for part in (low, high) if part)


Count = Annotated[int, Range(1)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
NotNegative = Annotated[float, Range(0)]
Positive = Annotated[float, Range(0, open_low=True)]
Share = Annotated[float, Range(0, 1)]
Inside = Annotated[float, Range(0, 1, open_low=True, open_high=True)]
Percent = Annotated[float, Range(0, 100)]
Pixels = Annotated[float, Range(0, 1000, open_low=True)]
"""A width in pixels; what is wider than any picture would only take time."""


def checked_options(name: str, function: Callable, given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` options of a function in the types that it declares; errors begin with ``name``.

    Raises TypeError for another type and ValueError for a value outside of what is declared, NaN and Inf among them.
    Names that the function does not declare are passed on as they are.
    """
    kinds = declared(function)
    return {option: checked(f"{name}: {option}", value, kinds.get(option, Any)) for option, value in given.items()}


@cache
def declared(function: Callable) -> Mapping[str, Any]:
    """Parameter -> its declared type; empty where the annotations cannot be read."""
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):  # names that exist for type checkers only
        return {}


def checked(name: str, value: Any, kind: Any) -> Any:
    """``value`` as the declared ``kind`` has it; raises TypeError or ValueError that names it and what was expected."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _one_of_several(name, value, parts)
    if origin is Annotated:
        return _in_range(name, value, parts[0], parts[1])
    if origin is Literal:
        if not (isinstance(value, str) and value in parts):
            raise ValueError(f"{name}={value!r}: expected one of {parts}.")
        return value
    value = _scalar(value) if kind in (bool, int, float) else value
    accepted, convert = _KINDS.get(origin or kind, (lambda _: True, lambda same: same))
    if not accepted(value):
        raise TypeError(f"{name}={value!r}: expected {words(kind)}.")
    if kind is float and not math.isfinite(value):
        raise ValueError(f"{name}={value!r}: expected a finite number.")
    return convert(value)


def words(kind: Any) -> str:
    """A declared type in words."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(words(part) for part in parts)
    if origin is Annotated:
        return f"{words(parts[0])} {parts[1]}"
    if origin is Literal:
        return f"one of {parts}"
    return _WORDS.get(origin or kind, getattr(kind, "__name__", str(kind)))


def _one_of_several(name: str, value: Any, kinds: tuple) -> Any:
    errors = []
    for kind in kinds:
        try:
            return checked(name, value, kind)
        except (TypeError, ValueError) as error:
            errors.append(error)
    worst = ValueError if any(isinstance(error, ValueError) for error in errors) else TypeError
    raise worst(f"{name}={value!r}: expected {' or '.join(words(kind) for kind in kinds)}.")


def _in_range(name: str, value: Any, kind: type, within: Range) -> Any:
    number = checked(name, value, kind)
    if number not in within:
        raise ValueError(f"{name}={value!r}: expected {words(kind)} {within}.")
    return number


def _scalar(value: Any) -> Any:
    """The number in an array or tensor of one element; anything else as it is."""
    one = isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim == 0
    return value.item() if one else value


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _are_whole(values: Any) -> bool:
    listed = values.tolist() if isinstance(values, Tensor | np.ndarray) else values
    return isinstance(listed, list | tuple | range) and all(map(_is_whole, map(_scalar, listed)))


_KINDS: dict[Any, tuple[Callable[[Any], bool], Callable[[Any], Any]]] = {
    bool: (lambda value: isinstance(value, bool), bool),
    int: (_is_whole, int),
    float: (lambda value: isinstance(value, numbers.Real) and not isinstance(value, bool), float),
    str: (lambda value: isinstance(value, str), str),
    types.NoneType: (lambda value: value is None, lambda _: None),
    Tensor: (lambda value: isinstance(value, Tensor), lambda same: same),
    Sequence: (_are_whole, lambda values: [int(_scalar(value)) for value in values]),
}
_WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a string",
    types.NoneType: "None",
    Tensor: "a tensor",
    Sequence: "a list of whole numbers",
}
