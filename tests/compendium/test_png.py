"""Small PNG files: exact where they fit, near the original where they do not, and always the same bytes."""

import io

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import camlib
from camlib.compendium.png import compact


def as_png(picture, **options):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **options)
    return buffer.getvalue()


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_small_picture_keeps_every_pixel():
    picture = camlib.load_photo("goose").resize((40, 30))
    assert (pixels(compact(as_png(picture), 100_000)) == np.asarray(picture)).all()


def test_large_picture_shrinks_and_stays_close():
    data = as_png(camlib.load_photo("goose"))
    small = compact(data, 100_000)
    assert len(small) < 0.7 * len(data)
    assert np.abs(pixels(small) - pixels(data)).max() <= 6  # half a step of the coarsest rounding


def test_same_bytes_again_and_a_result_gives_itself():
    data = as_png(camlib.load_photo("goose"))
    for limit in (10, 10_000_000):
        once = compact(data, limit)
        assert compact(data, limit) == once
        assert compact(once, limit) == once


def test_transparency_becomes_white():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert (pixels(compact(as_png(clear), 1000)) == 255).all()


def test_resolution_is_written():
    with Image.open(io.BytesIO(compact(as_png(Image.new("RGB", (4, 4))), 1000, dpi=150))) as picture:
        assert round(picture.info["dpi"][0]) == 150


def test_paper_stays_white_and_ink_black():
    page = Image.new("RGB", (700, 512), "white")
    page.paste(camlib.load_photo("goose"), (180, 0))
    page.paste("black", (0, 0, 20, 512))
    small = pixels(compact(as_png(page), 10))
    assert (small[:, 30:170] == 255).all()
    assert (small[:, :20] == 0).all()


def test_heatmap_colors_stay_those_of_the_color_map():
    ramp = np.linspace(0, 1, 600)[None].repeat(40, axis=0)
    noise = np.random.default_rng(0).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    colors = np.round(matplotlib.colormaps["inferno"](ramp)[..., :3] * 255).astype(np.uint8)
    page = Image.fromarray(np.concatenate([colors, noise]))
    small = pixels(compact(as_png(page), 10))
    assert np.abs(small[:40] - colors).max() <= 6


def test_chart_gets_a_palette_and_stays_sharp():
    figure, ax = plt.subplots(figsize=(6, 4))
    ax.plot(np.sin(np.arange(200) / 7))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200)
    plt.close(figure)
    small = compact(buffer.getvalue(), 10_000)
    assert Image.open(io.BytesIO(small)).mode == "P"
    assert (np.abs(pixels(small) - pixels(buffer.getvalue())).max(axis=2) > 8).mean() < 0.01
    assert compact(small, 10_000) == small


def test_few_colors_get_a_palette_though_all_of_them_are_coarse_levels():
    noise = np.random.default_rng(0).choice(np.array([0, 255], dtype=np.uint8), (60, 60, 3))
    small = compact(as_png(Image.fromarray(noise)), 10)
    assert Image.open(io.BytesIO(small)).mode == "P"
    assert (pixels(small) == noise).all()
