"""Weighted sums, channel by channel: a few feature maps, the weights of each method, and the map that results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from camlib.plots.arrays import array
from camlib.plots.bodies import SIGN_COLORS, draw_stage
from camlib.plots.look import LARGE, MARGIN, PLAIN, SMALL, WIDTH, fixed_layout, headline, signs, text_height, wrap
from camlib.plots.stages import Place, Stage

_SIGN_WORDS = "Red: positive, for the class; blue: negative, against it."
_PALE, _WARM = "#F5F5F1", "#FBE9DF"


def sum_table(maps: Any, rows: Mapping[str, Mapping[str, Any]], title: str, note: str = "", strong: str = "") -> Figure:
    """One sum, several weights: the same few feature maps on top, below them a row of weights a method, and its map.

    Args:
        maps: [n, h, w], the feature maps that are drawn.
        rows: label -> {"weights": [n], "most": the size of a weight that fills its bar, "map": [h, w], "overlay"}.
        title, note: the headline, and what stands in gray under it, before the words for the colors.
        strong: label of the row that stands on a warm band.

    Raises ValueError for maps that are not [n, h, w] or a row with another number of weights.
    """
    maps = array(maps)
    wrong = [label for label, row in rows.items() if maps.ndim != 3 or len(row["weights"]) != len(maps)]
    if maps.ndim != 3 or wrong:
        raise ValueError(f"maps have shape {maps.shape}; expected [n, h, w], and n weights in the rows {wrong}")
    note = f"{note} {_SIGN_WORDS}".strip()
    ratio, left, wide, gap, result = maps.shape[1] / maps.shape[2], 1.2, 0.76, 0.26, 1.98
    first, small = _top(title, note) + 0.28, wide * min(ratio, 1.0)
    start, high = first + small + 0.12, result * ratio + 0.22
    page = _Page(start + high * len(rows) + MARGIN, title, note)
    xs = [left + wide / 2 + k * (wide + gap) for k in range(len(maps))]
    ends = [WIDTH - 0.2 - result * 1.5 - 0.1, WIDTH - 0.2 - result / 2]
    page.text(left - 0.05, first + small / 2, "feature\nmaps", ha="right")
    for k, (x, one) in enumerate(zip(xs, maps, strict=True)):
        page.put(Stage("", one, "map", limits=(0, float(maps.max()))), x, first + small / 2, small / ratio, small)
        page.text(x, first - 0.13, f"$M_{k + 1}$")
    for x, text in zip(ends, ["weighted sum $H$", "on the photograph"], strict=True):
        page.text(x, start - 0.12, text, weight="bold")
    for number, (label, row) in enumerate(rows.items()):
        y = start + (number + 0.5) * high
        page.band(y - high / 2 + 0.03, high - 0.06, _WARM if label == strong else _PALE)
        page.text(0.18, y, label, ha="left", weight="bold")
        for k, x in enumerate(xs):
            page.bar(x, y, wide, float(row["weights"][k]) / row["most"])
            page.text(x + (wide + gap) / 2, y, "+", LARGE)
        page.text((xs[-1] + wide / 2 + gap + ends[0] - result / 2) / 2, y, "…  =", LARGE)
        for x, stage in zip(ends, [Stage("", row["map"], "map"), Stage("", row["overlay"], "image")], strict=True):
            page.put(stage, x, y, result, result * ratio)
    return page.done()


def product_rows(blocks: Sequence[Mapping[str, Any]], title: str, note: str = "") -> Figure:
    """How a weight is a gradient times its sum, followed channel by channel, for several layers below each other.

    Args:
        blocks: each {"label", "picture", "overlay", "maps": [n, h, w], "gradients": [n, h, w], "weights": [n, h, w],
            "found": words under the weights}, with n channels from top to bottom.
        title, note: the headline, and what stands in gray under it, before the words for the colors.

    Gradients and weights have diverging colors, alike on both sides of 0, a range each. Raises ValueError for weights
    that are not the gradients times their sums.
    """
    note = f"{note} {_SIGN_WORDS}".strip()
    top, step = _top(title, note), 0.6
    heights = [0.85 + step * len(block["maps"]) for block in blocks]
    page = _Page(top + sum(heights) + 0.08 * len(blocks), title, note)
    for block, high in zip(blocks, heights, strict=True):
        page.band(top, high, _PALE)
        _product_block(page, block, top, step)
        top += high + 0.08
    return page.done()


def _product_block(page: _Page, block: Mapping[str, Any], top: float, step: float) -> None:
    """The picture, n rows of gradient, its sum, their product and the map, and the overlay that they add up to."""
    maps, spatial, weights = (array(block[name]) for name in ("maps", "gradients", "weights"))
    channel = spatial.sum(axis=(1, 2))
    if not np.allclose(spatial * channel[:, None, None], weights, rtol=1e-3, atol=1e-4 * np.abs(weights).max()):
        raise ValueError(f"block {block['label']!r}: the weights are not the gradients times their sums")
    side, first, count = step - 0.08, top + 0.5, len(maps)
    middle, big = first + step * count / 2, step * count - 0.08
    xs = {"label": 0.2 + big / 2, "g": big + 0.95, "Σ": big + 2.1, "w": big + 3.25, "M": big + 4.15}
    xs["end"] = WIDTH - 0.2 - big / 2
    heads = {"label": block["label"], "g": "gradient $g$", "Σ": "its sum $\\Sigma g$", "w": "weight", "M": "map $M$"}
    for name, text in (heads | {"end": "SCA-CAM"}).items():
        page.text(xs[name], first - 0.14, text, weight="bold" if name in ("label", "w", "end") else "normal")
    page.put(Stage("", block["picture"], "image"), xs["label"], middle, big, big)
    page.put(Stage("", block["overlay"], "image"), xs["end"], middle, big, big)
    for k in range(count):
        y = first + (k + 0.5) * step
        for name, values in (("g", spatial[k]), ("w", weights[k])):
            reach = float(np.abs(values).max()) or 1.0
            page.put(Stage("", values, "map", limits=(-reach, reach)), xs[name], y, side, side)
        page.put(Stage("", maps[k], "map", limits=(0, float(maps[k].max()))), xs["M"], y, side, side)
        page.bar(xs["Σ"], y, 0.9, float(channel[k] / np.abs(channel).max()))
        for sign, x in (("×", xs["Σ"] - 0.65), ("=", xs["Σ"] + 0.67), ("·", (xs["w"] + xs["M"]) / 2)):
            page.text(x, y, sign, LARGE)
    page.text((xs["g"] + xs["w"]) / 2, first + count * step + 0.16, signs(block["found"]), weight="bold")
    page.arrow(xs["label"] + big / 2 + 0.06, xs["g"] - side / 2 - 0.06, middle)
    page.arrow(xs["M"] + side / 2 + 0.06, xs["end"] - big / 2 - 0.06, middle, "add up all")


def _top(title: str, note: str) -> float:
    """Inches that headline and note take."""
    room = WIDTH - 2 * MARGIN
    head = text_height(wrap(title, room, LARGE, "bold"), LARGE)
    return MARGIN + head + text_height(wrap(note, room, PLAIN), PLAIN) + 0.06


class _Page:
    """A figure of the design width with one axes over all of it; places are inches from its upper left."""

    def __init__(self, height: float, title: str, note: str) -> None:
        self.height, self.figure = height, plt.figure(figsize=(WIDTH, height), layout=fixed_layout())
        self.ax = self.figure.add_axes((0, 0, 1, 1))
        headline(self.figure, title, note)

    def put(self, stage: Stage, x: float, y: float, width: float, height: float) -> None:
        """The body of a stage around a point."""
        draw_stage(self.ax, stage, Place(0, 0, width, height, "", "", x, self.height - y))

    def text(self, x: float, y: float, text: str, size: float = PLAIN, **look: Any) -> None:
        """A text around a point, unless the look says otherwise."""
        self.ax.text(x, self.height - y, text, fontsize=size, **{"ha": "center", "va": "center", **look})

    def band(self, top: float, height: float, color: str) -> None:
        """A pale band over the width."""
        look = {"boxstyle": "round,pad=0,rounding_size=0.06", "fc": color, "ec": "none", "zorder": 0}
        corner = (MARGIN, self.height - top - height)
        self.ax.add_patch(FancyBboxPatch(corner, WIDTH - 2 * MARGIN, height, **look))

    def bar(self, x: float, y: float, width: float, share: float) -> None:
        """A level bar for a share in [−1, 1], zero in its middle."""
        y = self.height - y
        self.ax.add_patch(Rectangle((x - width / 2, y - 0.13), width, 0.26, fc="#E4E4E0", lw=0))
        color = SIGN_COLORS[int(share < 0)]
        self.ax.add_patch(Rectangle((x, y - 0.13), share * width / 2, 0.26, fc=color, lw=0))
        self.ax.plot([x, x], [y - 0.18, y + 0.18], color="0.3", lw=0.9)

    def arrow(self, start: float, end: float, y: float, label: str = "") -> None:
        """A level arrow, its label above it."""
        place = {"xy": (end, self.height - y), "xytext": (start, self.height - y)}
        self.ax.annotate("", **place, arrowprops={"arrowstyle": "-|>", "color": "0.25", "lw": 1.3})
        self.text((start + end) / 2, y - 0.06, label, SMALL, va="bottom", linespacing=1.1)

    def done(self) -> Figure:
        """The figure, its axes as large as the page."""
        self.ax.set(xlim=(0, WIDTH), ylim=(0, self.height), aspect="auto")
        self.ax.set_axis_off()
        return self.figure
