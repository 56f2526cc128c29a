"""PNG files small enough for a repository: exact where that fits, else with fewer colors, never with wrong ones."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

LEVELS = (64, 32, 24)
"""Levels a color of photographs and heatmaps; half a step of the coarsest is 5.5 of 255."""
_MANY_COLORS = 2**16  # a picture with more is no chart
_LARGEST_GAIN = 1.08  # the best compression, ten times slower, takes a few percent off a quick one


def compact(data: bytes, limit: int, dpi: int | None = None) -> bytes:
    """The picture as a PNG without transparency and metadata, with fewer colors where it would exceed ``limit`` bytes.

    Charts, whose colors a palette of 256 can hold, get that palette. Photographs and heatmaps, whose hues a palette
    would falsify, have each color rounded to the levels of :data:`LEVELS` in turn. The last one may still exceed
    ``limit``. The same bytes give the same result, and a result gives itself.
    """
    with Image.open(io.BytesIO(data)) as picture:
        if picture.mode == "P":
            return data
        exact = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA")).convert("RGB")
    if len(data) > limit and _is_coarse(exact):
        return _written(exact, dpi)
    if (written := _within(exact, limit, dpi, likely=len(data) <= limit)) is not None:
        return written
    if exact.getcolors(_MANY_COLORS) and _is_faithful(palette := exact.quantize(256), exact):
        return _written(palette, dpi)
    for levels in LEVELS:
        table = [_rounded(value, levels) for value in range(256)]
        rounded = exact.point(table * 3)
        if (written := _within(rounded, limit, dpi)) is not None:
            return written
    return _written(rounded, dpi)


def _is_coarse(picture: Image.Image) -> bool:
    """Whether it has the coarsest levels already, as the result of an earlier call, and more colors than a chart."""
    known = {_rounded(value, LEVELS[-1]) for value in range(256)}
    used = {place % 256 for place, count in enumerate(picture.histogram()) if count}
    return used <= known and picture.getcolors(256) is None


def _within(picture: Image.Image, limit: int, dpi: int | None, likely: bool = False) -> bytes | None:
    """The picture as a PNG of at most ``limit`` bytes, or None; unless ``likely``, a quick look says what cannot be."""
    if not likely:
        quick = io.BytesIO()
        picture.save(quick, "PNG", compress_level=6)
        if quick.tell() > _LARGEST_GAIN * limit:
            return None
    written = _written(picture, dpi)
    return written if len(written) <= limit else None


def _is_faithful(palette: Image.Image, exact: Image.Image) -> bool:
    """At most one pixel in a hundred is off by more than 8 of 255."""
    difference = np.abs(np.asarray(palette.convert("RGB"), dtype=int) - np.asarray(exact, dtype=int)).max(axis=2)
    return float((difference > 8).mean()) <= 0.01


def _rounded(value: int, levels: int) -> int:
    """The nearest of ``levels`` values from 0 to 255."""
    return round(round(value / 255 * (levels - 1)) * 255 / (levels - 1))


def _written(picture: Image.Image, dpi: int | None) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True, **({"dpi": (dpi, dpi)} if dpi else {}))
    return buffer.getvalue()
