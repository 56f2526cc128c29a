"""What a call asks for, checked and put into batches: pictures of any kind, and one or several classes of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any, NamedTuple

import torch
from torch import Tensor

from camlib.engine.placing import Origin
from camlib.networks import Network
from camlib.pictures import to_pil

Target = int | str | None
"""A class by index or name; None for the most probable one."""


class Prepared(NamedTuple):
    """A picture on its way: as the network sees it, [3, H, W] in [0, 1]; as it takes it, [C, H, W]; its origin."""

    image: Tensor
    inputs: Tensor
    origin: Origin | None


def prepared(net: Network, photos: Any, normalized: bool | None) -> list[Prepared]:
    """Every picture, opened, checked and made ready for the network."""
    if isinstance(photos, Tensor) and photos.dim() not in (3, 4):
        raise ValueError(
            f"A tensor is one picture [3,H,W] in [0,1] or a ready batch [B,3,H,W]; given {list(photos.shape)}."
        )
    single: list[tuple[Any, bool]] = []  # (picture, ready network input?)
    for photo in photos if are_many(photos) else [photos]:
        if isinstance(photo, Tensor) and photo.dim() == 4:
            if not len(photo):
                raise ValueError(f"The batch is empty: {list(photo.shape)}. Give at least one picture.")
            single += [(one, normalized is not False) for one in photo]
        else:
            single.append((photo, bool(normalized) and isinstance(photo, Tensor)))
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


def are_many(photos: Any) -> bool:
    """Whether it is a sequence of pictures, and not one picture or the path of one."""
    return isinstance(photos, Sequence) and not isinstance(photos, str)


def _prepare_one(net: Network, photo: Any, ready: bool) -> Prepared:
    if ready:
        net.refuse_unready(photo[None])
        return Prepared(net.show(photo).expand(3, -1, -1), photo, None)
    source = str(photo) if isinstance(photo, str | PathLike) else None
    if not isinstance(photo, Tensor):
        photo = to_pil(photo)
    size = tuple(photo.shape[:-3:-1]) if isinstance(photo, Tensor) else photo.size
    picture, inputs = net.prepare(photo)
    transform = None if net.transform is net.preprocess else net.transform
    return Prepared(picture.expand(3, -1, -1), inputs, Origin(size, source, transform))


def batches(pairs: list[Prepared], batch_size: int) -> Iterable[list[int]]:
    """Indices of pictures that run together: one input shape, at most ``batch_size``."""
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: expected at least 1.")
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, one in enumerate(pairs):
        by_shape.setdefault(tuple(one.inputs.shape), []).append(index)
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
