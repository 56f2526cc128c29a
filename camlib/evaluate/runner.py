"""The work: a picture becomes rows, pictures are shared out over processes, and what is finished is not done again."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from camlib.data.boxes import Box
from camlib.data.datasets import Dataset, Example, LabeledBox, boxes_on_input, classes_of
from camlib.evaluate import store
from camlib.evaluate.judge import Judge
from camlib.evaluate.plan import Cell, Choice, Plan
from camlib.evaluate.store import Row
from camlib.evaluate.table import Results
from camlib.explanation import DegenerateMapWarning, Explanation, compare
from camlib.metrics import Sample, control_maps

_FOLDERS = re.compile(r"(?<![\w.:/+-])/(?:[^\s/'\"]+/)+")
"""The folders of an absolute path; what is left of it is the file's name."""
_PATIENCE = timedelta(days=30)  # the fastest process waits for the slowest one


def evaluate(plan: Plan, dataset: Dataset, out: str | Path) -> Results | None:
    """Evaluate every picture of a data set by a plan, into the folder ``out``, and return tables of what is there.

    Running it again goes on where it was stopped; a picture whose rows say what went wrong is finished, too. In a
    process that ``torchrun`` started, every process takes every n-th picture and writes a file of its own; all of them
    see the same folder, and the first one makes the tables when all are done. A number does not depend on how many
    processes there are.

    Args:
        plan: network, methods, metrics and the classes to explain.
        dataset: the pictures; :meth:`Dataset.sample` takes a part.
        out: folder of the results: ``rows-<rank>.sqlite`` of every process; tables are written by
            :meth:`Results.write`.

    Returns:
        The :class:`Results` of all processes; None in all of them but the first.

    Raises:
        ValueError: a results file of another kind or format in ``out``; boxes that cannot be followed through the
            network's transform. What goes wrong with a picture raises nothing: it is a row.
    """
    out = Path(out)
    cells = plan.cells(dataset.name)
    worker = Worker(plan)
    with shared_work(plan.network.device) as share:
        done = store.finished(out)
        todo = list(_unfinished(dataset, cells, done, share))
        share.wait()  # nobody writes before everybody has read
        with store.Store(out / f"rows-{share.rank}.sqlite") as file:
            file.describe(cell.setting for cell in cells)
            mine = len(range(share.rank, len(dataset), share.count))
            with share.bar(todo, mine) as bar:
                for index, pending in bar:
                    file.add(worker.rows(dataset[index], pending))
        share.wait()
    return None if share.rank else Results.read(plan, dataset, cells, out)


# -- sharing out


@dataclass(frozen=True)
class Share:
    """Which part of the pictures is this process's."""

    rank: int = 0
    count: int = 1

    def bar(self, todo: Sequence[Any], total: int) -> tqdm:
        """A progress bar over what is to do, with rate and remaining time; only the first process shows one."""
        what = "pictures" if self.count == 1 else f"pictures of process 1 of {self.count}"
        hidden = {"disable": True} if self.rank else {}  # else the environment decides (TQDM_DISABLE)
        return tqdm(
            todo, initial=total - len(todo), total=total, unit="picture", desc=what, dynamic_ncols=True, **hidden
        )

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def shared_work(device: torch.device) -> Iterator[Share]:
    """This process among those that ``torchrun`` started: gloo where the network is on the CPU, else nccl."""
    count = int(os.environ.get("WORLD_SIZE", 1))
    if count == 1:
        yield Share()
        return
    started_here = not dist.is_initialized()
    if started_here:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Share(dist.get_rank(), dist.get_world_size())
    finally:
        if started_here:
            dist.destroy_process_group()


def _unfinished(
    dataset: Dataset, cells: Sequence[Cell], done: dict[tuple[str, str], frozenset[str]], share: Share
) -> Iterator[tuple[int, list[Cell]]]:
    """(index, missing cells) of this process's pictures that are not finished."""
    for index in range(share.rank, len(dataset), share.count):
        example = dataset[index]
        known = done.get((example.id, example.version), frozenset())
        missing = [cell for cell in cells if cell.setting.key not in known]
        if missing:
            yield index, missing


# -- one picture


@dataclass(frozen=True)
class _Look:
    """A picture as the network sees it, and what is known of it there."""

    inputs: Tensor
    probabilities: Tensor
    targets: list[int]
    boxes: dict[int, tuple[Box, ...]]  # of each target, in pixels of the heatmap
    why_no_box: dict[int, str]
    unreadable: str  # why the annotation cannot be read; empty where it can


class Worker:
    """Turns pictures into rows by a plan; what they share, the fast copy of the network, is made once."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.network = plan, plan.network
        self._transform = self.network.transform
        self._judge = Judge(self.network, plan.metrics)
        self._classes = cache(lambda name: classes_of(name, self.network))
        if "boxes" in self._judge.needs:
            boxes_on_input((), (1, 1), self._transform)  # an unknown geometry is no picture's fault: raise at once

    def rows(self, example: Example, cells: Sequence[Cell]) -> list[Row]:
        """One row for each cell and class of the picture; where there is no number, the row says why."""
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore", DegenerateMapWarning)  # becomes a row
            torch.manual_seed(_seed_of(self.plan.seed, example.id))
            made = self._rows(example, cells)
        return [
            row._replace(picture=example.id, version=example.version, note=_FOLDERS.sub("", row.note)) for row in made
        ]

    def _rows(self, example: Example, cells: Sequence[Cell]) -> list[Row]:
        try:
            picture = example.picture
        except Exception as error:
            return _without_value(cells, store.CORRUPT, _said(error))
        try:
            look = self._look(example, picture)
        except Exception as error:
            return _without_value(cells, store.ERROR, _said(error))
        if not look.targets:
            lacks = "a label" if self.plan.target == "label" else "an object that a class of the network stands for"
            return _without_value(cells, store.NO_TARGET, f"the data set does not give {lacks}")
        controls = control_maps(tuple(look.inputs.shape[-2:]), _seed_of(self.plan.seed, example.id))
        by_layer: dict[str, list[Cell]] = defaultdict(list)
        for cell in cells:
            by_layer[cell.layer].append(cell)
        rows = []
        for layer, here in by_layer.items():
            maps = self._explained(layer, here, look)
            for target in look.targets:
                rows += self._rows_of(target, here, look, controls | maps[target])
        return rows

    def _look(self, example: Example, picture: Image.Image) -> _Look:
        inputs = self.network.prepare(picture)[1]
        probabilities = self.network.probabilities(self.network.logits(inputs[None])[0])
        boxes, unreadable = (), ""
        try:
            boxes = example.boxes
        except Exception as error:
            unreadable = _said(error)
            if self.plan.target == "objects":
                raise
        targets = self._targets(example, boxes, probabilities)
        found, reasons = {}, {}
        for target in targets:
            own = [box for box in boxes if target in self._classes(box.name)]
            found[target] = boxes_on_input(own, picture.size, self._transform)
            reasons[target] = "every object of the class lies outside" if own else "no object of the class is annotated"
        return _Look(inputs, probabilities, targets, found, reasons, unreadable)

    def _targets(self, example: Example, boxes: Sequence[LabeledBox], probabilities: Tensor) -> list[int]:
        """Classes to explain, by the plan's rule."""
        if self.plan.target == "top1":
            return [int(probabilities.argmax())]
        if self.plan.target == "label":
            return [] if example.label is None else [example.label]
        kinds = [sorted(self._classes(name)) for name in dict.fromkeys(box.name for box in boxes)]
        likeliest = [max(kind, key=lambda index: float(probabilities[index])) for kind in kinds if kind]
        return list(dict.fromkeys(likeliest))

    def _explained(
        self, layer: str, cells: Sequence[Cell], look: _Look
    ) -> dict[int, dict[str, Explanation | Exception]]:
        """Target -> method -> its explanation, or why there is none; all passes are shared."""
        wanted = {cell.method for cell in cells}
        found: dict[int, dict[str, Explanation | Exception]] = {target: {} for target in look.targets}
        asked = [choice for choice in self.plan.methods if choice.label in wanted]
        for (label, target), made in (self._compared(layer, asked, look) if asked else {}).items():
            found[target][label] = made
        return found

    def _compared(
        self, layer: str, group: Sequence[Choice], look: _Look
    ) -> dict[tuple[str, int], Explanation | Exception]:
        methods = [(choice.name, choice.options) for choice in group]
        places = [(choice.label, target) for choice in group for target in look.targets]
        try:
            made = compare(self.network, look.inputs[None], methods, [look.targets], layer)
        except Exception as error:
            if len(group) == 1:
                return dict.fromkeys(places, error)
            alone = [self._compared(layer, [choice], look) for choice in group]  # which of them was it?
            return {place: made for part in alone for place, made in part.items()}
        return dict(zip(places, made, strict=True))

    def _rows_of(
        self,
        target: int,
        cells: Sequence[Cell],
        look: _Look,
        maps: Mapping[str, Tensor | Explanation | Exception],
    ) -> list[Row]:
        """The rows of one class: each cell's heatmap, judged by its metric."""
        try:
            probability = float(look.probabilities[target])
            base = self._judge.sample(look.inputs, target, probability, boxes=look.boxes[target])
        except Exception as error:
            return [self._row(cell, target, error, "", look) for cell in cells]
        samples = {label: _with_map(base, made) for label, made in maps.items()}
        return [self._row(cell, target, *samples[cell.method], look) for cell in cells]

    def _row(self, cell: Cell, target: int, found: Sample | Exception, flat: str, look: _Look) -> Row:
        """The number of one cell, or why there is none; ``flat`` says why the heatmap is, where it is."""

        def row(value: float | None, status: str, note: str) -> Row:
            return Row(cell.setting.key, "", "", target, self.network.class_name(target), value, status, note)

        if isinstance(found, Exception):
            return row(None, store.ERROR, _said(found))
        if "boxes" in self._judge.lacks(cell.metric, found):
            if look.unreadable:
                return row(None, store.ERROR, look.unreadable)
            return row(None, store.NO_BOX, look.why_no_box[target])
        try:
            value = self._judge.value(cell.metric, found)
        except Exception as error:
            return row(None, store.ERROR, _said(error))
        return row(value, store.DEGENERATE if flat else store.OK, flat)


def _with_map(base: Sample, made: Tensor | Explanation | Exception) -> tuple[Sample | Exception, str]:
    """(the sample with this heatmap, why the heatmap is flat where it is); an exception stays one."""
    if isinstance(made, Exception):
        return made, ""
    if isinstance(made, Tensor):
        return base.with_heatmap(made), ""
    return base.with_heatmap(made.heatmap, made.raw), (made.reason or "") if made.degenerate else ""


def _without_value(cells: Sequence[Cell], status: str, note: str) -> list[Row]:
    return [Row(cell.setting.key, "", "", None, None, None, status, note) for cell in cells]


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _seed_of(seed: int, picture: str) -> int:
    """A seed of the picture's own, whoever evaluates it and when."""
    return int.from_bytes(hashlib.sha256(f"{seed} {picture}".encode()).digest()[:4])
