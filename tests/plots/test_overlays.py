"""Overlays and boxes that a person keeps, against pixels and regions worked out by hand."""

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab
from vision import VISION, distance, seen

from camlib.plots.colors import COLORMAP, DIVERGING
from camlib.plots.overlays import (
    contour_cover,
    contour_map,
    line_picture,
    overlay,
    overlay_picture,
    pair_picture,
    regions,
    slices_picture,
)

RED = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)


def gray(luminance):
    """Black becomes light gray, white stays white."""
    return round(255 * (0.65 + 0.35 * luminance))


def draw(text):
    """A map [H, W] of digits, tenths."""
    return np.array([[int(digit) / 10 for digit in row] for row in text.split()])


def test_without_opacity_it_is_the_gray_picture():
    made = np.asarray(overlay_picture(RED.expand(3, 1, 4), [[0.0, 0.2, 0.4, 1.0]], opacity=0))
    assert made.dtype == np.uint8
    assert made.tolist() == [[[gray(0.299)] * 3] * 4]


def test_a_map_of_zeros_colors_nothing_and_has_no_contour():
    made = np.asarray(overlay_picture(np.full((2, 2, 3), 255, np.uint8), np.zeros((2, 2))))
    assert (made == 255).all()
    assert (np.asarray(overlay_picture(torch.zeros(3, 2, 2), torch.zeros(2, 2))) == gray(0)).all()


def test_a_glaze_takes_away_what_its_color_lacks():
    """Half light photograph, heat 0.4, opacity 0.75: each of red, green, blue loses 0.75 of what the color lacks."""
    made = np.asarray(overlay(torch.full((3, 1, 2), 0.5), [[0.4, 1.0]], opacity=0.75))
    color = np.array(matplotlib.colormaps[COLORMAP](0.4)[:3])
    assert made[0, 0] == pytest.approx((0.65 + 0.35 * 0.5) * (0.25 + 0.75 * color))


@pytest.mark.parametrize("heat", [0.25, 0.5, 0.75, 1.0])
def test_every_place_keeps_two_fifths_of_the_contrast_of_the_gray_photograph(heat):
    """Black and white below the heat, by luminance; and the hotter, the more of it the color takes."""
    stripes = torch.tensor([0.0, 1.0]).repeat(4, 2).expand(3, 4, 4)
    made = np.asarray(overlay(stripes, np.full((4, 4), heat))) @ [0.299, 0.587, 0.114]
    cooler = np.asarray(overlay(stripes, np.full((4, 4), heat - 0.2))) @ [0.299, 0.587, 0.114]
    assert 0.4 * 0.35 < made[0, 1] - made[0, 0] < cooler[0, 1] - cooler[0, 0]


def test_a_signed_map_is_red_and_blue_around_the_gray_photograph():
    made = np.asarray(overlay(torch.ones(3, 2, 4), [[-1.0, 0.0, 1.0, 0.5]] * 2))[0]
    assert made[1] == pytest.approx(1)
    assert made[0, 2] > made[0, 0] + 0.3
    assert made[2, 0] > made[2, 2] + 0.3


def test_an_overlay_remembers_what_it_shows_and_its_parts_do_not():
    picture, heat = torch.rand(3, 4, 5), torch.rand(4, 5)
    made = overlay(picture, heat)
    assert made.image == pytest.approx(picture.permute(1, 2, 0).numpy())
    assert made.heatmap == pytest.approx(heat.numpy())
    assert not hasattr(made[:2], "heatmap")


def test_heat_below_the_threshold_shows_no_color():
    heat = [[0.2, 0.3, 0.49, 1.0]]
    plain = np.asarray(overlay_picture(torch.ones(3, 1, 4), heat, threshold=0.3))[0]
    full = np.asarray(overlay_picture(torch.ones(3, 1, 4), heat))[0]
    assert plain[0].tolist() == [255, 255, 255]
    assert full[0].tolist() != [255, 255, 255]
    assert np.array_equal(plain[1:], full[1:])  # 0.3 itself is shown, as are the hotter ones


@pytest.mark.parametrize(("side", "width"), [(101, 1), (500, 2), (1001, 1001 / 250)])
def test_contour_of_a_ramp_is_a_line_at_half_of_the_maximum(side, width):
    """A ramp up to a plain crosses half of its height at a quarter; the line covers as many pixels as it is wide."""
    cover = contour_cover(np.linspace(0, 1.6, side).clip(0, 0.8)[None].repeat(side, axis=0))
    assert cover.sum(axis=1) == pytest.approx(width, rel=0.02)
    assert (cover * np.arange(side)).sum(axis=1) / cover.sum(axis=1) == pytest.approx((side - 1) / 4)


def test_contour_goes_round_a_region_and_nowhere_else():
    heat = np.zeros((9, 9))
    heat[3:6, 2:7] = 0.8
    covered = contour_cover(heat) > 0.3
    inner, outer = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    inner[4, 3:6], outer[1:8, 0:9] = True, True
    assert not (covered & inner).any()
    assert not (covered & ~outer).any()
    assert covered[3, 2:7].all()
    assert covered[3:6, 2].all()


def test_the_contour_follows_the_map_smoothed_by_a_quarter_of_a_cell_of_seven():
    """A line of one bright column: a Gaussian of 56/28 = 2 pixels lies round it, and half of its maximum at 2.35."""
    heat = np.zeros((56, 57))
    heat[:, 28] = 1
    smoothed, level = contour_map(heat)
    assert smoothed[30, 28:32] / smoothed[30, 28] == pytest.approx(np.exp(-(np.arange(4) ** 2) / 8), abs=1e-3)
    assert level == pytest.approx(smoothed.max() / 2)


def test_speckle_and_full_maps_have_no_contour():
    dots = np.zeros((20, 20))
    dots[::4, ::4] = 1  # 25 regions
    assert contour_map(dots) is None
    dots[8:] = 0  # ten
    assert contour_map(dots) is not None
    assert contour_map(np.ones((4, 4))) is None
    assert contour_map(np.array([[-1.0, 1.0]])) is None


def test_a_pair_is_the_photograph_and_its_overlay():
    picture = np.asarray(pair_picture(torch.zeros(3, 10, 20), torch.zeros(10, 20), width=120))
    assert picture.shape == (round(59 / 2), 120, 3)
    assert (picture[:, :59] == 0).all()
    assert (picture[:, 59:61] == 255).all()
    assert (picture[:, 61:] == gray(0)).all()


# -- colors


def test_steps_of_heat_are_even_and_only_get_darker():
    """By CIEDE2000, which made no part of the map; the largest step of inferno is 2.1 times its smallest."""
    table = rgb2lab(matplotlib.colormaps[COLORMAP](np.linspace(0, 1, 9))[None, :, :3])[0]
    steps = deltaE_ciede2000(table[:-1], table[1:])
    assert steps.max() / steps.min() < 2
    fine = rgb2lab(matplotlib.colormaps[COLORMAP](np.linspace(0, 1, 256))[None, :, :3])[0]
    assert (np.diff(fine[:, 0]) < 0).all()
    assert fine[0, 0] == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize("vision", VISION)
def test_heat_gets_darker_in_every_kind_of_vision(vision):
    lightness = [seen(to_hex(matplotlib.colormaps[COLORMAP](v)), vision)[0] for v in np.linspace(0, 1, 33)]
    assert (np.diff(lightness) < 0).all()


@pytest.mark.parametrize("vision", VISION)
def test_signs_stay_apart_in_every_kind_of_vision(vision):
    blue, white, red = (to_hex(matplotlib.colormaps[DIVERGING](v)) for v in (0.0, 0.5, 1.0))
    assert white == "#ffffff"
    assert distance(blue, red, vision) > 40
    assert min(distance(white, blue, vision), distance(white, red, vision)) > 40


@pytest.mark.parametrize("kind", ["tensor", "bytes", "pil", "array"])
def test_every_kind_of_picture_makes_the_same_overlay(kind):
    eight = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3) * 4
    heat = torch.rand(4, 5, generator=torch.Generator().manual_seed(0))
    given_as = {
        "tensor": torch.from_numpy(eight).permute(2, 0, 1) / 255,
        "bytes": eight,
        "pil": Image.fromarray(eight),
        "array": eight / 255,
    }
    expected = np.asarray(overlay_picture(torch.from_numpy(eight).permute(2, 0, 1), heat))
    made = overlay_picture(given_as[kind], heat)
    assert (made.mode, made.size) == ("RGB", (5, 4))
    assert np.abs(np.asarray(made).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"heatmap": np.zeros((3, 2))}, r"heatmap is \(3, 2\) and the picture \(2, 2\)"),
        ({"opacity": 1.01}, r"opacity=1\.01"),
        ({"opacity": float("nan")}, "opacity=nan"),
        ({"threshold": 1.0}, r"threshold=1\.0"),
        ({"threshold": -0.1}, r"threshold=-0\.1"),
        ({"image": torch.full((3, 2, 2), 7.0)}, r"lies in \[7, 7\]"),
    ],
)
def test_wrong_input_is_named(changes, text):
    with pytest.raises(ValueError, match=text):
        overlay_picture(**{"image": torch.zeros(3, 2, 2), "heatmap": np.zeros((2, 2)), **changes})


# -- boxes


def test_boxes_are_half_open_tight_and_the_largest_first():
    heat = draw("""
        800000
        000099
        000099
        060000
        000700
    """)
    assert regions(heat, 0.5) == [(4, 1, 6, 3), (0, 0, 1, 1), (1, 3, 2, 4), (3, 4, 4, 5)]
    assert regions(heat, 1) == [(4, 1, 6, 3)]


def test_corners_connect():
    """8-connected: pixels that touch at a corner are one region, its box holds all of them."""
    heat = draw("""
        9000
        0900
        0090
        0000
    """)
    assert regions(heat, 0.5) == [(0, 0, 3, 3)]


def test_the_threshold_is_a_share_of_the_maximum_and_reaches_it():
    heat = np.array([[0.25, 0.1, 0.5]])
    assert regions(heat, 0.5) == [(0, 0, 1, 1), (2, 0, 3, 1)]  # 0.25 is half of 0.5
    assert regions(heat, 0.51) == [(2, 0, 3, 1)]
    assert regions(heat, 0.2) == [(0, 0, 3, 1)]


def flooded(mask):
    """Regions by flood fill, pixel by pixel: sets of (row, column)."""
    left, found = set(zip(*np.nonzero(mask), strict=True)), []
    while left:
        region, ahead = set(), [min(left)]
        while ahead:
            y, x = ahead.pop()
            if (y, x) in left:
                left.remove((y, x))
                region.add((y, x))
                ahead += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        found.append(region)
    return found


@given(
    st.lists(st.lists(st.integers(0, 4), min_size=7, max_size=7), min_size=1, max_size=7),
    st.sampled_from([0.3, 0.5, 1]),
)
def test_boxes_are_those_of_a_flood_fill(rows, threshold):
    heat = np.array(rows) / 4
    mask = (heat >= threshold * heat.max()) if heat.any() else np.zeros(heat.shape, bool)
    expected = sorted(flooded(mask), key=lambda region: (-len(region), min(region)))
    boxes = [
        (min(x for _, x in r), min(y for y, _ in r), max(x for _, x in r) + 1, max(y for y, _ in r) + 1)
        for r in expected
    ]
    assert regions(heat, threshold) == boxes
    assert regions(torch.tensor(heat), threshold) == boxes


def test_boxes_are_plain_numbers():
    assert {type(number) for box in regions(np.eye(3), 0.5) for number in box} == {int}


@pytest.mark.parametrize("threshold", [0, -0.5, 1.1, float("nan")])
def test_a_threshold_out_of_range_is_named(threshold):
    with pytest.raises(ValueError, match=r"threshold=.*in \(0, 1\]"):
        regions(np.eye(3), threshold)


def test_boxes_need_a_map_of_two_axes():
    with pytest.raises(ValueError, match=r"\[H, W\]; given \[4\]"):
        regions(np.ones(4), 0.5)


# -- maps of other shapes


def test_a_line_is_filled_up_to_its_value():
    made = np.asarray(line_picture(torch.tensor([0.0, 1.0]), width=5, height=5))
    filled = (made != 255).any(axis=-1)
    assert filled.tolist() == np.fliplr(np.tril(np.ones((5, 5), bool))).tolist()  # column by column one more from below


def test_slices_stand_side_by_side():
    volume = torch.zeros(20, 2, 3)
    volume[0], volume[19] = 1, 0.5
    made = np.asarray(slices_picture(volume, columns=4))
    assert made.shape == (2, 4 * 3, 3)
    hot, half, none = (
        np.round(255 * np.array(matplotlib.colormaps[COLORMAP](v)[:3])).tolist() for v in (1.0, 0.5, 0.0)
    )
    assert made[0, 0].tolist() == hot
    assert made[1, 5].tolist() == none
    assert made[1, -1].tolist() == half
    assert np.asarray(slices_picture(volume[:3])).shape == (2, 3 * 3, 3)
