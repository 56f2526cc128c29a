"""A network as a chain of blocks whose size follows the real shapes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon

from camlib.plots.look import (
    COLORS,
    EDGE,
    SMALL,
    TIMES,
    WIDTH,
    fixed_layout,
    headline,
    text_width,
)


def network_diagram(
    layers: Sequence[Any],
    title: str | None = None,
    colors: Mapping[str, str] | None = None,
) -> Figure:
    """Chain of a network's layers as blocks whose size follows their real output shapes.

    ``layers`` are (name, shape), (name, shape, kind), or objects with name, channels, height, width and
    kind, in order; a shape is (C, h, w) or (n,). Block height grows with the map, width with the
    channels. Neighbors of one kind and shape form a group, labeled with names and shape; kinds (conv,
    pool, linear, GAP, or any other word) are colored and listed in the legend. Raises ValueError for an
    empty list or another shape.
    """
    blocks = [_block(layer) for layer in layers]
    if not blocks:
        raise ValueError("layers is empty; pass the layers of a network in order, for example net.layers()")
    groups = [list(members) for _, members in itertools.groupby(blocks, lambda block: (block[2], block[1]))]
    palette = dict(_KIND_COLORS, **(colors or {}))
    spare = itertools.cycle(COLORS)
    kinds = list(dict.fromkeys(kind for _, _, kind in blocks))
    palette = {kind: palette.get(kind) or next(spare) for kind in kinds}
    scale = 1.0
    drawing = _Blocks(groups, palette, scale)
    while drawing.width > WIDTH and scale > 0.5:
        scale *= 0.95
        drawing = _Blocks(groups, palette, scale)
    room = 0.38 if title else 0.0
    figure = plt.figure(figsize=(WIDTH, drawing.height + room), layout=fixed_layout())
    ax = figure.add_axes((0, 0, 1, drawing.height / (drawing.height + room)))
    drawing.draw(ax)
    ax.legend(
        handles=[Patch(color=palette[kind], label=kind) for kind in kinds],
        loc="upper right",
        ncols=len(kinds),
    )
    headline(figure, title or "")
    return figure


_KIND_COLORS = {"conv": "#8FB7DD", "map": "#8FB7DD", "pool": "#E7A977", "linear": "#B9A2D8", "GAP": "#8CC9A1"}


def _block(layer: Any) -> tuple[str, tuple[int, ...], str]:
    """(name, shape, kind) of one layer, from a tuple or from an object with those attributes."""
    if not isinstance(layer, Sequence):
        return layer.name, (layer.channels, layer.height, layer.width), layer.kind
    name, shape = layer[0], tuple(int(size) for size in layer[1])
    if len(shape) not in (1, 3):
        raise ValueError(f"layer {name!r} has shape {shape}; expected (C, h, w) or (n,)")
    return name, shape, layer[2] if len(layer) > 2 else ("conv" if len(shape) == 3 else "linear")


class _Blocks:
    """Cuboids of all layers, placed from left to right in inches, with the labels of their groups below."""

    tallest = 2.1

    def __init__(
        self, groups: list[list[tuple[str, tuple[int, ...], str]]], palette: Mapping[str, str], scale: float
    ) -> None:
        self.scale = scale
        self.palette, self.cuboids, self.labels, self.leaders, texts = palette, [], [], [], []
        sides = [shape[1] for group in groups for _, shape, _ in group if len(shape) == 3]
        sizes = [[self._size(shape, max(sides, default=1)) for _, shape, _ in group] for group in groups]
        natural = sum(sum(size[0] + 0.05 for size in row) + row[-1][2] * 0.75 for row in sizes)
        ends = [text_width(self._text(groups[k]), SMALL) / 2 for k in (0, -1)]
        gap = float(np.clip((WIDTH - natural - sum(ends) - 0.4) / len(groups), 0.08, 0.6))
        x = max(0.15, ends[0])
        for group, row in zip(groups, sizes, strict=True):
            start = x
            for (_, _, kind), (wide, high, deep) in zip(group, row, strict=True):
                self.cuboids.append((x, -high * 0.55, wide, high, deep, kind))
                x += wide + 0.05
            texts.append(((start + x - 0.05) / 2, -row[0][1] * 0.55, self._text(group)))
            x += row[-1][2] * 0.75 + gap
        self._place_labels(texts)
        self.width = max(x - gap, max(right for _, right, _, _, _ in self.labels)) + 0.2
        self.bottom = min(top for _, _, top, _, _ in self.labels) - 0.45
        self.top = max(y + high + deep * 0.6 for _, y, _, high, deep, _ in self.cuboids) + 0.4
        self.height = self.top - self.bottom

    def _place_labels(self, texts: list[tuple[float, float, str]]) -> None:
        """Labels (middle, bottom of its blocks, text) on as few common rows as keep them apart, from left to right."""
        first = min(bottom for _, bottom, _ in texts) - 0.14
        ends: list[float] = []
        for middle, bottom, text in texts:
            half = text_width(text, SMALL) / 2 + 0.05
            row = next((row for row, end in enumerate(ends) if middle - half >= end), len(ends))
            ends[row : row + 1] = [middle + half]
            self.labels.append((middle - half, middle + half, first - 0.42 * row, middle, text))
            self.leaders.append((middle, bottom - 0.03, first - 0.42 * row))

    def _size(self, shape: tuple[int, ...], largest: int) -> tuple[float, float, float]:
        """Width, height and depth in inches: logarithm of the channels, square root of the side."""
        if len(shape) == 1 or shape[1] == shape[2] == 1:
            return 0.12, float(self.scale * self.tallest * 0.05 * np.log2(shape[0] + 1)), 0.05
        height = self.scale * self.tallest * np.sqrt(shape[1] / largest)
        return float(self.scale * 0.035 * np.log2(shape[0] + 1)), float(height), float(height * 0.32)

    @staticmethod
    def _text(group: list[tuple[str, tuple[int, ...], str]]) -> str:
        """Names and shape of a group."""
        names = _named(group[0][0], group[-1][0])
        channels, *size = group[0][1]
        return f"{names}\n{TIMES.join(map(str, (*size, channels)))}"

    def draw(self, ax: Axes) -> None:
        """Draw everything on an axes measured in inches."""
        for *box, kind in self.cuboids:
            _cuboid(ax, *box, self.palette[kind])
        for middle, bottom, top in self.leaders:
            ax.plot([middle, middle], [bottom, top], color=EDGE, linewidth=0.8, zorder=0)
        for _, _, top, middle, text in self.labels:
            ax.text(middle, top, text, ha="center", va="top", fontsize=SMALL, linespacing=1.2)
        spare = (WIDTH - self.width) / 2
        ax.set(xlim=(-spare, self.width + spare), ylim=(self.bottom, self.top), aspect="equal")
        ax.axis("off")


def _named(first: str, last: str) -> str:
    """A layer, or a range of them: "conv 1–2" for names that differ by a number behind a space, else "a … b"."""
    (word, _, number), (other, _, end) = first.rpartition(" "), last.rpartition(" ")
    if first == last:
        return first
    return f"{first}–{end}" if word and word == other and number.isdigit() and end.isdigit() else f"{first} … {last}"


def _cuboid(ax: Axes, x: float, y: float, width: float, height: float, depth: float, color: str) -> None:
    """Box with a front, a top and a right face."""
    dx, dy = depth * 0.75, depth * 0.6
    base = np.array(to_rgb(color))
    faces = {
        0.0: [(x, y), (x + width, y), (x + width, y + height), (x, y + height)],
        0.25: [
            (x, y + height),
            (x + width, y + height),
            (x + width + dx, y + height + dy),
            (x + dx, y + height + dy),
        ],
        -0.18: [
            (x + width, y),
            (x + width + dx, y + dy),
            (x + width + dx, y + height + dy),
            (x + width, y + height),
        ],
    }
    for shade, corners in faces.items():
        tone = base + (1 - base) * shade if shade >= 0 else base * (1 + shade)
        ax.add_patch(Polygon(corners, closed=True, fc=tone, ec="white", lw=0.6))
