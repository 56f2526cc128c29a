"""Command line of the book, see :mod:`camlib.compendium.book`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from camlib.compendium.book.building import OUT, build
from camlib.compendium.book.checking import problems


def main(arguments: Sequence[str] | None = None) -> int:
    """``build`` makes the site and checks it, ``check`` only checks; 1 after saying what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m camlib.compendium.book", description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=("build", "check"))
    parser.add_argument("--only", nargs="+", default=(), metavar="NN", help="notebooks whose names begin so")
    parser.add_argument("--no-api", action="store_true", help="leave the API reference out")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="the site (build/book)")
    options = parser.parse_args(arguments)
    try:
        if options.command == "build":
            stage = build(options.only, options.out, api=not options.no_api)
            for line in stage.dropped:
                print(f"not in the book: {line}")
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    wrong = problems(options.out)
    print("\n".join(wrong) or f"{len(list(options.out.rglob('*.html')))} pages, every link and picture is there")
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
