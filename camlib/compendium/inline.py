"""Pictures inside notebooks: small enough for a repository, and never with fewer colors."""

from __future__ import annotations

import io

from PIL import Image

LARGEST = 100_000
"""Bytes of a PNG before it becomes a JPEG; a notebook stays under 1.5 MB."""
WIDTH = 720
"""Pixels of such a JPEG at most: the width at which figures are shown."""


def inline_picture(png: bytes) -> tuple[str, bytes]:
    """A picture of a notebook and its MIME type: a small PNG as it is, a large one as JPEG at most 720 pixels wide."""
    if len(png) <= LARGEST:
        return "image/png", png
    with Image.open(io.BytesIO(png)) as opened:
        rgba = opened.convert("RGBA")
    picture = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88, subsampling=0, optimize=True)
    return "image/jpeg", buffer.getvalue()
