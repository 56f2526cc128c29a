"""From whatever a reader calls a picture to a tensor at the size that a network wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

Picture = Image.Image | str | PathLike | np.ndarray | Tensor


@dataclass(frozen=True)
class Preprocess:
    """How a network wants its pictures: resized to ``size`` (both sides, nothing cropped), then ``(x - mean) / std``.

    The whole picture is shown to the network, so that a heatmap covers all of it; this is what Wang et al. (2019)
    and Liang et al. (2022) do. ``size`` is (H, W), or one number for a square; ``len(mean)`` is the number of color
    channels (1 or 3).
    """

    size: tuple[int, int] | int = (224, 224)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if isinstance(self.size, int):
            object.__setattr__(self, "size", (self.size, self.size))
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise ValueError(f"mean {self.mean} and std {self.std}: expected one or three values each.")
        if min(self.std) <= 0:
            raise ValueError(f"std {self.std}: expected positive values.")
        if self.interpolation not in _RESAMPLING:
            raise ValueError(f"interpolation {self.interpolation!r}: expected one of {sorted(_RESAMPLING)}.")
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"size {self.size}: expected (height, width) in pixels.")

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
            image = to_pil(photo).resize(self.size[::-1], _RESAMPLING[self.interpolation])
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


def preprocess_of(transform: Preprocess | Callable | None) -> tuple[Preprocess, bool]:
    """Size, mean and standard deviation of a transform as far as they can be read off it; whether the latter could."""
    if transform is None:
        return Preprocess(), True
    if isinstance(transform, Preprocess):
        return transform, True
    known = {}
    for part in [transform, *getattr(transform, "transforms", [])]:
        if getattr(part, "mean", None) is not None and getattr(part, "std", None) is not None:
            known["mean"], known["std"] = tuple(map(float, part.mean)), tuple(map(float, part.std))
        size = getattr(part, "crop_size", None) or getattr(part, "size", None)
        if size is not None:
            size = [size] if isinstance(size, int) else list(size)
            known["size"] = (int(size[0]), int(size[-1]))
    return Preprocess(**known), "mean" in known


def to_pil(photo: Image.Image | str | PathLike | np.ndarray) -> Image.Image:
    """An 8-bit RGB picture from a path, a PIL image of any mode or a [H, W], [H, W, 3] or [H, W, 4] array.

    EXIF rotation is applied, 16-bit pictures are scaled to 8 bit, transparency is laid over white, gray becomes RGB.
    Raises ValueError for an unreadable file or another shape and TypeError for anything that is no picture.
    """
    if isinstance(photo, str | PathLike):
        photo = _open(Path(photo))
    elif isinstance(photo, np.ndarray):
        photo = _from_array(photo)
    if not isinstance(photo, Image.Image):
        raise TypeError(
            f"A picture is a PIL image, a path, an array [H,W,3] or a tensor [3,H,W] in [0,1]; "
            f"given {type(photo).__name__}."
        )
    image = ImageOps.exif_transpose(photo)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _to_eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except FileNotFoundError as error:
        raise ValueError(
            f"No picture at {str(path)!r}. Give the path of an image file; camlib.list_photos() names the "
            f"photographs that camlib.load_photo brings along."
        ) from error
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{str(path)!r} cannot be read as a picture: {error}.") from error


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or 0 in array.shape:
        raise ValueError(f"An array picture is [H,W], [H,W,3] or [H,W,4]; given shape {list(array.shape)}.")
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if array.dtype == np.uint16:
        array = np.round(array / 257).astype(np.uint8)
    if np.issubdtype(array.dtype, np.floating):
        _check_range(float(np.min(array)), float(np.max(array)))
        array = np.round(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise TypeError(f"An array picture is uint8, uint16 or float in [0,1]; given {array.dtype}.")
    return Image.fromarray(array)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Gray pictures of 16 or 32 bits; 32-bit ones hold [0, 1] (floats), [0, 255] or 16 bits: their maximum tells."""
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("The picture holds NaN or Inf. Replace those pixels before explaining it.")
    top = 65535.0 if values.max() > 255 else 255.0 if values.max() > 1 or image.mode != "F" else 1.0
    top = 65535.0 if image.mode.startswith("I;16") else top
    return Image.fromarray(np.clip(np.round(values / top * 255), 0, 255).astype(np.uint8))


def _check_range(low: float, high: float) -> None:
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("The picture holds NaN or Inf. Replace those pixels before explaining it.")
    if low < -1e-6 or high > 1 + 1e-6:
        raise ValueError(
            f"A float picture lies in [0,1]; given values from {low:.3g} to {high:.3g}. Divide by 255, or pass an "
            f"input that is already normalized as a batch [B,3,H,W] or with normalized=True."
        )


def checked_tensor(tensor: Tensor, channels: int = 3) -> Tensor:
    """A picture tensor as float32 [3, H, W] (or [1, H, W] where a network takes gray) in [0, 1] on the CPU.

    uint8 is divided by 255. Raises ValueError for another shape or range, TypeError for another type.
    """
    if tensor.dim() != 3 or tensor.shape[0] not in (3, channels) or 0 in tensor.shape:
        expected = "[3,H,W]" if channels == 3 else "[1,H,W] or [3,H,W]"
        raise ValueError(
            f"A picture tensor is {expected}; given {list(tensor.shape)}. For a gray picture and a color network use "
            f"x.expand(3, -1, -1); for a ready batch pass [B,{channels},H,W]."
        )
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.uint8:
        return tensor.float() / 255
    if not tensor.is_floating_point():
        raise TypeError(f"A picture tensor is float in [0,1] or uint8; given {tensor.dtype}.")
    tensor = tensor.float()
    _check_range(float(tensor.min()), float(tensor.max()))
    return tensor.clamp(0, 1)
