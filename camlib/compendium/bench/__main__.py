"""Command line of the measurement, see :mod:`camlib.compendium.bench`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from camlib.compendium.bench.cases import CASES, Bench
from camlib.compendium.bench.machine import machine
from camlib.compendium.bench.peers import MissingPeers, load_peers
from camlib.compendium.bench.subjects import SETUPS
from camlib.compendium.bench.table import COLUMNS, OUT, earlier, renewed, save, summary
from camlib.engine import runtime

THREADS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line, see the head of this package; returns 1 after saying what stands in the way."""
    options = _parser().parse_args(arguments)
    try:
        peers = load_peers()
        runtime.setup(0, options.threads)
        facts = machine(options.quick)
        rows = earlier(options.out, facts, options.only, options.networks)
    except (MissingPeers, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for name in options.networks:
        measured = Bench(SETUPS[name], peers, options.quick, say=partial(print, flush=True)).measure(options.only)
        rows = renewed(rows, pd.DataFrame(measured, columns=list(COLUMNS)))
    frame = save(rows, facts, options.out)
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
