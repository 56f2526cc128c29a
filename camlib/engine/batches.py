"""What a call asks for, checked and put into batches: pictures of any kind, and one or several classes of each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Set
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from camlib.engine.placing import Origin
from camlib.networks import Network
from camlib.options import checked
from camlib.outputs import TargetFunction
from camlib.pictures import PICTURE_SUFFIXES, refuse_without_pixels, to_pil

Target = int | str | TargetFunction | None
"""A class by index or name; None for the most probable one; or a function of the output."""


class Prepared(NamedTuple):
    """A picture on its way: as the network sees it, [3, H, W] in [0, 1]; as it takes it, [C, H, W]; its origin."""

    image: Tensor
    inputs: Tensor
    origin: Origin | None


class SkippedPictureWarning(UserWarning):
    """Pictures that could not be read were left out; the message names each and says why."""


def singles(net: Network, photos: Any, normalized: bool | None) -> list[tuple[Any, bool]]:
    """The pictures that are meant, one by one and not yet opened: (picture, whether it is ready network input).

    A folder stands for the pictures in it, a pattern ("holiday/*.jpg") for what it matches, in order of their names; a
    batch [B, 3, H, W] for its rows ([B, C, L] of sounds, [B, C, D, H, W] of volumes); a generator for what it yields.
    Raises ValueError where that is none.
    """
    normalized = checked("normalized", normalized, bool | None)
    if isinstance(photos, Mapping):
        raise TypeError(f"Pictures are a list, a generator, a folder or a pattern; given a {type(photos).__name__}.")
    single: list[tuple[Any, bool]] = []
    for photo in photos if are_many(photos) else [photos]:
        if isinstance(photo, Tensor):
            single += _rows(net, photo, normalized)
        elif isinstance(photo, str | bytes | PathLike):
            single += [(path, False) for path in files_of(photo)]
        else:
            single.append((photo, False))
    if not single:
        raise ValueError("No picture was given. Give at least one.")
    return single


def prepared(
    net: Network, single: list[tuple[Any, bool]], indices: Iterable[int], skipped: dict[int, str] | None = None
) -> dict[int, Prepared]:
    """Some of the pictures, opened, checked and made ready for the network, by their index.

    What cannot be used raises; with ``skipped`` it is entered there with the reason instead.
    """
    found = {}
    for index in indices:
        photo, ready = single[index]
        try:
            found[index] = _prepare_one(net, photo, ready)
        except (ValueError, TypeError) as error:
            if skipped is not None:
                skipped[index] = f"{photo if isinstance(photo, str | PathLike) else f'picture {index}'}: {error}"
                continue
            if len(single) == 1:
                raise
            kind = ValueError if isinstance(error, ValueError) else TypeError
            raise kind(f"Picture {index} of {len(single)} (counted from 0): {error}") from error
    return found


def _rows(net: Network, photo: Tensor, normalized: bool | None) -> list[tuple[Tensor, bool]]:
    """(picture, whether it is ready network input) of a tensor that is one picture or a batch."""
    refuse_without_pixels(photo)
    if photo.dim() in (net.axes + 2, 5 if net.axes == 2 else 0):  # [B, views, C, H, W] is a batch, too
        if not photo.numel():
            raise ValueError(f"The batch is empty: {list(photo.shape)}. Give at least one picture.")
        return [(one, normalized is not False) for one in photo]
    if photo.dim() != net.axes + 1:
        space = {1: "L", 2: "H,W", 3: "D,H,W"}[net.axes]
        raise ValueError(
            f"A tensor is one picture [3,{space}] in [0,1] or a ready batch [B,3,{space}]; given {list(photo.shape)}."
        )
    return [(photo, bool(normalized) or net.axes != 2)]


def files_of(given: str | bytes | PathLike) -> list[Path]:
    """The pictures of a folder, the matches of a pattern, or the one file; ValueError where there are none."""
    given = os.fsdecode(given)
    path = Path(given)
    if not given:
        raise ValueError("The name of a picture is empty. Give a path, a folder ('.' is this one) or a pattern.")
    if os.path.isdir(path):
        found = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in PICTURE_SUFFIXES]
    elif any(sign in path.name for sign in "*?[") and not os.path.exists(path):
        found = sorted(path.parent.glob(path.name))
    else:
        return [path]
    if not found:
        what = f"Folder {str(path)!r} holds" if os.path.isdir(path) else f"Pattern {str(path)!r} matches"
        raise ValueError(f"{what} no picture. Pictures end in {', '.join(PICTURE_SUFFIXES)}.")
    return found


def are_many(photos: Any) -> bool:
    """Whether it is a sequence or a generator of pictures, and not one picture or a path."""
    one = isinstance(photos, str | bytes | PathLike | Tensor | np.ndarray | Image.Image) or hasattr(photos, "read")
    return not one and isinstance(photos, Iterable)


def _prepare_one(net: Network, photo: Any, ready: bool) -> Prepared:
    if ready:
        net.refuse_unready(photo[None])
        return Prepared(in_color(net.show(photo)), photo, None)
    source = str(photo) if isinstance(photo, str | PathLike) else None
    if not isinstance(photo, Tensor):
        photo = to_pil(photo)
    size = tuple(photo.shape[:-3:-1]) if isinstance(photo, Tensor) else photo.size
    picture, inputs = net.prepare(photo)
    transform = None if net.transform is net.preprocess else net.transform
    return Prepared(in_color(picture), inputs, Origin(size, source, transform))


def in_color(picture: Tensor) -> Tensor:
    """A picture of any number of channels in three colors, [3, H, W]; [3, L], [3, D, H, W]."""
    colors = picture if picture.shape[0] in (1, 3) else picture.mean(dim=0, keepdim=True)
    return colors.expand(3, *picture.shape[1:])


def batches(pictures: Mapping[int, Prepared]) -> Iterable[list[int]]:
    """Indices of pictures that run together: those of one input shape."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, one in pictures.items():
        by_shape.setdefault(tuple(one.inputs.shape), []).append(index)
    return by_shape.values()


def targets_by_picture(targets: Any, pictures: int) -> list[list[Target]]:
    """One list of targets for each picture, all of one length."""
    if isinstance(targets, str) or not isinstance(targets, Iterable) or getattr(targets, "ndim", 1) == 0:
        targets = [targets]
    targets = [_as_list(target) for target in _as_list(targets)]
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


def _as_list(targets: Any) -> Any:
    """Arrays and tensors of classes as lists; anything else as it is, sequences as lists.

    Raises ValueError for arrays of 0 and 1 or of other numbers that are no class indices, TypeError for sets and the
    like, which have no order.
    """
    if isinstance(targets, Set | Mapping | bytes):
        raise TypeError(f"targets is a list of classes; given a {type(targets).__name__}: {targets!r}. Write a list.")
    if not isinstance(targets, Tensor | np.ndarray):
        return [*targets] if isinstance(targets, Iterable) and not isinstance(targets, str) else targets
    if targets.ndim == 0:
        return targets
    kind = str(targets.dtype).rpartition(".")[2]
    multi_hot = targets.ndim == 2 and targets.shape[1] > 2 and bool(((targets == 0) | (targets == 1)).all())
    if not kind.startswith(("int", "uint")) or targets.ndim > 2 or multi_hot:
        raise ValueError(
            f"Targets are class indices, whole numbers [classes] or [pictures, classes]; given {kind} "
            f"{list(targets.shape)}{' of 0 and 1' if multi_hot else ''}. From multi-hot rows: "
            f"targets=[row.nonzero().flatten().tolist() for row in labels]."
        )
    return targets.tolist()


def target_columns(network: Network, logits: Tensor, wanted: list[list[Target]]) -> list[Tensor]:
    """Target slot by target slot the class index of every picture in the batch, int64 [B]."""
    classes = logits.shape[1]
    top = logits.argmax(dim=1).tolist()
    rows = [
        [top[b] if target is None else network.class_index(target, classes) for target in targets]
        for b, targets in enumerate(wanted)
    ]
    return list(torch.tensor(rows).T.contiguous())
