"""Which shapes of pictures a network may take, tried where nobody has given one."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt

from torch import nn

_SIDES = (28, 32, 64, 96, 128, 256)
_LENGTHS = (1024, 256, 128, 64, 4096, 16000)
_VOLUMES = ((16, 112, 112), (32, 32, 32), (16, 64, 64), (16, 16, 16))


def likely_shapes(module: nn.Module, size: tuple[int, int]) -> Iterator[tuple[int, ...]]:
    """Shapes [C, *space] to try, by the first layer: its channels, and sizes that many networks take."""
    layers = (child for child in module.modules() if isinstance(child, nn.modules.conv._ConvNd | nn.Linear))
    first = next(layers, None)
    if isinstance(first, nn.Conv1d):
        yield from ((first.in_channels, length) for length in _LENGTHS)
    elif isinstance(first, nn.Conv3d):
        yield from ((first.in_channels, *volume) for volume in _VOLUMES)
    elif isinstance(first, nn.Linear):
        for channels in (1, 3, 4):
            side = isqrt(first.in_features // channels)
            if channels * side * side == first.in_features:
                yield channels, side, side
    channels = dict.fromkeys([first.in_channels] if isinstance(first, nn.Conv2d) else [])
    for count in [*channels, 3, 1]:
        yield from ((count, *shape) for shape in (size, *((side, side) for side in _SIDES)))
