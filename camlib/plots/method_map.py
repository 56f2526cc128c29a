"""A map of the methods: what happens to the sign of the evidence, what a map costs, and "you are here"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from camlib.plots.look import WIDTH, fixed_layout, text_width
from camlib.plots.methods import method_style
from camlib.registry import METHODS, Method, find_method

FATES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sign kept": ("signed",),
        "rectified": ("rectified",),
        "no sign": ("squared", "absolute", "shifted", "positive by construction"),
        "softmax": ("softmax",),
        "no evidence": ("none",),
    }
)
"""Columns of the map: what happens to the sign, as keys of :data:`camlib.registry.SIGNS`."""

COSTS: Mapping[str, float] = MappingProxyType(
    {
        "one pass": 1,
        "a few passes\n(gradients)": 6,
        "dozens to\nhundreds": 1000,
        "a pass for\neach channel": float("inf"),
    }
)
"""Rows of the map: the largest number of passes in each, for 1280 channels of 7 × 7 positions."""

SHORT: Mapping[str, str] = MappingProxyType(
    {
        "feature-map": "ΣM (all 1)",
        "smooth-grad-cam++": "Smooth Grad++",
        "score-cam-cic": "Score increase",
        "score-cam-raw": "Score logits",
        "score-cam-binary": "Score binary",
        "score-cam-softmax": "Score softmax",
    }
)
"""Names that are too long for their place."""

_TEXT, _HEAD, _LINE = 11.5, 12.0, 0.225
_LEFT, _TOP, _BOTTOM = 1.22, 0.96, 0.36
_GROUNDS = ("#E3EEF7", "#EEF1EA", "#F7EFE3", "#F7E8DC", "#EFE4E2")
_HERE = "#FFD84D"


def passes_of(passes: str, channels: int = 1280, positions: int = 49) -> int:
    """Passes through the network, forward and backward and masked, of a :attr:`camlib.registry.Method.passes`.

    "1 forward + 2K masked" is 1 + 2K. Raises ValueError for words that are not of this kind.
    """
    sum_, *given = passes.split(", ")
    values = {"K": channels, "hw": positions} | dict(_value(text) for text in given)
    total = 0
    for term in re.split(r" \+ (?![^(]*\))", sum_):
        found = re.fullmatch(r"(\d*)([A-Za-z]*)(?:\+(\d+))? (\(forward \+ backward\)|[a-z]+)", term)
        if not found or (found[2] and found[2] not in values):
            raise ValueError(f"passes={passes!r}: expected terms such as '1 forward' or '2K masked', given {term!r}.")
        number = int(found[1] or 1) * (values[found[2]] if found[2] else 1) + int(found[3] or 0)
        total += number * (2 if "(" in found[4] else 1)
    return total


def _value(text: str) -> tuple[str, int]:
    name, _, number = text.partition(" = ")
    return name, int(number)


def place(method: Method) -> tuple[str, str] | None:
    """(fate of the sign, cost) of a method, keys of :data:`FATES` and :data:`COSTS`; None where it has no place.

    No place: pixel methods, and methods of the reader's that do not say what happens to the sign or what they cost.
    """
    if method.makes == "pixels" or not method.sign:
        return None
    fate = next(name for name, signs in FATES.items() if method.sign in signs)
    try:
        passes = passes_of(method.passes)
    except ValueError:
        return None
    return fate, next(name for name, most in COSTS.items() if passes <= most)


def method_map(here: Iterable[str] | str = (), columns: int = 2) -> Figure:
    """The map of all class activation maps of the registry, 10 in wide; the methods of ``here`` carry a mark.

    Args:
        here: names of methods, the subject of what the reader reads.
        columns: names side by side in the column of methods that keep the sign, which are the most.

    Raises ValueError for an unknown method and for one that has no place on the map (:func:`place`).
    """
    marked = {here} if isinstance(here, str) else set(here)
    if homeless := sorted(name for name in marked if place(find_method(name)) is None):
        raise ValueError(f"{homeless} have no place on the map: it shows weighted sums whose sign and passes are said.")
    cells: dict[tuple[str, str], list[Method]] = {}
    for method in METHODS.values():
        if (where := place(method)) is not None:
            cells.setdefault(where, []).append(method)
    across = {fate: columns if number == 0 else 1 for number, fate in enumerate(FATES)}
    lines = {
        cost: max([2, *(-(-len(cells.get((fate, cost), ())) // n) for fate, n in across.items())]) for cost in COSTS
    }
    height = _TOP + _BOTTOM + sum(lines.values()) * _LINE + 0.1 * len(lines)
    made = plt.figure(figsize=(WIDTH, height), layout=fixed_layout())
    ax = made.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(height, 0))
    ax.set_axis_off()
    _heads(ax, across)
    _rows(ax, across, lines, cells, marked)
    _legend(ax, height - _BOTTOM / 2, bool(marked))
    return made


def _edges(across: Mapping[str, int]) -> list[tuple[float, float]]:
    """Left edge and width of each column, in inches."""
    wide = dict.fromkeys(across, 0.6)
    for method in METHODS.values():
        if (where := place(method)) is not None:
            wide[where[0]] = max(wide[where[0]], text_width(_label(method), _TEXT))
    shares = {fate: number * (wide[fate] + 0.3) for fate, number in across.items()}
    unit = (WIDTH - _LEFT - 0.06) / sum(shares.values())
    edges, left = [], _LEFT
    for share in shares.values():
        edges.append((left, unit * share))
        left += unit * share
    return edges


def _label(method: Method) -> str:
    return SHORT.get(method.name, method.title)


def _heads(ax: Axes, across: Mapping[str, int]) -> None:
    """The headline, the arrow of the law, and the names of the columns."""
    ax.text(0.08, 0.17, "What each method does to the sign of the evidence, and what it costs", va="center",
            fontsize=13, fontweight="bold")  # fmt: skip
    edges = _edges(across)
    right = edges[-1][0] + edges[-1][1]
    ax.annotate("", (right - 0.05, 0.5), (_LEFT + 0.05, 0.5), arrowprops={"arrowstyle": "-|>", "color": "0.35"})
    for x, side, text in (
        (_LEFT + 0.05, "left", "evidence against the class counts "),
        (right - 0.3, "right", " the map tends to ΣM"),
    ):
        ax.text(x, 0.5, text, ha=side, va="center", fontsize=11, style="italic", color="0.25",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
    for (left, width), fate in zip(edges, across, strict=True):
        ax.text(left + width / 2, 0.8, fate, ha="center", va="center", fontsize=_HEAD, fontweight="bold")


def _rows(
    ax: Axes,
    across: Mapping[str, int],
    lines: Mapping[str, int],
    cells: Mapping[tuple[str, str], list[Method]],
    marked: set[str],
) -> None:
    """The ground of every cell and its methods."""
    top = _TOP
    for cost, number in lines.items():
        tall = number * _LINE + 0.06
        ax.text(_LEFT - 0.1, top + tall / 2, cost, ha="right", va="center", fontsize=_TEXT, linespacing=1.05)
        for (left, width), ground, (fate, side) in zip(_edges(across), _GROUNDS, across.items(), strict=True):
            ax.add_patch(
                Rectangle((left + 0.02, top), width - 0.04, tall, facecolor=ground, edgecolor="none", zorder=0)
            )
            members = cells.get((fate, cost), [])
            deep = -(-len(members) // side)
            for order, method in enumerate(members):
                column, row = divmod(order, max(deep, 1))
                y = top + 0.03 + (number - deep) * _LINE / 2 + (row + 0.5) * _LINE
                _name(ax, left + 0.14 + column * width / side, y, method, method.name in marked)
        top += tall + 0.04


def _name(ax: Axes, x: float, y: float, method: Method, here: bool) -> None:
    """A mark, full where the map knows its class, and the name."""
    text = _label(method)
    if here:
        width = text_width(text, _TEXT) + 0.26
        pill = FancyBboxPatch((x - 0.09, y - 0.095), width, 0.19, boxstyle="round,pad=0.01,rounding_size=0.09")
        pill.set(facecolor=_HERE, edgecolor="0.15", linewidth=1.2)
        ax.add_patch(pill)
    _mark(ax, x, y, method_style(method.name).color, method.class_specific)
    ax.text(x + 0.11, y, text, va="center_baseline", fontsize=_TEXT, color="0.1")


def _mark(ax: Axes, x: float, y: float, color: str, full: bool) -> None:
    ax.plot(x, y, "o", markersize=6.5, color=color, markerfacecolor=color if full else "white", markeredgewidth=1.6)


def _legend(ax: Axes, y: float, here: bool) -> None:
    """What the marks mean."""
    entries = [(True, "asks for a class"), (False, "blind: one map for all classes")]
    x = _LEFT + 0.14
    for full, text in entries:
        _mark(ax, x, y, "0.3", full)
        ax.text(x + 0.11, y, text, va="center", fontsize=_TEXT, color="0.25")
        x += text_width(text, _TEXT) + 0.5
    if here:
        pill = FancyBboxPatch((x - 0.05, y - 0.085), 0.3, 0.17, boxstyle="round,pad=0.01,rounding_size=0.08")
        pill.set(facecolor=_HERE, edgecolor="0.15", linewidth=1.2)
        ax.add_patch(pill)
        ax.text(x + 0.34, y, "you are here", va="center", fontsize=_TEXT, color="0.25", fontweight="bold")
