"""Command line of the errata: writes the page, or computes the numbers anew (see the head of the package)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from camlib import paths
from camlib.compendium.errata import page
from camlib.compendium.writing import write_file


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the two steps; without a word the page is written."""
    parser = argparse.ArgumentParser(prog="python -m camlib.compendium.errata", description=__doc__)
    parser.add_argument("step", nargs="?", choices=("page", "measure"), default="page")
    parser.add_argument("ids", nargs="*", metavar="ID", help="of measure: numbers to compute; none means all")
    options = parser.parse_args(arguments)
    if options.step == "measure":
        from camlib.compendium.errata import measuring  # networks, minutes: only when asked for

        measuring.measure(options.ids)
    target = paths.FIGURES / page.NAME
    write_file(target, page.text().encode())
    print(f"wrote {target.relative_to(paths.ROOT) if target.is_relative_to(paths.ROOT) else target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
