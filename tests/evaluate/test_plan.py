"""What is asked for: choices, plans and command lines that cannot be carried out are refused before the start."""

from __future__ import annotations

import re

import helpers
import pandas as pd
import pytest
from evaluations import METRICS, SIZE, examples, net
from helpers import Gap, seeded

from camlib import Network, Preprocess
from camlib.data import datasets
from camlib.evaluate import Choice, Plan, evaluate
from camlib.evaluate.__main__ import main


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
