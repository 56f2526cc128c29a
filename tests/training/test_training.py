"""Trained networks: kept weights reach what they state; training is repeatable, whole or not there at all."""

import json
import os
import random
import shutil
import subprocess
import sys
from functools import cache

import pytest
import torch
from torch import nn

import camlib
from camlib import paths, training
from camlib.pictures import Preprocess
from camlib.training import RECIPES, Run, accuracy, fit, recipe, scenes, train
from camlib.training.__main__ import _ordered, main
from camlib.training.recipes import _recipes
from camlib.zoo.designs import DESIGNS, _designs, design
from camlib.zoo.trained import TRAINED, kept_weights, load_trained, record_of

KEPT = [name for name in RECIPES if (TRAINED / f"{name}.json").exists()]


@pytest.fixture
def toy(monkeypatch):
    """A design and its recipe: it learns in a moment which of two means is larger, and states an accuracy."""
    known = {id(registry): dict(registry) for registry in (_designs, _recipes)}

    def learn(module, run):
        generator = torch.Generator().manual_seed(run.seed)

        def draw(step):
            inputs = torch.randn(32, 1, 4, 4, generator=generator)
            return inputs, (inputs.mean(dim=(1, 2, 3)) > 0).long()

        run.keep("start", module, steps=0)
        return {"loss": round(fit(module, draw, 60, run, rate=0.1), 4)}

    def test(module, seed):
        inputs = torch.randn(500, 1, 4, 4, generator=torch.Generator().manual_seed(seed + 99))
        return accuracy(module, inputs, (inputs.mean(dim=(1, 2, 3)) > 0).long())

    def register(states=0.9):
        @design("toy", class_names=["low", "high"], preprocess=Preprocess(4, (0.5,), (0.25,)))
        def build():
            """Two means."""
            return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 2))

        recipe("toy", test=test, accuracy=states)(learn)

    yield register
    for registry in (_designs, _recipes):
        registry.clear()
        registry.update(known[id(registry)])


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_every_recipe_is_trained_and_every_file_belongs_to_one():
    assert set(RECIPES) == set(DESIGNS)
    wanted = {f"{name}.json" for name in RECIPES}
    for name in RECIPES:
        stages = record_of(name).get("stages", {})
        wanted |= {f"{name}.safetensors", *(f"{name}@{tag}.safetensors" for tag in stages)}
    assert {path.name for path in TRAINED.iterdir()} == wanted


@pytest.mark.parametrize("name", KEPT)
def test_record_and_files_agree(name):
    record = record_of(name)
    assert record["name"] == name
    assert record["accuracy"] >= RECIPES[name].accuracy
    net = camlib.load_network(name)
    assert net.name == name
    assert net.class_names == list(DESIGNS[name].class_names)
    assert sum(p.numel() for p in net.module.parameters()) == record["parameters"]
    for tag, entry in {"default": record, **record.get("stages", {})}.items():
        file = TRAINED / (f"{name}.safetensors" if tag == "default" else f"{name}@{tag}.safetensors")
        assert file.stat().st_size == entry["bytes"] < 1_500_000
        assert kept_weights(name, tag).keys() == net.module.state_dict().keys()


@pytest.fixture(scope="module")
def drawn_once():
    """Networks of the same seed are tested on the same 2,000 scenes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "make_scenes", cache(scenes.make_scenes))
        yield


@pytest.mark.usefixtures("drawn_once")
@pytest.mark.parametrize("name", [name for name in KEPT if name.startswith("scenes-")])
def test_kept_weights_reach_the_stated_accuracy_on_fresh_scenes(name):
    """Scenes of another seed than the record's, so its number cannot have been chosen."""
    net, found = camlib.load_network(name), RECIPES[name]
    assert found.test(net.module, record_of(name)["seed"] + 12345) >= found.accuracy


@pytest.mark.parametrize("name", KEPT)
def test_a_trained_network_can_be_explained(name):
    net = camlib.load_network(name)
    picture = torch.rand(3, *net.input_size, generator=torch.Generator().manual_seed(0))
    explanation = camlib.explain(net, picture, target=net.class_names[1], relu=False)
    assert explanation.heatmap.shape == net.input_size
    assert explanation.target == 1


def test_random_weights_come_from_the_seed_and_leave_the_global_state_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two, three = (camlib.load_network("scenes-gap", None, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.module.head.linear.weight, two.module.head.linear.weight)
    assert not torch.equal(one.module.head.linear.weight, three.module.head.linear.weight)
    assert one.name == "scenes-gap (random weights, seed 0)"


def test_trained_networks_are_listed_and_found():
    assert set(RECIPES) <= set(camlib.list_networks())
    with pytest.raises(ValueError, match="scenes-gap"):
        camlib.load_network("scenes-gapp")
    with pytest.raises(ValueError, match=r"has no weights 'step-1'\. Choose one of 'default', 'step-0'"):
        camlib.load_network("scenes-finetuned", "step-1")


# -- training ----------------------------------------------------------------------------------------------------------


def test_training_twice_gives_the_same_bytes_and_another_seed_others(toy, tmp_path):
    toy()
    folders = [tmp_path / name for name in ("one", "two", "other")]
    for folder, seed in zip(folders, (3, 3, 4), strict=True):
        torch.manual_seed(random.randrange(1000))
        record = train("toy", seed, folder)
        assert record == json.loads((folder / "toy.json").read_text(encoding="utf-8"))
    names = ["toy.json", "toy.safetensors", "toy@start.safetensors"]
    assert [sorted(path.name for path in folder.iterdir()) for folder in folders] == [names] * 3
    contents = [[(folder / name).read_bytes() for name in names] for folder in folders]
    assert contents[0] == contents[1]
    assert contents[0][1] != contents[2][1]


def test_the_record_speaks_of_the_weights_as_they_are_kept(toy, tmp_path):
    toy()
    record = train("toy", 0, tmp_path)
    net, start = (load_trained("toy", tag, folder=tmp_path) for tag in ("default", "start"))
    for tag, module, said in (("toy", net, record), ("toy@start", start, record["stages"]["start"])):
        assert module.name == tag
        assert round(RECIPES["toy"].test(module.module, 0), 4) == said["accuracy"]
    assert record["accuracy"] > 0.9 > record["stages"]["start"]["accuracy"]
    assert all(torch.equal(v, v.half().float()) for v in net.module.state_dict().values() if v.is_floating_point())
    assert set(record) >= {"seed", "torch", "parameters", "loss", "bytes", "sha256"}


def test_weights_below_the_stated_accuracy_are_not_kept(toy, tmp_path):
    toy()
    train("toy", 0, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    _designs.pop("toy"), _recipes.pop("toy")
    toy(states=1.0)
    with pytest.raises(RuntimeError, match=r"toy reaches an accuracy of 0\.9\d*, below the 1\.0 it states"):
        train("toy", 1, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_weights_beyond_float16_are_not_kept(toy, tmp_path, monkeypatch):
    toy()
    huge = {"0.weight": torch.tensor([1e6])}
    monkeypatch.setattr(nn.Module, "state_dict", lambda self: huge)
    with pytest.raises(RuntimeError, match=r"Weight 0\.weight of toy holds NaN, Inf or numbers beyond float16"):
        train("toy", 0, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_missing_and_damaged_files_say_how_to_train_anew(toy, tmp_path):
    toy()
    with pytest.raises(FileNotFoundError, match=r"python -m camlib\.training toy"):
        load_trained("toy", folder=tmp_path)
    train("toy", 0, tmp_path)
    file = tmp_path / "toy.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"is not the file of its record.*camlib\.training toy"):
        load_trained("toy", folder=tmp_path)


def test_load_network_says_that_weights_are_missing(toy):
    toy()
    with pytest.raises(camlib.zoo.pretrained.WeightsUnavailable, match=r"python -m camlib\.training toy"):
        camlib.load_network("toy")
    assert camlib.load_network("toy", None).class_names == ["low", "high"]


@pytest.mark.parametrize("tag", ["default", "a/b", "", "twice"])
def test_stages_need_a_name_of_their_own(tag):
    run = Run(0)
    run.keep("twice", nn.Linear(1, 1))
    with pytest.raises(ValueError, match="expected letters, digits"):
        run.keep(tag, nn.Linear(1, 1))


def test_a_kept_stage_does_not_change_with_the_module():
    run, module = Run(0), nn.Linear(1, 1)
    run.keep("start", module)
    before = module.weight.detach().clone()
    with torch.no_grad():
        module.weight += 1
    assert torch.equal(run.stages["start"][0]["weight"], before)


def test_designs_are_checked_when_they_are_registered(toy):
    toy()
    settings = {"class_names": ["a"], "preprocess": Preprocess(4)}
    for name, message in (("Toy", "kebab-case"), ("toy", "is taken by")):
        with pytest.raises(ValueError, match=message):
            design(name, **settings)(lambda: nn.Linear(1, 1))


def test_recipes_are_checked_when_they_are_registered(toy):
    toy()
    for name, accuracy_, after, message in (
        ("toy-2", 0.5, (), "No network that is trained here is called 'toy-2'. Nearest: toy"),
        ("toy", 95, (), "expected a share"),
        ("toy", 0.5, ("nothing-here",), "No recipe is called 'nothing-here'"),
        ("toy", 0.5, (), "is taken by"),
    ):
        with pytest.raises(ValueError, match=message):
            recipe(name, test=None, accuracy=accuracy_, after=after)(lambda module, run: {})


def test_one_recipe_trains_several_networks_and_is_told_which(toy, tmp_path):
    toy()
    one = DESIGNS["toy"]
    for name in ("toy-a", "toy-b"):
        design(name, class_names=one.class_names, preprocess=one.preprocess)(one.build)

    @recipe("toy-a", "toy-b", test=lambda module, seed: 1.0, accuracy=0.5)
    def train_both(module, run):
        return {"told": run.name}

    assert [train(name, 0, tmp_path)["told"] for name in ("toy-a", "toy-b")] == ["toy-a", "toy-b"]
    assert [RECIPES[name].name for name in ("toy-a", "toy-b")] == ["toy-a", "toy-b"]


def test_command_line_lists_trains_and_says_what_is_wrong(toy, tmp_path, monkeypatch, capsys):
    toy()
    monkeypatch.setattr(training.recipes, "TRAINED", tmp_path)
    assert main(["--list", "toy", "scenes-gap"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in out] == ["toy", "scenes-gap"]
    assert "Two means." in out[0]
    assert main(["no-such-network"]) == 1
    assert "No recipe is called 'no-such-network'" in capsys.readouterr().err


def test_networks_that_others_start_from_come_first():
    assert _ordered(["scenes-vgg-gap", "scenes-gap", "scenes-vgg"]) == ["scenes-vgg", "scenes-vgg-gap", "scenes-gap"]
    assert _ordered(["scenes-vgg-gap"]) == ["scenes-vgg-gap"]


def test_the_longest_training_is_begun_first():
    ordered = _ordered(list(RECIPES))
    assert ordered[:2] == ["cifar10-lfi", "cifar10-plain"]
    assert sorted(ordered) == sorted(RECIPES)
    assert ordered.index("scenes-gap") < ordered.index("scenes-captions") < ordered.index("scenes-avg22")


def test_fit_solves_a_problem_with_a_known_answer():
    """Least squares of y = 3x - 1."""
    torch.manual_seed(0)
    module = nn.Linear(1, 1)
    x = torch.linspace(-1, 1, 64)[:, None]
    done = []
    loss = fit(
        module,
        lambda step: (x, 3 * x - 1),
        300,
        Run(0),
        rate=0.1,
        decay=0,
        loss=nn.functional.mse_loss,
        after_step=done.append,
    )
    assert loss < 1e-4
    assert module.weight.item() == pytest.approx(3, abs=0.02)
    assert module.bias.item() == pytest.approx(-1, abs=0.02)
    assert done == list(range(1, 301))
    assert not module.training


def test_accuracy_counts_and_leaves_the_mode():
    module = nn.Sequential(nn.Flatten(), nn.Dropout(0.9)).train()
    inputs = torch.eye(4)[:, :, None, None]
    assert accuracy(module, inputs, torch.tensor([0, 1, 2, 0]), batch_size=3) == 0.75
    assert module.training


def test_networks_that_fail_in_processes_are_counted_and_say_why(tmp_path):
    """As a command: what a process is to run must be found in it, too."""
    nowhere = str(tmp_path / "nowhere")
    options = ["cifar10-plain", "cifar10-lfi", "--jobs", "2", "--data", nowhere]
    command = [sys.executable, "-m", "camlib.training", *options]
    done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    for name in ("cifar10-plain", "cifar10-lfi"):
        assert f"{name}: No CIFAR-10 at {nowhere}" in done.stderr


def test_a_second_training_in_one_process_reads_its_own_data(capsys, tmp_path, own_environment):
    """The server from which processes are forked remembers where the data of the first lay."""
    for folder in ("first", "second"):
        there = str(tmp_path / folder)
        assert main(["cifar10-plain", "cifar10-lfi", "--jobs", "2", "--data", there]) == 2
        assert capsys.readouterr().err.count(f"No CIFAR-10 at {there}") == 2


def test_make_trains_through_the_command_line():
    if shutil.which("make") is None:
        pytest.skip("no make here")
    command = ["make", "--dry-run", "train", "TRAIN=toy --seed 1", "CIFAR10=some folder", "JOBS=3"]
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}  # of make test
    planned = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=True, env=own).stdout
    assert planned.rstrip().endswith('-m camlib.training --jobs 3 --data "some folder" toy --seed 1')
