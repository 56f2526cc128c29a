"""How memory is measured: the peak of a call over the state before it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

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
