"""``python -m camlib.evaluate.decisive STUDY… [--samples DIR]``: make the rows of studies anew."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from camlib.data.examples import Dataset
from camlib.engine import runtime
from camlib.evaluate.decisive import attacks, boards, photographs, scenes
from camlib.evaluate.decisive.kept import CLAIMS, Row, as_table, file_of
from camlib.evaluate.evidence.kept import write
from camlib.evaluate.evidence.photographs import ordered
from camlib.evaluate.evidence.populations import PHOTO_SEED, PHOTOGRAPHS, SEEDS

STUDIES = {"boards": boards, "photographs": photographs, "attacks": attacks}
PACKAGES = ("torch", "torchvision", "numpy", "foolbox", "scikit-image")


def fresh(samples: Path) -> Dataset:
    """Photographs that the evidence does not use: behind its own in the drawn order, the last one first."""
    every = ordered(samples)
    return replace(every, ids=every.ids[: PHOTOGRAPHS - 1 : -1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the rows of every study that is named."""
    parser = argparse.ArgumentParser(prog="python -m camlib.evaluate.decisive", description=__doc__)
    parser.add_argument("studies", nargs="+", choices=CLAIMS, metavar="STUDY", help=", ".join(CLAIMS))
    parser.add_argument("--samples", type=Path, metavar="DIR", help="photographs as of ImageNet (DIR/val/<wnid>)")
    given = parser.parse_args(arguments)
    if given.samples is None and (asked := [name for name in given.studies if name in STUDIES]):
        parser.error(f"{', '.join(asked)}: --samples DIR says where the photographs are")
    runtime.setup(0)
    for study in given.studies:
        start = time.process_time()
        rows = list(STUDIES[study].rows(fresh(given.samples)) if study in STUDIES else scenes.rows())
        save(study, rows, round(time.process_time() - start))
    return 0


def save(study: str, rows: Iterable[Row], seconds: int) -> None:
    """Write the rows and, beside them, how they were made."""
    table = as_table(rows)
    write(table, file_of(study))
    record = {
        "command": f"python -m camlib.evaluate.decisive {study}" + (" --samples DIR" if study in STUDIES else ""),
        "claims": CLAIMS[study],
        "rows": table.num_rows,
        "processor seconds": seconds,
        "seeds": {"order of photographs": PHOTO_SEED} if study in STUDIES else {**SEEDS, "stability": scenes.LFI_SEED},
        "pictures": f"photographs from number {PHOTOGRAPHS} of the order, the last one first"
        if study in STUDIES
        else f"scenes from {scenes.FIRST}, {scenes.COUNTS}; stability: 0 to {scenes.LFI_COUNT - 1}",
        "versions": {name: version(name) for name in PACKAGES},
    }
    file_of(study).with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
