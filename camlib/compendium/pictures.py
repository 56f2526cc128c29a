"""Pictures as files: figures with photographs as WebP, plots as PNG; the same bytes for the same figure.

A palette or rounded colors would draw rings into skies and steps into color bars, so neither is used: what is too large
is an error. A figure is drawn once, and that drawing is both written and looked through for texts nobody can read.
"""

from __future__ import annotations

import io

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image

from camlib.plots import look
from camlib.plots.checking import draw

DPI = look.DPI
LARGEST = 600_000
"""Bytes of a picture at most."""
QUALITIES = (95, 92, 90)
"""Qualities of WebP that are tried in turn; photographs of 1440 pixels show no loss at any of them."""

_MANY_COLORS = 1000  # a drawn picture with more is a photograph, an overlay or a scene


def has_photographs(figure: Figure) -> bool:
    """Whether a figure shows a picture in color that no plot would: one with more than a thousand colors."""
    for image in figure.findobj(AxesImage):
        values = np.asarray(image.get_array())
        if values.ndim == 3:
            eight = values if values.dtype == np.uint8 else np.round(255 * values)
            if len(np.unique(eight.reshape(-1, values.shape[2]), axis=0)) > _MANY_COLORS:
                return True
    return False


def figure_picture(figure: Figure) -> tuple[str, bytes, list[str]]:
    """A figure at the design width: suffix of its file, bytes, and what is wrong with its texts.

    Raises ValueError for a picture over 600 KB.
    """
    drawing = draw(look.fit(figure), DPI)
    picture = Image.fromarray(drawing.pixels)
    suffix, content = (".webp", _webp(picture)) if has_photographs(figure) else (".png", _png(picture))
    if len(content) > LARGEST:
        raise ValueError(
            f"the picture takes {len(content) // 1000} KB as {suffix}, more than {LARGEST // 1000}; "
            "show fewer or smaller photographs (cell= in plots.grid and plots.show), or less noise"
        )
    return suffix, content, drawing.problems


def _webp(picture: Image.Image) -> bytes:
    """The best quality that is small enough, else the smallest."""
    for quality in QUALITIES:
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=quality, method=4)
        if buffer.tell() <= LARGEST:
            break
    return buffer.getvalue()


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True, dpi=(DPI, DPI))
    return buffer.getvalue()
