"""The bench on a toy network with stand-in libraries: rounds, ratios, schema, files, a run without peers."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import helpers
import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from camlib import paths
from camlib.compendium import bench
from camlib.compendium.bench import cases
from camlib.compendium.bench.__main__ import main
from camlib.compendium.bench.cases import Bench
from camlib.compendium.bench.machine import machine
from camlib.compendium.bench.peers import Peer, load_peers
from camlib.compendium.bench.rounds import Job, correlation, run_rounds
from camlib.compendium.bench.subjects import SETUPS, Setup, Subject
from camlib.compendium.bench.table import combination, earlier, renewed, save

SETUP = Setup("toy", None, "features", "features.1", 2, False)


class Clock:
    """A clock that only moves when a job says how long it took."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now

    def job(self, library: str, *seconds: float, found: Tensor | None = None, **how: object) -> Job:
        """A job whose calls take the given seconds in turn."""
        left = list(seconds)

        def call() -> Tensor | None:
            self.calls.append(library)
            self.now += left.pop(0)
            return found

        return Job(library, "as it is", call, how.pop("passes", 10), **how)


@pytest.fixture(scope="module")
def toy():
    """Subject maker of a small float32 network, with the module's own layers."""
    net = helpers.network(helpers.seeded(helpers.Gap, dtype=torch.float32))
    inputs = helpers.batch(1, torch.float32)
    return lambda layer: Subject(net, layer, inputs, "toy")


class Library:
    """A stand-in library that notes what it was asked for and returns a map of the module that it was given."""

    def __init__(self) -> None:
        self.asked: list[tuple] = []

    def maps(self, subject: Subject, module: nn.Module) -> Tensor:
        with torch.no_grad():
            return module.features(subject.inputs)[0].mean(dim=0)

    def score(self, subject: Subject, module: nn.Module, batch: int) -> Tensor:
        self.asked.append(("score", subject.layer, batch))
        return self.maps(subject, module)

    def ablation(self, subject: Subject, module: nn.Module, batch: int, channels: int | None) -> Tensor:
        self.asked.append(("ablation", subject.layer, batch, channels))
        return self.maps(subject, module)

    def peer(self, name: str, default: int) -> Peer:
        gradient = {"grad-cam": self.maps, "layer-cam": self.maps, "grad-cam++": self.maps, "xgrad-cam": self.maps}
        return Peer(name, {"score": default, "ablation": 32}, self.score, self.ablation, gradient)


@pytest.fixture(scope="module")
def made(toy):
    """All cases of the toy network with two stand-ins, one of which scores nothing; (rows, stand-in, lines said)."""
    library, said = Library(), []
    silent = Peer("silent", {"ablation": 1}, None, library.ablation, {"grad-cam": library.maps})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases, "score_memory_alone", lambda name, *_: {"camlib": 50.0, "torchcam": 75.0}[name])
        run = Bench(SETUP, [library.peer("loud", 16), silent], subject=toy, say=said.append)
        return pd.DataFrame(run.measure(bench.CASES)), library, said


# -- rounds


def test_rounds_are_interleaved_and_turn_around():
    clock = Clock()
    jobs = [clock.job("camlib", 1, 1, 1), clock.job("a", 1, 1, 1), clock.job("b", 1, rounds=1)]
    run_rounds(jobs, 3, clock)
    assert clock.calls == ["camlib", "a", "b", "a", "camlib", "camlib", "a"]


def test_a_ratio_is_formed_within_its_round():
    clock = Clock()
    rows = run_rounds([clock.job("camlib", 2, 4), clock.job("peer", 6, 6)], 2, clock)
    found = {(row["library"], row["run"]): (row["value"], row["ratio"]) for row in rows}
    assert found == {("camlib", 1): (2, 1), ("peer", 1): (6, 3), ("camlib", 2): (4, 1), ("peer", 2): (6, 1.5)}


def test_time_is_scaled_from_the_passes_that_ran_and_averaged_over_repeats():
    clock = Clock()
    jobs = [clock.job("camlib", 1.0, 3.0, repeat=2), clock.job("peer", 5.0, passes=512, timed=64)]
    ours, theirs = run_rounds(jobs, 1, clock)
    assert (ours["value"], ours["timed"]) == (2.0, 10)
    assert (theirs["value"], theirs["ratio"], theirs["passes"], theirs["timed"]) == (40.0, 20.0, 512, 64)


def test_maps_of_whole_jobs_are_compared_with_the_first_and_parts_are_not():
    clock, field = Clock(), helpers.picture(0)[0]
    jobs = [
        clock.job("camlib", 1, found=field),
        clock.job("same", 1, found=2 * field + 1),
        clock.job("opposite", 1, found=-field),
        clock.job("part", 1, found=field, timed=1),
        clock.job("limit", 1),
    ]
    rows = [row for row in run_rounds(jobs, 1, clock) if row["unit"] == "r"]
    assert [row["library"] for row in rows] == ["same", "opposite"]
    assert [row["value"] for row in rows] == pytest.approx([1, -1])
    assert all(np.isnan(row["ratio"]) for row in rows)


def test_a_small_map_is_enlarged_before_it_is_compared():
    small = helpers.picture(1, 8, 8)[0]
    large = torch.nn.functional.interpolate(small[None, None], (32, 32), mode="bilinear")[0, 0]
    assert correlation(small, large) == pytest.approx(1, abs=1e-6)
    assert correlation(large, small) == pytest.approx(1, abs=1e-6)


# -- cases


def test_rows_have_the_columns_and_every_case_is_there(made):
    rows, _, said = made
    assert set(rows.columns) == set(bench.COLUMNS)
    assert set(rows["case"]) == {*bench.CASES, *bench.GRADIENT} - {"gradient"} or "allocator: left out" in str(said)
    assert set(rows["unit"]) == {"s", "MB", "r"}
    seconds = rows[rows["unit"] == "s"]
    assert (seconds["value"] > 0).all()
    assert (seconds["ratio"] > 0).all()
    assert (rows[(rows["unit"] == "r")]["value"].abs() <= 1 + 1e-9).all()


def test_camlib_is_the_reference_of_every_round(made):
    rows = made[0]
    first = rows[rows["unit"] == "s"].groupby(["case", "layer", "run"], sort=False).first()
    assert (first["library"] == "camlib").all()
    assert (first["ratio"] == 1).all()


def test_peers_run_at_their_default_and_at_their_best_batch(made):
    rows, library, _ = made
    pilot = rows[(rows["case"] == "batch") & (rows["library"] == "loud") & (rows["unit"] == "s")]
    assert list(pilot["setting"]) == ["batch 4", "batch 8", "batch 16"]
    best = int(pilot.loc[pilot["value"].idxmin(), "setting"].split()[-1])
    settings = rows[(rows["case"] == "score-cam") & (rows["library"] == "loud")]["setting"]
    assert set(settings) == {f"best batch {best}", "default batch 16"}
    asked = [asked[2] for asked in library.asked if asked[:2] == ("score", "features")]
    assert asked == [best] * 2 * SETUP.rounds  # the fastest peer runs whole in every round of both cases ...
    default = rows[(rows["case"] == "score-cam") & (rows["setting"] == "default batch 16")]
    assert list(default["timed"]) == [8 + 2]  # ... and its default batch at the narrow layer of 8 channels, scaled
    assert list(default["passes"]) == [6 + 2]


def test_a_budget_is_compared_with_all_passes_and_with_peers(made):
    rows, _, _ = made
    timed = rows[(rows["case"] == "budget") & (rows["unit"] == "s")]
    ours = timed[timed["library"] == "camlib"].drop_duplicates("setting").set_index("setting")["passes"]
    assert ours.to_dict() == {"budget K/8": 2, "exact": 6, "score-cam, budget K/8": 2}  # of 6 live channels
    assert set(timed["library"]) == {"camlib", "loud"}
    assert (timed[timed["setting"] == "budget K/8"]["ratio"] == 1).all()
    assert list(timed[timed["library"] == "loud"]["passes"]) == [6 + 2] * SETUP.rounds
    assert set(rows[(rows["case"] == "budget") & (rows["unit"] == "r")]["setting"]) > {"exact"}


def test_limit_runs_as_many_passes_as_camlib(toy):
    """Counted at the module of the folded copy: K pictures, whatever the batch."""
    subject, seen = toy("features"), []
    run = subject.plain(4, 6)
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, args, _: seen.append(len(args[0])) if isinstance(module, helpers.Gap) else None
    )
    try:
        run()
    finally:
        handle.remove()
    assert seen == [4, 2]


def test_ablation_of_peers_runs_whole_at_the_best_batch_and_in_part_at_the_default(made):
    _, library, _ = made
    asked = [entry[2:] for entry in library.asked if entry[0] == "ablation"]
    (best, whole), *others = asked
    assert best in cases.PEER_BATCHES
    assert whole is None
    assert others == [(32, None), (1, None)]  # 6 channels are fewer than the part of 32: whole as well


def test_a_limit_of_many_passes_is_timed_in_part(toy):
    job = Bench(SETUP, [], True, toy, lambda _: None)._limit(toy("features.1"), 4, 5, "batch 4")
    assert (job.passes, job.timed) == (8, 5)


def test_forward_and_backward_to_the_layer_reaches_the_layer_only(toy, monkeypatch):
    subject = toy("features.1")
    gradients = []
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda y, leaf: gradients.append(grad(y, leaf)[0]))
    subject.forward_backward()()
    maps = subject.net.module.features[:2](subject.inputs).detach().requires_grad_(True)
    logits = subject.net.module.fc(subject.net.module.features[2:](maps).mean(dim=(2, 3)))
    torch.testing.assert_close(gradients[0], grad(logits[0, subject.target], maps)[0])
    assert not subject.net.module.features[1]._forward_hooks


def test_quick_measures_at_the_narrow_layer_once(toy):
    rows = pd.DataFrame(Bench(SETUP, [Library().peer("loud", 16)], True, toy, lambda _: None).measure(["score-cam"]))
    assert set(rows["layer"]) == {"features.1"}
    assert set(rows["run"]) == {1}


def test_memory_is_divided_by_ours(made):
    rows = made[0]
    memory = rows[rows["case"] == "memory"]
    if len(memory):  # Linux tells, others do not
        assert list(memory["library"]) == ["camlib", "torchcam"] * SETUP.rounds
        assert list(memory["ratio"]) == [1.0, 1.5] * SETUP.rounds


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_extra_memory_is_what_the_call_touches():
    code = (
        "from camlib.compendium.bench import memory; import numpy as np\n"
        "keep = np.ones(3 * 10**6)\n"
        "print(memory.extra_memory(lambda: np.ones(10**7)), memory.extra_memory(lambda: None))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=paths.ROOT)
    large, none = map(float, done.stdout.split())
    assert 79 <= large < 85
    assert 0 <= none < 2


# -- peers


def test_without_peers_the_command_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "torchcam", None)
    assert main(["--out", str(tmp_path / "bench.csv")]) == 1
    message = capsys.readouterr().err
    assert "torchcam is not installed" in message
    assert "pip install -e '.[peers]'" in message
    assert not list(tmp_path.iterdir())


def test_an_unknown_case_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        main(["--only", "speed"])
    assert "score-cam" in capsys.readouterr().err


@pytest.fixture(scope="module")
def peers():
    pytest.importorskip("pytorch_grad_cam")
    pytest.importorskip("torchcam")
    return {peer.name: peer for peer in load_peers()}


@pytest.mark.parametrize("name", ["pytorch-grad-cam", "torchcam"])
def test_peers_do_the_same_job(peers, toy, name):
    """Their maps correlate with ours: the libraries were handed the same picture, layer and class."""
    subject = toy("features")
    ours = subject.explain("score-cam-softmax", align_corners=name == "pytorch-grad-cam")
    module = helpers.seeded(helpers.Gap, dtype=torch.float32)
    assert correlation(peers[name].score(subject, module, 4), ours) > 0.999
    for method in ("grad-cam", "layer-cam"):
        found = peers[name].gradient[method](subject, module)
        assert correlation(found, subject.explain(method)) > 0.999


@pytest.mark.parametrize("name", ["pytorch-grad-cam", "captum"])
def test_ablation_of_peers_is_ours_and_runs_the_channels_it_is_told(peers, toy, name):
    subject = toy("features")
    module, rows = helpers.seeded(helpers.Gap, dtype=torch.float32), []
    module.fc.register_forward_hook(lambda _m, args, _o: rows.append(len(args[0])))
    found = peers[name].ablation(subject, module, 2, None)
    # Both peers divide or not by the logit with its sign; the map may be turned around but not otherwise different.
    assert abs(correlation(found, subject.explain("ablation-cam"))) > 0.999
    whole = sum(rows)
    rows.clear()
    peers[name].ablation(subject, module, 2, 4)
    assert whole - sum(rows) == subject.channels - 4


# -- files


def frame(case: str = "score-cam", network: str = "toy", library: str = "camlib", **values: object) -> dict:
    row = {"layer": "l", "setting": "s", "run": 1, "value": 1.0, "unit": "s", "ratio": 1.0, "passes": 8, "timed": 8}
    return {"case": case, "network": network, "library": library} | row | values


def test_summary_is_the_median_with_the_range_of_ratios():
    rows = pd.DataFrame([frame(run=i, value=v, ratio=r) for i, v, r in ((1, 3, 1.0), (2, 9, 5.0), (3, 4, 2.0))])
    (line,) = bench.summary(rows).to_dict("records")
    assert (line["value"], line["ratio"], line["low"], line["high"], line["runs"]) == (4, 2, 1, 5, 3)


def test_combination_takes_the_fastest_peer_for_each_method_five_times():
    rows = [frame("seven-methods", value=2.0, passes=16), frame("six-methods", value=1.0, passes=8)]
    rows += [frame(m, library=name, value=v) for m in bench.GRADIENT for name, v in (("a", 1.0), ("b", 0.5))]
    rows += [frame("ablation-cam", library="a", value=10.0), frame("score-cam", library="b", value=7.0)]
    rows += [frame("score-cam", library="limit", value=0.1), frame("score-cam", library="b", unit="r", value=0.2)]
    (alike,) = combination(pd.DataFrame(rows), "toy", "six-methods").to_dict("records")
    assert (alike["ratio"], alike["passes"]) == (pytest.approx(95), 40)
    (line,) = combination(pd.DataFrame(rows), "toy", "seven-methods").to_dict("records")
    assert line["value"] == pytest.approx(5 * (4 * 0.5 + 10 + 7))
    assert line["ratio"] == pytest.approx(95 / 2)
    assert (line["passes"], line["timed"], line["library"]) == (80, 0, bench.COMPOSED)
    assert combination(
        pd.DataFrame(rows[:-4]), "toy", "six-methods"
    ).empty  # no ablation and no score: nothing to compose


def test_files_are_written_whole_and_other_cases_of_the_same_machine_stay(tmp_path):
    out, facts = tmp_path / "data" / "bench.csv", {"processor": "a", "quick": False}
    assert earlier(out, facts, ["batch"], ["toy"]).empty
    save(pd.DataFrame([frame("memory", unit="MB"), frame("score-cam", value=1.23456789)]), facts, out)
    written = pd.read_csv(out)
    assert list(written.columns) == list(bench.COLUMNS)
    assert list(written["case"]) == ["score-cam", "memory"]
    assert written["value"][0] == 1.23457
    assert json.loads((tmp_path / "data/bench-machine.json").read_text()) == facts
    assert sorted(path.name for path in out.parent.iterdir()) == ["bench-machine.json", "bench.csv"]
    rest = earlier(out, facts, ["score-cam", "gradient"], ["toy"])
    assert list(rest["case"]) == ["memory"]
    assert len(earlier(out, facts, ["score-cam"], ["resnet18"])) == 2


def test_a_measurement_is_read_with_its_machine_and_a_missing_one_is_explained(tmp_path):
    out = tmp_path / "bench.csv"
    with pytest.raises(FileNotFoundError, match=r"bench.csv or bench-machine.json is not there; `make bench` measures"):
        bench.read(out)
    save(pd.DataFrame([frame(run=1, value=1.0), frame(run=2, value=3.0)]), {"processor": "a"}, out)
    table, facts = bench.read(out)
    assert (list(table["value"]), list(table["runs"]), facts) == ([2.0], [2], {"processor": "a"})


def test_rows_of_two_machines_are_never_mixed(tmp_path):
    out = tmp_path / "bench.csv"
    save(pd.DataFrame([frame("memory"), frame("score-cam")]), {"processor": "a"}, out)
    assert earlier(out, {"processor": "b"}, ["memory", "score-cam"], ["toy"]).empty
    with pytest.raises(ValueError, match=r"bench.csv holds other cases, measured under .*'a'.*--out"):
        earlier(out, {"processor": "b"}, ["memory"], ["toy"])


def test_machine_names_processor_threads_and_versions_and_nothing_private():
    facts = machine()
    assert facts["threads"] == torch.get_num_threads()
    assert facts["libraries"]["torch"] == torch.__version__.partition("+")[0]
    text = json.dumps(facts)
    assert not paths.MACHINE_PATH.search(text)
    assert platform.node() not in text


def test_setups_name_layers_that_exist_with_fewer_channels_in_the_narrow_one():
    setup = SETUPS["efficientnet-lite0"]
    net = helpers.lite0()
    assert net.find_layer(setup.narrow).channels < net.find_layer(setup.layer).channels


def test_rows_that_a_case_brings_along_replace_their_like():
    """The pilot of the batches runs for every case that needs a best batch; its earlier rows must not stay beside."""
    before = pd.DataFrame([["batch", "a", 1.0], ["batch", "b", 2.0], ["memory", "a", 3.0]])
    before.columns = ["case", "network", "value"]
    measured = pd.DataFrame([["batch", "a", 9.0], ["budget", "a", 8.0]], columns=before.columns)
    found = renewed(before, measured)
    assert found["value"].tolist() == [2.0, 3.0, 9.0, 8.0]
    assert renewed(before.iloc[:0], measured)["value"].tolist() == [9.0, 8.0]
