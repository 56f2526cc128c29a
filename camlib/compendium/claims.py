"""Claims of the papers, as ``claims.toml`` lists them, and how an interval decides one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

import pandas as pd

from camlib.compendium.deciding import Ruling, rule_on
from camlib.compendium.items import NOTEBOOK, PAPERS, read_table
from camlib.metrics import Interval

RULE_KEYS = {"limit", "better", "side", "fails", "margin", "parts"}
"""What a rule can say, see :func:`camlib.compendium.deciding.rule_on`."""
FILE = "claims.toml"
RULES_FILE = "rules.toml"
"""How rows decide claims, see :mod:`camlib.compendium.verdicts`."""
Found = Interval | Mapping[Any, Interval] | Iterable[Interval] | pd.DataFrame
"""One interval, or several: by name, in a row, or as a table with the columns mean (or value), low and high."""


@dataclass(frozen=True)
class Claim:
    """One claim of a paper, and the notebook that measures it; rows decide it where ``rules.toml`` has a rule for it.

    Attributes:
        claim: what is claimed, in one sentence.
        notebook: empty where rows alone decide.
        section: where the paper says so, such as "sec. 4.2, fig. 12"; may be empty.
        evidence: what the paper shows for it, such as "one picture by eye"; may be empty where a section is given.
        ours: what we measure, a text with ``{placeholders}``; None where the cell gives the whole text or a number.
        measure: what rows of camlib/evaluate/decisive measure, in words; empty where the notebook's pictures decide.
        rule: what `decide` is told about the intervals, such as {"margin": 0.02}; nothing where they decide beside 0.
    """

    id: str
    paper: str
    claim: str
    notebook: str = ""
    section: str = ""
    evidence: str = ""
    ours: str | None = None
    measure: str = ""
    rule: Mapping[str, Any] = field(default_factory=dict)


def make_claims(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Claim]:
    """Claims by id; ValueError for an unknown or a lacking key, an unknown paper or no notebook."""
    known = {claim_field.name for claim_field in fields(Claim)} - {"id"}
    ruled = read_table(RULES_FILE)
    claims = {}
    for claim_id, entry in entries.items():
        unknown = (set(entry) - known) | (set(entry.get("rule", {})) - RULE_KEYS)
        lacking = {"paper", "claim", *([] if claim_id in ruled else ["notebook"])} - set(entry)
        if unknown or lacking:
            raise ValueError(f"{claim_id} in {FILE}: unknown {sorted(unknown)}, lacking {sorted(lacking)}")
        claim = Claim(claim_id, **entry)
        unknown_notebook = not NOTEBOOK.fullmatch(claim.notebook) and (claim.notebook or claim_id not in ruled)
        if claim.paper not in PAPERS or unknown_notebook or not (claim.section or claim.evidence):
            raise ValueError(
                f"{claim_id} in {FILE}: expected a paper of {[*PAPERS]}, a notebook such as 04_sca_cam, a section or "
                f"evidence; given {claim.paper!r}, {claim.notebook!r}, {claim.section!r}, {claim.evidence!r}"
            )
        claims[claim_id] = claim
    return claims


CLAIMS: Mapping[str, Claim] = MappingProxyType(make_claims(read_table(FILE)))


def find_claim(claim_id: str) -> Claim:
    """The claim; ValueError with the nearest ids if there is none."""
    if claim_id not in CLAIMS:
        near = difflib.get_close_matches(str(claim_id), CLAIMS, n=4, cutoff=0.5)
        hint = f"nearest: {', '.join(near)}" if near else f"camlib/compendium/{FILE} lists all"
        raise ValueError(f"no claim {claim_id!r}; {hint}")
    return CLAIMS[claim_id]


# Verdicts


def decision(found: Found, units: int | None = None, **rule: Any) -> Ruling:
    """What one interval or several decide, by the keys of :func:`camlib.compendium.deciding.rule_on`.

    Where ``rule`` names ``parts``, the first element of a key (or the name in a table) says to which part an interval
    belongs: {("last layer", "grad-cam"): …}. Raises ValueError for no interval or a rule that is wrong.
    """
    named = named_intervals(found)
    keys = list(found) if isinstance(found, Mapping) else [name for name, _ in named]
    parts = [str(key[0]) if isinstance(key, tuple) else str(key) for key in keys]
    return rule_on([(part, interval) for part, (_, interval) in zip(parts, named, strict=True)], units, **rule)


def decide(found: Found, limit: float = 0.0, **rule: Any) -> str:
    """The verdict of `decision` in words.

    "holds" if every interval lies above the limit and the margin (below it with ``better="lower"``). "does not hold" if
    one lies on the other side (``fails="any"``), or only if every one does (``fails="all"``). "no difference that
    matters" if one lies within the margin. With ``parts`` "depends on the …" where the parts differ. Else "undecided".
    """
    return decision(found, limit=limit, **rule).text


def agreed(*verdicts: str) -> str:
    """The verdict that all computations give, else "undecided"."""
    return verdicts[0] if len(set(verdicts)) == 1 else "undecided"


def told(found: Found, form: str = "+.2f", each: str = "{interval} ({name})", between: str = ", ") -> str:
    """Intervals in words: "+0.12 [0.03, 0.20]"; several: "+0.12 [0.03, 0.20] (vgg16), -0.10 [-0.14, -0.06] (lite0)".

    ``form`` is the format of the value; its bounds take the same without a plus, or what stands behind a bar:
    "+.2f|+.2f" gives "+0.12 [+0.03, +0.20]". ``each`` says how interval and name go together (an interval without
    a name stands alone), ``between`` what separates them. A table is named by its first column of text.
    """
    own, _, bounds = form.partition("|")
    bounds = bounds or own.replace("+", "", 1)
    texts = []
    for name, i in named_intervals(found):
        interval = f"{i.value:{own}} [{i.low:{bounds}}, {i.high:{bounds}}]"
        texts.append(each.format(interval=interval, name=name) if name else interval)
    return between.join(texts)


def effect(found: Found, units: int | None = None) -> str:
    """Intervals in a short line, the lowest first, of more than three the ends: "−0.01 [−0.03, 0.02] (lite0); n 24"."""
    pairs = sorted(named_intervals(found), key=lambda pair: pair[1].value)
    largest = max(abs(bound) for _, i in pairs for bound in (i.low, i.high))
    form = ".2f" if largest >= 1 else ".3f" if largest >= 0.05 else ".4f"
    texts = [told({name: i} if name else i, f"+{form}") for name, i in pairs]
    line = " to ".join((texts[0], texts[-1])) if len(texts) > 3 else ", ".join(texts)
    return (
        (line + (f"; n {units:,}" if units else "")).replace("-0", "\N{MINUS SIGN}0").replace("[-", "[\N{MINUS SIGN}")
    )


def span(found: Found) -> tuple[float, float]:
    """The lowest lower and the highest upper bound."""
    intervals = [i for _, i in named_intervals(found)]
    return min(i.low for i in intervals), max(i.high for i in intervals)


def named_intervals(found: Found) -> list[tuple[str, Interval]]:
    """(name, interval) of one or several intervals; names are empty where nothing names them; ValueError for none."""
    if isinstance(found, Interval):
        return [("", found)]
    if isinstance(found, pd.DataFrame):
        pairs = _rows(found)
    elif isinstance(found, Mapping):
        pairs = [(name_text(key), interval) for key, interval in found.items()]
    else:
        pairs = [("", interval) for interval in found]
    if not pairs or not all(isinstance(interval, Interval) for _, interval in pairs):
        raise ValueError(f"given {found!r}; expected at least one Interval, see camlib.metrics.bootstrap_interval")
    return pairs


def _rows(table: pd.DataFrame) -> list[tuple[str, Interval]]:
    """The rows of a table as intervals."""
    value = next((name for name in ("mean", "value") if name in table), None)
    if value is None or not {"low", "high"} <= set(table):
        raise ValueError(f"a table with columns {[*table.columns]}; expected mean (or value), low and high")
    texts = [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    names = table[texts[0]] if texts else [""] * len(table)
    numbers = table[[value, "low", "high"]].itertuples(index=False, name=None)
    return [(str(name), Interval(*map(float, row))) for name, row in zip(names, numbers, strict=True)]


def name_text(key: Any) -> str:
    """The name of one of several: parts with commas between."""
    return ", ".join(map(str, key)) if isinstance(key, tuple) else str(key)
