"""What a caller's own transform does to a picture, found by giving it pictures of one color."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from camlib.layers import kept_random_state
from camlib.pictures import Picture, Preprocess, checked_tensor, three_values, to_pil

_SIDE = 512
_NARROW = 0.05


@dataclass(frozen=True)
class Transforming:
    """How pictures reach the network, as far as it could be found out.

    Attributes:
        preprocess: size, mean and standard deviation; those of ImageNet where nothing is known.
        normalization_known: whether mean and standard deviation were found.
        fault: why no picture should go through the transform; "" if nothing speaks against it.
    """

    preprocess: Preprocess
    normalization_known: bool
    fault: str = ""


def read_transform(transform: Preprocess | Callable | None) -> Transforming:
    """Size, mean and standard deviation of a transform.

    A callable gets a black, a gray and a white picture: where it maps them along a line, whatever it is made of, that
    line is its normalization, in the scale that the network sees. Otherwise its attributes ``mean``, ``std``,
    ``size`` and ``crop_size`` are read.
    """
    if transform is None:
        return Transforming(Preprocess(), True)
    if isinstance(transform, Preprocess):
        return Transforming(transform, True)
    told = _attributes(transform)
    with kept_random_state(), torch.no_grad():
        levels = [_level(transform, value) for value in (0, 51, 255)]
    if any(level is None for level in levels):
        return _told(told)
    black, gray, white = (level[0] for level in levels)
    size = levels[0][1] if levels[0][1] != (_SIDE, _SIDE) else told.get("size", Preprocess().size)
    span = white - black
    if bool((span.abs() < _NARROW).all()):
        return Transforming(Preprocess(size), False, _narrow(black, white))
    if bool((black + 0.2 * span - gray).abs().max() > 0.01 * span.abs().max()) or not bool(span.abs().min() > 0):
        return Transforming(Preprocess(size), False)
    mean, std = tuple((-black / span).tolist()), tuple((1 / span).tolist())
    if any(value <= 0 for value in std):
        return Transforming(Preprocess(size), False)  # an inverted picture
    if (exact := told.get("mean")) and _near(exact, mean) and _near(told["std"], std):
        mean, std = three_values(exact, len(mean)), three_values(told["std"], len(mean))
    return Transforming(Preprocess(size, mean, std), True)


def transformed(transform: Callable, photo: Picture) -> Tensor:
    """What a caller's transform makes of a picture, [C, H, W], float32, CPU; raises ValueError for anything else."""
    if isinstance(photo, Tensor):  # the callable was promised a PIL image, and its own resizing
        photo = np.round(checked_tensor(photo).permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    inputs = transform(to_pil(photo))
    if not isinstance(inputs, Tensor) or inputs.dim() != 3:
        given = list(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
        raise ValueError(f"The transform must return a tensor [C,H,W]; it returned {given}.")
    return inputs.detach().float().cpu()


def knows_colors_of(inputs: Tensor, reading: Transforming) -> bool:
    """Whether a normalized input [C, *space] can be turned back into colors."""
    return reading.normalization_known and inputs.dim() == 3 and inputs.shape[0] == reading.preprocess.channels


def shown(inputs: Tensor, axes: int, reading: Transforming) -> Tensor:
    """A normalized input [C, *space], ``axes`` of them space, as a picture in [0, 1], [3, *space] or [1, *space]."""
    inputs = inputs.detach().float().cpu().clone()
    if inputs.dim() > axes + 1:
        inputs = inputs[0]  # the first of several views
    if knows_colors_of(inputs, reading):
        return reading.preprocess.denormalize(inputs)
    low, high = inputs.min(), inputs.max()
    if low < 0 or high > 1:  # not a picture already, and no mean and standard deviation to go back with
        inputs = (inputs - low) / (high - low).clamp(min=1e-12)
    return inputs if inputs.shape[0] == 3 else inputs.mean(dim=0, keepdim=True)


def _level(transform: Callable, value: int) -> tuple[Tensor, tuple[int, int]] | None:
    """What the middle pixel of a picture of one gray level becomes, and the size of the result."""
    try:
        made = transform(Image.new("RGB", (_SIDE, _SIDE), (value, value, value)))
    except Exception:  # it wants other pictures; then nothing is known of it
        return None
    if not isinstance(made, Tensor) or made.dim() != 3 or not made.is_floating_point() or 0 in made.shape:
        return None
    middle = made[:, made.shape[1] // 2, made.shape[2] // 2].detach().double().cpu()
    return (middle, tuple(made.shape[1:])) if bool(middle.isfinite().all()) else None


def _attributes(transform: Callable) -> dict[str, tuple]:
    known: dict[str, tuple] = {}
    for part in [transform, *(getattr(transform, "transforms", None) or [])]:
        mean, std = getattr(part, "mean", None), getattr(part, "std", None)
        if mean is not None and std is not None:
            known["mean"], known["std"] = _numbers(mean), _numbers(std)
        size = getattr(part, "crop_size", None) or getattr(part, "size", None)
        if size is not None:
            size = [size] if isinstance(size, int) else list(size)
            known["size"] = (int(size[0]), int(size[-1]))
    return known


def _numbers(value: object) -> tuple[float, ...]:
    return tuple(torch.as_tensor(value, dtype=torch.float64).flatten().tolist())


def _told(known: dict[str, tuple]) -> Transforming:
    """What the attributes say; a mean of the 0..255 scale says nothing about pictures in [0, 1]."""
    size = {"size": known["size"]} if "size" in known else {}
    if "mean" not in known or max(map(abs, known["mean"] + known["std"])) > 2 or min(known["std"]) <= 0:
        return Transforming(Preprocess(**size), False)
    channels = max(3, len(known["mean"]))
    mean, std = three_values(known["mean"], channels), three_values(known["std"], channels)
    return Transforming(Preprocess(**size, mean=mean, std=std), True)


def _near(told: tuple[float, ...], found: tuple[float, ...]) -> bool:
    if len(told) not in (1, len(found)):
        return False
    return all(abs(a - b) < 1e-4 * max(1.0, abs(b)) for a, b in zip(three_values(told, len(found)), found, strict=True))


def _narrow(black: Tensor, white: Tensor) -> str:
    return (
        f"The transform makes {float(black[0]):.4g} of black and {float(white[0]):.4g} of white, so the network would "
        f"see next to nothing: its mean and std are of the 0..255 scale, its pictures of the 0..1 scale. Divide mean "
        f"and std by 255."
    )
