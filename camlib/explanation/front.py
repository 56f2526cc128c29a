"""The front door: ``explain`` one picture, or ``compare`` pictures, methods, classes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from camlib import framework
from camlib.engine.batches import (
    SkippedPictureWarning,
    Target,
    batches,
    prepared,
    singles,
    target_columns,
    targets_by_picture,
)
from camlib.explanation.making import explanations_of
from camlib.explanation.result import DegenerateMapWarning, Explanation
from camlib.networks import Extra, Network, outside_stacklevel
from camlib.options import Count, checked
from camlib.outputs import TargetFunction
from camlib.pictures import Picture
from camlib.registry import Method, find_method
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
    inputs: Extra = None,
    **options: Any,
) -> Explanation:
    """Explain one class of one picture.

    Args:
        net: the network, from :func:`camlib.load_network` or :class:`camlib.Network`.
        photo: PIL image, path, array [H,W,3], tensor [3,H,W] in [0,1], or a ready normalized batch [1,3,H,W].
        method: a name of :data:`camlib.METHODS`.
        target: class index, class name, or None for the most probable class; or a function from whatever the module
            returns for a batch to one number a picture, [B], such as ``lambda y: y[:, 3] - y[:, 5]``.
        layer: name of the layer; None for the network's target layer.
        relu: rectify the map or not; None does what ``camlib.METHODS[name].relu`` says: what the method's source
            prints, and for gap-cam and sca-cam, whose authors print no ReLU, the ReLU of Grad-CAM (see their docs).
        common: which multiple β of the common map ΣM leaves the class activation map before the ReLU: "keep" none, as
            published; "center" the mean weight of the live channels; "project" the part of the map along ΣM. See
            :func:`camlib.framework.without_common_map`.
        normalized: True says that a [3,H,W] tensor is ready network input, False that a [B,3,H,W] batch holds
            pictures in [0,1]. None: 3-D tensors are pictures, 4-D tensors are ready input.
        inputs: what the module's forward takes beside the picture, see :class:`camlib.Network`; None for what the
            network was given.
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
    net = net if inputs is None else net.with_inputs(inputs)
    name = find_method(method).name
    chosen = _methods([name], {name: options})
    single = singles(net, photo, normalized)
    if len(single) > 1:
        raise ValueError(f"explain takes one picture; given {len(single)}. Use camlib.compare for several.")
    asked = [target] if callable(target) else [[target]]
    found = _explained(net, single, chosen, asked, layer, relu, common, batch_size=1)
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
    inputs: Extra = None,
) -> list[Explanation]:
    """Explain several classes of several pictures by several methods, sharing every pass.

    Pictures are opened ``batch_size`` at a time, and those of one size run together; the forward pass, the gradients of
    each class and all noisy passes are made once and read by every method.

    Args:
        photos: pictures as in :func:`explain`, in a list or a generator; one batch [B,3,H,W]; folders and patterns such
            as "holiday/*.jpg".
        methods: names of :data:`camlib.METHODS`; or pairs of a name and options, by which one method can stand there
            several times and its versions share their passes.
        targets: the classes to explain on every picture, functions of the output among them (see :func:`explain`); or
            one sequence of classes for each picture.
        options: method name -> options of that method, for all places where it stands; ``common`` among options goes
            before the call's.
        on_error: "raise" stops at a picture that cannot be read; "skip" goes on without it.
        net, layer, relu, common, normalized, inputs: as in :func:`explain`.

    Returns:
        Explanations picture by picture, method by method, target by target; ``picture`` counts all that were given,
        and ``origin.source`` is the path.

    Warns:
        SkippedPictureWarning: pictures were skipped; the message names each of them and the reason.
    """
    _refuse_other(net)
    net = net if inputs is None else net.with_inputs(inputs)
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error={on_error!r}: expected 'raise' or 'skip'.")
    chosen, single = _methods(methods, options or {}), singles(net, photos, normalized)
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
    batch_size, relu = checked("batch_size", batch_size, Count), checked("relu", relu, bool | None)
    chosen = [(method, {"common": common, **given}) for method, given in chosen]
    for method, given in chosen:
        framework.checked_common(given["common"], method.name, method.makes)
    functions = {slot: target for slot, target in enumerate(targets) if callable(target)} if _many(targets) else {}
    if functions:
        return _with_functions(net, single, chosen, list(targets), functions, layer, relu, common, batch_size, skipped)
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
                    made = explanations_of(trace, method, given, target, relu, indices, pictures)
                    found |= {(e.picture, m, t): e for e in made}
    return [found[key] for key in sorted(found)]


def _many(targets: Any) -> bool:
    return isinstance(targets, list | tuple)


def _with_functions(
    net: Network,
    single: list[tuple[Any, bool]],
    chosen: list[tuple[Method, Mapping[str, Any]]],
    targets: list[Any],
    functions: Mapping[int, TargetFunction],
    *call: Any,
) -> list[Explanation]:
    """Classes by the network itself and functions by one that returns them, put together slot by slot."""
    own = net.with_targets(list(functions.values()))
    classes = [slot for slot in range(len(targets)) if slot not in functions]
    found = {}
    for slots, of, asked in (
        (list(functions), own, list(range(len(functions)))),
        (classes, net, [targets[slot] for slot in classes]),
    ):
        made = _explained(of, single, chosen, asked, *call) if slots else []
        for number, e in enumerate(made):
            m, slot = number // len(slots) % len(chosen), slots[number % len(slots)]
            found[e.picture, m, slot] = replace(e, target=None) if slot in functions else e
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


def _degenerate_text(explanation: Explanation) -> str:
    return (
        f"{explanation.method} on picture {explanation.picture} for {explanation.target_name!r} at "
        f"{explanation.layer!r} of {explanation.network}: all-zero heatmap, because {explanation.reason}."
    )
