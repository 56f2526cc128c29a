"""What is compared with the exact map: ways to choose the scored channels, and what the others are taken for."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from camlib import framework
from camlib.engine import kriging, landmarks
from camlib.engine.map_error import MapError, Part
from camlib.outputs import probabilities_of

PARTS = (32, 16, 8, 4, 2)
"""The budgets: K divided by each of these, K the number of live channels."""


@dataclass(frozen=True, eq=False)
class Exact:
    """All scores of one picture.

    Attributes:
        maps: live feature maps [n, h, w].
        logits: of all classes for the picture masked by each of them, [n, C].
        stakes: see :func:`camlib.engine.landmarks.stakes_of`; the first class is the explained one.
        output: what makes probabilities of logits.
    """

    maps: Tensor
    logits: Tensor
    stakes: dict[int, float]
    output: str

    @property
    def target(self) -> int:
        """The explained class."""
        return next(iter(self.stakes))

    @property
    def scores(self) -> Tensor:
        """Of the class, [n]."""
        return probabilities_of(self.logits, self.output)[:, self.target]


Choice = Callable[[Exact, int, random.Random], tuple[Tensor, float]]
"""(all scores, passes, lot) -> (scores of all channels as they are then taken for [n], expected correlation or NaN)."""


def _as_shipped(exact: Exact, passes: int, _lot: random.Random) -> tuple[Tensor, float]:
    """``passes=`` of the methods, scores looked up in place of passes."""
    found = landmarks.survey(exact.maps, passes, lambda chosen: exact.logits[chosen], exact.stakes, exact.output)
    scores = probabilities_of(found.logits, exact.output)[:, exact.target]
    reading, flat = found.read(exact.target), exact.maps.flatten(1).double()
    part = Part(reading, flat * reading.slopes[:, None], reading.slopes)
    error = MapError((part,), flat.sum(dim=0), len(flat), passes)
    expected = error.expected_correlation(_map(scores, exact), rectified=True)
    return scores, math.nan if expected is None else expected


def _farthest(exact: Exact, passes: int, _lot: random.Random) -> tuple[Tensor, float]:
    """Landmarks far from each other among the scaled maps; every channel gets the score of its nearest one."""
    apart = kriging.distances(framework.normalize(exact.maps.double())[0].flatten(1))
    chosen = landmarks.farthest_points(apart, passes, int(_activity(exact).argmax()))
    return exact.scores[torch.tensor(chosen)[apart[:, chosen].argmin(dim=1)]], math.nan


def _most_active(exact: Exact, passes: int, _lot: random.Random) -> tuple[Tensor, float]:
    """The channels with the largest sums alone; the others count for nothing."""
    return _alone(exact, _activity(exact).topk(passes).indices), math.nan


def _random(exact: Exact, passes: int, lot: random.Random) -> tuple[Tensor, float]:
    """Channels drawn by lot alone; the others count for nothing."""
    return _alone(exact, torch.tensor(lot.sample(range(len(exact.maps)), passes))), math.nan


def _activity(exact: Exact) -> Tensor:
    return exact.maps.flatten(1).sum(dim=1)


def _alone(exact: Exact, chosen: Tensor) -> Tensor:
    return torch.zeros_like(exact.scores).index_copy(0, chosen, exact.scores[chosen])


CHOICES: dict[str, Choice] = {
    "budget": _as_shipped,
    "farthest-point": _farthest,
    "most-active": _most_active,
    "random": _random,
}
"""How the scored channels are chosen and what the others are taken for."""


def rows_of(exact: Exact, seconds: tuple[float, float], lot: random.Random) -> Iterator[dict[str, Any]]:
    """Rows of one picture, without its name, network and layer.

    ``seconds`` are what comes before the first score and what all of them take.
    """
    before, all_scores = seconds
    live, true = len(exact.maps), _map(exact.scores, exact)
    known = {"live": live, "choice": "exact", "part": 1, "passes": live, "r": 1.0, "expected": math.nan}
    yield known | {"seconds": before + all_scores}
    for part in PARTS:
        passes = round(live / part)
        for name, choose in CHOICES.items() if passes >= 2 else ():
            start = time.process_time()
            scores, expected = choose(exact, passes, lot)
            spent = time.process_time() - start + before + all_scores * passes / live
            r = _correlation(_map(scores, exact), true)
            found = {"choice": name, "part": part, "passes": passes, "r": r, "expected": expected, "seconds": spent}
            yield known | found


def _map(scores: Tensor, exact: Exact) -> Tensor:
    return framework.class_activation_map(scores[None].to(exact.maps), exact.maps[None])[0].relu()


def _correlation(found: Tensor, true: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([found.flatten(), true.flatten()]).double())[0, 1])
