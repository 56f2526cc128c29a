"""Rows that are measured again in part: what agrees completes, what differs is named, all of them can be kept anew."""

import pandas as pd
import pytest

from camlib import paths
from camlib.evaluate import rechecked

KEYS = ["method", "photo"]
ROWS = pd.DataFrame(
    {
        "method": ["a", "a", "b", "b"],
        "photo": ["x", "y", "x", "y"],
        "r": [0.5, -0.123456789, 0.001, 1200.0],
        "note": ["ok", "ok", "flat", "ok"],
        "empty": [False, False, True, False],
    }
)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(rechecked, "FOLDER", tmp_path / "rows")
    assert rechecked.completed("study", ROWS, KEYS, anew=True) is ROWS
    return tmp_path / "rows" / "study.csv"


def test_a_part_that_agrees_is_completed_in_the_order_of_the_file(kept):
    part = ROWS.iloc[[3, 0]].assign(r=[1201.0, 0.504])  # within 5 thousandths, relative and absolute
    found = rechecked.completed("study", part, KEYS)
    pd.testing.assert_frame_equal(found, ROWS.round({"r": 6}))


def test_what_differs_is_named_with_the_way_to_measure_again(kept):
    for column, value in (("r", 0.51), ("note", "flat"), ("empty", True)):
        part = ROWS.iloc[:1].assign(**{column: value})
        with pytest.raises(ValueError, match=rf"study\.csv, \('a', 'x'\): {column} was .* anew true"):
            rechecked.completed("study", part, KEYS)
    stranger = ROWS.iloc[:1].assign(photo="z")
    with pytest.raises(ValueError, match=r"no row \('a', 'z'\)"):
        rechecked.completed("study", stranger, KEYS)


def test_keys_that_tell_no_rows_apart_and_a_missing_file_are_errors(kept):
    with pytest.raises(ValueError, match="do not tell all rows apart"):
        rechecked.completed("study", ROWS, ["method"])
    with pytest.raises(FileNotFoundError, match="-p anew true"):
        rechecked.completed("other", ROWS, KEYS)


def test_what_is_kept_anew_replaces_the_file(kept):
    rechecked.completed("study", ROWS.iloc[:1].assign(r=0.75), KEYS, anew=True)
    assert rechecked.completed("study", ROWS.iloc[:1].assign(r=0.75), KEYS)["r"].tolist() == [0.75]
    assert [path.name for path in kept.parent.iterdir()] == ["study.csv"]


def test_every_kept_file_is_read_by_a_notebook_that_can_measure_it_anew():
    texts = [path.read_text(encoding="utf-8") for path in paths.notebooks()]
    for file in rechecked.FOLDER.glob("*"):
        readers = [text for text in texts if f'rechecked.completed(\\"{file.stem}\\"' in text]
        assert len(readers) == 1, file.name
        assert '"anew = False' in readers[0]
