"""``Sample``: one heatmap of one picture with everything that a metric may ask of it."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from camlib.data.boxes import Box
from camlib.engine.scoring import Scorer, Writer
from camlib.networks import Network

Score = Callable[[int, Writer], Tensor]
"""``score(count, write)``: probabilities [count, classes] of the ``count`` normalized pictures that ``write`` makes."""
Value = TypeVar("Value")


def probability_score(scorer: Scorer, what: str = "pictures") -> Score:
    """Probabilities of the classes from a :class:`Scorer`; ``what`` names the progress bar."""

    def score(count: int, write: Writer) -> Tensor:
        return scorer.network.probabilities(scorer.logits(count, write, what))

    return score


@dataclass(frozen=True, eq=False)
class Sample:
    """One heatmap under test. Metrics read it; what they compute from passes is kept for the next metric.

    Attributes:
        network: the classifier; None where only place is judged.
        inputs: the picture as the network takes it, [3, H, W] (or [1, H, W]), normalized.
        heatmap: float32 [H, W] in [0, 1], CPU.
        target: index of the explained class; it stays the same for every changed version of the picture.
        probability: softmax probability of the target on the clean picture, by the same ``score``: a folded network
            differs by rounding, and a rise by rounding is no increase in confidence (:meth:`of` sees to it).
        score: probabilities of many changed pictures, see :data:`Score`; None for metrics of place alone.
        boxes: ground truth of the target, half-open (x0, y0, x1, y1) in pixels of the heatmap; may be empty.
        mask: ground truth of the target as bool [H, W], or None.
        raw: the map [h, w] before upsampling and scaling, or None; the grid pointing game reads it.
        reference: another heatmap [H, W] of the same picture to compare with (of another class, or of a network with
            random weights), or None.

    Raises:
        ValueError: shapes that do not belong together, values out of range, a box outside the picture.
    """

    network: Network | None
    inputs: Tensor
    heatmap: Tensor
    target: int
    probability: float
    score: Score | None = None
    boxes: Sequence[Box] = ()
    mask: Tensor | None = None
    raw: Tensor | None = None
    reference: Tensor | None = None
    _kept: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.inputs.dim() != 3:
            raise ValueError(f"inputs is one picture [3,H,W]; given {list(self.inputs.shape)}. Drop the batch axis.")
        self._check_map("heatmap", self.heatmap)
        if self.reference is not None:
            self._check_map("reference", self.reference)
        if self.mask is not None and (self.mask.shape != self.heatmap.shape or self.mask.dtype != torch.bool):
            raise ValueError(
                f"mask is {self.mask.dtype} {list(self.mask.shape)}; expected bool {list(self.heatmap.shape)}."
            )
        if self.raw is not None and (self.raw.dim() != 2 or not bool(self.raw.isfinite().all())):
            raise ValueError(f"raw is one finite map [h,w]; given {list(self.raw.shape)}, perhaps with NaN or Inf.")
        if not 0 <= self.probability <= 1:
            raise ValueError(
                f"probability={self.probability}: expected the softmax probability of class {self.target}."
            )
        object.__setattr__(self, "boxes", tuple(_checked_box(box, self.size) for box in self.boxes))

    def _check_map(self, name: str, given: Tensor) -> None:
        if tuple(given.shape) != tuple(self.inputs.shape[-2:]):
            raise ValueError(
                f"{name} is {list(given.shape)} for a picture {list(self.inputs.shape)}; expected "
                f"{list(self.inputs.shape[-2:])}: use Explanation.heatmap, which is upsampled."
            )
        low, high = float(given.min()), float(given.max())
        if not (low >= 0 and high <= 1):  # NaN fails both
            raise ValueError(
                f"{name} has values from {low:.3g} to {high:.3g}; expected [0, 1]: use Explanation.heatmap."
            )

    @classmethod
    def of(
        cls, network: Network, inputs: Tensor, heatmap: Tensor, target: int, score: Score | None = None, **truth: Any
    ) -> Sample:
        """The sample with its clean probability from one pass of ``score``, a new Scorer where none is given.

        Share one ``score`` between all heatmaps of a picture. ``truth``: boxes, mask, raw, reference.
        """
        score = score or probability_score(Scorer(network, inputs[None]))
        probabilities = score(1, lambda buffer, start, stop: buffer.copy_(inputs[None]))
        classes = probabilities.shape[1]
        return cls(
            network, inputs, heatmap, target, float(probabilities[0, _index(target, classes)]), score=score, **truth
        )

    def with_heatmap(self, heatmap: Tensor, raw: Tensor | None = None) -> Sample:
        """The same picture, class and ground truth with another heatmap (another method, a control)."""
        return replace(self, heatmap=heatmap, raw=raw)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the heatmap."""
        return tuple(self.heatmap.shape)

    @property
    def empty(self) -> bool:
        """True where the heatmap is zero everywhere: metrics then fall back to a definition, and tables count it."""
        return not bool(self.heatmap.any())

    def probabilities(self, count: int, write: Writer) -> np.ndarray:
        """Probability of the target on ``count`` changed pictures, float64 [count].

        Raises ValueError where the sample has no ``score``, or the score gives no finite [count, classes].
        """
        if self.score is None:
            raise ValueError("This sample has no score, and the metric needs passes: build it with Sample.of.")
        found = self.score(count, write)
        if found.dim() != 2 or len(found) != count:
            raise ValueError(f"score returned {list(found.shape)} for {count} pictures; expected [{count}, classes].")
        column = found[:, _index(self.target, found.shape[1])].double().cpu().numpy()
        if not np.isfinite(column).all():
            raise ValueError(f"score returned NaN or Inf for class {self.target}; check the network's weights.")
        return column

    def kept(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """``compute()``, called once for this sample and ``key``: metrics of the same passes share them."""
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]


def _index(target: int, classes: int) -> int:
    if not 0 <= target < classes:
        raise ValueError(f"target={target} is out of range: the network has classes 0 to {classes - 1}.")
    return target


def _checked_box(box: Sequence[Any], size: tuple[int, int]) -> Box:
    """The box as four ints; ValueError unless it holds at least one pixel and lies inside [H, W] = ``size``."""
    corners = tuple(box)
    if len(corners) != 4 or not all(isinstance(c, numbers.Integral) for c in corners):
        raise ValueError(
            f"box {corners}: expected four integers (x0, y0, x1, y1); camlib.data.boxes.resized_boxes rounds."
        )
    x0, y0, x1, y1 = map(int, corners)
    if not (0 <= x0 < x1 <= size[1] and 0 <= y0 < y1 <= size[0]):
        raise ValueError(
            f"box {corners}: expected 0 <= x0 < x1 <= {size[1]} and 0 <= y0 < y1 <= {size[0]}, half-open pixels of the "
            f"heatmap; camlib.data.boxes.resized_boxes brings boxes of the photograph there."
        )
    return x0, y0, x1, y1
