"""What goes wrong with a picture is a row that says so, is counted, and stops nothing."""

from __future__ import annotations

import os

import helpers
import numpy as np
import pytest
import torch
from evaluations import METHODS, METRICS, SIZE, assert_same_rows, examples, net, status_of
from helpers import Gap, seeded
from PIL import Image
from torchvision import transforms

from camlib import Network, method
from camlib.data.datasets import LabeledBox
from camlib.evaluate import Plan, evaluate
from camlib.evaluate.__main__ import main


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
    reason = "every class activation weight is zero"
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


def test_a_run_in_which_nothing_has_a_value_says_so_and_ends_with_1(tmp_path, capsys):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}.png").write_text("broken")
    words = ["--folder", folder, "--network", "scenes-gap", "--methods", "grad-cam", "--metrics", "average-drop"]
    assert main([str(word) for word in [*words, "--threads", "1", "--out", tmp_path / "out"]]) == 1
    assert "Nothing has a value; the column 'note' of" in capsys.readouterr().err
    assert "cannot be read" in (tmp_path / "out" / "rows.csv").read_text()
    assert "2 x corrupt picture, such as a.png: ValueError: 'a.png' cannot be read" in _errors_of_a_run(
        folder, tmp_path, capsys
    )


def _errors_of_a_run(folder, tmp_path, capsys):
    words = ["--folder", folder, "--network", "scenes-gap", "--methods", "grad-cam", "--metrics", "average-drop"]
    status = main([str(word) for word in [*words, "--threads", "1", "--out", tmp_path / "out"]])
    captured = capsys.readouterr()
    return f"{status} {captured.out} {captured.err}"


def test_a_name_that_is_no_utf8_stops_nothing(tmp_path, capsys):
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (40, 40), (200, 30, 30)).save(folder / "a.png")
    (folder / "a.png").with_name(os.fsdecode(b"b\xff.png")).write_bytes((folder / "a.png").read_bytes())
    (folder / "a.png").with_name(os.fsdecode(b"c\xff.png")).write_text("broken")
    said = _errors_of_a_run(folder, tmp_path, capsys)
    assert said.startswith("0 ")
    assert "1 x corrupt picture, such as c\\xff.png" in said
    assert "b\\xff.png" in (tmp_path / "out" / "rows.csv").read_text(encoding="utf-8")


def test_options_that_cannot_be_are_refused_before_the_first_picture(tmp_path, capsys):
    words = [
        "--photos",
        "--network",
        "scenes-gap",
        "--methods",
        "score-cam:filler=nope",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(words) == 1
    assert "score-cam: filler='nope': expected one of" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
