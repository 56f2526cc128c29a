"""camlib against other libraries and against the limit, measured.

    python -m camlib.compendium.bench [--quick] [--only ...]

All libraries run in this process on the same network, layer, photograph and threads. The jobs of a case are timed one
after the other in rounds, and a ratio is formed within its round, so that a machine that slows down slows both sides.
The limit of Score-CAM is K plain passes of the folded, channels-last network at its best batch, without the fused
activations of camlib's own copy; the limit of gradient methods is one forward pass and one backward pass to the layer.
Peers run at their default batch and at their best of 4, 8 and 16. The best batches are found on an earlier, narrower
layer, where a pass of a masked picture costs the same.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from camlib import framework, paths
from camlib.data.photographs import load_photo
from camlib.engine import runtime
from camlib.engine.folding import fast_copy, shared_copy
from camlib.explanation import compare, explain
from camlib.networks import Network
from camlib.trace import Trace
from camlib.zoo.pretrained import load_network

COLUMNS = (
    "case", "network", "layer", "library", "setting", "run", "value", "unit", "ratio", "passes", "timed",
)  # fmt: skip
"""Columns of the rows. ``value`` (s, MB, or the correlation r) is that of the whole job, ``ratio`` divides it by that
of camlib in the same round. The job has ``passes`` of the whole network; ``timed`` ran, and their time is scaled."""
CASES = (
    "batch", "score-cam", "five-classes", "six-methods", "seven-methods", "ablation-cam", "gradient", "memory",
    "allocator",
)  # fmt: skip
GRADIENT = ("grad-cam", "grad-cam++", "xgrad-cam", "layer-cam")
SEVEN = (*GRADIENT, "ablation-cam", "score-cam-softmax", "sa-cam")
PEER_BATCHES = (4, 8, 16)
PLAIN_BATCHES = (1, 2, 4, 8, 16, 32)
SAME_MASKS = {"align_corners": True}
"""Options with which score-cam-softmax makes exactly the masks and weights of pytorch-grad-cam."""
COMPOSED = "fastest peers"
BESIDES = 2
"""Passes that peers make besides one for each channel: the picture and, most of them, a second time or a baseline."""
PHOTO = "bull-mastiff"
THREADS = 2
OUT = paths.DATA / "bench.csv"


class MissingPeers(RuntimeError):
    """The libraries to compare with are not installed; the message says how to get them."""


# -- networks


@dataclass(frozen=True)
class Setup:
    """One network of the measurement.

    ``layer`` None is the network's own target layer. ``narrow`` is an earlier layer with fewer channels. ``rounds`` is
    how often the long jobs run: once where they take minutes. Where ``whole`` is False, the settings of peers that are
    not the fastest run as many passes as ``narrow`` has channels, and their times are scaled.
    """

    network: str
    weights: str | None
    layer: str | None
    narrow: str
    rounds: int
    whole: bool


SETUPS = {
    setup.network: setup
    for setup in (
        Setup("resnet18", None, "layer4", "layer2", 3, True),
        Setup("vgg16", None, "features.29", "features.3", 1, False),
        Setup("efficientnet-lite0", "default", None, "blocks.5", 3, False),
    )
}


class Subject:
    """A network, a layer and a photograph: what every library is given.

    Attributes:
        net, name: the network, and the name under which the rows know it.
        inputs: ready batch [1, 3, H, W].
        layer, module: name of the layer, and of the module that returns it.
        targets: the five most probable classes.
        channels, live: feature maps, and those of them that are not constant.
    """

    def __init__(self, net: Network, layer: str | None, inputs: Tensor, name: str) -> None:
        self.net, self.inputs, self.name = net, inputs, name
        trace = Trace(net, inputs, layer)
        self.layer, self.module = trace.layer.name, trace.layer.module
        self.targets = trace.logits[0].topk(5).indices.tolist()
        self.channels, self.live = trace.activations.shape[1], int(trace.live.sum())
        self.logits = trace.logits

    @property
    def target(self) -> int:
        """The most probable class."""
        return self.targets[0]

    def explain(self, method: str, **options: Any) -> Tensor:
        """camlib's heatmap of the most probable class, [H, W]."""
        return explain(self.net, self.inputs, method, self.target, self.layer, **options).heatmap

    def compare(self, methods: Sequence[str]) -> None:
        """camlib's maps of all five classes."""
        compare(self.net, self.inputs, methods, self.targets, self.layer)

    def plain(self, batch: int, count: int) -> Callable[[], None]:
        """``count`` plain passes of the folded, channels-last network, ``batch`` pictures at a time."""
        copy = fast_copy(self.net.module, self.inputs, self.logits, fused=False)
        pictures = self.inputs.repeat(min(batch, count), 1, 1, 1).contiguous(memory_format=copy.memory_format)

        def run() -> None:
            with torch.inference_mode():
                for start in range(0, count, batch):
                    copy.module(pictures[: min(batch, count - start)])

        return run

    def forward_backward(self) -> Callable[[], None]:
        """One forward pass, recorded from the layer on, and one backward pass to the layer; nothing else."""
        module = shared_copy(self.net.module)
        leaves: list[Tensor] = []

        def cut(_module: nn.Module, _args: tuple, output: Tensor) -> Tensor:
            leaves.append(output.detach().requires_grad_(True))
            torch.set_grad_enabled(True)
            return leaves[-1].clone()

        module.get_submodule(self.module).register_forward_hook(cut)

        def run() -> None:
            with torch.no_grad():
                logits = module(self.inputs)
            torch.autograd.grad(logits[0, self.target], leaves.pop())

        return run


# -- other libraries


@dataclass(frozen=True)
class Peer:
    """Another library as functions of a :class:`Subject` and the module that it may use up.

    ``score(subject, module, batch)`` and ``gradient[method](subject, module)`` return the map, [h, w] or [H, W].
    ``ablation(subject, module, batch, channels)`` ablates so many channels, all where it is None. What a library does
    not have is None or missing. ``batch`` holds the default batch of "score" and "ablation".
    """

    name: str
    batch: Mapping[str, int]
    score: Callable[[Subject, nn.Module, int], Tensor] | None = None
    ablation: Callable[[Subject, nn.Module, int, int | None], Tensor] | None = None
    gradient: Mapping[str, Callable[[Subject, nn.Module], Tensor]] = field(default_factory=dict)


def load_peers() -> list[Peer]:
    """pytorch-grad-cam, torchcam and captum; raises :class:`MissingPeers` where one is not installed."""
    try:
        return [load() for load in LOADERS.values()]
    except ImportError as error:
        raise MissingPeers(
            f"The measurement compares with pytorch-grad-cam, torchcam and captum, but {error.name or error} is not "
            f"installed. Install the extra 'peers' in the repository: pip install -e '.[peers]'."
        ) from error


def _pytorch_grad_cam() -> Peer:
    import pytorch_grad_cam as library
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    def run(kind: type, subject: Subject, module: nn.Module, batch: int | None = None, **settings: Any) -> Tensor:
        with kind(model=module, target_layers=[module.get_submodule(subject.module)], **settings) as cam:
            if batch:
                cam.batch_size = batch
            return torch.from_numpy(cam(subject.inputs, [ClassifierOutputTarget(subject.target)])[0])

    def ablation(subject: Subject, module: nn.Module, batch: int, channels: int | None) -> Tensor:
        # A share below 1 picks so many channels twice: those that matter most and those that matter least.
        ratio = 1.0 if channels is None else (channels // 2 + 0.5) / subject.channels
        return run(library.AblationCAM, subject, module, batch, ratio_channels_to_ablate=ratio)

    kinds = (library.GradCAM, library.GradCAMPlusPlus, library.XGradCAM, library.LayerCAM)
    gradient = {method: partial(run, kind) for method, kind in zip(GRADIENT, kinds, strict=True)}
    score = partial(run, library.ScoreCAM)
    return Peer("pytorch-grad-cam", {"score": 16, "ablation": 32}, score, ablation, gradient)


def _torchcam() -> Peer:
    from torchcam import methods as library

    def run(kind: type, subject: Subject, module: nn.Module, **settings: Any) -> Tensor:
        shape = tuple(subject.inputs.shape[1:])
        scoring = kind is library.ScoreCAM
        with kind(module, target_layer=subject.module, input_shape=shape, **settings) as extractor:
            with torch.set_grad_enabled(not scoring):
                logits = module(subject.inputs)
            (maps,) = extractor(subject.target, logits)
        return maps[0].detach()

    def score(subject: Subject, module: nn.Module, batch: int) -> Tensor:
        return run(library.ScoreCAM, subject, module, batch_size=batch)

    kinds = (library.GradCAM, library.GradCAMpp, library.XGradCAM, library.LayerCAM)
    gradient = {method: partial(run, kind) for method, kind in zip(GRADIENT, kinds, strict=True)}
    return Peer("torchcam", {"score": 32}, score, None, gradient)


def _captum() -> Peer:
    from captum.attr import LayerActivation, LayerFeatureAblation, LayerGradCam

    def grad_cam(subject: Subject, module: nn.Module) -> Tensor:
        explainer = LayerGradCam(module, module.get_submodule(subject.module))
        return explainer.attribute(subject.inputs, target=subject.target, relu_attributions=True)[0, 0].detach()

    def ablation(subject: Subject, module: nn.Module, batch: int, channels: int | None) -> Tensor:
        layer, groups = module.get_submodule(subject.module), channels or subject.channels
        group = (torch.arange(subject.channels) * groups // subject.channels).view(1, -1, 1, 1)
        with torch.no_grad():
            maps = LayerActivation(module, layer).attribute(subject.inputs)
            drops = LayerFeatureAblation(module, layer).attribute(
                subject.inputs, target=subject.target, layer_mask=group, perturbations_per_eval=batch
            )
        weights = drops.mean(dim=(2, 3))  # captum repeats a channel's drop over its positions
        return framework.class_activation_map(weights, maps)[0].relu()

    return Peer("captum", {"ablation": 1}, None, ablation, {"grad-cam": grad_cam})


LOADERS = {"pytorch-grad-cam": _pytorch_grad_cam, "torchcam": _torchcam, "captum": _captum}


# -- timing


@dataclass(frozen=True)
class Job:
    """One thing to time. The first job of a case is camlib's, the reference of the ratios.

    ``passes`` and ``timed`` as in :data:`COLUMNS`; ``rounds`` limits how often it runs; one timing is the mean of
    ``repeat`` calls. A map that the call returns is compared with the reference's, unless only a part was timed.
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
            rows.append(_row(jobs[i], turn, seconds[i], "s", seconds[i] / seconds[0]))
    return rows + [_row(jobs[i], 0, _correlation(found, maps[0]), "r") for i, found in maps.items() if i and 0 in maps]


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


def _row(job: Job, turn: int, value: float, unit: str, ratio: float | None = None) -> dict[str, Any]:
    timed = job.passes if job.timed is None else job.timed
    return {
        "library": job.library, "setting": job.setting, "run": turn + 1, "value": value, "unit": unit,
        "ratio": np.nan if ratio is None else ratio, "passes": job.passes, "timed": timed,
    }  # fmt: skip


def _correlation(found: Tensor, expected: Tensor) -> float:
    """Pearson's r of two maps; the smaller one is enlarged first. NaN where one of them is flat."""
    size = max(tuple(found.shape[-2:]), tuple(expected.shape[-2:]))
    pair = [framework.upsample(each.double()[None], size).flatten() for each in (found, expected)]
    return float(torch.corrcoef(torch.stack(pair))[0, 1])


# -- cases


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
        make = subject or _subjects(setup)
        self.narrow = make(setup.narrow)
        self.wide = self.narrow if quick else make(setup.layer)
        self.rounds = 1 if quick else setup.rounds
        self.whole = setup.whole or quick
        self.rows: list[dict[str, Any]] = []
        # Peers leave hooks and modes behind and swap layers: each gets a module of its own, with the same tensors.
        self._modules = {peer.name: shared_copy(self.wide.net.module) for peer in peers}

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
        for (library, batch), row in zip(settings, rows, strict=False):
            if library == "limit" or batch in PEER_BATCHES:
                found[library] = min(found.get(library, (np.inf, 0)), (row["value"], batch))
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
        short = {"rounds": 1} if self.whole else {"rounds": 1, "timed": self.narrow.channels + BESIDES}
        fastest = min(self._scoring, key=lambda peer: self._pilot[peer.name], default=None)
        for peer in self._scoring:
            best, default = self.best[peer.name], peer.batch["score"]
            how = {} if peer is fastest else short
            jobs.append(self._score(peer, best, wide, f"best batch {best}", **how))
            jobs.append(self._score(peer, default, wide, f"default batch {default}", **short))
        self._record("score-cam", wide, jobs, self.rounds)

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
        if not Path("/proc/self/clear_refs").exists():
            self.say("memory: left out, this system does not tell a process its peak")
            return
        subject, passes = self.narrow, self.narrow.channels
        self.say(f"{subject.name} {subject.layer}: memory")
        known = {"case": "memory", "network": subject.name, "layer": subject.layer}
        jobs = [Job("camlib", "its own batch", lambda: None, passes), Job("torchcam", "batch 4", lambda: None, passes)]
        for turn in range(min(2, self.rounds)):
            found = [_memory_in_a_process(job.library, self.setup.network, subject.layer) for job in jobs]
            self.rows += [known | _row(job, turn, mb, "MB", mb / found[0]) for job, mb in zip(jobs, found, strict=True)]


def _subjects(setup: Setup) -> Callable[[str | None], Subject]:
    net = load_network(setup.network, setup.weights, seed=0)
    inputs = net.prepare(load_photo(PHOTO))[1][None]
    return lambda layer: Subject(net, layer, inputs, setup.network)


def _kept(call: Callable[[], Tensor | None]) -> Tensor | None:
    """The call with freed buffers of up to 512 MiB kept."""
    runtime.keep_buffers(512)
    try:
        return call()
    finally:
        runtime.keep_buffers(32)


# -- memory


def extra_memory(call: Callable[[], object]) -> float:
    """Peak resident memory during the call over the state before it, MB (10⁶ bytes); Linux only."""
    gc.collect()
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    call()
    return (_resident("VmHWM") - before) / 1000


def _resident(name: str) -> float:
    """A line of the process's status, kB of 1000 bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1.024


def score_memory(library: str, network: str, layer: str, batch: int = 4) -> float:
    """Extra peak memory of one library's Score-CAM after the network was loaded and ran once, MB."""
    runtime.setup(0)
    subject = _subjects(SETUPS[network])(layer)  # its trace is one pass
    if library == "camlib":
        return extra_memory(partial(subject.explain, "score-cam-softmax"))
    return extra_memory(partial(LOADERS[library]().score, subject, subject.net.module, batch))


def _memory_in_a_process(library: str, network: str, layer: str) -> float:
    code = "import sys; from camlib import bench; print(bench.score_memory(*sys.argv[1:]))"
    command = [sys.executable, "-W", "ignore", "-c", code, library, network, layer]
    environment = os.environ | {"CAMLIB_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout.split()[-1])


# -- results


def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16 (Linux tells; elsewhere False)."""
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(_processor().get("flags", "").split()))


def _processor() -> dict[str, str]:
    """Name and flags of the first processor as Linux lists them."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().split("\n\n")[0].splitlines() if path.exists() else []
    known = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {
        "name": known.get("model name", platform.processor()),
        "flags": known.get("flags", known.get("features", "")),
    }


def machine(quick: bool = False) -> dict[str, Any]:
    """What the numbers depend on; no names of hosts, no dates."""
    return {
        "processor": _processor()["name"] or platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": has_bfloat16(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver())}".rstrip(", "),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in ("torch", "torchvision", "grad-cam", "torchcam", "captum")},
        "quick": quick,
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def combination(rows: pd.DataFrame, network: str, case: str) -> pd.DataFrame:
    """One row: the fastest peer for each of the six methods that peers have, for five classes one by one.

    Composed of the medians of the network's measured rows; no row where a method was not measured. The ratio is to
    camlib's time in ``case``: "six-methods", the same ones, or "seven-methods", where SA-CAM, which no peer has, is
    camlib's work alone.
    """
    of_network = rows[(rows["network"] == network) & (rows["unit"] == "s")]
    ours = of_network[(of_network["case"] == case) & (of_network["library"] == "camlib")]
    peers = of_network[of_network["case"].isin(needed := [*GRADIENT, "ablation-cam", "score-cam"])]
    peers = peers[~peers["library"].isin(["camlib", "limit"])]
    medians = peers.groupby(["case", "library", "setting"])["value"].median().groupby("case").min()
    if ours.empty or not set(needed) <= set(medians.index):
        return rows.iloc[:0]
    value, first = 5 * float(medians.sum()), ours.iloc[:1]
    words = {"library": COMPOSED, "setting": "six methods, five classes, composed", "value": value}
    counts = {"passes": 5 * first["passes"], "timed": 0, "ratio": value / float(ours["value"].median())}
    return first.assign(**words, **counts)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Medians over the rounds, one line for each case, network, layer, library, setting and unit, in their order.

    Columns besides those: ``value`` and ``ratio`` (medians), ``low`` and ``high`` (smallest and largest ratio),
    ``runs``, ``passes``, ``timed``.
    """
    keys = ["case", "network", "layer", "library", "setting", "unit"]
    found = rows.groupby(keys, sort=False, dropna=False)
    return found.agg(
        value=("value", statistics.median), ratio=("ratio", "median"), low=("ratio", "min"), high=("ratio", "max"),
        runs=("run", "size"), passes=("passes", "first"), timed=("timed", "first"),
    ).reset_index()  # fmt: skip


def read(out: Path = OUT) -> tuple[pd.DataFrame, dict[str, Any]]:
    """:func:`summary` of a measurement and its machine; FileNotFoundError says how to make one."""
    if not (out.exists() and _beside(out).exists()):
        raise FileNotFoundError(
            f"{out.name} or {_beside(out).name} is not there; `make bench` measures and writes both."
        )
    return summary(pd.read_csv(out)), json.loads(_beside(out).read_text(encoding="utf-8"))


def earlier(out: Path, facts: Mapping[str, Any], cases: Sequence[str], networks: Sequence[str]) -> pd.DataFrame:
    """Rows at ``out`` that a measurement of these cases and networks leaves as they are.

    Raises ValueError where there are such rows and they come from another machine or another kind of run.
    """
    if not out.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    rows, beside = pd.read_csv(out), _beside(out)
    renewed = [name for case in cases for name in (GRADIENT if case == "gradient" else [case])]
    rest = rows[~(rows["case"].isin(renewed) & rows["network"].isin(networks))]
    before = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else None
    if len(rest) and before != dict(facts):
        raise ValueError(
            f"{out.name} holds other cases, measured under {before}; this run is under {dict(facts)}. Measure all "
            f"cases together (no --only, no --networks), or give another file with --out."
        )
    return rest


def save(rows: pd.DataFrame, facts: Mapping[str, Any], out: Path) -> pd.DataFrame:
    """Write rows, in the order of cases, and the machine beside them; returns the rows with those composed of them."""
    rows = rows[rows["library"] != COMPOSED]
    composed = [
        combination(rows, network, case)
        for network in rows["network"].unique()
        for case in ("six-methods", "seven-methods")
    ]
    rows = pd.concat([rows, *[row for row in composed if len(row)]], ignore_index=True)[list(COLUMNS)]
    rows = rows.sort_values(["network", "case"], key=_places, kind="stable", ignore_index=True)
    _replace(out, rows.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    _replace(_beside(out), json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return rows


def _beside(out: Path) -> Path:
    """Where the machine of a table is described."""
    return out.with_name(f"{out.stem}-machine.json")


def _places(column: pd.Series) -> pd.Series:
    """Cases and networks in the order in which this module names them."""
    order = [name for case in CASES for name in (GRADIENT if case == "gradient" else (case,))]
    places = {name: place for place, name in enumerate([*order, *SETUPS])}
    return column.map(lambda name: places.get(name, len(places)))


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line, see the head of this module; returns 1 after saying what stands in the way."""
    options = _parser().parse_args(arguments)
    try:
        peers = load_peers()
        runtime.setup(0, options.threads)
        facts = machine(options.quick)
        rows = [earlier(options.out, facts, options.only, options.networks)]
    except (MissingPeers, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for name in options.networks:
        measured = Bench(SETUPS[name], peers, options.quick, say=partial(print, flush=True)).measure(options.only)
        rows.append(pd.DataFrame(measured, columns=list(COLUMNS)))
    frame = save(pd.concat([part for part in rows if len(part)], ignore_index=True), facts, options.out)
    shown = summary(frame)[["case", "network", "library", "setting", "unit", "value", "ratio", "runs"]]
    print(shown.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m camlib.compendium.bench", description="Measure camlib against its peers."
    )
    parser.add_argument("--out", type=Path, default=OUT, help="table to write; the machine goes beside it")
    parser.add_argument("--quick", action="store_true", help="one round, at narrow layers")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--networks", nargs="+", choices=list(SETUPS), default=list(SETUPS), metavar="NETWORK")
    parser.add_argument("--threads", type=int, default=THREADS)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
