"""Rows of budgets against the front door, the keeper of finished pictures, and the tables made of the rows."""

from __future__ import annotations

import json
import math
import random
import re
from types import SimpleNamespace

import evaluations
import helpers
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

import camlib
from camlib import Trace
from camlib.engine import landmarks
from camlib.evaluate import budget
from camlib.evaluate.budget import measuring, tables
from camlib.evaluate.budget.__main__ import main
from camlib.evaluate.budget.choices import CHOICES, PARTS, Exact, rows_of

CHANNELS = 24


NET = helpers.network(helpers.seeded(lambda: helpers.Many(CHANNELS, gain=40), seed=3))
READY = helpers.batch(1)


def all_scores() -> Exact:
    trace = Trace(NET, READY)
    live = trace.live[0]
    stakes = landmarks.stakes_of(trace.probabilities[0])
    return Exact(trace.activations[0, live], trace.masked_logits()[0, live], stakes, NET.output)


EXACT = all_scores()


# -- the choices


@pytest.mark.parametrize("passes", [6, 12])
def test_a_budget_of_looked_up_scores_is_that_of_the_front_door(passes):
    found = camlib.explain(NET, READY, "score-cam", passes=passes)
    scores, expected = CHOICES["budget"](EXACT, passes, random.Random(0))
    assert found.target == EXACT.target
    weights = found.weights[found.weights != 0]
    assert torch.allclose(scores.to(weights), weights, atol=1e-6)
    assert expected == pytest.approx(found.details["expected_correlation"], abs=1e-6)


def test_far_landmarks_hand_their_scores_to_the_nearest_channels():
    scores, expected = CHOICES["farthest-point"](EXACT, 5, random.Random(0))
    flat = EXACT.maps.flatten(1)
    low, high = flat.amin(dim=1, keepdim=True), flat.amax(dim=1, keepdim=True)
    scaled = (flat - low) / (high - low)
    chosen = [int(flat.sum(dim=1).argmax())]
    while len(chosen) < 5:
        nearest = [min(float((scaled[k] - scaled[j]).norm()) for j in chosen) for k in range(len(flat))]
        chosen.append(int(np.argmax(nearest)))
    for k in range(len(flat)):
        owner = min(chosen, key=lambda j: float((scaled[k] - scaled[j]).norm()))
        assert scores[k] == EXACT.scores[owner]
    assert math.isnan(expected)


def test_channels_alone_keep_their_scores_and_the_others_count_for_nothing():
    activity = EXACT.maps.sum(dim=(1, 2))
    scores, _ = CHOICES["most-active"](EXACT, 7, random.Random(0))
    kept = activity.argsort(descending=True)[:7]
    assert torch.equal(scores[kept], EXACT.scores[kept])
    assert int((scores != 0).sum()) == 7
    drawn = random.Random(5).sample(range(len(activity)), 7)
    scores, _ = CHOICES["random"](EXACT, 7, random.Random(5))
    assert sorted(scores.nonzero().flatten().tolist()) == sorted(drawn)


def test_rows_hold_every_choice_and_budget_with_passes_correlation_and_time():
    rows = pd.DataFrame(rows_of(EXACT, (2.0, 10.0), random.Random(1)))
    live = len(EXACT.maps)
    whole = rows[rows["choice"] == "exact"].iloc[0]
    assert (whole["passes"], whole["r"], whole["seconds"]) == (live, 1.0, 12.0)
    some = rows[rows["choice"] != "exact"]
    parts = [part for part in PARTS if round(live / part) >= 2]
    assert len(some) == len(parts) * len(CHOICES)
    assert (some["passes"] == (live / some["part"]).round()).all()
    least = 2 + 10 * some["passes"] / live
    assert ((some["seconds"] >= least) & (some["seconds"] < least + 1)).all()
    row = some[(some["choice"] == "most-active") & (some["part"] == 4)].iloc[0]
    scores, _ = CHOICES["most-active"](EXACT, row["passes"], random.Random(0))
    maps = [torch.einsum("k,kij->ij", w.double(), EXACT.maps.double()).flatten() for w in (scores, EXACT.scores)]
    assert row["r"] == pytest.approx(np.corrcoef(*maps)[0, 1])


# -- the pictures


@pytest.fixture
def pictures(monkeypatch):
    """Four small pictures and a network for a population of its own; what is loaded is counted."""
    loaded = []

    def load(name):
        loaded.append(name)
        return NET

    def opened(name):
        if name == "broken":
            raise OSError("not a picture")
        loaded.append(name)
        return evaluations.photo(int(name))

    names = ["0", "1", "broken", "2"]
    made = [(name, lambda name=name: opened(name)) for name in names]
    monkeypatch.setattr(measuring, "load_network", load)
    monkeypatch.setattr(measuring, "pictures_of", lambda *_: made)
    return SimpleNamespace(loaded=loaded, population=measuring.Population("many", None), made=made)


def test_finished_pictures_are_kept_and_what_cannot_be_opened_is_told(pictures, tmp_path):
    rows, failures = measuring.measure(pictures.population, None, 0, 4, tmp_path)
    assert [row["picture"] for row in rows if row["choice"] == "exact"] == ["0", "1", "2"]
    assert failures == [{"picture": "broken", "population": "many:last", "why": "OSError"}]
    assert pictures.loaded == ["many", "0", "1", "2"]
    pictures.loaded.clear()
    again, _ = measuring.measure(pictures.population, None, 0, 4, tmp_path)
    assert json.dumps(again) == json.dumps(rows)
    assert pictures.loaded == ["many"]  # asked for by the broken picture, no other


def test_a_run_that_stops_goes_on_where_it_stopped(pictures, tmp_path, monkeypatch):
    def stop():
        raise KeyboardInterrupt

    whole = list(pictures.made)
    pictures.made[1] = ("1", stop)
    with pytest.raises(KeyboardInterrupt):
        measuring.measure(pictures.population, None, 0, 4, tmp_path)
    pictures.made[:] = whole
    pictures.loaded.clear()
    rows, _ = measuring.measure(pictures.population, None, 0, 4, tmp_path)
    assert pictures.loaded == ["many", "1", "2"]
    assert len({row["picture"] for row in rows}) == 3
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_new_settings_make_new_rows_of_the_scores_that_are_there(pictures, tmp_path, monkeypatch):
    before, _ = measuring.measure(pictures.population, None, 0, 4, tmp_path)
    monkeypatch.setattr(landmarks, "FIRST_LENGTH", 1.0)
    monkeypatch.setattr(Trace, "masked_logits", lambda *_: pytest.fail("scored again"))
    after, _ = measuring.measure(pictures.population, None, 0, 4, tmp_path)
    assert [row["r"] for row in after if row["choice"] == "budget"] != [
        row["r"] for row in before if row["choice"] == "budget"
    ]


def test_photographs_are_drawn_by_lot_after_those_left_out(tmp_path):
    folder = tmp_path / "val" / "n01440764"
    folder.mkdir(parents=True)
    for i in range(6):
        evaluations.photo(i).save(folder / f"p{i}.png")
    population = measuring.Population("efficientnet-lite0", None)
    every = [name for name, _ in measuring.pictures_of(population, tmp_path, 0, 6)]
    assert sorted(every) == [f"p{i}" for i in range(6)]
    assert every != sorted(every)
    assert [name for name, _ in measuring.pictures_of(population, tmp_path, 2, 3)] == every[2:5]
    with pytest.raises(ValueError, match="needs photographs: --samples DIR"):
        measuring.pictures_of(population, None, 0, 1)


# -- the command and its tables


def test_the_command_writes_rows_and_what_they_depend_on(tmp_path, capsys):
    out, kept = tmp_path / "rows.parquet", tmp_path / "kept"
    asked = ["--only", "scenes-gap:last", "--pictures", "2", "--threads", "1", "--out", str(out), "--kept", str(kept)]
    assert main(asked) == 0
    rows = tables.read(out)
    assert set(rows["picture"]) == {"scene-0000", "scene-0001"}
    assert list(rows.columns) == list(tables.COLUMNS)
    record = json.loads(out.with_suffix(".json").read_text())
    assert (
        record["command"]
        == "python -m camlib.evaluate.budget --samples DIR --skip 100 --pictures 2 --only scenes-gap:last"
    )
    assert record["pictures"]["failed"] == 0
    assert str(tmp_path) not in json.dumps(record)
    assert "spearman" in capsys.readouterr().out
    before = out.with_suffix(".json").read_bytes(), out.read_bytes()
    assert main(asked) == 0
    assert before == (out.with_suffix(".json").read_bytes(), out.read_bytes())


def test_rows_of_other_populations_stay_where_rows_are_added(tmp_path, capsys):
    def run(network, *more, pictures="2"):
        where = ["--kept", str(tmp_path / "kept"), "--out", str(tmp_path / "rows.parquet")]
        return main(["--only", f"{network}:last", "--pictures", pictures, *where, *more])

    assert run("scenes-gap", "--add") == 1
    assert "rows.parquet is not there" in capsys.readouterr().err
    assert run("scenes-gap") == 0
    alone = tables.read(tmp_path / "rows.parquet")
    assert run("scenes-vgg", "--add") == 0
    both = tables.read(tmp_path / "rows.parquet")
    pd.testing.assert_frame_equal(both[both["network"] == "scenes-gap"], alone)
    assert list(both["network"].unique()) == ["scenes-gap", "scenes-vgg"]
    record = json.loads((tmp_path / "rows.json").read_text())
    assert list(record["populations"]) == ["scenes-gap:last", "scenes-vgg:last"]
    assert record["command"].endswith("--only scenes-gap:last scenes-vgg:last")
    assert run("scenes-gap", "--add") == 0
    assert len(tables.read(tmp_path / "rows.parquet")) == len(both)
    assert run("scenes-vgg", "--add", pictures="1") == 0
    assert json.loads((tmp_path / "rows.json").read_text())["pictures"]["each"] == {
        "scenes-gap:last": 2,
        "scenes-vgg:last": 1,
    }
    assert run("scenes-gap", "--add", "--skip", "3") == 1
    assert "rows.parquet was made with --skip 100" in capsys.readouterr().err


def test_photographs_without_a_folder_are_asked_for(tmp_path, capsys):
    assert main(["--only", "efficientnet-lite0:last", "--kept", str(tmp_path), "--out", str(tmp_path / "x")]) == 1
    assert "--samples DIR" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match=r"camlib\.evaluate\.budget --samples DIR makes it"):
        tables.read(tmp_path / "x.parquet")


def test_summary_and_knowledge_are_counted_by_hand():
    r, expected = [0.99, 0.9, 0.95, 0.999], [0.98, 0.93, 0.97, 0.999]
    rows = [
        {"picture": str(i), "network": "n", "layer": "l", "choice": "budget", "part": 8, "passes": 10 + i}
        | {"r": r[i], "expected": expected[i], "seconds": 2.0}
        for i in range(4)
    ]
    rows += [
        row | {"choice": "exact", "part": 1, "r": 1.0, "expected": math.nan, "seconds": 10.0 + 2 * i}
        for i, row in enumerate(rows)
    ]
    found = budget.summary(pd.DataFrame(rows)).iloc[0]
    assert (found["n"], found["passes"], found["least"]) == (4, 11.5, 0.9)
    assert found["median"] == pytest.approx(0.97)
    assert found["low"] == pytest.approx(0.9 + 0.05 * 3 * 0.05)  # between the two smallest
    known = budget.knowledge(pd.DataFrame(rows)).iloc[0]
    assert known["spearman"] == pytest.approx(spearmanr(1 - np.array(r), 1 - np.array(expected))[0])
    assert known["ratio"] == pytest.approx(np.median([0.5, 10 / 7, 5 / 3, 1.0]))
    assert known["speed"] == pytest.approx(6.5)  # 5, 6, 7, 8


# -- the rows that are kept


def test_docstrings_quote_the_rows_that_are_kept():
    rows = budget.read()
    found, known = budget.summary(rows), budget.knowledge(rows)
    budgets = found[(found["choice"] == "budget") & (found["part"] == 8)].set_index("network")
    spearman = known[known["part"] == 8].set_index("network")["spearman"]
    live = rows[rows["choice"] == "exact"].groupby("network")["live"].mean()
    words = " ".join(landmarks.__doc__.split())
    for name in (networks := ["efficientnet-lite0", "scenes-gap", "scenes-vgg"]):
        median, low, own, channels = re.search(
            rf"(0\.\d+) and (0\.\d+) (?:on \w+ )?\(({name}), (\d+)[ )]", words
        ).groups()
        row = budgets.loc[name]
        assert (median, low, own) == (f"{row['median']:.4f}", f"{row['low']:.4f}", name)
        assert channels == f"{live[name]:.0f}"
        assert row["n"] == 100
    quoted = re.search(r"Spearman's ρ = (0\.\d+), (0\.\d+) and (0\.\d+)", words).groups()
    assert quoted == tuple(f"{spearman[name]:.2f}" for name in networks)


@pytest.mark.parametrize("name", ["scenes-gap", "scenes-vgg"])
def test_a_draw_of_the_kept_rows_is_what_is_computed_today(name, tmp_path):
    """Not to the last digit: another processor rounds otherwise, and near ties may fall otherwise."""
    population = next(p for p in measuring.POPULATIONS if p.network == name)
    pictures = measuring.pictures_of(population, None, 0, 100)
    picture, load = random.Random(name).choice(pictures)
    network = camlib.load_network(name)
    made = measuring._rows(network, population, picture, load(), measuring.Keeper(tmp_path, population))
    keys = ["choice", "part", "passes"]
    kept = budget.read().query("network == @name and picture == @picture").set_index(keys)["r"]
    today = pd.DataFrame(made).set_index(keys)["r"]
    assert list(today.index) == list(kept.index)
    assert (today - kept).abs().median() < 1e-6
    assert (today - kept).abs().max() < 0.02


def test_the_record_counts_the_pictures_that_failed():
    record = json.loads(tables.OUT.with_suffix(".json").read_text(encoding="utf-8"))
    rows = budget.read()
    assert record["pictures"]["failed"] == len(record["pictures"]["failures"])
    assert record["settings"] == json.loads(json.dumps(measuring.settings()))
    exact = rows[rows["choice"] == "exact"].groupby("network").size()
    assert len(exact) == len(record["populations"])
    for name, count in record["pictures"]["each"].items():
        failed = sum(each["population"] == name for each in record["pictures"]["failures"])
        assert exact[name.partition(":")[0]] + failed == count
