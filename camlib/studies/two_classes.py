"""Scenes with two objects of two classes, and what a map says of them: is it on objects, is it on the right one."""

from __future__ import annotations

from typing import Any

from camlib.data.scenes import Scenes, make_scenes
from camlib.explanation import Explanation
from camlib.metrics import energy_share


def two_classes(count: int, family: int) -> Scenes:
    """The first ``count`` scenes of a family (seed) with two visible objects of two classes."""
    many = make_scenes(2 * count + 20, family, objects=(2, 2), repeat=0.0)
    good = (many.counts == 2) & (many.shapes[:, 0] != many.shapes[:, -1])
    return make_scenes(many.indices[good][:count].tolist(), family, objects=(2, 2), repeat=0.0)


def shares(scenes: Scenes, e: Explanation) -> dict[str, Any]:
    """Energy and class share of the map of one class of scene ``e.picture``.

    "energy" is the share of the heatmap on the visible pixels of the class, Σ_b H / Σ H, so that a uniform map gets
    their area. "class share" is the part of it among what lies on any object: ½ on two objects of one size for a map
    that knows no class, and ½ by definition where nothing lies on an object. "empty" says whether the map is.
    """
    own, objects = scenes.class_mask(e.picture, e.target), scenes.instances[e.picture] > 0
    on_own, on_any = energy_share(e.heatmap, own), energy_share(e.heatmap, objects)
    return {"energy": on_own, "class share": on_own / on_any if on_any else 0.5, "empty": e.degenerate}
