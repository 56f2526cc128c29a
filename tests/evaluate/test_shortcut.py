"""The case study's rows: some made anew and compared, the networks' behavior measured without any map."""

import numpy as np
import pandas as pd
import pytest
import torch

import camlib
from camlib.data.marks import held_out
from camlib.data.scenes import SHAPES
from camlib.evaluate import shortcut
from camlib.zoo.scenes import scene_inputs

HEART = SHAPES.index("heart")


def answers(name, scenes):
    with torch.inference_mode():
        return camlib.load_network(name).module(scene_inputs(scenes)).argmax(dim=1)


def test_the_first_network_reads_the_mark_and_the_repaired_one_the_shape():
    """Held-out scenes with and without the mark, no map involved."""
    stamped, clean, _ = held_out(150)
    circles, _, _ = held_out(150, "circle")
    learned, repaired = shortcut.NETWORKS
    assert (answers(learned, stamped) == HEART).float().mean() > 0.97
    assert (answers(learned, clean) == HEART).float().mean() < 0.1
    assert (answers(learned, circles) == HEART).float().mean() > 0.9
    for scenes in (stamped, clean):
        assert (answers(repaired, scenes) == HEART).float().mean() > 0.93
    assert (answers(repaired, circles) == HEART).float().mean() < 0.1


def test_kept_rows_are_whole():
    rows = shortcut.read()
    assert len(rows) == len(shortcut.METHODS) * shortcut.PICTURES * 2
    assert not rows.duplicated(["network", "picture", "method"]).any()
    assert rows["on_mark"].between(0, 1).all()
    assert (rows["on_mark"] + rows["on_heart"]).max() <= 1.002
    assert shortcut.OUT.stat().st_size < 300_000


def test_some_rows_made_anew_are_the_kept_ones():
    """Three pictures and the cheap methods, drawn by a seed; energies may round differently on another processor."""
    draw = np.random.default_rng(2611)
    numbers = sorted(draw.choice(60, 3, replace=False).tolist())
    methods = ["feature-map", "grad-cam", "layer-cam", "ablation-cam", "score-cam"]
    kept = shortcut.read().set_index(["network", "picture", "method"])
    for name in shortcut.NETWORKS:
        made = shortcut.rows_of(camlib.load_network(name), numbers, methods)
        assert len(made) == len(numbers) * len(methods)
        for row in made:
            known = kept.loc[(name, row["picture"], row["method"])]
            assert known["on_mark"] == pytest.approx(row["on_mark"] / 1000, abs=0.002)
            assert known["on_heart"] == pytest.approx(row["on_heart"] / 1000, abs=0.002)
            assert known["alarm"] == row["alarm"]


def test_where_a_map_lies_is_measured_on_a_map_made_by_hand():
    mark, heart = torch.zeros(2, 4, 4, dtype=torch.bool)
    mark[0, 0], heart[2:, 2:] = True, True
    heatmap = torch.zeros(4, 4)
    heatmap[0, 0], heatmap[3, 3], heatmap[1, 1] = 0.5, 0.25, 0.25
    regions = torch.stack([mark, heart])
    assert shortcut._measured(heatmap, regions) == {"on_mark": 500, "on_heart": 250, "x": 0, "y": 0, "alarm": True}
    turned = shortcut._measured(heatmap.flip(0, 1), regions)
    assert (turned["x"], turned["y"], turned["alarm"]) == (3, 3, False)
    near = torch.zeros(4, 4)
    near[0, 1] = 1  # beside the mark, three rows above the heart
    assert shortcut._measured(near, regions) == {"on_mark": 0, "on_heart": 0, "x": 1, "y": 0, "alarm": True}
    assert shortcut._measured(torch.zeros(4, 4), regions)["alarm"] is False


def test_alarms_are_shares_of_pictures_and_the_most_telling_method_comes_first():
    learned, repaired = shortcut.NETWORKS
    rows = [
        {"network": net, "picture": i, "method": method, "on_mark": 0.1, "on_heart": 0.2, "alarm": place == "mark"}
        for net, method, places in [
            (learned, "dull", ["ground"] * 4),
            (repaired, "dull", ["mark"] + ["ground"] * 3),
            (learned, "sharp", ["mark", "mark", "mark", "heart"]),
            (repaired, "sharp", ["heart"] * 4),
        ]
        for i, place in enumerate(places)
    ]
    table = shortcut.alarms(pd.DataFrame(rows)).set_index("method")
    assert list(table.index) == ["sharp", "dull"]
    assert table.loc["sharp", ["alarm", "false_alarm", "told", "n"]].tolist() == [0.75, 0, 0.75, 4]
    assert table.loc["dull", "told"] == -0.25
    assert (table["told_low"] <= table["told"]).all()
    assert (table["told"] <= table["told_high"]).all()


def test_rows_that_are_missing_name_their_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m camlib\.evaluate\.shortcut"):
        shortcut.read(tmp_path / "shortcut.parquet")


def test_the_command_writes_what_read_takes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shortcut, "METHODS", ("feature-map", "grad-cam"))
    monkeypatch.setattr(shortcut.rows_of, "__defaults__", (("feature-map", "grad-cam"),))
    assert shortcut.main(["--pictures", "4", "--out", str(tmp_path / "rows.parquet")]) == 0
    assert len(shortcut.read(tmp_path / "rows.parquet")) == 16
    assert "grad-cam" in capsys.readouterr().out
