"""What a decision is in words: the effect, the populations with their marks, and every contrast as a table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import pandas as pd

from camlib.compendium import counted
from camlib.compendium.claims import find_claim
from camlib.compendium.deciding import MARKS
from camlib.compendium.verdicts import RULES, Contrast, Decision, Rule, decided
from camlib.evaluate.evidence.populations import HEADS, Population

METRIC_NAMES = {
    "energy": "share of the energy on the object's mask",
    "on_objects": "share of the energy on the masks of all objects",
    "class_share": "share of the object energy on the asked class",
    "cause": "agreement with what the objects do to the logit",
    "extent": "area above half of the maximum",
    "hit": "hottest pixel on the object",
    "twins": "all objects of the class lit",
    "alike_sum": "correlation with ΣM",
    "alike_class": "correlation between the maps of two classes",
    "drop": "drop of the probability behind the map",
}
"""How the ledger calls a column; metrics of :data:`camlib.metrics.METRICS` go by their own name."""


def metric_text(name: str) -> str:
    """A metric or column in words."""
    return METRIC_NAMES.get(name, name.replace("-", " "))


def effect_text(rule: Rule, decision: Decision) -> str:
    """The effect in one line: of each population the contrast that is nearest to failing, from lowest to highest.

    "correlation with ΣM, score-cam − grad-cam: +0.264 [0.257, 0.272] to +0.410 [0.396, 0.424]; n 960".
    """
    if not decision.contrasts:
        return "no rows yet"
    nearest = _nearest(rule, decision)
    ends = [min(nearest, key=lambda c: c.value), max(nearest, key=lambda c: c.value)]
    told = " to ".join(dict.fromkeys(_interval(c) for c in ends))
    counts = sorted({c.n for c in decision.contrasts})
    n = f"n {counts[0]:,}" + (f"–{counts[-1]:,}" if len(counts) > 1 else "")
    return f"{metric_text(rule.metric)}, {_pair(rule, nearest)}: {told}; {n}"


def populations_text(decision: Decision) -> str:
    """Populations by their mark: "✓ MLP (VGG); ✗ GAP, max 2/2". With several layers or kinds they are named."""
    several = [len({name.split(":")[place] for name in decision.by_population}) > 1 for place in (1, 2)]
    groups: dict[str, list[str]] = {}
    for name, verdict in decision.by_population.items():
        groups.setdefault(MARKS[verdict], []).append(_population_text(Population(*name.split(":")), *several))
    order = list(MARKS.values())
    return "; ".join(f"{mark} {', '.join(groups[mark])}" for mark in sorted(groups, key=order.index))


def command(claim_id: str) -> str:
    """What prints every number of a claim."""
    return f"python -m camlib.compendium.findings {claim_id}"


def contrast_table(claim_id: str) -> pd.DataFrame:
    """Every contrast of a claim: population, method, rival, value, interval, n, what was found, n that would decide."""
    return pd.DataFrame(
        [
            {
                "population": c.population.name,
                "method": c.method,
                "rival": c.rival or f"{RULES[claim_id].level:g}",
                "value": round(c.value, 4),
                "low": round(c.low, 4),
                "high": round(c.high, 4),
                "n": c.n,
                "found": c.found,
                "needed": c.needed,
            }
            for c in decided(claim_id).contrasts
        ]
    )


def _nearest(rule: Rule, decision: Decision) -> list[Contrast]:
    """Of each population the contrast that is worst for the claim."""
    sign = 1 if rule.better == "higher" else -1
    worst: dict[Population, Contrast] = {}
    for c in decision.contrasts:
        if c.population not in worst or sign * c.value < sign * worst[c.population].value:
            worst[c.population] = c
    return list(worst.values())


def _pair(rule: Rule, nearest: Sequence[Contrast]) -> str:
    """What is compared: "score-cam − rise (closest of 4)", or the variants of one method."""
    methods, rivals = (
        list(dict.fromkeys(names)) for names in zip(*((c.method, c.rival) for c in nearest), strict=True)
    )
    method = methods[0] if len(methods) == 1 else f"the weakest of {len(rule.method)} methods"
    if rule.level is not None:
        return f"{method} − {rule.level:g}"
    if not rule.against:
        return f"{method}, {rule.common} − {rule.against_common}"
    rival = rivals[0] if len(rivals) == 1 else "the closest rival"
    return f"{method} − {rival}" + (f" (of {len(rule.against)})" if len(rule.against) > 1 else "")


def _interval(c: Contrast) -> str:
    form = ".2f" if max(abs(c.low), abs(c.high)) >= 1 else ".3f"
    return f"{c.value:+{form}} [{c.low:{form}}, {c.high:{form}}]".replace("-", "\N{MINUS SIGN}")


def _population_text(where: Population, layers: bool, kinds: bool) -> str:
    more = [where.layer] * layers + [where.kind] * kinds
    return HEADS[where.network] + (f" ({', '.join(more)})" if more else "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: every number of the claims that are named, or of all."""
    parser = argparse.ArgumentParser(prog="python -m camlib.compendium.findings", description="How rows decide claims.")
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help="ids of claims (rules.toml); none: all, a line each")
    asked = parser.parse_args(arguments).claims
    if unknown := [name for name in asked if name not in (*RULES, *counted.COUNTED)]:
        parser.error(f"no rows for {', '.join(unknown)}; camlib/compendium/rules.toml and claims.toml list all")
    for name in asked or (*RULES, *counted.COUNTED):
        if name in counted.COUNTED:
            _print_counted(name, bool(asked))
            continue
        decision = decided(name)
        print(f"{name}: {decision.text}\n  {find_claim(name).claim}\n  {effect_text(RULES[name], decision)}")
        print(f"  {populations_text(decision)}" + (f"\n{contrast_table(name).to_string(index=False)}" if asked else ""))
    return 0


def _print_counted(name: str, whole: bool) -> None:
    """A claim of a notebook that rows decide; with ``whole`` every contrast of it."""
    found = counted.ruling(name)
    needed = f" (decided by n = {found.needed:,})" if found.needed else ""
    print(f"{name}: {found.text}{needed}\n  {find_claim(name).claim}\n  {counted.effect_text(name)}")
    print(f"  {found.marks}" + (f"\n{counted.contrast_table(name).to_string(index=False)}" if whole else ""))


if __name__ == "__main__":
    sys.exit(main())
