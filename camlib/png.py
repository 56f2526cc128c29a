"""PNG files small enough for a repository: exact where that fits, else 256 dithered colors."""

from __future__ import annotations

import io

from PIL import Image


def compact(data: bytes, limit: int, dpi: int | None = None) -> bytes:
    """The picture as a PNG without transparency and metadata; with a palette where it would exceed ``limit`` bytes.

    The palette holds black, white and the 254 best colors of the picture itself and is dithered, which keeps
    photographs smooth and paper white. The result may still exceed ``limit``. The same bytes give the same result,
    and a result gives itself.
    """
    with Image.open(io.BytesIO(data)) as picture:
        if picture.mode == "P":
            return data
        exact = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA")).convert("RGB")
    written = _written(exact, dpi)
    if len(written) <= limit:
        return written
    palette = Image.new("P", (1, 1))
    palette.putpalette([*(exact.quantize(254).getpalette() or [])[: 254 * 3], 0, 0, 0, 255, 255, 255])
    return _written(exact.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG), dpi)


def _written(picture: Image.Image, dpi: int | None) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True, **({"dpi": (dpi, dpi)} if dpi else {}))
    return buffer.getvalue()
