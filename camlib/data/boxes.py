"""Boxes: whole pixels of a picture, objects with names, and where both lie after the picture was resized or cropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from camlib.pictures import Preprocess

Box = tuple[int, int, int, int]
"""(x0, y0, x1, y1) in pixels, half-open: columns x0 to x1 - 1, rows y0 to y1 - 1."""


class LabeledBox(NamedTuple):
    """An object: half-open (x0, y0, x1, y1) in pixels of its picture, and what the data set calls it."""

    x0: float
    y0: float
    x1: float
    y1: float
    name: str


def resized_boxes(
    boxes: Iterable[Sequence[float]], size: tuple[int, int], new_size: tuple[int, int]
) -> tuple[Box, ...]:
    """Half-open boxes of a picture of ``size`` (H, W) after it is resized to ``new_size``, rounded, at least one pixel.

    x and y are scaled separately, as the picture is; what lies outside the picture is cut off. Raises ValueError for a
    box without area inside it.
    """
    scaled = []
    for x0, y0, x1, y1 in boxes:
        columns = _resized_span(x0, x1, size[1], new_size[1])
        rows = _resized_span(y0, y1, size[0], new_size[0])
        if columns is None or rows is None:
            raise ValueError(f"box {(x0, y0, x1, y1)} has no area in a picture of H x W = {size[0]} x {size[1]}.")
        scaled.append((columns[0], rows[0], columns[1], rows[1]))
    return tuple(scaled)


def _resized_span(low: float, high: float, size: int, new_size: int) -> tuple[int, int] | None:
    low, high = max(low, 0), min(high, size)
    if low >= high:
        return None
    first = min(round(low * new_size / size), new_size - 1)
    return first, max(round(high * new_size / size), first + 1)


def boxes_on_input(
    boxes: Iterable[Sequence[float]], size: tuple[int, int], transform: Preprocess | Callable
) -> tuple[Box, ...]:
    """Boxes of a picture after the preprocessing: whole half-open pixels of the network's input and of its heatmaps.

    Args:
        boxes: (x0, y0, x1, y1, ...), half-open pixels of the picture.
        size: (width, height) of the picture.
        transform: a :class:`camlib.Preprocess` (both sides resized to the input), a preset of torchvision's weights,
            or a composition of Resize and CenterCrop with steps that leave the geometry alone.

    Returns:
        (x0, y0, x1, y1), clipped to the input; a box with no part in it is left out.

    Raises:
        ValueError: a transform whose geometry is not known.
    """
    width, height = size
    columns, rows = _Axis(width), _Axis(height)
    for resize, crop in _geometry(transform):
        if resize is not None:
            new_width, new_height = _resized(columns.size, rows.size, resize)
            columns.resize(new_width)
            rows.resize(new_height)
        if crop is not None:
            columns.crop(crop[1])
            rows.crop(crop[0])
    moved = [(columns(x0), rows(y0), columns(x1), rows(y1)) for x0, y0, x1, y1, *_ in boxes]
    inside = [b for b in moved if max(b[0], 0) < min(b[2], columns.size) and max(b[1], 0) < min(b[3], rows.size)]
    return resized_boxes(inside, (rows.size, columns.size), (rows.size, columns.size))


class _Axis:
    """Where a coordinate of the picture goes along one side: x -> scale * x + shift, on ``size`` pixels."""

    def __init__(self, size: int) -> None:
        self.size, self.scale, self.shift = size, 1.0, 0.0

    def __call__(self, position: float) -> float:
        return self.scale * position + self.shift

    def resize(self, size: int) -> None:
        factor = size / self.size
        self.size, self.scale, self.shift = size, self.scale * factor, self.shift * factor

    def crop(self, size: int) -> None:
        """torchvision's center crop: a short side is padded first, the odd pixel behind."""
        before = round((self.size - size) / 2) if self.size >= size else -((size - self.size) // 2)
        self.size, self.shift = size, self.shift - before


_NO_GEOMETRY = (
    "ToTensor", "PILToTensor", "ToImage", "ToDtype", "ConvertImageDtype", "Normalize", "MaybeToTensor", "Grayscale",
)  # fmt: skip


def _geometry(transform: Any) -> list[tuple[tuple[int, ...] | None, tuple[int, int] | None]]:
    """Steps (size to resize to, size to crop to) of a transform; one number resizes the shorter side."""
    if isinstance(transform, Preprocess):
        return [(tuple(transform.size), None)]
    if hasattr(transform, "resize_size") and hasattr(transform, "crop_size"):  # a preset of torchvision's weights
        crop = _numbers(transform.crop_size)
        return [(_numbers(transform.resize_size), (crop[0], crop[-1]))]
    steps = []
    for part in getattr(transform, "transforms", [transform]):
        kind = type(part).__name__
        if kind == "Resize" and getattr(part, "max_size", None) is None:
            steps.append((_numbers(part.size), None))
        elif kind == "CenterCrop":
            crop = _numbers(part.size)
            steps.append((None, (crop[0], crop[-1])))
        elif kind not in _NO_GEOMETRY:
            raise ValueError(
                f"Boxes cannot be followed through the transform {kind}; expected a camlib.Preprocess, a preset of "
                f"torchvision's weights, or a composition of Resize and CenterCrop. Give the network such a one."
            )
    return steps


def _numbers(size: int | Sequence[int]) -> tuple[int, ...]:
    return (size,) if isinstance(size, int) else tuple(size)


def _resized(width: int, height: int, size: tuple[int, ...]) -> tuple[int, int]:
    """(width, height) after torchvision's Resize: (h, w) for both sides, or one number for the shorter one."""
    if len(size) == 2:
        return size[1], size[0]
    short, long = sorted((width, height))
    longer = int(size[0] * long / short)
    return (size[0], longer) if width <= height else (longer, size[0])
