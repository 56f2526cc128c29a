"""The command line: it writes what ``explain`` makes, names and skips bad pictures, and its status says so."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

import camlib
from camlib import cli
from camlib.zoo.own_weights import network_of, read_state

NET = "scenes-gap"


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, seed in (("one", 0), ("two", 1)):
        values = np.random.default_rng(seed).integers(0, 255, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{name}.png")
    return folder


def run(*words):
    return cli.main([str(word) for word in words])


def test_explain_writes_what_explain_makes_and_names_what_it_cannot_read(pictures, tmp_path, capsys):
    (pictures / "bad.jpg").write_text("no picture")
    out = tmp_path / "out"
    assert run("explain", pictures, "--network", NET, "--method", "grad-cam", "layer-cam", "--out", out) == 1
    said = capsys.readouterr()
    assert "2 of 3 pictures" in said.out
    assert str(pictures / "bad.jpg") in said.err
    net = camlib.load_network(NET)
    for method in ("grad-cam", "layer-cam"):
        e = camlib.explain(net, pictures / "one.png", method)
        stem = f"one-{method}-{e.target_name}"
        assert np.array_equal(np.load(out / f"{stem}.npy"), e.raw.numpy())
        assert np.array_equal(np.asarray(Image.open(out / f"{stem}.png")), np.asarray(e.overlay()))
        record = json.loads((out / f"{stem}.json").read_text())
        assert (record["method"], record["layer"], record["target"]) == (method, "features", e.target)
        assert record["picture"] == str(pictures / "one.png")
        assert record["top"][0][1] == e.target_name
    assert len(list(out.iterdir())) == 2 * 2 * 3


def test_patterns_folders_classes_and_full_resolution(pictures, tmp_path):
    out = tmp_path / "out"
    words = ["explain", f"{pictures}/*.png", "--network", NET, "--target", "circle", "2", "--original", "--out", out]
    assert run(*words) == 0
    names = camlib.load_network(NET).class_names
    assert {p.name for p in out.glob("one-*.png")} == {f"one-grad-cam-{name}.png" for name in ("circle", names[2])}
    assert Image.open(out / "one-grad-cam-circle.png").size == (60, 40)


def test_a_picture_that_is_not_there_is_named(tmp_path, capsys):
    assert run("explain", tmp_path / "none.png", "--network", NET, "--out", tmp_path / "out") == 1
    assert "none.png" in capsys.readouterr().err


def test_a_wrong_name_is_one_line_and_debug_shows_where(tmp_path, capsys):
    assert run("layers", "scenes-gab") == 1
    said = capsys.readouterr().err
    assert said.startswith("camlib layers: No network is called 'scenes-gab'. Nearest: ")
    assert len(said.splitlines()) == 1
    with pytest.raises(ValueError, match="scenes-gab"):
        run("layers", "scenes-gab", "--debug")


def test_lists(capsys):
    assert run("layers", NET) == 0
    assert "\n* features " in capsys.readouterr().out
    assert run("methods") == 0
    assert len(capsys.readouterr().out.splitlines()) == len(camlib.METHODS)
    assert run("methods", "score-cam") == 0
    assert "filler='mean'" in capsys.readouterr().out
    assert run("networks", "scenes-v*") == 0
    assert capsys.readouterr().out.split() == ["scenes-vgg", "scenes-vgg-gap"]
    assert run("networks", "nothing*") == 1


def test_compare_draws_a_row_a_picture_and_a_column_a_method(pictures, tmp_path):
    sheet = tmp_path / "sheets" / "sheet.png"
    assert run("compare", pictures, "--network", NET, "--method", "grad-cam", "layer-cam", "--out", sheet) == 0
    width, height = Image.open(sheet).size
    assert width > height > 200


def test_without_a_command_it_says_what_there_is(capsys):
    assert run() == 2
    assert "camlib explain photos/" in capsys.readouterr().out


def test_completion_is_a_script_that_bash_reads(capsys):
    assert run("completion") == 0
    script = capsys.readouterr().out
    for words, place, expected in (("ex", 1, {"explain"}), ("explain --batch", 2, {"--batch-size"})):
        line = f'COMP_WORDS=(camlib {words}); COMP_CWORD={place}; _camlib; echo "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", f"{script}{line}"], capture_output=True, text=True, check=True)
        assert set(done.stdout.split()) == expected


def test_pictures_that_run_together_give_what_they_give_alone(pictures, tmp_path, capsys):
    (pictures / "bad.jpg").write_text("no picture")
    for size in (1, 3):
        words = ("explain", pictures, "--network", NET, "--batch-size", size, "--out", tmp_path / str(size))
        assert run(*words) == 1
        assert "2 of 3 pictures" in capsys.readouterr().out
    one, three = ({p.name: np.load(p) for p in (tmp_path / n).glob("*.npy")} for n in "13")
    assert one.keys() == three.keys()
    for name, values in one.items():
        np.testing.assert_allclose(values, three[name], rtol=1e-4, atol=1e-6)


def test_pictures_of_one_name_do_not_overwrite_each_other(pictures, tmp_path):
    for place in ("a", "b"):
        (pictures / place).mkdir()
        (pictures / "one.png").rename(pictures / place / "one.png")
        (pictures / "one.png").write_bytes((pictures / "two.png").read_bytes())
    (pictures / "one.png").unlink()
    assert run("explain", pictures, "--network", NET, "--out", tmp_path / "out") == 0
    made = {p.name.partition("-grad-cam")[0] for p in (tmp_path / "out").iterdir()}
    assert made == {"a-one.png", "b-one.png", "two.png"}


@pytest.mark.parametrize(("words", "said"), [(("--device", "cuda:99"), "device='cuda:99'"), (("--device", "x"), "'x'")])
def test_a_device_that_is_not_here_is_named(pictures, tmp_path, capsys, words, said):
    assert run("explain", pictures, "--network", NET, "--out", tmp_path, *words) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Here there are cpu" in error


@pytest.mark.parametrize("size", ["0", "-1", "x"])
def test_a_batch_size_is_at_least_one(pictures, tmp_path, size):
    with pytest.raises(SystemExit):
        run("explain", pictures, "--network", NET, "--out", tmp_path, "--batch-size", size)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}}])
def test_weights_of_ones_own_are_loaded_with_their_number_of_classes(wrap, tmp_path):
    torch.manual_seed(1)
    module = camlib.zoo.pretrained.get_model("squeezenet1_1", weights=None, num_classes=7)
    torch.save(wrap(module.state_dict()), tmp_path / "mine.pt")
    (tmp_path / "names.txt").write_text("\n".join("abcdefg"))
    net = network_of("squeezenet1_1", tmp_path / "mine.pt", tmp_path / "names.txt")
    x = torch.rand(1, 3, 224, 224)
    assert torch.allclose(net.logits(x), module.eval()(x), atol=1e-6)
    assert net.class_names == list("abcdefg")


class Trap:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_file_of_weights_is_never_executed(tmp_path):
    torch.save({"state_dict": Trap(tmp_path / "executed")}, tmp_path / "trap.pt")
    with pytest.raises(ValueError, match="cannot be read as weights"):
        read_state(tmp_path / "trap.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("content", "said"), [(torch.zeros(3), "holds no state_dict"), ({"a": 1}, "holds no state_dict")], ids=str
)
def test_a_file_without_a_state_dict_is_refused(content, said, tmp_path):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=said):
        read_state(tmp_path / "other.pt")


def test_weights_of_another_network_are_refused_with_the_first_difference(tmp_path):
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="holds no weights of scenes-gap"):
        network_of("scenes-gap", tmp_path / "other.pt")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method", "gradcam"], "No method is called 'gradcam'"),
        (["--method", "score-cam:filler=nope"], "filler='nope'"),
        (["--layer", "nope"], "Layer 'nope' is not in"),
        (["--target", "99"], "Class 99 is out of range"),
        (["--target", "1", "sqare"], "No class is called 'sqare'"),
    ],
)
def test_what_every_picture_would_raise_is_said_once(pictures, tmp_path, capsys, words, said):
    assert run("explain", pictures, "--network", NET, *words, "--out", tmp_path / "out") == 1
    printed = capsys.readouterr()
    assert printed.err.count(said) == 1
    assert printed.err.startswith("camlib explain: ")
    assert printed.out == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["explain", "{}", "--network", NET, "--passes", "9", "--out", "{}/out"],
            "none of these methods takes a budget",
        ),
        (["compare", "{}", "--network", NET, "--target", "0", "1", "--out", "{}/s.png"], "a sheet shows one class"),
        (["explain", "{}", "--network", NET, "--out", "{}/one.png"], "is no folder that can be written: File exists"),
        (["networks", "zzz*"], "No network is called 'zzz*'"),
    ],
)
def test_words_that_nobody_would_read_are_refused(pictures, capsys, words, said):
    assert run(*(word.format(pictures) for word in words)) == 1
    assert said in capsys.readouterr().err


def test_a_file_whose_name_is_no_unicode_is_explained_and_recorded(pictures, tmp_path):
    (pictures / "one.png").rename(pictures / "o\udcff.png")
    assert run("explain", pictures, "--network", NET, "--out", tmp_path / "out") == 0
    (record,) = (file for file in (tmp_path / "out").glob("*.json") if "two" not in file.name)
    assert json.loads(record.read_bytes())["picture"].endswith("o\udcff.png")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda file: torch.save(torch.nn.Linear(2, 2), file), "it holds more than weights, and was not run"),
        (lambda file: file.write_bytes(b""), "it is empty"),
        (lambda file: torch.save({"a": torch.ones(1)}, file), "; 1 of its tensors are not in it, such as 'a'."),
    ],
)
def test_files_of_something_else_are_refused_in_one_line(pictures, tmp_path, capsys, content, said):
    content(file := tmp_path / "w.pt")
    assert run("explain", pictures, "--network", NET, "--weights", file, "--out", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert "\x1b" not in error


def test_names_of_classes_that_cannot_be_read(pictures, tmp_path, capsys):
    (names := tmp_path / "names.txt").write_bytes(b"\xff\xfe\xff")
    assert run("explain", pictures, "--network", NET, "--classes", names, "--out", tmp_path / "out") == 1
    assert "names.txt cannot be read as names of classes" in capsys.readouterr().err
