"""The curves of budgets: what the lines hold, and that wrong rows are named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from camlib import plots


def rows(networks=("a", "b"), pictures: int = 5) -> pd.DataFrame:
    random = np.random.default_rng(0)
    made = [
        {"network": network, "layer": "last", "choice": choice, "part": part, "picture": str(i)}
        | {"r": 1 - random.uniform(0.01, 0.2), "expected": 1 - random.uniform(0.01, 0.2)}
        for network in networks
        for choice in ("budget", "random")
        for part in (8, 4, 2)
        for i in range(pictures)
    ]
    return pd.DataFrame(made)


def test_lines_are_medians_and_points_are_pictures():
    table = rows()
    figure = plots.budget_figure(table, part=4, titles={("a", "last"): "A"})
    left, right = figure.axes[:2]
    assert plots.text_problems(figure) == []
    line, other = (next(line for line in left.get_lines() if line.get_label() == name) for name in ("A", "b, last"))
    assert other.get_color() != line.get_color()
    budget = table[(table["network"] == "a") & (table["choice"] == "budget")]
    for share, missed in zip(*line.get_data(), strict=True):
        assert missed == pytest.approx(1 - budget[budget["part"] == round(1 / share)]["r"].median())
    points = next(line for line in right.get_lines() if line.get_label() == "A")
    here = budget[budget["part"] == 4]
    assert np.allclose(points.get_xdata(), 1 - here["expected"])
    assert np.allclose(points.get_ydata(), 1 - here["r"])


def test_a_rival_is_the_median_of_its_choice_on_the_first_place():
    table = rows()
    left = plots.budget_figure(table, rivals={"random": "at random"}).axes[0]
    (line,) = (line for line in left.get_lines() if line.get_label() == "at random")
    chosen = table[(table["network"] == "a") & (table["choice"] == "random")]
    for share, missed in zip(*line.get_data(), strict=True):
        assert missed == pytest.approx(1 - chosen[chosen["part"] == round(1 / share)]["r"].median())


def test_ticks_say_the_correlation_and_better_is_up():
    axis = plots.budget_figure(rows()).axes[1]
    places, texts = axis.get_yticks(), [text.get_text() for text in axis.get_yticklabels()]
    assert [float(text) for text in texts] == pytest.approx([1 - place for place in places])
    assert axis.get_ylim()[0] > axis.get_ylim()[1]


def test_no_map_is_closer_than_the_rounding_of_rows():
    table = rows(("a",)).assign(r=1.0)
    line = next(line for line in plots.budget_figure(table).axes[0].get_lines() if line.get_label() == "a, last")
    assert (line.get_ydata() == 1e-7).all()


def test_rows_without_a_column_or_a_budget_are_refused():
    with pytest.raises(ValueError, match=r"no column \['expected'\]"):
        plots.budget_figure(rows().drop(columns="expected"))
    with pytest.raises(ValueError, match="no row of the choice 'budget'"):
        plots.budget_figure(rows().query("choice == 'random'"))
