"""A slider without a kernel: frames made beforehand, one of which is seen, chosen by radio buttons and a little CSS.

It works wherever HTML with a style sheet is shown: JupyterLab, the book, nbviewer, a saved page. Where styles are
stripped, as on GitHub, the frames stand beside each other as a strip. The same frames give the same bytes.
"""

from __future__ import annotations

import hashlib
import html
import io
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from camlib.plots.arrays import rgb

LARGEST = 300_000
"""Bytes of all frames of a slider together; a notebook stays under 1.5 MB."""
PIXELS = 1080
"""Pixels of a frame's width at most; it is shown 720 wide."""
SHOWN = 720
_QUALITY = 85
_STRIP = 230

_STYLE = """\
#{id}{{max-width:{shown}px;position:relative;font-family:sans-serif;font-size:13px;line-height:1.4}}
#{id} input{{position:absolute;opacity:0;width:1px;height:1px;margin:0}}
#{id} label{{display:inline-block;margin:0 4px 4px 0;padding:2px 9px;border:1px solid #8a8a8a;border-radius:11px;\
cursor:pointer}}
#{id} input:checked+label{{background:#0072B2;border-color:#0072B2;color:#fff}}
#{id} input:focus-visible+label{{outline:2px solid #D55E00;outline-offset:1px}}
#{id} .frames{{background:#fff;margin:4px 0}}
#{id} .frames img{{display:none;width:100%;height:auto;margin:0;max-width:100%}}
"""
_CHOSEN = "#{id} input:nth-of-type({n}):checked~.frames img:nth-of-type({n}){{display:block}}\n"


@dataclass(frozen=True)
class Slider:
    """Frames, labels and a caption that a notebook shows as HTML; see :func:`slider`.

    Attributes:
        frames: WebP files.
        labels: one a frame, plain text.
        caption: plain text under the frames, may be empty.
        start: number of the frame that is seen first.
        shown: width in CSS pixels at most.
    """

    frames: tuple[bytes, ...]
    labels: tuple[str, ...]
    caption: str
    start: int
    shown: int

    def __repr__(self) -> str:
        return f"Slider of {len(self.frames)} frames ({', '.join(self.labels)}): {self.caption}"

    def _repr_html_(self) -> str:
        name = "camlib-slider-" + self.digest()
        style = _STYLE.format(id=name, shown=self.shown)
        style += "".join(_CHOSEN.format(id=name, n=k + 1) for k in range(len(self.frames)))
        buttons, pictures = [], []
        for k, (frame, label) in enumerate(zip(self.frames, self.labels, strict=True)):
            text, on = html.escape(label), " checked" if k == self.start else ""
            buttons.append(
                f'<input type="radio" name="{name}" id="{name}-{k}"{on}><label for="{name}-{k}">{text}</label>'
            )
            source = "data:image/webp;base64," + b64encode(frame).decode()
            alt = html.escape(f"{self.caption} {label}".strip())
            pictures.append(f'<img width="{_STRIP}" alt="{alt}" title="{text}" src="{source}">')
        under = f"<p>{html.escape(self.caption)}</p>" if self.caption else ""
        inside = "\n".join(buttons) + '\n<div class="frames">' + "\n".join(pictures) + f"</div>\n{under}"
        return f'<div class="camlib-slider" id="{name}" role="group">\n<style>\n{style}</style>\n{inside}\n</div>'

    def digest(self) -> str:
        """Twelve hex digits that tell sliders of a page apart and are the same on every run."""
        parts = [*self.frames, *(text.encode() for text in (*self.labels, self.caption)), bytes([self.start])]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def slider(
    frames: Sequence[Any],
    labels: Sequence[Any],
    caption: str = "",
    *,
    start: int = 0,
    width: int = SHOWN,
) -> Slider:
    """A static slider over pictures; the last line of a cell shows it.

    Tag its cell ``nbval-ignore-output``: another processor may round a pixel differently, and its HTML holds pixels.

    Args:
        frames: at least two matplotlib figures (closed here), PIL pictures, or arrays [H, W, 3] or [3, H, W], floats in
            [0, 1] or 8-bit, such as overlays; of one shape. Those wider than 1080 pixels are made smaller.
        labels: one a frame, written on its button; everything becomes text.
        caption: a sentence or two under it: what moves, and what to see.
        start: number of the frame that is seen first.
        width: CSS pixels that a frame takes at most.

    Raises ValueError for too few frames, another number of labels, frames of several shapes, a start or a width that
    does not exist, or frames of more than 300 KB together.
    """
    names = tuple(str(label) for label in labels)
    if len(frames) < 2 or len(names) != len(frames):
        raise ValueError(
            f"{len(frames)} frames and {len(names)} labels: expected as many labels as frames, at least 2."
        )
    if not 0 <= start < len(frames) or not 64 <= width <= 2 * SHOWN:
        raise ValueError(f"start={start}, width={width}: expected a frame's number and 64 to {2 * SHOWN} pixels.")
    pictures = [_picture(frame) for frame in frames]
    if len(sizes := {picture.size for picture in pictures}) > 1:
        raise ValueError(f"Frames of several sizes, {sorted(sizes)}: a slider would jump; expected one size.")
    coded = tuple(_webp(picture) for picture in pictures)
    if (total := sum(map(len, coded))) > LARGEST:
        raise ValueError(
            f"{len(coded)} frames of {total:,} bytes together; expected {LARGEST:,}: fewer or smaller ones."
        )
    return Slider(coded, names, caption, start, width)


def _picture(frame: Any) -> Image.Image:
    """A frame as an RGB picture, at most :data:`PIXELS` wide."""
    if isinstance(frame, Figure):
        buffer = io.BytesIO()
        frame.savefig(
            buffer, format="png", dpi=PIXELS / frame.get_size_inches()[0], facecolor="white", bbox_inches=None
        )
        plt.close(frame)
        picture = Image.open(buffer).convert("RGB")
    else:
        picture = Image.fromarray(np.round(255 * np.asarray(rgb(frame))).clip(0, 255).astype(np.uint8))
    if picture.width > PIXELS:
        height = round(picture.height * PIXELS / picture.width)
        picture = picture.resize((PIXELS, height), Image.Resampling.LANCZOS)
    return picture


def _webp(picture: Image.Image) -> bytes:
    """The smaller of a lossless and a lossy WebP file: plots are small without loss, photographs with it."""
    files = []
    for options in ({"lossless": True}, {"quality": _QUALITY}):
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", method=6, **options)
        files.append(buffer.getvalue())
    return min(files, key=len)
