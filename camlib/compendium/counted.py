"""Claims of notebooks that rows of :mod:`camlib.evaluate.decisive` decide: their ruling, and what the ledger says.

The rule stands beside the claim in ``claims.toml``, and so does ``measure``, what the rows measure in words.
"""

from __future__ import annotations

from functools import cache

import pandas as pd

from camlib.compendium.claims import CLAIMS, decision, effect
from camlib.compendium.deciding import Ruling
from camlib.evaluate import decisive

COUNTED = tuple(claim_id for claim_id, claim in CLAIMS.items() if claim.measure and decisive.made(claim_id))
"""The claims that such rows decide; without rows the pictures of the notebook do."""


@cache
def ruling(claim_id: str) -> Ruling:
    """What the rows decide, by the rule in ``claims.toml``."""
    return decision(decisive.intervals(claim_id), decisive.units(claim_id), **CLAIMS[claim_id].rule)


def effect_text(claim_id: str) -> str:
    """What is measured, from the lowest contrast to the highest, and how many pictures they stand on.

    "share of the map in the right cell: +0.006 [−0.004, 0.016] (sca-cam) to +0.012 [0.001, 0.023] (grad-cam); n 24".
    """
    named = {tuple(filter(None, key)): i for key, i in decisive.intervals(claim_id).items()}
    return f"{CLAIMS[claim_id].measure}: {effect(named, decisive.units(claim_id))}"


def contrast_table(claim_id: str) -> pd.DataFrame:
    """Every contrast: part, what is compared, mean, 95 % interval; and the verdict of its part."""
    by_part = ruling(claim_id).by_part
    rows = [
        {
            "part": part,
            "contrast": contrast,
            **{name: round(bound, 4) for name, bound in i._asdict().items()},
            "verdict of the part": by_part.get(part, by_part.get("", "")),
        }
        for (part, contrast), i in decisive.intervals(claim_id).items()
    ]
    return pd.DataFrame(rows)
