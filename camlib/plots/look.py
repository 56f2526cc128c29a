"""Colors, sizes and small conversions that every drawing shares."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.textpath import TextPath

from camlib.plots.colors import COLORMAP, DIVERGING

WIDTH, DPI = 10.0, 144
"""Inches and dots an inch of every figure: 1440 pixels, shown at 720, so a point of text is one displayed pixel."""


SMALLEST, SMALL, PLAIN, LARGE = 9.0, 9.0, 10.0, 13.0
"""Points of text: the smallest allowed; notes, ticks and legends; labels and titles; the headline of a figure."""


FONTS = ("Inter", "DejaVu Sans")
"""Families of all texts: the first lies in ``fonts/`` under its license, OFL.txt; the second has the rarer signs."""


QUIET, GRID, EDGE = "#5F5F5F", "#E8E8E8", "#B0B0B0"
"""Grays: of notes, of the lines of a grid, of axes."""


MARGIN = 0.06
"""Inches between the edge of a figure and what is in it."""


COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Series colors that color-blind readers can tell apart (Okabe and Ito)."""


BOX_COLOR = "#0050C8"
"""Boxes and marks on photographs and overlays, drawn with a white edge."""


TIMES = " \N{MULTIPLICATION SIGN} "
"""Between the sizes of a shape."""


Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels of the picture, half-open."""


_TICKS = {"color": EDGE, "labelcolor": "#333333", "major.size": 3.0, "minor.size": 0.0, "major.width": 0.8}


def _add_fonts() -> None:
    """Make the fonts beside this file known to matplotlib."""
    for path in sorted(Path(__file__).with_name("fonts").glob("*.ttf")):
        fontManager.addfont(path)


_add_fonts()


def style() -> None:
    """Set the look of all figures once: one font, legible sizes, true minus signs, thin lines, no boxes."""
    sns.set_theme(style="ticks", palette=list(COLORS))
    plt.rcParams.update(
        {
            "figure.dpi": 100,
            "figure.figsize": (WIDTH, 4.0),
            "figure.constrained_layout.use": True,
            "font.family": list(FONTS),
            "font.size": PLAIN,
            "mathtext.fontset": "custom",
            **{f"mathtext.{kind}": "Inter" for kind in ("rm", "sf", "tt", "cal")},
            "mathtext.it": "Inter:italic",
            "mathtext.bf": "Inter:bold",
            "mathtext.bfit": "Inter:bold",
            "mathtext.fallback": "stixsans",
            "axes.titlesize": PLAIN,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.edgecolor": EDGE,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": GRID,
            "grid.linewidth": 0.7,
            **{f"{axis}tick.{key}": value for axis in "xy" for key, value in _TICKS.items()},
            "axes.labelsize": PLAIN,
            "xtick.labelsize": SMALL,
            "ytick.labelsize": SMALL,
            "legend.fontsize": SMALL,
            "legend.title_fontsize": SMALL,
            "legend.frameon": False,
            "figure.titlesize": LARGE,
            "figure.titleweight": "bold",
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
    """The figure at the design width, its height in proportion, its title a headline; texts keep their size."""
    width, height = made.get_size_inches()
    if abs(width - WIDTH) > 1e-6:
        made.set_size_inches(WIDTH, height * WIDTH / width)
    if made.get_suptitle() and made.texts:
        title = next(text for text in made.texts if text.get_text() == made.get_suptitle())
        title.set(x=MARGIN / WIDTH, ha="left", fontweight="bold", fontsize=LARGE)
        title.set_text(wrap(title.get_text(), WIDTH - 2 * MARGIN, LARGE, "bold"))
    return made


def headline(made: Figure, text: str, note: str = "") -> None:
    """The finding, bold at the upper left of a figure, and under it, in gray, what a reader must know to see it.

    Figures with a constrained layout leave room for both.
    """
    if not text:
        return
    room, height = WIDTH - 2 * MARGIN, made.get_size_inches()[1]
    head, note = wrap(text, room, LARGE, "bold"), wrap(note, room, PLAIN)
    place = {"x": MARGIN / WIDTH, "ha": "left", "va": "top"}
    blank = "\n " * (note.count("\n") + 1) if note else ""
    free = isinstance(made.get_layout_engine(), PlaceHolderLayoutEngine)
    fixed = {"y": 1 - MARGIN / height} if free else {}  # a layout of its own finds the height itself
    made.suptitle(head + blank, fontsize=LARGE, fontweight="bold", **place, **fixed)
    if note:
        level = 1 - (MARGIN + text_height(head, LARGE) - 0.03) / height
        made.text(y=level, s=note, fontsize=PLAIN, color=QUIET, **place)


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


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Width in inches of the longest line, in the font that figures have now."""
    return _text_width(text, size, weight, tuple(plt.rcParams["font.family"]))


@cache
def _text_width(text: str, size: float, weight: str, family: tuple[str, ...]) -> float:
    font = FontProperties(family=list(family), size=size, weight=weight)
    return max(
        (TextPath((0, 0), line, prop=font).get_extents().width / 72 for line in text.split("\n") if line.strip()),
        default=0.0,
    )


def text_height(text: str, size: float) -> float:
    """Height in inches of a block of lines, with a little air; 0 for no text."""
    return 0.0 if not text else (text.count("\n") + 1) * size * 1.25 / 72 + 0.06


def wrap(text: str, width: float, size: float, weight: str = "normal") -> str:
    """Text broken after words and hyphens, never in a formula, into lines of ``width`` inches; given breaks stay."""
    lines: list[str] = []
    for paragraph in text.split("\n") if text else []:
        line = ""
        for gap, word in re.findall(r"(\s*)((?:\$[^$]*\$|[^\s$])+?-(?=\w)|(?:\$[^$]*\$|\S)+)", paragraph):
            longer = f"{line}{' ' if gap and line else ''}{word}"
            if line and text_width(longer, size, weight) > width:
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
