"""One decision for every claim: five verdicts, Holm's correction within a claim, parts that agree or differ.

Rows (:mod:`camlib.compendium.verdicts`) and notebooks (:func:`camlib.compendium.claims.decision`) use it alike. One
contrast is a difference, turned so that the claim says *plus*, with a margin of relevance beside it. It is "above" if
its interval lies above the margin, "below" if it lies below minus the margin, "inside" if it lies between the two, and
"open" otherwise. A claim that makes m contrasts judges the clearest at 5 %/m, the next at 5 %/(m − 1), and so on; from
the first open one on all are open (Holm 1979).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from scipy import stats

from camlib.metrics import Interval

LEVEL = 0.05
VERDICTS = ("holds", "does not hold", "no difference that matters", "depends", "undecided")
MARKS = {"holds": "✓", "does not hold": "✗", "no difference that matters": "=", "undecided": "·"}


class Ruling(NamedTuple):
    """What intervals decide.

    Attributes:
        verdict: one of :data:`VERDICTS`.
        factor: what the parts differ by where the verdict is "depends"; else "".
        by_part: the verdict of each part; one part without a name where the claim has none.
        needed: number of units that would decide an undecided claim if mean and spread stayed as they are; None
            where it is decided or the number of units is not known.
    """

    verdict: str
    factor: str
    by_part: Mapping[str, str]
    needed: int | None = None

    @property
    def text(self) -> str:
        """The verdict in words."""
        return f"depends on the {self.factor}" if self.verdict == "depends" else self.verdict

    @property
    def marks(self) -> str:
        """The parts by their marks: "✗ last layer; = inner layer"; empty where there is one part."""
        groups: dict[str, list[str]] = {}
        for part, verdict in self.by_part.items():
            groups.setdefault(MARKS[verdict], []).append(part)
        told = [f"{mark} {', '.join(groups[mark])}" for mark in MARKS.values() if mark in groups]
        return "; ".join(told) if len(self.by_part) > 1 else ""


def of_part(found: Sequence[str], fails: str = "any") -> str:
    """Verdict of one part: every contrast must be above; one below refutes, one inside is no difference that matters.

    ``fails="all"``: only contrasts that are all below refute.
    """
    if all(each == "above" for each in found):
        return "holds"
    if (any if fails == "any" else all)(each == "below" for each in found):
        return "does not hold"
    return "no difference that matters" if "inside" in found else "undecided"


def together(by_part: Mapping[str, str], factor: Callable[[Mapping[str, str]], str]) -> tuple[str, str]:
    """(verdict, factor) of all parts: what the decided ones agree on or depend on, if they are at least half.

    ``factor`` names what decided parts differ by.
    """
    decided = {name: verdict for name, verdict in by_part.items() if verdict != "undecided"}
    if not decided or 2 * len(decided) < len(by_part):
        return "undecided", ""
    kinds = set(decided.values())
    return (kinds.pop(), "") if len(kinds) == 1 else ("depends", factor(decided))


def rule_on(
    intervals: Sequence[tuple[str, Interval]],
    units: int | None = None,
    *,
    limit: float = 0.0,
    better: str = "higher",
    side: str = "better",
    fails: str = "any",
    margin: float = 0.0,
    parts: str = "",
) -> Ruling:
    """What (part, 95 % interval) of each contrast decides.

    Args:
        intervals: at least one; widened at Holm's levels as a normal distribution would be, each side by itself.
        units: pictures, seeds or scenes that they stand on.
        limit: the number that the claim's side lies beyond.
        better: "higher" or "lower" is the claim's side.
        side: "better"; or "none": the claim says that there is no difference. Inside the margin it holds then, beyond
            it on either side it does not.
        fails: see :func:`of_part`.
        margin: of relevance, in the unit of the intervals.
        parts: what the parts differ by, such as "layer"; "": all contrasts are one part.

    Raises ValueError for no interval, another word, a negative margin, or a claim of no difference without a margin.
    """
    words = {"better": (better, ("higher", "lower")), "side": (side, ("better", "none"))}
    words["fails"] = (fails, ("any", "all"))
    wrong = [
        f"{name}={given!r}, expected one of {known}" for name, (given, known) in words.items() if given not in known
    ]
    if wrong or not intervals or margin < 0 or (side == "none" and not margin):
        raise ValueError("; ".join(wrong) or f"{len(intervals)} intervals, margin={margin}, side={side!r}")
    sign = 1 if better == "higher" else -1
    turned = [_turned(interval, sign, limit) for _, interval in intervals]
    found = _found(turned, margin)
    if side == "none":
        found = [{"inside": "above", "open": "open"}.get(each, "below") for each in found]
    by_part: dict[str, str] = {}
    names = [part if parts else "" for part, _ in intervals]
    for name in dict.fromkeys(names):
        by_part[name] = of_part([each for part, each in zip(names, found, strict=True) if part == name], fails)
    verdict, factor = together(by_part, lambda _: parts)
    is_open = [i for i, each in zip(turned, found, strict=True) if each == "open"]
    needed = None
    if units and verdict == "undecided":
        needed = max(filter(None, (_needed(i, margin, units, len(turned)) for i in is_open)), default=None)
    return Ruling(verdict, factor, by_part, needed)


def _turned(interval: Interval, sign: int, limit: float) -> Interval:
    """The interval with the claim's side as plus and the limit as zero."""
    low, high = sorted((sign * (interval.low - limit), sign * (interval.high - limit)))
    return Interval(sign * (interval.value - limit), low, high)


def _found(intervals: Sequence[Interval], margin: float) -> list[str]:
    """Of each interval "above", "below", "inside" or "open", at Holm's levels."""
    clearest = [max(_ratios(i, margin).items(), key=lambda entry: entry[1]) for i in intervals]
    order = sorted(range(len(clearest)), key=lambda i: -clearest[i][1])
    found, stopped = [""] * len(order), False
    for rank, i in enumerate(order):
        stopped = stopped or not clearest[i][1] > _widening(len(order) - rank)
        found[i] = "open" if stopped else clearest[i][0]
    return found


def _ratios(i: Interval, margin: float) -> dict[str, float]:
    """How far the value lies from an edge, in half-widths of its interval: above 1 is what 95 % resolve."""
    down, up = i.value - i.low, i.high - i.value
    found = {"above": _ratio(i.value - margin, down), "below": _ratio(-margin - i.value, up)}
    if margin:
        found["inside"] = min(_ratio(i.value + margin, down), _ratio(margin - i.value, up))
    return found


def _ratio(distance: float, half: float) -> float:
    if half > 0:
        return distance / half
    return math.copysign(math.inf, distance) if distance else 0.0


def _widening(count: int) -> float:
    """By how much a 95 % interval is wider at the level 5 %/count."""
    return 1.0 if count == 1 else float(stats.norm.isf(LEVEL / count / 2) / stats.norm.isf(LEVEL / 2))


def _needed(i: Interval, margin: float, units: int, count: int) -> int | None:
    """Units that resolve the nearest edge; None where the value lies on it."""
    distance = min(abs(i.value - edge) for edge in (-margin, margin))
    if distance == 0:
        return None
    return math.ceil(units * (_widening(count) * (i.high - i.low) / 2 / distance) ** 2)
