"""An evaluation stops, goes on, is shared out among processes, and is changed, without a wrong or a lost row."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from pathlib import Path

import forked
import pandas as pd
import pytest
import torch
from evaluations import METHODS, METRICS, assert_same_rows, examples, net, photo, sure
from helpers import network

from camlib import paths
from camlib.evaluate import Plan, evaluate, runner, store
from camlib.evaluate.__main__ import main

_DIES = """
import os, signal, torch
from camlib.evaluate import Plan, evaluate, runner
from evaluations import METHODS, METRICS, examples, net

torch.set_num_threads(1)

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
    folders = os.pathsep.join(map(str, [paths.ROOT, paths.ROOT / "tests"]))
    own = {"PYTHONPATH": folders, "TQDM_DISABLE": "1", "CAMLIB_THREADS": "1"}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def test_kill_in_the_middle_of_writing_loses_that_picture_and_resuming_gives_what_was_missing(tmp_path, monkeypatch):
    whole = evaluate(Plan(net(), METHODS, METRICS), examples(), tmp_path / "whole")
    out = tmp_path / "killed"
    child = forked.start(_DIES.format(out=str(out)), environment=child_environment())
    assert forked.status(child) == -signal.SIGKILL
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
    launcher = "import sys; from torch.distributed.run import main; main(sys.argv[1:])"  # as its module does
    command = ["--standalone", "--nproc-per-node=2", "-m", "camlib.evaluate", *arguments, "--threads", "1"]
    said = tmp_path / "said"
    ran = forked.start(launcher, *command, "--out", str(two), environment=child_environment(), output=said)
    assert forked.status(ran) == 0, forked.errors(said)
    assert "6 of 6 pictures" in said.read_text()
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
