"""How times are measured: jobs one after the other in rounds, and a ratio within each round."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camlib import framework


@dataclass(frozen=True)
class Job:
    """One thing to time. The first job of a case is camlib's, the reference of the ratios.

    ``passes`` and ``timed`` as in :data:`camlib.compendium.bench.table.COLUMNS`; ``rounds`` limits how often it runs;
    one timing is the mean of ``repeat`` calls. A map that the call returns is compared with the reference's, unless
    only a part was timed.
    """

    library: str
    setting: str
    call: Callable[[], Tensor | None]
    passes: int
    timed: int | None = None
    rounds: int | None = None
    repeat: int = 1


def run_rounds(
    jobs: Sequence[Job], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> list[dict[str, Any]]:
    """Time every job once a round, forth and back in turn; rows without case, network and layer.

    A job's seconds are scaled from the passes that ran to all of its passes; ``ratio`` is by the first job of the same
    round. A row of unit "r" follows for each whole job that returned a map: its correlation with the first job's map.
    """
    rows: list[dict[str, Any]] = []
    maps: dict[int, Tensor] = {}
    for turn in range(rounds):
        gc.collect()  # once a round: libraries leave cycles that hold their feature maps
        order = [i for i, job in enumerate(jobs) if job.rounds is None or turn < job.rounds]
        seconds = {}
        for i in order if turn % 2 == 0 else reversed(order):
            seconds[i], found = _timed(jobs[i], clock)
            if found is not None:
                maps[i] = found
        for i in order:
            rows.append(row(jobs[i], turn, seconds[i], "s", seconds[i] / seconds[0]))
    return rows + [row(jobs[i], 0, correlation(found, maps[0]), "r") for i, found in maps.items() if i and 0 in maps]


def _timed(job: Job, clock: Callable[[], float]) -> tuple[float, Tensor | None]:
    """Seconds of the whole job, and the map of its last call if that is a whole one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # flat maps and approximations: known here, and a part of what is measured
        start = clock()
        for _ in range(job.repeat):
            found = job.call()
        seconds = (clock() - start) / job.repeat
    if job.timed is None:
        return seconds, found
    return seconds * job.passes / job.timed, None


def row(job: Job, turn: int, value: float, unit: str, ratio: float | None = None) -> dict[str, Any]:
    """What one job showed in one round, as a row without case, network and layer."""
    timed = job.passes if job.timed is None else job.timed
    return {
        "library": job.library, "setting": job.setting, "run": turn + 1, "value": value, "unit": unit,
        "ratio": np.nan if ratio is None else ratio, "passes": job.passes, "timed": timed,
    }  # fmt: skip


def correlation(found: Tensor, expected: Tensor) -> float:
    """Pearson's r of two maps; the smaller one is enlarged first. NaN where one of them is flat."""
    size = max(tuple(found.shape[-2:]), tuple(expected.shape[-2:]))
    pair = [framework.upsample(each.double()[None], size).flatten() for each in (found, expected)]
    return float(torch.corrcoef(torch.stack(pair))[0, 1])
