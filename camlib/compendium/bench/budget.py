"""The case "budget": Score-CAM with an eighth of the passes against all of them, and against the other libraries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor

from camlib.compendium.bench.rounds import Job
from camlib.compendium.bench.subjects import Subject

PART = 8
"""The budget is the number of live channels divided by this."""


def budget_jobs(
    subject: Subject, exact: Callable[..., Callable[[], Tensor]], peers: Sequence[Job], rounds: int
) -> list[Job]:
    """Jobs of the case; the first one, camlib's with the budget, is what the ratios are formed by.

    Args:
        subject: the network, layer and photograph.
        exact: makes camlib's call with options, the same masks and weights as the peers'.
        peers: their Score-CAM, ready to run.
        rounds: how often the long jobs run.
    """
    passes = max(2, round(subject.live / PART))
    budget = Job("camlib", f"budget K/{PART}", exact(subject, passes=passes), passes, repeat=1 if rounds == 1 else 2)
    plain = partial(subject.explain, "score-cam")
    few = Job("camlib", f"score-cam, budget K/{PART}", partial(plain, passes=passes), passes)
    return [budget, Job("camlib", "exact", exact(subject), subject.live), few, *peers]
