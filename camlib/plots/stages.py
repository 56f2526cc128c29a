"""A stage of a pipeline: what it holds, and how much room it and its wrapped texts take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from camlib.plots.arrays import array, rgb
from camlib.plots.look import TIMES, aspect, text_height, text_width, wrap

LABEL_SIZE, SHAPE_SIZE = 9.5, 8.0
"""Font sizes of a stage's name above it, and of its shape and note below."""
NOTE_GAP = 0.05
"""Between a body and its texts or arrows, in inches."""

_KINDS = ("image", "map", "stack", "vector", "matrix", "scores", "box", "op", "glyph")


@dataclass(eq=False)
class Stage:
    """One station of a `pipeline`: what it is called, what it holds, how it is drawn.

    ``kind``: image (picture), map ([h, w]), stack ([K, h, w], a few of its channels as cards), vector
    ([K], bars), matrix (2-D, numbers written in), scores (list of (name, value)), box (an operation, no
    content), op (a circled sign such as + or Σ). ``shape`` is read off the content unless given; ""
    hides it. ``note`` is a line below. ``arrow=False`` leaves out the arrow from the left neighbor.
    ``fmt`` writes the numbers of a matrix or of scores, ``limits`` fixes a color range.
    """

    label: str
    content: Any = None
    kind: Literal["image", "map", "stack", "vector", "matrix", "scores", "box", "op", "glyph"] = "box"
    shape: str | Sequence[int] | None = None
    note: str | None = None
    arrow: bool = True
    fmt: str | None = None
    limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        self.fmt = self.fmt or ("{:.3f}" if self.kind == "scores" else "{:.3g}")
        if self.kind not in _KINDS:
            raise ValueError(f"kind {self.kind!r} of stage {self.label!r} is not one of {_KINDS}")
        if self.content is None and self.kind not in ("box", "op", "glyph"):
            raise ValueError(f"stage {self.label!r} of kind {self.kind!r} needs content; a box needs none")
        if self.kind not in ("scores", "image", "box", "op", "glyph"):
            self.content = array(self.content)
            expected = {"stack": 3, "vector": 1}.get(self.kind, 2)
            if self.content.ndim != expected:
                shape = self.content.shape
                raise ValueError(f"stage {self.label!r} of kind {self.kind!r} has shape {shape}; expected {expected}-D")


@dataclass
class Place:
    """Where a stage lies, in inches: its body, its wrapped texts, its lane and column."""

    lane: int
    column: int
    width: float
    height: float
    above: str
    below: str
    x: float = 0.0
    y: float = 0.0

    @property
    def left(self) -> float:
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        return self.y + self.height / 2 + text_height(self.above, LABEL_SIZE)

    @property
    def bottom(self) -> float:
        return self.y - self.height / 2 - text_height(self.below, SHAPE_SIZE)


def measure(stage: Stage, lane: int, column: int, size: float) -> Place:
    """Body size and wrapped texts of a stage whose lane has pictures of height ``size``."""
    if stage.kind == "op":
        return Place(lane, column, 0.3, 0.3, "", stage.note or "")
    if stage.kind == "glyph":
        return Place(lane, column, text_width(stage.label, 15) + 0.06, 0.3, "", "")
    width, height = {
        "stack": lambda: (size * 1.12, size * 1.02),
        "vector": lambda: (0.42 * size, size),
        "scores": lambda: (max(1.25, 1.2 * size), size * min(1, 0.25 * len(stage.content))),
        "box": lambda: (
            text_width(stage.label, LABEL_SIZE) + 0.28,
            0.34 + text_height(stage.label, LABEL_SIZE),
        ),
        "matrix": lambda: _matrix_size(stage.content.shape, size),
    }.get(stage.kind, lambda: (size / aspect(stage.content), size))()
    above = "" if stage.kind == "box" else wrap(stage.label, max(width, 1.3), LABEL_SIZE)
    notes = [_shape_text(stage), wrap(stage.note or "", max(width, 1.25), SHAPE_SIZE)]
    return Place(lane, column, width, height, above, "\n".join(text for text in notes if text))


def _matrix_size(shape: tuple[int, int], size: float) -> tuple[float, float]:
    """Width and height of a written-out matrix: cells wide enough for their numbers."""
    cell = min(0.46, size / max(shape[0], 2))
    return shape[1] * max(cell, 0.4), shape[0] * cell


def _shape_text(stage: Stage) -> str:
    """Shape line of a stage: as given, or read off its content."""
    if isinstance(stage.shape, str):
        return stage.shape
    if stage.shape is None and (stage.content is None or stage.kind == "scores"):
        return ""
    shape = stage.shape
    if shape is None:
        picture = rgb(stage.content) if stage.kind == "image" else stage.content
        shape = (picture.shape[2], *picture.shape[:2]) if stage.kind == "image" else picture.shape
    return TIMES.join(str(int(size)) for size in shape)


def full_width(stage: Stage, place: Place) -> float:
    """Width of a stage with its texts."""
    return max(place.width, text_width(place.above, LABEL_SIZE), text_width(place.below, SHAPE_SIZE))
