"""camlib.compendium.ledger: rows of decided claims and the texts made of them."""

import numpy as np
import pandas as pd
import pytest
from helpers import CLAIM_ROW

from camlib.compendium import counted, ledger, verdicts
from camlib.compendium.claims import Claim
from camlib.compendium.verdicts import Rule, decide_by


def test_a_claim_is_a_row_of_the_ledger(folder):
    assert ledger.enter("sca-localizes", **CLAIM_ROW) == "SCA-CAM localizes better: does not hold"
    ledger.enter("score-faithful", **dict(CLAIM_ROW, paper="score", interval=None, verdict="holds", ours="yes"))
    text = ledger.claims_text(ledger.claims())
    assert "2 claims: 1 holds, 1 does not hold." in text
    assert "| SCA-CAM localizes better | **does not hold** | [0.31 … 0.4] |  | 04_sca_cam |" in text
    assert text.index("SCA-CAM (Si") < text.index("Score-CAM (Wang")


def test_a_verdict_that_does_not_exist_is_refused(folder):
    with pytest.raises(ValueError, match=r"verdict is 'true'; expected one of \['holds', 'does not hold'"):
        ledger.enter("sca-localizes", **dict(CLAIM_ROW, verdict="true"))
    assert ledger.claims() == {}


def test_the_table_of_a_notebook_has_its_claims_alone(folder):
    ledger.enter("b", **CLAIM_ROW)
    ledger.enter("a", **dict(CLAIM_ROW, ours="yes", verdict="holds"))
    ledger.enter("c", **dict(CLAIM_ROW, notebook="06_gradient_methods"))
    assert ledger.notebook_text(ledger.claims(), "04_sca_cam").splitlines() == [
        "| claim | measured here | verdict |",
        "|---|---|---|",
        "| SCA-CAM localizes better | yes | **holds** |",
        "| SCA-CAM localizes better | 0.361 | **does not hold** |",
    ]


# -- claims that rows decide


@pytest.fixture
def ruled(folder, monkeypatch):
    """A claim of a notebook and one of rows alone, with a rule that two tiny populations decide."""
    rule = Rule("energy", ("grad-cam",), 0.02, ("scenes-gap:last:one", "scenes-vgg:last:one"), ("feature-map",))
    claims = {
        "with-notebook": Claim("with-notebook", "sca", "Grad-CAM is better{where}", "04_sca_cam", evidence="by eye"),
        "rows-alone": Claim("rows-alone", "own", "It is so", evidence="a pilot"),
    }
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"network": network, "layer": "last", "kind": "one", "picture": i, "target": "ring", "method": method,
         "common": "keep", "energy": value + 0.01 * rng.normal()}
        for network, gain in (("scenes-gap", 0.1), ("scenes-vgg", -0.1))
        for i in range(50)
        for method, value in (("grad-cam", 0.5 + gain), ("feature-map", 0.5))
    )  # fmt: skip
    monkeypatch.setattr(counted, "COUNTED", ())
    monkeypatch.setattr(verdicts, "RULES", dict.fromkeys(claims, rule))
    monkeypatch.setattr(verdicts, "decided", lambda claim_id: decide_by(rule, rows))
    monkeypatch.setattr(ledger, "find_claim", claims.get)


def test_rows_decide_what_stands_in_the_ledger_and_the_notebook_says_what_it_sees(ruled):
    row = dict(CLAIM_ROW, claim="Grad-CAM is better", verdict="undecided", ours="+0.01 on five photographs")
    line = ledger.enter("with-notebook", **row)
    assert line == "Grad-CAM is better: undecided on these pictures; by the rows of the ledger: depends on the network"
    found = ledger.claims()["with-notebook"]
    assert (found["claim"], found["verdict"]) == ("Grad-CAM is better", "depends on the network")
    assert found["populations"] == "✓ GAP; ✗ MLP (VGG)"
    assert found["ours"].startswith("share of the energy on the object's mask, grad-cam − feature-map: −0.1")
    assert found["ours"].endswith("; n 50")
    assert "+0.01 on five photographs" in ledger.notebook_text(ledger.claims(), "04_sca_cam")


def test_claims_of_rows_are_entered_by_the_gallery_and_keep_what_notebooks_say(ruled):
    ledger.enter("with-notebook", **dict(CLAIM_ROW, ours="seen"))
    ledger.enter_ruled()
    rows = ledger.claims()
    assert set(rows) == {"with-notebook", "rows-alone"}
    assert rows["with-notebook"]["notebook says"] == "seen"
    assert rows["rows-alone"]["command"] == "python -m camlib.compendium.findings rows-alone"
    text = ledger.claims_text(rows)
    assert "2 claims: 2 depends." in text
    assert "| It is so | **depends on the network** | share of the energy" in text
    assert "`rows-alone`" in text


def test_a_counted_claim_says_its_parts_and_what_prints_it(folder):
    row = ledger.row_of("score-weights-background")
    assert row["verdict"] == counted.ruling("score-weights-background").text
    assert row["command"] == "python -m camlib.compendium.findings score-weights-background"
    assert "last layer" in row["populations"]
    assert "; n " in row["ours"]


def test_a_claim_of_a_notebook_shows_its_effect_and_the_n_that_would_decide(folder):
    more = {"measured": "+0.01 [0.00, 0.02]; n 5", "needed": 17, "populations": "· a; ✓ b"}
    line = ledger.enter("c", **dict(CLAIM_ROW, verdict="undecided"), **more)
    assert line == "SCA-CAM localizes better: undecided (decided by n = 17)"
    text = ledger.claims_text(ledger.claims())
    assert "| **undecided (decided by n = 17)** | +0.01 [0.00, 0.02]; n 5 | · a; ✓ b |" in text
