"""The papers' tables on the papers' data: rows by :mod:`camlib.evaluate`, printed numbers beside ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure

from camlib import paths, plots
from camlib.compendium import manifest
from camlib.compendium.paper.setting import Folders
from camlib.data import datasets, square
from camlib.data.datasets import Dataset
from camlib.evaluate import Plan, Results, evaluate
from camlib.metrics import METRICS
from camlib.networks import Network
from camlib.registry import METHODS
from camlib.zoo.pretrained import load_network

NETWORK = "vgg16"
SLOW = ("mask", "rise")
"""Methods that take thousands of passes a picture; fast=True leaves them out."""
LARGEST_SHARE = 0.5
RIVALS = ("grad-cam", "grad-cam++", "xgrad-cam", "layer-cam", "score-cam", "union-cam")
PLAIN = ("average-drop", "average-increase")
HALF = ("average-drop-half", "average-increase-half")
FIVE = ("mask", "rise", "grad-cam", "grad-cam++", "score-cam")
EIGHT = ("gradient", "smooth-grad", "integrated-gradients", *FIVE)


@dataclass(frozen=True)
class Table:
    """One table of a paper: what it is computed from, and what the paper prints.

    ``data`` is a name of :class:`Folders`; ``printed`` has one number a method, by metric.
    """

    item: str
    data: str
    pictures: int | None
    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    caption: str
    printed: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    target: str = "top1"

    def of(self, pictures: int | None) -> str:
        """The setting of the paper in words."""
        return f"published: VGG-16, {'all' if pictures is None else f'{pictures:,}'} pictures"


_DROPS = (
    "Average drop (lower is better) and increase (higher is better), {pixels}, in percent, most probable class{more}."
)
_LOST = ". The published numbers are lost from every copy of the paper that could be read"
TABLES = (
    Table(
        "score-table-2",
        "imagenet",
        2000,
        FIVE,
        HALF,
        _DROPS.format(pixels="half of the pixels", more=""),
        dict(zip(HALF, ((63.5, 47.0, 47.8, 45.5, 31.5), (5.29, 14.0, 19.6, 18.9, 30.6)), strict=True)),
    ),
    Table("union-table-1", "imagenet", 2000, RIVALS, PLAIN, _DROPS.format(pixels="all pixels", more=_LOST)),
    Table("union-table-2", "voc", None, RIVALS, PLAIN, _DROPS.format(pixels="all pixels", more=_LOST)),
    Table(
        "score-table-1",
        "boxes",
        500,
        EIGHT,
        ("energy-pointing-game",),
        "Energy-based pointing game: share of the heatmap's energy in the box, in percent, on pictures with one object "
        "that covers less than half of the picture, class of the object. A map that knows nothing has the box's share "
        "of the area, the line all-ones.",
        {"energy-pointing-game": (41.3, 42.4, 44.7, 56.1, 36.3, 48.1, 49.3, 63.7)},
        target="objects",
    ),
)
"""Wang et al. 2019, tables 1 and 2; Hu et al. 2024, tables 1 and 2."""


@dataclass(frozen=True)
class Job:
    """One run of :func:`camlib.evaluate.evaluate`: tables that share their pictures share all passes."""

    data: str
    tables: tuple[Table, ...]
    pictures: int | None
    methods: tuple[str, ...]
    metrics: tuple[str, ...]


def jobs(limit: int | None = None, fast: bool = False) -> list[Job]:
    """The runs behind all tables; ``limit`` lowers the number of pictures."""
    found = []
    for name in dict.fromkeys(table.data for table in TABLES):
        tables = tuple(table for table in TABLES if table.data == name)
        methods = dict.fromkeys(m for table in tables for m in table.methods if not (fast and m in SLOW))
        metrics = dict.fromkeys(metric for table in tables for metric in table.metrics)
        wanted = [count for count in (limit, tables[0].pictures) if count is not None]
        found.append(Job(name, tables, min(wanted, default=None), tuple(methods), tuple(metrics)))
    return found


def passes(job: Job, channels: int) -> int:
    """Forward passes of a picture in a run, about; a backward pass counts as two."""
    masked = channels if {"score-cam", "union-cam"} & set(job.methods) else 0
    own = sum(_passes_of(method) for method in job.methods)
    judged = 0 if job.data == "boxes" else len(job.methods) * len(job.metrics)
    return 1 + masked + own + judged


def _passes_of(method: str) -> int:
    numbers = {name: value for name, value in METHODS[method].options.items() if isinstance(value, int)}
    both_ways = numbers.get("steps", 0) + numbers.get("samples", 0)
    return 3 * both_ways + numbers.get("masks", 0) + (3 if not both_ways else 0)


def make(
    folders: Folders,
    network: str = NETWORK,
    limit: int | None = None,
    fast: bool = False,
    seed: int = 0,
    out: Path | None = None,
) -> dict[str, str]:
    """Make every table whose data are there, and the figure of examples; item -> why it is left out.

    Rows are kept below ``out`` (build/evaluation-paper), so that a run that was stopped goes on. Raises
    WeightsUnavailable if the network's weights are not to be had.
    """
    left_out = {
        table.item: folders.lacking[job.data] for job in jobs() for table in job.tables if job.data in folders.lacking
    }
    todo = [job for job in jobs(limit, fast) if job.data in folders.found]
    if not todo:
        return left_out
    net = load_network(network)
    net.module.to("cuda" if torch.cuda.is_available() else "cpu")
    for job in todo:
        try:
            dataset = _pictures(folders.found[job.data], job, seed)
        except ValueError as error:
            left_out |= {table.item: str(error) for table in job.tables}
            continue
        plan = Plan(net, job.methods, job.metrics, target=job.tables[0].target, seed=seed)
        results = evaluate(plan, dataset, (out or paths.BUILD / "evaluation-paper") / job.data)
        for table in job.tables:
            _save(table, job, net, dataset, results, seed)
    _save_examples(folders.found, seed)
    return left_out


def _pictures(dataset: Dataset, job: Job, seed: int) -> Dataset:
    if job.data == "boxes":
        return datasets.single_object(dataset, LARGEST_SHARE, job.pictures, seed)
    return dataset.sample(job.pictures, seed)


def _save(table: Table, job: Job, net: Network, dataset: Dataset, results: Results, seed: int) -> None:
    methods = [method for method in table.methods if method in job.methods]
    frame = beside_printed(table, results.table)
    manifest.save(
        frame,
        table.item,
        caption=f"{table.caption} Layer {results.table['layer'].iloc[0]}; 95 % bootstrap intervals over pictures; "
        "controls that see no network below the methods.",
        network=net.name,
        data=f"{dataset.name}, {len(dataset):,} pictures",
        n=len(dataset),
        seed=seed,
        profile="paper",
        differs=_differs(table, net, len(dataset), methods),
        extra={"rows": results.rows[results.rows["metric"].isin(table.metrics)]},
    )


def beside_printed(table: Table, ours: pd.DataFrame) -> pd.DataFrame:
    """Lines metric by metric, method by method: the published number, our mean with its interval, pictures, flat maps.

    ``ours`` is :attr:`camlib.evaluate.Results.table`; shares become percent, as papers print them.
    """
    methods = [*table.methods, *(name for name in dict.fromkeys(ours["method"]) if name not in RIVALS + EIGHT)]
    lines = []
    for metric in table.metrics:
        scale, unit = (100, "%") if METRICS[metric].unit == "share" else (1, METRICS[metric].unit)
        printed = dict(zip(table.methods, table.printed.get(metric, ()), strict=False))
        for method in methods:
            found = ours[(ours["metric"] == metric) & (ours["method"] == method)]
            line = {"metric": f"{metric} [{unit}]", "method": method, table.of(table.pictures): printed.get(method)}
            for name in ("mean", "low", "high"):
                line[f"ours, {name}"] = scale * float(found[name].iloc[0]) if len(found) else None
            for name in ("n", "degenerate"):
                line[f"ours, {name}"] = int(found[name].iloc[0]) if len(found) else None
            lines.append(line)
    return pd.DataFrame(lines)


def _differs(table: Table, net: Network, count: int, methods: Iterable[str]) -> str:
    said = ["another draw of pictures"] if table.pictures else []
    if not net.name.startswith(NETWORK):
        said.append(f"{net.name} instead of VGG-16")
    if count < (table.pictures or count):
        said.append(f"{count} instead of {table.pictures:,} pictures")
    if without := [method for method in table.methods if method not in methods]:
        said.append(f"without {' and '.join(without)} (fast)")
    return "; ".join([*said, "controls added"])


def _save_examples(found: Mapping[str, Dataset], seed: int, columns: int = 6) -> None:
    """Figure 3 of Hu et al. 2024 with pictures of the data sets themselves."""
    given = {name: found[name] for name in ("imagenet", "voc") if name in found}
    chosen = {name: [example.picture for example in dataset.sample(columns, seed)] for name, dataset in given.items()}
    rows = [[square(picture, 224) for picture in pictures] for pictures in chosen.values()]
    figure: Figure = plots.grid(rows, [dataset.name for dataset in given.values()], colorbar=False, cell=1.3)
    manifest.save(
        figure,
        "union-fig-03",
        caption="Pictures of the data sets, drawn at random, their central squares at 224 × 224.",
        network="none",
        data=" and ".join(dataset.name for dataset in given.values()),
        n=sum(map(len, chosen.values())),
        seed=seed,
        profile="paper",
        differs="other pictures of the same sets",
    )
