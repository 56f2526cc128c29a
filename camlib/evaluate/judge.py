"""Judging a heatmap: what a run over a data set and :func:`camlib.score` do alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from camlib.engine.scoring import Scorer
from camlib.evaluate.plan import Choice
from camlib.metrics import METRICS, Sample, probability_score
from camlib.metrics.sample import Score
from camlib.networks import Network


class Judge:
    """Metrics with their options, and the passes that they share: the fast copy of the network is made once.

    Args:
        network: the classifier; None where no metric needs passes.
        metrics: what is measured, already checked (:func:`camlib.evaluate.plan.metric_choices`).

    Attributes:
        needs: everything that one of the metrics needs, as names of :data:`camlib.metrics.registry.NEEDS`.
    """

    def __init__(self, network: Network | None, metrics: Sequence[Choice]) -> None:
        self.network = network
        self._metrics = {choice.label: (METRICS[choice.name], choice.options) for choice in metrics}
        self.needs = frozenset(need for metric, _ in self._metrics.values() for need in metric.needs)
        self._scores: dict[tuple[int, ...], Score] = {}

    def sample(self, inputs: Tensor, target: int, probability: float, **truth: Any) -> Sample:
        """The sample of one class of one picture [C, H, W]; its heatmap is still to come.

        ``probability`` is replaced by that of the shared passes where a metric needs passes. ``truth``: boxes, mask.
        """
        blank = torch.ones(inputs.shape[-2:])
        if "score" not in self.needs:
            return Sample(self.network, inputs, blank, target, probability, **truth)
        return Sample.of(self.network, inputs, blank, target, self._score(inputs), **truth)

    def _score(self, inputs: Tensor) -> Score:
        """Probabilities from one engine for all pictures of a size, so that the network is copied once.

        The copy is checked on noise, not on the first picture: no number may depend on which picture was first.
        """
        shape = tuple(inputs.shape)
        if shape not in self._scores:
            noise = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
            self._scores[shape] = probability_score(Scorer(self.network, noise))
        return self._scores[shape]

    def lacks(self, label: str, sample: Sample) -> tuple[str, ...]:
        """What the metric of this label needs and the sample does not have."""
        return self._metrics[label][0].missing(sample)

    def value(self, label: str, sample: Sample) -> float:
        """The metric of this label; ArithmeticError where it is not finite, ValueError as the metric raises it."""
        metric, options = self._metrics[label]
        value = metric(sample, **options)
        if not math.isfinite(value):
            raise ArithmeticError(f"{metric.name} is {value}")
        return value
