"""The front door: ``explain`` one picture, or ``compare`` pictures, methods, classes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from camlib import framework
from camlib.engine.batches import (
    Prepared,
    SkippedPictureWarning,
    Target,
    batches,
    prepared,
    singles,
    target_columns,
    targets_by_picture,
)
from camlib.engine.runtime import outside_stacklevel
from camlib.explanation.result import DegenerateMapWarning, Explanation
from camlib.networks import Network
from camlib.pictures import Picture
from camlib.registry import Detailed, Method, find_method
from camlib.trace import Trace


def explain(
    net: Network,
    photo: Picture,
    method: str = "grad-cam",
    target: Target = None,
    layer: str | nn.Module | None = None,
    *,
    relu: bool | None = None,
    common: str = "keep",
    normalized: bool | None = None,
    **options: Any,
) -> Explanation:
    """Explain one class of one picture.

    Args:
        net: the network, from :func:`camlib.load_network` or :class:`camlib.Network`.
        photo: PIL image, path, array [H,W,3], tensor [3,H,W] in [0,1], or a ready normalized batch [1,3,H,W].
        method: a name of :data:`camlib.METHODS`.
        target: class index, class name, or None for the most probable class.
        layer: name of the layer; None for the network's target layer.
        relu: rectify the map or not; None does what ``camlib.METHODS[name].relu`` says: what the method's source
            prints, and for gap-cam and sca-cam, whose authors print no ReLU, the ReLU of Grad-CAM (see their docs).
        common: which multiple β of the common map ΣM leaves the class activation map before the ReLU: "keep" none, as
            published; "center" the mean weight of the live channels; "project" the part of the map along ΣM. See
            :func:`camlib.framework.without_common_map`.
        normalized: True says that a [3,H,W] tensor is ready network input, False that a [B,3,H,W] batch holds
            pictures in [0,1]. None: 3-D tensors are pictures, 4-D tensors are ready input.
        options: the method's own options, see ``camlib.METHODS[name].options``.

    Returns:
        The :class:`Explanation`.

    Raises:
        ValueError, TypeError: unknown method, option, class or layer; unusable picture; several pictures; ``common``
            for a method that makes no class activation map.

    Warns:
        DegenerateMapWarning: the map is flat; it is returned as zeros, with the reason.
    """
    _refuse_other(net)
    name = find_method(method).name
    chosen = _methods([name], {name: options})
    single = singles(photo, normalized)
    if len(single) > 1:
        raise ValueError(f"explain takes one picture; given {len(single)}. Use camlib.compare for several.")
    found = _explained(net, single, chosen, [[target]], layer, relu, common, batch_size=1)
    _warn_about_flat(found)
    return found[0]


def compare(
    net: Network,
    photos: Iterable[Picture] | Picture,
    methods: Sequence[str | tuple[str, Mapping[str, Any]]] = ("grad-cam",),
    targets: Sequence[Target] | Sequence[Sequence[Target]] = (None,),
    layer: str | nn.Module | None = None,
    *,
    relu: bool | None = None,
    common: str = "keep",
    normalized: bool | None = None,
    batch_size: int = 8,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    on_error: str = "raise",
) -> list[Explanation]:
    """Explain several classes of several pictures by several methods, sharing every pass.

    Pictures are opened ``batch_size`` at a time, and those of one size run together; the forward pass, the gradients of
    each class and all noisy passes are made once and read by every method.

    Args:
        photos: pictures as in :func:`explain`, in a list or a generator; one batch [B,3,H,W]; folders and patterns such
            as "holiday/*.jpg".
        methods: names of :data:`camlib.METHODS`; or pairs of a name and options, by which one method can stand there
            several times and its versions share their passes.
        targets: the classes to explain on every picture; or one sequence of classes for each picture.
        options: method name -> options of that method, for all places where it stands; ``common`` among options goes
            before the call's.
        on_error: "raise" stops at a picture that cannot be read; "skip" goes on without it.
        net, layer, relu, common, normalized: as in :func:`explain`.

    Returns:
        Explanations picture by picture, method by method, target by target; ``picture`` counts all that were given,
        and ``origin.source`` is the path.

    Warns:
        SkippedPictureWarning: pictures were skipped; the message names each of them and the reason.
    """
    _refuse_other(net)
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error={on_error!r}: expected 'raise' or 'skip'.")
    chosen, single = _methods(methods, options or {}), singles(photos, normalized)
    skipped: dict[int, str] | None = {} if on_error == "skip" else None
    found = _explained(net, single, chosen, targets, layer, relu, common, batch_size, skipped)
    if skipped:
        text = "; ".join(skipped.values())
        warnings.warn(
            f"{len(skipped)} of {len(single)} pictures were skipped: {text}",
            SkippedPictureWarning,
            stacklevel=outside_stacklevel(),
        )
    _warn_about_flat(found)
    return found


def _warn_about_flat(explanations: list[Explanation]) -> None:
    for explanation in explanations:
        if explanation.degenerate:
            warnings.warn(_degenerate_text(explanation), DegenerateMapWarning, stacklevel=outside_stacklevel())


def _refuse_other(net: Any) -> None:
    if not isinstance(net, Network):
        raise TypeError(
            f"The first argument is a camlib.Network; given {type(net).__name__}. Wrap it: Network(module)."
        )


def _explained(
    net: Network,
    single: list[tuple[Any, bool]],
    chosen: list[tuple[Method, Mapping[str, Any]]],
    targets: Any,
    layer: str | nn.Module | None,
    relu: bool | None,
    common: str,
    batch_size: int,
    skipped: dict[int, str] | None = None,
) -> list[Explanation]:
    """The work of :func:`explain` and :func:`compare`: one trace a batch, read by every method for every target."""
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: expected at least 1.")
    chosen = [(method, {"common": common, **given}) for method, given in chosen]
    for method, given in chosen:
        framework.checked_common(given["common"], method.name, method.makes)
    wanted = targets_by_picture(targets, len(single))
    found: dict[tuple[int, int, int], Explanation] = {}
    for start in range(0, len(single), batch_size):
        opened = prepared(net, single, range(start, min(start + batch_size, len(single))), skipped)
        for indices in batches(opened):
            trace = Trace(net, torch.stack([opened[i].inputs for i in indices]), layer)
            columns = target_columns(net, trace.logits, [wanted[i] for i in indices])
            trace.targets = columns
            pictures = [opened[i] for i in indices]
            for m, (method, given) in enumerate(chosen):
                for t, target in enumerate(columns):
                    made = _explain_batch(trace, method, given, target, relu, indices, pictures)
                    found |= {(e.picture, m, t): e for e in made}
    return [found[key] for key in sorted(found)]


def _methods(
    methods: Sequence[str | tuple[str, Mapping[str, Any]]], options: Mapping[str, Mapping[str, Any]]
) -> list[tuple[Method, Mapping[str, Any]]]:
    given = [methods] if isinstance(methods, str) else list(methods)
    pairs = [each if isinstance(each, tuple | list) else (each, {}) for each in given]
    if wrong := [pair for pair in pairs if len(pair) != 2 or not isinstance(pair[1], Mapping)]:
        raise TypeError(f"A method is a name, or a pair of a name and its options; given {wrong[0]!r}.")
    if not pairs:
        raise ValueError("No method was named. Give at least one name of camlib.METHODS.")
    names = [name for name, _ in pairs]
    stray = sorted(set(options) - set(names))
    if stray:
        raise ValueError(f"Options for {stray}, which is not among the methods {names}.")
    found = [(find_method(name), {**options.get(name, {}), **own}) for name, own in pairs]
    return [(method, method.checked_options(own)) for method, own in found]


def _explain_batch(
    trace: Trace,
    method: Method,
    options: Mapping[str, Any],
    target: Tensor,
    relu: bool | None,
    indices: list[int],
    pictures: list[Prepared],
) -> list[Explanation]:
    """One method and one target slot over a batch: weights -> H -> H − β ΣM -> ReLU -> upsample -> [0, 1]."""
    signed, weights, details, lost = _signed_maps(trace, method, dict(options), target)
    raw = signed.relu() if (method.relu if relu is None else relu) else signed
    heatmaps, flat = framework.normalize(framework.upsample(raw, tuple(trace.inputs.shape[-2:])))
    probabilities = trace.probabilities.float().cpu()
    return [
        Explanation(
            heatmap=_own(heatmaps[b]),
            raw=_own(raw[b]),
            weights=None if weights is None else _own(weights[b]),
            target=int(target[b]),
            target_name=trace.network.class_name(int(target[b])),
            probability=float(probabilities[b, target[b]]),
            method=method.name,
            layer=trace.layer.name,
            network=trace.network.name,
            picture=index,
            image=pictures[b].image.clone(),
            degenerate=bool(flat[b]),
            reason=_why_flat(signed[b], weights[b] if weights is not None else None, lost[b]) if flat[b] else None,
            details=_kept(details[b]),
            options=_kept({**options, "relu": relu}),
            probabilities=probabilities[b].clone(),
            names=trace.network.class_names,
            origin=pictures[b].origin,
        )
        for b, index in enumerate(indices)
    ]


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
) -> tuple[Tensor, Tensor | None, Sequence[Mapping[str, Any]], list[bool]]:
    """(maps before the ReLU, their weights, details, whether nothing but the common map was there) of a batch."""
    common, lost = options.pop("common"), [False] * len(target)
    made, details = _with_details(method.function(trace, target, **options), len(target))
    made = _checked_result(method, trace, made)
    weights = made if method.makes == "weights" else None
    signed = made if weights is None else framework.class_activation_map(weights, trace.activations)
    if not bool(signed.isfinite().all()):
        raise ValueError(f"{method.name} made NaN or Inf at {trace.layer.name!r} of {trace.network.name}.")
    if common == "keep":
        return signed, weights, details, lost
    left = framework.without_common_map(signed, weights, trace.activations, trace.live, common)
    details = [{**known, **_removed(common, left, b)} for b, known in enumerate(details)]
    lost = (left.degenerate & signed.flatten(1).any(dim=1)).tolist()
    return left.maps, left.weights, details, lost


def _removed(common: str, left: framework.WithoutCommon, b: int) -> dict[str, Any]:
    """What an explanation says of the common map that was removed from it."""
    beta = left.beta[b]
    return {
        "common": common,
        "common_beta": beta.float().cpu() if beta.dim() else float(beta),
        "common_share": float(left.share[b]),
    }


def _with_details(made: Any, pictures: int) -> tuple[Any, Sequence[Mapping[str, Any]]]:
    """A method's result and its details, one mapping a picture."""
    return made if isinstance(made, Detailed) else (made, [{}] * pictures)


def _checked_result(method: Method, trace: Trace, made: Any) -> Tensor:
    """What a method returned, if it has one of the shapes that it promised."""
    b, k, h, w = trace.activations.shape
    shapes = {
        "weights": [[b, k], [b, k, h, w]],
        "map": [[b, h, w]],
        "pixels": [[b, *trace.inputs.shape[-2:]]],
    }[method.makes]
    given = list(made.shape) if isinstance(made, Tensor) else type(made).__name__
    if given not in shapes:
        raise ValueError(
            f"{method.name} is registered with makes={method.makes!r} and must return a tensor "
            f"{' or '.join(map(str, shapes))}; it returned {given}."
        )
    return made


def _why_flat(signed: Tensor, weights: Tensor | None, lost: bool) -> str:
    if lost:
        return "without the common map ΣM nothing is left: the map is a multiple of it and tells no class from another"
    if weights is not None and not bool(weights.any()):
        return "every class activation weight is zero: no gradient of this class reaches the layer"
    if not bool(signed.any()):
        return "weights and activations cancel everywhere"
    if float(signed.max()) <= 0:
        return (
            f"the weighted sum is nowhere positive (largest value {float(signed.max()) + 0.0:.3g}), so the ReLU leaves "
            f"nothing: the layer speaks against this class. relu=False shows the signed map"
        )
    return "the map is constant"


def _degenerate_text(explanation: Explanation) -> str:
    return (
        f"{explanation.method} on picture {explanation.picture} for {explanation.target_name!r} at "
        f"{explanation.layer!r} of {explanation.network}: all-zero heatmap, because {explanation.reason}."
    )
