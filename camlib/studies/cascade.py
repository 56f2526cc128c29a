"""How similar maps stay while a large network forgets: rows of eight photographs, for notebook 13a_sanity_cascade.

    python -m camlib.studies.cascade             # about two minutes of a core: writes data/cascade.parquet
    rows = read()                                 # part, start, stage, photo, method, against, SSIM, Spearman, HOG, ...

Every row is the similarity of two maps of one method and picture: the map of a network with random weights against
one of the trained network. :func:`measure` makes them, for other parameters of the notebook, too.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from camlib import paths
from camlib.data import list_photos, load_photo, photo_info
from camlib.data.scenes import make_scenes
from camlib.engine import runtime
from camlib.explanation import DegenerateMapWarning, Explanation, compare
from camlib.networks import Network
from camlib.studies.keeping import write
from camlib.studies.robustness import cascading_randomization, randomization_stages
from camlib.studies.sanity import MEASURES, forgetful_maps, similarities, with_batch_statistics
from camlib.zoo import load_network

OUT = paths.DATA / "cascade.parquet"
NETWORK, SIDE = "efficientnet-lite0", 160
"""What the kept rows are measured on: photographs of 160 × 160 halve the price of a masked picture."""
PHOTOGRAPHS, SEEDS = 8, (0, 1, 2, 3)
METHODS = ("grad-cam", "score-cam", "sa-cam", "sca-cam", "union-cam", "guided-backprop")
CHEAP = ("grad-cam", "sca-cam", "guided-backprop")
"""Asked at every stage from the classifier down; the others at the stages that a plan names."""
SCENES, SCENES_NETWORK = 16, "scenes-gap"
Maps = dict[tuple[str, str], Explanation]
"""By photograph and method."""


@dataclass(frozen=True)
class Plan:
    """Where a cascade is watched.

    Attributes:
        layer: the explained one.
        body: the topmost stage with weights below the classifier, where Liang et al. begin.
        behind: the stage with which everything behind the layer is random.
        seen: stages at which every method is asked, by starting point ("classifier", "body").
    """

    layer: str
    body: str
    behind: str
    seen: Mapping[str, Sequence[str]]


PLANS = {
    "efficientnet-lite0": Plan(
        "blocks.4", "bn2", "blocks.5", {"classifier": ("blocks.5", "conv_stem"), "body": ("conv_stem",)}
    ),
    "vgg16": Plan(
        "features.29", "features.28", "classifier.0",
        {"classifier": ("classifier.0", "features.0"), "body": ("features.0",)},
    ),
}  # fmt: skip


def plan_of(net: Network) -> Plan:
    """The plan of :data:`PLANS`, or for another network its inner layer, watched where everything behind is random."""
    if net.name in PLANS:
        return PLANS[net.name]
    down, layer = randomization_stages(net), net.layer("inner")
    at = next((i for i, stage in enumerate(down) if f"{stage}.".startswith(f"{layer}.")), 2)
    behind = down[at - 1]
    return Plan(layer, down[1], behind, {"classifier": (behind, down[-1]), "body": (down[-1],)})


def photographs(net: Network, count: int = PHOTOGRAPHS) -> dict[str, int]:
    """The first photographs that the network names rightly with p above one half, and their labels."""
    found = {}
    for name in list_photos("imagenet"):
        label, (index, _, p) = photo_info(name).label, net.predict(load_photo(name), top=1)[0]
        if index == label and p > 0.5:
            found[name] = label
    return dict(list(found.items())[:count])


@dataclass(frozen=True)
class Study:
    """What is measured: a network, its plan, photographs with their classes, seeds of the random weights.

    Photograph i meets the random weights of seed i mod n, so an interval over photographs holds the choice of weights.
    """

    net: Network
    plan: Plan
    labels: Mapping[str, int]
    seeds: Sequence[int] = SEEDS
    whole: bool = True
    """Whether the cheap methods are asked at every stage."""

    def maps(self, other: Network, names: Sequence[str], methods: Sequence[str]) -> Maps:
        """Explanations of the labeled class of some photographs by ``other``."""
        pictures, classes = [load_photo(name) for name in names], [[self.labels[name]] for name in names]
        made = compare(other, pictures, list(methods), classes, self.plan.layer)
        return {(names[e.picture], e.method): e for e in made}

    def of_seed(self, number: int) -> list[str]:
        """Names of the photographs that meet the random weights of this seed."""
        return list(self.labels)[number :: len(self.seeds)]


def measure(study: Study, scenes: int = SCENES) -> pd.DataFrame:
    """All rows, see :func:`read`; ``scenes`` pictures for the small network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateMapWarning)  # empty maps have a column
        trained = study.maps(study.net, list(study.labels), METHODS)
        rows = [*_cascades(study, trained), *_voiced(study, trained), *_small(study.seeds, scenes)]
    return pd.DataFrame(rows)


def _cascades(study: Study, trained: Maps) -> Iterator[dict[str, Any]]:
    """Rows of both starting points, and beside the feature-map sum."""
    stages, names = randomization_stages(study.net), list(study.labels)
    sums = study.maps(study.net, names, ["feature-map"])
    for (name, _), e in trained.items():
        yield _row("cascade", "classifier", "trained", name, e, "sum", sums[name, "feature-map"].heatmap)
    starts = {"classifier": None, "body": study.plan.body}
    for start, number in [(start, k) for start in starts for k in range(len(study.seeds))]:
        chosen = study.of_seed(number)
        for stage, other in cascading_randomization(study.net, study.seeds[number], starts[start]):
            cheap = CHEAP if start == "classifier" and study.whole else ()
            methods = METHODS if stage in study.plan.seen[start] else cheap
            for (name, method), e in (study.maps(other, chosen, methods) if methods else {}).items():
                about = "cascade", start, stage, name, e
                yield _row(*about, "own", trained[name, method].heatmap)
                if stage == stages[-1]:
                    for step in (1, 2):
                        stranger = names[(names.index(name) + step) % len(names)]
                        yield _row(*about, f"stranger {step}", trained[stranger, method].heatmap)
                if stage == study.plan.behind:
                    yield _row(*about, "sum", sums[name, "feature-map"].heatmap)


def _voiced(study: Study, trained: Maps) -> Iterator[dict[str, Any]]:
    """Rows of fully random networks whose batch normalizations measured mean and variance on the photographs."""
    inputs = torch.stack([study.net.prepare(load_photo(name))[1] for name in study.labels])
    for number, seed in enumerate(study.seeds):
        *_, (stage, other) = cascading_randomization(study.net, seed)
        other, again = with_batch_statistics(other, inputs), [m for m in METHODS if m != "sa-cam"]
        for (name, method), e in study.maps(other, study.of_seed(number), again).items():
            yield _row("voiced", "classifier", stage, name, e, "own", trained[name, method].heatmap)


def _small(seeds: Sequence[int], scenes: int) -> Iterator[dict[str, Any]]:
    """Rows of single objects on a small network that ends in GAP: the last layer, everything, the body random."""
    objects, net = make_scenes(scenes, 2 * 10**6 + seeds[0], objects=(1, 1)), load_network(SCENES_NETWORK)
    pictures, truths = list(objects.images), objects.labels.tolist()
    found = compare(net, pictures, list(METHODS), [[c] for c in truths])
    kept = {(e.picture, e.method): e.heatmap for e in found}
    stages = randomization_stages(net)
    asked = {"last layer": (None, stages[0]), "everything": (None, stages[-1])}
    asked["body"] = (stages[stages.index("head.linear") + 1], stages[-1])
    for start, which in asked.items():
        for k, e in forgetful_maps(net, pictures, truths, METHODS, which, seeds):
            for step, against in enumerate(("own", "stranger 1")):
                other = kept[(k + step) % len(objects), e.method]
                yield _row("scenes", start, which[1], f"scene {k}", e, against, other)


def _row(part: str, start: str, stage: str, name: str, e: Explanation, against: str, other: Tensor) -> dict[str, Any]:
    row = {"part": part, "start": start, "stage": stage, "photo": name, "method": e.method, "against": against}
    return row | {"probability": e.probability, "empty": e.degenerate} | similarities(other, e.heatmap)


def kept_study(count: int = PHOTOGRAPHS) -> Study:
    """The study whose rows are kept."""
    net = load_network(NETWORK).with_input_size(SIDE)
    return Study(net, PLANS[NETWORK], photographs(net, count))


def read(file: Path = OUT) -> pd.DataFrame:
    """The kept rows, one a pair of maps.

    Columns: ``part`` ("cascade", "voiced": random networks with batch statistics, "scenes": the small network),
    ``start`` (the first random part), ``stage`` (the last one, or "trained"), ``photo``, ``method``, ``against`` (the
    trained map of the same picture, "own", of another one, "stranger 1" and "stranger 2", or the feature-map "sum"),
    ``probability`` of the class, ``empty`` (whether the map is), and a column for each measure.

    Raises FileNotFoundError with the command that makes them.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file.name} does not exist. Make it: python -m camlib.studies.cascade")
    return pd.read_parquet(file, engine="pyarrow")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line, see the head of this module."""
    parser = argparse.ArgumentParser(prog="python -m camlib.studies.cascade", description=__doc__.partition("\n")[0])
    parser.add_argument("--photographs", type=int, default=PHOTOGRAPHS, help=f"how many ({PHOTOGRAPHS})")
    parser.add_argument("--scenes", type=int, default=SCENES, help=f"how many ({SCENES})")
    parser.add_argument("--out", type=Path, default=OUT, help="table to write (data/cascade.parquet)")
    options = parser.parse_args(arguments)
    runtime.setup(SEEDS[0])
    write(measure(kept_study(options.photographs), options.scenes), options.out)
    own = read(options.out).query("against == 'own'")
    means = own.groupby(["part", "start", "method"], sort=False)[list(MEASURES)].mean()
    print(means.round(2).to_string())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
