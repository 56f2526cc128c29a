"""The page of the networks that are trained here, ``figures/networks.md``, made of their records in data/trained/."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from camlib import paths
from camlib.compendium.writing import markdown_table

NAME = "networks.md"
RECORDS = paths.DATA / "trained"


def text() -> str:
    """The page in Markdown: every network with its size, its seed and its accuracy, and that of its kept stages."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RECORDS.glob("*.json"))]
    rows = [row for record in records for row in _rows(record)]
    table = markdown_table(["network", "weights", "parameters", "trained on", "seed", "accuracy"], rows)
    words = (
        f"{len(records)} networks; accuracy of the weights as they are kept (float16) on pictures that no training has "
        "seen: scenes with one object; for `scenes-captions` scenes with two, whose sentence must be true to the last "
        "word; CIFAR-10's test set. `camlib.load_network(network, weights)` loads them, `make train` trains them."
    )
    return "\n\n".join(["# Networks that are trained here", words, table]) + "\n"


def _rows(record: Mapping[str, Any]) -> list[list[str]]:
    """The network itself, then its stages."""
    stages = {"default": record} | record.get("stages", {})
    return [
        [
            record["name"],
            name,
            f"{record['parameters']:,}" if name == "default" else "",
            _seen(record) if name == "default" else "",
            str(stage.get("seed", record["seed"])),
            f"{stage['accuracy']:.1%}".replace("%", " %"),
        ]
        for name, stage in stages.items()
    ]


def _seen(record: Mapping[str, Any]) -> str:
    """How many pictures a training drew, in the words of its record."""
    kinds = [key for key in ("scenes", "scenes drawn", "pictures") if key in record]
    return ", ".join(f"{record[kind]:,} {kind.removesuffix(' drawn')}" for kind in kinds)
