"""A stage of a pipeline: what it holds, and how much room it and its wrapped texts take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from camlib.plots.arrays import array, rgb
from camlib.plots.look import PLAIN, SMALL, TIMES, aspect, signs, text_height, text_width, wrap

LABEL_SIZE, SHAPE_SIZE = PLAIN, SMALL
"""Font sizes of a stage's name above it, and of its shape and note below."""
NOTE_GAP = 0.05
"""Between a body and its texts or arrows, in inches."""

ROWS = 4
"""Maps that stand with their weights in a weighted sum."""

_KINDS = ("image", "map", "stack", "weighted", "vector", "matrix", "scores", "box", "op", "glyph")


@dataclass(eq=False)
class Stage:
    """One station of a `pipeline`: what it is called, what it holds, how it is drawn.

    ``kind``: image (picture), map ([h, w]), stack ([K, h, w], a few of its channels as cards), weighted ((weights,
    maps): [K] or [K, h, w] beside [K, h, w], a few of them as bars or signed maps, each beside the map that it weighs),
    vector ([K], bars), matrix (2-D, numbers written in), scores (list of (name, value)), box (an operation, no
    content), op (a circled sign such as + or Σ). ``shape`` is read off the content, height × width × channels, unless
    given; "" hides it. ``note`` is a line below. ``arrow=False`` leaves out the arrow from the left neighbor.
    ``fmt`` writes the numbers of a matrix or of scores, ``limits`` fixes a color range, ``channels`` says which maps of
    a stack or a weighted sum are shown: else those with the largest sum, or weights from the largest to the smallest.
    """

    label: str
    content: Any = None
    kind: Literal["image", "map", "stack", "weighted", "vector", "matrix", "scores", "box", "op", "glyph"] = "box"
    shape: str | Sequence[int] | None = None
    note: str | None = None
    arrow: bool = True
    fmt: str | None = None
    limits: tuple[float, float] | None = None
    channels: Sequence[int] | None = None

    def __post_init__(self) -> None:
        self.fmt = self.fmt or ("{:.3f}" if self.kind == "scores" else "{:.3g}")
        if self.kind not in _KINDS:
            raise ValueError(f"kind {self.kind!r} of stage {self.label!r} is not one of {_KINDS}")
        if self.content is None and self.kind not in ("box", "op", "glyph"):
            raise ValueError(f"stage {self.label!r} of kind {self.kind!r} needs content; a box needs none")
        if self.kind == "weighted":
            self.content = _weights_and_maps(self.label, *self.content)
        elif self.kind not in ("scores", "image", "box", "op", "glyph"):
            self.content = array(self.content)
            expected = {"stack": 3, "vector": 1}.get(self.kind, 2)
            if self.content.ndim != expected:
                shape = self.content.shape
                raise ValueError(f"stage {self.label!r} of kind {self.kind!r} has shape {shape}; expected {expected}-D")


def _weights_and_maps(label: str, weights: Any, maps: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays; ValueError where they do not belong together."""
    weights, maps = array(weights), array(maps)
    if maps.ndim != 3 or weights.ndim not in (1, 3) or len(weights) != len(maps):
        raise ValueError(
            f"stage {label!r} of kind 'weighted' has weights {weights.shape} for maps {maps.shape}; "
            "expected [K] or [K, h, w] for [K, h, w]"
        )
    return weights, maps


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
        "weighted": lambda: (1.05 * size, 1.3 * size),
        "vector": lambda: (0.42 * size, size),
        "scores": lambda: (_scores_width(stage), max(0.25 * len(stage.content), 0.5)),
        "box": lambda: (
            text_width(stage.label, LABEL_SIZE) + 0.28,
            0.34 + text_height(stage.label, LABEL_SIZE),
        ),
        "matrix": lambda: _matrix_size(stage, size),
    }.get(stage.kind, lambda: _picture_size(stage.content, size))()
    above = "" if stage.kind == "box" else wrap(stage.label, max(width, 1.3), LABEL_SIZE)
    notes = [_shape_text(stage), wrap(signs(stage.note or ""), max(width, 1.25), SHAPE_SIZE)]
    return Place(lane, column, width, height, above, "\n".join(text for text in notes if text))


def _picture_size(content: Any, size: float) -> tuple[float, float]:
    """Width and height of a picture or map: as high as the others, but at most 1.7 times as wide as high."""
    ratio = aspect(content)
    height = size * min(1.0, 1.7 * ratio)
    return height / ratio, height


def _scores_width(stage: Stage) -> float:
    """Width of bars with names and numbers in them: as wide as these need, from 0.9 to 1.6 inches."""
    texts = [text_width(f"{name}  {stage.fmt.format(value)}", SHAPE_SIZE) for name, value in stage.content]
    return float(np.clip(max(texts, default=0) + 0.25, 0.9, 1.6))


def _matrix_size(stage: Stage, size: float) -> tuple[float, float]:
    """Width and height of a written-out matrix: cells wide enough for their numbers."""
    rows, columns = stage.content.shape
    widest = max(text_width(signs(stage.fmt.format(value)), SHAPE_SIZE) for value in stage.content.flat)
    return columns * max(widest + 0.08, 0.28), rows * min(0.46, max(size / max(rows, 2), 0.22))


def _shape_text(stage: Stage) -> str:
    """Shape line of a stage: as given, or read off its content as height × width × channels."""
    if isinstance(stage.shape, str):
        return stage.shape
    shape = stage.shape
    if shape is None:
        if stage.content is None or stage.kind == "scores":
            return ""
        shape = {
            "image": lambda: rgb(stage.content).shape[:2],
            "stack": lambda: (*stage.content.shape[1:], len(stage.content)),
            "weighted": lambda: (*stage.content[1].shape[1:], len(stage.content[1])),
        }.get(stage.kind, lambda: stage.content.shape)()
    return TIMES.join(str(int(size)) for size in shape)


def full_width(stage: Stage, place: Place) -> float:
    """Width of a stage with its texts."""
    return max(place.width, text_width(place.above, LABEL_SIZE), text_width(place.below, SHAPE_SIZE))
