"""The numbers of one picture's maps, many maps at once.

:func:`with_metrics` gives rows that were read the names of the metrics.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from camlib.engine import masking
from camlib.explanation import Explanation
from camlib.metrics import METRICS, Sample, control_maps, shown_part

PARTS = {"": "all", "_half": "half"}
"""End of a column's name -> part of the map through which the picture is seen, :func:`camlib.metrics.shown_part`."""
_TINY = 1e-12


def energies(maps: Tensor, masks: Tensor) -> Tensor:
    """Share of each map's energy on each region, [n, regions] in [0, 1]; 0 for an empty map (Wang et al. 2019, 5.2.2).

    ``maps`` [n, H, W] are not negative, ``masks`` bool [regions, H, W].
    """
    total = maps.sum(dim=(1, 2)).clamp(min=_TINY)
    return torch.einsum("nhw,rhw->nr", maps.double(), masks.double()) / total[:, None]


def agreement(shares: Tensor, effects: Tensor) -> Tensor:
    """How well maps agree with causes, [n] in [-1, 1]: Σ_k share_k · effect_k / max |effect|.

    Args:
        shares: of each map's energy on the visible pixels of each object, [n, objects].
        effects: by how much the logit falls when an object is taken out of the scene, [objects]; negative for one that
            speaks against the class.

    1: all energy lies on the object with the largest effect. Energy on the ground counts as 0.
    """
    return shares @ (effects / effects.abs().max().clamp(min=_TINY)).double()


def correlations(maps: Tensor, other: Tensor) -> Tensor:
    """Pearson correlation over positions of each map [n, h, w] with another [h, w]; NaN where one is flat."""
    first, second = (each.double().flatten(-2) for each in (maps, other))
    first, second = (each - each.mean(dim=-1, keepdim=True) for each in (first, second))
    size = first.norm(dim=-1) * second.norm(dim=-1)
    return torch.where(size > _TINY, (first * second).sum(dim=-1) / size, torch.nan)


def hits(maps: Tensor, masks: Tensor) -> Tensor:
    """Whether the largest value (the first in raster order) of each map [n, H, W] lies in the mask [H, W], bool [n]."""
    return masks.flatten()[maps.flatten(1).argmax(dim=1)] & (maps.flatten(1).amax(dim=1) > 0)


def alike(map_: Tensor, other: Tensor) -> float | None:
    """Correlation of two raw maps of one size; None for maps of pixels, and where one is flat."""
    if map_.shape != other.shape:
        return None
    found = float(correlations(map_[None], other)[0])
    return None if math.isnan(found) else found


def columns_of(maps: Sequence[Explanation], controls: int | None = None) -> tuple[dict[str, list], list[Tensor]]:
    """(columns, heatmaps) of the maps of one class, of which the first is the common one, ΣM.

    ``controls``: seed of the controls that are added behind the maps; None: none.
    """
    columns = {
        "method": [e.method for e in maps],
        "common": [e.options.get("common", "keep") for e in maps],
        "flat": [e.degenerate for e in maps],
        "alike_sum": [alike(e.raw, maps[0].raw) for e in maps],
    }
    heatmaps = [e.heatmap for e in maps]
    if controls is not None:
        added = control_maps(tuple(heatmaps[0].shape), seed=controls)
        columns["method"] += added
        columns["common"] += ["keep"] * len(added)
        columns["flat"] += [False] * len(added)
        heatmaps += added.values()
    return columns, heatmaps


def as_rows(place: dict[str, Any], columns: dict[str, list]) -> list[dict[str, Any]]:
    """One row a map; a column that ends before the controls leaves them without."""
    count = len(columns["method"])
    return [place | {name: values[i] for name, values in columns.items() if i < len(values)} for i in range(count)]


def extents(maps: Tensor, level: float = 0.5) -> Tensor:
    """Share of each map's pixels that reach ``level`` × maximum, [n] in [0, 1]: how wide it is; 0 where empty."""
    largest = maps.amax(dim=(1, 2), keepdim=True)
    return ((maps >= level * largest) & (largest > 0)).double().mean(dim=(1, 2))


def all_lit(maps: Tensor, masks: Tensor, level: float = 0.5) -> Tensor:
    """Whether every one of several regions [regions, H, W] holds a pixel above ``level`` × maximum, bool [n]."""
    hot = maps > level * maps.amax(dim=(1, 2), keepdim=True)
    return (hot[:, None] & masks).any(dim=(2, 3)).all(dim=1)


def behind(sample: Sample, maps: Sequence[Tensor]) -> dict[str, list]:
    """Drop of the probability behind each map and behind its upper half, and whether it rises.

    All of them go through the network together; :func:`camlib.metrics.masked_probability` asks for one. Returns the
    columns drop and drop_half, max(0, Y − O)/Y in [0, 1], and rise and rise_half, Y < O (Chattopadhay et al. 2018; half
    of the pixels muted: Wang et al. 2019, sec. 5.3).
    """
    shown = torch.stack([shown_part(map_, part) for part in PARTS.values() for map_ in maps])

    def write(buffer: Tensor, start: int, stop: int) -> None:
        masking.blend(sample.inputs.to(buffer), shown[start:stop].to(buffer), None, out=buffer)

    clean = sample.probability
    seen = sample.probabilities(len(shown), write).reshape(len(PARTS), len(maps))
    found = {}
    for suffix, probabilities in zip(PARTS, seen, strict=True):
        found[f"drop{suffix}"] = [max(0.0, clean - p) / clean if clean > 0 else 0.0 for p in probabilities]
        found[f"rise{suffix}"] = [bool(clean < p) for p in probabilities]
    return found


def curves(sample: Sample, maps: Sequence[Tensor | None]) -> dict[str, list[float | None]]:
    """Areas under the deletion and insertion curves of each map, see :mod:`camlib.metrics.curves`; None stays None."""
    samples = [None if map_ is None else sample.with_heatmap(map_) for map_ in maps]
    return {
        name: [None if each is None else METRICS[name](each) for each in samples] for name in ("deletion", "insertion")
    }


DERIVED = {
    "average-drop": ("drop",),
    "average-drop-half": ("drop_half",),
    "average-increase": ("rise",),
    "average-increase-half": ("rise_half",),
    "class_share": ("energy", "on_objects"),
    "overall": ("insertion", "deletion"),
}
"""Metric -> columns of the rows that it follows from."""


def with_metrics(rows: pd.DataFrame, metrics: Iterable[str] = tuple(DERIVED)) -> pd.DataFrame:
    """Rows with metrics of :data:`DERIVED`: drops, increases in percent, class share, overall = insertion − deletion.

    Columns keep what is measured as it is stored, shares in [0, 1]; the metrics' units are those of
    :data:`camlib.metrics.METRICS` (Chattopadhay et al. 2018; Liang et al. 2022, sec. 4.5).
    """
    return rows.assign(**{name: _derived(name, *(rows[column] for column in DERIVED[name])) for name in metrics})


def _derived(metric: str, first: pd.Series, second: pd.Series | None = None) -> pd.Series:
    if metric == "class_share":
        return (first / second).where(second > 0)
    return 100 * first.astype("float32") if second is None else first - second
