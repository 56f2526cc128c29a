"""What a person keeps of an explanation: classes, the map on the original, overlays, boxes, files, its own memory."""

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision import transforms as T
from torchvision.transforms import functional as TF

from camlib import Network, Preprocess, compare, explain
from camlib.plots import keeping
from camlib.plots.overlays import overlay_picture, regions
from tests import helpers

WIDTH, HEIGHT = 60, 48


@pytest.fixture(scope="module")
def net():
    return helpers.gap()


@pytest.fixture
def photo():
    return TF.to_pil_image(helpers.picture(5, HEIGHT, WIDTH))


def cropping(transform=None):
    """The network with a transform of the caller's: shorter side 48 -> 40, so 50 x 40, of it the middle 32 x 32."""
    transform = transform or T.Compose(
        [T.Resize(40), T.CenterCrop(32), T.ToTensor(), T.Normalize([0.5] * 3, [0.25] * 3)]
    )
    return Network(helpers.seeded(helpers.Gap), transform=transform, class_names=helpers.CLASSES)


# -- classes


def test_top_is_the_softmax_of_the_logits(net, photo):
    e = explain(net, photo, target=2)
    probabilities = net.module(net.prepare(photo)[1][None].double())[0].softmax(0).detach()
    order = sorted(range(5), key=lambda c: -probabilities[c])
    assert [(i, name) for i, name, _ in e.top()] == [(c, helpers.CLASSES[c]) for c in order]
    assert [p for *_, p in e.top()] == pytest.approx([float(probabilities[c]) for c in order], abs=1e-6)
    assert e.top(2) == e.top()[:2]
    assert len(e.top(1000)) == 5
    assert e.probability == pytest.approx(float(e.probabilities[2]), abs=1e-7)


def test_top_of_a_network_without_names_counts_classes(photo):
    (index, name, _), *_ = explain(helpers.gap(class_names=None), photo).top()
    assert name == f"class {index}"


# -- where it came from


def test_origin_of_every_kind_of_picture(net, photo, tmp_path):
    path = tmp_path / "photo.png"
    photo.save(path)
    array, tensor = np.asarray(photo), TF.to_tensor(photo)
    found = compare(net, [photo, path, str(path), array, tensor])
    assert [e.origin.size for e in found] == [(WIDTH, HEIGHT)] * 5
    assert [e.origin.source for e in found] == [None, str(path), str(path), None, None]
    assert {e.origin.place() for e in found} == {(0, 0, 1, 1)}


def test_a_rotated_file_is_measured_upright(net, tmp_path):
    """EXIF orientation 6: the camera was turned; 60 x 48 on disk is 48 x 60 upright."""
    upright = TF.to_pil_image(helpers.picture(6, WIDTH, HEIGHT))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    upright.rotate(90, expand=True).save(path, exif=exif)
    with Image.open(path) as stored:
        assert stored.size == (WIDTH, HEIGHT)
        given = [path, stored.copy()]
    for e in compare(net, given):
        assert e.origin.size == (HEIGHT, WIDTH)
        assert e.on_original().shape == (WIDTH, HEIGHT)
    turned, straight = explain(net, path), explain(net, upright)
    assert torch.equal(turned.heatmap, straight.heatmap)
    assert turned.overlay(original=True).tobytes() == straight.overlay(original=upright).tobytes()


@pytest.mark.parametrize("ready", [helpers.READY, helpers.READY[0]], ids=["batch", "normalized=True"])
def test_ready_input_has_no_origin(net, ready):
    e = explain(net, ready, normalized=True)
    assert e.origin is None
    with pytest.raises(ValueError, match="ready batch has no original"):
        e.on_original()
    with pytest.raises(ValueError, match="not given as a path"):
        e.overlay(original=True)
    assert e.overlay().size == (32, 32)
    assert e.record()["original size"] is None


# -- on the original


def test_the_whole_picture_gets_the_map_resized(net, photo):
    e = explain(net, photo)
    expected = F.interpolate(e.heatmap[None, None], (HEIGHT, WIDTH), mode="bilinear", align_corners=False)[0, 0]
    torch.testing.assert_close(e.on_original(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["pil", "tensor", "array"])
def test_a_crop_lies_where_it_was_cut(photo, kind):
    """32 of 50 columns and 32 of 40 rows from 9/50 and 4/40: pixels 10.8 to 49.2 and 4.8 to 43.2 of 60 x 48."""
    given = {"pil": photo, "tensor": TF.to_tensor(photo), "array": np.asarray(photo)}[kind]
    laid = explain(cropping(), given).on_original()
    rows, columns = torch.nonzero(laid).T
    assert laid.shape == (HEIGHT, WIDTH)
    assert rows.min() >= 4
    assert rows.max() <= 43
    assert columns.min() >= 10
    assert columns.max() <= 49
    assert laid.max() > 0.8


def test_a_transform_that_hides_the_place_still_explains(photo):
    flipping = T.Compose(
        [T.Resize((32, 32)), T.RandomHorizontalFlip(), T.ToTensor(), T.Normalize([0.5] * 3, [0.25] * 3)]
    )
    e = explain(cropping(flipping), photo)
    assert e.overlay().size == (32, 32)
    for wanted in (e.on_original, lambda: e.overlay(original=photo), lambda: e.boxes(original=True)):
        with pytest.raises(ValueError, match="does not say where its output lies"):
            wanted()


# -- overlays and boxes


def test_overlay_shows_what_the_network_saw_or_the_original(net, photo, tmp_path):
    photo.save(tmp_path / "photo.png")
    e = explain(net, tmp_path / "photo.png")
    small, large = e.overlay(), e.overlay(original=photo)
    assert (small.size, large.size) == ((32, 32), (WIDTH, HEIGHT))
    assert small.tobytes() == overlay_picture(e.image, e.heatmap).tobytes()
    assert large.tobytes() == overlay_picture(photo, e.on_original()).tobytes()
    for same in (True, tmp_path / "photo.png", np.asarray(photo), TF.to_tensor(photo), TF.pil_to_tensor(photo)):
        assert e.overlay(original=same).tobytes() == large.tobytes()
    assert e.overlay(opacity=0.1, threshold=0.4).tobytes() == overlay_picture(e.image, e.heatmap, 0.1, 0.4).tobytes()


def test_overlay_refuses_another_picture(net, photo):
    e = explain(net, photo)
    with pytest.raises(ValueError, match=r"\(48, 60\) and the picture \(10, 20\); expected one size"):
        e.overlay(original=photo.resize((20, 10)))
    with pytest.raises(ValueError, match=r"pass the picture itself: overlay\(original=photo\)"):
        e.overlay(original=True)


def test_a_gray_tensor_is_laid_under_its_map():
    nn = torch.nn
    module = nn.Sequential(nn.Conv2d(1, 6, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))
    net = Network(module.eval(), transform=Preprocess(32, (0.5,), (0.25,)), class_names=helpers.CLASSES)
    photo = helpers.picture(1, HEIGHT, WIDTH)[:1]
    e = explain(net, photo)
    assert e.origin.size == (WIDTH, HEIGHT)
    assert e.overlay(original=photo).tobytes() == e.overlay(original=photo.expand(3, -1, -1)).tobytes()


def test_boxes_are_regions_of_the_map_wanted(net, photo):
    e = explain(net, photo)
    assert e.boxes(0.7) == regions(e.heatmap, 0.7)
    assert e.boxes(0.7, original=True) == regions(e.on_original(), 0.7)
    y, x = divmod(int(e.heatmap.argmax()), 32)
    assert any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in e.boxes(1.0))
    with pytest.raises(ValueError, match="threshold=0"):
        e.boxes(0)


def test_a_notebook_shows_the_overlay(net, photo):
    e = explain(net, photo)
    shown = e._repr_png_()
    assert shown.startswith(b"\x89PNG\r\n\x1a\n")
    assert Image.open(io.BytesIO(shown)).tobytes() == e.overlay().tobytes()


# -- files


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", "PNG"), ("a.webp", "WEBP"), ("a.jpg", "JPEG"), ("a.jpeg", "JPEG"), ("A.PNG", "PNG")]
)
def test_an_overlay_is_written_in_the_format_of_its_suffix(net, photo, tmp_path, name, kind):
    e = explain(net, photo)
    path = e.save(tmp_path / "new" / "folder" / name, original=photo)
    assert path == tmp_path / "new" / "folder" / name
    assert [p.name for p in path.parent.iterdir()] == [name]
    expected = np.asarray(e.overlay(original=photo)).astype(int)
    with Image.open(path) as kept:
        assert kept.format == kind
        assert np.abs(np.asarray(kept.convert("RGB")) - expected).mean() < (0.01 if kind == "PNG" else 25)
        assert kept.size == (WIDTH, HEIGHT)


def test_how_it_looks_is_passed_on(net, photo, tmp_path):
    e = explain(net, photo)
    with Image.open(e.save(str(tmp_path / "a.png"), opacity=0.2, threshold=0.5)) as kept:
        assert kept.tobytes() == e.overlay(opacity=0.2, threshold=0.5).tobytes()


def test_the_raw_map_is_kept_as_numbers(net, photo, tmp_path):
    e = explain(net, photo)
    kept = np.load(e.save(tmp_path / "a.npy"), allow_pickle=False)
    assert kept.dtype == np.float32
    assert np.array_equal(kept, e.raw.numpy())


def refused(constant):
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.parametrize("method", ["grad-cam", "union-cam"])
def test_a_record_makes_the_map_again(net, photo, tmp_path, method):
    photo.save(tmp_path / "photo.png")
    e = explain(net, tmp_path / "photo.png", method, "daisy", "features.1", relu=False, common="keep")
    kept = json.loads(e.save(tmp_path / "a.json").read_text(encoding="utf-8"), parse_constant=refused)
    assert set(kept.pop("made with")) == {"camlib", "torch", "torchvision"}
    assert kept == json.loads(json.dumps(e.record()))  # the record itself is JSON, whatever the method's details hold
    assert (kept["target"], kept["target_name"], kept["layer"]) == (4, "daisy", "features.1")
    assert (kept["original size"], kept["input size"]) == ([WIDTH, HEIGHT], [32, 32])
    assert [tuple(row) for row in kept["top"]] == e.top()
    assert [tuple(box) for box in kept["boxes"]] == e.boxes()
    again = explain(net, kept["picture"], kept["method"], kept["target"], kept["layer"], **kept["options"])
    assert torch.equal(again.raw, e.raw)


def test_what_json_cannot_hold_becomes_what_it_can():
    given = {"t": torch.ones(2), "n": np.float32(0.5), 3: (float("nan"), float("inf")), "f": refused, "p": Path("a/b")}
    kept = keeping.plain(given)
    assert kept == {"t": [1.0, 1.0], "n": 0.5, "3": [None, None], "f": "refused", "p": "a/b"}
    json.dumps(kept, allow_nan=False)


def test_an_unknown_suffix_writes_nothing(net, photo, tmp_path):
    e = explain(net, photo)
    for name in ("a.bmp", "a"):
        with pytest.raises(ValueError, match=r"expected one of \.png, \.webp, \.jpg, \.jpeg, \.npy, \.json"):
            e.save(tmp_path / "new" / name)
    with pytest.raises(ValueError, match="one size"):
        e.save(tmp_path / "new" / "a.png", original=photo.resize((9, 9)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".png", ".npy", ".json"])
@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_a_failing_write_leaves_the_old_file_or_none(net, photo, tmp_path, monkeypatch, suffix, step):
    e = explain(net, photo)
    old = tmp_path / f"old{suffix}"
    old.write_text("old")

    def full(path, *_):
        if step == "write_bytes":
            with open(path, "wb") as begun:
                begun.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, step, full)
    for path in (old, tmp_path / f"new{suffix}"):
        with pytest.raises(OSError, match="No space left"):
            e.save(path)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == [old.name]
    assert old.read_text() == "old"


# -- memory of its own


def tensors(e):
    named = {name: getattr(e, name) for name in ("heatmap", "raw", "weights", "image", "probabilities")}
    named |= {f"details {k}": v for k, v in e.details.items()}
    return {name: value for name, value in named.items() if isinstance(value, torch.Tensor)}


@pytest.mark.parametrize("method", ["grad-cam", "sca-cam", "union-cam", "gradient"])
def test_a_pickled_tensor_is_no_larger_than_its_own_numbers(net, method):
    """A view into the batch would take the whole batch along."""
    for e in compare(net, [helpers.picture(seed) for seed in range(6)], [(method, {})], [0, 1]):
        for name, value in tensors(e).items():
            assert len(pickle.dumps(value)) < value.numel() * value.element_size() + 1000, name
        again = pickle.loads(pickle.dumps(e))
        assert torch.equal(again.heatmap, e.heatmap)
        assert again.on_original().shape == (32, 32)


@pytest.mark.parametrize(("common", "others"), [("keep", ["union-cam", "gradient"]), ("center", [])])
def test_explanations_share_no_memory_with_each_other_or_the_caller(net, common, others):
    batch = helpers.batch(3)
    pictures = [helpers.picture(seed) for seed in range(3)]
    for given in (batch, pictures):
        found = compare(net, given, ["grad-cam", "layer-cam", *others], [0, 1], common=common)
        before = [{name: value.clone() for name, value in tensors(e).items()} for e in found]
        for value in tensors(found[0]).values():
            value.fill_(7)
        for one in given:
            one.fill_(0.5)
        for e, kept in zip(found[1:], before[1:], strict=True):
            for name, value in tensors(e).items():
                assert torch.equal(value, kept[name]), name


def test_options_say_what_was_given(net):
    e = explain(net, helpers.picture(), "score-cam", relu=False)
    assert (e.options["relu"], e.options["common"]) == (False, "keep")
    first, second = compare(net, [helpers.picture()], [("sca-cam", {"form": "softmax"}), "sca-cam"])
    assert first.options["form"] == "softmax"
    assert second.options.get("form") != "softmax"


def test_an_explanation_of_a_lambda_can_be_pickled(photo):
    usual = cropping().transform
    e = explain(cropping(lambda image: usual(image)), photo)
    again = pickle.loads(pickle.dumps(e))
    assert torch.equal(again.on_original(), e.on_original())
    assert again.overlay(original=photo).tobytes() == e.overlay(original=photo).tobytes()
