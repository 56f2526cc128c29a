"""What UnionCAM costs: the table of the kept rows, by hand, and one round for real."""

import pandas as pd
import pytest

from camlib.compendium.bench import union


def test_ratios_are_formed_within_a_round_and_seconds_add_up():
    seconds = {1: [1.0, 2.0, 9.0, 3.0, 1.0], 2: [2.0, 4.0, 18.0, 6.0, 2.0]}
    memory = [1.0, 2.0, 50.0, 60.0, 3.0]
    rows = [
        {"round": number, "part": part, "seconds": s, "MB": m}
        for number, times in seconds.items()
        for part, s, m in zip(union.PARTS, times, memory, strict=True)
    ]
    found = union.table(pd.DataFrame(rows)).set_index("part")
    assert found.loc["Score-CAM alone", "seconds"] == pytest.approx(15.0)  # of 1 + 9 and 2 + 18
    assert found.loc["UnionCAM, all", "seconds"] == pytest.approx(24.0)  # of 16 and 32
    assert found.loc["UnionCAM, all", "time / Score-CAM"] == pytest.approx(1.6)
    assert found.loc["UnionCAM, all", "memory / Score-CAM"] == pytest.approx(1.2)
    assert found.loc["denoised map (AMD)", "time / Score-CAM"] == pytest.approx(0.2)


def test_kept_rows_are_whole():
    rows = pd.read_csv(union.OUT)
    assert set(rows["part"]) == set(union.PARTS)
    assert (rows.groupby("round").size() == len(union.PARTS)).all()
    assert (rows["seconds"] >= 0).all()
    assert rows["K"].nunique() == 1
