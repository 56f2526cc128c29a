"""The machine and the libraries that the numbers depend on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import torch


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
