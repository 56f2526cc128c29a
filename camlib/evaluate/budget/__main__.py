"""Command line of the measurement, see :mod:`camlib.evaluate.budget`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from camlib.engine import runtime
from camlib.evaluate.budget.measuring import KEPT, POPULATIONS, SCENES_SEED, Population, measure, settings
from camlib.evaluate.budget.tables import COLUMNS, OUT, added, comparable, knowledge, summary, write

PACKAGES = ("camlib", "torch", "torchvision", "numpy", "pandas", "pyarrow")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line, see the head of this module; returns 1 after saying what stands in the way."""
    options = _parser().parse_args(arguments)
    runtime.setup(0, options.threads)
    chosen = [population for population in POPULATIONS if population.name in options.only]
    rows, failures = [], []
    try:
        if options.add:
            comparable(_record(options, chosen, []), options.out)
        for population in chosen:
            made, failed = measure(population, options.samples, options.skip, options.pictures, options.kept)
            rows, failures = rows + made, failures + failed
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    record = _record(options, chosen, failures)
    if options.add:
        rows, record = added(rows, record, options.out)
    frame = write(rows, record, options.out)
    for table in (summary(frame), knowledge(frame)):
        print(table.to_string(index=False, float_format=lambda value: f"{value:.5g}"))
    return 0


def _record(
    options: argparse.Namespace, chosen: Sequence[Population], failures: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    """What the rows depend on; no path of the machine, no date."""
    asked = f"--samples DIR --skip {options.skip} --pictures {options.pictures}"
    asked += f" --only {' '.join(population.name for population in chosen)}" if len(chosen) < len(POPULATIONS) else ""
    instructions = torch.backends.cpu.get_cpu_capability()
    return {
        "command": f"python -m camlib.evaluate.budget {asked}",
        "columns": COLUMNS,
        "populations": {population.name: asdict(population) for population in chosen},
        "pictures": {"skipped": options.skip, "each": options.pictures, "failed": len(failures), "failures": failures},
        "seeds": {"lot": 0, "scenes": SCENES_SEED, "random": "the picture's name"},
        "settings": settings(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {instructions}",
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }


def _parser() -> argparse.ArgumentParser:
    names = [population.name for population in POPULATIONS]
    parser = argparse.ArgumentParser(prog="python -m camlib.evaluate.budget", description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=Path, metavar="DIR", help="photographs, as ImageNet's folder")
    parser.add_argument("--pictures", type=int, default=100, metavar="N", help="of each population (100)")
    parser.add_argument("--skip", type=int, default=100, metavar="N", help="photographs of the lot left out (100)")
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="NETWORK:LAYER", help=", ".join(names)
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kept", type=Path, default=KEPT, metavar="DIR", help="what is finished (build/budget)")
    parser.add_argument("--out", type=Path, default=OUT, help="table to write; its record goes beside it")
    parser.add_argument("--add", action="store_true", help="keep what the table holds of other populations")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
