"""The charts of the bound, the cure and the metrics: every number has its mark in its place, and its group its look."""

import numpy as np
import pandas as pd
import pytest
from helpers import marks

from camlib import plots
from camlib.plots import law

TITLES = {"score-cam": "Score-CAM", "score-cam-cic": "Score-CAM (increase)"}
GROUPS = dict(zip(TITLES, (law.UNSIGNED, law.SIGNED), strict=True))


def test_bound_chart_leaves_out_what_promises_nothing():
    frame = pd.DataFrame(
        {
            "method": ["score-cam", "score-cam-cic", "score-cam-cic", "score-cam-cic"],
            "measured": [0.9, 0.5, 0.2, -0.3],
            "promised": [0.8, 0.4, -1.0, -1.0],
            "spread": [0.7, 3.0, 20.0, -20.0],
        }
    )
    figure = plots.bound_chart(frame, GROUPS)
    left, right = figure.axes
    made = [line for ax in (left, right) for line in ax.lines if line.get_linestyle() == "None"]
    drawn = {
        ax: [x for line in made if line.get_transform() == ax.transData for x in line.get_xdata()]
        for ax in (left, right)
    }
    assert sorted(drawn[left]) == [0.7, 3.0, 20.0]  # a negative mean is left out
    assert sorted(drawn[right]) == [0.4, 0.8]
    assert any(list(line.get_xdata()) == list(line.get_ydata()) for line in right.lines if line.get_linestyle() == "-")
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


def test_agreement_chart_orders_metrics_and_says_their_means():
    rows = [
        (panel, name, network, mean + off)
        for panel, names in (("several", {"energy": 0.2, "hit": 0.9}), ("one", {"drop": -0.1}))
        for name, mean in names.items()
        for network, off in (("a", -0.1), ("b", 0.1))
    ]
    frame = pd.DataFrame(rows, columns=["panel", "name", "network", "mean"])
    figure = plots.agreement_chart(frame, {"several": "several objects", "one": "one object"})
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["hit", "energy"]
    assert [bar.get_width() for bar in left.patches] == pytest.approx([0.9, 0.2])
    assert len({bar.get_facecolor() for bar in (*left.patches, *right.patches)}) == 3  # follows, hardly, against
    ends = [list(line.get_xdata()) for line in left.lines if len(set(line.get_ydata())) == 1]
    assert np.allclose(ends, [[0.8, 1.0], [0.1, 0.3]])
    assert {"0.90", "0.20"} <= {text.get_text() for text in left.texts}
    assert "\N{MINUS SIGN}0.10" in {text.get_text() for text in right.texts}
    assert plots.text_problems(figure) == []
