"""Evaluate class activation maps on many pictures; stop it at any time, run it again and it goes on.

    python -m camlib.evaluate --photos --out build/photos
    python -m camlib.evaluate --voc DIR --split test --layer blocks.4 --methods grad-cam score-cam --out build/voc
    python -m camlib.evaluate --mosaics --input-size 448 --target objects --metrics grid-pointing-game --out build/grid
    torchrun --nproc-per-node=2 -m camlib.evaluate --imagenet DIR --limit 2000 --out build/imagenet

The folder then holds rows-*.sqlite (all results), rows.csv, table.csv, differences.csv and table.md. With a changed
setting the same folder may be used again: rows of different settings never meet in a table.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from camlib.data import datasets
from camlib.data.datasets import Dataset
from camlib.engine import runtime
from camlib.evaluate.plan import METHODS_BY_DEFAULT, METRICS_BY_DEFAULT, TARGETS, Plan
from camlib.evaluate.runner import evaluate
from camlib.networks import Network
from camlib.zoo.pretrained import load_network

_SHOWN = ["layer", "metric", "method", "mean", "low", "high", "n", "degenerate", "no box"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line, see the head of this module; returns 1 after saying what stands in the way."""
    options = _parser().parse_args(arguments)
    try:
        runtime.setup(options.seed, options.threads)
        dataset = _dataset(options).sample(options.limit, options.seed)
        plan = Plan(_network(options), options.methods, options.metrics, options.layer, options.target, options.seed)
        results = evaluate(plan, dataset, options.out)
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    if results is not None:
        written = results.write(options.out)
        print(results.table[_SHOWN].to_string(index=False, float_format=lambda value: f"{value:.4g}"))
        print(f"{results.finished} of {results.pictures} pictures; wrote {', '.join(map(str, written))}")
        for line in results.failures():
            print(line, file=sys.stderr)
        if not (results.table["n"] > 0).any():
            print(f"Nothing has a value; the column 'note' of {options.out / 'rows.csv'} says why.", file=sys.stderr)
            return 1
    return 0


def _dataset(options: argparse.Namespace) -> Dataset:
    _check_companions(options)
    if options.photos:
        return datasets.photos()
    if options.mosaics is not None:
        return datasets.mosaics(options.mosaics, seed=options.seed)
    if options.imagenet:
        return datasets.imagenet(options.imagenet, options.split or "val", options.boxes, options.synsets)
    if options.voc:
        return datasets.voc(options.voc, options.year, options.split or "test")
    return datasets.folder(options.folder, options.boxes)


def _check_companions(options: argparse.Namespace) -> None:
    """ValueError for an option that the chosen data set does not read."""
    readers = {
        "boxes": ("imagenet", "folder"),
        "synsets": ("imagenet",),
        "split": ("imagenet", "voc"),
        "year": ("voc",),
    }
    default = _parser().get_default
    for option, allowed in readers.items():
        if getattr(options, option) != default(option) and not any(getattr(options, name) for name in allowed):
            raise ValueError(f"--{option} belongs to {' and '.join(f'--{name}' for name in allowed)}; leave it out.")


def _network(options: argparse.Namespace) -> Network:
    weights = None if options.weights == "none" else options.weights
    network = load_network(options.network, weights, seed=options.seed)
    if options.input_size is not None:
        network = network.with_input_size(options.input_size)
    device = torch.device(options.device)
    if device.type == "cuda":  # each process of a machine has its own
        device = torch.device("cuda", device.index or int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
    return network.to(device)


def _parser() -> argparse.ArgumentParser:
    head, _, commands = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m camlib.evaluate",
        description=head,
        epilog=commands,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--photos", action="store_true", help="the offline photographs")
    which.add_argument("--mosaics", type=int, metavar="N", nargs="?", const=20, help="2 x 2 mosaics of them (20)")
    which.add_argument("--imagenet", type=Path, metavar="DIR", help="ImageNet, as torchvision's or ILSVRC's folder")
    which.add_argument("--voc", type=Path, metavar="DIR", help="PASCAL VOC, the folder with VOCdevkit")
    which.add_argument("--folder", type=Path, metavar="DIR", help="any folder of pictures")
    parser.add_argument("--split", help="of --imagenet (val) or --voc (test)")
    parser.add_argument("--year", type=int, default=2007, help="of --voc (2007)")
    parser.add_argument("--boxes", type=Path, metavar="PATH", help="folder of VOC XML files, or a COCO JSON file")
    parser.add_argument("--synsets", type=Path, metavar="FILE", help="labels of ImageNet pictures side by side")
    parser.add_argument("--network", default="efficientnet-lite0", help="a name of camlib.list_networks()")
    parser.add_argument("--weights", default="default", help="'default', 'none' (random, by --seed), or a name")
    parser.add_argument("--input-size", type=int, metavar="PIXELS", help="side of the input; the network's own")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--layer", nargs="+", default=[None], help="one or several; the network's target layer")
    parser.add_argument(
        "--methods",
        nargs="+",
        default=METHODS_BY_DEFAULT,
        help="name or name:option=value,...; common=center or project removes the common map",
    )
    parser.add_argument("--metrics", nargs="+", default=METRICS_BY_DEFAULT, help="name or name:option=value,...")
    parser.add_argument("--target", choices=list(TARGETS), default="top1", help="which classes are explained")
    parser.add_argument("--limit", type=int, metavar="N", help="N pictures, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of each process; CAMLIB_THREADS, else 2")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
