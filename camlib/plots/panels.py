"""Pictures, heatmaps and feature maps in rows and grids."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Stroke

from camlib.plots.arrays import array, rgb
from camlib.plots.look import BOX_COLOR, QUIET, SMALL, Box, aspect, is_explanation, scale, signs
from camlib.plots.methods import method_title
from camlib.plots.overlays import CONTOUR, HALF, OPACITY, colored, contour_map
from camlib.plots.tiles import Tiles, texts_like

BAR_LABEL = "share of this map's maximum"


def show(
    explanations: Any,
    columns: int | None = None,
    titles: Sequence[str] | None = None,
    include_image: bool = True,
    boxes: Sequence[Box] | Mapping[int, Sequence[Box]] | None = None,
    suptitle: str | None = None,
    cell: float | None = None,
    opacity: float = OPACITY,
) -> Figure:
    """Overlays of one explanation or of a list, each titled with method, class and probability.

    Each picture (``.picture``) is shown once, in front of its own overlays, and begins a row if there are
    several. ``columns`` wraps into rows of that length instead; ``titles`` replaces the titles of the
    overlays; ``boxes`` are drawn on all panels, or by picture if a mapping; ``cell`` is a panel's largest width in
    inches. Raises ValueError for an empty list or a wrong number of titles.
    """
    items = list(explanations) if isinstance(explanations, Sequence) else [explanations]
    if not items:
        raise ValueError("explanations is empty; pass an Explanation or a list of them")
    if titles is not None and len(titles) != len(items):
        raise ValueError(f"titles has {len(titles)} entries for {len(items)} explanations")
    texts = list(titles) if titles is not None else [_title(item) for item in items]
    groups = []
    for picture, members in itertools.groupby(zip(items, texts, strict=True), lambda pair: pair[0].picture):
        row = [(item, text, _boxes(boxes, picture)) for item, text in members]
        if include_image:
            row.insert(0, (rgb(row[0][0].image), "photograph", _boxes(boxes, picture)))
        groups.append(row)
    if columns is None and len(groups) > 1:
        rows = groups
    else:
        panels = [panel for row in groups for panel in row]
        length = columns or len(panels)
        rows = [panels[start : start + length] for start in range(0, len(panels), length)]
    cells = [[content for content, _, _ in row] for row in rows]
    above = [[text for _, text, _ in row] for row in rows]
    frames = [[boxes_ for _, _, boxes_ in row] for row in rows]
    return _matrix(cells, above, texts_like(cells, None), frames, (0, 1), None, cell, suptitle, opacity, True)


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
    opacity: float = OPACITY,
    bar_label: str = "",
    titles: Sequence[Sequence[str | None]] | None = None,
    note: str = "",
    groups: Sequence[tuple[str, int]] = (),
    heads: Mapping[int, str] | None = None,
) -> Figure:
    """Matrix of pictures with row labels on the left, column labels on top and one color bar.

    A cell is an Explanation or an overlay (:func:`camlib.plots.overlay`), a picture ([H, W, 3], [3, H, W] or PIL), a
    2-D map or None (empty). Maps share the range ``limits``, in diverging colors where it goes below 0; None scales
    each map to its own minimum and maximum and says so at the bar, which ``bar_label`` names otherwise. ``notes`` are
    short texts under the cells, ``titles`` texts over them in place of ``column_labels``, ``boxes`` rectangles in them,
    all shaped like ``cells``. Names of methods in labels
    are written as the literature prints them. The figure has the design width; ``cell`` is a panel's largest width.
    ``suptitle`` is the headline, ``note`` what a reader must know to see it, in gray under it. ``groups``, (title,
    number of columns), stand apart under a title each; ``heads``: row -> bold words over it and the rows after it, a
    group ("": a gap alone); a note or row label "**in stars**" is bold.
    Raises ValueError where labels, notes or boxes do not match the cells.
    """
    if not len(cells) or not max(len(row) for row in cells):
        raise ValueError("cells is empty; pass at least one row with one picture or map")
    for name, given in (("row_labels", row_labels), ("notes", notes), ("boxes", boxes), ("titles", titles)):
        if given is not None and len(given) != len(cells):
            raise ValueError(f"{name} has {len(given)} entries for {len(cells)}")
    above = [list(row) for row in texts_like(cells, titles)]
    above[0] = [method_title(text) for text in column_labels] if column_labels else above[0]
    labels = None if row_labels is None else [method_title(label) for label in row_labels]
    return _matrix(
        cells,
        above,
        texts_like(cells, notes),
        boxes,
        limits,
        labels,
        cell,
        suptitle,
        opacity,
        colorbar,
        bar_label,
        note,
        groups=groups,
        heads=heads or {},
    )


def feature_maps(
    activations: Any,
    columns: int = 8,
    channels: Sequence[int] | None = None,
    count: int = 16,
    shared: bool = False,
    suptitle: str | None = None,
    cell: float | None = None,
) -> Figure:
    """Channels of one layer, [K, h, w], as a grid of maps titled with their channel number.

    Without ``channels`` the ``count`` channels with the largest mean are taken, strongest first. Each map is
    scaled to its own largest value unless ``shared``; 0 is always white, and a layer with negative values has the
    diverging colors. Raises ValueError for another shape or a channel that is not there.
    """
    stack = array(activations)
    if stack.ndim != 3:
        raise ValueError(f"activations have shape {stack.shape}; expected [K, h, w] of one picture")
    order = np.argsort(-stack.mean(axis=(1, 2)), kind="stable")[:count] if channels is None else channels
    if max(order) >= len(stack):
        raise ValueError(f"channel {max(order)} is not there; the layer has {len(stack)}, counted from 0")
    chosen = stack[list(order)]
    reach = np.abs(chosen).max(axis=(1, 2))
    reach = np.full(len(chosen), reach.max()) if shared else reach
    low = -reach if chosen.min() < 0 else 0 * reach
    starts = range(0, len(chosen), columns)
    tiles = Tiles(
        aspects=[[stack.shape[1] / stack.shape[2]] * len(order[i : i + columns]) for i in starts],
        above=[[f"k = {k}" for k in order[i : i + columns]] for i in starts],
        below=[[None] * len(order[i : i + columns]) for i in starts],
        cell=cell,
        title=suptitle,
        footer=_colors_in_words(chosen.min() < 0, shared),
    )
    figure = tiles.make()
    for ax, values, bottom, top in zip(tiles.axes.flat, chosen, low, reach, strict=False):
        _draw(ax, values, OPACITY, (bottom, top or 1.0))
    return figure


def _colors_in_words(signed: bool, shared: bool) -> str:
    """What the colors of feature maps mean."""
    if signed:
        return f"colors: white is 0, red and blue reach the largest size {'of all' if shared else 'of each map'}"
    return f"colors: each map from 0 to {'the largest value of all' if shared else 'its own maximum'}"


def _matrix(
    cells: Sequence[Sequence[Any]],
    above: Sequence[Sequence[str | None]],
    below: Sequence[Sequence[str | None]],
    boxes: Sequence[Sequence[Sequence[Box] | None]] | None,
    limits: tuple[float, float] | None,
    labels: Sequence[str] | None,
    cell: float | None,
    title: str | None,
    opacity: float,
    colorbar: bool,
    bar_label: str = "",
    note: str = "",
    **layout: Any,
) -> Figure:
    """Tiles with their contents, texts and boxes, and one bar if anything in them has heat."""
    heated = [content for row in cells for content in row if _has_heat(content)]
    tiles = Tiles(
        aspects=[[None if content is None else aspect(content) for content in row] for row in cells],
        above=[[text and signs(text) for text in row] for row in above],
        below=[[text and signs(text) for text in row] for row in below],
        labels=labels,
        cell=cell,
        title=title,
        note=note,
        bar=colorbar and bool(heated),
        **layout,
    )
    figure = tiles.make()
    for r, row in enumerate(cells):
        for c, content in enumerate(row):
            _draw(tiles.axes[r, c], content, opacity, limits)
            _draw_boxes(tiles.axes[r, c], boxes[r][c] if boxes is not None else None)
    if tiles.bar:
        limits = _around_zero(np.array([heat.min() for heat in map(_heat, heated)]).max(keepdims=True), limits)
        ticks = _bar_ticks(limits)
        panel = tiles.bar_panel(list(ticks.values())[-1])
        _draw_bar(panel, is_explanation(heated[0]), limits, opacity, ticks, bar_label)
    return figure


def _draw(ax: Axes, content: Any, opacity: float, limits: tuple[float, float] | None) -> None:
    """A picture, a map, an overlay or an explanation in one panel."""
    if content is None:
        return
    if is_explanation(content):
        draw_overlay(ax, content.image, content.heatmap, opacity)
    elif len(getattr(content, "shape", np.shape(content))) == 2:
        values = array(content)
        own = (values.min(), values.max()) if limits is None and values.min() >= 0 else _around_zero(values, limits)
        norm, colors = scale(values, own, None)
        ax.imshow(values, cmap=colors, norm=norm, interpolation="nearest")
        ax.spines[:].set(visible=True, color="0.8", linewidth=0.6)
    else:
        ax.imshow(rgb(content))


def _around_zero(values: np.ndarray, limits: tuple[float, float] | None) -> tuple[float, float] | None:
    """The limits, or those of both signs where they leave out the negative values of a map."""
    return limits if limits is None or values.min() >= 0 or limits[0] < 0 else (-limits[1], limits[1])


def draw_overlay(ax: Axes, image: Any, heatmap: Any, opacity: float = OPACITY) -> None:
    """An overlay in a panel of your own figure, its contour as a line of 0.75 points whatever the size."""
    values = array(heatmap)
    ax.imshow(colored(rgb(image), values, opacity))
    contour = contour_map(values)
    if contour is not None and min(values.shape) > 1:
        ax.contour(contour[0], levels=[contour[1]], colors=[CONTOUR], linewidths=0.75)


def _heat(content: Any) -> np.ndarray:
    """The values of a cell that has heat."""
    return array(content.heatmap if is_explanation(content) else content)


def _has_heat(content: Any) -> bool:
    """Whether a cell shows values that a color bar explains."""
    return content is not None and (is_explanation(content) or len(getattr(content, "shape", np.shape(content))) == 2)


def _draw_boxes(ax: Axes, boxes: Sequence[Box] | None) -> None:
    """Rectangles given in half-open pixels, with a white edge so that they show on any picture."""
    for x0, y0, x1, y1 in boxes or ():
        frame = Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, ec=BOX_COLOR, lw=1.8)
        frame.set_path_effects([Stroke(linewidth=3.4, foreground="white"), Stroke()])
        ax.add_patch(frame)


def _boxes(boxes: Any, picture: int) -> Sequence[Box]:
    """Boxes of one picture, from a mapping or from a list that holds for all."""
    return boxes.get(picture, ()) if isinstance(boxes, Mapping) else boxes or ()


def _title(explanation: Any) -> str:
    """Method, class and probability on two or three lines."""
    name = explanation.target_name.split(",")[0]
    lines = [method_title(explanation.method), f"{name} {explanation.probability:.1%}"]
    return "\n".join([*lines, "degenerate"] if explanation.degenerate else lines)


def _bar_ticks(limits: tuple[float, float] | None) -> dict[float, str]:
    """What is written under the two ends and the middle of the bar."""
    if limits is None:
        return {0.0: "min", 1.0: "max"}
    low, high = limits
    return {value: signs(f"{value:g}") for value in (low, (low + high) / 2, high)}


def _draw_bar(
    ax: Axes,
    over: bool,
    limits: tuple[float, float] | None,
    opacity: float,
    ticks: dict[float, str],
    label: str,
) -> None:
    """One bar for all maps, as they look on a gray photograph if they are overlays, with the contour at its place."""
    low, high = limits or (0.0, 1.0)
    values = np.linspace(low, high, 256)[None]
    if over:
        shown = colored(np.full((1, 256, 3), 0.7), values, opacity)
    else:
        norm, colors = scale(values, (low, high), None)
        shown = matplotlib.colormaps[colors](norm(values))[..., :3]
    ax.imshow(shown, aspect="auto", extent=(low, high, 0, 1))
    if over:
        ax.axvline(HALF * high, color=CONTOUR, lw=0.9)
    ax.set_xticks(list(ticks), list(ticks.values()), fontsize=SMALL)
    ax.tick_params(length=0, pad=2)
    shares = BAR_LABEL + ("; the line is its half" if over else "")
    plain = {(0, 1): shares, (-1, 1): "share of this map's largest size", None: "each map: its own range"}
    text = label or plain.get(limits if limits is None else tuple(limits), "value")
    ax.set_ylabel(text, fontsize=SMALL, color=QUIET, rotation=0, ha="right", va="center", labelpad=8)
