"""The sanity check as numbers: how similar a map stays when weights are random, and beside what that counts.

Adebayo et al. 2018 ("Sanity checks for saliency maps") compare the map of a trained network with the map of the same
class after weights have been replaced by random ones. Three floors say how similar maps are that share nothing that
matters: two random maps, the trained map of another picture, and the trained map of *another class* on the same
picture. Only the last one tells a map that follows the class from one that follows the picture.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from camlib.explanation import Explanation, compare
from camlib.metrics import CONTROLS, Interval, bootstrap_interval, hog_similarity, paired_difference, spearman, ssim
from camlib.networks import Network
from camlib.studies.robustness import cascading_randomization

MEASURES = {"SSIM": ssim, "Spearman": spearman, "HOG": hog_similarity}
"""The three similarities of Adebayo et al.: of values, of ranks, of histograms of oriented gradients."""
PASSES, FAILS, UNDECIDED = "holds", "does not hold", "undecided"


def similarities(a: Tensor, b: Tensor) -> dict[str, float]:
    """Every measure of :data:`MEASURES` of two heatmaps [H, W]; 1 for equal maps."""
    return {name: measure(a, b) for name, measure in MEASURES.items()}


def random_floor(size: tuple[int, int], cells: int, pairs: int, seed: int = 0) -> dict[str, Interval]:
    """Similarity of two independent random maps of ``cells`` × ``cells`` values, upsampled to ``size``, by measure.

    Mean and 95 % bootstrap interval over ``pairs`` draws. None of the measures is 0 by itself for unrelated maps.
    """

    def drawn(number: int) -> Tensor:
        return CONTROLS["random"](size, seed=number, cells=cells)

    found = [similarities(drawn(2 * k), drawn(2 * k + 1)) for k in range(pairs)]
    return {name: bootstrap_interval([row[name] for row in found], seed=seed) for name in MEASURES}


def forgetful(network: Network, seed: int, first: str | None, last: str) -> Network:
    """The network with random weights from stage ``first`` (None: the classifier) down to stage ``last``.

    Raises ValueError where the cascade from ``first`` does not come to ``last``, see
    :func:`camlib.studies.robustness.cascading_randomization`.
    """
    for stage, other in cascading_randomization(network, seed, first):
        if stage == last:
            return other
    raise ValueError(f"{last!r} is no stage of {network.name} from {first or 'the classifier'} down.")


def forgetful_maps(
    network: Network,
    pictures: Sequence[Any],
    targets: Sequence[Any],
    methods: Sequence[str],
    stages: tuple[str | None, str],
    seeds: Sequence[int] = (0, 1, 2, 3),
    layer: str | None = None,
) -> Iterator[tuple[int, Explanation]]:
    """Maps of networks whose weights are random: picture i meets the random weights of seed i mod n.

    Args:
        network: the trained classifier, left as it is.
        pictures, targets: what :func:`camlib.compare` takes, one class a picture.
        methods: names of methods.
        stages: first and last stage that are random, as :func:`forgetful` takes them.
        seeds: of the random weights; an interval over pictures then holds the choice of weights, too.
        layer: to be explained; None: the network's default.

    Yields:
        (number of the picture, explanation).
    """
    for number, seed in enumerate(seeds):
        which = range(number, len(pictures), len(seeds))
        if which:
            other = forgetful(network, seed, *stages)
            asked = [pictures[i] for i in which], list(methods), [[targets[i]] for i in which]
            for e in compare(other, *asked, layer):
                yield which[e.picture], e


def with_batch_statistics(network: Network, inputs: Tensor) -> Network:
    """A copy whose batch normalizations hold mean and variance of these inputs [B, 3, H, W], as training would leave.

    A random network whose batch normalizations have mean 0 and variance 1 makes its signal smaller from layer to layer;
    this gives it its voice back. The weights stay as they are.
    """
    made, module = copy.copy(network), copy.deepcopy(network.module)
    for norm in [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches, of which there is one
        norm.train()
    with torch.no_grad():
        module(inputs)
    made.module = module.eval()
    return made


def state_of(
    own: Sequence[float], other: Sequence[float], floor: Interval, seed: int = 0
) -> tuple[str, Interval, Interval]:
    """Whether similarities [n] with the trained map lie at the floor: (state, their interval, own minus other).

    "at the floor": the interval of their mean does not lie above that of random maps. "above": it does, and so does
    the paired difference to ``other`` [n], similarities with the trained maps of other pictures, above 0. Else
    "unclear".
    """
    mean, margin = bootstrap_interval(own, seed=seed), paired_difference(own, other, seed=seed)
    if mean.low <= floor.high:
        return "at the floor", mean, margin
    return ("above" if margin.low > 0 else "unclear"), mean, margin


def verdict_of(states: Sequence[str]) -> str:
    """A method passes ("holds") if every state is at the floor, fails if any is above, else it is undecided."""
    lost = set(states) == {"at the floor"}
    return PASSES if lost else FAILS if "above" in set(states) else UNDECIDED
