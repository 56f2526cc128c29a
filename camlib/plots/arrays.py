"""What drawings take as numbers: tensors, lists, 8-bit and PIL pictures become float arrays."""

from __future__ import annotations

from typing import Any

import numpy as np


def array(values: Any) -> np.ndarray:
    """A tensor, list or array as a float array."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, dtype=np.float64)


def rgb(image: Any) -> np.ndarray:
    """A picture as [H, W, 3] floats in [0, 1], from [3, H, W], [H, W, 3], 8-bit or PIL."""
    array = np.asarray(image.detach().cpu() if hasattr(image, "detach") else image)
    if array.ndim != 3 or 3 not in (array.shape[0], array.shape[2]):
        raise ValueError(f"picture has shape {array.shape}; expected [3, H, W] or [H, W, 3]")
    if array.shape[2] != 3:
        array = np.moveaxis(array, 0, 2)
    values = array / 255 if array.dtype == np.uint8 else array.astype(np.float64)
    if values.min() < -1e-6 or values.max() > 1 + 1e-6:
        raise ValueError(f"picture lies in [{values.min():.3g}, {values.max():.3g}]; expected [0, 1] or 8-bit")
    return values.clip(0, 1)
