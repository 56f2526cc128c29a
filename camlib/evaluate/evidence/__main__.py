"""``python -m camlib.evaluate.evidence``: make missing rows, join them, or make some of them again and compare."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from camlib.evaluate.evidence import checking, kept, making


def main(arguments: Sequence[str] | None = None) -> int:
    """Status 0; 1 where a row that was made again is not what was kept."""
    parser = argparse.ArgumentParser(
        prog="camlib evidence", description="Rows that the claims stand on: data/evidence."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    make = commands.add_parser("make", help="make every chunk that is missing; goes on after a kill")
    collect = commands.add_parser("collect", help="join the finished chunks in data/evidence")
    check = commands.add_parser("check", help="make rows again, drawn at random, and compare; status 1 if one differs")
    for each in (make, collect):
        each.add_argument(
            "--samples", type=Path, metavar="DIR", help="photographs as of ImageNet (DIR/val/<wnid>), too"
        )
        each.add_argument("--work", type=Path, default=making.WORK, metavar="DIR", help="where finished chunks are")
    make.add_argument("--share", default="0/1", metavar="I/N", help="every N-th chunk from the I-th, for N processes")
    check.add_argument("count", type=int, nargs="?", default=20, metavar="N", help="how many rows (20)")
    given = parser.parse_args(arguments)
    if given.command == "make":
        making.make(given.work, _share(parser, given.share), given.samples)
        return 0
    return _collect(given.work, given.samples) if given.command == "collect" else _check(given.count)


def _share(parser: argparse.ArgumentParser, text: str) -> tuple[int, int]:
    first, _, count = text.partition("/")
    if not (first.isdecimal() and count.isdecimal() and int(first) < int(count)):
        parser.error(f"--share {text}: expected I/N with I below N, such as 0/2.")
    return int(first), int(count)


def _collect(work: Path, samples: Path | None) -> int:
    for part in kept.PARTS[: 2 if samples else 1]:
        found = making.collect(work, part=part)
        numbers = f"{found['rows']:,} rows, {found['scores']:,} scores, {found['processor hours']} processor hours"
        print(f"data/evidence/{part}.parquet: {numbers}")
    return 0


def _check(count: int) -> int:
    found = checking.differences(checking.draw(count))
    for each in found:
        print(f"{each.column}: kept {each.kept}, found {each.found}; {each.row}")
    print(f"{count} rows made again, {len(found)} numbers differ")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
