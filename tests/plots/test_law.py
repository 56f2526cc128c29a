"""camlib.plots.law: every method has its mark in its place, nothing is lost, wrong input is named."""

import itertools

import numpy as np
import pandas as pd
import pytest
from helpers import texts

from camlib import plots
from camlib.plots import law
from camlib.plots.methods import method_style

TITLES = {"score-cam": "Score-CAM", "score-cam-cic": "Score-CAM (increase)", "recipro-cam": "Recipro-CAM"}
GROUPS = dict(zip(TITLES, (law.UNSIGNED, law.SIGNED, law.FINISHED), strict=True))
NETWORKS = {"a": "GAP", "b": "MLP (VGG)"}


def all_texts(figure):
    return " | ".join(text.get_text() for text in texts(figure))


def points():
    places = itertools.product(NETWORKS, ("last", "inner"), TITLES)
    numbers = np.random.default_rng(0).random((12, 2))
    rows = [(*place, 0.5 + s / 2, c) for place, (s, c) in zip(places, numbers, strict=True)]
    return pd.DataFrame(rows, columns=["network", "layer", "method", "alike_sum", "alike_class"])


def marks(ax):
    """(x, y, marker, face) of every marker of an axes."""
    return [
        (*map(float, line.get_xydata()[0]), line.get_marker(), line.get_markerfacecolor())
        for line in ax.lines
        if line.get_marker() not in ("None", None, "")
    ]


def test_law_chart_shows_means_over_networks_and_each_network():
    frame = points()
    figure = plots.law_chart(frame, TITLES, GROUPS, "A finding", NETWORKS, ("score-cam", "score-cam-cic"), "minus")
    big, inner, _, first, second = figure.axes
    means = frame[frame["layer"] == "last"].groupby("method", sort=False)[["alike_sum", "alike_class"]].mean()
    assert [mark[2] for mark in marks(big)] == [method_style(name).marker for name in means.index]
    assert np.array([mark[:2] for mark in marks(big)]) == pytest.approx(means.to_numpy())
    faces = [mark[3] for mark in marks(big)]
    assert faces == [method_style("score-cam").color, "white", "#DDDDDD"]
    assert [len(marks(ax)) for ax in (inner, first, second)] == [3, 3, 3]
    assert all(name in all_texts(figure) for name in (*TITLES.values(), *NETWORKS.values(), *law.GROUPS, "A finding"))
    assert plots.text_problems(figure) == []


def test_a_network_apart_has_its_panel_and_no_part_in_the_means():
    frame, other = points(), list(NETWORKS)[-1]
    big, *_, second = plots.law_chart(frame, TITLES, GROUPS, "A finding", NETWORKS, apart=[other]).axes
    kept = frame[(frame["layer"] == "last") & (frame["network"] != other)]
    means = kept.groupby("method", sort=False)[["alike_sum", "alike_class"]].mean()
    assert np.array([mark[:2] for mark in marks(big)]) == pytest.approx(means.to_numpy())
    assert "1 networks" in big.get_title() + big.get_title(loc="left")
    assert len(marks(second)) == 3


def test_law_chart_shades_what_geometry_forbids():
    figure = plots.law_chart(points(), TITLES, GROUPS, "A finding", NETWORKS)
    (curve,) = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 200]
    x, y = curve.get_data()
    assert y == pytest.approx(np.cos(2 * np.arccos(x)))


def test_law_chart_names_a_method_without_title():
    with pytest.raises(ValueError, match=r"\['recipro-cam'\] have no title or no group"):
        plots.law_chart(points(), {n: t for n, t in TITLES.items() if n != "recipro-cam"}, GROUPS, "x", NETWORKS)


def test_bound_chart_leaves_out_what_promises_nothing():
    frame = pd.DataFrame(
        {
            "method": ["score-cam", "score-cam-cic", "score-cam-cic"],
            "measured": [0.9, 0.5, -0.3],
            "promised": [0.8, 0.4, -1.0],
            "spread": [0.7, 3.0, -20.0],
        }
    )
    figure = plots.bound_chart(frame, TITLES, GROUPS, shapes=0.7)
    left, right = figure.axes
    count = [sum(len(line.get_xdata()) for line in ax.lines if line.get_linestyle() == "None") for ax in (left, right)]
    assert count == [2, 3]
    curve = max(right.lines, key=lambda line: len(line.get_xdata()))
    assert curve.get_ydata() == pytest.approx(1 / np.sqrt(1 + (0.7 * curve.get_xdata()) ** 2))
    assert plots.text_problems(figure) == []


def test_removal_chart_has_one_mark_a_line_and_its_interval():
    frame = pd.DataFrame(
        [
            ("one", "score-cam", "GAP", 0.1, 0.2, 0.15, 0.25),
            ("several", "score-cam-cic", "MLP", -0.1, -0.2, -0.3, -0.1),
        ],
        columns=["kind", "method", "head", "ahead", "gain", "low", "high"],
    )
    figure = plots.removal_chart(frame, TITLES, {"one": "one object", "several": "several objects"}, "energy")
    left, right = figure.axes
    assert [mark[:2] for mark in marks(left)] == [(0.1, 0.2)]
    assert [mark[:2] for mark in marks(right)] == [(-0.1, -0.2)]
    assert any(list(line.get_ydata()) == [0.15, 0.25] for line in left.lines)
    assert plots.text_problems(figure) == []


def test_agreement_chart_orders_metrics_and_rings_those_that_the_sum_beats():
    rows = [
        (panel, name, network, mean, mean - 0.1, mean + 0.1, name == "drop")
        for panel, names in (("several", {"energy": 0.5, "hit": 0.9}), ("one", {"drop": 0.1}))
        for name, mean in names.items()
        for network in NETWORKS
    ]
    frame = pd.DataFrame(rows, columns=["panel", "name", "network", "mean", "low", "high", "blind"])
    figure = plots.agreement_chart(frame, ["several", "one"], NETWORKS)
    upper, lower = figure.axes
    assert [label.get_text() for label in upper.get_yticklabels()] == ["hit", "energy"]
    dots = [[mark for mark in marks(ax) if mark[2] == "o"] for ax in (upper, lower)]
    assert [len(of_panel) for of_panel in dots] == [4, 2]
    assert {mark[3] for mark in dots[1]} == {"white"}
    assert "white" not in {mark[3] for mark in dots[0]}
    (means,) = [line for line in upper.lines if line.get_marker() == "|"]
    assert list(means.get_xdata()) == pytest.approx([0.9, 0.5])
    assert plots.text_problems(figure) == []
