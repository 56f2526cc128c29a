"""A caller's own transform is read by what it does to a black, a gray and a white picture."""

from __future__ import annotations

import random

import helpers
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import v2

import camlib
from camlib import Network
from camlib.engine.masking import constant_color

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BYTES = tuple(255 * m for m in MEAN), tuple(255 * s for s in STD)
FLOAT = v2.ToDtype(torch.float32, scale=True)
PHOTO = camlib.load_photo("chelsea")


def network(transform) -> Network:
    return Network(helpers.seeded(helpers.Gap, dtype=torch.float32), transform=transform)


def pipeline(*parts) -> v2.Compose:
    return v2.Compose([v2.Resize((32, 32)), v2.PILToTensor(), *parts])


def of_an_array(photo: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(photo.resize((24, 40)))).permute(2, 0, 1) / 127.5 - 1


HALF = (0.5,) * 3
READABLE = {
    "of pictures in 0..1": (pipeline(FLOAT, v2.Normalize(MEAN, STD)), MEAN, STD),
    "of pictures in 0..255": (pipeline(v2.ToDtype(torch.float32), v2.Normalize(*BYTES)), MEAN, STD),
    "plain numbers": (pipeline(FLOAT, transforms.Normalize(0.5, 0.5)), HALF, HALF),
    "one value for three colors": (pipeline(FLOAT, v2.Normalize((0.5,), (0.25,))), HALF, (0.25,) * 3),
    "a function": (of_an_array, HALF, HALF),
    "a function inside": (pipeline(FLOAT, lambda x: (x - 0.5) / 0.5), HALF, HALF),
    "gray": (pipeline(FLOAT, v2.Grayscale(), v2.Normalize((0.4,), (0.2,))), (0.4,), (0.2,)),
    "in a module": (
        torch.nn.Sequential(v2.Resize((32, 32)), v2.PILToTensor(), FLOAT, v2.Normalize(MEAN, STD)),
        MEAN,
        STD,
    ),
}


@pytest.mark.parametrize(("transform", "mean", "std"), READABLE.values(), ids=READABLE)
def test_mean_std_and_size_are_what_the_transform_does(transform, mean, std):
    net = network(transform)
    picture, inputs = net.prepare(PHOTO)
    assert net.normalization_known
    assert net.preprocess.mean == pytest.approx(mean, abs=2e-3)
    assert net.preprocess.std == pytest.approx(std, abs=2e-3)
    assert tuple(inputs.shape) == (len(mean), *net.input_size)
    shown = net.preprocess.normalize(picture)
    assert float((shown - inputs).abs().max()) < 0.02
    for level in (0.0, 1.0):
        color = constant_color(net, inputs, level)
        expected = (level - torch.tensor(mean)) / torch.tensor(std)
        torch.testing.assert_close(color.mean(dim=(1, 2)), expected, rtol=0, atol=0.02)


def test_a_transform_that_does_not_resize_says_nothing_about_the_size():
    net = network(transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)]))
    assert net.input_size == (224, 224)
    assert camlib.explain(net, PHOTO, target=1).heatmap.shape == PHOTO.size[::-1]


def test_numbers_that_are_written_down_are_taken_exactly():
    net = network(pipeline(FLOAT, v2.Normalize(MEAN, STD)))
    assert (net.preprocess.mean, net.preprocess.std) == (MEAN, STD)


def test_mean_and_std_of_the_wrong_scale_are_refused_when_a_picture_comes():
    net = network(pipeline(FLOAT, v2.Normalize(*BYTES)))
    with pytest.raises(ValueError, match=r"makes -2\.118 of black and -2\.101 of white.*Divide mean and std by 255"):
        camlib.explain(net, PHOTO, target=1)
    assert camlib.explain(net, helpers.batch(1, torch.float32), target=1).heatmap.shape == (32, 32)


def of_a_real_photograph(photo: Image.Image) -> torch.Tensor:
    assert photo.getextrema()[0][0] < photo.getextrema()[0][1]
    return FLOAT(v2.functional.pil_to_tensor(photo.resize((32, 32))))


UNREADABLE = {
    "each picture by its own statistics": pipeline(FLOAT, lambda x: (x - x.mean()) / x.std()),
    "a curve": pipeline(FLOAT, lambda x: x.sqrt()),
    "wants a real photograph": of_a_real_photograph,
}


@pytest.mark.parametrize("transform", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_unknown_and_works(transform):
    net = network(transform)
    assert not net.normalization_known
    e = camlib.explain(net, PHOTO, "score-cam", 1, filler="white")
    assert 0 <= float(e.image.min()) <= float(e.image.max()) <= 1


def test_reading_a_transform_leaves_the_callers_random_state():
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    net = network(pipeline(FLOAT, v2.RandomHorizontalFlip(), lambda x: x + random.random() * 0 + np.random.rand() * 0))
    assert net.input_size == (32, 32)
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])
    assert states[2] == random.getstate()
