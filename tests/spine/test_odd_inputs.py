"""Odd inputs get the right map: corners, types, sizes, transforms, gray pictures, class names, targets."""

import copy
import warnings

import helpers
import numpy as np
import pytest
import torch
from helpers import PICTURE, READY, brightness, corner, gap
from PIL import Image
from torch import nn
from torchvision.transforms import Compose, Normalize, Resize, ToTensor

import camlib
from camlib import METHODS, DegenerateMapWarning, Network, Preprocess


@pytest.mark.parametrize(
    "method", [m for m in helpers.POST_HOC if m not in ("deconvnet", "smooth-grad", "fd-cam", "case", "rise")]
)
@pytest.mark.parametrize(("row", "column"), [(8, 8), (8, 136), (72, 8), (72, 136)])
def test_a_bright_object_in_a_corner_lights_up_there(method, row, column):
    """96 x 160, ready batch: the network answers to brightness, so the map must peak at the bright square.

    Five methods are left out: the deconvnet signal does not depend on the picture here, noise opens the ReLU
    everywhere, one channel has no group (FD-CAM) and no direction beside the rival's (CASE), and RISE's masks are as
    large as the square (its own test below).
    """
    options = {"mask": {"steps": 60, "l1": 1e-5}}.get(method, {})
    e = camlib.explain(brightness(), corner(row, column), method, 0, normalized=True, **options)
    assert e.heatmap.shape == (96, 160)
    assert e.raw.shape == ((96, 160) if METHODS[method].makes == "pixels" else (24, 40))
    inside = e.heatmap[row : row + 16, column : column + 16]
    assert float(inside.mean()) > 0.5
    assert float(e.heatmap.mean()) < 0.1


@pytest.mark.parametrize(("row", "column"), [(8, 8), (8, 136), (72, 8), (72, 136)])
def test_rise_peaks_at_a_bright_object_in_a_corner(row, column):
    e = camlib.explain(brightness(gain=100), corner(row, column), "rise", 0, normalized=True, masks=500)
    y, x = divmod(int(e.heatmap.argmax()), 160)
    assert abs(y - row - 8) <= 16
    assert abs(x - column - 8) <= 16


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_ready_batches_of_other_types_are_converted(kind):
    expected = camlib.explain(gap(), READY.float(), target=1)
    found = camlib.explain(gap(), READY.to(kind), target=1)
    torch.testing.assert_close(found.heatmap, expected.heatmap, rtol=0, atol=0.1)
    if kind == torch.float64:
        torch.testing.assert_close(found.heatmap, expected.heatmap, rtol=0, atol=1e-6)


def test_pictures_of_several_sizes_and_kinds_in_one_call():
    net = gap()
    photos = [camlib.load_photo("chelsea"), READY, helpers.picture(1), torch.cat([READY, READY]), np.ones((5, 7, 3))]
    wide = torch.rand(1, 3, 24, 48, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateMapWarning)
        rows = camlib.compare(net, [*photos, wide], targets=[1])
    assert [e.picture for e in rows] == list(range(7))
    assert [tuple(e.heatmap.shape) for e in rows] == [(32, 32)] * 6 + [(24, 48)]
    assert torch.equal(rows[1].heatmap, rows[3].heatmap)
    assert torch.equal(rows[1].heatmap, rows[4].heatmap)


def test_a_tensor_goes_through_a_transform_that_wants_pil():
    transform = Compose([Resize((32, 32)), ToTensor(), Normalize((0.5,) * 3, (0.5,) * 3)])
    net = Network(helpers.seeded(helpers.Gap), transform=transform)
    photo = torch.randint(0, 256, (3, 40, 50), dtype=torch.uint8)
    from_tensor = camlib.explain(net, photo.float() / 255, target=0)
    from_pil = camlib.explain(net, Image.fromarray(photo.permute(1, 2, 0).numpy()), target=0)
    assert torch.equal(from_tensor.heatmap, from_pil.heatmap)


def test_a_transform_without_normalization_shows_the_picture_as_it_is():
    transform = Compose([Resize((32, 32)), ToTensor()])
    net = Network(helpers.seeded(helpers.Gap), transform=transform)
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    e = camlib.explain(net, photo, target=0)
    assert torch.equal(e.image, transform(photo))


def test_gray_tensor_for_a_gray_network():
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    net = Network(module, transform=Preprocess(16, (0.5,), (0.5,)))
    gray = torch.rand(1, 16, 16)
    one, three = (camlib.explain(net, photo, relu=False) for photo in (gray, gray.expand(3, -1, -1)))
    assert torch.allclose(one.heatmap, three.heatmap, atol=1e-6)
    assert one.image.shape == (3, 16, 16)


@pytest.mark.parametrize("names", ["abcd", [1, 2, 3, 4], {1: "a", 2: "b"}])
def test_class_names_that_are_none(names):
    with pytest.raises(TypeError, match=r"class_names is a list of strings"):
        Network(helpers.seeded(helpers.Gap), class_names=names)


def test_class_names_as_a_dict():
    assert Network(helpers.seeded(helpers.Gap), class_names={1: "b", 0: "a"}).class_names == ["a", "b"]


@pytest.mark.parametrize(
    ("makes", "made", "fragment"),
    [
        ("weights", lambda t: None, "it returned NoneType"),
        ("weights", lambda t: torch.ones(3), r"it returned \[3\]"),
        ("map", lambda t: torch.ones(1, 1, *t.activations.shape[-2:]), r"it returned \[1, 1"),
        ("pixels", lambda t: t.activations[:, 0], r"must return a tensor \[1, 32, 32\]"),
    ],
)
def test_a_method_that_breaks_its_promise_is_named(makes, made, fragment):
    from camlib import registry

    @camlib.method("broken-cam", family="test", source="this test", passes="none", makes=makes)
    def broken(trace, target):
        """Something else."""
        return made(trace)

    try:
        with pytest.raises(ValueError, match=f"broken-cam is registered with makes='{makes}'.*{fragment}"):
            camlib.explain(helpers.network(helpers.seeded(helpers.Gap)), PICTURE, "broken-cam", 0)
    finally:
        del registry._methods["broken-cam"]


def test_explanations_compare_by_identity_and_print_in_one_line():
    e = camlib.explain(helpers.network(helpers.seeded(helpers.Gap)), PICTURE, target=0)
    assert e == e
    assert e != copy.deepcopy(e)
    assert e in [copy.deepcopy(e), e]
    assert "\n" not in repr(e)
    assert "grad-cam" in repr(e)


@pytest.mark.parametrize("target", [np.array(1), torch.tensor([1]), np.int64(1)])
def test_targets_that_other_libraries_return(target):
    net = helpers.network(helpers.seeded(helpers.Gap))
    assert camlib.explain(net, [PICTURE], target=target).target == 1
