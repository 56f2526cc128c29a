"""How scenes look: the shapes, textures, colors and grounds, and the pixels of a layout (:mod:`.scene_layouts`).

Edges are hard, so that masks are exact: a pixel belongs to a shape if its center does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import MappingProxyType

import numpy as np
import skimage.data
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Floats = NDArray[np.floating]
Rule = Callable[[Floats, Floats], NDArray[np.bool_]]


def _star(x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Five points: inside at least four of the five half-planes of a pentagram whose points lie on the unit circle."""
    turns = 2 * np.pi / 5 * np.arange(5) - np.pi / 2
    return sum((np.cos(t) * x + np.sin(t) * y <= np.cos(2 * np.pi / 5)).astype(np.int8) for t in turns) >= 4


def _heart(x: Floats, y: Floats) -> NDArray[np.bool_]:
    u, v = 1.3 * x, 0.15 - 1.3 * y
    return (u * u + v * v - 1) ** 3 <= u * u * v**3


_SHAPES: dict[str, Rule] = {
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

_TEXTURES: dict[str, Rule] = {
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

_TILE = 256  # side of a ground texture
_DARK = 0.55


def render(
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


def _by_kind(rules: dict[str, Rule], kinds: NDArray[np.int64], u: Floats, v: Floats) -> NDArray[np.bool_]:
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
