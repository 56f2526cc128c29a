"""Evaluation at scale: numbers against formulas on the bare module, rows for whatever goes wrong, stop and go on."""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import helpers
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import Gap, network, seeded
from PIL import Image
from torchvision import transforms

from camlib import Network, Preprocess, explain, load_network, method, paths
from camlib.data import datasets
from camlib.data.datasets import Dataset, Example, LabeledBox
from camlib.engine.scoring import Scorer
from camlib.evaluate import Choice, Plan, Row, Setting, Store, evaluate, runner, store, table
from camlib.evaluate.__main__ import main

METRICS = ("average-drop", "average-increase", "energy-pointing-game", "pointing-game")
METHODS = ("grad-cam", "score-cam")
SIZE = helpers.SIZE


def sure(seed: int = 4, dtype: torch.dtype = torch.float64) -> Gap:
    """A network with some confidence, so that probabilities rise on some pictures and drop on others."""
    module = seeded(Gap, seed, dtype)
    with torch.no_grad():
        module.fc.weight *= 8
    return module


def net() -> Network:
    return network(sure(), SIZE)


def photo(seed: int, width: int = 40, height: int = 30) -> Image.Image:
    values = helpers.picture(seed, height, width).permute(1, 2, 0).numpy()
    return Image.fromarray(np.round(values * 255).astype(np.uint8))


def examples(*changes: dict, count: int = 4) -> Dataset:
    """Small pictures "0", "1" ... with one box of every class; ``changes`` are fields of the last examples."""
    boxes = tuple(LabeledBox(4, 3, 30, 20, name) for name in helpers.CLASSES)
    made = [Example(str(i), lambda i=i: photo(i), lambda: boxes) for i in range(count)]
    made += [replace(made[0], **{"id": f"changed {i}", **change}) for i, change in enumerate(changes)]
    by_id = {example.id: example for example in made}
    return Dataset("test pictures", tuple(by_id), by_id.__getitem__)


def status_of(rows: pd.DataFrame, picture: str, metric: str = "average-drop") -> set[tuple[str, str]]:
    part = rows[(rows["picture"] == picture) & (rows["metric"] == metric)]
    assert len(part)
    return {*zip(part["status"], part["note"], strict=True)}


def assert_same_rows(a: pd.DataFrame, b: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(a, b, rtol=1e-6, atol=1e-9)


# -- numbers


def test_numbers_are_those_of_the_formulas_on_the_bare_module(tmp_path):
    """Average drop and increase (Chattopadhay et al. 2018), energy and pointing game, without camlib.metrics."""
    plan = Plan(net(), METHODS, [*METRICS[:3], "pointing-game:tolerance=3"])
    rows = evaluate(plan, examples(count=6), tmp_path).rows.set_index(["picture", "method", "metric"])
    module = plan.network.module
    found = {metric: set() for metric in (*METRICS[:3], "pointing-game:tolerance=3")}
    for i in range(6):
        inputs = plan.network.prepare(photo(i))[1].double()
        clean = module(inputs[None])[0].softmax(dim=0).detach()
        target = int(clean.argmax())
        x0, y0, x1, y1 = (round(v) for v in (4 * 32 / 40, 3 * 32 / 30, 30 * 32 / 40, 20 * 32 / 30))
        for name in METHODS:
            heatmap = explain(plan.network, photo(i), name, target).heatmap.double()
            masked = float(module((inputs * heatmap)[None])[0].softmax(dim=0)[target].detach())
            top_y, top_x = np.unravel_index(int(heatmap.argmax()), heatmap.shape)
            beyond_x, beyond_y = max(x0 - top_x, top_x - (x1 - 1), 0), max(y0 - top_y, top_y - (y1 - 1), 0)
            expected = {
                "average-drop": 100 * max(0, float(clean[target]) - masked) / float(clean[target]),
                "average-increase": 100.0 * (masked > float(clean[target])),
                "energy-pointing-game": float(heatmap[y0:y1, x0:x1].sum() / heatmap.sum()),
                "pointing-game:tolerance=3": float(np.hypot(beyond_x, beyond_y) < 3),
            }
            for metric, value in expected.items():
                row = rows.loc[(str(i), name, metric)]
                assert row["value"] == pytest.approx(value, rel=1e-5, abs=1e-6), (i, name, metric)
                assert (row["class"], row["class_name"]) == (target, helpers.CLASSES[target])
                assert (row["status"], row["layer"]) == ("ok", "features")
                found[metric].add(round(value, 3))
    assert all(len(values) > 1 for values in found.values())


def test_controls_stand_beside_every_method_at_every_layer(tmp_path):
    plan = Plan(net(), ["grad-cam"], ["average-drop"], layers=["features.1", "features"])
    found = evaluate(plan, examples(), tmp_path)
    controls = ["all-ones", "random", "center-gaussian"]
    assert found.table[["layer", "method"]].to_numpy().tolist() == [
        [layer, name] for layer in ("features.1", "features") for name in ("grad-cam", *controls)
    ]
    drops = found.table.set_index(["layer", "method"])["mean"]
    assert drops["features.1", "all-ones"] == 0
    assert drops["features.1", "random"] == drops["features", "random"] > 0
    assert drops["features.1", "grad-cam"] != drops["features", "grad-cam"]


def test_the_common_map_is_an_option_of_every_method_and_its_versions_share_the_passes(tmp_path, monkeypatch):
    methods = ["score-cam", "score-cam:common=center", "score-cam:common=project", "grad-cam:common=project"]
    masked, run = [], Scorer.logits
    monkeypatch.setattr(Scorer, "logits", lambda self, n, write, what: masked.append(what) or run(self, n, write, what))
    plan = Plan(net(), methods, ["energy-pointing-game"])
    found = evaluate(plan, examples(), tmp_path)
    assert masked.count("masked pictures") == 4  # once a picture
    values = found.rows.set_index(["picture", "method"])["value"]
    for i in range(4):
        for label in methods:
            choice = Choice.parse(label)
            heatmap = explain(plan.network, photo(i), choice.name, **choice.options).heatmap
            x0, y0, x1, y1 = (round(v) for v in (4 * 32 / 40, 3 * 32 / 30, 30 * 32 / 40, 20 * 32 / 30))
            energy = float(heatmap[y0:y1, x0:x1].sum() / heatmap.sum())
            assert values[str(i), label] == pytest.approx(energy, rel=1e-4)
    settings = {cell.method: cell.setting.key for cell in plan.cells("d")}
    assert len(set(settings.values())) == len(settings)
    with pytest.raises(ValueError, match="gradient makes a saliency of pixels"):
        Plan(net(), ["gradient:common=project"], METRICS)
    with pytest.raises(ValueError, match="common='mean': expected one of"):
        Plan(net(), ["grad-cam:common=mean"], METRICS)


def test_several_options_of_one_method_are_kept_apart(tmp_path):
    plan = Plan(net(), ["score-cam", "score-cam:filler=black", "grad-cam"], ["average-drop"])
    rows = evaluate(plan, examples(), tmp_path).rows
    values = rows.pivot(index="picture", columns="method", values="value")
    assert not np.allclose(values["score-cam"], values["score-cam:filler=black"])
    for label, filler in (("score-cam", "mean"), ("score-cam:filler=black", "black")):
        alone = Plan(net(), [Choice("score-cam", {"filler": filler})], ["average-drop"])
        expected = evaluate(alone, examples(), tmp_path / filler).rows.set_index(["method", "picture"])["value"]
        assert values[label].to_dict() == pytest.approx(expected[alone.methods[0].label].to_dict())


def test_a_trained_network_on_mosaics_explains_every_cell(tmp_path):
    plan = Plan(load_network("efficientnet-lite0"), ["grad-cam"], ["grid-pointing-game"], target="objects")
    dataset = datasets.mosaics(1)
    found = evaluate(plan, dataset, tmp_path)
    rows = found.rows[found.rows["method"] == "grad-cam"]
    assert sorted(rows["class_name"]) == sorted(box.name for box in dataset[0].boxes)
    control = found.rows[found.rows["method"] == "all-ones"]["value"]
    assert list(control) == [0.25] * 4
    assert rows["value"].mean() > 0.4


# -- which classes


def test_top1_is_the_likeliest_class_and_objects_the_likeliest_of_each_kind(tmp_path):
    dataset = examples(
        {"annotate": lambda: (LabeledBox(0, 0, 9, 9, "daisy"), LabeledBox(1, 1, 5, 5, "tabby cat"))},
        {"annotate": lambda: (LabeledBox(0, 0, 9, 9, "unknown thing"),)},
        count=1,
    )
    logits = net().logits(net().prepare(photo(0))[1][None])[0]
    top = evaluate(Plan(net(), ["grad-cam"], ["average-drop"]), dataset, tmp_path).rows
    assert set(top["class"]) == {int(logits.argmax())}
    objects = evaluate(Plan(net(), ["grad-cam"], ["average-drop"], target="objects"), dataset, tmp_path).rows
    assert set(objects[objects["picture"] == "0"]["class"]) == {0, 1, 2, 3, 4}
    assert set(objects[objects["picture"] == "changed 0"]["class"]) == {1, 4}
    assert status_of(objects, "changed 1") == {
        ("no target", "the data set does not give an object that a class of the network stands for")
    }


def test_a_kind_of_many_classes_is_explained_by_the_likeliest_and_labels_are_taken_as_given(tmp_path):
    big = load_network("resnet18", None).with_input_size(64)
    dogs = {"annotate": lambda: (LabeledBox(0, 0, 30, 30, "dog"),), "label": 281}
    dataset = examples(dogs, {"label": None}, count=1)[1:]
    logits = big.logits(big.prepare(photo(0))[1][None])[0]
    plan = Plan(big, ["grad-cam"], ["average-drop"], ["layer2"], target="objects")
    rows = evaluate(plan, dataset[:1], tmp_path).rows
    assert set(rows["class"]) == {151 + int(logits[151:269].argmax())}
    labeled = evaluate(Plan(big, ["grad-cam"], ["average-drop"], ["layer2"], target="label"), dataset, tmp_path).rows
    assert set(labeled[labeled["picture"] == "changed 0"]["class"]) == {281}
    assert status_of(labeled, "changed 1") == {("no target", "the data set does not give a label")}


# -- what goes wrong is a row, is counted, and stops nothing


def fails(message: str):
    def fail():
        raise ValueError(message)

    return fail


def test_every_trouble_of_a_picture_becomes_a_row_that_says_so(tmp_path):
    dataset = examples(
        {"load": fails(f"'{tmp_path}/a.png' cannot be read as a picture")},
        {"annotate": tuple},
        {"annotate": lambda: (LabeledBox(0, 0, 5, 5, "unknown thing"),)},
        {"annotate": fails("a.xml cannot be read as XML")},
        {"load": lambda: Image.new("RGB", (0, 4))},
    )
    found = evaluate(Plan(net(), METHODS, METRICS), dataset, tmp_path)
    rows, nothing = found.rows, {("ok", "")}
    for metric in METRICS:
        reason = {("corrupt picture", "ValueError: 'a.png' cannot be read as a picture")}
        assert status_of(rows, "changed 0", metric) == reason
        ((status, _),) = status_of(rows, "changed 4", metric)
        assert status == "error"
    for picture in ("changed 1", "changed 2"):
        assert status_of(rows, picture) == nothing
        reason = {("no box", "no object of the class is annotated")}
        assert status_of(rows, picture, "pointing-game") == status_of(rows, picture, "energy-pointing-game") == reason
    assert status_of(rows, "changed 3") == nothing
    assert status_of(rows, "changed 3", "pointing-game") == {("error", "ValueError: a.xml cannot be read as XML")}
    counts = found.table.set_index(["metric", "method"])
    assert (counts["corrupt picture"] == 1).all()
    assert (counts.loc["pointing-game", "no box"] == 2).all()
    assert (counts.loc["pointing-game", ["n", "error"]] == [4, 2]).all(axis=None)
    assert (counts.loc["average-drop", ["n", "error"]] == [7, 1]).all(axis=None)
    assert (found.pictures, found.finished) == (9, 9)


def test_annotations_that_choose_the_class_must_be_readable(tmp_path):
    dataset = examples({"annotate": fails("a.xml cannot be read as XML")}, count=1)
    rows = evaluate(Plan(net(), ["grad-cam"], METRICS, target="objects"), dataset, tmp_path).rows
    for metric in METRICS:
        assert status_of(rows, "changed 0", metric) == {("error", "ValueError: a.xml cannot be read as XML")}


def test_a_box_that_the_crop_cuts_off_is_said_to_lie_outside(tmp_path):
    crop = transforms.Compose(
        [transforms.Resize(40), transforms.CenterCrop(SIZE), transforms.ToTensor(), transforms.Normalize([0.5], [0.25])]
    )
    cropped = Network(seeded(Gap), transform=crop, class_names=helpers.CLASSES)
    edge = tuple(LabeledBox(0, 0, 3, 30, name) for name in helpers.CLASSES)  # 13 of 53 columns are cut off on each side
    rows = evaluate(Plan(cropped, ["grad-cam"], METRICS), examples({"annotate": lambda: edge}, count=1), tmp_path).rows
    assert status_of(rows, "changed 0", "pointing-game") == {("no box", "every object of the class lies outside")}
    assert status_of(rows, "0", "pointing-game") == {("ok", "")}


def test_a_flat_map_is_counted_with_the_value_of_an_empty_map(tmp_path, own_registries):
    @method("nothing-cam", family="test", source="test", passes="none")
    def nothing(trace, target):
        return torch.zeros_like(trace.activations[:, :, 0, 0])

    found = evaluate(Plan(net(), ["nothing-cam"], METRICS), examples(), tmp_path)
    reason = "every class activation weight is zero: no gradient of this class reaches the layer"
    part = found.rows[found.rows["method"] == "nothing-cam"]
    assert {*zip(part["status"], part["note"], strict=True)} == {("degenerate", reason)}
    assert set(part[part["metric"] == "energy-pointing-game"]["value"]) == {0.0}
    row = found.table.set_index(["metric", "method"]).loc["energy-pointing-game", "nothing-cam"]
    assert (row["mean"], row["n"], row["degenerate"]) == (0, 4, 4)


@pytest.mark.parametrize(
    ("values", "message"),
    [(float("nan"), "ValueError: broken-cam made NaN or Inf at 'features' of Gap."), (None, "KeyError: 'out of it'")],
)
def test_a_method_that_fails_does_not_take_the_others_along(tmp_path, own_registries, values, message):
    @method("broken-cam", family="test", source="test", passes="none")
    def broken(trace, target):
        if values is None:
            raise KeyError("out of it")
        return torch.full_like(trace.activations[:, :, 0, 0], values)

    alone = evaluate(Plan(net(), METHODS, METRICS), examples(), tmp_path / "alone").rows
    found = evaluate(Plan(net(), ["grad-cam", "broken-cam", "score-cam"], METRICS), examples(), tmp_path / "all")
    part = found.rows["method"] == "broken-cam"
    assert {*zip(found.rows[part]["status"], found.rows[part]["note"], strict=True)} == {("error", message)}
    assert_same_rows(found.rows[~part].reset_index(drop=True), alone)
    row = found.table.set_index(["metric", "method"]).loc["pointing-game", "broken-cam"]
    assert (row["n"], row["error"]) == (0, 4)
    assert np.isnan(row["mean"])
    assert "broken-cam" not in {*found.differences["a"], *found.differences["b"]}


# -- stop, go on, share out, change


_DIES = """
import os, signal
from camlib.evaluate import evaluate, runner
from test_evaluate import METHODS, METRICS, Plan, examples, net

def dying(rows):
    yield from rows[: len(rows) // 2]
    os.kill(os.getpid(), signal.SIGKILL)

rows_of = runner.Worker.rows
runner.Worker.rows = lambda self, example, cells: (
    dying(rows_of(self, example, cells)) if example.id == "2" else rows_of(self, example, cells)
)
evaluate(Plan(net(), METHODS, METRICS), examples(), {out!r})
"""


def child_environment() -> dict[str, str]:
    folders = os.pathsep.join(map(str, [paths.ROOT, paths.ROOT / "tests", Path(__file__).parent]))
    own = {"PYTHONPATH": folders, "TQDM_DISABLE": "1", "CAMLIB_THREADS": "1"}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def test_kill_in_the_middle_of_writing_loses_that_picture_and_resuming_gives_what_was_missing(tmp_path, monkeypatch):
    whole = evaluate(Plan(net(), METHODS, METRICS), examples(), tmp_path / "whole")
    out = tmp_path / "killed"
    child = subprocess.run([sys.executable, "-c", _DIES.format(out=str(out))], env=child_environment(), check=False)
    assert child.returncode == -signal.SIGKILL
    assert {picture for picture, _ in store.finished(out)} == {"0", "1"}

    seen, rows_of = [], runner.Worker.rows
    monkeypatch.setattr(runner.Worker, "rows", lambda *a: [seen.append(a[1].id), rows_of(*a)][1])
    resumed = evaluate(Plan(net(), METHODS, METRICS), examples(), out)
    assert seen == ["2", "3"]
    assert_same_rows(resumed.rows, whole.rows)
    pd.testing.assert_frame_equal(resumed.table, whole.table)
    pd.testing.assert_frame_equal(resumed.differences, whole.differences)
    evaluate(Plan(net(), METHODS, METRICS), examples(), out)
    assert seen == ["2", "3"]


@pytest.mark.slow
def test_two_processes_find_what_one_finds(tmp_path):
    for i in range(5):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        photo(i).save(tmp_path / "pictures" / f"{i}.png")
    (tmp_path / "pictures" / "broken.png").write_bytes(b"no picture")
    arguments = ["--folder", str(tmp_path / "pictures"), "--network", "resnet18", "--weights", "none"]
    arguments += ["--input-size", "64", "--layer", "layer1", "--methods", *METHODS, "--metrics", "average-drop"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert main([*arguments, "--threads", "1", "--out", str(one)]) == 0
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "camlib.evaluate"]
    command = [sys.executable, *launcher, *arguments, "--threads", "1", "--out", str(two)]
    ran = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "6 of 6 pictures" in ran.stdout
    shares = [len({p for p, _ in store.finished(shard(two, rank, tmp_path))}) for rank in (0, 1)]
    assert shares == [3, 3]
    rows = [pd.read_csv(out / "rows.csv") for out in (one, two)]
    assert (rows[0]["status"] == "corrupt picture").sum() == 5
    assert_same_rows(*rows)
    for name in ("table.csv", "differences.csv"):
        pd.testing.assert_frame_equal(pd.read_csv(one / name), pd.read_csv(two / name), rtol=1e-6, atol=1e-9)


def shard(out: Path, rank: int, tmp_path: Path) -> Path:
    """A folder with one process's file alone."""
    alone = tmp_path / f"rank-{rank}"
    alone.mkdir()
    shutil.copy(out / f"rows-{rank}.sqlite", alone)
    return alone


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"target": "objects"},
        {"layers": ["features.1"]},
        {"network": network(sure(seed=1))},
        {"network": network(sure(), 40)},
        {"network": network(sure(dtype=torch.float32))},
        {"methods": ["score-cam:filler=black"]},
        {"metrics": ["average-drop:pixels=half"]},
    ],
    ids=lambda change: " ".join(change),
)
def test_a_changed_setting_never_meets_the_old_rows(tmp_path, change):
    first = {"network": net(), "methods": ["score-cam"], "metrics": ["average-drop"]}
    before, after = Plan(**first), Plan(**{**first, **change})
    keys = [{cell.setting.key for cell in plan.cells("x") if "score" in cell.method} for plan in (before, after)]
    assert keys[0].isdisjoint(keys[1])
    old, new = evaluate(before, examples(), tmp_path), evaluate(after, examples(), tmp_path)
    assert_same_rows(new.rows, evaluate(after, examples(), tmp_path / "alone").rows)
    assert_same_rows(evaluate(before, examples(), tmp_path).rows, old.rows)


def test_another_method_or_metric_leaves_finished_rows_as_they_are(tmp_path, monkeypatch):
    evaluate(Plan(net(), ["grad-cam"], ["average-drop"]), examples(), tmp_path)
    asked, rows_of = [], runner.Worker.rows
    monkeypatch.setattr(runner.Worker, "rows", lambda *a: [asked.extend(a[2]), rows_of(*a)][1])
    found = evaluate(Plan(net(), ["grad-cam", "layer-cam"], ["average-drop", "pointing-game"]), examples(), tmp_path)
    assert ("grad-cam", "average-drop") not in {(cell.method, cell.metric) for cell in asked}
    assert len(asked) == 4 * (2 * 5 - 4)
    alone = evaluate(
        Plan(net(), ["grad-cam", "layer-cam"], ["average-drop", "pointing-game"]), examples(), tmp_path / "alone"
    )
    assert_same_rows(found.rows, alone.rows)


def test_a_picture_that_changed_is_evaluated_anew_and_its_old_rows_are_left_out(tmp_path):
    plan = Plan(net(), ["grad-cam"], ["average-drop"])
    evaluate(plan, examples(), tmp_path)
    changed = examples({"id": "0", "load": lambda: photo(9), "version": "2"})[:4]
    found = evaluate(plan, changed, tmp_path).rows
    assert len(found) == 4 * 4
    pd.testing.assert_frame_equal(found, evaluate(plan, changed, tmp_path / "alone").rows)


def test_a_larger_sample_extends_the_smaller_one(tmp_path, monkeypatch):
    plan, whole = Plan(net(), ["grad-cam"], ["average-drop"]), examples(count=8)
    small = evaluate(plan, whole.sample(3, seed=5), tmp_path)
    seen, rows_of = [], runner.Worker.rows
    monkeypatch.setattr(runner.Worker, "rows", lambda *a: [seen.append(a[1].id), rows_of(*a)][1])
    large = evaluate(plan, whole.sample(5, seed=5), tmp_path)
    assert (len(seen), large.table["n"].iloc[0], small.table["n"].iloc[0]) == (2, 5, 3)
    assert not set(seen) & set(small.rows["picture"])


def test_memory_of_a_picture_is_given_back(tmp_path):
    """What one picture leaves behind is nothing that the next one holds: no graph, no trace, no sample stays alive."""
    plan = Plan(net(), METHODS, METRICS)
    worker, dataset, cells = runner.Worker(plan), examples(count=6), plan.cells("x")

    def alive():
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    worker.rows(dataset[0], cells)
    before = alive()
    for example in dataset[1:]:
        worker.rows(example, cells)
    assert alive() <= before


# -- the store


def setting(**names: str) -> Setting:
    known = dict.fromkeys(store.NAMES, "x")
    return Setting.of({**known, **names}, {"options": {"a": 1, "b": (1, None)}})


def test_a_picture_arrives_whole_or_not_at_all(tmp_path):
    one = setting()

    def rows():
        yield Row(one.key, "a", "1", 0, "cat", 1.0, "ok")
        raise KeyboardInterrupt

    with Store(tmp_path / "rows-0.sqlite") as file:
        file.describe([one])
        with pytest.raises(KeyboardInterrupt):
            file.add(rows())
        assert store.finished(tmp_path) == {}
        file.add([Row(one.key, "a", "1", 0, "cat", 1.0, "ok"), Row(one.key, "a", "1", 1, "dog", 2.0, "ok")])
    assert store.finished(tmp_path) == {("a", "1"): {one.key}}
    assert store.read(tmp_path, {one.key})["value"].tolist() == [1.0, 2.0]


def test_files_of_several_processes_are_read_as_one_and_a_doubled_row_once(tmp_path):
    one, two = setting(), setting(metric="y")
    for rank, pictures in enumerate((["a", "b"], ["b", "c"])):
        with Store(tmp_path / f"rows-{rank}.sqlite") as file:
            file.describe([one, two])
            for picture in pictures:
                file.add([Row(one.key, picture, "1", None, None, None, "no target", "why")])
    found = store.read(tmp_path, {one.key})
    assert sorted(found["picture"]) == ["a", "b", "c"]
    assert found["value"].isna().all()
    assert store.read(tmp_path, {two.key}).empty
    assert list(store.read(tmp_path, {two.key}).columns) == [*store.COLUMNS, "version"]


def test_the_key_changes_with_everything_and_with_nothing_else():
    names = dict.fromkeys(store.NAMES, "x")
    given = {"options": {"a": 1, "t": torch.ones(2)}, "size": (2, 3)}
    same = {"size": [2, 3], "options": {"t": torch.ones(2), "a": 1}}
    assert Setting.of(names, given).key == Setting.of(names, same).key
    for other in (
        {**given, "size": (3, 2)},
        {**given, "options": {"a": 1.5, "t": torch.ones(2)}},
        {**given, "options": {"a": 1, "t": torch.zeros(2)}},
        {**given, "more": None},
    ):
        assert Setting.of(names, other).key != Setting.of(names, given).key
    assert Setting.of({**names, "layer": "y"}, given).key != Setting.of(names, given).key


def test_a_file_that_is_no_store_is_refused(tmp_path):
    (tmp_path / "rows-0.sqlite").write_text("something else entirely, and long enough to be taken for a header" * 20)
    with pytest.raises(ValueError, match=r"rows-0.sqlite is not a results file of this version of camlib .* --out"):
        Store(tmp_path / "rows-0.sqlite")
    other = sqlite3.connect(tmp_path / "notes.sqlite")
    other.execute("CREATE TABLE notes (text)")
    other.close()
    with pytest.raises(ValueError, match=r"notes.sqlite is not a results file .*format is 0, not 1"):
        Store(tmp_path / "notes.sqlite")


# -- the tables


def rows_of(**columns: list) -> pd.DataFrame:
    count = len(columns["value"])
    known = {"layer": "l", "metric": "average-drop", "method": "grad-cam", "class": 0, "status": "ok"}
    frame = pd.DataFrame({**{name: [value] * count for name, value in known.items()}, **columns})
    return frame.astype({"class": "Int64"})


def test_means_and_counts_are_those_of_a_pencil():
    rows = rows_of(
        picture=["a", "b", "c", "d", "e"],
        value=[10.0, 20.0, 60.0, np.nan, np.nan],
        status=["ok", "degenerate", "ok", "no box", "error"],
    )
    (row,) = table.means(rows).to_dict("records")
    assert (row["mean"], row["n"], row["better"], row["unit"]) == (30, 3, "lower", "%")
    assert 10 <= row["low"] < 30 < row["high"] <= 60
    assert [row[status] for status in table.COUNTED] == [1, 1, 0, 0, 1]


def test_a_mean_without_values_is_empty_and_no_rows_make_an_empty_table():
    (row,) = table.means(rows_of(picture=["a"], value=[np.nan], status=["no box"])).to_dict("records")
    assert np.isnan([row["mean"], row["low"], row["high"]]).all()
    assert (row["n"], row["no box"]) == (0, 1)
    assert table.means(rows_of(picture=[], value=[])).empty
    assert table.differences(rows_of(picture=[], value=[])).empty


def test_whole_pictures_are_drawn_where_they_have_several_classes():
    """Two pictures with constant values: a draw of single rows would give other means than 0, 5 and 10."""
    rows = rows_of(picture=["a"] * 9 + ["b"] * 9, value=[0.0] * 9 + [10.0] * 9, **{"class": [*range(9)] * 2})
    (row,) = table.means(rows).to_dict("records")
    assert (row["mean"], row["low"], row["high"], row["n"]) == (5, 0, 10, 2)


def test_differences_pair_pictures_within_a_layer_and_name_the_better_one():
    rows = rows_of(
        layer=["l"] * 7 + ["m"] * 2,
        method=["grad-cam"] * 4 + ["score-cam"] * 3 + ["grad-cam", "layer-cam"],
        picture=["a", "b", "c", "d", "c", "b", "a", "a", "a"],
        value=[10.0, 20.0, 30.0, 999.0, 24.0, 15.0, 4.0, 1.0, 1.0],
    )
    first, second = table.differences(rows).to_dict("records")
    assert (first["layer"], first["a"], first["b"], first["n"]) == ("l", "grad-cam", "score-cam", 3)
    assert first["difference"] == pytest.approx((6 + 5 + 6) / 3)
    assert 5 <= first["low"] <= first["high"] <= 6
    assert first["better"] == "score-cam"  # average drop: lower is better
    assert (second["layer"], second["a"], second["b"], second["better"]) == ("m", "grad-cam", "layer-cam", "")
    higher = table.differences(rows.assign(metric="average-increase"))
    assert higher["better"].tolist() == ["grad-cam", ""]


def test_controls_are_compared_with_methods_only():
    rows = rows_of(method=["grad-cam", "all-ones", "random"], picture=["a"] * 3, value=[1.0, 2.0, 3.0])
    assert table.differences(rows)[["a", "b"]].to_numpy().tolist() == [["grad-cam", "all-ones"], ["grad-cam", "random"]]


def test_what_is_written_can_be_committed_and_read_back(tmp_path):
    found = evaluate(Plan(net(), METHODS, METRICS), examples({"annotate": tuple}), tmp_path)
    written = found.write(tmp_path)
    assert [file.name for file in written] == ["rows.csv", "table.csv", "differences.csv", "table.md"]
    again = pd.read_csv(tmp_path / "table.csv")
    np.testing.assert_allclose(again["mean"], found.table["mean"], rtol=1e-7)
    text = (tmp_path / "table.md").read_text()
    assert "# Gap on test pictures" in text
    assert "5 of 5 pictures finished" in text
    assert "## Layer features\n" in text
    assert "nan" not in text
    assert "- average-drop: Multiplying dims the picture" in text
    for file in written:
        assert not paths.MACHINE_PATH.search(file.read_text())
    first = [file.read_bytes() for file in written]
    again = evaluate(Plan(net(), METHODS, METRICS), examples({"annotate": tuple}), tmp_path).write(tmp_path)
    assert [file.read_bytes() for file in again] == first


# -- what is asked for


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("score-cam", {}),
        ("score-cam:filler=black", {"filler": "black"}),
        ("group-cam:groups=16,theta=None,sigma=2.5", {"groups": 16, "theta": None, "sigma": 2.5}),
        ("recipro-cam:gaussian=True", {"gaussian": True}),
    ],
)
def test_a_choice_is_written_as_a_name_with_options(text, options):
    found = Choice.parse(text)
    assert found == Choice(text.partition(":")[0], options)
    assert Choice.parse(found.label) == found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ["gradcam"]}, "No method is called 'gradcam'. Nearest: grad-cam"),
        ({"methods": ["score-cam:fill=black"]}, "score-cam has no option 'fill'. Its options: "),
        ({"methods": ["score-cam:black"]}, "'score-cam:black': expected name:option=value"),
        ({"methods": []}, "No method was named. Give at least one."),
        ({"methods": ["grad-cam", "grad-cam"]}, "method grad-cam is named more than once"),
        ({"metrics": ["avg-drop"]}, "No metric is called 'avg-drop'. Nearest: "),
        ({"metrics": ["average-drop:pixel=all"]}, "average-drop has no option 'pixel'. Its options: pixels='all'"),
        ({"metrics": ["sanity-ssim"]}, "sanity-ssim needs a second heatmap of the same picture, which no data set"),
        ({"layers": []}, "No layer was named."),
        ({"layers": ["nowhere"]}, "Layer 'nowhere' is not in Gap"),
        ({"target": "best"}, "target='best': expected one of 'top1': the most probable class"),
        ({"target": "label"}, "labels are ImageNet's, and Gap does not have its 1000 classes"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused_before_it_starts(change, message):
    with pytest.raises(ValueError, match=message):
        Plan(**{"network": net(), **change})


def test_boxes_that_cannot_be_followed_are_refused_before_the_first_picture(tmp_path):
    own = Network(seeded(Gap), transform=lambda p: net().prepare(p)[1], class_names=helpers.CLASSES)
    with pytest.raises(ValueError, match="Boxes cannot be followed through the transform function"):
        evaluate(Plan(own, ["grad-cam"], METRICS), examples(), tmp_path)
    assert not list(tmp_path.iterdir())
    assert len(evaluate(Plan(own, ["grad-cam"], ["average-drop"]), examples(), tmp_path).rows) == 16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--voc", "nowhere"], "No folder at 'nowhere'"),
        (["--photos", "--boxes", "x"], "--boxes belongs to --imagenet and --folder; leave it out."),
        (["--photos", "--year", "2012"], "--year belongs to --voc; leave it out."),
        (["--photos", "--limit", "0"], "count=0: expected at least one picture"),
        (["--photos", "--network", "resnet81"], "No network is called 'resnet81'. Nearest: resnet"),
        (["--photos", "--methods", "grad-cam:x=1"], "grad-cam has no option 'x'"),
        (["--photos", "--threads", "0"], "threads '0'|threads 0"),
    ],
)
def test_the_command_line_says_what_stands_in_the_way(tmp_path, capsys, arguments, message):
    assert main([*arguments, "--out", str(tmp_path)]) == 1
    assert re.search(message, capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_the_command_line_runs_from_photographs_to_tables(tmp_path, capsys):
    small = ["--network", "resnet18", "--weights", "none", "--input-size", "64", "--layer", "layer2", "layer3"]
    arguments = ["--photos", "--limit", "2", *small, "--methods", "grad-cam", "--metrics", "deletion:step=0.25"]
    assert main([*arguments, "--seed", "3", "--out", str(tmp_path)]) == 0
    assert "2 of 2 pictures; wrote" in capsys.readouterr().out
    found = pd.read_csv(tmp_path / "table.csv")
    assert set(found["layer"]) == {"layer2", "layer3"}
    assert set(found["metric"]) == {"deletion:step=0.25"}
    assert set(found["n"]) == {2}
    assert set(pd.read_csv(tmp_path / "rows.csv")["picture"]) == set(datasets.photos().sample(2, seed=3).ids)


def test_preprocess_of_a_network_is_part_of_its_settings():
    means = [(0.5,) * 3, (0.4,) * 3]
    nets = [Network(seeded(Gap), transform=Preprocess(SIZE, mean, (0.25,) * 3), name="Gap") for mean in means]
    one, other = ({cell.setting.key for cell in Plan(each, ["grad-cam"]).cells("x")} for each in nets)
    assert one.isdisjoint(other)
