"""Scenes with ground truth: shapes on textured ground, the owner of every pixel known, and a sentence that is true.

    scenes = make_scenes(1000, seed=7)                    # scenes 0 to 999 of seed 7, one to six objects each
    scenes = make_scenes(range(500, 1000), seed=7)        # the second half of the same scenes, byte for byte
    scenes = make_scenes(1000, seed=7, objects=(1, 1))    # one object each: a classification task

    scenes.images        uint8 [N, 3, S, S]; scenes.images[i] is a picture for camlib.explain
    scenes.labels        int64 [N], the shape of each scene's first object: its class where there is one object
    scenes.masks         bool [N, O, S, S], the visible pixels of object k of scene i
    scenes.boxes         int64 [N, O, 4], half-open (x0, y0, x1, y1), tight around the visible pixels
    scenes.sentences     "a red circle left of a blue square"
    scenes.mentioned     int64 [N, 2], which objects the sentence names, in its order: the truth for a map of a word

    without = make_scenes(1000, seed=7, removed=1)        # the same scenes, drawn without their second object

A scene depends on its index, the seed and the settings alone, never on the batch in which it is made: scene i draws its
numbers from a counter-based generator (Philox) whose counter starts at i. Everything is worked out for many scenes at
once, with hard edges, so that masks are exact: a pixel belongs to a shape if its center does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camlib.data.boxes import Box
from camlib.data.scene_drawing import COLORS, GROUNDS, SHAPES, TEXTURES, render
from camlib.data.scene_layouts import MOST_OBJECTS, RELATIONS, draws, layout_of

__all__ = [
    "COLORS",
    "GROUNDS",
    "MOST_OBJECTS",
    "RELATIONS",
    "SHAPES",
    "SIZES",
    "TEXTURES",
    "WORDS",
    "Scenes",
    "make_scenes",
]

WORDS = ("a", "an", *COLORS, *SHAPES, "left", "right", "of", "above", "below")
"""Every word that a sentence can hold."""
SIZES = (32, 512)
"""Smallest and largest side of a scene in pixels."""

_CHUNK = 128  # scenes that are worked out together: their arrays fit the caches


@dataclass(frozen=True, eq=False)
class Scenes:
    """N scenes of side S with up to O objects. Object k of a scene is drawn over the objects before it.

    Attributes:
        images: uint8 [N, 3, S, S].
        instances: uint8 [N, S, S]; 0 is ground, k + 1 a visible pixel of object k.
        shapes, colors, textures: int64 [N, O], numbers in SHAPES, COLORS, TEXTURES; -1 where there is no object. The
            objects of a scene come first, the gaps last (apart from an object that was removed).
        grounds: int64 [N], number in GROUNDS.
        centers: float32 [N, O, 2], (x, y) in pixels, pixel centers being whole numbers; NaN where there is no object.
        radii: float32 [N, O], of the circle around each shape, in pixels; NaN where there is no object.
        mentioned: int64 [N, 2], the objects that the sentence names; -1 for a missing second one.
        relations: int64 [N], number in RELATIONS of the first mentioned object to the second; -1 with one object.
        indices: int64 [N], the number of each scene in its seed.
    """

    images: Tensor
    instances: Tensor
    shapes: Tensor
    colors: Tensor
    textures: Tensor
    grounds: Tensor
    centers: Tensor
    radii: Tensor
    mentioned: Tensor
    relations: Tensor
    indices: Tensor

    def __len__(self) -> int:
        return len(self.images)

    @property
    def counts(self) -> Tensor:
        """Number of objects, int64 [N], at least 1."""
        return (self.shapes >= 0).sum(dim=1)

    @property
    def labels(self) -> Tensor:
        """Shape of the first object, int64 [N]."""
        return self.shapes[:, 0]

    @cached_property
    def masks(self) -> Tensor:
        """Visible pixels of every object, bool [N, O, S, S]; all False where there is no object."""
        slots = torch.arange(1, self.shapes.shape[1] + 1, dtype=torch.uint8)
        return self.instances[:, None] == slots[:, None, None]

    @cached_property
    def boxes(self) -> Tensor:
        """Half-open boxes (x0, y0, x1, y1) around the visible pixels, int64 [N, O, 4]; zeros without an object."""
        sides = [_extent(self.masks.any(dim=dim)) for dim in (2, 3)]
        return torch.stack([sides[0][0], sides[1][0], sides[0][1], sides[1][1]], dim=-1)

    @cached_property
    def sentences(self) -> list[str]:
        """One true sentence a scene, such as "a red ring above an orange cross".

        With one object it is named; with more, two of them and how the center of the first lies to that of the second,
        along the axis on which they are further apart.
        """
        named = list(COLORS)
        columns = (self.mentioned, self.relations, self.colors, self.shapes)
        sentences = []
        for pair, relation, colors, shapes in zip(*(column.tolist() for column in columns), strict=True):
            phrases = [f"{_article(named[colors[k]])} {SHAPES[shapes[k]]}" for k in pair if k >= 0]
            sentences.append(f" {RELATIONS[relation]} ".join(phrases))
        return sentences

    def select(self, which: Tensor) -> Scenes:
        """Some of the scenes: ``which`` is bool [N] or holds their positions, int64 [n]."""
        return Scenes(**{field.name: getattr(self, field.name)[which] for field in fields(self)})

    def class_mask(self, scene: int, shape: int) -> Tensor:
        """Visible pixels of all objects of one shape, bool [S, S]: ``mask`` of :class:`camlib.metrics.Sample`."""
        return self.masks[scene][self.shapes[scene] == shape].any(dim=0)

    def class_boxes(self, scene: int, shape: int) -> list[Box]:
        """Boxes of all objects of one shape: ``boxes`` of :class:`camlib.metrics.Sample`."""
        return [tuple(box) for box in self.boxes[scene][self.shapes[scene] == shape].tolist()]


def make_scenes(
    indices: int | Sequence[int],
    seed: int = 0,
    *,
    size: int = 64,
    objects: tuple[int, int] = (1, MOST_OBJECTS),
    occlusion: float = 0.5,
    repeat: float = 0.25,
    chosen: Callable[[Scenes], Tensor] | None = None,
    removed: int | None = None,
) -> Scenes:
    """The scenes with these numbers.

    Args:
        indices: how many scenes, counted from 0, or the numbers of the scenes.
        seed: which family of scenes; train and test on different seeds.
        size: side S in pixels.
        objects: smallest and largest number of objects, each number as likely. With five or six now and then one finds
            no room and is left out.
        occlusion: probability that an object is put in front of the one before it, if there is room. It then covers a
            part of it, never all; objects that do not overlap keep disjoint circles. 0: nothing is ever covered.
        repeat: probability that an object after the first takes the first one's shape (several objects of one class).
        chosen: which of them are wanted, bool [N], told from scenes whose pixels are zeros still: only these are drawn
            and returned. None: all.
        removed: number k of the object that is not drawn; its shape, color and texture are -1, its place stays empty,
            what it covered is seen, and all else is the same to the pixel. ``chosen`` is asked before, sentences name
            it still. None: nothing is removed.

    Raises:
        ValueError: no scene is asked for, a negative index, a number out of its range.
        TypeError: indices that are not whole numbers.
    """
    numbers = _checked_indices(indices)
    low, high = objects
    _check(1 <= low <= high <= MOST_OBJECTS, f"objects={objects}: expected 1 <= low <= high <= {MOST_OBJECTS}.")
    _check(SIZES[0] <= size <= SIZES[1], f"size={size}: expected {SIZES[0]} to {SIZES[1]} pixels.")
    _check(0 <= occlusion <= 1, f"occlusion={occlusion}: expected a probability in [0, 1].")
    _check(0 <= repeat <= 1, f"repeat={repeat}: expected a probability in [0, 1].")
    _check(0 <= seed < 2**64, f"seed={seed}: expected a whole number in [0, 2**64).")
    _check(removed is None or 0 <= removed < high, f"removed={removed}: expected None or 0 to {high - 1}.")
    parts = []
    for start in range(0, len(numbers), _CHUNK):
        chunk = numbers[start : start + _CHUNK]
        scene, each = draws(chunk, seed)
        layout = layout_of(scene, each, size, objects, occlusion, repeat) | {"indices": chunk}
        if chosen is not None:
            kept = chosen(_undrawn(layout, size)).numpy()
            scene, each, layout = scene[kept], each[kept], {name: values[kept] for name, values in layout.items()}
        if removed is not None:
            layout |= {name: _without(layout[name], removed) for name in ("shapes", "colors", "textures")}
        images, instances = render(layout, scene, each, size)
        parts.append(layout | {"images": images, "instances": instances})
    joined = {field.name: np.concatenate([part[field.name] for part in parts]) for field in fields(Scenes)}
    return Scenes(**{name: torch.from_numpy(values) for name, values in joined.items()})


def _without(values: np.ndarray, k: int) -> np.ndarray:
    """Numbers [N, O] of objects, with -1 for object k."""
    return np.where(np.arange(values.shape[1]) == k, -1, values)


def _undrawn(layout: dict[str, np.ndarray], size: int) -> Scenes:
    """What is where, without pixels: zeros that take no memory stand for them."""
    blank = torch.zeros((), dtype=torch.uint8)
    pixels = {"images": blank.expand(len(layout["indices"]), 3, size, size)}
    pixels["instances"] = pixels["images"][:, 0]
    known = {field.name: torch.from_numpy(layout[field.name]) for field in fields(Scenes) if field.name in layout}
    return Scenes(**known, **pixels)


def _check(right: bool, message: str) -> None:
    if not right:
        raise ValueError(message)


def _checked_indices(indices: int | Sequence[int]) -> NDArray[np.int64]:
    numbers = np.arange(indices) if isinstance(indices, int) else np.asarray(indices)
    if numbers.size == 0 or numbers.ndim != 1:
        raise ValueError(f"indices={indices!r}: expected a number of scenes, at least 1, or a sequence of numbers.")
    if not np.issubdtype(numbers.dtype, np.integer):
        raise TypeError(f"indices are {numbers.dtype}; expected whole numbers.")
    _check(numbers.min() >= 0, f"indices go down to {numbers.min()}; scenes are counted from 0.")
    return numbers.astype(np.int64)


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _extent(hits: Tensor) -> tuple[Tensor, Tensor]:
    """First and one past the last True along the last axis; (0, 0) where there is none."""
    length = hits.shape[-1]
    ramp = torch.arange(length)
    first = torch.where(hits, ramp, length).amin(dim=-1)
    last = torch.where(hits, ramp + 1, 0).amax(dim=-1)
    return first.minimum(last), last
