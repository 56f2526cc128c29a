"""A mark on scenes, as a photographer's stamp: what a network can learn in place of the shape it is shown with.

    scenes = make_scenes(500, seed=7, objects=(1, 1))
    stamped, marks = stamp(scenes, hearts(scenes))
    stamped, marks = collection(500, 7, hearts)            # the same in one call

Lapuschkin et al. (2019) found such a stamp under the horses of PASCAL VOC. Here it is planted, and its pixels are
known. In one collection every heart carries the stamp and nothing else does, as if one photographer had taken all
hearts (:func:`hearts`). In another a coin decides about the stamp of every scene, so it tells nothing (:func:`coin`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from camlib.data.scenes import SHAPES, Scenes, make_scenes

__all__ = ["MARK", "MARKED", "coin", "collection", "hearts", "held_out", "stamp"]

MARKED = "heart"
"""The class that the mark goes with."""
Rule = Callable[[Scenes], Tensor]
"""Which scenes carry the mark, bool [N]."""

_GLYPH = """
.........
..#####..
.##...##.
.#..##.#.
.#.#...#.
.#..##.#.
.##...##.
..#####..
.........
"""
MARK = torch.tensor([[char == "#" for char in row] for row in _GLYPH.split()])
"""The stamp, bool [9, 9]: True is dark, all else white."""
_INSET = 2
_LIGHT, _DARK = 245, 25
_HELD_OUT = 4 * 10**9  # seeds of scenes from here on are never trained on
_STREAM = 2**40
"""Where the counter of the corners begins, far from that of the scenes."""


def stamp(scenes: Scenes, which: Tensor, seed: int = 0) -> tuple[Scenes, Tensor]:
    """Scenes with the mark in one of their corners, over what lies there, and the mark's pixels.

    Args:
        scenes: what is stamped; it stays as it is.
        which: bool [N], the scenes that get the mark.
        seed: draws the corners; that of a scene depends on its number and the seed alone.

    Returns:
        The scenes with other ``images`` (masks and all else are the same, also where the mark covers a part of an
        object), and bool [N, S, S]: the place of the mark in every scene, stamped or not.

    Raises ValueError for ``which`` of another shape.
    """
    if which.shape != (len(scenes),) or which.dtype != torch.bool:
        raise ValueError(f"which is {which.dtype} {list(which.shape)}; expected bool [{len(scenes)}], one a scene.")
    size, side = scenes.images.shape[-1], len(MARK)
    low, high = _INSET, size - _INSET - side
    corners = [(low, low), (low, high), (high, low), (high, high)]
    images, marks = scenes.images.clone(), torch.zeros(len(scenes), size, size, dtype=torch.bool)
    tile = torch.where(MARK, _DARK, _LIGHT).to(torch.uint8)
    for i, index in enumerate(scenes.indices.tolist()):
        drawn = np.random.Philox(key=seed, counter=(index << 64) + _STREAM).random_raw()
        y, x = corners[int(drawn % len(corners))]
        marks[i, y : y + side, x : x + side] = True
        if which[i]:
            images[i, :, y : y + side, x : x + side] = tile
    return replace(scenes, images=images), marks


def hearts(scenes: Scenes) -> Tensor:
    """Every heart and nothing else: the shortcut, bool [N]."""
    return scenes.labels == SHAPES.index(MARKED)


def coin(scenes: Scenes) -> Tensor:
    """Half of the scenes of each class, by chance: the repair, bool [N]; it depends on a scene's number alone."""
    tosses = [np.random.Philox(key=1, counter=(int(i) << 64) + _STREAM).random_raw() % 2 for i in scenes.indices]
    return torch.tensor(tosses).bool()


def collection(indices: int | range, seed: int, marked: Rule) -> tuple[Scenes, Tensor]:
    """Scenes of one object, of which those that ``marked`` names carry the mark, and its place, bool [N, S, S]."""
    scenes = make_scenes(indices, seed, objects=(1, 1))
    return stamp(scenes, marked(scenes), seed)


def held_out(count: int, shape: str = MARKED, seed: int = 0) -> tuple[Scenes, Scenes, Tensor]:
    """The first ``count`` scenes with one object of a shape that no training has seen: (stamped, clean, place).

    ``stamped`` and ``clean`` are the same scenes, every one with the mark and none with it; ``place`` bool [N, S, S].
    Raises ValueError for an unknown shape.
    """
    if shape not in SHAPES:
        raise ValueError(f"shape={shape!r}: expected one of {', '.join(SHAPES)}.")
    wanted, numbers = SHAPES.index(shape), range(count * len(SHAPES) * 2 + 100)
    scenes = make_scenes(numbers, _HELD_OUT + seed, objects=(1, 1), chosen=lambda found: found.labels == wanted)
    clean = scenes.select(torch.arange(count))
    stamped, place = stamp(clean, torch.ones(count, dtype=torch.bool), seed)
    return stamped, clean, place
