"""camlib.compendium.writing and pictures: formats, sizes, same bytes; tables whose cells say what they are."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers import ITEM_FACTS
from PIL import Image

import camlib
from camlib import plots
from camlib.compendium import manifest, pictures, writing
from camlib.compendium.inline import LARGEST, inline_picture


def photograph_figure(side=224):
    figure = plots.figure(3)
    ax = figure.subplots()
    ax.imshow(np.asarray(camlib.load_photo("goose").resize((side, side))))
    return figure


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


# Formats


def test_a_figure_with_a_photograph_is_webp_and_a_plot_is_png(folder, figure):
    manifest.save(photograph_figure(), "sca-fig-12", **ITEM_FACTS)
    manifest.save(figure, "sca-fig-10", **ITEM_FACTS)
    entries = manifest.manifest()
    assert list(entries["sca-fig-12"]["files"]) == ["sca/sca-fig-12.webp"]
    assert list(entries["sca-fig-10"]["files"]) == ["sca/sca-fig-10.png"]
    for name, format_ in (("sca-fig-12.webp", "WEBP"), ("sca-fig-10.png", "PNG")):
        with Image.open(folder / "figures/sca" / name) as picture:
            assert (picture.format, picture.width, picture.mode) == (format_, 1440, "RGB")


def test_what_has_photographs():
    def holds(draw):
        figure = plots.figure(2)
        draw(figure.subplots())
        return pictures.has_photographs(figure)

    heat = np.random.default_rng(0).random((60, 60))
    photo = camlib.load_photo("goose").resize((60, 60))
    assert holds(lambda ax: ax.imshow(photo))
    assert holds(lambda ax: plots.draw_overlay(ax, photo, heat))
    assert not holds(lambda ax: ax.imshow(heat))  # a map has one number a pixel
    assert not holds(lambda ax: ax.imshow(np.zeros((60, 60, 3))))  # flat areas in color
    assert not holds(lambda ax: ax.plot([0, 1]))


def test_a_photograph_keeps_its_colors():
    """No rings in skies: as WebP a smooth ramp keeps at least 50 of 64 shades, and every pixel is near its own.

    WebP has 220 steps of 256.
    """
    ramp = np.linspace(0.5, 0.75, 600)[None].repeat(200, axis=0)
    sky = np.stack([0.8 * ramp, 0.9 * ramp, ramp], axis=-1)
    sky[:40] = np.random.default_rng(0).random((40, 600, 3))  # makes a photograph of it
    figure = plots.figure(10 / 3)
    figure.set_layout_engine("none")
    figure.add_axes((0, 0, 1, 1), frameon=False, xticks=[], yticks=[]).imshow(sky, aspect="auto")
    suffix, content, _ = pictures.figure_picture(figure)
    assert suffix == ".webp"
    row = pixels(content)[-60]
    assert len(np.unique(row[:, 2])) >= 50
    expected = np.round(255 * np.interp(np.linspace(0, 599, 1440), np.arange(600), sky[-1, :, 2]))
    assert np.abs(row[:, 2] - expected).mean() < 1.5


def test_a_plot_is_exact():
    figure = plots.figure(2)
    figure.patch.set_facecolor("#12345f")
    assert (pixels(pictures.figure_picture(figure)[1]) == (0x12, 0x34, 0x5F)).all()


def test_the_best_quality_that_fits_is_taken(monkeypatch):
    sizes = {}
    for quality in pictures.QUALITIES:
        monkeypatch.setattr(pictures, "QUALITIES", (quality,))
        sizes[quality] = len(pictures.figure_picture(photograph_figure())[1])
    assert sizes[95] > sizes[92] > sizes[90]
    monkeypatch.setattr(pictures, "QUALITIES", (95, 92, 90))
    monkeypatch.setattr(pictures, "LARGEST", sizes[92])
    assert len(pictures.figure_picture(photograph_figure())[1]) == sizes[92]


def test_the_same_figure_gives_the_same_bytes_of_webp():
    assert pictures.figure_picture(photograph_figure()) == pictures.figure_picture(photograph_figure())


@pytest.mark.parametrize("make", [photograph_figure, lambda: plots.figure(2)])
def test_a_picture_that_is_too_large_is_refused(folder, monkeypatch, make):
    monkeypatch.setattr(pictures, "LARGEST", 50)
    with pytest.raises(ValueError, match=r"sca-fig-12: the picture takes .* KB as \..*show fewer or smaller"):
        manifest.save(make(), "sca-fig-12", **ITEM_FACTS)
    assert manifest.manifest() == {}


def test_texts_that_cannot_be_read_are_entered_and_leave_when_they_are_mended(folder, figure):
    figure.text(0.5, 0.5, "tiny", fontsize=5)
    manifest.save(figure, "sca-fig-10", **ITEM_FACTS)
    assert manifest.manifest()["sca-fig-10"]["texts"] == ["'tiny' has 5 displayed pixels; the smallest is 9"]
    figure.texts[0].set_fontsize(9)
    manifest.save(figure, "sca-fig-10", **ITEM_FACTS)
    assert "texts" not in manifest.manifest()["sca-fig-10"]


def test_a_picture_of_another_format_takes_the_place_of_the_old_one(folder, figure):
    manifest.save(figure, "sca-fig-12", **ITEM_FACTS)
    manifest._made_here.clear()  # what a fresh kernel knows
    manifest.save(photograph_figure(), "sca-fig-12", **ITEM_FACTS)
    assert [path.name for path in (folder / "figures/sca").iterdir()] == ["sca-fig-12.webp"]


# Inline pictures of notebooks


def as_png(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def test_a_small_inline_picture_stays_as_it_is():
    png = as_png(camlib.load_photo("goose").resize((100, 80)))
    assert inline_picture(png) == ("image/png", png)


def test_a_large_inline_picture_becomes_a_jpeg_of_the_displayed_width():
    clear = camlib.load_photo("goose").resize((1000, 500)).convert("RGBA")
    clear.paste((0, 0, 0, 0), (0, 0, 200, 500))
    mime, content = inline_picture(as_png(clear))
    assert mime == "image/jpeg"
    assert len(content) < LARGEST * 1.5
    made = pixels(content)
    assert made.shape == (360, 720, 3)
    assert made[:, 5:130].min() >= 250  # what was transparent is white
    expected = np.asarray(camlib.load_photo("goose").resize((720, 360)))
    assert np.abs(made[:, 160:] - expected[:, 160:]).mean() < 4
    assert inline_picture(as_png(clear)) == (mime, content)


# Tables


def test_numbers_in_a_table_have_true_signs_and_files_of_numbers_have_none():
    frame = pd.DataFrame({"what": ["3 x 3", "sca-cam"], "mean": [-0.25, 1e-7]})
    files = writing.table_files(frame, "a")
    assert files["a.md"].decode().splitlines()[2:] == ["| 3 × 3 | −0.25 |", "| sca-cam | 1e−07 |"]
    assert files["a.csv"].decode().splitlines()[1] == "3 x 3,-0.25"
