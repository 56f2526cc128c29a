"""What a budget of passes does to a map: which interpolated scores its weights come from.

A method that reads scores of masked pictures (:meth:`camlib.trace.Trace.masked_logits`) says with :class:`Read` how its
weights follow from them; :func:`budgeted` turns that into the expected error that an explanation reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from camlib import framework
from camlib.engine.landmarks import Reading
from camlib.engine.map_error import MapError, Part
from camlib.engine.masking import Masking
from camlib.registry import Detailed
from camlib.trace import Trace


@dataclass(frozen=True, eq=False)
class Read:
    """Scores of masked pictures that a method reads, and the derivative of its weights by them.

    Attributes:
        masking: how the pictures were masked.
        score: "probability" or "logit" of the class.
        factor: ∂u_k/∂s_k, [B, K], where the weights are w = u; None for 1.
        softmax: w = softmax(u) over the live channels, in place of w = u.
    """

    masking: Masking
    score: str = "probability"
    factor: Tensor | None = None
    softmax: bool = False


def budgeted(trace: Trace, target: Tensor, weights: Tensor, *reads: Read) -> Tensor | Detailed:
    """``weights`` [B, K] as they are without a budget, else with the expected error of each picture's map."""
    if all(read.masking.passes is None for read in reads):
        return weights
    return Detailed(weights, ({},) * len(weights), map_errors(trace, target, weights, *reads))


def map_errors(trace: Trace, target: Tensor, weights: Tensor, *reads: Read) -> tuple[MapError, ...]:
    """The expected error of H = Σ_k w_k M_k of each picture, for weights [B, K] that come from ``reads``."""
    return tuple(_map_error(trace, b, int(target[b]), weights[b], reads) for b in range(len(weights)))


def details_of(errors: Sequence[MapError], maps: Tensor, rectified: bool) -> tuple[dict[str, object], ...]:
    """Details of maps [B, h, w] that a method hands out finished, one dict a picture."""
    return tuple(error.details(found, rectified) for error, found in zip(errors, maps, strict=True))


def _map_error(trace: Trace, b: int, target: int, weights: Tensor, reads: Sequence[Read]) -> MapError:
    live = trace.live[b]
    maps, channels = trace.activations[b, live].flatten(1).double().cpu(), int(live.sum())
    own = weights[live].double().cpu()
    parts, ran = [], 0
    for read in reads:
        landmarks = trace.landmarks(read.masking)[b]
        ran += channels if landmarks is None else len(landmarks.scored)
        if landmarks is not None:
            factor = 1.0 if read.factor is None else read.factor[b, live].double().cpu()
            parts.append(_part(landmarks.read(target, read.score), factor, own if read.softmax else None, maps))
    total = trace.activations[b].sum(dim=0).flatten().double().cpu()
    return MapError(tuple(parts), total, channels, ran)


def _part(reading: Reading, factor: Tensor | float, softmax: Tensor | None, maps: Tensor) -> Part:
    """∂H/∂v_k of weights u, or of softmax(u) = w: there ∂w_j/∂u_k = w_k (δ_jk − w_j), so ∂H/∂u_k = w_k (M_k − H)."""
    slopes = reading.slopes * factor
    if softmax is None:
        return Part(reading, maps * slopes[:, None], slopes)
    found = framework.class_activation_map(softmax[None], maps[None, :, :, None])[0, :, 0]
    return Part(reading, (maps - found) * (slopes * softmax)[:, None], slopes * 0)
