"""camlib.compendium.law_tables: tables of rows made by hand say what the rows say."""

import itertools

import numpy as np
import pandas as pd
import pytest

from camlib.compendium import law_tables
from camlib.evaluate.evidence.judging import with_metrics
from camlib.evaluate.evidence.populations import CLASS_MAPS
from camlib.plots.law import FINISHED, GROUPS, SIGNED, UNSIGNED

NETWORKS = ("scenes-gap", "scenes-vgg")
COLUMNS = ("energy", "on_objects", "extent", "cause", "alike_sum", "alike_class", "drop", "drop_half")


@pytest.fixture(scope="module")
def rows():
    """Eight scenes a kind; energy and cause: 0.2 as published, 0.3 centered, 0.5 projected, plus noise; drops rise."""
    rng = np.random.default_rng(0)
    level = {"keep": 0.2, "center": 0.3, "project": 0.5}
    lines = []
    methods = ("feature-map", *law_tables.CURED, "union-cam")
    for network, kind, picture, method, common in itertools.product(
        NETWORKS, ("one", "several"), range(8), methods, level
    ):
        if common == "center" and method == "union-cam":
            continue
        place = {"network": network, "layer": "last", "kind": kind, "picture": picture, "target": "disk"}
        ahead = 0.1 if method == "feature-map" and network == "scenes-vgg" else 0.0
        energy = level[common] + ahead + rng.normal(0, 0.003)
        values = dict.fromkeys(COLUMNS, energy) | {"on_objects": 0.8, "drop_half": energy, "deletion": np.nan}
        values |= {"insertion": np.nan, "hit": energy > 0.25, "twins": None, "rise": False, "rise_half": False}
        lines.append(place | {"method": method, "common": common} | values)
    return with_metrics(pd.DataFrame(lines))


def test_every_map_belongs_to_a_group():
    groups = law_tables.weight_groups()
    assert set(groups) == set(CLASS_MAPS)
    assert set(groups.values()) == set(GROUPS)
    picked = [groups[name] for name in ("grad-cam", "score-cam-cic", "score-cam", "sca-cam", "recipro-cam")]
    assert picked == [SIGNED, SIGNED, UNSIGNED, UNSIGNED, FINISHED]


def test_the_cure_is_told_in_steps_with_marks_on_the_metrics_side(rows):
    effects = law_tables.cure_effects(rows)
    table = law_tables.cure_table(effects)
    assert table["network"].unique().tolist() == ["GAP", "MLP (VGG)"]
    assert table["method"].tolist() == [law_tables.TITLES[name] for name in law_tables.CURED] * 2
    assert table.loc[0, "energy, one object"] == "0.20 → 0.30 ✓ → 0.50 ✓"
    assert table.loc[0, "average drop, half"] == "20 → 30 ✗ → 50 ✗"
    means = law_tables.cure_means(effects)
    assert means.loc["Score-CAM", "agreement with causes"] == "0.20 → 0.30 → 0.50"


def test_ahead_is_counted_from_the_class_blind_sum_as_published(rows):
    found = law_tables.ahead_and_gain(rows, law_tables.cure_effects(rows)).groupby("head")[["ahead", "gain"]].mean()
    assert found.loc["GAP"].tolist() == pytest.approx([0.0, 0.3], abs=0.02)
    assert found.loc["MLP (VGG)"].tolist() == pytest.approx([-0.1, 0.3], abs=0.02)


def test_metrics_that_nobody_measured_are_left_out_and_the_blind_ones_named(rows):
    agreements = law_tables.metric_agreements(rows)
    assert "insertion" not in set(agreements["metric"])
    energy = agreements[(agreements["metric"] == "energy")]
    assert energy["mean"].tolist() == pytest.approx([1, 1]), "energy and cause are one number here"
    assert energy["blind"].tolist() == [False, True]
    table = law_tables.metric_table(agreements).set_index("metric")
    assert table.loc["share of the energy on the class", "ΣM beats Grad-CAM"] == "MLP (VGG)"
    assert table.loc["share of the energy on the class", "GAP"] == "1.00 [1.00, 1.00]"
    assert table.loc["share of the energy on the class", "max 2/2"] == ""


def test_the_choice_names_what_is_removed_the_layer_and_the_mean(rows):
    table = law_tables.choice_table(law_tables.choices(rows)).set_index(["purpose", "passes"])
    assert table.index.get_level_values("purpose").unique().tolist() == list(law_tables.summaries.PURPOSES)
    picked = table.loc[("one object: where is it?", "a few passes"), "MLP (VGG)"]
    assert picked.startswith("Sum of feature maps, projected, last: 0.6")
    assert table.loc[("faithfulness: half of the pixels", "any"), "GAP"].split(",")[1].split(":")[0] == " last"


def test_two_methods_are_compared_by_picture_at_each_place(rows):
    found = law_tables.versus(rows, "energy", "union-cam", "feature-map").set_index("network")
    assert sorted(found.index) == ["GAP", "GAP", "MLP (VGG)", "MLP (VGG)"]
    assert found.loc["GAP", "mean"].tolist() == pytest.approx([0, 0], abs=0.01)
    assert found.loc["MLP (VGG)", "mean"].tolist() == pytest.approx([-0.1, -0.1], abs=0.01)
    assert (found.loc["MLP (VGG)", "high"] < 0).all()
    assert found["difference"].str.contains(r"\[").all()
    assert found["n"].tolist() == [8] * 4
