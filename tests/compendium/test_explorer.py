"""The explorer: every control leads to the map that ``explain`` makes."""

import io
from datetime import datetime

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import camlib
from camlib.compendium.explorer import Explorer


@pytest.fixture(scope="module")
def explorer():
    return Explorer()


@pytest.fixture(scope="module")
def net():
    return camlib.load_network("efficientnet-lite0")


def uploaded(name, content):
    """What the upload widget holds after a reader chose a file."""
    when = datetime(2020, 1, 1)
    return ({"name": name, "type": "", "size": len(content), "last_modified": when, "content": memoryview(content)},)


def shown_png(explorer):
    with Image.open(io.BytesIO(explorer.view.value)) as image:
        return np.asarray(image)


def test_every_choice_reaches_the_map(explorer, net):
    explorer.photo.value = "goose"
    explorer.method.value, explorer.layer.value = "layer-cam", "blocks.4"
    expected = camlib.explain(net, camlib.load_photo("goose"), "layer-cam", layer="blocks.4")
    assert torch.equal(explorer.explanation.heatmap, expected.heatmap)
    assert explorer.target.label.startswith("goose")
    assert "blocks.4" in explorer.message.value
    assert "14 × 14" in explorer.message.value


def test_every_control_shows_its_choice():
    fresh = Explorer()
    assert fresh.layer.label == "last layer (7 × 7 × 1280)"
    assert all(control.index is not None for control in (fresh.photo, fresh.network, fresh.target, fresh.method))


def test_view_is_picture_beside_overlay(explorer):
    explorer.photo.value = "bull-mastiff"
    pixels = shown_png(explorer)
    assert pixels.shape == (708, 1440, 3)
    picture = explorer.explanation.image.permute(1, 2, 0).numpy() * 255
    small = np.asarray(Image.fromarray(pixels[:, :708]).resize((224, 224), Image.Resampling.BOX))
    assert np.abs(small - picture).mean() < 3
    assert (pixels[:, 708:732] == 255).all()
    overlaid = np.asarray(Image.fromarray(pixels[:, 732:]).resize((224, 224), Image.Resampling.BOX)).astype(int)
    cold = (explorer.explanation.heatmap < 0.01).numpy()
    assert np.ptp(overlaid, axis=2)[cold].mean() < 12  # gray where nothing is hot
    assert np.ptp(overlaid, axis=2)[(explorer.explanation.heatmap > 0.7).numpy()].mean() > 40


def test_typed_class_wins_and_a_listed_one_takes_over_again(explorer):
    explorer.photo.value, explorer.other.value = "bull-mastiff", "tabby"
    assert explorer.explanation.target_name == "tabby"
    explorer.target.value = 242
    assert explorer.other.value == ""
    assert explorer.explanation.target == 242


def test_wrong_class_name_is_answered_under_the_picture(explorer):
    explorer.photo.value = "bull-mastiff"
    before, shown = explorer.explanation, shown_png(explorer)
    explorer.other.value = "tigre cat"
    assert "Nearest: tiger cat" in explorer.message.value
    assert "color:#b00020" in explorer.message.value
    assert explorer.explanation is before
    pale = shown_png(explorer)
    assert (pale >= shown).all(), "the map of before is no answer"
    assert pale.min() > 180
    explorer.other.value = "281"
    assert (explorer.explanation.target_name, "color" in explorer.message.value) == ("tabby", False)
    explorer.other.value = ""


def test_method_that_does_not_fit_the_layer_says_why(explorer):
    explorer.layer.value, explorer.method.value = "blocks.4", "gap-cam"
    assert "GAP-CAM needs a head" in explorer.message.value
    explorer.layer.value = ""
    assert explorer.explanation.method == "gap-cam"


def test_network_change_offers_its_layers_and_classes(explorer):
    explorer.method.value = "grad-cam"
    explorer.network.value = "efficientnet-lite1"
    assert explorer.explanation.network == "efficientnet-lite1"
    assert explorer.explanation.raw.shape == (8, 8)
    explorer.network.value = "efficientnet-lite0"


def test_uploaded_photograph_is_explained(explorer, net):
    own = camlib.load_photo("strawberry").resize((300, 200))
    buffer = io.BytesIO()
    own.save(buffer, "png")
    explorer.upload.value = uploaded("own.png", buffer.getvalue())
    assert explorer.photo.value == "your own picture"
    target, layer = explorer.target.value, explorer.layer.value
    expected = camlib.explain(net, own, explorer.method.value, target, layer or None)
    assert torch.equal(explorer.explanation.heatmap, expected.heatmap)


def test_upload_that_is_no_picture_is_answered(explorer):
    explorer.upload.value = uploaded("own.txt", b"no picture")
    assert "own.txt cannot be read as a picture: its bytes are no picture." in explorer.message.value


def test_ones_own_network_and_pictures_are_explored(tmp_path):
    own = camlib.load_photo("goose").resize((90, 64))
    own.save(tmp_path / "mine.png")
    module = nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 12)
    )
    mine = camlib.Network(module, name="mine")
    fresh = Explorer(mine, ["layer-cam", "grad-cam", "lfi-cam"], [own, tmp_path / "mine.png", "goose"])
    assert list(fresh.network.options) == ["mine"]
    assert list(fresh.photo.options) == ["picture 1", "mine.png", "goose"]
    assert list(fresh.method.options) == ["layer-cam", "grad-cam"], "what cannot run is not offered"
    first = fresh.explanation
    assert torch.equal(first.heatmap, camlib.explain(mine, own, "grad-cam").heatmap)
    fresh.photo.value = "mine.png"
    assert torch.allclose(fresh.explanation.heatmap, first.heatmap)
    both = Explorer((module, mine), ["grad-cam"], [own])
    assert list(both.network.options) == ["Sequential", "mine"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"networks": ()}, "at least one network"),
        ({"photos": []}, "at least one picture"),
        ({"methods": ["x"]}, "Nearest"),
    ],
)
def test_an_explorer_of_nothing_is_refused(given, words):
    with pytest.raises(ValueError, match=words):
        Explorer(**given)


def test_opacity_changes_the_picture_alone_and_reset_goes_back(net):
    fresh = Explorer(photos=["bull-mastiff", "goose"], methods=["grad-cam", "layer-cam"])
    first, strong = fresh.explanation, shown_png(fresh)
    fresh.opacity.value = 0.1
    assert fresh.explanation is first
    weak = shown_png(fresh)
    half = strong.shape[1] // 2 - 20
    assert np.array_equal(weak[:, :half], strong[:, :half])
    color = [np.ptp(picture[:, -half:].astype(int), axis=2).mean() for picture in (weak, strong)]
    assert color[0] < 0.5 * color[1]
    fresh.photo.value, fresh.method.value, fresh.layer.value = "goose", "layer-cam", "blocks.4"
    fresh.reset.click()
    assert (fresh.photo.value, fresh.method.value, fresh.layer.value) == ("bull-mastiff", "grad-cam", "")
    assert torch.equal(fresh.explanation.raw, first.raw)
    assert np.array_equal(shown_png(fresh), strong)


def test_save_writes_what_is_on_display_and_says_why_it_cannot(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fresh = Explorer(photos=["goose"], methods=["grad-cam"])
    fresh.save.click()
    stem = f"goose_grad-cam_{fresh.explanation.target_name}"
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{stem}.json", f"{stem}.npy", f"{stem}.png"]
    assert np.array_equal(np.load(tmp_path / f"{stem}.npy"), fresh.explanation.raw.numpy())
    assert "are written" in fresh.message.value

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(type(fresh.explanation), "save", full)
    fresh.save.click()
    assert "Not saved: no space left" in fresh.message.value
