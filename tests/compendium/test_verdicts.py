"""camlib.compendium.verdicts: contrasts by hand, Holm against a literal loop, populations that agree or do not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camlib.compendium import deciding, verdicts
from camlib.compendium.claims import CLAIMS
from camlib.compendium.verdicts import RULES, Rule, decide_by, make_rules
from camlib.evaluate.evidence import kept
from camlib.evaluate.evidence.populations import METHODS

RULE = Rule("energy", ("a",), 0.02, ("scenes-gap:last:one",), ("b",))


def rows(differences, network="scenes-gap", layer="last", kind="one", metric="energy", common="keep"):
    """Rows of methods "a" and "b" whose difference on picture i is ``differences[i]``."""
    place = {"network": network, "layer": layer, "kind": kind, "target": "circle"}
    made = []
    for picture, difference in enumerate(differences):
        made.append(place | {"picture": picture, "method": "a", "common": common, metric: 0.5 + difference})
        made.append(place | {"picture": picture, "method": "b", "common": "keep", metric: 0.5})
    return pd.DataFrame(made)


def noisy(mean, n=100, spread=0.01, seed=0):
    noise = np.random.default_rng(seed).normal(size=n)
    return mean + spread * (noise - noise.mean()) / noise.std(ddof=1)


@pytest.mark.parametrize(
    ("mean", "verdict"),
    [
        (0.05, "holds"),
        (-0.05, "does not hold"),
        (0.0, "no difference that matters"),
        (0.01, "no difference that matters"),
        (0.021, "undecided"),
        (-0.0195, "undecided"),
    ],
)
def test_one_contrast_by_where_its_interval_lies(mean, verdict):
    found = decide_by(RULE, rows(noisy(mean)))
    assert found.verdict == verdict
    (contrast,) = found.contrasts
    assert contrast.value == pytest.approx(mean)
    half = 1.9842 * 0.01 / 10  # Student's t with 99 degrees of freedom
    assert (contrast.low, contrast.high) == pytest.approx((mean - half, mean + half), abs=1e-6)
    assert contrast.n == 100


def test_lower_is_better_turns_the_verdict_and_not_the_printed_number():
    rule = Rule("energy", ("a",), 0.02, ("scenes-gap:last:one",), ("b",), better="lower")
    found = decide_by(rule, rows(noisy(-0.05)))
    assert found.verdict == "holds"
    assert found.contrasts[0].value == pytest.approx(-0.05)
    assert found.contrasts[0].low < -0.05 < found.contrasts[0].high


@pytest.mark.parametrize(
    ("mean", "verdict"), [(0.0, "holds"), (-0.01, "holds"), (0.3, "holds"), (-0.05, "does not hold")]
)
def test_not_worse_asks_for_one_edge(mean, verdict):
    rule = Rule("energy", ("a",), 0.02, ("scenes-gap:last:one",), ("b",), side="not worse")
    assert decide_by(rule, rows(noisy(mean))).verdict == verdict


def test_pictures_are_the_units_classes_are_not():
    twice = pd.concat([rows(noisy(0.021)), rows(noisy(0.021)).assign(target="ring")])
    assert decide_by(RULE, twice).contrasts[0].n == 100
    assert decide_by(RULE, twice).verdict == "undecided"


def test_the_number_that_would_decide_does():
    found = decide_by(RULE, rows(noisy(0.021)))
    assert 300 < found.needed < 500
    assert decide_by(RULE, rows(noisy(0.021, n=2 * found.needed))).verdict == "holds"


def test_a_level_stands_in_for_a_rival():
    rule = Rule("energy", ("a",), 0.0, ("scenes-gap:last:one",), level=0.7, better="lower")
    assert decide_by(rule, rows(noisy(0.0))).verdict == "holds"
    assert decide_by(rule, rows(noisy(0.4))).verdict == "does not hold"


def test_the_same_map_without_its_common_part():
    rule = Rule("energy", ("a",), 0.02, ("scenes-gap:last:one",), common="project", against_common="keep")
    kept_map = rows(noisy(0.0))
    made = pd.concat([kept_map, rows(noisy(0.1), common="project").query("method == 'a'")])
    assert decide_by(rule, made).verdict == "holds"


def test_pictures_that_one_side_lacks_are_left_out():
    some = rows(noisy(0.05, n=50))
    some.loc[some.index[:20], "energy"] = np.nan
    assert decide_by(RULE, some).contrasts[0].n == 40


# -- several contrasts


@given(st.lists(st.floats(-0.06, 0.06), min_size=1, max_size=7), st.integers(0, 5))
def test_contrasts_are_open_where_holm_does_not_reject(means, seed):
    rivals = tuple(f"b{i}" for i in range(len(means)))
    rule = Rule("energy", ("a",), 0.02, ("scenes-gap:last:one",), rivals)
    values = [noisy(mean, n=30, spread=0.03, seed=seed + i) for i, mean in enumerate(means)]
    # One "a" for all: each rival is shifted instead.
    energies = np.concatenate([np.full(30, 0.5), *(0.5 - each for each in values)])
    methods, pictures = np.repeat(["a", *rivals], 30), np.tile(range(30), 1 + len(values))
    place = {"network": "scenes-gap", "layer": "last", "kind": "one", "target": "circle", "common": "keep"}
    found = decide_by(rule, pd.DataFrame(place | {"picture": pictures, "method": methods, "energy": energies}))
    p = [verdicts._tests(each, rule)[1] for each in values]
    assert [c.found != "open" for c in found.contrasts] == [q <= verdicts.LEVEL for q in holm(p)]


def holm(p):
    """Adjusted p by the definition: the largest of (m − rank) p over those that are as small or smaller."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate([(len(p) - rank) * p[i] for rank, i in enumerate(order)])
    return adjusted


@pytest.mark.parametrize(
    ("found", "together"),
    [
        ({"n:last:one": "holds", "m:last:one": "holds"}, ("holds", "")),
        ({"n:last:one": "holds", "m:last:one": "undecided"}, ("holds", "")),
        ({"n:last:one": "holds", "m:last:one": "undecided", "k:last:one": "undecided"}, ("undecided", "")),
        ({"n:last:one": "holds", "m:last:one": "does not hold"}, ("depends", "network")),
        ({"n:last:one": "holds", "n:inner:one": "does not hold"}, ("depends", "layer")),
        ({"n:last:one": "holds", "n:last:several": "does not hold"}, ("depends", "kind of picture")),
        (
            {"n:last:one": "holds", "n:inner:one": "does not hold", "m:last:one": "does not hold"},
            ("depends", "network, layer and kind of picture"),
        ),
        ({}, ("undecided", "")),
    ],
)
def test_populations_together(found, together):
    assert deciding.together(found, verdicts._factor) == together


def test_populations_without_rows_are_left_out():
    rule = Rule("energy", ("a",), 0.02, ("*:last:one",), ("b",))
    assert list(decide_by(rule, rows(noisy(0.05))).by_population) == ["scenes-gap:last:one"]


# -- the file


@pytest.mark.parametrize("claim_id", ["score-lower-deletion", "law-unsigned-maps-are-the-sum"])
def test_columns_that_are_read_when_asked_for_decide_as_whole_rows_do(claim_id):
    rows = kept.read("scenes", network="scenes-gap")
    among = replace(RULES[claim_id], populations=("scenes-gap:*",))
    asked = []

    def column(metric):
        asked.append(metric)
        return rows[metric]

    assert decide_by(among, verdicts.Grouped(rows[list(kept.NAMES)], column)) == decide_by(among, rows)
    assert set(asked) == {among.metric}


def test_every_rule_belongs_to_a_claim_and_names_methods_and_columns():
    assert set(RULES) <= set(CLAIMS)
    columns = set(kept.SHARES) | set(kept.MARKS)
    derived = {
        "average-drop",
        "average-drop-half",
        "average-increase",
        "average-increase-half",
        "class_share",
        "overall",
    }
    for rule in RULES.values():
        assert set(rule.method) | set(rule.against) <= set(METHODS)
        assert rule.metric in columns | derived
        assert rule.margin >= 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metod": "a"}, "x in rules.toml: .*metod"),
        ({"better": "more"}, "better='more'"),
        ({"side": "worse"}, "side='worse'"),
        ({"against": []}, "a method against itself"),
        ({"populations": ["nowhere:*:*"]}, "no population"),
    ],
)
def test_a_rule_that_is_wrong_is_named(change, words):
    entry = {"metric": "energy", "method": "a", "against": ["b"], "margin": 0.1, "populations": ["*:last:one"]}
    with pytest.raises(ValueError, match=words):
        make_rules({"x": entry | change})
