"""The charts of the bound, the cure and the metrics: every number has its mark in its place, and its group its look."""

import pandas as pd
import pytest
from helpers import marks

from camlib import plots
from camlib.plots import law

TITLES = {"score-cam": "Score-CAM", "score-cam-cic": "Score-CAM (increase)"}
GROUPS = dict(zip(TITLES, (law.UNSIGNED, law.SIGNED), strict=True))
NETWORKS = {"a": "GAP", "b": "MLP (VGG)"}


def test_bound_chart_leaves_out_what_promises_nothing():
    frame = pd.DataFrame(
        {
            "method": ["score-cam", "score-cam-cic", "score-cam-cic"],
            "measured": [0.9, 0.5, -0.3],
            "promised": [0.8, 0.4, -1.0],
            "spread": [0.7, 3.0, -20.0],
        }
    )
    figure = plots.bound_chart(frame, GROUPS)
    left, right = figure.axes
    count = [sum(len(line.get_xdata()) for line in ax.lines if line.get_linestyle() == "None") for ax in (left, right)]
    assert count == [3, 2]
    assert any(list(line.get_xdata()) == list(line.get_ydata()) for line in right.lines if line.get_linestyle() == "-")
    spreads = [float(x) for line in left.lines if line.get_linestyle() == "None" for x in line.get_xdata()]
    assert sorted(spreads) == [0.7, 3.0, 20.0]
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
    figure = plots.agreement_chart(frame, {"several": "several objects", "one": "one object"}, NETWORKS)
    upper, lower = figure.axes
    assert [label.get_text() for label in upper.get_yticklabels()] == ["hit", "energy"]
    dots = [[mark for mark in marks(ax) if mark[2] == "o"] for ax in (upper, lower)]
    assert [len(of_panel) for of_panel in dots] == [4, 2]
    assert {mark[3] for mark in dots[1]} == {"white"}
    assert "white" not in {mark[3] for mark in dots[0]}
    (means,) = [line for line in upper.lines if line.get_marker() == "|"]
    assert list(means.get_xdata()) == pytest.approx([0.9, 0.5])
    assert {"0.90", "0.50"} <= {text.get_text() for text in upper.texts}
    assert plots.text_problems(figure) == []
