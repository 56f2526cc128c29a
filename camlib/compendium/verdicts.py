"""How rows of data/evidence decide a claim: contrasts with intervals, corrected for their number, in every population.

A rule stands in ``rules.toml`` under the claim's id. One contrast is the mean difference of a metric between a method
and a rival over the pictures of a population, paired, with pictures as units, and with its sign turned so that the
claim says *plus*. It is

- "above" if its interval lies above the margin, "below" if it lies below minus the margin,
- "inside" if it lies between the two: a difference, perhaps, but none that matters,
- "open" otherwise.

A claim makes many contrasts, so Holm's procedure (1979) widens their intervals: the clearest of m is judged at 5 %/m,
the next at 5 %/(m − 1), and so on; from the first open one on all are open. Intervals are Student's, of means over
hundreds of pictures; those that are printed are not widened.
"""

from __future__ import annotations

import fnmatch
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals
from scipy import stats

from camlib.compendium.claims import RULES_FILE as FILE
from camlib.compendium.deciding import LEVEL, of_part, together
from camlib.compendium.items import read_table
from camlib.evaluate.evidence import kept
from camlib.evaluate.evidence.populations import POPULATIONS, Population

SIDES = ("better", "not worse")


@dataclass(frozen=True)
class Rule:
    """What decides a claim.

    Attributes:
        metric: a column of the rows, see :mod:`camlib.evaluate.evidence.kept`.
        method: of which something is claimed; several: it must hold for each.
        against: the rivals; every one must be beaten. None: the method itself with ``against_common``.
        level: instead of rivals, the number that the mean must be beyond.
        common, against_common: multiple of the common map that is removed from the method's and the rivals' maps.
        better: "higher" or "lower" is the claim's side.
        side: "better"; or "not worse": it holds if the difference lies above minus the margin.
        margin: of relevance, in the metric's unit.
        populations: patterns of network:layer:kind.
    """

    metric: str
    method: tuple[str, ...]
    margin: float
    populations: tuple[str, ...]
    against: tuple[str, ...] = ()
    level: float | None = None
    common: str = "keep"
    against_common: str = "keep"
    better: str = "higher"
    side: str = "better"

    @property
    def pairs(self) -> list[tuple[str, str | None]]:
        """(method, rival) of every contrast; rival None for a number."""
        if self.level is not None:
            return [(method, None) for method in self.method]
        if not self.against:
            return [(method, method) for method in self.method]
        return list(itertools.product(self.method, self.against))

    def in_populations(self) -> list[Population]:
        """The populations that the patterns name."""
        return [each for each in POPULATIONS if any(fnmatch.fnmatch(each.name, one) for one in self.populations)]


class Contrast(NamedTuple):
    """One paired difference; ``value``, ``low`` and ``high`` in the metric's unit as it is, ``found`` by the rule.

    ``needed``: number of pictures that would decide it if mean and spread stayed as they are; None unless "open".
    """

    population: Population
    method: str
    rival: str | None
    value: float
    low: float
    high: float
    n: int
    found: str
    needed: int | None


class Decision(NamedTuple):
    """The verdict of a claim, by population and of all of them, with the contrasts that it stands on.

    ``factor``: what the populations differ by where the verdict is "depends"; else "".
    """

    verdict: str
    factor: str
    by_population: Mapping[str, str]
    contrasts: tuple[Contrast, ...]

    @property
    def text(self) -> str:
        """The verdict in words."""
        return f"depends on the {self.factor}" if self.verdict == "depends" else self.verdict

    @property
    def needed(self) -> int | None:
        """Number of pictures a population that would decide an undecided claim."""
        return (
            max((c.needed for c in self.contrasts if c.needed), default=None) if self.verdict == "undecided" else None
        )


def make_rules(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Rule]:
    """Rules by claim id; ValueError where one has an unknown or lacking key, or names no population."""
    rules = {}
    for claim_id, entry in entries.items():
        texts = {name: entry[name] for name in ("method", "against", "populations") if name in entry}
        given = dict(entry) | {name: (v,) if isinstance(v, str) else tuple(v) for name, v in texts.items()}
        try:
            rule = Rule(**given)
        except TypeError as error:
            raise ValueError(f"{claim_id} in {FILE}: {error}") from None
        words = {"better": ("higher", "lower"), "side": SIDES}
        wrong = [f"{name}={getattr(rule, name)!r}" for name, known in words.items() if getattr(rule, name) not in known]
        same = not rule.against and rule.level is None and rule.common == rule.against_common
        if wrong or same or not rule.in_populations():
            what = ", ".join(wrong) or ("a method against itself" if same else f"no population {rule.populations}")
            raise ValueError(f"{claim_id} in {FILE}: {what}")
        rules[claim_id] = rule
    return rules


RULES: Mapping[str, Rule] = MappingProxyType(make_rules(read_table(FILE)))


class Grouped:
    """Rows that are looked up by population, method and removed common map; built once for many rules.

    ``column`` returns a metric of all rows where ``rows`` has only what they are about.
    """

    def __init__(self, rows: pd.DataFrame, column: Callable[[str], pd.Series] | None = None) -> None:
        self._column = column or rows.__getitem__
        self._places = rows.groupby(["network", "layer", "kind", "method", "common"], observed=True).indices
        self._pictures, _ = pd.factorize(rows["picture"])
        targets, self._classes = pd.factorize(rows["target"])
        self._keys = self._pictures * len(self._classes) + targets
        self._known: dict[tuple[Any, ...], tuple[np.ndarray, np.ndarray]] = {}

    def values(self, where: Population, method: str, common: str, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """(keys of picture and class, ascending, values of the metric) where it has one."""
        name = (where, method, common, metric)
        if name not in self._known:
            places = self._places.get((where.network, where.layer, where.kind, method, common), np.array([], dtype=int))
            found = self._column(metric).iloc[places].to_numpy(dtype="float64", na_value=np.nan)
            places = places[np.isfinite(found)]
            order = np.argsort(self._keys[places])
            self._known[name] = self._keys[places][order], found[np.isfinite(found)][order]
        return self._known[name]

    def picture_means(self, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Mean over the classes of each picture."""
        _, owner = np.unique(keys // len(self._classes), return_inverse=True)
        return np.bincount(owner, values) / np.bincount(owner)


def decide_by(rule: Rule, rows: pd.DataFrame | Grouped) -> Decision:
    """What rows say of a rule; a population without rows is left out, and is "undecided" if none has any.

    ``rows``: network, layer, kind, picture, target, method, common and the metric's column, as
    :func:`camlib.evaluate.evidence.read` returns them.
    """
    found = rows if isinstance(rows, Grouped) else Grouped(rows)
    measured = [
        (each, m, r, _differences(rule, found, each, m, r)) for each in rule.in_populations() for m, r in rule.pairs
    ]
    known = [entry for entry in measured if len(entry[3]) >= 2]
    contrasts = tuple(_judged(rule, known))
    by_population = {}
    for each in dict.fromkeys(c.population for c in contrasts):
        by_population[each.name] = of_part([c.found for c in contrasts if c.population == each])
    verdict, factor = together(by_population, _factor)
    return Decision(verdict, factor, by_population, contrasts)


def _differences(rule: Rule, rows: Grouped, where: Population, method: str, rival: str | None) -> np.ndarray:
    """Per-picture differences of a contrast, with the claim's side as plus; pictures where one has no value are out."""
    sign = 1 if rule.better == "higher" else -1
    keys, first = rows.values(where, method, rule.common, rule.metric)
    if rival is None:
        return sign * (rows.picture_means(keys, first) - rule.level)
    others, second = rows.values(where, rival, rule.against_common, rule.metric)
    both, i, j = np.intersect1d(keys, others, assume_unique=True, return_indices=True)
    return sign * rows.picture_means(both, first[i] - second[j])


def _judged(rule: Rule, measured: Sequence[tuple[Population, str, str | None, np.ndarray]]) -> Iterable[Contrast]:
    """Contrasts in the given order, judged at Holm's levels."""
    tests = [_tests(values, rule) for *_, values in measured]
    order = sorted(range(len(tests)), key=lambda i: tests[i][1])
    found, stopped = {}, False
    for rank, i in enumerate(order):
        stopped = stopped or tests[i][1] > LEVEL / (len(order) - rank)
        found[i] = "open" if stopped else tests[i][0]
    sign = 1 if rule.better == "higher" else -1
    for i, (where, method, rival, values) in enumerate(measured):
        mean, half = values.mean(), _half_width(values, LEVEL)
        low, high = sorted((sign * (mean - half), sign * (mean + half)))
        needed = _needed(values, rule, LEVEL / len(measured)) if found[i] == "open" else None
        yield Contrast(where, method, rival, float(sign * mean), float(low), float(high), len(values), found[i], needed)


def _tests(values: np.ndarray, rule: Rule) -> tuple[str, float]:
    """(what is most clearly so, its two-sided p): above, below or inside the margin."""
    n, mean, error = len(values), values.mean(), values.std(ddof=1) / math.sqrt(len(values))
    edges = [-rule.margin] if rule.side == "not worse" else [rule.margin, -rule.margin]

    def beyond(edge: float, upward: bool) -> float:
        distance = (mean - edge) if upward else (edge - mean)
        if error == 0:
            return 0.0 if distance > 0 or (distance == 0 and rule.margin > 0) else 1.0
        return float(2 * stats.t.sf(distance / error, n - 1))

    found = {"above": beyond(edges[0], True), "below": beyond(edges[-1], False)}
    if len(edges) == 2:
        found["inside"] = max(beyond(edges[0], False), beyond(edges[1], True))
    best = min(found, key=found.get)
    return best, found[best]


def _half_width(values: np.ndarray, level: float) -> float:
    return float(stats.t.isf(level / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))


def _needed(values: np.ndarray, rule: Rule, level: float) -> int | None:
    """Pictures that resolve the nearest edge; None where the mean lies on it."""
    edges = (-rule.margin,) if rule.side == "not worse" else (-rule.margin, rule.margin)
    distance = min(abs(values.mean() - edge) for edge in edges)
    if distance == 0:
        return None
    return math.ceil((stats.norm.isf(level / 2) * values.std(ddof=1) / distance) ** 2)


def _factor(decided: Mapping[str, str]) -> str:
    """What decided populations differ by."""
    for factor, place in (("layer", 1), ("kind of picture", 2), ("network", 0)):
        groups: dict[str, set[str]] = {}
        for name, verdict in decided.items():
            groups.setdefault(name.split(":")[place], set()).add(verdict)
        if len(groups) > 1 and all(len(verdicts) == 1 for verdicts in groups.values()):
            return factor
    return "network, layer and kind of picture"


@cache
def evidence() -> pd.DataFrame:
    """All rows of data/evidence, read once."""
    return pd.concat(_of_parts(kept.read), ignore_index=True)


def _of_parts(read: Callable[[str], Any]) -> list[Any]:
    """What ``read`` returns for each part of data/evidence that is there."""
    parts = [read(part) for part in kept.PARTS if (kept.EVIDENCE / f"{part}.parquet").is_file()]
    if not parts:
        raise FileNotFoundError("data/evidence has no rows yet. Make them: make evidence (it takes hours).")
    return parts


@cache
def decided(claim_id: str) -> Decision:
    """The decision of a claim that has a rule; KeyError for one that has none."""
    return decide_by(RULES[claim_id], _grouped())


@cache
def _grouped() -> Grouped:
    """All rows; of what was measured only the columns that a rule asks for are read."""
    parts = _of_parts(kept.names)
    rows = pd.concat([part[["picture"]] for part in parts], ignore_index=True)
    for name in parts[0].columns.drop("picture"):
        rows[name] = union_categoricals([part[name] for part in parts])  # concat would make texts of them
    return Grouped(rows, cache(lambda metric: pd.concat(_of_parts(partial(kept.column, metric)), ignore_index=True)))
