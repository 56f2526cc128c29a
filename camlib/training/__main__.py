"""Train networks and keep their weights in data/trained/.

    python -m camlib.training --list                     # what there is
    python -m camlib.training scenes-gap --seed 1        # one network from another seed
    python -m camlib.training cifar10-lfi --data DIR     # a data set that has to be named
    python -m camlib.training --jobs 2                   # all networks, two at a time (make train)

Weights that test below what their recipe states are not kept.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_all_start_methods, get_context

from camlib.data import cifar10
from camlib.training import RECIPES, find_recipe
from camlib.training.recipes import take_environment, train_aloud


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line, see the head of this module; 1 after saying what stands in the way."""
    options = _parser().parse_args(arguments)
    if options.data:
        os.environ[cifar10.VARIABLE] = options.data
    try:
        names = _ordered([find_recipe(name).name for name in options.names] or list(RECIPES))
        if options.list:
            for name in names:
                print(f"{name:20s} {RECIPES[name].minutes:4.0f} min  {RECIPES[name].design.summary}")
        elif options.jobs > 1 and len(names) > 1:
            return _train_in_processes(names, options.seed, options.jobs)
        else:
            for name in names:
                train_aloud(name, options.seed)
    except (ValueError, RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m camlib.training", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks to train; none: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", help="where CIFAR-10 lies: what camlib.data.cifar10.read takes")
    parser.add_argument("--jobs", type=int, default=1, help="networks that are trained at the same time")
    parser.add_argument("--list", action="store_true", help="name the networks and stop")
    return parser


def _ordered(names: Sequence[str]) -> list[str]:
    """The names, the longest first (a long one begun last keeps one core alone), behind those that they start from."""
    ordered: dict[str, None] = {}
    for name in sorted(names, key=lambda name: -RECIPES[name].minutes):
        for earlier in _ordered([start for start in RECIPES[name].after if start in names]):
            ordered.setdefault(earlier)
        ordered.setdefault(name)
    return list(ordered)


def _train_in_processes(names: Sequence[str], seed: int, jobs: int) -> int:
    """``jobs`` processes train one network after another; the number of networks that failed."""
    running: dict[str, Future[int]] = {}

    def one(name: str) -> int:
        if any(running[earlier].result() for earlier in RECIPES[name].after if earlier in running):
            print(f"{name}: not trained, because a network that it starts from failed", file=sys.stderr)
            return 1
        try:
            workers.submit(train_aloud, name, seed).result()
        except (ValueError, RuntimeError, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        return 0

    # A process that stays spares the next network the seconds in which Python loads PyTorch. Networks that others
    # start from come first, so no thread waits for a later one.
    context = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
    context.set_forkserver_preload(["camlib.training.recipes"])  # loaded once for all
    here = (dict(os.environ),)
    with ProcessPoolExecutor(jobs, context, take_environment, here) as workers, ThreadPoolExecutor(jobs) as pool:
        for name in names:
            running[name] = pool.submit(one, name)
        return sum(future.result() for future in running.values())


if __name__ == "__main__":
    raise SystemExit(main())
