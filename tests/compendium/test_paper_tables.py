"""Tables of one row a method, against numbers that can be counted on fingers."""

import numpy as np
import pandas as pd
import pytest

from camlib.compendium.paper_tables import alike_best, method_table

BASE = np.array([0.1, 0.2, 0.3, 0.4])
FRAME = pd.DataFrame(
    {"grad-cam": BASE, "score-cam": BASE + 0.5, "sa-cam": BASE + np.array([0.6, 0.4, 0.6, 0.4]), "random": BASE + 2}
)


def test_one_row_a_method_with_published_interval_difference_and_n():
    seen, numbers = method_table({"AUC": FRAME}, "grad-cam", published={"published": {"score-cam": 0.5}}, digits=2)
    assert seen["method"].tolist() == ["Grad-CAM", "Score-CAM", "SA-CAM", "*control: random*"]
    assert seen["published"].tolist() == ["", "0.5", "", ""]
    assert seen["AUC: minus Grad-CAM"].tolist()[:2] == ["", "+0.50 [0.50, 0.50]"]
    assert set(seen["n"]) == {"4"}
    row = numbers.set_index("method").loc["score-cam"]
    assert row["mean"] == pytest.approx(0.75)
    assert row["difference"] == pytest.approx(0.5)
    assert row["low"] < row["mean"] < row["high"]


def test_bold_are_the_best_and_what_is_not_different_from_it_but_no_control():
    seen, _ = method_table({"AUC": FRAME}, "grad-cam")
    assert [text.startswith("**") for text in seen["AUC"]] == [False, True, True, False]
    assert alike_best(FRAME, lower=True) == ["grad-cam"]


def test_methods_on_a_part_of_the_pictures_are_compared_on_that_part():
    part = FRAME.assign(mask=[9.0, 9.0, np.nan, np.nan])
    seen, numbers = method_table({"AUC": part, "drop": FRAME}, "score-cam", lower=["drop"])
    row = numbers[(numbers["method"] == "mask") & (numbers["metric"] == "AUC")].iloc[0]
    assert (row["n"], row["difference"]) == (2, pytest.approx(9 - 0.65))
    assert seen.set_index("method").loc["Mask", "n"] == "2"


def test_counts_that_differ_by_metric_have_a_column_each():
    part = FRAME.iloc[:3]
    seen, _ = method_table({"AUC": FRAME, "drop": part}, "grad-cam")
    assert {"n, AUC", "n, drop"} <= set(seen)


@pytest.mark.parametrize(
    ("options", "message"), [({"lower": ["loss"]}, "lower="), ({"reference": "rise"}, "reference='rise'")]
)
def test_names_that_are_not_measured_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        method_table({"AUC": FRAME}, **({"reference": "grad-cam"} | options))
