"""``python -m camlib.evaluate.evidence``: make missing rows, join them, or make some of them again and compare."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from camlib.evaluate.evidence import checking, making


def main(arguments: list[str] | None = None) -> int:
    """Status 0; 1 where a row that was made again is not what was kept."""
    parser = argparse.ArgumentParser(prog="python -m camlib.evaluate.evidence", description=__doc__.partition(": ")[2])
    parser.add_argument(
        "--part", default="0/1", metavar="I/N", help="only every N-th chunk, from the I-th: N processes share"
    )
    parser.add_argument("--work", type=Path, default=making.WORK, metavar="DIR", help="where finished chunks are")
    parser.add_argument("--collect", action="store_true", help="make nothing, join what is finished in data/evidence")
    parser.add_argument("--check", type=int, metavar="N", help="make N rows again, drawn at random, and compare")
    given = parser.parse_args(arguments)
    if given.check is not None:
        return _check(given.check)
    if not given.collect:
        making.make(given.work, _part(parser, given.part))
    found = making.collect(given.work)
    print(
        f"{found['rows']:,} rows, {found['scores']:,} scores, {found['processor hours']} processor hours: data/evidence"
    )
    return 0


def _part(parser: argparse.ArgumentParser, text: str) -> tuple[int, int]:
    first, _, count = text.partition("/")
    if not (first.isdecimal() and count.isdecimal() and int(first) < int(count)):
        parser.error(f"--part {text}: expected I/N with I below N, such as 0/2.")
    return int(first), int(count)


def _check(count: int) -> int:
    found = checking.differences(checking.draw(count))
    for each in found:
        print(f"{each.column}: kept {each.kept}, found {each.found}; {each.row}")
    print(f"{count} rows made again, {len(found)} numbers differ")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
