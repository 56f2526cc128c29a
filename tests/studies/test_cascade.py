"""Rows of the sanity cascade: whole, some made anew and compared, each pair of maps the one that its row names."""

import helpers
import pytest
import torch

import camlib
from camlib.data.photographs import load_photo
from camlib.metrics import spearman
from camlib.studies import cascade
from camlib.studies.robustness import randomization_stages
from camlib.studies.sanity import MEASURES, forgetful

KEYS = ["part", "start", "stage", "photo", "method", "against"]


def test_kept_rows_are_whole():
    rows, stages = cascade.read(), 12
    assert not rows.duplicated(KEYS).any()
    assert rows[list(MEASURES)].abs().max().max() <= 1 + 1e-9
    assert rows["photo"][rows["part"] == "cascade"].nunique() == cascade.PHOTOGRAPHS
    own = rows[rows["against"] == "own"].groupby("part").size()
    cheap, dear = len(cascade.CHEAP), len(cascade.METHODS) - len(cascade.CHEAP)
    assert own["cascade"] == cascade.PHOTOGRAPHS * (stages * cheap + 2 * dear + cheap + dear)
    assert own["voiced"] == cascade.PHOTOGRAPHS * (len(cascade.METHODS) - 1)
    assert own["scenes"] == 3 * cascade.SCENES * len(cascade.METHODS)
    assert cascade.OUT.stat().st_size < 200_000


def test_some_photographs_rows_made_anew_are_the_kept_ones():
    """The second photograph meets the second seed; values may round differently on another processor."""
    net = camlib.load_network(cascade.NETWORK).with_input_size(cascade.SIDE)
    plan, kept = cascade.PLANS[cascade.NETWORK], cascade.read().set_index(KEYS).sort_index()
    name = cascade.read()["photo"].drop_duplicates().iloc[1]
    study = cascade.Study(net, plan, {name: camlib.photo_info(name).label})
    other, methods = forgetful(net, cascade.SEEDS[1], None, plan.behind), ["score-cam", *cascade.CHEAP]
    before, after = (study.maps(one, [name], methods) for one in (net, other))
    for method in methods:
        row = kept.loc[("cascade", "classifier", plan.behind, name, method, "own")]
        maps = before[name, method].heatmap, after[name, method].heatmap
        assert row["Spearman"] == pytest.approx(spearman(*maps), abs=0.005)
        assert row["probability"] == pytest.approx(after[name, method].probability, abs=1e-4)


def test_some_scenes_rows_made_anew_are_the_kept_ones(monkeypatch):
    """The signal of a wholly random network is so small that a batch of another size rounds its maps otherwise."""
    monkeypatch.setattr(cascade, "METHODS", ("score-cam", "grad-cam"))
    kept = cascade.read().set_index(KEYS).sort_index()
    made = [row for row in cascade._small((0,), 1) if row["against"] == "own"]
    assert len(made) == 3 * 2
    for row in made:
        known = kept.loc[tuple(row[key] for key in KEYS)]
        for measure in MEASURES:
            assert known[measure] == pytest.approx(row[measure], abs=0.02)


def test_the_photographs_are_the_kept_ones():
    net = camlib.load_network(cascade.NETWORK).with_input_size(cascade.SIDE)
    first = cascade.photographs(net, 2)
    assert list(first) == list(cascade.read()["photo"].drop_duplicates()[:2])
    for name, label in first.items():
        index, _, p = net.predict(load_photo(name), top=1)[0]
        assert index == label == camlib.photo_info(name).label
        assert p > 0.5


@pytest.fixture
def small(monkeypatch):
    """A study of a small random network with two photographs and two seeds, cheap methods alone."""
    monkeypatch.setattr(cascade, "METHODS", ("grad-cam", "feature-map"))
    monkeypatch.setattr(cascade, "CHEAP", ("grad-cam",))
    net = helpers.network(helpers.seeded(helpers.Trainable, dtype=torch.float32), size=48)
    stages = randomization_stages(net)
    plan = cascade.Plan("features.6", stages[1], stages[2], {"classifier": stages[2:], "body": stages[-1:]})
    return cascade.Study(net, plan, {"goose": 0, "jeep": 1}, (3, 4))


def test_each_row_compares_the_maps_that_it_names(small, tmp_path, monkeypatch):
    monkeypatch.setattr(cascade, "_small", lambda seeds, scenes: [])
    made, stages = cascade.measure(small), randomization_stages(small.net)
    cascade.write(made, tmp_path / "rows.parquet")
    rows = cascade.read(tmp_path / "rows.parquet")
    assert rows.equals(made)
    trained = small.maps(small.net, ["goose", "jeep"], ["grad-cam"])
    sums = small.maps(small.net, ["goose", "jeep"], ["feature-map"])
    for number, (name, stranger) in enumerate((("goose", "jeep"), ("jeep", "goose"))):
        other = forgetful(small.net, small.seeds[number], None, stages[-1])
        mine = small.maps(other, [name], ["grad-cam"])[name, "grad-cam"].heatmap
        row = rows[(rows["photo"] == name) & (rows["stage"] == stages[-1]) & (rows["part"] == "cascade")]
        row = row[(row["start"] == "classifier") & (row["method"] == "grad-cam")].set_index("against")["Spearman"]
        assert row["own"] == pytest.approx(spearman(trained[name, "grad-cam"].heatmap, mine), abs=1e-5)
        assert row["stranger 1"] == pytest.approx(spearman(trained[stranger, "grad-cam"].heatmap, mine), abs=1e-5)
        before = rows[(rows["photo"] == name) & (rows["stage"] == "trained") & (rows["method"] == "grad-cam")]
        both = trained[name, "grad-cam"].heatmap, sums[name, "feature-map"].heatmap
        assert before["Spearman"].item() == pytest.approx(spearman(*both), abs=1e-5)


def test_cheap_methods_are_asked_at_every_stage_and_the_others_where_the_plan_says(small):
    rows = list(cascade._cascades(small, small.maps(small.net, ["goose", "jeep"], cascade.METHODS)))
    asked = {(r["start"], r["method"]): set() for r in rows}
    for r in rows:
        asked[r["start"], r["method"]].add(r["stage"])
    stages = set(randomization_stages(small.net))
    assert asked["classifier", "grad-cam"] == stages | {"trained"}
    assert asked["classifier", "feature-map"] == set(small.plan.seen["classifier"]) | {"trained"}
    assert asked["body", "grad-cam"] == set(small.plan.seen["body"])


def test_rows_that_are_missing_name_their_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m camlib\.studies\.cascade"):
        cascade.read(tmp_path / "cascade.parquet")


def test_the_command_writes_what_read_takes(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cascade, "kept_study", lambda count: small)
    assert cascade.main(["--photographs", "2", "--scenes", "1", "--out", str(tmp_path / "rows.parquet")]) == 0
    assert set(cascade.read(tmp_path / "rows.parquet")["part"]) == {"cascade", "voiced", "scenes"}
    assert "grad-cam" in capsys.readouterr().out
