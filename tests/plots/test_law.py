"""camlib.plots.law: every method has its mark in its place, nothing is lost, wrong input is named."""

import itertools

import numpy as np
import pandas as pd
import pytest
from helpers import marks, texts

from camlib import plots
from camlib.plots import law

TITLES = {"score-cam": "Score-CAM", "score-cam-cic": "Score-CAM (increase)", "recipro-cam": "Recipro-CAM"}
GROUPS = dict(zip(TITLES, (law.UNSIGNED, law.SIGNED, law.FINISHED), strict=True))
NETWORKS = ("a", "b")


def all_texts(figure):
    return " | ".join(text.get_text() for text in texts(figure))


def points():
    places = itertools.product(NETWORKS, TITLES)
    numbers = np.random.default_rng(3).random((6, 2))
    rows = [(*place, 0.5 + s / 2, c) for place, (s, c) in zip(places, numbers, strict=True)]
    return pd.DataFrame(rows, columns=["network", "method", "alike_sum", "alike_class"])


def means_of(frame):
    return frame.groupby("method")[["alike_sum", "alike_class"]].mean().sort_values("alike_class")


def test_law_chart_shows_means_over_networks():
    figure = plots.law_chart(points(), TITLES, GROUPS, "A finding", ("score-cam", "score-cam-cic"), "minus")
    (ax,), means = figure.axes, means_of(points())
    drawn = marks(ax)[: len(means)]  # behind them those that say what the groups are
    assert [mark[2] for mark in drawn] == ["o"] * 3
    assert np.array([mark[:2] for mark in drawn]) == pytest.approx(means.to_numpy())
    faces = [mark[3] for mark in drawn]
    assert faces == [law.LOOKS[GROUPS[name]][1] for name in means.index]
    assert len(set(faces)) == 3
    assert all(name in all_texts(figure) for name in (*TITLES.values(), *law.GROUPS, "A finding", "minus"))
    assert plots.text_problems(figure) == []


def test_names_stand_in_the_order_of_their_means_and_are_joined_to_them():
    ax, means = plots.law_chart(points(), TITLES, GROUPS, "A finding").axes[0], means_of(points())
    heights = {text.get_text(): text.get_position()[1] for text in ax.texts if text.get_text() in TITLES.values()}
    assert sorted(heights, key=heights.get) == [TITLES[name] for name in means.index]
    lines = {float(line.get_ydata()[0]): line.get_xydata()[1] for line in ax.lines if len(line.get_xdata()) == 2}
    for name, title in TITLES.items():
        assert lines[heights[title]] == pytest.approx(means.loc[name].to_numpy())


def test_the_ground_of_a_group_holds_its_means():
    frame = points().assign(method=lambda table: table["method"] + table.groupby("method").cumcount().astype(str))
    titles = {name: name for name in frame["method"]}
    groups = dict.fromkeys(titles, law.SIGNED)
    ax = plots.law_chart(frame, titles, groups, "A finding").axes[0]
    (ground,) = ax.patches
    corners = {tuple(corner) for corner in ground.get_xy().round(9)}
    assert corners <= {tuple(mean) for mean in frame[["alike_sum", "alike_class"]].to_numpy().round(9)}
    assert all(ground.get_path().contains_points(frame[["alike_sum", "alike_class"]], radius=1e-6))


def test_law_chart_shades_what_geometry_forbids():
    figure = plots.law_chart(points(), TITLES, GROUPS, "A finding")
    (curve,) = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 200]
    x, y = curve.get_data()
    assert y == pytest.approx(np.cos(2 * np.arccos(x)))


def test_law_chart_names_a_method_without_title():
    with pytest.raises(ValueError, match=r"\['recipro-cam'\] have no title or no group"):
        plots.law_chart(points(), {n: t for n, t in TITLES.items() if n != "recipro-cam"}, GROUPS, "x")
