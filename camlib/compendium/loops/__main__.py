"""Command line of the loops: measures and writes the table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from camlib import paths
from camlib.compendium.loops import measuring, page
from camlib.compendium.writing import write_file
from camlib.engine import runtime


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every case, keep the rows and write the page."""
    argparse.ArgumentParser(prog="python -m camlib.compendium.loops", description=__doc__).parse_args(arguments)
    runtime.setup(0)
    write_file(page.DATA, page.keep(measuring.measure()).encode())
    target = paths.FIGURES / page.NAME
    write_file(target, page.text().encode())
    print(f"wrote {page.DATA.name} and {target.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
