"""From one trace to explanations: weights -> H -> H − β ΣM -> ReLU -> upsample -> [0, 1], and why a map is flat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from camlib import framework
from camlib.engine.batches import Prepared
from camlib.explanation.result import Explanation
from camlib.registry import Detailed, Method
from camlib.trace import Trace


def explanations_of(
    trace: Trace,
    method: Method,
    options: Mapping[str, Any],
    target: Tensor,
    relu: bool | None,
    indices: list[int],
    pictures: list[Prepared],
) -> list[Explanation]:
    """One method and one target slot over a batch: weights -> H -> H − β ΣM -> ReLU -> upsample -> [0, 1]."""
    signed, weights, made, lost = _signed_maps(trace, method, dict(options), target)
    rectified = method.relu if relu is None else relu
    raw = signed.relu() if rectified else signed
    details = _with_errors(made, raw, rectified, options["common"])
    raw = raw if method.makes == "pixels" else trace.unfolded(raw)
    heatmaps, flat = framework.normalize(framework.upsample(raw, trace.size))
    probabilities = trace.probabilities.float().cpu()
    return [
        Explanation(
            heatmap=_own(heatmaps[b]),
            raw=_own(raw[b]),
            weights=None if weights is None else _own(_unfolded(trace, weights[b])),
            target=int(target[b]),
            target_name=trace.network.class_name(int(target[b])),
            probability=float(probabilities[b, target[b]]),
            method=method.name,
            layer=trace.layer_name,
            network=trace.network.name,
            picture=index,
            image=pictures[b].image.clone(),
            degenerate=bool(flat[b]),
            reason=_why_flat(method, signed[b], None if weights is None else weights[b], lost[b]) if flat[b] else None,
            details=_kept(details[b]),
            options=_kept({**options, "relu": relu}),
            probabilities=probabilities[b].clone(),
            names=trace.network.class_names,
            origin=pictures[b].origin,
        )
        for b, index in enumerate(indices)
    ]


def _unfolded(trace: Trace, weights: Tensor) -> Tensor:
    """Pixel weights [K, h, w] in the layer's own axes of space; weights [K] as they are."""
    return weights if weights.dim() == 1 else trace.unfolded(weights)


def _own(tensor: Tensor) -> Tensor:
    """float32 on the CPU with memory of its own: an explanation that is kept does not keep its whole batch."""
    return tensor.detach().to("cpu", torch.float32, copy=True)


def _kept(values: Mapping[str, Any]) -> dict[str, Any]:
    """Details or options with tensors on the CPU that have memory of their own."""
    return {
        name: value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else value
        for name, value in values.items()
    }


def _signed_maps(
    trace: Trace, method: Method, options: dict[str, Any], target: Tensor
) -> tuple[Tensor, Tensor | None, Detailed, list[bool]]:
    """(maps before the ReLU, their weights, result and details, whether nothing but the common map was there)."""
    common, lost = options.pop("common"), [False] * len(target)
    made = _with_details(method.function(trace, target, **options), len(target))
    values = _checked_result(method, trace, made.values)
    weights = values if method.makes == "weights" else None
    signed = values if weights is None else framework.class_activation_map(weights, trace.activations)
    if not bool(signed.isfinite().all()):
        raise ValueError(f"{method.name} made NaN or Inf at {trace.layer_name!r} of {trace.network.name}.")
    if common == "keep":
        return signed, weights, made, lost
    left = framework.without_common_map(signed, weights, trace.activations, trace.live, common)
    details = tuple({**known, **_removed(common, left, b)} for b, known in enumerate(made.details))
    lost = (left.degenerate & signed.flatten(1).any(dim=1)).tolist()
    return left.maps, left.weights, made._replace(details=details), lost


def _removed(common: str, left: framework.WithoutCommon, b: int) -> dict[str, Any]:
    """What an explanation says of the common map that was removed from it."""
    beta = left.beta[b]
    return {
        "common": common,
        "common_beta": beta.float().cpu() if beta.dim() else float(beta),
        "common_share": float(left.share[b]),
    }


def _with_details(made: Any, pictures: int) -> Detailed:
    """A method's result and its details, one mapping a picture."""
    return made if isinstance(made, Detailed) else Detailed(made, ({},) * pictures)


def _with_errors(made: Detailed, raw: Tensor, rectified: bool, common: str) -> Sequence[Mapping[str, Any]]:
    """The details, with the expected error of each map where scores were interpolated."""
    if not made.errors:
        return made.details
    found = [error.details(raw[b], rectified, common) for b, error in enumerate(made.errors)]
    return [{**known, **more} for known, more in zip(made.details, found, strict=True)]


def _checked_result(method: Method, trace: Trace, made: Any) -> Tensor:
    """What a method returned, if it has one of the shapes that it promised."""
    if method.makes == "pixels":
        shapes = [[len(trace.inputs), *trace.size]]
    else:
        b, k, h, w = trace.activations.shape
        shapes = [[b, k], [b, k, h, w]] if method.makes == "weights" else [[b, h, w]]
    given = list(made.shape) if isinstance(made, Tensor) else type(made).__name__
    if given not in shapes:
        raise ValueError(
            f"{method.name} is registered with makes={method.makes!r} and must return a tensor "
            f"{' or '.join(map(str, shapes))}; it returned {given}."
        )
    return made


def _why_flat(method: Method, signed: Tensor, weights: Tensor | None, lost: bool) -> str:
    if lost:
        return "without the common map ΣM nothing is left: the map is a multiple of it and tells no class from another"
    if method.makes == "pixels" and not bool(signed.any()):
        return "nothing that was done to the picture changed the score of this class"
    if weights is not None and not bool(weights.any()):
        return f"every class activation weight is zero{_why_zero(method.passes)}"
    if not bool(signed.any()):
        return "weights and activations cancel everywhere"
    if float(signed.max()) <= 0:
        return (
            f"the weighted sum is nowhere positive (largest value {float(signed.max()) + 0.0:.3g}), so the ReLU leaves "
            f"nothing: the layer speaks against this class. relu=False shows the signed map"
        )
    return "the map is constant"


def _why_zero(passes: str) -> str:
    """What a method that makes these passes asked the network in vain."""
    if "backward" in passes:
        return ": no gradient of this class reaches the layer"
    asked = "masked" in passes or "tails" in passes
    return ": no change of the picture, or of its maps, changed the score of this class" if asked else ""
