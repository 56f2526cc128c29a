"""Aims of the bench: factors worked out by hand from a table of five rows, and the committed table judged whole."""

import pandas as pd
import pytest

from camlib.compendium import bench
from camlib.compendium.bench.aims import AIMS, LIMIT, NETWORKS, OWN, Aim, in_words, judged

ROWS = pd.DataFrame(
    [
        ("score-cam", "limit", "best batch 4", "resnet18", "s", 0.9),
        ("score-cam", "torchcam", "best batch 8", "resnet18", "s", 2.0),
        ("score-cam", "torchcam", "best batch 8", "resnet18", "r", 0.1),
        ("score-cam", "camlib", "bfloat16", "vgg16", "s", 0.5),
        ("grad-cam", "captum", "as it is", "vgg16", "s", 7.0),
    ],
    columns=["case", "library", "setting", "network", "unit", "ratio"],
)


def test_a_factor_is_larger_where_camlib_is_faster_and_meets_its_aim_or_not():
    found = judged(ROWS).set_index(["what", "against", "network"])
    assert found["factor"].to_dict() == {
        ("Score-CAM", "limit", "resnet18"): 0.9,
        ("Score-CAM, best batch", "torchcam", "resnet18"): 2.0,
        ("Score-CAM in bfloat16", "camlib", "vgg16"): 2.0,
    }
    assert found["met"].tolist() == [True, True, True]
    assert found["aim"].tolist() == pytest.approx([1 / 1.15, 1.5, 1.6])


def test_a_miss_is_marked_with_its_aim_and_nothing_with_a_dash():
    table = in_words(judged(ROWS.assign(ratio=ROWS["ratio"] * 0.7))).set_index("what")
    assert table.loc["Score-CAM", "resnet18"] == "0.63 ✗ (0.87)"
    assert table.loc["Score-CAM, best batch", "resnet18"] == "1.4 ✗ (1.5)"
    assert table.loc["Score-CAM in bfloat16", "vgg16"] == "2.86 ✓"
    assert table.loc["Score-CAM", "vgg16"] == "–"


def test_aims_differ_by_network_and_may_be_missing():
    one = Aim(LIMIT, "x", "limit", ("a",), least=(1.0, 2.0, 3.0))
    assert [one.wanted(name) for name in NETWORKS] == [1.0, 2.0, 3.0]
    assert Aim(OWN, "x", "limit", ("a",), least=(4.0,)).wanted("vgg16") == 4.0
    assert Aim(OWN, "x", "limit", ("a",)).wanted("vgg16") is None


def test_the_committed_table_is_judged_in_every_measured_comparison():
    table, _ = bench.read()
    found = judged(table)
    assert len(found) >= 45
    assert found["factor"].gt(0).all()
    assert not found.duplicated(["what", "against", "network"]).any()
    assert len({(aim.what, aim.against) for aim in AIMS}) == len(AIMS)
