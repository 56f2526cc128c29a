"""camlib.compendium.ledger: rows of decided claims and the texts made of them."""

import pytest
from helpers import CLAIM_ROW

from camlib.compendium import ledger


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
    ledger.enter("c", **dict(CLAIM_ROW, notebook="05_gradient_methods"))
    assert ledger.notebook_text(ledger.claims(), "04_sca_cam").splitlines() == [
        "| claim | measured here | verdict |",
        "|---|---|---|",
        "| SCA-CAM localizes better | yes | **holds** |",
        "| SCA-CAM localizes better | 0.361 | **does not hold** |",
    ]
