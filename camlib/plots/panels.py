"""Pictures, heatmaps and feature maps in rows and grids."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from camlib.plots.arrays import array, rgb
from camlib.plots.look import BOX_COLOR, COLORMAP, Box, aspect, is_explanation, wrap


def overlay(image: Any, heatmap: Any, alpha: float = 0.5) -> np.ndarray:
    """Heatmap in color laid over its picture, ``image * (1 - alpha) + color * alpha``; [H, W, 3] in [0, 1].

    ``image`` is [3, H, W] or [H, W, 3] in [0, 1] (or 8-bit, or a PIL picture), ``heatmap`` is [H, W] in
    [0, 1]. Nothing is rescaled, so brightness compares between panels. Raises ValueError where sizes differ
    or the heatmap leaves [0, 1].
    """
    picture, values = rgb(image), array(heatmap)
    if values.shape != picture.shape[:2]:
        raise ValueError(f"heatmap is {values.shape} and the picture {picture.shape[:2]}; upsample the heatmap")
    if values.min() < 0 or values.max() > 1 + 1e-6:
        raise ValueError(f"heatmap lies in [{values.min():.3g}, {values.max():.3g}]; expected [0, 1]")
    color = plt.get_cmap(COLORMAP)(values.clip(0, 1))[..., :3]
    return picture * (1 - alpha) + color * alpha


def show(
    explanations: Any,
    columns: int | None = None,
    titles: Sequence[str] | None = None,
    include_image: bool = True,
    boxes: Sequence[Box] | Mapping[int, Sequence[Box]] | None = None,
    suptitle: str | None = None,
    cell: float | None = None,
    alpha: float = 0.5,
) -> Figure:
    """Overlays of one explanation or of a list, each titled with method, class and probability.

    Each picture (``.picture``) is shown once, in front of its own overlays, and begins a row if there are
    several. ``columns`` wraps into rows of that length instead; ``titles`` replaces the titles of the
    overlays; ``boxes`` are drawn on all panels, or by picture if a mapping; ``cell`` is a panel's width in
    inches. Raises ValueError for an empty list or a wrong number of titles.
    """
    items = list(explanations) if isinstance(explanations, Sequence) else [explanations]
    if not items:
        raise ValueError("explanations is empty; pass an Explanation or a list of them")
    if titles is not None and len(titles) != len(items):
        raise ValueError(f"titles has {len(titles)} entries for {len(items)} explanations")
    texts = list(titles) if titles is not None else [_title(item) for item in items]
    groups = []
    for picture, members in itertools.groupby(zip(items, texts, strict=True), lambda pair: _picture(pair[0])):
        row = [(item, text, _boxes(boxes, picture)) for item, text in members]
        if include_image:
            row.insert(0, (rgb(row[0][0].image), "input", _boxes(boxes, picture)))
        groups.append(row)
    if columns is None and len(groups) > 1:
        rows = groups
    else:
        panels = [panel for row in groups for panel in row]
        length = columns or len(panels)
        rows = [panels[start : start + length] for start in range(0, len(panels), length)]
    count = max(len(row) for row in rows)
    cell = cell or _cell(len(rows), count)
    size = 9 if cell >= 1.5 else 8
    figure, axes = _axes_grid(len(rows), count, cell, aspect(items[0]))
    for line, row in zip(axes, rows, strict=True):
        for ax, (content, text, frames) in zip(line, row, strict=False):
            _draw(ax, content, alpha, (0, 1))
            ax.set_title(wrap(text, 0.9 * cell, size), fontsize=size)
            _draw_boxes(ax, frames)
    if suptitle:
        figure.suptitle(suptitle)
    return figure


def grid(
    cells: Sequence[Sequence[Any]],
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    notes: Sequence[Sequence[str | None]] | None = None,
    boxes: Sequence[Sequence[Sequence[Box] | None]] | None = None,
    limits: tuple[float, float] | None = (0, 1),
    colorbar: bool = True,
    suptitle: str | None = None,
    cell: float | None = None,
    alpha: float = 0.5,
) -> Figure:
    """Matrix of pictures with row labels on the left, column labels on top and one color bar.

    A cell is an Explanation (overlay), a picture ([H, W, 3], [3, H, W] or PIL), a 2-D map or None (empty).
    Maps share the range ``limits``; None scales each map to its own minimum and maximum and says so at the
    bar. ``notes`` are short texts under the cells, ``boxes`` rectangles in them, both shaped like ``cells``.
    Raises ValueError where labels, notes or boxes do not match the cells.
    """
    rows, columns = len(cells), max((len(row) for row in cells), default=0)
    if not rows or not columns:
        raise ValueError("cells is empty; pass at least one row with one picture or map")
    for name, given, expected in (
        ("row_labels", row_labels, rows),
        ("column_labels", column_labels, columns),
        ("notes", notes, rows),
        ("boxes", boxes, rows),
    ):
        if given is not None and len(given) != expected:
            raise ValueError(f"{name} has {len(given)} entries for {expected}")
    first = next((content for row in cells for content in row if content is not None), None)
    cell = cell or _cell(rows, columns)
    figure, axes = _axes_grid(rows, columns, cell, aspect(first))
    for r, (line, row) in enumerate(zip(axes, cells, strict=True)):
        for c, (ax, content) in enumerate(zip(line, row, strict=False)):
            _draw(ax, content, alpha, limits)
            if notes is not None and notes[r][c]:
                ax.set_xlabel(notes[r][c], fontsize=8, labelpad=2)
            _draw_boxes(ax, boxes[r][c] if boxes is not None else None)
        if row_labels is not None:
            line[0].set_ylabel(wrap(row_labels[r], 1.3, 10), rotation=0, ha="right", va="center", labelpad=6)
    for ax, text in zip(axes[0], column_labels or [], strict=False):
        ax.set_title(wrap(text, 0.9 * cell, 10), fontsize=10)
    if colorbar:
        _colorbar(figure, axes, limits)
    if suptitle:
        figure.suptitle(suptitle)
    return figure


def feature_maps(
    activations: Any,
    columns: int = 8,
    channels: Sequence[int] | None = None,
    count: int = 16,
    shared: bool = False,
    suptitle: str | None = None,
    cell: float = 1.2,
) -> Figure:
    """Channels of one layer, [K, h, w], as a grid of maps titled with their channel number.

    Without ``channels`` the ``count`` channels with the largest mean are taken, strongest first. Each map is
    scaled to its own maximum unless ``shared``; zero (or the minimum, if negative) is always dark. Raises
    ValueError for another shape or a channel that is not there.
    """
    stack = array(activations)
    if stack.ndim != 3:
        raise ValueError(f"activations have shape {stack.shape}; expected [K, h, w] of one picture")
    order = np.argsort(-stack.mean(axis=(1, 2)), kind="stable")[:count] if channels is None else channels
    if max(order) >= len(stack):
        raise ValueError(f"channel {max(order)} is not there; the layer has {len(stack)}, counted from 0")
    chosen = stack[list(order)]
    low = np.minimum(chosen.min(axis=(1, 2)), 0)
    high = chosen.max(axis=(1, 2))
    if shared:
        low, high = np.full(len(chosen), low.min()), np.full(len(chosen), high.max())
    columns = min(columns, len(chosen))
    figure, axes = _axes_grid(-(-len(chosen) // columns), columns, cell, stack.shape[1] / stack.shape[2])
    for ax, k, values, bottom, top in zip(axes.flat, order, chosen, low, high, strict=False):
        _draw(ax, values, 1, (bottom, top))
        ax.set_title(f"k = {k}", fontsize=8, pad=2)
    ends = ("0" if low.min() == 0 else "minimum", "the largest value of all" if shared else "its own maximum")
    figure.supxlabel(f"colors: each map from {ends[0]} to {ends[1]}", fontsize=8, color="0.35")
    if suptitle:
        figure.suptitle(suptitle)
    return figure


def _cell(rows: int, columns: int) -> float:
    """Width of a panel in inches that keeps the figure legible, at most 12 inches wide and under 400 KB."""
    return min(2.0, 11.5 / columns, 6.5 / np.sqrt(rows * columns))


def _axes_grid(rows: int, columns: int, cell: float, aspect: float) -> tuple[Figure, np.ndarray]:
    """Figure with rows x columns empty panels whose width is ``cell`` inches."""
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(columns * cell * 1.06, rows * (cell * aspect + 0.3)),
        squeeze=False,
        layout="compressed",
    )
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.patch.set_visible(False)
    return figure, axes


def _draw(ax: Axes, content: Any, alpha: float, limits: tuple[float, float] | None) -> None:
    """A picture, a map or an explanation in one panel."""
    if content is None:
        return
    if is_explanation(content):
        ax.imshow(overlay(content.image, content.heatmap, alpha))
    elif len(getattr(content, "shape", np.shape(content))) == 2:
        low, high = limits or (None, None)
        ax.imshow(array(content), cmap=COLORMAP, vmin=low, vmax=high, interpolation="nearest")
    else:
        ax.imshow(rgb(content))


def _draw_boxes(ax: Axes, boxes: Sequence[Box] | None) -> None:
    """Rectangles given in half-open pixels."""
    for x0, y0, x1, y1 in boxes or ():
        ax.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, ec=BOX_COLOR, lw=1.6))


def _boxes(boxes: Any, picture: int) -> Sequence[Box]:
    """Boxes of one picture, from a mapping or from a list that holds for all."""
    return boxes.get(picture, ()) if isinstance(boxes, Mapping) else boxes or ()


def _picture(explanation: Any) -> int:
    return explanation.picture


def _title(explanation: Any) -> str:
    """Method, class and probability on two or three lines."""
    name = explanation.target_name.split(",")[0]
    lines = [explanation.method, f"{name} {explanation.probability:.1%}"]
    return "\n".join([*lines, "degenerate"] if explanation.degenerate else lines)


def _colorbar(figure: Figure, axes: np.ndarray, limits: tuple[float, float] | None) -> None:
    """One bar for all maps."""
    mappable = ScalarMappable(Normalize(*(limits or (0, 1))), COLORMAP)
    bar = figure.colorbar(mappable, ax=axes, shrink=min(1.0, 2.2 / axes.shape[0]), aspect=18, pad=0.015)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=2)
    if limits is None:
        bar.set_ticks([0, 1], labels=["min", "max"])
    bar.set_label("heatmap" if limits is not None else "each map: its own range", fontsize=8)
