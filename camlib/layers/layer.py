"""``Layer``: one tensor of a network that can be read as feature maps ``M [B, K, h, w]``, and how it is named."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layer:
    """One tensor of the network that can be read as feature maps.

    ``name`` is the outermost module that returns it, followed by ``:n`` when that module runs several times in one
    pass and by ``+relu`` when the network itself rectifies the tensor right after the module. ``kind`` is ``"map"``
    ([B,K,h,w]), ``"channels-last map"`` ([B,h,w,K]), ``"transposed map"`` (any other order of ``axes``) or
    ``"tokens"`` ([B, prefix + h·w, K]). ``size`` is (h, w); (w,) of a sound, (d, h, w) of a volume.

    ``axes`` names the axes of the output that hold (channels, *space), () where that is their order. ``order`` lists
    the tokens row by row where the network keeps them in another order. ``views`` counts the rows of the output that
    belong to one picture, ``views_apart`` says that all pictures' first views come first; maps of several views are
    channels side by side.
    """

    name: str
    kind: str
    channels: int
    size: tuple[int, ...]
    aliases: tuple[str, ...] = ()
    note: str = ""
    module: str = ""
    call: int = 1
    rectifier: str = ""
    prefix: int = 0
    axes: tuple[int, ...] = ()
    order: tuple[int, ...] = field(default=(), repr=False)
    views: int = 1
    views_apart: bool = False

    @property
    def height(self) -> int:
        """h of the feature maps; 1 where they have one axis."""
        return self.size[-2] if len(self.size) > 1 else 1

    @property
    def width(self) -> int:
        """w of the feature maps."""
        return self.size[-1]

    @property
    def folded(self) -> tuple[int, int]:
        """(h, w) in which methods see the maps, whatever the axes of space: a sound is one row, a volume a stack."""
        return prod(self.size[:-1]), self.size[-1]

    def fold(self, maps: Tensor) -> Tensor:
        """Maps [..., *size] as methods see them, [..., h, w]."""
        axes = len(self.size)
        return maps if axes == 2 else maps.reshape(*maps.shape[:-axes], *self.folded)

    def unfold(self, values: Tensor) -> Tensor:
        """The inverse of :meth:`fold`."""
        return values if len(self.size) == 2 else values.reshape(*values.shape[:-2], *self.size)

    def title(self, word: str = "") -> str:
        """The layer for a reader, "last layer (7 × 7 × 1280)": a word or else its name, and height, width, channels."""
        sizes = " \N{MULTIPLICATION SIGN} ".join(map(str, (*self.size, self.channels)))
        return f"{word or self.name} ({sizes})"

    def to_maps(self, output: Tensor) -> Tensor:
        """Read the layer's output (behind the rectifier where the name says so) as feature maps [B, K, h, w]."""
        output = output.dequantize() if output.is_quantized else output
        if self.kind == "tokens":
            tokens = output[:, self.prefix :]
            tokens = tokens.index_select(1, self._there.to(output.device)) if self.order else tokens
            return tokens.unflatten(1, self.size).movedim(-1, 1)
        maps = output.permute(0, *self.axes) if self.axes else output
        if self.views == 1:
            return maps
        apart = maps.unflatten(0, (self.views, -1)).transpose(0, 1) if self.views_apart else None
        return (maps.unflatten(0, (-1, self.views)) if apart is None else apart).flatten(1, 2)

    def from_maps(self, maps: Tensor, output: Tensor) -> Tensor:
        """The inverse of :meth:`to_maps`: a tensor with the shape of ``output``, whose class tokens are kept."""
        if output.is_quantized:
            maps = torch.quantize_per_tensor(maps.detach(), output.q_scale(), output.q_zero_point(), output.dtype)
        if self.kind == "tokens":
            tokens = maps.movedim(1, -1).flatten(1, -2)
            tokens = tokens.index_select(1, self._back.to(maps.device)) if self.order else tokens
            return torch.cat([output[:, : self.prefix], tokens], dim=1) if self.prefix else tokens
        if self.views > 1:
            maps = maps.unflatten(1, (self.views, -1))
            maps = (maps.transpose(0, 1) if self.views_apart else maps).flatten(0, 1)
        return maps.permute(0, *self._inverse) if self.axes else maps

    def put(self, maps: Tensor, output: Tensor) -> Tensor:
        """:meth:`from_maps` as a new tensor, which the next in-place operation may change."""
        made = self.from_maps(maps, output)
        return made if made.is_quantized else made.clone()

    @cached_property
    def _there(self) -> Tensor:
        return torch.tensor(self.order)

    @cached_property
    def _back(self) -> Tensor:
        return self._there.argsort()

    @cached_property
    def _inverse(self) -> tuple[int, ...]:
        return tuple(self.axes.index(axis) + 1 for axis in sorted(self.axes))


def split_name(name: str) -> tuple[str, int, str]:
    """Split ``module[:call][+relu]`` into (module, call, rectifier); call 0 means that none was named."""
    rest, _, rectifier = name.partition("+")
    base, _, call = rest.partition(":")
    return base, int(call) if call.isdigit() else 0, rectifier
