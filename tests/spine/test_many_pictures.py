"""``compare`` on folders, patterns and generators; targets as arrays; pictures that cannot be read."""

from __future__ import annotations

import helpers
import numpy as np
import pytest
import torch
from PIL import Image

import camlib


@pytest.fixture(scope="module")
def net():
    return helpers.network(helpers.seeded(helpers.Gap))


@pytest.fixture
def folder(tmp_path):
    for name, seed in (("b", 1), ("a", 0), ("inside/c", 2)):
        values = np.random.default_rng(seed).integers(0, 255, (30, 30, 3), dtype=np.uint8)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def maps(explanations):
    return [e.heatmap for e in explanations]


def assert_all_equal(found, expected):
    assert len(found) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_folder_stands_for_its_pictures_in_order_of_their_paths(net, folder):
    paths = [folder / name for name in ("a.png", "b.png", "inside/c.png")]
    found = camlib.compare(net, folder)
    assert [e.origin.source for e in found] == [str(path) for path in paths]
    assert_all_equal(maps(found), [camlib.explain(net, path).heatmap for path in paths])


def test_a_pattern_a_generator_and_a_mix(net, folder):
    one = camlib.explain(net, folder / "b.png").heatmap
    assert_all_equal(maps(camlib.compare(net, str(folder / "b*.png"))), [one])
    opened = (Image.open(folder / f"{name}.png") for name in "ab")
    assert_all_equal(maps(camlib.compare(net, opened)), maps(camlib.compare(net, [folder / "a.png", folder / "b.png"])))
    assert len(camlib.compare(net, [folder, helpers.picture(0)])) == 4


def test_pictures_are_opened_a_batch_at_a_time(net):

    def pictures():
        for seed in range(5):
            yield helpers.picture(seed)

    made = camlib.compare(net, pictures(), batch_size=2)
    alone = [camlib.explain(net, helpers.picture(seed)) for seed in range(5)]
    for e, expected in zip(made, alone, strict=True):
        torch.testing.assert_close(e.heatmap, expected.heatmap, rtol=0, atol=1e-5)


@pytest.mark.parametrize("given", ["empty", "nothing*.png"])
def test_a_folder_or_pattern_of_nothing_is_named(net, given, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no picture\. Pictures end in \.bmp"):
        camlib.compare(net, tmp_path / given)


def test_explain_takes_one(net, folder):
    with pytest.raises(ValueError, match="explain takes one picture; given 3"):
        camlib.explain(net, folder)


def test_what_cannot_be_read_stops_or_is_skipped_and_named(net, folder):
    (folder / "bad.png").write_text("broken")
    with pytest.raises(ValueError, match=r"Picture 2 of 4 .*bad\.png"):
        camlib.compare(net, folder)
    with pytest.warns(
        camlib.SkippedPictureWarning, match=r"1 of 4 pictures were skipped: .*bad\.png: .*cannot be read"
    ):
        found = camlib.compare(net, folder, methods=["grad-cam", "layer-cam"], on_error="skip")
    assert [(e.picture, e.method) for e in found] == [(p, m) for p in (0, 1, 3) for m in ("grad-cam", "layer-cam")]
    with pytest.raises(ValueError, match="on_error='ignore': expected 'raise' or 'skip'"):
        camlib.compare(net, folder, on_error="ignore")


AS_ARRAYS = [
    torch.tensor([[3], [1]]),
    np.array([[3], [1]]),
    [torch.tensor([3]), torch.tensor([1])],
    [np.array([3]), [1]],
    ((3,), (1,)),
]


@pytest.mark.parametrize("targets", AS_ARRAYS, ids=lambda t: type(t).__name__)
def test_one_class_for_each_picture_whatever_holds_them(net, targets):
    found = camlib.compare(net, torch.rand(2, 3, 32, 32), targets=targets)
    assert [(e.picture, e.target) for e in found] == [(0, 3), (1, 1)]


def test_a_row_of_classes_is_for_all_pictures(net):
    found = camlib.compare(net, torch.rand(2, 3, 32, 32), targets=torch.tensor([3, 1]))
    assert [(e.picture, e.target) for e in found] == [(0, 3), (0, 1), (1, 3), (1, 1)]


@pytest.mark.parametrize(
    "wrong", [torch.tensor([[0, 1, 0, 1, 0]]), torch.rand(1, 2), torch.tensor([[True, False, True]])]
)
def test_multi_hot_rows_and_numbers_that_are_no_classes_are_refused(net, wrong):
    with pytest.raises(ValueError, match=r"row\.nonzero\(\)"):
        camlib.compare(net, torch.rand(1, 3, 32, 32), targets=wrong)
