"""The papers' own setting, in three steps; ``make paper IMAGENET=DIR VOC=DIR`` does all of them.

    python -m camlib.compendium.paper prepare --imagenet DIR ...  prints the plan, downloads weights that are not here
    make figures PROFILE=paper                                    the notebooks
    python -m camlib.compendium.paper finish --imagenet DIR ...   tables at full scale, gallery, what is left out

``plan`` prints the plan and does nothing. Whatever is missing leaves out what needs it; the exit status is 1 only if
something failed for another reason.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from camlib import paths
from camlib.checkpoints import WeightsUnavailable
from camlib.compendium import report
from camlib.compendium.paper import plan, tables
from camlib.compendium.paper.listing import listing
from camlib.compendium.paper.setting import Folders, fetch, forget_outdated, read_folders
from camlib.engine import runtime


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line, see the head of this module."""
    options = _parser().parse_args(arguments)
    runtime.setup(options.seed)
    paths.FIGURES = paths.ROOT / options.figures  # never the committed ones by accident
    folders = read_folders(options.imagenet, options.voc, options.boxes, options.synsets)
    if options.step == "finish":
        return _finish(options, folders)
    print(plan.text(folders, options.network, options.limit, options.fast), flush=True)
    if options.step == "prepare":
        _prepare(options)
    return 0


def _prepare(options: argparse.Namespace) -> None:
    for network, why in fetch(plan.wanted(options.network)).items():
        print(f"\nWithout {network}: {why}", flush=True)
    for name in forget_outdated(options.runs):
        print(f"{name} is run again: the weights have changed")
    print()


def _finish(options: argparse.Namespace, folders: Folders) -> int:
    try:
        left_out = tables.make(folders, options.network, options.limit, options.fast, options.seed)
    except WeightsUnavailable as error:
        left_out = {table.item: str(error) for table in tables.TABLES}
    print("\n".join(report.gallery()))
    found = listing(options.runs, left_out)
    print("\n".join(["", *found.lines]))
    return int(found.failed)


def _parser() -> argparse.ArgumentParser:
    head, _, steps = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m camlib.compendium.paper",
        description=head,
        epilog=steps,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("step", choices=("plan", "prepare", "finish"))
    parser.add_argument("--imagenet", metavar="DIR", help="validation pictures of ILSVRC2012")
    parser.add_argument("--boxes", metavar="DIR", help="their XML files, where they are not in Kaggle's place")
    parser.add_argument("--synsets", metavar="FILE", help="their labels, where pictures lie side by side")
    parser.add_argument("--voc", metavar="DIR", help="the folder with VOCdevkit, test pictures of 2007")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N pictures a table, drawn by --seed")
    parser.add_argument(
        "--fast", action="store_true", help="tables without RISE and Mask, which take thousands of passes"
    )
    parser.add_argument("--network", default=tables.NETWORK, help=f"of the tables ({tables.NETWORK})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=paths.BUILD / "notebooks-paper", help="notebooks as they ran")
    parser.add_argument("--figures", type=Path, default="figures-paper", metavar="DIR", help="where items go")
    return parser


if __name__ == "__main__":
    sys.exit(main())
