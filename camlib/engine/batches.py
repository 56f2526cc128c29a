"""What a call asks for, checked and put into batches: pictures of any kind, and one or several classes of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from camlib.networks import Network

Target = int | str | None
"""A class by index or name; None for the most probable one."""


def prepared(net: Network, photos: Any, normalized: bool | None) -> list[tuple[Tensor, Tensor]]:
    """(image [3, H, W] in [0, 1], network input [C, H, W]) of every picture; [3, L], [3, D, H, W] otherwise."""
    given = photos if are_many(photos) else [photos]
    single = [one for photo in given for one in _taken_apart(net, photo, normalized)]
    if not single:
        raise ValueError("No picture was given. Give at least one.")
    found = []
    for index, (photo, ready) in enumerate(single):
        try:
            found.append(_prepare_one(net, photo, ready))
        except (ValueError, TypeError) as error:
            if len(single) == 1:
                raise
            kind = ValueError if isinstance(error, ValueError) else TypeError
            raise kind(f"Picture {index} of {len(single)} (counted from 0): {error}") from error
    return found


def _taken_apart(net: Network, photo: Any, normalized: bool | None) -> list[tuple[Any, bool]]:
    """(picture, whether it is ready network input) of one picture or one batch."""
    if not isinstance(photo, Tensor):
        return [(photo, False)]
    if is_batch(net, photo):
        if not photo.numel():
            raise ValueError(f"The batch is empty: {list(photo.shape)}. Give at least one picture.")
        return [(one, normalized is not False) for one in photo]
    if photo.dim() != net.axes + 1:
        space = {1: "L", 2: "H,W", 3: "D,H,W"}[net.axes]
        raise ValueError(
            f"A tensor is one picture [3,{space}] in [0,1] or a ready batch [B,3,{space}]; given {list(photo.shape)}."
        )
    return [(photo, bool(normalized) or net.axes != 2)]


def is_batch(net: Network, photo: Any) -> bool:
    """Whether a tensor is a batch of pictures: [B, C, H, W]; [B, views, C, H, W]; [B, C, L] and [B, C, D, H, W]."""
    return isinstance(photo, Tensor) and photo.dim() in (net.axes + 2, 5 if net.axes == 2 else 0)


def are_many(photos: Any) -> bool:
    """Whether it is a sequence of pictures and not one picture, or its path."""
    return isinstance(photos, Sequence) and not isinstance(photos, str)


def _prepare_one(net: Network, photo: Any, ready: bool) -> tuple[Tensor, Tensor]:
    if ready:
        net.refuse_unready(photo[None])
        picture, inputs = net.show(photo), photo
    else:
        picture, inputs = net.prepare(photo)
    return picture.expand(3, *picture.shape[1:]), inputs


def batches(pairs: list[tuple[Tensor, Tensor]], batch_size: int) -> Iterable[list[int]]:
    """Indices of pictures that run together: one input shape, at most ``batch_size``."""
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: expected at least 1.")
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, (_, inputs) in enumerate(pairs):
        by_shape.setdefault(tuple(inputs.shape), []).append(index)
    for indices in by_shape.values():
        for start in range(0, len(indices), batch_size):
            yield indices[start : start + batch_size]


def targets_by_picture(targets: Any, pictures: int) -> list[list[Target]]:
    """One list of targets for each picture, all of one length."""
    if isinstance(targets, str) or not isinstance(targets, Iterable) or getattr(targets, "ndim", 1) == 0:
        targets = [targets]
    targets = list(targets)
    if not targets:
        raise ValueError("No target was given. Use targets=[None] for the most probable class.")
    nested = [isinstance(target, list | tuple) for target in targets]
    if not any(nested):
        return [targets] * pictures
    lengths = {len(target) for target, is_list in zip(targets, nested, strict=True) if is_list}
    if not all(nested) or len(targets) != pictures or len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            f"targets is one list of classes for all pictures, or one list of equal length for each of the "
            f"{pictures} picture(s); given {targets!r}."
        )
    return [list(target) for target in targets]


def target_columns(network: Network, logits: Tensor, wanted: list[list[Target]]) -> list[Tensor]:
    """Target slot by target slot the class index of every picture in the batch, int64 [B]."""
    classes = logits.shape[1]
    top = logits.argmax(dim=1).tolist()
    rows = [
        [top[b] if target is None else network.class_index(target, classes) for target in targets]
        for b, targets in enumerate(wanted)
    ]
    return list(torch.tensor(rows).T.contiguous())
