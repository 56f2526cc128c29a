"""The registry of methods: one decorated function each, with what tables say as data."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor

from camlib.options import checked_options

MAKES = ("weights", "map", "pixels")
SIGNS = {
    "signed": "evidence for and against the class keep their signs",
    "rectified": "evidence against the class is set to 0",
    "squared": "evidence is multiplied with itself: what speaks against the class counts as what speaks for it",
    "absolute": "only the size of the evidence counts",
    "shifted": "scaled to the range of all channels: 0 no longer means no evidence",
    "positive by construction": "a probability or a mask, which cannot be negative",
    "softmax": "positive, and 1 in sum over the channels",
    "none": "no evidence is weighed: the weight does not know the class",
}
"""What happens to the sign of the evidence that a weight is made of."""


class Detailed(NamedTuple):
    """A method's result with more to say: ``values`` as :class:`Method` promises, one mapping a picture beside it.

    ``errors``, one :class:`camlib.engine.map_error.MapError` a picture, are there where scores were interpolated.
    """

    values: Tensor
    details: tuple[Mapping[str, Any], ...]
    errors: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Method:
    """One way to explain a class, as the literature names it.

    ``function(trace, target, **options)`` returns what ``makes`` says: the class activation weight ([B, K] or
    [B, K, h, w]), a finished map ([B, h, w]) or a saliency at the resolution of the input ([B, H, W]); with details
    as :class:`Detailed`. ``architecture`` names the module of camlib that the network must be, where a method is part
    of one network and not post hoc; it is empty for all others. ``title`` is the name as the literature prints it,
    ``sign`` a key of :data:`SIGNS`, empty where a method of the reader's does not say.
    """

    name: str
    title: str
    function: Callable[..., Tensor]
    family: str
    source: str
    passes: str
    summary: str
    relu: bool
    makes: str
    class_specific: bool
    architecture: str
    sign: str
    options: Mapping[str, Any]

    def checked_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """``options`` in the types that the method's function declares, see :mod:`camlib.options`.

        ``common`` is an option of every method, see :func:`camlib.framework.checked_common`. Raises ValueError for a
        name that the method does not know and for a value outside of its range, TypeError for another type.
        """
        refuse_unknown(self.name, {name: value for name, value in options.items() if name != "common"}, self.options)
        return checked_options(self.name, self.function, options)


_methods: dict[str, Method] = {}


class _Methods(Mapping[str, Method]):
    """The registered methods by name; the wings that bring methods are imported when the list is first read."""

    wings = ("camlib.weights", "camlib.baselines")
    _all_here = False

    def _read(self) -> dict[str, Method]:
        """The methods by name, in no order that counts."""
        if not self._all_here:
            self._all_here = True
            for wing in self.wings:
                import_module(wing)
        return _methods

    def _rank(self, method: Method) -> int:
        """Class activation maps before baselines before methods of others, whatever was imported first."""
        homes = [wing for wing in self.wings if method.function.__module__.startswith(f"{wing}.")]
        return self.wings.index(homes[0]) if homes else len(self.wings)

    def __getitem__(self, name: str) -> Method:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter([method.name for method in sorted(self._read().values(), key=self._rank)])

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return f"METHODS({', '.join(self)})"


METHODS: Mapping[str, Method] = _Methods()


def refuse_taken(name: str, holder: Callable[..., Any], function: Callable[..., Any]) -> None:
    """Raise ValueError if a registered name is held by another function; the same one may come again (a reload)."""
    if (holder.__module__, holder.__qualname__) != (function.__module__, function.__qualname__):
        raise ValueError(f"The name {name!r} is taken by {holder.__qualname__}. Choose another one.")


def refuse_unknown(name: str, options: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` as given; raises ValueError if one is not among the ``known`` options (with defaults) of ``name``."""
    if unknown := sorted(set(options) - set(known)):
        all_ = ", ".join(f"{key}={value!r}" for key, value in known.items()) or "none"
        hint = " The network says where it runs: net.to('cuda')." if "device" in unknown else ""
        raise ValueError(f"{name} has no option {', '.join(map(repr, unknown))}. Its options: {all_}.{hint}")
    return dict(options)


def no_such(kind: str, name: str, known: Iterable[str], where: str) -> ValueError:
    """The error for a name that a registry does not hold: the nearest of its names, and ``where`` all of them are."""
    names = list(known)
    near = difflib.get_close_matches(str(name).lower(), names, n=4, cutoff=0.4) or names
    return ValueError(f"No {kind} is called {name!r}. Nearest: {', '.join(near)}. {where} lists all.")


def method(
    name: str,
    *,
    family: str,
    source: str,
    passes: str,
    title: str = "",
    summary: str = "",
    relu: bool = True,
    makes: str = "weights",
    class_specific: bool = True,
    architecture: str = "",
    sign: str = "",
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register a method; the decorated function stays callable as it is.

    Args:
        name: kebab-case name of the literature, unique.
        family: "channel", "gradient", "score" ...; groups the tables.
        source: author, year and equation.
        passes: cost a picture, in words ("1 forward + 1 backward").
        title: the name as the literature prints it, for figures ("Grad-CAM++"); ``name`` when empty.
        summary: the weight in one clause, for tables; the docstring's first sentence when empty.
        relu: whether the map is rectified.
        makes: "weights", "map" or "pixels", see :class:`Method`.
        class_specific: False where the map is the same for all classes.
        architecture: name of the only module that the method works on; empty for post-hoc methods.
        sign: what happens to the sign of the evidence, a key of :data:`SIGNS`; empty where it is not said.

    Raises:
        ValueError: the name is taken by another function, is not kebab-case, or ``makes`` or ``sign`` is unknown.
        TypeError: the function does not take (trace, target) and otherwise only keyword options.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9+]+|\+)*", name):
        raise ValueError(f"Method name {name!r} is not kebab-case, like 'grad-cam++' or 'my-cam'.")
    if makes not in MAKES:
        raise ValueError(f"makes={makes!r}: expected one of {MAKES}.")
    if sign and sign not in SIGNS:
        raise ValueError(f"sign={sign!r}: expected one of {tuple(SIGNS)}.")

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        if name in _methods:
            refuse_taken(name, _methods[name].function, function)
        _methods[name] = Method(
            name=name,
            title=title or name,
            function=function,
            family=family,
            source=source,
            passes=passes,
            summary=summary or (inspect.getdoc(function) or "").partition("\n")[0],
            relu=relu,
            makes=makes,
            class_specific=class_specific,
            architecture=architecture,
            sign=sign,
            options=MappingProxyType(_options_of(function)),
        )
        return function

    return register


def _options_of(function: Callable[..., Tensor]) -> dict[str, Any]:
    """Keyword-only parameters with their defaults."""
    parameters = list(inspect.signature(function).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    options = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    if len(positional) != 2 or len(positional) + len(options) != len(parameters):
        raise TypeError(f"{function.__qualname__} must take (trace, target, *, options...).")
    if any(p.name == "common" for p in options):
        raise TypeError(f"{function.__qualname__}: the option 'common' belongs to every method; call yours otherwise.")
    return {p.name: None if p.default is p.empty else p.default for p in options}


def find_method(name: str) -> Method:
    """The method called ``name``; raises ValueError with the nearest names."""
    if not isinstance(name, str):
        raise TypeError(f"A method is named by a string such as 'grad-cam'; given {name!r}.")
    if name not in METHODS:
        raise no_such("method", name, METHODS, "camlib.METHODS")
    return METHODS[name]
