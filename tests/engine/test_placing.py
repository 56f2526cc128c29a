"""Where the input lies in the picture: fractions worked out by hand; maps laid on the original by a literal loop."""

import copy
import math
import pickle
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from camlib import Preprocess
from camlib.engine.placing import WHOLE, Origin, on_original, placed
from tests import helpers

SIZE = (120, 80)  # width, height
NORMALIZE = T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def chain(*steps):
    return T.Compose([*steps, T.ToTensor(), NORMALIZE])


PLACES = {
    # both sides to 32: nothing is cut
    "resize": (chain(T.Resize((32, 32))), WHOLE),
    # shorter side 80 -> 40, so 60 x 40; the middle 32 x 32 is columns 14..46 and rows 4..36
    "resize and crop": (chain(T.Resize(40), T.CenterCrop(32)), (14 / 60, 4 / 40, 46 / 60, 36 / 40)),
    # pixels 40..80 of 120 and 20..60 of 80
    "crop": (chain(T.CenterCrop(40)), (40 / 120, 20 / 80, 80 / 120, 60 / 80)),
    # 20 columns and 10 rows of padding: the input begins before the picture and ends behind it
    "pad": (chain(T.Pad((20, 10))), (-20 / 120, -10 / 80, 140 / 120, 90 / 80)),
    "pad one side in gray": (chain(T.Pad((0, 40, 0, 0), fill=128), T.Resize((60, 60))), (0, -40 / 80, 1, 1)),
    # a crop larger than the picture pads: 160 columns are 20 more on each side
    "large crop": (chain(T.CenterCrop((80, 160))), (-20 / 120, 0, 140 / 120, 1)),
    "bicubic": (chain(T.Resize((32, 48), InterpolationMode.BICUBIC)), WHOLE),
    "enlarged": (chain(T.Resize((800, 960))), WHOLE),
    "gray": (T.Compose([T.Resize((32, 32)), T.Grayscale(), T.ToTensor()]), WHOLE),
    "inverted": (chain(T.Resize((32, 32)), TF.invert), WHOLE),
}


@pytest.mark.parametrize("name", PLACES)
def test_place_is_the_fraction_worked_out_by_hand(name):
    transform, expected = PLACES[name]
    assert placed(transform, SIZE) == pytest.approx(expected, abs=0.006)


@given(
    left=st.floats(0, 0.6),
    top=st.floats(0, 0.6),
    width=st.floats(0.3, 1),
    height=st.floats(0.3, 1),
    n=st.integers(12, 90),
)
def test_place_of_any_crop_is_its_box(left, top, width, height, n):
    box = [
        math.floor(left * SIZE[0]),
        math.floor(top * SIZE[1]),
        math.ceil(min(1, left + width) * SIZE[0]),
        math.ceil(min(1, top + height) * SIZE[1]),
    ]

    def cut(image):
        return TF.to_tensor(image.crop(box).resize((n, n), Image.Resampling.BILINEAR))

    expected = (box[0] / SIZE[0], box[1] / SIZE[1], box[2] / SIZE[0], box[3] / SIZE[1])
    assert placed(cut, SIZE) == pytest.approx(expected, abs=0.015)


def own_generator_crop(generator):
    def cut(image):
        x = int(generator.integers(0, 80))
        return TF.to_tensor(image.crop((x, 0, x + 40, 80)))

    return cut


HIDDEN = {
    "random crop": chain(T.RandomResizedCrop(32)),
    "random flip": chain(T.Resize((32, 32)), T.RandomHorizontalFlip()),
    "crop drawn by a generator of its own": own_generator_crop(np.random.default_rng(0)),
    "crop drawn by random": lambda image: TF.to_tensor(TF.crop(image, 0, random.choice([0]), 40, 40)),
    "crop drawn by NumPy": lambda image: TF.to_tensor(TF.crop(image, 0, 0 * np.random.randint(9), 40, 40)),
    "mirrored": chain(T.Resize((32, 32)), TF.hflip),
    "upside down": chain(T.Resize((32, 32)), TF.vflip),
    "quarter turn": chain(T.Resize((32, 32)), lambda image: image.rotate(90, expand=True)),
    "turned by 10 degrees": chain(T.Resize((64, 64)), lambda image: image.rotate(10)),
    "transposed": chain(lambda image: image.transpose(Image.Transpose.TRANSPOSE)),
    "warped": chain(
        lambda image: TF.perspective(
            image, [[0, 0], [119, 0], [119, 79], [0, 79]], [[30, 0], [90, 0], [119, 79], [0, 79]]
        )
    ),
    "constant": lambda image: torch.zeros(3, 32, 32),
    "no picture": lambda image: torch.zeros(7),
    "not a number": lambda image: torch.full((3, 8, 8), float("nan")),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_transforms_that_hide_the_place_have_none(name):
    assert placed(HIDDEN[name], SIZE) is None
    with pytest.raises(ValueError, match=r"random, turns or mirrors\. Give the network a camlib\.Preprocess"):
        Origin(SIZE, transform=HIDDEN[name]).place()


def test_a_flip_that_did_not_happen_is_not_taken_for_none():
    """Two equal answers prove nothing of a coin: eight coins in a row are refused."""
    flip = HIDDEN["random flip"]
    for seed in range(8):
        torch.manual_seed(seed)
        assert placed(flip, SIZE) is None


def test_the_caller_draws_the_same_random_numbers_after_it():
    def draws():
        return torch.rand(2).tolist(), random.random(), np.random.rand(2).tolist()

    def noisy(image):
        draws()
        return TF.to_tensor(image)

    def state():
        torch.manual_seed(1)
        random.seed(1)
        np.random.seed(1)

    state()
    expected = draws()
    state()
    assert placed(noisy, SIZE) is None
    assert draws() == expected
    state()

    def broken(image):
        draws()
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        placed(broken, SIZE)
    assert draws() == expected


def test_a_preprocess_and_no_transform_show_the_whole_picture():
    assert Origin(SIZE).place() == WHOLE
    preprocess = Preprocess((24, 32))
    assert placed(lambda image: preprocess.normalize(preprocess.picture(image)), SIZE) == pytest.approx(
        WHOLE, abs=0.006
    )


@pytest.mark.parametrize("again", [lambda o: pickle.loads(pickle.dumps(o)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_a_copy_keeps_the_place_without_the_transform(again):
    crop = chain(T.CenterCrop(40))
    origin = Origin(SIZE, "a.png", lambda image: crop(image))  # a lambda cannot be pickled
    kept = again(origin)
    assert (kept.size, kept.source, kept.transform) == (SIZE, "a.png", None)
    assert kept.place() == pytest.approx((1 / 3, 1 / 4, 2 / 3, 3 / 4), abs=0.006)
    assert again(kept).place() == kept.place()
    hidden = again(Origin(SIZE, transform=HIDDEN["mirrored"]))
    with pytest.raises(ValueError, match="mirrors"):
        hidden.place()


# -- a map on the original


def by_hand(heatmap, place, size):
    """Every pixel of the original asks for its place in the input, and mixes the four nearest values."""
    (width, height), (x0, y0, x1, y1), (h, w) = size, place, heatmap.shape
    made = [[0.0] * width for _ in range(height)]
    for j in range(height):
        for i in range(width):
            u, v = ((i + 0.5) / width - x0) / (x1 - x0), ((j + 0.5) / height - y0) / (y1 - y0)
            if not (0 <= u <= 1 and 0 <= v <= 1):
                continue
            x, y = min(max(u * w - 0.5, 0), w - 1), min(max(v * h - 0.5, 0), h - 1)
            left, top = min(int(x), max(w - 2, 0)), min(int(y), max(h - 2, 0))
            for row, p in ((top, 1 - (y - top)), (min(top + 1, h - 1), y - top)):
                for column, q in ((left, 1 - (x - left)), (min(left + 1, w - 1), x - left)):
                    made[j][i] += p * q * float(heatmap[row, column])
    return torch.tensor(made)


@pytest.mark.parametrize(
    "place", [WHOLE, (0.23, 0.1, 0.77, 0.9), (-0.2, -0.4, 1.2, 1.1), (0.5, -0.1, 1.3, 0.4)], ids=str
)
@pytest.mark.parametrize("size", [(11, 7), (3, 20)], ids=str)
def test_map_on_the_original_is_the_literal_loop(place, size):
    heatmap = torch.rand(4, 5, generator=torch.Generator().manual_seed(0))
    laid = on_original(heatmap, place, size)
    assert laid.dtype == torch.float32
    torch.testing.assert_close(laid, by_hand(heatmap, place, size), atol=1e-5, rtol=0)


def test_the_whole_picture_is_the_resize_that_everybody_uses():
    heatmap = torch.rand(6, 6, generator=torch.Generator().manual_seed(1))
    expected = F.interpolate(heatmap[None, None], (30, 41), mode="bilinear", align_corners=False)[0, 0]
    torch.testing.assert_close(on_original(heatmap, WHOLE, (41, 30)), expected, atol=1e-5, rtol=0)


def test_ones_lie_on_the_crop_and_zeros_outside():
    """The input shows pixels 40..80 of 120 and 20..60 of 80."""
    laid = on_original(torch.ones(5, 5), (40 / 120, 20 / 80, 80 / 120, 60 / 80), SIZE)
    expected = torch.zeros(80, 120)
    expected[20:60, 40:80] = 1
    torch.testing.assert_close(laid, expected, atol=1e-6, rtol=0)
    assert torch.equal(laid > 0, expected > 0)


def test_a_picture_goes_through_a_transform_and_back_to_where_it_was():
    photo = F.interpolate(helpers.picture(3, 20, 30)[None], (80, 120), mode="bilinear")[0]
    transform = T.Compose([T.Resize(60), T.CenterCrop(44), T.ToTensor()])
    seen = transform(TF.to_pil_image(photo))
    back = on_original(seen[0], placed(transform, SIZE), SIZE)
    shown = back > 0
    assert shown.float().mean() == pytest.approx(44 * 44 / (90 * 60), abs=0.03)
    assert (back - photo[0])[shown].abs().mean() < 0.01
    shifted = torch.roll(photo[0], 3, dims=1)  # three pixels off would be seen
    assert (back - shifted)[shown].abs().mean() > 0.03
