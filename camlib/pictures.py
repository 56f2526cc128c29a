"""From whatever a reader calls a picture to a tensor at the size that a network wants."""

from __future__ import annotations

import numbers
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import IO, Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_SIXTEEN_BITS, _TWELVE_BITS = 65535.0, 4095.0
_BITS_PER_SAMPLE = 258  # tag of a TIFF file

Picture = Image.Image | str | PathLike | IO[bytes] | np.ndarray | Tensor


@dataclass(frozen=True)
class Preprocess:
    """How a network wants its pictures: resized to ``size`` (both sides, nothing cropped), then ``(x - mean) / std``.

    The whole picture is shown to the network, so that a heatmap covers all of it; this is what Wang et al. (2019)
    and Liang et al. (2022) do. ``size`` is (H, W), or one number for a square. ``mean`` and ``std`` are of pictures in
    [0, 1]; one value a channel, so that ``len(mean)`` is the number of channels (1 gray, 3 color, others for tensors),
    or one number for the three colors.

    Raises:
        ValueError: sizes or numbers that are impossible, or a mean and std of the 0..255 scale.
    """

    size: tuple[int, int] | int = (224, 224)
    mean: tuple[float, ...] | float = IMAGENET_MEAN
    std: tuple[float, ...] | float = IMAGENET_STD
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", _checked_size(self.size))
        mean, std = _numbers(self.mean), _numbers(self.std)
        if len(mean) != len(std) or not mean:
            raise ValueError(f"mean {self.mean}, std {self.std}: expected as many values of the one as of the other.")
        if not all(np.isfinite((*mean, *std))) or min(std) <= 0:
            raise ValueError(f"mean {self.mean}, std {self.std}: expected finite numbers, and positive values for std.")
        if max(map(abs, (*mean, *std))) > 2:
            divided = [tuple(round(value / 255, 4) for value in values) for values in (mean, std)]
            raise ValueError(
                f"mean {self.mean} and std {self.std} are of the 0..255 scale; pictures here lie in [0,1]. Divide both "
                f"by 255: mean={divided[0]}, std={divided[1]}."
            )
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "std", std)
        if self.interpolation not in _RESAMPLING:
            raise ValueError(f"interpolation {self.interpolation!r}: expected one of {sorted(_RESAMPLING)}.")

    @property
    def channels(self) -> int:
        """Number of color channels that the network takes."""
        return len(self.mean)

    def _affine(self, like: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1, 1, 1)
        return (
            torch.tensor(self.mean, dtype=like.dtype, device=like.device).view(shape),
            torch.tensor(self.std, dtype=like.dtype, device=like.device).view(shape),
        )

    def picture(self, photo: Picture) -> Tensor:
        """The picture as the network sees it, before normalization: float32 [channels, H, W] in [0, 1]."""
        if isinstance(photo, Tensor):
            tensor = checked_tensor(photo, self.channels)
            if tuple(tensor.shape[-2:]) != tuple(self.size):
                tensor = F.interpolate(
                    tensor[None], self.size, mode=self.interpolation, align_corners=False, antialias=True
                )[0].clamp(0, 1)
        else:
            image = to_pil(photo)
            if self.channels not in (1, 3):
                raise ValueError(
                    f"A picture has three colors, and the network takes {self.channels} channels. Pass a tensor "
                    f"[{self.channels},H,W] in [0,1]."
                )
            image = image.resize(self.size[::-1], _RESAMPLING[self.interpolation])
            tensor = torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1).contiguous()
        return tensor.mean(dim=0, keepdim=True) if self.channels < tensor.shape[0] else tensor

    def normalize(self, picture: Tensor) -> Tensor:
        """``(x - mean) / std`` per color channel; [..., C, H, W] in [0, 1] -> same shape."""
        mean, std = self._affine(picture)
        return (picture - mean).div_(std)

    def denormalize(self, inputs: Tensor) -> Tensor:
        """The inverse of :meth:`normalize`, clipped to [0, 1]."""
        mean, std = self._affine(inputs)
        return (inputs * std + mean).clamp(0, 1)


def three_values(values: tuple[float, ...], channels: int = 3) -> tuple[float, ...]:
    """One value a channel, where one may stand for all."""
    return values * channels if len(values) == 1 else values


def _numbers(values: Any) -> tuple[float, ...]:
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"mean and std are numbers, one a channel; given {values!r}.") from error
    return tuple(found.tolist()) if found.ndim else (float(found),) * 3


def _checked_size(size: Any) -> tuple[int, int]:
    sides = (size, size) if isinstance(size, numbers.Number) else size
    try:
        sides = tuple(sides)
    except TypeError:
        sides = ()
    whole = all(isinstance(side, numbers.Integral) and not isinstance(side, bool) for side in sides)
    if len(sides) != 2 or not whole or min(sides) < 1:
        raise ValueError(f"size {size}: expected (height, width) in pixels.")
    return int(sides[0]), int(sides[1])


def to_pil(photo: Picture) -> Image.Image:
    """An 8-bit RGB picture from a path, an open file, a PIL image of any mode or an array [H, W], [H, W, 3], [H, W, 4].

    EXIF rotation is applied, pictures of 12 and 16 bits are scaled to 8, transparency is laid over white, gray becomes
    RGB. Raises ValueError for an unreadable file or another shape and TypeError for anything that is no picture.
    """
    name = "The picture"
    if isinstance(photo, str | PathLike):
        name = repr(os.fspath(photo))
        photo = _open(os.fspath(photo))
    elif hasattr(photo, "read"):
        name = repr(getattr(photo, "name", None) or type(photo).__name__)
        with _saying(name):
            photo = Image.open(photo)
    elif isinstance(photo, np.ndarray):
        photo = _from_array(photo)
    if not isinstance(photo, Image.Image):
        raise TypeError(
            f"A picture is a PIL image, a path, an array [H,W,3] or a tensor [3,H,W] in [0,1]; "
            f"given {type(photo).__name__}."
        )
    if not all(photo.size):
        raise ValueError(f"{name} is empty: {photo.width} x {photo.height} pixels.")
    with _saying(name):
        photo.load()
        bits = getattr(photo, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))
        return _eight_bit_rgb(_upright(photo), twelve_bits=tuple(bits) == (12,))


def _upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF entry says; one with a rubbish entry as it is stored."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # every reader of tags raises what it likes
        return image


def _eight_bit_rgb(image: Image.Image, twelve_bits: bool) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _scaled(image, twelve_bits).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


@contextmanager
def _saying(name: str) -> Iterator[None]:
    """Whatever a reader of pictures raises inside the block becomes one sentence that names the picture."""
    try:
        yield
    except UnusablePicture:
        raise
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{name} cannot be read as a picture: {error} Make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS if you "
            f"trust it."
        ) from error
    except UnidentifiedImageError as error:
        raise ValueError(f"{name} cannot be read as a picture: no reader knows its format.") from error
    except Exception as error:
        what = f"{type(error).__name__}: {error}".rstrip(".")
        raise ValueError(f"{name} cannot be read as a picture: {what}.") from error


class UnusablePicture(ValueError):
    """A picture that can be read and is not usable; the message is complete."""


def _open(path: str | bytes) -> Image.Image:
    name = repr(path)
    with _saying(name):
        try:
            kind = os.stat(path).st_mode
        except FileNotFoundError:
            if re.match(r"[a-z]{2,}:/", str(path)):
                raise UnusablePicture(
                    f"{name} is an address, and nothing is downloaded. Save the picture and give its path."
                ) from None
            raise UnusablePicture(
                f"No picture at {name}. Give the path of an image file; camlib.list_photos() names the "
                f"photographs that camlib.load_photo brings along."
            ) from None
        if not stat.S_ISREG(kind):  # reading a pipe would wait for somebody to write
            what = "a folder" if stat.S_ISDIR(kind) else "a pipe, socket or device"
            raise UnusablePicture(f"{name} cannot be read as a picture: it is {what}.")
        with Image.open(path) as image:
            if all(image.size):
                image.load()
            return image


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or 0 in array.shape:
        raise ValueError(f"An array picture is [H,W], [H,W,3] or [H,W,4]; given shape {list(array.shape)}.")
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:  # of either byte order
        array = np.round(array / (_full_scale(float(array.max())) / 255)).astype(np.uint8)
    if np.issubdtype(array.dtype, np.floating):
        _check_range(float(np.min(array)), float(np.max(array)))
        array = np.round(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise TypeError(f"An array picture is uint8, uint16 or float in [0,1]; given {array.dtype}.")
    return Image.fromarray(array)


def _full_scale(largest: float) -> float:
    """White of a 16-bit picture: 65535, or 4095 where the largest value lies in the upper half of 12 bits."""
    return _TWELVE_BITS if _TWELVE_BITS / 2 < largest <= _TWELVE_BITS else _SIXTEEN_BITS


def _scaled(image: Image.Image, twelve_bits: bool) -> Image.Image:
    """Gray pictures of 12, 16 or 32 bits in 8; of 32-bit ones the maximum tells whether 1, 255 or 65535 is white."""
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise UnusablePicture("The picture holds NaN or Inf. Replace those pixels before explaining it.")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > _SIXTEEN_BITS:
        raise UnusablePicture(
            f"A gray picture lies in [0,1], [0,255] or [0,65535]; given values from {low:.3g} to {high:.3g}. Scale it."
        )
    if image.mode.startswith("I;16"):
        white = _TWELVE_BITS if twelve_bits else _full_scale(high)
    elif high > 255:
        white = _full_scale(high)
    else:
        white = 255.0 if high > 1 or image.mode != "F" else 1.0
    scaled = np.round(values / white * 255).astype(np.uint8)
    clear = image.info.get("transparency")
    return Image.fromarray(scaled if clear is None else np.where(values == clear, np.uint8(255), scaled))


def _check_range(low: float, high: float) -> None:
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("The picture holds NaN or Inf. Replace those pixels first.")
    if low < -1e-6 or high > 1 + 1e-6:
        raise ValueError(
            f"A float picture lies in [0,1]; given values from {low:.3g} to {high:.3g}. Divide by 255, or pass an "
            f"input that is already normalized as a batch [B,3,H,W] or with normalized=True."
        )


def refuse_without_pixels(tensor: Tensor) -> None:
    """Raises TypeError for a tensor whose pixels cannot be read one by one: sparse, nested, or without memory."""
    kind = "nested" if tensor.is_nested else "meta" if tensor.is_meta else str(tensor.layout).removeprefix("torch.")
    if kind != "strided":
        raise TypeError(f"A picture tensor holds its pixels side by side in memory; given a {kind} one. Make it dense.")


def checked_tensor(tensor: Tensor, channels: int = 3) -> Tensor:
    """A picture tensor as float32 [3, H, W] (or [channels, H, W] where a network takes others) in [0, 1] on the CPU.

    uint8 is divided by 255. Raises ValueError for another shape or range, TypeError for another type.
    """
    refuse_without_pixels(tensor)
    allowed = {1: (1, 3)}.get(channels, (channels,))
    if tensor.dim() != 3 or tensor.shape[0] not in allowed or 0 in tensor.shape:
        expected = " or ".join(f"[{count},H,W]" for count in allowed)
        gray = "For a gray picture and a color network use x.expand(3, -1, -1); " if channels == 3 else ""
        raise ValueError(
            f"A picture tensor is {expected}; given {list(tensor.shape)}. {gray}"
            f"{'for' if gray else 'For'} a ready batch pass [B,{channels},H,W]."
        )
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.uint8:
        return tensor.float() / 255
    if not tensor.is_floating_point():
        raise TypeError(f"A picture tensor is float in [0,1] or uint8; given {tensor.dtype}.")
    tensor = tensor.float()
    _check_range(float(tensor.min()), float(tensor.max()))
    return tensor.clamp(0, 1)
