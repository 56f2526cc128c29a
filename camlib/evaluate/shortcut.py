"""Which maps give a planted shortcut away: rows of 500 hearts that carry the mark, on a network that learned it.

    python -m camlib.evaluate.shortcut            # about four minutes: writes data/shortcut.parquet
    rows = read()                                 # network, picture, method, on_mark, on_heart, x, y, alarm

The pictures are :func:`camlib.data.marks.held_out`: no training has seen them. Each is explained twice for "heart",
on the network that could learn the mark and on the repaired one, which could not: a method tells the two apart or not.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from camlib import paths
from camlib.data.marks import MARKED, held_out
from camlib.engine import runtime
from camlib.evaluate.evidence.judging import energies
from camlib.evaluate.evidence.populations import CLASS_MAPS
from camlib.explanation import DegenerateMapWarning, compare
from camlib.metrics import Interval, bootstrap_interval
from camlib.networks import Network
from camlib.studies.keeping import write
from camlib.zoo import load_network

OUT = paths.DATA / "shortcut.parquet"
PICTURES = 500
NETWORKS = ("scenes-shortcut", "scenes-repaired")
"""The network that learned the mark, and the one that could not."""
LEFT_OUT = {"case", "smooth-grad-cam++", "group-cam", "score-cam-binary"}
METHODS = tuple(name for name in CLASS_MAPS if name not in LEFT_OUT)
"""Class activation maps whose passes are few or shared; "case" is Grad-CAM but for a factor here."""
_BATCH = 25


def rows_of(net: Network, numbers: Sequence[int], methods: Sequence[str] = METHODS) -> list[dict[str, Any]]:
    """One row a picture (position among the held-out ones) and method: where its map of "heart" lies.

    ``on_mark`` and ``on_heart`` are shares of the heatmap's energy, in thousandths; ``x`` and ``y`` the pixel of its
    largest value (the first in raster order); ``alarm`` whether that lies nearer to the center of the mark than to
    that of the heart: cells of the map are as large as the mark, so a hit to the pixel would ask too much.
    """
    stamped, _, place = held_out(max(numbers) + 1)
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateMapWarning)
        for start in range(0, len(numbers), _BATCH):
            part = list(numbers[start : start + _BATCH])
            found = compare(net, [stamped.images[i].float() / 255 for i in part], methods, [MARKED])
            for e in found:
                i = part[e.picture]
                regions = torch.stack([place[i], stamped.masks[i, 0]])
                rows.append({"network": net.name, "picture": i, "method": e.method} | _measured(e.heatmap, regions))
    return rows


def _measured(heatmap: Tensor, regions: Tensor) -> dict[str, int | bool]:
    """Of one heatmap [S, S] and the regions of mark and heart, bool [2, S, S]; a flat map rings no alarm."""
    mark, heart = (1000 * energies(heatmap[None], regions)[0]).round().int().tolist()
    y, x = divmod(int(heatmap.argmax()), heatmap.shape[1])
    near = [(region.nonzero().double().mean(dim=0) - torch.tensor([y, x])).norm() for region in regions]
    alarm = bool(near[0] < near[1]) and bool(heatmap.any())
    return {"on_mark": mark, "on_heart": heart, "x": x, "y": y, "alarm": alarm}


def measure(numbers: Sequence[int] = range(PICTURES)) -> pd.DataFrame:
    """The rows of both networks, as :func:`write` keeps them."""
    runtime.setup(0)
    rows = [row for name in NETWORKS for row in rows_of(load_network(name), numbers)]
    frame = pd.DataFrame(rows)
    for column, names in (("network", NETWORKS), ("method", METHODS)):
        frame[column] = pd.Categorical(frame[column], names)
    return frame.astype({"picture": "int16", "on_mark": "int16", "on_heart": "int16", "x": "int8", "y": "int8"})


def read(file: Path = OUT) -> pd.DataFrame:
    """The kept rows, energies as shares in [0, 1].

    Raises FileNotFoundError with the command that makes them.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file.name} does not exist. Make it: python -m camlib.evaluate.shortcut")
    frame = pd.read_parquet(file, engine="pyarrow").astype({"network": str, "method": str})
    return frame.assign(on_mark=frame["on_mark"] / 1000, on_heart=frame["on_heart"] / 1000)


def alarms(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a method: how often the hottest point is at the mark, how much energy lies there, on both networks.

    Columns ``alarm``, ``false_alarm`` (of the network that learned the mark, of the repaired one), ``energy``,
    ``false_energy`` (on the mark), ``on_heart`` (of the first) and ``told`` (alarm − false alarm over the same
    pictures) are means with ``_low`` and ``_high``, 95 % bootstrap intervals over pictures; the most telling first.
    """
    found = []
    for method, own in rows.groupby("method", sort=False):
        learned, repaired = (own[own["network"] == name].set_index("picture").sort_index() for name in NETWORKS)
        hot, calm = (part["alarm"].astype(float) for part in (learned, repaired))
        values = {"alarm": hot, "false_alarm": calm, "told": hot - calm}
        values |= {"energy": learned["on_mark"], "false_energy": repaired["on_mark"], "on_heart": learned["on_heart"]}
        found.append({"method": method, "n": len(hot)} | _with_intervals(values))
    return pd.DataFrame(found).sort_values(["told", "energy"], ascending=False, ignore_index=True)


def _with_intervals(values: dict[str, pd.Series]) -> dict[str, float]:
    each: dict[str, Interval] = {name: bootstrap_interval(v.to_numpy(), resamples=500) for name, v in values.items()}
    return {f"{name}{end}": x for name, i in each.items() for end, x in zip(("", "_low", "_high"), i, strict=True)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line, see the head of this module."""
    parser = argparse.ArgumentParser(prog="python -m camlib.evaluate.shortcut", description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=PICTURES, help=f"how many hearts ({PICTURES})")
    parser.add_argument("--out", type=Path, default=OUT, help="table to write (data/shortcut.parquet)")
    options = parser.parse_args(arguments)
    write(measure(range(options.pictures)), options.out)
    print(alarms(read(options.out))[["method", "n", "alarm", "false_alarm", "energy"]].round(3).to_string(index=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
