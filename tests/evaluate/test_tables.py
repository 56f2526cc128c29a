"""Tables of rows: means, counts, differences, controls, and what is written and read back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from evaluations import METHODS, METRICS, examples, net

from camlib import paths
from camlib.evaluate import Plan, evaluate, table


def rows_of(**columns: list) -> pd.DataFrame:
    count = len(columns["value"])
    known = {"layer": "l", "metric": "average-drop", "method": "grad-cam", "class": 0, "status": "ok"}
    frame = pd.DataFrame({**{name: [value] * count for name, value in known.items()}, **columns})
    return frame.astype({"class": "Int64"})


def test_means_and_counts_are_those_of_a_pencil():
    rows = rows_of(
        picture=["a", "b", "c", "d", "e"],
        value=[10.0, 20.0, 60.0, np.nan, np.nan],
        status=["ok", "degenerate", "ok", "no box", "error"],
    )
    (row,) = table.means(rows).to_dict("records")
    assert (row["mean"], row["n"], row["better"], row["unit"]) == (30, 3, "lower", "%")
    assert 10 <= row["low"] < 30 < row["high"] <= 60
    assert [row[status] for status in table.COUNTED] == [1, 1, 0, 0, 1]


def test_a_mean_without_values_is_empty_and_no_rows_make_an_empty_table():
    (row,) = table.means(rows_of(picture=["a"], value=[np.nan], status=["no box"])).to_dict("records")
    assert np.isnan([row["mean"], row["low"], row["high"]]).all()
    assert (row["n"], row["no box"]) == (0, 1)
    assert table.means(rows_of(picture=[], value=[])).empty
    assert table.differences(rows_of(picture=[], value=[])).empty


def test_whole_pictures_are_drawn_where_they_have_several_classes():
    """Two pictures with constant values: a draw of single rows would give other means than 0, 5 and 10."""
    rows = rows_of(picture=["a"] * 9 + ["b"] * 9, value=[0.0] * 9 + [10.0] * 9, **{"class": [*range(9)] * 2})
    (row,) = table.means(rows).to_dict("records")
    assert (row["mean"], row["low"], row["high"], row["n"]) == (5, 0, 10, 2)


def test_differences_pair_pictures_within_a_layer_and_name_the_better_one():
    rows = rows_of(
        layer=["l"] * 7 + ["m"] * 2,
        method=["grad-cam"] * 4 + ["score-cam"] * 3 + ["grad-cam", "layer-cam"],
        picture=["a", "b", "c", "d", "c", "b", "a", "a", "a"],
        value=[10.0, 20.0, 30.0, 999.0, 24.0, 15.0, 4.0, 1.0, 1.0],
    )
    first, second = table.differences(rows).to_dict("records")
    assert (first["layer"], first["a"], first["b"], first["n"]) == ("l", "grad-cam", "score-cam", 3)
    assert first["difference"] == pytest.approx((6 + 5 + 6) / 3)
    assert 5 <= first["low"] <= first["high"] <= 6
    assert first["better"] == "score-cam"  # average drop: lower is better
    assert (second["layer"], second["a"], second["b"], second["better"]) == ("m", "grad-cam", "layer-cam", "")
    higher = table.differences(rows.assign(metric="average-increase"))
    assert higher["better"].tolist() == ["grad-cam", ""]


def test_a_method_beside_itself_is_refused():
    with pytest.raises(ValueError, match="a method does not differ from itself"):
        table.differences(rows_of(method=["grad-cam"], picture=["a"], value=[1.0]), pairs=[("grad-cam", "grad-cam")])


def test_controls_are_compared_with_methods_only():
    rows = rows_of(method=["grad-cam", "all-ones", "random"], picture=["a"] * 3, value=[1.0, 2.0, 3.0])
    assert table.differences(rows)[["a", "b"]].to_numpy().tolist() == [["grad-cam", "all-ones"], ["grad-cam", "random"]]


def test_what_is_written_can_be_committed_and_read_back(tmp_path):
    found = evaluate(Plan(net(), METHODS, METRICS), examples({"annotate": tuple}), tmp_path)
    written = found.write(tmp_path)
    assert [file.name for file in written] == ["rows.csv", "table.csv", "differences.csv", "table.md"]
    again = pd.read_csv(tmp_path / "table.csv")
    np.testing.assert_allclose(again["mean"], found.table["mean"], rtol=1e-7)
    text = (tmp_path / "table.md").read_text()
    assert "# Gap on test pictures" in text
    assert "5 of 5 pictures finished" in text
    assert "## Layer features\n" in text
    assert "nan" not in text
    assert "- average-drop: Multiplying dims the picture" in text
    for file in written:
        assert not paths.MACHINE_PATH.search(file.read_text())
    first = [file.read_bytes() for file in written]
    again = evaluate(Plan(net(), METHODS, METRICS), examples({"annotate": tuple}), tmp_path).write(tmp_path)
    assert [file.read_bytes() for file in again] == first
