"""``score``: explanations, judged by metrics, become rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from camlib.evaluate.grid_game import Mosaics
from camlib.evaluate.judge import Judge
from camlib.evaluate.plan import Choice, metric_choices
from camlib.evaluate.scores import PLACE, Scores
from camlib.evaluate.store import DEGENERATE, NO_BOX, OK
from camlib.evaluate.table import Results
from camlib.evaluate.truth import Lookup, Truth
from camlib.explanation import Explanation
from camlib.metrics import Sample, control_samples
from camlib.networks import Network

_ROUNDING = 0.005
"""How far the probability of the shared passes may lie from that of the explanation: other precision, not other net."""


def score(
    explanations: Sequence[Explanation] | Results | pd.DataFrame,
    metrics: str | Choice | Sequence[str | Choice] | None = None,
    boxes: Mosaics | Lookup | None = None,
    *,
    unit: str | None = "picture",
    net: Network | None = None,
    masks: Lookup | None = None,
    references: Sequence[Explanation | Tensor] | None = None,
    photos: Sequence[Any] | None = None,
    controls: bool = False,
    columns: Mapping[str, Any] | None = None,
    digits: int | None = None,
    seed: int = 0,
    level: float = 0.95,
) -> Scores:
    """Judge explanations by metrics: rows that are kept, and the tables, differences and bars that are read off them.

    >>> made = camlib.compare(net, photos, ["grad-cam", "sca-cam"])
    >>> scores = camlib.score(made, "energy-pointing-game", boxes=[(10, 20, 90, 110), (0, 0, 64, 64)])
    >>> scores.table()                                # one row a method: mean, low, high, n, degenerate
    >>> scores.difference("sca-cam", "grad-cam")      # Interval(value, low, high) over the same pictures
    >>> camlib.score(made, ["average-drop", "insertion:step=224"], net=net).rows

    Args:
        explanations: what :func:`camlib.compare` returns; or rows that are there already: the results of
            :func:`camlib.evaluate.evaluate`, or a table with columns method, picture and value.
        metrics: one or several of :data:`camlib.metrics.METRICS`, "name" or "name:option=value,..."; for rows None
            means all of them.
        boxes: ground-truth boxes: the :class:`camlib.evaluate.Mosaics` that were explained; or for each picture a box
            (x0, y0, x1, y1), a list of them, or a dict by class; or a function of the explanation. Half-open pixels of
            the heatmap. An explanation without a box of its class gives a row without a value.
        unit: what a resample of the bootstrap draws whole, a column of the rows: "picture", of mosaics also "photo";
            None: every row by itself.
        net: the network that was explained, for metrics that need passes; they are shared by all explanations.
        masks: ground-truth masks, bool [H, W], given as boxes are.
        references: for each explanation another one of the same picture (of another class, of random weights).
        photos: the pictures as they were given to :func:`camlib.compare`; only needed for passes of a network whose
            own transform cannot be undone, because its mean and standard deviation are not known.
        controls: judge the maps of :data:`camlib.metrics.CONTROLS`, too, at every layer; the random one of each class
            of a picture is drawn by ``seed``, ``seed + 1`` ...
        columns: further columns, or other values for these: one value, or a function of the explanation
            (``columns={"layer": "last"}``).
        digits: round values to so many digits, and probabilities to two more, before anything is made of them.
        seed, level: of the bootstrap.

    Returns:
        The :class:`camlib.evaluate.Scores`.

    Raises:
        ValueError: an unknown metric or option; a metric that needs what was not given; a network that is not the one
            that was explained; no box of any explained class; two different maps for one number.
    """
    if isinstance(explanations, Network | Explanation):
        hint = "[explanation]" if isinstance(explanations, Explanation) else "camlib.compare(net, photos), ..., net=net"
        raise TypeError(
            f"The first argument is a list of explanations; given {type(explanations).__name__}: score({hint})."
        )
    chosen = None if metrics is None else metric_choices([metrics] if isinstance(metrics, str | Choice) else metrics)
    columns = columns or {}
    if isinstance(explanations, Results | pd.DataFrame):
        if controls or any(given is not None for given in (boxes, net, masks, references, photos)):
            raise ValueError("These rows have their values: give only metrics, unit, columns, digits, seed or level.")
        rows = _read(explanations, chosen, columns)
    elif chosen is None:
        raise ValueError("No metric was named. Give at least one name of camlib.metrics.METRICS.")
    else:
        scoring = _Scoring(chosen, Truth(net, boxes, masks, references), photos, columns, seed if controls else None)
        rows = pd.DataFrame(scoring.rows(list(explanations)))
        rows = rows[[*PLACE, *(name for name in rows if name not in PLACE)]]
    if digits is not None:
        rows = rows.round({"value": digits, "probability": digits + 2})
    return Scores(rows, unit, seed, level)


def _read(given: Results | pd.DataFrame, chosen: Sequence[Choice] | None, columns: Mapping[str, Any]) -> pd.DataFrame:
    """Rows with all columns that :class:`Scores` reads, of the chosen metrics."""
    rows = given.rows if isinstance(given, Results) else given
    if missing := [name for name in ("method", "picture", "value") if name not in rows]:
        raise ValueError(f"The rows have no column {missing}; their columns are {list(rows)}. Rename them first.")
    known = dict.fromkeys((*PLACE, "note"), "") | {"status": OK}
    rows = rows.assign(**{name: value for name, value in known.items() if name not in rows}, **columns)
    if chosen is None:
        return rows
    labels = [choice.label for choice in chosen]
    if strange := sorted(set(labels) - set(rows["metric"])):
        raise ValueError(f"No row of the metric {', '.join(strange)}; there are {list(rows['metric'].unique())}.")
    return rows[rows["metric"].isin(labels)].reset_index(drop=True)


class _Scoring:
    """Turns explanations into rows; what those of one class of one picture share is made once."""

    def __init__(
        self,
        metrics: Sequence[Choice],
        truth: Truth,
        photos: Sequence[Any] | None,
        columns: Mapping[str, Any],
        seed: int | None,
    ) -> None:
        self.metrics, self.truth, self.photos, self.columns, self.seed = metrics, truth, photos, columns, seed
        self.judge = Judge(truth.net, metrics)
        self._bases: dict[tuple[Any, ...], Sample] = {}

    def rows(self, explanations: Sequence[Explanation]) -> list[dict[str, Any]]:
        """One row a metric for each explanation, in their order; then those of the controls."""
        if not explanations:
            raise ValueError("There is no explanation; give at least one.")
        for choice in self.metrics:
            self.truth.check(choice.name, len(explanations), controls=self.seed is not None)
        rows, seen, places = [], {}, {}
        for number, e in enumerate(explanations):
            about = self._about(e)
            key = tuple(about[name] for name in ("network", "layer", "picture", "class", "method"))
            if key in seen:
                _refuse_another(seen[key], e)
                continue  # a class that was asked for by name, and again as the top one
            seen[key] = e
            places.setdefault(key[:-1], (about, self._base(e)))
            sample = replace(self._base(e).with_heatmap(e.heatmap, e.raw), reference=self.truth.reference(number))
            rows += self._judged(about, sample, (e.reason or "the map is flat") if e.degenerate else "")
        if rows and all(row["status"] == NO_BOX for row in rows):
            raise ValueError("boxes holds no box of any explained class; look at the picture numbers and the classes.")
        return rows + list(self._of_controls(places))

    def _about(self, e: Explanation) -> dict[str, Any]:
        """What a row says of its explanation."""
        about = {
            "network": e.network,
            "layer": e.layer,
            "method": e.method,
            "picture": e.picture,
            "class": e.target,
            "class_name": e.target_name,
            **self.truth.places(e),
            "probability": e.probability,
        }
        return about | {name: value(e) if callable(value) else value for name, value in self.columns.items()}

    def _judged(self, about: Mapping[str, Any], sample: Sample, flat: str) -> Iterator[dict[str, Any]]:
        """A row for each metric; ``flat`` says why the heatmap is, where it is."""
        for choice in self.metrics:
            if "boxes" in self.judge.lacks(choice.label, sample):
                found = {"value": float("nan"), "status": NO_BOX, "note": "no box of the class is given"}
            else:
                value = self.judge.value(choice.label, sample)
                found = {"value": value, "status": DEGENERATE if flat else OK, "note": flat}
            yield {**about, "metric": choice.label, **found}

    def _of_controls(self, places: Mapping[tuple[Any, ...], tuple[dict[str, Any], Sample]]) -> Iterator[dict[str, Any]]:
        """The controls at every network and layer, the same ones for a class of a picture wherever it is explained."""
        if self.seed is None:
            return
        numbers: dict[tuple[Any, ...], int] = {}
        for (*_, picture, target), (about, base) in places.items():
            number = numbers.setdefault((picture, target), len(numbers))
            for name, control in control_samples(base, self.seed + number).items():
                yield from self._judged({**about, "method": name}, control, "")

    def _base(self, e: Explanation) -> Sample:
        """The sample of the explained class, still without the heatmap."""
        key = (e.network, e.picture, e.target, tuple(e.image.shape))
        if key not in self._bases:
            self._bases[key] = self._made(e)
        return self._bases[key]

    def _made(self, e: Explanation) -> Sample:
        net = self.truth.net
        if net is None:  # metrics of place read no picture; one that does meets NaN
            inputs = torch.full((1, 1, 1), float("nan")).expand(e.image.shape)
        elif self.photos is not None:
            inputs = net.prepare(self.photos[e.picture])[1]
        elif net.normalization_known:
            inputs = net.preprocess.normalize(e.image[: net.preprocess.channels])
        else:
            raise ValueError(f"The transform of {net.name} cannot be undone: give photos=, as compare was given them.")
        sample = self.judge.sample(inputs, e.target, e.probability, **self.truth.of(e))
        if abs(sample.probability - e.probability) > _ROUNDING:
            raise ValueError(
                f"Picture {e.picture}, {e.target_name!r}: p = {sample.probability:.3f} by net=, {e.probability:.3f} by "
                f"the explanation. Give the network, and the photos, that were explained."
            )
        return sample


def _refuse_another(first: Explanation, second: Explanation) -> None:
    """Raise ValueError unless both are the same explanation."""
    if not torch.equal(first.heatmap, second.heatmap):
        raise ValueError(
            f"Two different maps of {second.method} for {second.target_name!r} of picture {second.picture} at "
            f"{second.layer!r}; tell them apart by columns={{'method': ...}}, or score them apart and add the scores."
        )
