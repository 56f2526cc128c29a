"""Colors, sizes and small conversions that every drawing shares."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.textpath import TextPath

from camlib.plots.colors import COLORMAP, DIVERGING

WIDTH, DPI = 10.0, 144
"""Inches and dots an inch of every figure: 1440 pixels, shown at 720, so a point of text is one displayed pixel."""


SMALLEST, SMALL, PLAIN, LARGE = 9.0, 9.0, 10.0, 12.0
"""Points of text: the smallest allowed; notes, ticks and legends; labels and titles; the title of a figure."""


COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Series colors that color-blind readers can tell apart (Okabe and Ito)."""


BOX_COLOR = "#0050C8"
"""Boxes and marks on photographs and overlays, drawn with a white edge."""


TIMES = " \N{MULTIPLICATION SIGN} "
"""Between the sizes of a shape."""


Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels of the picture, half-open."""


def style() -> None:
    """Set the look of all figures once: legible sizes, true minus signs, no top and right spines."""
    sns.set_theme(style="ticks", font="DejaVu Sans", palette=list(COLORS))
    plt.rcParams.update(
        {
            "figure.dpi": 100,
            "figure.figsize": (WIDTH, 4.0),
            "figure.constrained_layout.use": True,
            "font.size": PLAIN,
            "axes.titlesize": PLAIN,
            "axes.labelsize": PLAIN,
            "xtick.labelsize": SMALL,
            "ytick.labelsize": SMALL,
            "legend.fontsize": SMALL,
            "legend.title_fontsize": SMALL,
            "legend.frameon": False,
            "figure.titlesize": LARGE,
            "figure.labelsize": PLAIN,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.unicode_minus": True,
            "axes.linewidth": 0.8,
            "lines.linewidth": 1.4,
            "pdf.fonttype": 42,
        }
    )


def figure(height: float) -> Figure:
    """An empty figure of the design width, ``height`` inches high, that lays itself out; take ``.subplots(…)`` of it.

    Raises ValueError for a height that is not positive.
    """
    if not height > 0:
        raise ValueError(f"height={height!r}: expected inches above 0; 7.2 of them are 518 displayed pixels.")
    return plt.figure(figsize=(WIDTH, height), layout="constrained")


def fit(made: Figure) -> Figure:
    """The figure at the design width, its height in proportion; texts keep their size. It may fit already."""
    width, height = made.get_size_inches()
    if abs(width - WIDTH) > 1e-6:
        made.set_size_inches(WIDTH, height * WIDTH / width)
    return made


def signs(text: str) -> str:
    """A text with true signs: −0.5 for -0.5, 3 × 3 for 3 x 3; hyphens between letters or behind digits stay."""
    text = re.sub(r"(?<![\w.)\]-])-(?=\.?\d)|(?<=\de)-(?=\d)", "\N{MINUS SIGN}", text)
    return re.sub(r"(?<=\d) ?x ?(?=\d)", TIMES, text)


def fixed_layout() -> PlaceHolderLayoutEngine:
    """No automatic layout, whatever the rcParams of the notebook say at drawing time."""
    return PlaceHolderLayoutEngine(adjust_compatible=True, colorbar_gridspec=True)


def scale(values: np.ndarray, limits: tuple[float, float] | None, cmap: str | None) -> tuple[Normalize, str]:
    """Color range and color map: heatmap colors from 0, diverging ones, white at 0, where the range goes below 0."""
    signed = (limits[0] if limits else values.min()) < 0
    reach = float(np.abs(values).max()) or 1.0
    low, high = limits or ((-reach, reach) if signed else (0.0, reach))
    return Normalize(low, high), cmap or (DIVERGING if signed else COLORMAP)


def ink(value: float, norm: Normalize, cmap: str) -> str:
    """Black or white, whichever is legible on the color of ``value``."""
    red, green, blue, _ = plt.get_cmap(cmap)(norm(value))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


@cache
def text_width(text: str, size: float) -> float:
    """Width in inches of the longest line."""
    font = FontProperties(family="DejaVu Sans", size=size)
    return max(
        (TextPath((0, 0), line, prop=font).get_extents().width / 72 for line in text.split("\n") if line.strip()),
        default=0.0,
    )


def text_height(text: str, size: float) -> float:
    """Height in inches of a block of lines, with a little air; 0 for no text."""
    return 0.0 if not text else (text.count("\n") + 1) * size * 1.25 / 72 + 0.06


def wrap(text: str, width: float, size: float) -> str:
    """Text broken after words and hyphens, never in a formula, into lines of ``width`` inches; given breaks stay."""
    lines: list[str] = []
    for paragraph in text.split("\n") if text else []:
        line = ""
        for gap, word in re.findall(r"(\s*)((?:\$[^$]*\$|[^\s$])+?-(?=\w)|(?:\$[^$]*\$|\S)+)", paragraph):
            longer = f"{line}{' ' if gap and line else ''}{word}"
            if line and text_width(longer, size) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return "\n".join(lines)


def clip(text: str, width: float, size: float) -> str:
    """Text shortened with an ellipsis to fit ``width`` inches."""
    if text_width(text, size) <= width:
        return text
    while len(text) > 1 and text_width(text + "…", size) > width:
        text = text[:-1].rstrip()
    return text + "…"


def aspect(content: Any) -> float:
    """Height over width of a picture, map or explanation; 1 for None."""
    if content is None:
        return 1.0
    if is_explanation(content):
        content = content.heatmap
    array = content if hasattr(content, "shape") else np.asarray(content)
    height, width = array.shape[:2] if len(array.shape) == 2 or array.shape[2] == 3 else array.shape[1:]
    return height / width


def is_explanation(content: Any) -> bool:
    """Whether something carries a heatmap and the picture it belongs to."""
    return hasattr(content, "heatmap") and hasattr(content, "image")
