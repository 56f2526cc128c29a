"""What is measured on one network: which jobs of camlib, of its peers and of the limit make up each case."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camlib.compendium.bench.budget import budget_jobs
from camlib.compendium.bench.machine import has_bfloat16
from camlib.compendium.bench.memory import PEAK, extra_memory
from camlib.compendium.bench.peers import GRADIENT, LOADERS, Peer
from camlib.compendium.bench.rounds import Job, row, run_rounds
from camlib.compendium.bench.subjects import SETUPS, Setup, Subject, subjects
from camlib.engine import runtime
from camlib.layers import structural_copy

CASES = (
    "batch", "score-cam", "budget", "five-classes", "six-methods", "seven-methods", "ablation-cam", "gradient",
    "memory", "allocator",
)  # fmt: skip
SEVEN = (*GRADIENT, "ablation-cam", "score-cam-softmax", "sa-cam")
PEER_BATCHES = (4, 8, 16)
PLAIN_BATCHES = (1, 2, 4, 8, 16, 32)
SAME_MASKS = {"align_corners": True}
"""Options with which score-cam-softmax makes exactly the masks and weights of pytorch-grad-cam."""
BESIDES = 2
"""Passes that peers make besides one for each channel: the picture and, most of them, a second time or a baseline."""


class Bench:
    """The cases of one network.

    Args:
        setup: which network, layers and rounds.
        peers: the other libraries; tests hand in stand-ins.
        quick: one round, at the narrow layer.
        subject: makes the :class:`Subject` of a layer name; None loads the network of the setup.
        say: prints a line of progress.
    """

    def __init__(
        self,
        setup: Setup,
        peers: Sequence[Peer],
        quick: bool = False,
        subject: Callable[[str | None], Subject] | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        self.setup, self.peers, self.say = setup, peers, say
        make = subject or subjects(setup)
        self.narrow = make(setup.narrow)
        self.wide = self.narrow if quick else make(setup.layer)
        self.rounds = 1 if quick else setup.rounds
        self.whole = setup.whole or quick
        self.rows: list[dict[str, Any]] = []
        # Peers leave hooks and modes behind and swap layers: each gets a module of its own, with the same tensors.
        self._modules = {peer.name: structural_copy(self.wide.net.module).requires_grad_(True) for peer in peers}

    def measure(self, cases: Iterable[str]) -> list[dict[str, Any]]:
        """Rows of the cases, with the pilot that finds the best batches where one of them needs it."""
        for case in cases:
            getattr(self, f"_{case.replace('-', '_')}")()
        return self.rows

    def _record(self, case: str, subject: Subject, jobs: Sequence[Job], rounds: int) -> list[dict[str, Any]]:
        self.say(f"{subject.name} {subject.layer}: {case}")
        known = {"case": case, "network": subject.name, "layer": subject.layer}
        rows = [known | row for row in run_rounds(jobs, rounds)]
        self.rows += rows
        return rows

    @cached_property
    def _pilot(self) -> dict[str, tuple[float, int]]:
        """(seconds at the narrow layer, batch) of each library's Score-CAM at its best batch, and of "limit"."""
        narrow, found = self.narrow, {}
        settings = [("limit", batch) for batch in PLAIN_BATCHES]
        jobs = [Job("camlib", "exact", self._exact(narrow), narrow.live)]
        jobs += [self._limit(narrow, b, max(PLAIN_BATCHES), f"batch {b}") for b in PLAIN_BATCHES]
        for peer in self._scoring:
            for batch in sorted({*PEER_BATCHES, peer.batch["score"]}):
                settings.append((peer.name, batch))
                jobs.append(self._score(peer, batch, narrow))
        rows = self._record("batch", narrow, jobs, 1)[1:]  # seconds come in the order of the jobs, correlations later
        for (library, batch), timed in zip(settings, rows, strict=False):
            if library == "limit" or batch in PEER_BATCHES:
                found[library] = min(found.get(library, (np.inf, 0)), (timed["value"], batch))
        return found

    @property
    def best(self) -> dict[str, int]:
        """The fastest batch of each library's Score-CAM, and of "limit"."""
        return {library: batch for library, (_, batch) in self._pilot.items()}

    @property
    def _scoring(self) -> list[Peer]:
        return [peer for peer in self.peers if peer.score]

    def _exact(self, subject: Subject, **options: Any) -> Callable[[], Tensor]:
        return partial(subject.explain, "score-cam-softmax", **SAME_MASKS, **options)

    def _score(self, peer: Peer, batch: int, subject: Subject, setting: str | None = None, **how: Any) -> Job:
        """A peer's Score-CAM; with ``timed`` it runs at the narrow layer and stands for the subject's K passes."""
        place = self.narrow if "timed" in how else subject
        call = partial(peer.score, place, self._modules[peer.name], batch)
        return Job(peer.name, setting or f"batch {batch}", call, subject.channels + BESIDES, **how)

    def _limit(self, subject: Subject, batch: int, most: int, setting: str) -> Job:
        """Plain passes for every live channel; ``most`` of them run, each costs the same."""
        count = min(subject.live, most)
        return Job(
            "limit", setting, subject.plain(batch, count), subject.live, None if count == subject.live else count
        )

    def _batch(self) -> None:
        self.say(f"best batches: {self.best}")

    def _score_cam(self) -> None:
        wide, batch = self.wide, self.best["limit"]
        jobs = [
            Job("camlib", "exact", self._exact(wide), wide.live),
            self._limit(wide, batch, wide.live if self.rounds > 1 else 128, f"best batch {batch}"),
        ]
        if has_bfloat16():
            jobs.append(Job("camlib", "bfloat16", self._exact(wide, precision="bfloat16"), wide.live))
        for peer in self._scoring:
            default = peer.batch["score"]
            jobs.append(self._at_its_best(peer))
            jobs.append(self._score(peer, default, wide, f"default batch {default}", **self._short))
        self._record("score-cam", wide, jobs, self.rounds)

    def _at_its_best(self, peer: Peer) -> Job:
        """A peer's Score-CAM at its best batch; the fastest peer runs whole and in every round."""
        fastest, best = min(self._scoring, key=lambda each: self._pilot[each.name]), self.best[peer.name]
        how = {} if peer is fastest else self._short
        return self._score(peer, best, self.wide, f"best batch {best}", **how)

    @property
    def _short(self) -> dict[str, int]:
        """How a peer's long job runs that is not the fastest."""
        return {"rounds": 1} if self.whole else {"rounds": 1, "timed": self.narrow.channels + BESIDES}

    def _budget(self) -> None:
        peers = [self._at_its_best(peer) for peer in self._scoring]
        self._record("budget", self.wide, budget_jobs(self.wide, self._exact, peers, self.rounds), self.rounds)

    def _five_classes(self) -> None:
        narrow = self.narrow
        one, five = partial(narrow.explain, "score-cam"), partial(narrow.compare, ["score-cam"])
        jobs = [Job("camlib", "one class", one, narrow.live), Job("camlib", "five classes", five, narrow.live)]
        self._record("five-classes", narrow, jobs, 5 if self.rounds > 1 else 1)

    def _seven_methods(self) -> None:
        call = partial(self.wide.compare, SEVEN)
        jobs = [Job("camlib", "seven methods, five classes", call, 2 * self.wide.live)]
        self._record("seven-methods", self.wide, jobs, min(2, self.rounds))

    def _six_methods(self) -> None:
        """The seven without SA-CAM: those that a peer has as well."""
        call = partial(self.wide.compare, [method for method in SEVEN if method != "sa-cam"])
        jobs = [Job("camlib", "six methods, five classes", call, self.wide.live)]
        self._record("six-methods", self.wide, jobs, min(2, self.rounds))

    def _ablation_cam(self) -> None:
        wide, part = self.wide, min(32, self.wide.channels)
        jobs = [Job("camlib", "exact", partial(wide.explain, "ablation-cam"), 1, repeat=3)]
        for peer in [peer for peer in self.peers if peer.ablation]:
            best, default = self.best.get(peer.name), peer.batch["ablation"]
            batches = {f"best batch {best}": best} if best else {}
            for setting, batch in (batches | {f"default batch {default}": default}).items():
                whole = part == wide.channels or (setting.startswith("best") and self.rounds > 1)
                call = partial(peer.ablation, wide, self._modules[peer.name], batch, None if whole else part)
                timed = None if whole else part + BESIDES
                jobs.append(Job(peer.name, setting, call, wide.channels + BESIDES, timed, rounds=1))
        self._record("ablation-cam", wide, jobs, min(3, self.rounds))

    def _gradient(self) -> None:
        repeat, rounds = (5, 5) if self.rounds > 1 else (1, 3)
        for method in GRADIENT:
            jobs = [
                Job("camlib", "exact", partial(self.wide.explain, method), 1, repeat=repeat),
                Job("limit", "forward and backward to the layer", self.wide.forward_backward(), 1, repeat=repeat),
            ]
            for peer in self.peers:
                if method in peer.gradient:
                    call = partial(peer.gradient[method], self.wide, self._modules[peer.name])
                    jobs.append(Job(peer.name, "as it is", call, 1, repeat=repeat))
            for job in jobs:
                job.call()  # kernels are chosen and caches filled at the first call
            self._record(method, self.wide, jobs, rounds)

    def _allocator(self) -> None:
        """Score-CAM with and without :func:`camlib.engine.runtime.keep_buffers`, at the narrow layer."""
        if self.setup.rounds == 1 or not runtime.keep_buffers(32):
            self.say("allocator: left out, for a network that takes minutes or a C library without thresholds to set")
            return
        narrow, batch = self.narrow, self.best["limit"]
        plain = [
            Job("camlib", "as it is", self._exact(narrow), narrow.live),
            Job("limit", "as it is", narrow.plain(batch, narrow.live), narrow.live),
            *(self._score(peer, peer.batch["score"], narrow, "as it is") for peer in self._scoring),
        ]
        kept = [Job(job.library, "keep_buffers", partial(_kept, job.call), job.passes) for job in plain]
        self._record("allocator", narrow, [*plain, *kept], 1)

    def _memory(self) -> None:
        """Extra peak memory of Score-CAM, torchcam's at batch 4, in a fresh process each; K does not matter to it."""
        if not PEAK.exists():
            self.say("memory: left out, this system does not tell a process its peak")
            return
        subject, passes = self.narrow, self.narrow.channels
        self.say(f"{subject.name} {subject.layer}: memory")
        known = {"case": "memory", "network": subject.name, "layer": subject.layer}
        jobs = [Job("camlib", "its own batch", lambda: None, passes), Job("torchcam", "batch 4", lambda: None, passes)]
        for turn in range(min(2, self.rounds)):
            found = [score_memory_alone(job.library, self.setup.network, subject.layer) for job in jobs]
            self.rows += [known | row(job, turn, mb, "MB", mb / found[0]) for job, mb in zip(jobs, found, strict=True)]


def _kept(call: Callable[[], Tensor | None]) -> Tensor | None:
    """The call with freed buffers of up to 512 MiB kept."""
    runtime.keep_buffers(512)
    try:
        return call()
    finally:
        runtime.keep_buffers(32)


def score_memory(library: str, network: str, layer: str, batch: int = 4) -> float:
    """Extra peak memory of one library's Score-CAM after the network was loaded and ran once, MB."""
    runtime.setup(0)
    subject = subjects(SETUPS[network])(layer)  # its trace is one pass
    if library == "camlib":
        return extra_memory(partial(subject.explain, "score-cam-softmax"))
    return extra_memory(partial(LOADERS[library]().score, subject, subject.net.module, batch))


def score_memory_alone(library: str, network: str, layer: str) -> float:
    """:func:`score_memory` in a process of its own, where nothing was allocated and freed before."""
    code = f"import sys; from {__name__} import score_memory; print(score_memory(*sys.argv[1:]))"
    command = [sys.executable, "-W", "ignore", "-c", code, library, network, layer]
    environment = os.environ | {"CAMLIB_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout.split()[-1])
