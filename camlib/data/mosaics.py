"""Mosaics: photographs in a grid, where the cell of a class is the box in which its map must light up."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from camlib.data.boxes import Box, LabeledBox
from camlib.data.examples import Dataset, Example, digest
from camlib.data.photographs import list_photos, load_photo, photo_info


@dataclass(frozen=True)
class Mosaic:
    """A picture of square cells; ``names[i]`` lies in ``boxes[i]`` = (x0, y0, x1, y1), half-open pixels."""

    picture: Image.Image
    boxes: list[Box]
    names: list[str]


def mosaic(pictures: Sequence[str | Image.Image], columns: int = 2, cell: int = 224) -> Mosaic:
    """Photographs in a grid of square cells, row by row: ground truth for where a class must light up.

    ``pictures``: names of photographs, or PIL pictures of mode RGB or L; their number is a multiple of
    ``columns``, so that the cells cover the mosaic. Each is cropped to its central square (the aspect ratio
    stays) and resized to ``cell`` pixels with a bicubic filter. The grid has len(pictures) / columns rows.
    Raises ValueError for an empty or incomplete grid, TypeError for anything that is no picture.
    """
    if isinstance(pictures, (str, Image.Image)):
        raise TypeError(f"pictures is one {type(pictures).__name__}; expected a sequence, e.g. [picture, picture].")
    if columns < 1 or cell < 1:
        raise ValueError(f"columns={columns}, cell={cell}: expected integers of at least 1.")
    if not pictures or len(pictures) % columns:
        raise ValueError(
            f"{len(pictures)} pictures do not fill a grid of {columns} columns: "
            f"pass {columns}, {2 * columns}, ... pictures or another number of columns."
        )
    boxes = grid_boxes(len(pictures), columns, cell)
    whole = Image.new("RGB", (cell * columns, cell * (len(pictures) // columns)))
    for given, box in zip(pictures, boxes, strict=True):
        whole.paste(square(_as_picture(given), cell), box)
    names = [p if isinstance(p, str) else f"picture-{i}" for i, p in enumerate(pictures, start=1)]
    return Mosaic(whole, boxes, names)


def grid_boxes(count: int, columns: int, cell: int) -> list[Box]:
    """The first ``count`` square cells of a grid, row by row, as half-open (x0, y0, x1, y1)."""
    corners = [(cell * (i % columns), cell * (i // columns)) for i in range(count)]
    return [(x, y, x + cell, y + cell) for x, y in corners]


def side_by_side(left: str | Image.Image, right: str | Image.Image, cell: int = 224) -> Mosaic:
    """Two pictures in one row, each in a square cell; see ``mosaic``."""
    return mosaic([left, right], columns=2, cell=cell)


def square(picture: Image.Image, side: int) -> Image.Image:
    """The central square of ``picture`` (an odd margin is larger right or below), resized, bicubic."""
    width, height = picture.size
    short = min(width, height)
    x, y = (width - short) // 2, (height - short) // 2
    return picture.crop((x, y, x + short, y + short)).resize((side, side), Image.Resampling.BICUBIC)


def _as_picture(given: str | Image.Image) -> Image.Image:
    if isinstance(given, str):
        return load_photo(given)
    if not isinstance(given, Image.Image):
        raise TypeError(f"a picture is a {type(given).__name__}; expected a photograph's name or a PIL picture.")
    if given.mode not in ("RGB", "L"):
        raise ValueError(f"a picture has mode {given.mode!r}; expected RGB or L: call picture.convert('RGB') first.")
    return given


def mosaics(count: int = 20, columns: int = 2, cell: int = 224, seed: int = 0) -> Dataset:
    """Grids of ``columns`` x ``columns`` labeled photographs of different classes, drawn by lot.

    The cells are the boxes, named by their class. Böhle et al. (2021) feed the whole as one larger input: take a
    network with that input size (``--input-size 448``), and explain the classes of all cells (``--target objects``).
    Raises ValueError for a grid with more cells than there are classes.
    """
    by_class = defaultdict(list)
    for name in list_photos("imagenet"):
        by_class[photo_info(name).label_name].append(name)
    if count < 1 or columns < 1 or columns**2 > len(by_class):
        raise ValueError(
            f"count={count}, columns={columns}: expected at least one mosaic of at most {len(by_class)} cells, the "
            f"number of classes among the photographs."
        )
    lot = random.Random(seed)
    layouts = {}
    for number in range(count):
        classes = lot.sample(sorted(by_class), columns**2)
        names = tuple(lot.choice(by_class[name]) for name in classes)
        layouts[f"{number:03d} {'+'.join(names)}"] = names

    def make(name: str) -> Example:
        names = layouts[name]
        cells = zip(grid_boxes(len(names), columns, cell), names, strict=True)
        boxes = tuple(LabeledBox(*box, photo_info(each).label_name) for box, each in cells)
        version = digest(*(photo_info(each).sha256 for each in names), cell)
        return Example(name, lambda: mosaic(names, columns, cell).picture, lambda: boxes, version=version)

    return Dataset(f"mosaics of {columns} x {columns} cells of {cell} pixels, seed {seed}", tuple(layouts), make)
