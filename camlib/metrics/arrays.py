"""What every metric asks of its arrays: finite numbers, one map at a time, shapes that belong together."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def finite(values: Any, name: str) -> np.ndarray:
    """``values`` (array, tensor or sequence) as a float64 array; ValueError if something in it is not finite."""
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinite values; expected finite numbers only")
    return array


def one_map(values: Any, name: str) -> np.ndarray:
    """``values`` as a finite float64 array [h, w] with at least one pixel; ValueError for another shape."""
    array = finite(values, name)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; expected [h, w]: pass one map at a time")
    return array


def pair(a: Any, b: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two finite float64 arrays of one shape; ValueError where the shapes differ."""
    first, second = finite(a, "a"), finite(b, "b")
    if first.shape != second.shape:
        raise ValueError(f"a has shape {first.shape} and b {second.shape}; expected the same shape")
    return first, second


def ranks(heatmap: Tensor) -> Tensor:
    """Place of every pixel in descending order, 0 the highest, equal pixels in raster order; int64 [H, W]."""
    order = torch.argsort(heatmap.flatten(), descending=True, stable=True)
    places = torch.empty_like(order)
    places[order] = torch.arange(order.numel(), device=order.device)
    return places.view(heatmap.shape)
