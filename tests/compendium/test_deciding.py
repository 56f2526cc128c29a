"""camlib.compendium.deciding: verdicts of intervals with a margin, Holm, parts, and the n that would decide."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from camlib.compendium import counted
from camlib.compendium.claims import CLAIMS, decision, effect
from camlib.compendium.deciding import MARKS, VERDICTS, of_part, rule_on
from camlib.metrics import Interval


def around(value, half):
    return Interval(value, value - half, value + half)


def test_every_rival_must_be_beaten_one_that_loses_refutes():
    assert of_part(["above", "above"]) == "holds"
    assert of_part(["above", "below", "open"]) == "does not hold"
    assert of_part(["above", "below"], "all") == "undecided"
    assert of_part(["above", "inside", "open"]) == "no difference that matters"
    assert of_part(["above", "open"]) == "undecided"


@pytest.mark.parametrize(
    ("interval", "rule", "verdict"),
    [
        (around(0.05, 0.02), {"margin": 0.02}, "holds"),
        (around(-0.05, 0.02), {"margin": 0.02}, "does not hold"),
        (around(0.005, 0.01), {"margin": 0.02}, "no difference that matters"),
        (around(0.0, 0.0), {"margin": 0.02}, "no difference that matters"),
        (around(0.0, 0.0), {}, "undecided"),
        (around(0.03, 0.02), {"margin": 0.02}, "undecided"),
        (around(0.55, 0.02), {"margin": 0.02, "limit": 0.5}, "holds"),
        (around(-0.05, 0.02), {"margin": 0.02, "better": "lower"}, "holds"),
        (around(0.01, 0.02), {"margin": 0.1, "side": "none"}, "holds"),
        (around(0.2, 0.02), {"margin": 0.1, "side": "none"}, "does not hold"),
        (around(-0.2, 0.02), {"margin": 0.1, "side": "none"}, "does not hold"),
        (around(0.1, 0.02), {"margin": 0.1, "side": "none"}, "undecided"),
    ],
)
def test_one_interval_by_where_it_lies(interval, rule, verdict):
    assert decision(interval, **rule).text == verdict


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=6))
def test_several_intervals_are_resolved_where_holm_rejects(z):
    """Against adjusted p values by the definition: standard normal statistics, margin 0."""
    found = decision([around(value, stats.norm.isf(0.025)) for value in z])
    p = 2 * stats.norm.sf(np.abs(z))
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate([(len(p) - rank) * p[i] for rank, i in enumerate(order)])
    rejected = adjusted < 0.05
    signs = ["above" if value > 0 else "below" for value in z]
    assert found.verdict == of_part([s if r else "open" for s, r in zip(signs, rejected, strict=True)])


def test_parts_that_differ_and_are_resolved_are_no_undecided_claim():
    found = {("last layer", "a"): around(0.4, 0.1), ("inner layer", "a"): around(0.0, 0.01)}
    ruling = decision(found, margin=0.02, parts="layer")
    assert (ruling.text, ruling.marks) == ("depends on the layer", "✓ last layer; = inner layer")
    assert decision(found, margin=0.02).text == "no difference that matters"
    assert decision({"last layer": around(0.4, 0.1)}, parts="layer").marks == ""


def test_an_undecided_claim_says_how_many_units_it_needs():
    ruling = decision(around(0.01, 0.03), 100, margin=0.02)
    assert (ruling.verdict, ruling.needed) == ("undecided", 900)
    n = ruling.needed
    shrunk = around(0.01, 0.03 * math.sqrt(100 / (n + 1)))
    assert decision(shrunk, n + 1, margin=0.02).verdict == "no difference that matters"
    assert decision(around(0.01, 0.03), margin=0.02).needed is None


@pytest.mark.parametrize("wrong", [{"side": "worse"}, {"margin": -0.1}, {"side": "none"}, {"fails": "some"}])
def test_a_rule_that_is_wrong_is_refused(wrong):
    with pytest.raises(ValueError, match=r"side|margin|fails"):
        rule_on([("", around(0, 1))], **wrong)


def test_effects_in_a_short_line():
    found = {("x", "y"): around(0.1, 0.05), "z": around(-0.1, 0.05)}
    assert effect(found, 24) == "−0.100 [−0.150, −0.050] (z), +0.100 [0.050, 0.150] (x, y); n 24"
    assert effect(around(1.5, 1)) == "+1.50 [0.50, 2.50]"
    many = {name: around(value, 0.01) for value, name in enumerate("abcd")}
    assert effect(many) == "+0.00 [−0.01, 0.01] (a) to +3.00 [2.99, 3.01] (d)"


@pytest.mark.parametrize("claim_id", counted.COUNTED)
def test_rows_decide_every_counted_claim(claim_id):
    ruling = counted.ruling(claim_id)
    assert ruling.verdict in VERDICTS
    assert (ruling.needed is None) or ruling.verdict == "undecided"
    assert CLAIMS[claim_id].measure in counted.effect_text(claim_id)
    assert set(counted.contrast_table(claim_id)["verdict of the part"]) <= set(MARKS)
