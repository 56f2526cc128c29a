"""What the parts of UnionCAM cost: seconds and memory on one photograph, data/union-cost.csv.

    python -m camlib.compendium.bench.union [--rounds 3] [--network efficientnet-lite0]

Each round is a process of its own: it runs every part once, takes its CPU seconds on one thread (a machine with other
work to do slows them little) and the peak of its memory over the state before it. The parts are those of Hu et al.
2024, section 3; "region map" is Score-CAM's sum, K masked passes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from camlib import load_network, load_photo, paths
from camlib.compendium.bench.memory import PEAK, extra_memory
from camlib.engine import runtime
from camlib.trace import Trace
from camlib.weights import union

OUT = paths.DATA / "union-cost.csv"
PARTS = ("forward pass", "denoised map (AMD)", "region map (Score-CAM)", "union (AMU)", "selection (AMS)")
"""What is measured, in the order in which the method runs it."""
PHOTO = "bull-mastiff"


def measure(network: str) -> list[dict[str, Any]]:
    """One round in this process, a row a part: CPU seconds, MB over the state before it, masked pictures.

    MB are NaN where the system does not tell a process its peak. The part before the last two needs what those before
    it made, so that they run in order.
    """
    net, photo = load_network(network), load_photo(PHOTO)
    first = Trace.of(net, photo)  # loads, folds and warms up
    target = first.logits.argmax(dim=1)
    first.gradients(target)
    first.scorer()
    made: dict[str, Any] = {}
    steps: Mapping[str, Callable[[], Any]] = {
        PARTS[0]: lambda: Trace.of(net, photo),
        PARTS[1]: lambda: union.amd(made[PARTS[0]], target),
        PARTS[2]: lambda: union.region_map(made[PARTS[0]], target),
        PARTS[3]: lambda: union.amu(made[PARTS[0]], target, made[PARTS[1]], made[PARTS[2]]),
        PARTS[4]: lambda: union.ams(made[PARTS[0]], target, made[PARTS[3]]),
    }
    rows = []
    for part, step in steps.items():
        seconds = 0.0

        def call(part: str = part, step: Callable[[], Any] = step) -> None:
            nonlocal seconds
            start = time.process_time()
            made[part] = step()
            seconds = time.process_time() - start

        memory = extra_memory(call) if PEAK.exists() else call() or float("nan")
        rows.append({"part": part, "seconds": round(seconds, 4), "MB": round(memory, 1)})
    return [row | {"K": int(first.live.sum())} for row in rows]


def rounds(network: str, count: int) -> pd.DataFrame:
    """``count`` rounds, each in a process of its own: columns round, part, seconds, MB, K and the network."""
    code = "import json, sys; from camlib.compendium.bench.union import alone; print(json.dumps(alone(sys.argv[1])))"
    rows = []
    for number in range(1, count + 1):
        command = [sys.executable, "-W", "ignore", "-c", code, network]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows += [{"network": network, "round": number} | row for row in json.loads(done.stdout.splitlines()[-1])]
    return pd.DataFrame(rows)


def alone(network: str) -> list[dict[str, Any]]:
    """:func:`measure` on one thread."""
    runtime.setup(0, 1)
    torch.set_num_threads(1)
    return measure(network)


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """A line a part and one for all: seconds and MB (medians of the rounds), and both beside Score-CAM's.

    Score-CAM is the forward pass and the region map. Seconds add up; the memory of the whole is the largest of its
    parts. Ratios are formed within a round. Columns: part, seconds, MB, "time / Score-CAM", "memory / Score-CAM".
    """
    seconds, memory = (
        rows.pivot(index="round", columns="part", values=value)[list(PARTS)] for value in ("seconds", "MB")
    )
    score = [PARTS[0], PARTS[2]]
    lines = {part: (seconds[part], memory[part]) for part in PARTS}
    lines["Score-CAM alone"] = seconds[score].sum(axis=1), memory[score].max(axis=1)
    lines["UnionCAM, all"] = seconds.sum(axis=1), memory.max(axis=1)
    base = lines["Score-CAM alone"]
    return pd.DataFrame(
        [
            {
                "part": part,
                "seconds": s.median(),
                "MB": m.median(),
                "time / Score-CAM": (s / base[0]).median(),
                "memory / Score-CAM": (m / base[1]).median(),
            }
            for part, (s, m) in lines.items()
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line, see the head of this module."""
    parser = argparse.ArgumentParser(prog="python -m camlib.compendium.bench.union", description="Cost of UnionCAM.")
    parser.add_argument("--rounds", type=int, default=3, help="processes that measure, one after the other")
    parser.add_argument("--network", default="efficientnet-lite0", help="what is explained, at its last layer")
    parser.add_argument("--out", type=Path, default=OUT, help="where the rows go")
    options = parser.parse_args(arguments)
    rows = rounds(options.network, options.rounds)
    rows.to_csv(options.out, index=False)
    print(table(rows).round(3).to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
