"""The maps of one mosaic of photographs by six methods, as published, centered and projected: kept, since SA-CAM and
Score-CAM of a network with 1280 channels take minutes.

    python -m camlib.evaluate.evidence.mosaic_maps      # makes data/evidence/mosaic-maps.parquet anew

The mosaic is the first of ``mosaics(20, cell=CELL, seed=SEED)`` of which the network names every photograph right, with
a probability over one half, when it sees it alone at the mosaic's size. Explained are the classes of its upper left and
lower right cell. Photographs are those of the offline packages; kept are numbers, [h, w] a map.
"""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from camlib.data.boxes import Box
from camlib.data.mosaics import grid_boxes, mosaics, square
from camlib.data.photographs import load_photo, photo_info
from camlib.evaluate.evidence import kept
from camlib.explanation import DegenerateMapWarning, compare
from camlib.framework import COMMON
from camlib.networks import Network
from camlib.zoo.pretrained import load_network

NETWORK = "efficientnet-lite0"
METHODS = ("grad-cam", "grad-cam++", "layer-cam", "sca-cam", "sa-cam", "score-cam")
CELL, SEED, CELLS = 128, 0, (0, 3)
FILE = kept.EVIDENCE / "mosaic-maps.parquet"


class Chosen(NamedTuple):
    """A mosaic: its picture, the names of its photographs, their ImageNet classes, the cells as boxes."""

    picture: Image.Image
    names: tuple[str, ...]
    labels: tuple[int, ...]
    boxes: tuple[Box, ...]


@cache
def network() -> Network:
    """The network that is explained, at the mosaic's size."""
    return load_network(NETWORK).with_input_size(2 * CELL)


@cache
def chosen() -> Chosen:
    """The mosaic by the rule above."""
    net = network()
    for example in mosaics(20, cell=CELL, seed=SEED):
        names = tuple(example.id.split()[1].split("+"))
        alone = [net.predict(square(load_photo(name), 2 * CELL), top=1)[0] for name in names]
        labels = tuple(photo_info(name).label for name in names)
        if all(index == label and p > 0.5 for (index, _, p), label in zip(alone, labels, strict=True)):
            return Chosen(example.load(), names, labels, tuple(grid_boxes(4, 2, CELL)))
    raise ValueError(f"No mosaic of seed {SEED} has four photographs that {NETWORK} names right.")


class Kept(NamedTuple):
    """What is kept: names and classes of the photographs, and the maps, [h, w], by (cell, method, common)."""

    names: tuple[str, ...]
    labels: tuple[int, ...]
    maps: dict[tuple[int, str, str], np.ndarray]


def make(methods: tuple[str, ...] = METHODS) -> pa.Table:
    """The maps: cell, method, common, flat, and map, [h, w] before upsampling; the mosaic stands in the metadata."""
    mosaic = chosen()
    asked = [(method, {} if common == "keep" else {"common": common}) for method in methods for common in COMMON]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateMapWarning)  # kept as flat
        made = compare(network(), [mosaic.picture], asked, [[mosaic.labels[cell] for cell in CELLS]])
    rows = [
        {
            "cell": CELLS[i % len(CELLS)],
            "method": e.method,
            "common": e.options.get("common", "keep"),
            "flat": e.degenerate,
            "map": e.raw.float().tolist(),
        }
        for i, e in enumerate(made)
    ]
    facts = {"names": json.dumps(mosaic.names), "labels": json.dumps(mosaic.labels)}
    return pa.Table.from_pylist(rows).replace_schema_metadata(facts)


def read(file: Path = FILE) -> Kept:
    """The kept maps; FileNotFoundError with the command that makes them."""
    if not file.is_file():
        raise FileNotFoundError(f"{file.name} does not exist. Make it: python -m camlib.evaluate.evidence.mosaic_maps")
    table = pq.read_table(file)
    facts = [tuple(json.loads(table.schema.metadata[name])) for name in (b"names", b"labels")]
    places = [(row["cell"], row["method"], row["common"]) for row in table.to_pylist()]
    return Kept(*facts, dict(zip(places, (np.float32(each) for each in table["map"].to_pylist()), strict=True)))


if __name__ == "__main__":
    kept.write(make(), FILE)
