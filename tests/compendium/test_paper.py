"""The papers' setting: what it plans, what it leaves out and why, and tables with published numbers beside ours."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import helpers
import nbformat
import numpy as np
import pandas as pd
import pytest
import random_checkpoints
from helpers import Gap, network, seeded
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from camlib import checkpoints, paths
from camlib.compendium import report
from camlib.compendium.paper import __main__ as command
from camlib.compendium.paper import plan, setting, tables
from camlib.compendium.paper.listing import listing
from camlib.data import datasets
from camlib.data.classes import imagenet_classes
from camlib.metrics import CONTROLS
from camlib.zoo.pretrained import published_weights

SHARED = Path(os.environ.get("CAMLIB_SHARED_DATA", paths.ROOT.parent / "shared" / "data"))
WNIDS = ("n01440764", "n02123045")  # tench and tabby
XML = (
    "<annotation><object><name>{name}</name><bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax>"
    "</bndbox></object></annotation>"
)
NEEDED = {
    "00_start_here": ("resnet18",),
    "01_feature_maps": ("resnet18",),
    "02_unified_framework": ("resnet18",),
    "02a_vgg_schemes": ("vgg16",),
    "03_pooling_cases": ("squeezenet1_1", "resnet18", "resnet50"),
    "03a_pooling_equations": ("squeezenet1_1", "resnet18", "resnet50", "densenet161"),
    "04_sca_cam": ("densenet161",),
    "04a_sca_cam_audit": ("squeezenet1_1", "resnet18", "resnet50", "densenet161"),
    "06_gradient_methods": ("resnet50",),
    "06a_gradient_audit": ("resnet50",),
    "07_score_cam": ("vgg16",),
    "07a_score_cam_equations": ("vgg16",),
    "07b_counterfactuals": ("vgg16",),
    "08_sa_cam": ("resnet101",),
    "08a_sa_cam_equations": ("resnet101",),
    "08b_sa_cam_pictures": ("resnet18", "resnet101", "vgg19", "mobilenet_v2"),
    "09_union_cam": ("vgg16",),
    "13_sanity": ("vgg16",),
    "13a_sanity_cascade": ("vgg16",),
}


@pytest.fixture
def home(own_repository, tmp_path, monkeypatch):
    """A repository, figures and checkpoints of their own, nothing loaded, no way to download."""
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("CAMLIB_OFFLINE", "1")
    monkeypatch.setattr(plan, "speed", lambda: 100.0)
    return tmp_path


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = helpers.picture(seed, size[1], size[0]).permute(1, 2, 0).numpy()
    Image.fromarray(np.round(values * 255).astype(np.uint8)).save(path)


def imagenet(root: Path, name: str = "", corners: tuple[int, ...] = (4, 3, 20, 20)) -> Path:
    """Four pictures in ILSVRC's layout; with a name every one has a box, in Kaggle's place for boxes."""
    for i in range(4):
        wnid = WNIDS[i % 2]
        where = root / "Data" / "CLS-LOC" / "val" / wnid if name else root / "val" / wnid
        picture(where / f"ILSVRC2012_val_{i:08d}.JPEG", i)
        if name:
            xml = root / "Annotations" / "CLS-LOC" / "val" / f"ILSVRC2012_val_{i:08d}.xml"
            xml.parent.mkdir(parents=True, exist_ok=True)
            xml.write_text(XML.format(*corners, name=name), encoding="utf-8")
    return root


def voc(root: Path) -> Path:
    base = root / "VOCdevkit" / "VOC2007"
    for i in range(3):
        picture(base / "JPEGImages" / f"{i:06d}.jpg", i)
        (base / "Annotations").mkdir(exist_ok=True)
        (base / "Annotations" / f"{i:06d}.xml").write_text(XML.format(1, 1, 9, 9, name="cat"), encoding="utf-8")
    (base / "ImageSets" / "Main").mkdir(parents=True)
    (base / "ImageSets" / "Main" / "test.txt").write_text("000000\n000001\n000002\n", encoding="utf-8")
    return root


def notebook(home: Path, name: str, *sources: str, said: str = "") -> Path:
    """A notebook of these cells; ``said`` is what its run printed."""
    cells = [new_code_cell(source) for source in sources]
    if said:
        cells[-1].outputs = [new_output("stream", name="stdout", text=said)]
    path = home / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells), path)
    return path


# -- weights


def test_committed_notebooks_need_the_papers_networks():
    """Read off their code; nobody keeps a list that could become wrong."""
    found = {path.stem: setting.networks_of(path) for path in setting.notebooks()}
    assert {name: found[name] for name in NEEDED} == NEEDED


@pytest.mark.parametrize(
    ("source", "needed"),
    [
        ("net = camlib.load_network('vgg16' if profile == 'paper' else network)", ("vgg16",)),
        ("net = camlib.load_network('vgg16', None, seed=seed)", ()),
        ("net = load_network('vgg16', weights=None)", ()),
        ("net = load_network('vgg16', None)\nnets = load_networks(['vgg19', 'vgg16'])", ("vgg16", "vgg19")),
        ("print('vgg16 is large')", ()),
    ],
)
def test_random_networks_need_no_weights(home, source, needed):
    assert setting.networks_of(notebook(home, "a", source)) == needed


@pytest.mark.parametrize("name", setting.NETWORKS)
def test_sizes_and_operations_are_torchvisions(home, name):
    found = setting.Weights.of(name)
    entry = published_weights(name)
    assert entry.name == "IMAGENET1K_V1"
    assert found.file == home / "torch" / "hub" / "checkpoints" / entry.url.rpartition("/")[2]
    assert checkpoints.promised(found.file) is not None
    assert found.megabytes == entry.meta["_file_size"] > 4
    assert 0.3 < found.gflops == entry.meta["_ops"] < 20


def test_weights_that_cannot_be_had_are_one_message_each(home):
    random_checkpoints.write(home / "torch", ["squeezenet1_1"])
    missing = setting.fetch(["squeezenet1_1", "resnet18", "vgg16"])
    assert list(missing) == ["resnet18", "vgg16"]
    folder = home / "torch" / "hub" / "checkpoints"
    assert missing["resnet18"] == (
        f"resnet18-f37072fd.pth (45 MB) is not in {folder}, and downloading it is switched off (HF_HUB_OFFLINE=1 or "
        f"CAMLIB_OFFLINE=1): run `make paper` again with a connection, or copy the file there from another machine "
        f"(TORCH_HOME moves the folder)."
    )


def test_a_download_that_fails_says_why(home, failing_download):
    said = setting.fetch(["squeezenet1_1"])["squeezenet1_1"]
    assert "squeezenet1_1-b8a52dc0.pth (5 MB)" in said
    assert "downloading it failed (<urlopen error name resolution>): run" in said


def test_runs_with_other_weights_are_forgotten_and_only_those(home):
    first = notebook(home, "notebooks/00_first", "'squeezenet1_1'").stem
    second = notebook(home, "notebooks/01_second", "'resnet18'").stem
    runs = home / "build" / "notebooks-paper"
    assert setting.forget_outdated(runs) == []
    for name in (first, second):
        notebook(home, f"build/notebooks-paper/{name}", "0")
    assert setting.forget_outdated(runs) == []
    random_checkpoints.write(home / "torch", ["squeezenet1_1"])
    assert setting.forget_outdated(runs) == [first]
    assert [path.stem for path in runs.glob("*.ipynb")] == [second]
    random_checkpoints.write(home / "torch", ["squeezenet1_1"], seed=1)
    assert setting.forget_outdated(runs) == [first]


# -- folders


def test_folders_that_are_not_given_say_what_to_give():
    found = setting.read_folders(None, None)
    assert not found.found
    assert "make paper IMAGENET=DIR" in found.lacking["imagenet"] == found.lacking["boxes"]
    assert "make paper VOC=DIR, where DIR holds VOCdevkit" in found.lacking["voc"]


def test_folders_that_are_wrong_say_what_was_given_and_expected(tmp_path):
    found = setting.read_folders(str(tmp_path / "none"), str(tmp_path))
    assert re.match(r"IMAGENET=.*none: No folder at '.*none'", found.lacking["imagenet"])
    assert re.match(
        r"VOC=.*: No list 'test' of VOC 2007 in .*VOCdevkit/VOC2007/ImageSets/Main/test.txt", found.lacking["voc"]
    )


def test_folders_are_read_with_and_without_boxes(tmp_path):
    found = setting.read_folders(str(imagenet(tmp_path / "plain")), str(voc(tmp_path / "voc")))
    assert {name: len(dataset) for name, dataset in found.found.items()} == {"imagenet": 4, "voc": 3}
    assert "BOXES=DIR" in found.lacking["boxes"]
    boxed = setting.read_folders(str(imagenet(tmp_path / "kaggle", WNIDS[0])), None)
    assert set(boxed.found) == {"imagenet", "boxes"}


def test_single_objects_below_a_share_are_chosen_by_lot(tmp_path):
    """A box of 20 x 15 pixels is a quarter of 40 x 30; ILSVRC's corners are taken as they stand."""
    dataset = datasets.imagenet(imagenet(tmp_path, WNIDS[0], (0, 0, 20, 15)))
    assert len(datasets.single_object(dataset, 0.26)) == 4
    with pytest.raises(ValueError, match="No picture of ImageNet val has exactly one object that covers less than 25%"):
        datasets.single_object(dataset, 0.25)
    one, three = (datasets.single_object(dataset, 0.5, count, seed=3) for count in (1, 3))
    assert (len(one), len(three)) == (1, 3)
    assert set(one.ids) < set(three.ids) < set(dataset.ids)
    assert one.name == "ImageNet val, one object below 50%"


def test_pictures_with_two_objects_or_none_or_a_broken_file_are_no_single_objects(tmp_path):
    base = imagenet(tmp_path, WNIDS[0])
    xml = sorted((base / "Annotations").rglob("*.xml"))
    once = xml[0].read_text(encoding="utf-8")
    xml[0].write_text(once.replace("</annotation>", once.partition("<annotation>")[2]), encoding="utf-8")
    xml[1].write_text("<annotation/>", encoding="utf-8")
    xml[2].write_text("<broken", encoding="utf-8")
    (kept,) = datasets.single_object(datasets.imagenet(base)).ids
    assert Path(kept).stem == xml[3].stem


# -- the plan


def test_the_plan_says_what_is_here_what_comes_and_what_is_missing(home):
    notebook(home, "notebooks/00_first", "load_network('squeezenet1_1'), load_network('resnet18')")
    random_checkpoints.write(home / "torch", ["squeezenet1_1"])
    folders = setting.read_folders(str(imagenet(home / "ilsvrc")), None)
    lines = plan.text(folders, "vgg16", limit=2, fast=True).splitlines()

    def line(start):
        (found,) = [line for line in lines if line.strip().startswith(start)]
        return found

    assert "4.7 MB  here, not torchvision's file: not comparable" in line("squeezenet1_1")
    assert "resnet18-f37072fd.pth" in line("resnet18")
    assert "44.7 MB  to be downloaded" in line("resnet18")
    assert "To be downloaded: 2 files, 572 MB." in line("To be")
    assert "ImageNet val, 4 pictures" in line("imagenet")
    assert "missing: VOC is not given" in line("voc")
    assert "a few minutes" in line("00_first")
    assert "squeezenet1_1, resnet18" in line("00_first")
    assert "estimates from 100 billion" in line("Runs")
    assert "2 pictures, vgg16" in line("score-table-2, union-table-1: about")
    assert "left out, voc missing" in line("union-table-2")


def test_an_estimate_is_pictures_times_passes_times_operations(home):
    """Score-CAM's 512 masked passes are nearly all of it: 100 pictures, 15.47 billion, 100 billion a second."""
    folders = setting.read_folders(str(imagenet(home / "ilsvrc")), None)
    (job, *_) = tables.jobs(None, fast=True)
    assert tables.passes(job, 512) - tables.passes(job, 0) == 512
    assert tables.passes(job, 0) < 60
    minutes = 4 * tables.passes(job, 512) * 15.47 / 100 / 60
    (line,) = [line for line in plan.text(folders, "vgg16", None, True).splitlines() if "union-table-1" in line]
    assert f"about {minutes:.2g} min" in line
    slow = tables.passes(tables.jobs(None, fast=False)[0], 512) - tables.passes(job, 512)
    assert 4900 < slow < 4920, "RISE's 4,000 masks and Mask's 300 steps there and back, and what judges them"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (5, "about a minute"),
        (120, "about 2 min"),
        (3600 * 2.5, "about 2.5 h"),
        (86400 * 14, "about 14 days"),
        (1e8, "about 1157 days"),
    ],
)
def test_durations_in_words(seconds, said):
    assert plan.about(seconds) == said


# -- tables


@pytest.fixture
def small(home, monkeypatch):
    """Tables by a network of five classes and 32 x 32 pixels."""
    monkeypatch.setattr(tables, "load_network", lambda name: network(seeded(Gap, 4), helpers.SIZE, name=name))
    return home


def test_tables_are_made_from_folders_with_published_numbers_beside(small):
    root = imagenet(small / "kaggle", "golden retriever")
    folders = setting.read_folders(str(root), str(voc(small / "voc")))
    assert tables.make(folders, "small", limit=3, fast=True) == {}
    made = report.manifest()
    assert set(made) == {"score-table-1", "score-table-2", "union-table-1", "union-table-2", "union-fig-03"}
    assert [made[item]["n"] for item in ("score-table-1", "score-table-2", "union-table-2")] == [3, 3, 3]
    assert made["score-table-2"]["profile"] == "paper"
    assert "3 instead of 2,000 pictures; without mask and rise (fast)" in made["score-table-2"]["differs"]
    assert "small instead of VGG-16" in made["union-table-1"]["differs"]
    drops = pd.read_csv(paths.FIGURES / "score" / "score-table-2.csv")
    column = "published: VGG-16, 2,000 pictures"
    published = drops[drops["metric"] == "average-drop-half [%]"].set_index("method")[column]
    assert published["score-cam"] == 31.5
    assert published["mask"] == 63.5
    assert list(drops["method"][:8]) == [*tables.FIVE, *CONTROLS]
    assert drops.set_index("method").loc["rise", "ours, mean"].isna().all()
    assert drops.set_index("method").loc["score-cam", "ours, n"].eq(3).all()
    rows = pd.read_csv(paths.FIGURES / "score" / "score-table-2-rows.csv")
    assert set(rows["metric"]) == set(tables.HALF)
    mean = rows[(rows["method"] == "score-cam") & (rows["metric"] == "average-drop-half")]["value"].mean()
    ours = drops[drops["metric"] == "average-drop-half [%]"].set_index("method")["ours, mean"]
    assert ours["score-cam"] == pytest.approx(mean, rel=1e-6)


def test_the_energy_of_a_map_of_ones_is_the_share_of_the_box_in_percent(small):
    """A box of 20 x 15 pixels in 40 x 30: on an input of 32 x 32 it is 16 x 16, a quarter."""
    folders = setting.read_folders(str(imagenet(small / "kaggle", "daisy", (0, 0, 20, 15))), None)
    tables.make(folders, "small", limit=1, fast=True)
    energy = pd.read_csv(paths.FIGURES / "score" / "score-table-1.csv").set_index("method")
    assert energy.loc["all-ones", "ours, mean"] == pytest.approx(25)
    assert set(energy["metric"]) == {"energy-pointing-game [%]"}
    assert energy.loc["gradient", "published: VGG-16, 500 pictures"] == 41.3


def test_missing_folders_leave_out_their_tables_only(small):
    left_out = tables.make(setting.read_folders(str(imagenet(small / "plain")), None), "small", limit=1, fast=True)
    assert set(left_out) == {"union-table-2", "score-table-1"}
    assert "VOC is not given" in left_out["union-table-2"]
    assert "BOXES=DIR" in left_out["score-table-1"]
    assert set(report.manifest()) == {"score-table-2", "union-table-1", "union-fig-03"}


def test_published_numbers_are_those_of_the_papers():
    table_1, table_2 = (next(t for t in tables.TABLES if t.item == f"score-table-{n}") for n in (1, 2))
    energy = dict(zip(table_1.methods, table_1.printed["energy-pointing-game"], strict=True))
    assert (energy["gradient"], energy["rise"], energy["score-cam"]) == (41.3, 36.3, 63.7)
    drop, increase = (dict(zip(table_2.methods, table_2.printed[metric], strict=True)) for metric in tables.HALF)
    assert (drop["grad-cam++"], increase["mask"], increase["score-cam"]) == (45.5, 5.29, 30.6)
    assert table_2.methods == ("mask", "rise", "grad-cam", "grad-cam++", "score-cam")


# -- the list at the end, and the commands


def test_the_list_names_items_cells_and_what_stopped(home):
    for name in ("01_feature_maps", "04_sca_cam", "07_score_cam"):
        notebook(home, f"notebooks/{name}", "0")
    said = "left out: The weights of x are not here: y\nleft out: needs x\nfailed: KeyError: 'z'\nsomething else\n"
    notebook(home, "build/runs/01_feature_maps", "0", "1", said=said)
    notebook(home, "build/runs/04_sca_cam", "0", said="does not hold here: r > 0.9\n")
    report.check("sca-eq-19", "0 = 0", 0, 0, network="a", data="b")
    found = listing(home / "build" / "runs", {"union-table-2": "no folder"})
    text = "\n".join(found.lines)
    assert "sca-fig-01: 01_feature_maps, left out: The weights of x are not here: y" in text
    assert "sca-fig-12, sca-fig-13" in text
    assert "sca-fig-13, sca-eq-20, sca-eq-21" in text, "without sca-eq-19, which is made"
    assert "sca-eq-22: 04_sca_cam, not made with these parameters" in text
    assert "score-fig-08: 07_score_cam, stopped" in text
    assert "01_feature_maps: 1 more cells that need them" in text
    assert "union-table-2: no folder" in text
    assert "01_feature_maps, cell 1: failed: KeyError: 'z'" in text
    assert "04_sca_cam, cell 0: does not hold here: r > 0.9" in text
    assert text.endswith("Stopped before the end (see above):\n  07_score_cam")
    assert "something else" not in text
    assert found.failed


def test_what_is_merely_missing_or_does_not_hold_is_no_failure(home):
    notebook(home, "notebooks/01_feature_maps", "0")
    notebook(home, "build/runs/01_feature_maps", "0", said="left out: x\ndoes not hold here: y\n")
    assert not listing(home / "build" / "runs", {"union-table-2": "no folder"}).failed


def test_commands_plan_prepare_and_finish(home, capsys):
    notebook(home, "notebooks/01_feature_maps", "'resnet18'")
    runs = home / "build" / "runs"
    options = ["--runs", str(runs), "--figures", "figures-x", "--network", "squeezenet1_1"]
    assert command.main(["plan", *options]) == 0
    assert not runs.exists()
    assert command.main(["prepare", *options]) == 0
    printed = capsys.readouterr().out
    assert "Without resnet18: resnet18-f37072fd.pth (45 MB) is not in" in printed
    states = json.loads((runs / "weights.json").read_text(encoding="utf-8"))
    assert states == {"01_feature_maps": {"resnet18": "absent"}}
    notebook(home, "build/runs/01_feature_maps", "0", said="left out: x\n")
    assert command.main(["finish", *options]) == 0
    assert "union-table-1: IMAGENET is not given" in capsys.readouterr().out
    assert (home / "figures-x" / "README.md").is_file()
    assert command.main(["finish", *options, "--imagenet", str(imagenet(home / "a"))]) == 0
    assert "union-table-1: The weights of camlib.load_network('squeezenet1_1')" in capsys.readouterr().out


def test_make_passes_folders_and_options_on():
    options = ["PROFILE=paper", "IMAGENET=a b", "VOC=c", "LIMIT=3", "FAST=true", "SEED=1"]
    environment = {name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "MAKEFLAGS")}
    call = ["make", "-n", "paper-run", *options]
    made = subprocess.run(call, cwd=paths.ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    for part in ('--imagenet "a b"', '--voc "c"', "--limit 3", "--fast", "--seed 1", "figures-paper-seed1-fasttrue"):
        assert part in made
    assert "HF_HUB_OFFLINE=0" in made
    assert "--lenient" in made


# -- small layouts that only this project's own workplace has


def shared(name: str) -> Path:
    path = SHARED / name
    return path if path.is_dir() else pytest.skip(f"{name} is not here")


def test_real_layouts_are_read():
    folders = setting.read_folders(str(shared("imagenet-mini")), str(shared("voc-mini")))
    assert {name: len(dataset) for name, dataset in folders.found.items()} == {"imagenet": 100, "voc": 84}
    assert set(folders.lacking) == {"boxes"}
    labels = {example.label for example in folders.found["imagenet"]}
    assert labels == set(range(0, len(imagenet_classes()), 10))
