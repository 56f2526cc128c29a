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
NETWORKS = {"a": "GAP", "b": "MLP (VGG)"}


def all_texts(figure):
    return " | ".join(text.get_text() for text in texts(figure))


def points():
    places = itertools.product(NETWORKS, ("last", "inner"), TITLES)
    numbers = np.random.default_rng(0).random((12, 2))
    rows = [(*place, 0.5 + s / 2, c) for place, (s, c) in zip(places, numbers, strict=True)]
    return pd.DataFrame(rows, columns=["network", "layer", "method", "alike_sum", "alike_class"])


def test_law_chart_shows_means_over_networks_and_each_network():
    frame = points()
    figure = plots.law_chart(frame, TITLES, GROUPS, "A finding", NETWORKS, ("score-cam", "score-cam-cic"), "minus")
    big, inner, first, second = figure.axes
    means = frame[frame["layer"] == "last"].groupby("method", sort=False)[["alike_sum", "alike_class"]].mean()
    assert [mark[2] for mark in marks(big)] == ["o"] * 3
    assert np.array([mark[:2] for mark in marks(big)]) == pytest.approx(means.to_numpy())
    faces = [mark[3] for mark in marks(big)]
    assert faces == [law.LOOKS[GROUPS[name]][1] for name in means.index]
    assert len(set(faces)) == 3
    assert [len(marks(ax)) for ax in (inner, first, second)] == [3, 3, 3]
    assert all(name in all_texts(figure) for name in (*TITLES.values(), *NETWORKS.values(), *law.GROUPS, "A finding"))
    assert plots.text_problems(figure) == []


def test_names_stand_in_the_order_of_their_means_and_are_joined_to_them():
    frame = points()
    big = plots.law_chart(frame, TITLES, GROUPS, "A finding", NETWORKS).axes[0]
    means = frame[frame["layer"] == "last"].groupby("method")[["alike_sum", "alike_class"]].mean()
    heights = {text.get_text(): text.get_position()[1] for text in big.texts if text.get_text() in TITLES.values()}
    order = means["alike_class"].sort_values().index
    assert sorted(heights, key=heights.get) == [TITLES[name] for name in order]
    lines = {float(line.get_ydata()[0]): line.get_xydata()[1] for line in big.lines if len(line.get_xdata()) == 2}
    for name, title in TITLES.items():
        assert lines[heights[title]] == pytest.approx(means.loc[name].to_numpy())


def test_the_ground_of_a_group_holds_its_means():
    frame = points().assign(method=lambda table: table["method"] + table.groupby("method").cumcount().astype(str))
    titles = {name: name for name in frame["method"]}
    groups = dict.fromkeys(titles, law.SIGNED)
    big = plots.law_chart(frame, titles, groups, "A finding", NETWORKS).axes[0]
    (ground,) = big.patches
    corners = {tuple(corner) for corner in ground.get_xy().round(9)}
    last = frame[frame["layer"] == "last"]
    assert corners <= {tuple(mean) for mean in last[["alike_sum", "alike_class"]].to_numpy().round(9)}
    assert all(ground.get_path().contains_points(last[["alike_sum", "alike_class"]], radius=1e-6))


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
