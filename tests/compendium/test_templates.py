"""camlib.compendium.templates: templates and their errors, and the caption of an entry."""

import numpy as np
import pandas as pd
import pytest
import torch

from camlib.compendium.claims import CLAIMS
from camlib.compendium.items import ITEMS, find_item
from camlib.compendium.templates import caption_text, fill, placeholders, provenance, reading, refuse_unknown
from camlib.metrics import Interval

TEXTS = ("caption", "finding", "read", "differs", "network", "data")
WHERE = "sca-fig-10 in items.toml"


@pytest.mark.parametrize(
    ("template", "values", "text"),
    [
        ("plain text, 100 % and {{braces}}", {}, "plain text, 100 % and {braces}"),
        ("α = {largest:.2f}", {"largest": np.float32(0.486)}, "α = 0.49"),
        ("{n:,} pictures", {"n": 1234}, "1,234 pictures"),
        ("{share:.0%}", {"share": torch.tensor(0.126)}, "13%"),
        ("{stages}", {"stages": ["a", "b"]}, "a, b"),
        ("{shares:.0%}", {"shares": pd.Series([0.1, 0.25])}, "10%, 25%"),
        ("{means:.2f}", {"means": {"vgg16": 0.5, "lite0": 1}}, "0.50 (vgg16), 1.00 (lite0)"),
        ("{found:+.2f}", {"found": Interval(0.12, 0.03, 0.2)}, "+0.12 [0.03, 0.20]"),
        ("{found:.1f|+.1f}", {"found": Interval(0.12, 0.03, 0.2)}, "0.1 [+0.0, +0.2]"),
        ("{gaps:+.1f}", {"gaps": {("a", "b"): Interval(0.1, 0.0, 0.2)}}, "+0.1 [0.0, 0.2] (a, b)"),
        ("{found.low:.1f} and {row[x]}", {"found": Interval(0.1, 0.0, 0.2), "row": {"x": 3}}, "0.0 and 3"),
    ],
)
def test_placeholders_are_filled_with_numbers_lists_and_intervals(template, values, text):
    assert fill(template, values, WHERE) == text


def test_a_placeholder_without_a_value_is_named_with_item_and_file():
    with pytest.raises(
        ValueError, match=r"^sca-fig-10 in items.toml has \{largest\}, which the call does not give; it "
    ):
        fill("{largest:.2f} of {n}", {"n": 1}, WHERE)


def test_a_value_without_a_placeholder_is_named_with_item_and_file():
    with pytest.raises(
        ValueError, match=r"^sca-fig-10 in items.toml has no \{larget\}; its placeholders: \{largest\}, \{n\}$"
    ):
        refuse_unknown({"larget", "n"}, ["{largest:.2f}", None, "of {n}"], WHERE)


@pytest.mark.parametrize("value", ["much", None, {"a": "much"}])
def test_a_value_that_does_not_fit_its_format_is_named(value):
    with pytest.raises(ValueError, match=r"^sca-fig-10 in items.toml: '\{largest:.2f\}' cannot be filled with"):
        fill("{largest:.2f}", {"largest": value}, WHERE)


def test_names_of_placeholders():
    assert placeholders("{a} {b.low:.2f} {c[0]} {d:{width}} {{e}}", None, "") == {"a", "b", "c", "d", "width"}


def test_every_template_of_the_compendium_can_be_read():
    texts = [getattr(item, name) for item in ITEMS.values() for name in TEXTS]
    texts += [text for claim in CLAIMS.values() for text in (claim.claim, claim.ours)]
    assert all("" not in placeholders(text) for text in texts)


def test_the_caption_says_everything_in_order():
    entry = {"caption": "What is seen", "network": "lite0", "data": "goose", "n": 1, "seed": None, "differs": None}
    title = find_item("sca-fig-01").title
    assert caption_text(find_item("sca-fig-01"), entry) == (
        f"**{title}.** What is seen. <sub>sca-fig-01 · Network lite0; data goose; n = 1</sub>"
    )
    entry |= {"seed": 0, "differs": "another network", "not_comparable": "random weights", "finding": "It is so."}
    assert caption_text(find_item("sca-fig-01"), entry) == (
        f"**{title}.** *It is so.* What is seen. Differs from the paper: another network. "
        "**Not comparable:** random weights. <sub>sca-fig-01 · Network lite0; data goose; n = 1; seed 0</sub>"
    )


def test_numbers_in_a_caption_have_true_signs():
    entry = {"caption": "from -1 to 3 x 3", "network": "", "data": "a-b", "n": 2, "seed": None, "differs": "by -0.5"}
    assert reading(entry) == "from −1 to 3 × 3. Differs from the paper: by −0.5."
    assert provenance(entry) == "data a-b; n = 2"
