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

A scene depends on its index, the seed and the settings alone, never on the batch in which it is made: scene i draws its
numbers from a counter-based generator (Philox) whose counter starts at i. Everything is worked out for many scenes at
once, with hard edges, so that masks are exact: a pixel belongs to a shape if its center does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cache, cached_property
from types import MappingProxyType

import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

Floats = NDArray[np.floating]
Box = tuple[int, int, int, int]


def _star(x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Five points: inside at least four of the five half-planes of a pentagram whose points lie on the unit circle."""
    turns = 2 * np.pi / 5 * np.arange(5) - np.pi / 2
    return sum((np.cos(t) * x + np.sin(t) * y <= np.cos(2 * np.pi / 5)).astype(np.int8) for t in turns) >= 4


def _heart(x: Floats, y: Floats) -> NDArray[np.bool_]:
    u, v = 1.3 * x, 0.15 - 1.3 * y
    return (u * u + v * v - 1) ** 3 <= u * u * v**3


_SHAPES: dict[str, Callable[[Floats, Floats], NDArray[np.bool_]]] = {
    "circle": lambda x, y: x * x + y * y <= 1,
    "ring": lambda x, y: np.abs(x * x + y * y - 0.65) <= 0.35,
    "square": lambda x, y: np.maximum(np.abs(x), np.abs(y)) <= 0.7,
    "triangle": lambda x, y: (y <= 0.5) & (np.sqrt(3) * np.abs(x) - y <= 1),
    "cross": lambda x, y: (np.minimum(np.abs(x), np.abs(y)) <= 0.3) & (np.maximum(np.abs(x), np.abs(y)) <= 0.95),
    "star": _star,
    "heart": _heart,
    "crescent": lambda x, y: (x * x + y * y <= 1) & ((x - 0.45) ** 2 + y * y > 0.55),
}
"""Shape -> is (x, y) inside? x to the right, y down, the whole shape within the unit circle."""

_TEXTURES: dict[str, Callable[[Floats, Floats], NDArray[np.bool_]]] = {
    "plain": lambda x, y: np.zeros(x.shape, dtype=bool),
    "striped": lambda x, y: np.floor(2.5 * x) % 2 == 1,
    "checked": lambda x, y: (np.floor(2 * x) + np.floor(2 * y)) % 2 == 1,
    "dotted": lambda x, y: (2.5 * x % 1 - 0.5) ** 2 + (2.5 * y % 1 - 0.5) ** 2 < 0.1,
}
"""Texture -> is (x, y) dark?"""

SHAPES = tuple(_SHAPES)
"""The classes, in the order of their numbers."""
TEXTURES = tuple(_TEXTURES)
COLORS = MappingProxyType(
    {
        "red": (0.85, 0.14, 0.12),
        "orange": (0.94, 0.55, 0.08),
        "yellow": (0.93, 0.87, 0.14),
        "green": (0.14, 0.65, 0.20),
        "cyan": (0.10, 0.75, 0.80),
        "blue": (0.15, 0.25, 0.85),
        "purple": (0.55, 0.18, 0.70),
        "white": (0.93, 0.93, 0.93),
    }
)
"""Name -> RGB in [0, 1]; every object's own color is within 0.05 of it, and 0.55 times as bright where it is dark."""
GROUNDS = ("brick", "grass", "gravel", "clouds", "weave", "grain")
"""Textures of the ground: three photographs of scikit-image, three generated ones."""
RELATIONS = ("left of", "right of", "above", "below")
WORDS = ("a", "an", *COLORS, *SHAPES, "left", "right", "of", "above", "below")
"""Every word that a sentence can hold."""
MOST_OBJECTS = 6
SIZES = (32, 512)
"""Smallest and largest side of a scene in pixels."""

_CANDIDATES = 16  # places that are tried for an object
_NEAREST = 0.7  # distance of two centers that overlap, at least this share of the sum of their radii
_SCENE_DRAWS, _OBJECT_DRAWS = 13, 12 + 2 * _CANDIDATES  # random numbers a scene and an object
_CHUNK = 128  # scenes that are worked out together: their arrays fit the caches
_TILE = 256  # side of a ground texture
_DARK = 0.55


@dataclass(frozen=True, eq=False)
class Scenes:
    """N scenes of side S with up to O objects. Object k of a scene is drawn over the objects before it.

    Attributes:
        images: uint8 [N, 3, S, S].
        instances: uint8 [N, S, S]; 0 is ground, k + 1 a visible pixel of object k.
        shapes, colors, textures: int64 [N, O], numbers in SHAPES, COLORS, TEXTURES; -1 where there is no object. The
            objects of a scene come first, the gaps last.
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
    parts = []
    for start in range(0, len(numbers), _CHUNK):
        chunk = numbers[start : start + _CHUNK]
        scene, each = _draws(chunk, seed)
        layout = _layout(scene, each, size, objects, occlusion, repeat) | {"indices": chunk}
        if chosen is not None:
            kept = chosen(_undrawn(layout, size)).numpy()
            scene, each, layout = scene[kept], each[kept], {name: values[kept] for name, values in layout.items()}
        images, instances = _render(layout, scene, each, size)
        parts.append(layout | {"images": images, "instances": instances})
    joined = {field.name: np.concatenate([part[field.name] for part in parts]) for field in fields(Scenes)}
    return Scenes(**{name: torch.from_numpy(values) for name, values in joined.items()})


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


# -- what is where


def _draws(indices: NDArray[np.int64], seed: int) -> tuple[Floats, Floats]:
    """Uniform numbers in [0, 1) of each scene, [N, scene draws], and of each object, [N, O, object draws]."""
    count = _SCENE_DRAWS + MOST_OBJECTS * _OBJECT_DRAWS
    raw = np.stack([np.random.Philox(key=seed, counter=int(i) << 64).random_raw(count) for i in indices])
    uniform = (raw >> np.uint64(11)) * 2.0**-53
    return uniform[:, :_SCENE_DRAWS], uniform[:, _SCENE_DRAWS:].reshape(len(indices), MOST_OBJECTS, _OBJECT_DRAWS)


def _layout(
    scene: Floats, each: Floats, size: int, objects: tuple[int, int], occlusion: float, repeat: float
) -> dict[str, np.ndarray]:
    """Shapes, colors, places and the sentence's objects of scenes, as in :class:`Scenes`."""
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


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _extent(hits: Tensor) -> tuple[Tensor, Tensor]:
    """First and one past the last True along the last axis; (0, 0) where there is none."""
    length = hits.shape[-1]
    ramp = torch.arange(length)
    first = torch.where(hits, ramp, length).amin(dim=-1)
    last = torch.where(hits, ramp + 1, 0).amax(dim=-1)
    return first.minimum(last), last


# -- pixels


def _render(
    layout: dict[str, np.ndarray], scene: Floats, each: Floats, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images uint8 [N, 3, S, S] and instances uint8 [N, S, S]."""
    images = _ground(layout["grounds"], scene, size)
    instances = np.zeros((len(scene), size, size), dtype=np.uint8)
    slot, owner = np.nonzero(layout["shapes"].T >= 0)  # all first objects, then all second ones: later ones in front
    cx, cy = layout["centers"][owner, slot].T
    radii, drawn = layout["radii"][owner, slot], each[owner, layout["slots"][owner, slot]]
    reach = int(radii.max(initial=0)) + 2
    offsets = np.arange(-reach, reach + 1)
    xs, ys = (np.rint(c).astype(np.int64)[:, None] + offsets for c in (cx, cy))
    x, y = (((p - c[:, None]) / radii[:, None]).astype(np.float32) for p, c in ((xs, cx), (ys, cy)))
    turn = (drawn[:, 5] - 0.5).astype(np.float32) * np.float32(0.6)  # at most 17 degrees: squares stay squares
    cos, sin = np.cos(turn)[:, None, None], np.sin(turn)[:, None, None]
    u, v = cos * x[:, None, :] + sin * y[:, :, None], cos * y[:, :, None] - sin * x[:, None, :]
    inside = _by_kind(_SHAPES, layout["shapes"][owner, slot], u, v)
    dark = _by_kind(_TEXTURES, layout["textures"][owner, slot], u, v)
    which, i, j = np.nonzero(inside)
    pixel = (owner[which], ys[which, i], xs[which, j])
    instances[pixel] = slot[which] + 1  # where an index repeats, the last value stays
    color = np.array(list(COLORS.values()))[layout["colors"][owner, slot]] + 0.1 * (drawn[:, 9:12] - 0.5)
    shades = (255 * np.stack([color, _DARK * color], axis=1) + 0.5).astype(np.uint8)
    images[pixel[0], :, pixel[1], pixel[2]] = shades[which, dark[which, i, j].astype(np.int64)]
    return images, instances


def _by_kind(
    rules: dict[str, Callable[[Floats, Floats], NDArray[np.bool_]]], kinds: NDArray[np.int64], u: Floats, v: Floats
) -> NDArray[np.bool_]:
    """Each object's own rule on its own coordinates, bool [objects, p, p]."""
    found = np.empty(u.shape, dtype=bool)
    for kind, rule in enumerate(rules.values()):
        own = kinds == kind
        found[own] = rule(u[own], v[own])
    return found


def _ground(grounds: NDArray[np.int64], scene: Floats, size: int) -> NDArray[np.uint8]:
    """A window of each scene's ground texture in its own tint, uint8 [N, 3, S, S]."""
    step = 0.5 + 0.7 * scene[:, 5, None]
    rows, columns = (
        (2 * _TILE * scene[:, k, None] + step * np.arange(size)).astype(np.int64) % (2 * _TILE) for k in (6, 7)
    )
    texture = _tiles()[grounds[:, None, None], rows[:, :, None], columns[:, None, :]]
    tint = 0.35 + 0.3 * scene[:, 8, None] + 0.16 * (scene[:, 9:12] - 0.5)
    contrast = 0.25 + 0.25 * scene[:, 12]  # at most 0.5: with the tint in [0.27, 0.73] nothing leaves [0, 1]
    gain, offset = ((255 * values).astype(np.float32) for values in (contrast, tint))
    return (texture[:, None] * gain[:, None, None, None] + (offset + 0.5)[..., None, None]).astype(np.uint8)


@cache
def _tiles() -> NDArray[np.float32]:
    """Ground textures in [-0.5, 0.5], mirrored to twice their side so that they tile: [GROUNDS, 512, 512]."""
    photographs = [getattr(skimage.data, name)() for name in GROUNDS[:3]]
    halved = [photo.reshape(_TILE, 2, _TILE, 2).mean(axis=(1, 3)) for photo in photographs]
    noise = np.random.Generator(np.random.Philox(key=0)).random((2, _TILE, _TILE))
    clouds = sum(s * gaussian_filter(noise[0], s, mode="wrap") for s in (2, 4, 8, 16))
    wave = np.sin(2 * np.pi * np.arange(_TILE) / 16)
    weave = wave[:, None] * np.roll(wave, 4) + 0.5 * wave[:, None]
    grain = gaussian_filter(noise[1], 1, mode="wrap")
    return np.stack([_spread(tile) for tile in (*halved, clouds, weave, grain)])


def _spread(tile: Floats) -> NDArray[np.float32]:
    low, high = np.quantile(tile, [0.01, 0.99])
    scaled = np.clip((tile - low) / (high - low), 0, 1) - 0.5
    return np.pad(scaled, ((0, _TILE), (0, _TILE)), mode="symmetric").astype(np.float32)
