"""camlib.compendium.claims: the list of claims, verdicts of intervals, and intervals in words."""

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camlib import paths
from camlib.compendium.claims import CLAIMS, agreed, decide, find_claim, make_claims, span, told
from camlib.metrics import Interval

ABOVE, BELOW, ACROSS = Interval(0.2, 0.1, 0.3), Interval(-0.2, -0.3, -0.1), Interval(0.1, -0.1, 0.3)


# The list


def test_claims_are_those_of_the_committed_ledger():
    rows = json.loads((paths.ROOT / "figures" / "claims.json").read_text(encoding="utf-8"))
    assert set(rows) == set(CLAIMS)
    for claim_id, row in rows.items():
        claim = CLAIMS[claim_id]
        assert (claim.paper, claim.notebook) == (row["paper"], row["notebook"])
        assert ", ".join(filter(None, (claim.section, claim.evidence))) == row["evidence"]


def test_an_unknown_claim_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="no claim 'sca-localises-better'; nearest: sca-localizes-better"):
        find_claim("sca-localises-better")


ENTRY = {"paper": "sca", "claim": "It is better", "notebook": "04_sca_cam", "evidence": "by eye"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"verdict": "holds"}, r"x in claims.toml: unknown \['verdict'\]"),
        ({"rule": {"limits": 1}}, r"unknown \['limits'\]"),
        ({"paper": "sac"}, "given 'sac'"),
        ({"notebook": "4"}, "given 'sca', '4'"),
        ({"evidence": ""}, "a section or evidence"),
    ],
)
def test_an_entry_that_is_wrong_is_named(change, words):
    with pytest.raises(ValueError, match=words):
        make_claims({"x": ENTRY | change})


def test_an_entry_that_lacks_something_is_named():
    with pytest.raises(ValueError, match=r"lacking \['claim'\]"):
        make_claims({"x": {"paper": "sca", "notebook": "04_sca_cam", "evidence": "by eye"}})


# Verdicts


@pytest.mark.parametrize(
    ("found", "options", "verdict"),
    [
        (ABOVE, {}, "holds"),
        (BELOW, {}, "does not hold"),
        (ACROSS, {}, "undecided"),
        (Interval(0.2, 0.0, 0.3), {}, "undecided"),
        ([ABOVE, ACROSS], {}, "undecided"),
        ([ABOVE, BELOW], {}, "does not hold"),
        ([ABOVE, BELOW], {"fails": "all"}, "undecided"),
        ([BELOW, BELOW], {"fails": "all"}, "does not hold"),
        (BELOW, {"better": "lower"}, "holds"),
        ([BELOW, ABOVE], {"better": "lower"}, "does not hold"),
        (ABOVE, {"limit": 0.05}, "holds"),
        (ABOVE, {"limit": 0.35}, "does not hold"),
        (ABOVE, {"limit": 0.35, "better": "lower"}, "holds"),
        ({"a": ABOVE, ("b", "c"): ABOVE}, {}, "holds"),
        (pd.DataFrame({"mean": [0.2], "low": [0.1], "high": [0.3]}), {}, "holds"),
    ],
)
def test_verdicts_by_the_place_of_the_intervals(found, options, verdict):
    assert decide(found, **options) == verdict


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 1)), min_size=1, max_size=4), st.floats(-1, 1))
def test_a_verdict_turns_with_the_sign(ends, limit):
    """Lower is better of the mirrored intervals says the same as higher is better of the intervals."""
    found = [Interval(low, low, low + width) for low, width in ends]
    mirrored = [Interval(-i.value, -i.high, -i.low) for i in found]
    for fails in ("any", "all"):
        assert decide(found, limit, fails=fails) == decide(mirrored, -limit, better="lower", fails=fails)


def test_a_verdict_needs_intervals_and_known_words():
    for nothing in ([], {}, [0.1, 0.2], pd.DataFrame({"mean": [1.0]})):
        with pytest.raises(ValueError, match="expected"):
            decide(nothing)
    with pytest.raises(ValueError, match="better='more'"):
        decide(ABOVE, better="more")


def test_a_verdict_stands_if_all_agree():
    assert agreed("holds", "holds") == "holds"
    assert agreed("holds", "does not hold", "holds") == "undecided"


# In words


def test_intervals_in_words():
    table = pd.DataFrame({"n": [3, 4], "network": ["vgg16", "lite0"], "mean": [0.12, -0.1], "low": [0.03, -0.14]})
    table["high"] = [0.2, -0.06]
    assert told(Interval(0.123, 0.03, 0.2)) == "+0.12 [0.03, 0.20]"
    assert told(table) == "+0.12 [0.03, 0.20] (vgg16), -0.10 [-0.14, -0.06] (lite0)"
    assert told(table.set_index("network")) == "+0.12 [0.03, 0.20], -0.10 [-0.14, -0.06]"
    assert told({("grad-cam", "last"): ABOVE}) == "+0.20 [0.10, 0.30] (grad-cam, last)"
    assert told({"a": ABOVE, "b": BELOW}, ".1f", "{name} {interval}", "; ") == "a 0.2 [0.1, 0.3]; b -0.2 [-0.3, -0.1]"
    assert told([ABOVE, BELOW], "+.1f|+.1f") == "+0.2 [+0.1, +0.3], -0.2 [-0.3, -0.1]"
    assert told(Interval(-0.0001, -0.0002, 0.3), "+z.3f") == "+0.000 [0.000, 0.300]"


def test_the_span_of_intervals():
    assert span({"a": ABOVE, "b": ACROSS}) == (-0.1, 0.3)
    assert span(ABOVE) == (0.1, 0.3)
