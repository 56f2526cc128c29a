"""How memory is measured: the peak of a call over the state before it, in a fresh process."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from camlib.compendium.bench.peers import LOADERS
from camlib.compendium.bench.subjects import SETUPS, subjects
from camlib.engine import runtime

PEAK = Path("/proc/self/clear_refs")
"""Where Linux lets a process begin its peak anew; other systems have no such file."""


def extra_memory(call: Callable[[], object]) -> float:
    """Peak resident memory during the call over the state before it, MB (10⁶ bytes); Linux only."""
    gc.collect()
    before = _resident("VmRSS")
    PEAK.write_text("5")  # the peak starts anew
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
    subject = subjects(SETUPS[network])(layer)  # its trace is one pass
    if library == "camlib":
        return extra_memory(partial(subject.explain, "score-cam-softmax"))
    return extra_memory(partial(LOADERS[library]().score, subject, subject.net.module, batch))


def score_memory_alone(library: str, network: str, layer: str) -> float:
    """:func:`score_memory` in a process of its own, where nothing was allocated and freed before."""
    code = "import sys; from camlib.compendium.bench import memory; print(memory.score_memory(*sys.argv[1:]))"
    command = [sys.executable, "-W", "ignore", "-c", code, library, network, layer]
    environment = os.environ | {"CAMLIB_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout.split()[-1])
