"""Pictures of every kind come out as [3, H, W] in [0, 1]; anything else is refused with a reason."""

import os
import socket
import struct
import zlib
from pathlib import Path

import helpers
import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

import camlib
from camlib import Preprocess
from camlib.pictures import to_pil

PLAIN = Preprocess((4, 4), (0.0,) * 3, (1.0,) * 3)


def pixels(image: Image.Image) -> list:
    return np.asarray(image).tolist()


def colors(image: Image.Image) -> set[tuple[int, int, int]]:
    return set(map(tuple, np.asarray(image).reshape(-1, 3).tolist()))


def picture_of(mode: str, color: object, size: tuple[int, int] = (4, 4)) -> Image.Image:
    return Image.new(mode, size, color)


# (mode, color, the 8-bit RGB value that it must become)
MODES = [
    ("RGB", (10, 20, 30), (10, 20, 30)),
    ("L", 77, (77, 77, 77)),
    ("1", 1, (255, 255, 255)),
    ("1", 0, (0, 0, 0)),
    ("LA", (0, 255), (0, 0, 0)),
    ("LA", (0, 0), (255, 255, 255)),  # transparent: white shows
    ("RGBA", (255, 0, 0, 255), (255, 0, 0)),
    ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
    ("RGBA", (0, 0, 255, 51), (204, 204, 255)),  # a fifth of blue over white
    ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
    ("YCbCr", (255, 128, 128), (255, 255, 255)),
    ("I", 200, (200, 200, 200)),
    ("I", 65535, (255, 255, 255)),
    ("I;16", 65535, (255, 255, 255)),
    ("I;16", 257 * 40, (40, 40, 40)),
    ("I;16", 200, (1, 1, 1)),  # dark, not 8 bits in a wide file
    ("F", 1.0, (255, 255, 255)),
    ("F", 0.4, (102, 102, 102)),
    ("F", 102.0, (102, 102, 102)),
]


@pytest.mark.parametrize(("mode", "color", "rgb"), MODES)
def test_every_mode_becomes_rgb(mode, color, rgb):
    image = to_pil(picture_of(mode, color))
    assert (image.mode, image.size) == ("RGB", (4, 4))
    assert colors(image) == {rgb}
    tensor = PLAIN.picture(picture_of(mode, color))
    assert tensor.dtype == torch.float32
    torch.testing.assert_close(tensor, (torch.tensor(rgb) / 255).view(3, 1, 1).expand(3, 4, 4), rtol=0, atol=0)


def test_palette_with_and_without_a_transparent_color(tmp_path):
    indexed = Image.new("P", (2, 1))
    indexed.putpalette([200, 0, 0, 0, 100, 0])
    indexed.putdata([0, 1])
    assert pixels(to_pil(indexed)) == [[[200, 0, 0], [0, 100, 0]]]
    for name in ("a.png", "a.gif"):
        indexed.save(tmp_path / name, transparency=1)
        assert pixels(to_pil(tmp_path / name)) == [[[200, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_transparent_color_of_a_png_without_alpha(tmp_path, mode):
    picture_of(mode, 0).save(tmp_path / "a.png", transparency=0 if mode == "L" else (0, 0, 0))
    assert colors(to_pil(tmp_path / "a.png")) == {(255, 255, 255)}


# What each EXIF orientation must do to the stored rows [[1, 2, 3], [4, 5, 6]] (EXIF 2.3, tag 0x0112).
ORIENTATIONS = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
}


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_exif_rotation_is_applied(tmp_path, orientation, suffix):
    stored = Image.fromarray(np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8) * 40)
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if suffix == "webp" else {}
    stored.convert("RGB").save(tmp_path / f"a.{suffix}", exif=exif, **lossless)
    upright = np.asarray(to_pil(tmp_path / f"a.{suffix}"))[..., 0]
    assert (upright // 40).tolist() == ORIENTATIONS[orientation]


def test_exif_rotation_of_a_jpeg_photograph(tmp_path):
    stored = Image.new("RGB", (32, 16))
    stored.paste((255, 255, 255), (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise: the left half comes to the top
    stored.save(tmp_path / "a.jpg", exif=exif)
    upright = np.asarray(to_pil(str(tmp_path / "a.jpg")))
    assert upright.shape == (32, 16, 3)
    assert upright[:12].mean() > 250
    assert upright[20:].mean() < 5


def test_sixteen_bit_png_is_scaled_and_not_cut(tmp_path):
    values = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert np.array_equal(np.asarray(to_pil(tmp_path / "deep.png"))[..., 0], np.arange(256).reshape(16, 16))


def test_path_as_text_as_path_and_as_picture_are_the_same(tmp_path):
    camlib.load_photo("chelsea").save(tmp_path / "cat.png")
    net = helpers.network(helpers.seeded(helpers.Gap))
    forms = [tmp_path / "cat.png", str(tmp_path / "cat.png"), Image.open(tmp_path / "cat.png")]
    forms.append(np.asarray(forms[2]))
    maps = [camlib.explain(net, form, target=1).heatmap for form in forms]
    assert all(torch.equal(maps[0], other) for other in maps[1:])


@pytest.mark.parametrize(
    ("array", "rgb"),
    [
        (np.full((4, 4, 3), 51, np.uint8), (51, 51, 51)),
        (np.full((4, 4), 51, np.uint8), (51, 51, 51)),
        (np.full((4, 4, 1), 51, np.uint8), (51, 51, 51)),
        (np.full((4, 4, 4), (255, 0, 0, 0), np.uint8), (255, 255, 255)),
        (np.full((4, 4, 3), 51 * 257, np.uint16), (51, 51, 51)),
        (np.full((4, 4), 65535 - 100, np.uint16), (255, 255, 255)),  # rounded, not cut
        (np.full((4, 4, 3), 0.2, np.float32), (51, 51, 51)),
        (np.full((4, 4, 3), 0.2, np.float64), (51, 51, 51)),
        (np.full((4, 4), 1.0, np.float16), (255, 255, 255)),
        (np.full((8, 8, 3), 51, np.uint8)[::2, ::-2], (51, 51, 51)),
    ],
)
def test_arrays(array, rgb):
    assert colors(to_pil(array)) == {rgb}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8])
def test_tensors_of_every_type(dtype):
    values = torch.tensor([0, 51, 255]).view(3, 1, 1).expand(3, 4, 4)
    tensor = values.to(dtype) if dtype == torch.uint8 else (values / 255).to(dtype)
    found = PLAIN.picture(tensor)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, (values / 255).float(), rtol=0, atol=2e-3)


def test_a_tensor_of_the_right_size_passes_bit_exact():
    tensor = helpers.picture(0)
    net = helpers.network(helpers.seeded(helpers.Gap))
    picture, inputs = net.prepare(tensor)
    assert torch.equal(picture, tensor)
    assert torch.equal(inputs, (tensor - 0.5) / 0.25)
    assert torch.equal(camlib.explain(net, tensor, target=1).image, tensor)


def test_a_ready_batch_passes_as_it_is_and_comes_back_as_a_picture():
    net = helpers.network(helpers.seeded(helpers.Gap))
    tensor = helpers.picture(0)
    ready = (tensor - 0.5) / 0.25
    expected = camlib.explain(net, tensor, target=1)
    for form, normalized in ((ready[None], None), (ready, True), (tensor[None], False)):
        e = camlib.explain(net, form, target=1, normalized=normalized)
        torch.testing.assert_close(e.heatmap, expected.heatmap, rtol=0, atol=1e-6)
        torch.testing.assert_close(e.image, tensor, rtol=0, atol=1e-6)


@pytest.mark.parametrize("height_width", [(1, 1), (3, 5), (1, 400), (400, 2), (37, 900)])
@pytest.mark.filterwarnings("ignore::camlib.DegenerateMapWarning")
def test_tiny_and_wide_pictures_are_resized_to_the_network(height_width):
    net = helpers.network(helpers.seeded(helpers.Gap), size=(24, 32))
    array = np.random.default_rng(0).integers(0, 255, (*height_width, 3), dtype=np.uint8)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    for form in (array, Image.fromarray(array), tensor, tensor / 255):
        e = camlib.explain(net, form, target=1)
        assert e.heatmap.shape == (24, 32)
        assert bool(e.heatmap.isfinite().all())
        assert e.image.shape == (3, 24, 32)
        assert 0 <= float(e.image.min()) <= float(e.image.max()) <= 1


@pytest.mark.parametrize("size", [(16, 16), (100, 60), (224, 224)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_resizing_a_tensor_is_resizing_the_picture(size, interpolation):
    """torch's antialiased resize against Pillow's, up to the 8 bits that Pillow rounds to."""
    photo = camlib.load_photo("chelsea")
    preprocess = Preprocess(size, interpolation=interpolation)
    tensor = torch.from_numpy(np.array(photo)).permute(2, 0, 1)
    assert float((preprocess.picture(photo) - preprocess.picture(tensor)).abs().max()) < 2 / 255


def test_the_whole_picture_is_shown_without_cropping():
    """Left half black, right half white, 200 x 50: the same halves in the square that the network sees."""
    array = np.zeros((50, 200, 3), np.uint8)
    array[:, 100:] = 255
    seen = Preprocess((32, 32)).picture(array)
    assert float(seen[:, :, :14].max()) == 0
    assert float(seen[:, :, 18:].min()) == 1


def test_normalization_by_hand_and_back():
    preprocess = Preprocess((1, 1), (0.5, 0.25, 0.0), (0.5, 0.25, 2.0))
    picture = torch.tensor([1.0, 0.5, 0.5]).view(3, 1, 1)
    assert preprocess.normalize(picture).flatten().tolist() == [1, 1, 0.25]
    assert torch.equal(preprocess.denormalize(preprocess.normalize(picture)), picture)
    assert preprocess.denormalize(torch.full((3, 1, 1), 99.0)).flatten().tolist() == [1, 1, 1]


@pytest.mark.filterwarnings("ignore::camlib.DegenerateMapWarning")
def test_a_gray_network_gets_gray_pictures():
    module = helpers.seeded(lambda: torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(4, 5),
    ))  # fmt: skip
    net = camlib.Network(module, transform=Preprocess((16, 16), (0.5,), (0.5,)))
    e = camlib.explain(net, camlib.load_photo("chelsea"), target=0)
    assert e.image.shape == (3, 16, 16)
    assert torch.equal(e.image[0], e.image[2])
    assert e.heatmap.shape == (16, 16)


# -- files that are hard to read


def test_a_rubbish_exif_entry_is_no_reason_to_refuse_a_picture(tmp_path):
    camlib.load_photo("chelsea").save(tmp_path / "a.jpg", exif=b"Exif\0\0rubbish that is no TIFF header")
    assert to_pil(tmp_path / "a.jpg").size == camlib.load_photo("chelsea").size


def png(width: int, height: int, bits: int, color: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG file by hand: Pillow writes no tRNS entry for 16 bits."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_sixteen_bit_gray_with_a_transparent_level_is_laid_over_white(tmp_path):
    values = [257 * 40, 1000, 257 * 200]
    trns = struct.pack(">I", 2) + b"tRNS" + struct.pack(">H", 1000)
    trns += struct.pack(">I", zlib.crc32(trns[4:]))
    (tmp_path / "a.png").write_bytes(png(3, 1, 16, 0, b"\0" + struct.pack(">3H", *values), trns))
    assert np.asarray(to_pil(tmp_path / "a.png"))[0, :, 0].tolist() == [40, 255, 200]


@pytest.mark.parametrize("form", ["array", "png", "tiff"])
def test_twelve_bits_keep_their_levels(tmp_path, form):
    values = np.linspace(0, 4095, 256).round().astype(np.uint16).reshape(16, 16)
    photo = values
    if form != "array":
        photo = tmp_path / f"deep.{form}"
        Image.fromarray(values).save(photo)
    found = np.asarray(to_pil(photo))[..., 0]
    assert np.array_equal(found, np.round(values / 4095 * 255))
    assert len(np.unique(found)) == 256


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_a_picture_without_pixels_is_refused(size):
    with pytest.raises(ValueError, match=rf"The picture is empty: {size[0]} x {size[1]} pixels"):
        PLAIN.picture(Image.new("RGB", size))


@pytest.mark.parametrize(("value", "mode"), [(-0.5, "F"), (1e9, "F"), (70000.0, "F"), (-3, "I"), (70000, "I")])
def test_a_picture_out_of_every_range_is_refused(tmp_path, value, mode):
    image = Image.new(mode, (4, 4), 0)
    image.putpixel((1, 2), value)
    image.save(tmp_path / "a.tiff")
    for photo in (image, tmp_path / "a.tiff"):
        with pytest.raises(ValueError, match=r"lies in \[0,1\], \[0,255\] or \[0,65535\]; given values from"):
            PLAIN.picture(photo)


def test_a_picture_that_is_too_large_to_be_trusted(tmp_path, monkeypatch):
    Image.new("L", (100, 100)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"bomb\.png' cannot be read as a picture: .*MAX_IMAGE_PIXELS"):
        to_pil(tmp_path / "bomb.png")


@pytest.mark.parametrize("error", [SyntaxError, IndexError, struct.error, MemoryError, zlib.error, AssertionError])
def test_whatever_a_reader_raises_is_one_sentence(tmp_path, monkeypatch, error):
    def broken(*_: object) -> None:
        raise error("inside a plugin")

    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", broken)
    with pytest.raises(ValueError, match=rf"a\.png' cannot be read as a picture: {error.__name__}: inside a plugin"):
        to_pil(tmp_path / "a.png")


def test_a_picture_that_is_opened_and_not_yet_read(tmp_path):
    camlib.load_photo("chelsea").save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:2000])
    with Image.open(tmp_path / "cut.jpg") as image, pytest.raises(ValueError, match="The picture cannot be read"):
        to_pil(image)


@pytest.mark.parametrize("make", ["fifo", "socket"])
def test_a_pipe_or_a_socket_does_not_hang(tmp_path, make):
    path = tmp_path / "pipe.png"
    if make == "fifo":
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
    with pytest.raises(ValueError, match=r"pipe\.png' cannot be read as a picture: it is a pipe, socket or device"):
        to_pil(path)


@pytest.mark.parametrize("path", ["", "a\0b.png", "x" * 5000, "/dev/zero"])
def test_paths_that_name_no_picture(path):
    with pytest.raises(ValueError, match="picture"):
        to_pil(path)


def test_an_explanation_does_not_share_the_callers_memory():
    net = camlib.Network(helpers.seeded(helpers.Gap), transform=lambda photo: torch.zeros(3, 32, 32))
    ready = helpers.batch(1) / 4 + 0.5  # in [0, 1]: shown as it is
    e = camlib.explain(net, ready, target=1)
    kept = e.image.clone()
    ready.zero_()
    assert torch.equal(e.image, kept)


# -- refused


@pytest.mark.parametrize(
    ("photo", "error", "words"),
    [
        (torch.full((3, 4, 4), 1.5), ValueError, r"lies in \[0,1\]; given values from 1.5 to 1.5. Divide by 255"),
        (torch.full((3, 4, 4), -0.5), ValueError, r"given values from -0.5"),
        (torch.full((3, 4, 4), 200.0), ValueError, "Divide by 255"),
        (torch.full((3, 4, 4), float("nan")), ValueError, "NaN or Inf"),
        (torch.full((3, 4, 4), float("inf")), ValueError, "NaN or Inf"),
        (torch.zeros(1, 4, 4), ValueError, r"\[3,H,W\]; given \[1, 4, 4\].*expand"),
        (torch.zeros(4, 4, 3), ValueError, r"\[3,H,W\]; given \[4, 4, 3\]"),
        (torch.zeros(3, 0, 4), ValueError, r"given \[3, 0, 4\]"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), TypeError, "float in .* or uint8; given torch.int64"),
        (np.full((4, 4, 3), 7.0), ValueError, "Divide by 255"),
        (np.full((4, 4, 3), np.nan), ValueError, "NaN or Inf"),
        (np.zeros((3, 8, 8), np.uint8), ValueError, r"\[H,W,3\] or \[H,W,4\]; given shape \[3, 8, 8\]"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, r"given shape \[0, 4, 3\]"),
        (np.zeros((2, 4, 4, 3), np.uint8), ValueError, r"given shape \[2, 4, 4, 3\]"),
        (np.zeros((4, 4, 3), np.int32), TypeError, "uint8, uint16 or float in .*; given int32"),
        (Image.new("F", (4, 4), float("nan")), ValueError, "NaN or Inf"),
        (3, TypeError, "given int"),
        (None, TypeError, "given NoneType"),
        (b"bytes", TypeError, "given bytes"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused(photo, error, words):
    with pytest.raises(error, match=words):
        PLAIN.picture(photo)


def test_rounding_errors_at_the_ends_of_the_range_are_accepted():
    tensor = torch.tensor([-1e-7, 0.5, 1 + 1e-7]).view(3, 1, 1).expand(3, 4, 4)
    found = PLAIN.picture(tensor)
    assert (float(found.min()), float(found.max())) == (0, 1)


@pytest.mark.parametrize("content", [b"no picture at all", b"", b"\x89PNG\r\n\x1a\n broken"])
def test_a_file_that_is_no_picture(tmp_path: Path, content: bytes):
    (tmp_path / "notes.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"notes\.png' cannot be read as a picture"):
        to_pil(tmp_path / "notes.png")


def test_a_cut_off_file(tmp_path):
    camlib.load_photo("chelsea").save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"cut\.jpg' cannot be read as a picture"):
        to_pil(tmp_path / "cut.jpg")


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(ValueError, match=r"No picture at .*cat\.jpg.*list_photos"):
        to_pil(tmp_path / "cat.jpg")
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        to_pil(tmp_path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mean": (0.5,), "std": (0.5, 0.5)}, "as many values of the one as of the other"),
        ({"mean": (), "std": ()}, "as many values of the one as of the other"),
        ({"mean": "gray"}, "numbers, one a channel; given 'gray'"),
        ({"std": (0.2, 0.0, 0.2)}, "positive values for std"),
        ({"mean": (0.5, float("nan"), 0.5)}, "finite numbers"),
        ({"interpolation": "nearest"}, r"'nearest': expected one of \['bicubic', 'bilinear'\]"),
        ({"size": (0, 224)}, r"expected \(height, width\)"),
        ({"size": (224,)}, r"expected \(height, width\)"),
        ({"size": (224, 224, 3)}, r"expected \(height, width\)"),
        ({"size": 224.5}, r"expected \(height, width\)"),
        ({"size": True}, r"expected \(height, width\)"),
    ],
)
def test_preprocess_refuses_impossible_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        Preprocess(**settings)


def test_mean_and_std_of_the_255_scale_are_refused_with_those_of_pictures_in_0_1():
    with pytest.raises(
        ValueError, match=r"0\.\.255 scale.*mean=\(0\.4851, 0\.4561, 0\.4059\), std=\(0\.229, 0\.2239, 0\.2251\)"
    ):
        Preprocess(32, (123.7, 116.3, 103.5), (58.4, 57.1, 57.4))
    with pytest.raises(ValueError, match=r"mean=\(0\.0, 0\.0, 0\.0\), std=\(1\.0, 1\.0, 1\.0\)"):
        Preprocess(32, (0, 0, 0), (255, 255, 255))
    assert Preprocess(32, (0.0,) * 3, (1 / 255,) * 3).normalize(
        torch.ones(3, 1, 1)
    ).flatten().tolist() == pytest.approx([255] * 3)


def test_one_number_is_for_all_three_colors_and_numpy_is_welcome():
    assert Preprocess(32, 0.5, 0.25) == Preprocess(32, (0.5,) * 3, (0.25,) * 3)
    assert Preprocess(np.int64(32), np.full(3, 0.5), torch.full((3,), 0.25)) == Preprocess(32, 0.5, 0.25)
    assert Preprocess([np.int32(3), 4]).size == (3, 4)


def test_one_number_is_a_square():
    assert Preprocess(48).size == (48, 48)
    assert Preprocess(48).picture(torch.rand(3, 20, 30)).shape == (3, 48, 48)
