"""What a run in the papers' setting will download, what it will leave out, and about how long it takes."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torchvision.models import get_model

from camlib.compendium.paper import tables
from camlib.compendium.paper.setting import Folders, Weights, networks_of, notebooks

WORK = {
    "07_score_cam": 40e3,
    "07a_score_cam_equations": 60e3,
    "07b_counterfactuals": 30e3,
    "08_sa_cam": 40e3,
    "08a_sa_cam_equations": 60e3,
    "08b_sa_cam_pictures": 60e3,
    "09_union_cam": 100e3,
    "09a_union_cam_audit": 600e3,
    "13a_sanity_cascade": 700e3,
}
"""Notebook -> billions of multiplications in the paper profile: pictures times masked passes times operations of one,
to a factor of two or three. The notebooks that are not named take a few minutes.
"""
_FEW_MINUTES = "a few minutes"
_BACKBONE, _BATCH = "resnet18", 8
_UNITS = (("days", 86_400), ("h", 3_600), ("min", 60))


def text(folders: Folders, network: str, limit: int | None, fast: bool) -> str:
    """The plan as it is printed before anything is done."""
    weights = [Weights.of(name) for name in wanted(network)]
    gflops = speed()
    total = sum(w.megabytes for w in weights if not w.here)
    count = sum(not w.here for w in weights)
    lines = [
        "The papers' setting",
        "",
        f"Weights, in {weights[0].file.parent} (TORCH_HOME moves it):",
        *(f"  {w.network:14s}{w.file.name:30s}{w.megabytes:7.1f} MB  {w.said}" for w in weights),
        f"  To be downloaded: {count} files, {total:.0f} MB.",
        "",
        "Data:",
        *_data(folders),
        "",
        f"Runs (times are estimates from {gflops:.0f} billion multiplications a second, measured just now; make -j "
        "runs several at a time):",
        *_runs(gflops, fast),
        *_tables(folders, network, limit, fast, gflops),
    ]
    return "\n".join(lines)


def wanted(network: str) -> list[str]:
    """Networks of all notebooks and of the tables, each once."""
    return list(dict.fromkeys([*(name for path in notebooks() for name in networks_of(path)), network]))


def _data(folders: Folders) -> list[str]:
    found = [f"  {name:10s}{dataset.name}, {len(dataset):,} pictures" for name, dataset in folders.found.items()]
    return [*found, *(f"  {name:10s}missing: {why}" for name, why in folders.lacking.items())]


def _runs(gflops: float, fast: bool) -> list[str]:
    lines = []
    for path in notebooks():
        duration = about(WORK[path.stem] / gflops) if path.stem in WORK else _FEW_MINUTES
        less = ", less with FAST" if fast and path.stem in WORK else ""
        lines.append(f"  {path.stem:24s}{duration + less:30s}{', '.join(networks_of(path)) or 'no weights'}")
    return lines


def _tables(folders: Folders, network: str, limit: int | None, fast: bool, gflops: float) -> list[str]:
    lines, channels = [], 512
    for job in tables.jobs(limit, fast):
        items = ", ".join(table.item for table in job.tables)
        if job.data in folders.lacking:
            lines.append(f"  {items}: left out, {job.data} missing")
            continue
        count = min(job.pictures or len(folders.found[job.data]), len(folders.found[job.data]))
        seconds = count * tables.passes(job, channels) * Weights.of(network).gflops / gflops
        lines.append(f"  {items}: {about(seconds)}, {count:,} pictures, {network}; resumed where it was stopped")
    return lines


def about(seconds: float) -> str:
    """A duration to about two digits, in words."""
    for unit, length in _UNITS:
        if seconds >= 1.5 * length:
            return (
                f"about {seconds / length:.2g} {unit}"
                if seconds < 99 * length
                else f"about {seconds / length:.0f} {unit}"
            )
    return "about a minute"


def speed(rounds: Sequence[int] = (0, 1, 2)) -> float:
    """Billions of multiplications a second of plain passes of a ResNet-18, the best of some rounds."""
    module, pictures = get_model(_BACKBONE).eval(), torch.zeros(_BATCH, 3, 224, 224)
    fastest = float("inf")
    with torch.inference_mode():
        for _ in rounds:
            start = time.perf_counter()
            module(pictures)
            fastest = min(fastest, time.perf_counter() - start)
    return _BATCH * Weights.of(_BACKBONE).gflops / fastest
