"""What is where in a scene: its numbers, the places of its objects, and the two that its sentence names."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from camlib.data.scene_drawing import COLORS, GROUNDS, SHAPES, TEXTURES, Floats

RELATIONS = ("left of", "right of", "above", "below")
MOST_OBJECTS = 6
_CANDIDATES = 16  # places that are tried for an object
_NEAREST = 0.7  # distance of two centers that overlap, at least this share of the sum of their radii
_SCENE_DRAWS, _OBJECT_DRAWS = 13, 12 + 2 * _CANDIDATES  # random numbers a scene and an object


def draws(indices: NDArray[np.int64], seed: int) -> tuple[Floats, Floats]:
    """Uniform numbers in [0, 1) of each scene, [N, scene draws], and of each object, [N, O, object draws]."""
    count = _SCENE_DRAWS + MOST_OBJECTS * _OBJECT_DRAWS
    raw = np.stack([np.random.Philox(key=seed, counter=int(i) << 64).random_raw(count) for i in indices])
    uniform = (raw >> np.uint64(11)) * 2.0**-53
    return uniform[:, :_SCENE_DRAWS], uniform[:, _SCENE_DRAWS:].reshape(len(indices), MOST_OBJECTS, _OBJECT_DRAWS)


def layout_of(
    scene: Floats, each: Floats, size: int, objects: tuple[int, int], occlusion: float, repeat: float
) -> dict[str, np.ndarray]:
    """Shapes, colors, places and the sentence's objects of scenes, as in :class:`camlib.data.scenes.Scenes`."""
    low, high = objects
    each = each[:, :high]
    counts = low + _choice(scene[:, 0], high - low + 1)
    shapes = _choice(each[..., 0], len(SHAPES))
    shapes = np.where(each[..., 1] < repeat, shapes[:, :1], shapes)
    # Many objects are smaller, so that they find room; sizes within a scene differ by at most 1.15 / 0.85.
    base = size * (0.14 + 0.06 * scene[:, 1]) / np.sqrt(1 + 0.2 * (counts - 1))
    radii = base[:, None] * (0.85 + 0.3 * each[..., 4])
    wanted = np.arange(high) < counts[:, None]
    centers = _place(each, radii, wanted, size, occlusion)
    absent = np.isinf(centers[..., 0])
    order = np.argsort(absent, axis=1, kind="stable")
    arrays = {
        "shapes": np.where(absent, -1, shapes),
        "colors": np.where(absent, -1, _choice(each[..., 2], len(COLORS))),
        "textures": np.where(absent, -1, _choice(each[..., 3], len(TEXTURES))),
        "radii": np.where(absent, np.nan, radii).astype(np.float32),
        "slots": np.broadcast_to(np.arange(high), absent.shape),
    }
    arrays = {name: np.take_along_axis(values, order, axis=1) for name, values in arrays.items()}
    arrays["centers"] = np.take_along_axis(np.where(absent[..., None], np.nan, centers), order[..., None], axis=1)
    arrays["centers"] = arrays["centers"].astype(np.float32)
    arrays["grounds"] = _choice(scene[:, 2], len(GROUNDS))
    return arrays | _mention(scene, arrays["centers"])


def _choice(uniform: Floats, kinds: int | NDArray[np.integer]) -> NDArray[np.int64]:
    return (uniform * kinds).astype(np.int64)


def _place(each: Floats, radii: Floats, wanted: NDArray[np.bool_], size: int, occlusion: float) -> Floats:
    """Centers (x, y) [N, O, 2] so that every shape lies inside the picture; infinite where an object finds no room.

    An object goes to the roomiest of its candidates, if its circle is then disjoint from all others. Every second one
    may instead go to a place in front of the one before it, so each object overlaps at most one other.
    """
    scenes, slots = radii.shape
    centers = np.full((scenes, slots, 2), np.inf)
    for k in range(slots):
        r = radii[:, k]
        low, high = (r + 0.5)[:, None], (size - 1.5 - r)[:, None]
        candidates = low[..., None] + (high - low)[..., None] * each[:, k, 12:].reshape(scenes, -1, 2)
        room = _room(candidates, r, centers[:, :k], radii[:, :k])
        best = room.argmax(axis=1)
        rows = np.arange(scenes)
        place, found = candidates[rows, best], room[rows, best] >= 1
        if k % 2:
            reach = (_NEAREST + 0.25 * each[:, k, 6]) * (r + radii[:, k - 1])
            turn = 2 * np.pi * each[:, k, 7]
            step = reach[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
            front = np.clip(centers[:, k - 1] + step, low, high)
            near = _room(front[:, None], r, centers[:, k - 1 : k], radii[:, k - 1 : k])[:, 0]
            free = _room(front[:, None], r, centers[:, : k - 1], radii[:, : k - 1])[:, 0]
            covers = (each[:, k, 8] < occlusion) & (near >= _NEAREST) & (near < 1) & (free >= 1)
            place, found = np.where(covers[:, None], front, place), found | covers
        centers[:, k] = np.where((found & wanted[:, k])[:, None], place, np.inf)
    return centers


def _room(candidates: Floats, r: Floats, centers: Floats, radii: Floats) -> Floats:
    """Smallest distance to the centers over the sum of the radii, [N, candidates]; 1: the circles touch."""
    room = np.full(candidates.shape[:2], np.inf)
    for j in range(centers.shape[1]):
        distance = np.sqrt(((candidates - centers[:, j, None]) ** 2).sum(axis=-1))
        room = np.minimum(room, distance / (r + radii[:, j])[:, None])
    return room


def _mention(scene: Floats, centers: Floats) -> dict[str, np.ndarray]:
    """Two objects for the sentence, and how the first lies to the second."""
    counts = np.isfinite(centers[..., 0]).sum(axis=1)
    first = _choice(scene[:, 3], counts)
    second = (first + 1 + _choice(scene[:, 4], np.maximum(counts - 1, 1))) % counts
    rows = np.arange(len(counts))
    x, y = (centers[rows, first] - centers[rows, second]).T
    relation = np.where(np.abs(x) >= np.abs(y), np.where(x < 0, 0, 1), np.where(y < 0, 2, 3))
    alone = counts == 1
    return {
        "mentioned": np.stack([first, np.where(alone, -1, second)], axis=1),
        "relations": np.where(alone, -1, relation).astype(np.int64),
    }
