"""A grid of maps under the picture that they explain: the picture once, beside it what a reader must know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from camlib.plots.look import PLAIN, wrap
from camlib.plots.methods import method_title
from camlib.plots.panels import grid


def headed_grid(
    picture: Any,
    text: str,
    cells: Sequence[Sequence[Any]],
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    notes: Sequence[Sequence[str | None]] | None = None,
    boxes: Sequence[Sequence[Any]] | None = None,
    beside: Sequence[Any] = (),
    picture_label: str = "",
    **options: Any,
) -> Figure:
    """:func:`camlib.plots.grid` of ``cells`` with a row above it: the picture, and ``text`` in the room at its right.

    ``beside`` are more pictures, at the right end of that row, each over its column; column labels stand between that
    row and the cells. Row labels, notes and boxes are those of ``cells``; ``picture_label`` names the row above,
    ``options`` are what else :func:`camlib.plots.grid` takes. Raises ValueError where the row above has no room.
    """
    columns = max(len(row) for row in cells)
    free = columns - 1 - len(beside)
    if free < 1:
        raise ValueError(f"{columns} columns and {len(beside)} pictures beside the first leave no room for a text.")
    above = [picture, *[None] * free, *beside]
    lines = max((label.count("\n") + 1 for label in column_labels or ()), default=0)
    room_for_labels = [[None, "\n" * lines if lines else None, *[None] * (columns - 2)]]
    plain = [[None] * len(row) for row in cells]
    empty = [[None] * columns]
    labels = None if row_labels is None else [picture_label, *row_labels]
    made = grid(
        [above, *cells],
        labels,
        None,
        [*room_for_labels, *(notes or plain)],
        None if boxes is None else [*empty, *boxes],
        **options,
    )
    panels = made.axes[: (len(cells) + 1) * columns]
    room = free * panels[0].get_position().width * made.get_size_inches()[0]
    place = {"transform": panels[1].transAxes, "va": "center", "fontsize": PLAIN}
    panels[1].text(0.03, 0.5, wrap(text, 0.94 * room, PLAIN), **place)
    for ax, label in zip(panels[columns : 2 * columns], column_labels or (), strict=False):
        ax.set_title(method_title(label), fontsize=PLAIN, pad=3, loc="center", fontweight="bold")
    return made
