"""The registry of metrics: one decorated function a metric, with its better direction and what sways it as data."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from camlib.metrics.sample import Sample
from camlib.options import checked_options
from camlib.registry import no_such, refuse_taken, refuse_unknown

DIRECTIONS = ("higher", "lower")
NEEDS = {
    "score": "passes of the network",
    "boxes": "ground-truth boxes",
    "mask": "a ground-truth mask",
    "reference": "a second heatmap of the same picture",
}
"""What a metric may ask of a sample besides picture, heatmap and class, in words."""


@dataclass(frozen=True)
class Metric:
    """One way to judge a heatmap: ``metric(sample, **options) -> float``.

    Attributes:
        name: kebab-case, unique.
        function: takes the :class:`camlib.metrics.Sample`.
        better: "higher" or "lower".
        unit: unit of the value ("%", "share", "AUC" ...).
        source: author, year and equation or section.
        sways: one sentence: what moves the number besides the quality of the map.
        needs: names of :data:`NEEDS`.
        summary: the first sentence of the function's docstring.
        options: every option with its default.
    """

    name: str
    function: Callable[..., float]
    better: str
    unit: str
    source: str
    sways: str
    needs: tuple[str, ...]
    summary: str
    options: Mapping[str, Any]

    def checked_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """``options`` in the types that the metric's function declares, see :mod:`camlib.options`.

        Raises ValueError for a name that the metric does not know and for a value outside of its range, TypeError for
        another type.
        """
        refuse_unknown(self.name, options, self.options)
        return checked_options(self.name, self.function, options)

    def missing(self, sample: Sample) -> tuple[str, ...]:
        """What the metric needs and the sample lacks, as names of :data:`NEEDS`; tables count such samples."""
        return tuple(need for need in self.needs if not _has(sample, need))

    def __call__(self, sample: Sample, **options: Any) -> float:
        """The metric of one sample; raises ValueError for an unknown option or a sample that lacks what is needed."""
        options = self.checked_options(options)
        if lacking := self.missing(sample):
            wanted = " and ".join(f"{NEEDS[need]} (Sample.{need})" for need in lacking)
            raise ValueError(f"{self.name} needs {wanted}; this sample has none. Leave the metric out or add them.")
        return float(self.function(sample, **{**self.options, **options}))


def _has(sample: Sample, need: str) -> bool:
    value = getattr(sample, need)
    return len(value) > 0 if need == "boxes" else value is not None


_metrics: dict[str, Metric] = {}
METRICS: Mapping[str, Metric] = MappingProxyType(_metrics)


def metric(
    name: str,
    *,
    better: str,
    unit: str,
    source: str,
    sways: str,
    needs: Sequence[str] = (),
    **preset: Any,
) -> Callable[[Callable[..., float]], Callable[..., float]]:
    """Register a metric; the decorated function stays callable as it is.

    One function may be registered under several names with different defaults: ``preset`` replaces the defaults of
    its options. The other arguments are the attributes of :class:`Metric`.

    Raises:
        ValueError: the name is taken by another function or is not kebab-case, ``better`` or ``needs`` is unknown,
            ``sways`` is not a sentence.
        TypeError: the function does not take (sample, *, options...) or does not know a preset option.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError(f"Metric name {name!r} is not kebab-case, like 'average-drop'.")
    if better not in DIRECTIONS:
        raise ValueError(f"better={better!r}: expected one of {DIRECTIONS}.")
    if unknown := sorted(set(needs) - set(NEEDS)):
        raise ValueError(f"needs={unknown}: expected names among {tuple(NEEDS)}.")
    if not sways.strip().endswith("."):
        raise ValueError(f"sways={sways!r}: expected one sentence that says what moves the number.")

    def register(function: Callable[..., float]) -> Callable[..., float]:
        if name in _metrics:
            refuse_taken(name, _metrics[name].function, function)
        options = _options_of(function)
        if stray := sorted(set(preset) - set(options)):
            raise TypeError(f"{function.__qualname__} has no option {stray}; it has {sorted(options)}.")
        _metrics[name] = Metric(
            name=name,
            function=function,
            better=better,
            unit=unit,
            source=source,
            sways=sways,
            needs=tuple(needs),
            summary=(inspect.getdoc(function) or "").partition("\n")[0],
            options=MappingProxyType({**options, **preset}),
        )
        return function

    return register


def _options_of(function: Callable[..., float]) -> dict[str, Any]:
    """Keyword-only parameters with their defaults."""
    first, *others = inspect.signature(function).parameters.values() or (None,)
    if first is None or first.kind is first.KEYWORD_ONLY or any(p.kind is not p.KEYWORD_ONLY for p in others):
        raise TypeError(f"{function.__qualname__} must take (sample, *, options...).")
    if required := [p.name for p in others if p.default is p.empty]:
        raise TypeError(f"{function.__qualname__} gives its options {required} no default.")
    return {p.name: p.default for p in others}


def find_metric(name: str) -> Metric:
    """The metric called ``name``; raises ValueError with the nearest names."""
    if name not in METRICS:
        raise no_such("metric", name, METRICS, "camlib.metrics.METRICS")
    return METRICS[name]
