"""camlib.evaluate.evidence.summaries: small tables by hand, scipy's rank correlation, and geometry."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from camlib.evaluate.evidence import summaries

PLACE = {"network": "n", "layer": "last", "kind": "several", "common": "keep"}


def line(picture, method, target="disk", **values):
    return PLACE | {"picture": picture, "method": method, "target": target} | values


def test_means_have_students_interval():
    values = pd.DataFrame({"a": [1.0, 2.0, 3.0, np.nan]})
    found = summaries.mean_interval(values).loc["a"]
    low, high = stats.t.interval(0.95, 2, loc=2, scale=stats.sem([1, 2, 3]))
    assert found.tolist() == pytest.approx([2, low, high, 3])


def test_law_points_average_both_maps_and_say_what_the_angles_allow():
    rows = pd.DataFrame(
        [
            line(1, "a", alike_sum=0.9, alike_class=0.7),
            line(1, "a", "star", alike_sum=0.7, alike_class=np.nan),
            line(2, "a", alike_sum=0.5, alike_class=np.nan),
            line(2, "a", "star", alike_sum=np.nan, alike_class=np.nan),
        ]
    )
    (found,) = summaries.law_points(rows).to_dict("records")
    assert (found["alike_sum"], found["alike_class"], found["n"]) == (pytest.approx(0.8), 0.7, 1)
    assert found["least"] == pytest.approx(0.9 * 0.7 - ((1 - 0.81) * (1 - 0.49)) ** 0.5)


def test_law_points_of_a_photograph_take_the_one_class_that_its_rows_have():
    place = {"network": "efficientnet-lite0", "kind": "photographs"}
    rows = [
        line(1, "a", alike_sum=0.9, alike_class=0.7) | place,
        line(2, "a", alike_sum=0.5, alike_class=np.nan) | place,  # a map was flat
    ]
    (found,) = summaries.law_points(pd.DataFrame(rows)).to_dict("records")
    assert found["network"] == "efficientnet-lite0"
    assert [found[name] for name in ("alike_sum", "alike_class", "least", "n")] == [0.9, 0.7, -1, 1]


def test_removal_effects_are_paired_on_pictures_that_have_all_versions():
    lines = []
    for picture, (keep, center, project) in enumerate([(0.2, 0.3, 0.5), (0.4, 0.6, 0.6), (0.9, None, None)]):
        lines.append(line(picture, "a", energy=keep))
        lines += [] if center is None else [line(picture, "a", energy=center) | {"common": "center"}]
        lines += [] if project is None else [line(picture, "a", energy=project) | {"common": "project"}]
    (found,) = summaries.removal_effects(pd.DataFrame(lines), "energy", ["a", "absent"]).to_dict("records")
    assert (found["n"], found["keep"], found["project_gain"]) == (2, pytest.approx(0.3), pytest.approx(0.25))
    half = stats.t.isf(0.025, 1) * np.std([0.1, 0.2], ddof=1) / 2**0.5
    assert [found["center_low"], found["center_high"]] == pytest.approx([0.15 - half, 0.15 + half])


def test_agreement_is_spearmans_within_each_scene_and_turned_where_lower_is_better():
    rng = np.random.default_rng(0)
    methods = list("abcde")
    energy, cause = rng.random((2, 4, 5))
    lines = [
        line(p, m, energy=energy[p, i], extent=energy[p, i], cause=cause[p, i])
        for p in range(4)
        for i, m in enumerate(methods)
    ]
    rows = pd.DataFrame(lines)
    expected = np.mean([stats.spearmanr(energy[p], cause[p]).statistic for p in range(4)])
    found = summaries.agreement_with(rows, "energy", "cause", methods)
    assert found[["mean", "n"]].to_numpy().tolist() == [[pytest.approx(expected), 4]]
    assert summaries.agreement_with(rows, "extent", "cause", methods)["mean"].item() == pytest.approx(-expected)
    missing = rows.assign(energy=rows["energy"].where(rows["method"] != "e"))
    expected = np.mean([stats.spearmanr(energy[p, :4], cause[p, :4]).statistic for p in range(4)])
    assert summaries.agreement_with(missing, "energy", "cause", methods)["mean"].item() == pytest.approx(expected)


def test_a_class_blind_map_that_scores_better_is_found_on_either_side():
    rows = pd.DataFrame(
        [
            line(p, m, hit=hit, extent=extent)
            for p in range(3)
            for m, hit, extent in (("feature-map", 1, 0.5), ("grad-cam", 0, 0.2))
        ]
    )
    assert summaries.beaten_by(rows, "hit")["mean"].item() == 1
    assert summaries.beaten_by(rows, "extent")["mean"].item() == pytest.approx(-0.3)


def test_a_choice_is_the_cheapest_of_what_is_not_different_from_the_best():
    rng = np.random.default_rng(1)
    base = rng.random(40) * 0.5
    noise = rng.normal(0, 0.05, 40)
    values = {"dear": base + 0.3, "cheap": base + 0.295 + noise - noise.mean(), "bad": base}
    rows = pd.DataFrame([line(p, m, energy=v[p]) for m, v in values.items() for p in range(40)])
    found = summaries.choice(rows, "energy", {"dear": 3, "cheap": 1, "bad": 0})
    assert found["method"].tolist() == ["dear", "cheap", "bad"]
    assert found["tied"].tolist() == [True, True, False]
    assert found.loc[found["chosen"], "method"].tolist() == ["cheap"]
    assert found["gap"].tolist() == pytest.approx([0, 0.005, 0.3])
    lower = summaries.choice(rows.rename(columns={"energy": "extent"}), "extent", {"dear": 3, "cheap": 1, "bad": 0})
    assert lower.loc[lower["chosen"], "method"].tolist() == ["bad"]


def test_a_map_without_energy_on_objects_knows_nothing_of_two_classes():
    rows = pd.DataFrame([line(1, "a", class_share=np.nan, on_objects=0.0)])
    assert summaries.by_picture(rows, "class_share").to_numpy().tolist() == [[0.5]]


@pytest.mark.parametrize(
    ("passes", "rank"),
    [
        ("1 forward", 0),
        ("1 forward + 2 backward", 1),
        ("1 forward + K tails", 2),
        ("1 forward + 1 backward + 2K tails", 2),
        ("1 forward + K masked", 3),
        ("1 forward + n (forward + backward), n = 25", 3),
    ],
)
def test_costs_are_ranked_by_what_is_passed(passes, rank):
    assert summaries.cost_rank(passes) == rank
