"""What a notebook knows about its pictures: boxes, masks and second heatmaps, looked up for each explanation."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from camlib.data.boxes import Box
from camlib.evaluate.grid_game import Mosaics
from camlib.explanation import Explanation
from camlib.metrics import METRICS
from camlib.metrics.registry import NEEDS
from camlib.networks import Network

Lookup = Callable[[Explanation], Any] | Mapping[int, Any] | Sequence[Any]
"""How ground truth is given: a function of the explanation, or one entry for each picture (list, or dict by number).

An entry holds for every class of its picture, unless it is a dict by class.
"""
_GIVE = {
    "score": "net=, the network that was explained",
    "boxes": "boxes=: the mosaics of camlib.mosaics, or (x0, y0, x1, y1) in pixels of the heatmap for each picture",
    "mask": "masks=: a bool [H, W] for each picture",
    "reference": "references=: the explanations to compare with, one for each of yours in the same order",
}


@dataclass(frozen=True)
class Truth:
    """Ground truth of a list of explanations, as the arguments of :func:`camlib.score` give it."""

    net: Network | None = None
    boxes: Mosaics | Lookup | None = None
    masks: Lookup | None = None
    references: Sequence[Explanation | Tensor] | None = None

    def check(self, metric: str, count: int, controls: bool) -> None:
        """Raise ValueError where the metric needs what was not given, or what controls do not have."""
        given = {"score": self.net, "boxes": self.boxes, "mask": self.masks, "reference": self.references}
        for need in METRICS[metric].needs:
            if given[need] is None:
                raise ValueError(f"{metric} needs {NEEDS[need]}: give {_GIVE[need]}.")
            if need == "reference" and controls:
                raise ValueError(f"{metric} needs {NEEDS[need]}, and controls have none; leave controls out.")
        if self.references is not None and len(self.references) != count:
            raise ValueError(f"{len(self.references)} references for {count} explanations; give one for each.")

    def of(self, e: Explanation) -> dict[str, Any]:
        """Boxes and mask of the explained class, as :class:`camlib.metrics.Sample` takes them."""
        found: dict[str, Any] = {"boxes": self._boxes(e)}
        if self.masks is not None:
            mask = _entry("masks", self.masks, e)
            found["mask"] = None if mask is None else torch.as_tensor(mask)
        return found

    def _boxes(self, e: Explanation) -> Sequence[Box]:
        if self.boxes is None:
            return ()
        if isinstance(self.boxes, Mosaics):
            return [self.boxes.boxes[e.picture][self.boxes.cell_of(e)]]
        found = _entry("boxes", self.boxes, e)
        if found is None:
            return ()
        return [tuple(found)] if len(found) == 4 and all(isinstance(c, numbers.Number) for c in found) else found

    def places(self, e: Explanation) -> dict[str, Any]:
        """Columns that say which cell of a mosaic is explained, and which photograph lies there."""
        if not isinstance(self.boxes, Mosaics):
            return {}
        cell = self.boxes.cell_of(e)
        return {"cell": cell, "photo": self.boxes.names[e.picture][cell]}

    def reference(self, number: int) -> Tensor | None:
        """The heatmap to compare explanation ``number`` with."""
        if self.references is None:
            return None
        found = self.references[number]
        return found.heatmap if isinstance(found, Explanation) else found


def _entry(name: str, given: Lookup, e: Explanation) -> Any:
    """What is known of the explained class; None where a dict does not hold it."""
    if callable(given):
        return given(e)
    if isinstance(given, Mapping):
        entry = given.get(e.picture)
    elif e.picture < len(given):
        entry = given[e.picture]
    else:
        raise ValueError(f"{name} has {len(given)} entries, but picture {e.picture} is explained; give one a picture.")
    return entry.get(e.target) if isinstance(entry, Mapping) else entry
