"""``Layer``: one tensor of a network that can be read as feature maps ``M [B, K, h, w]``, and how it is named."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layer:
    """One tensor of the network that can be read as feature maps.

    ``name`` is the outermost module that returns it, followed by ``:n`` when that module runs several times in one
    pass and by ``+relu`` when the network itself rectifies the tensor right after the module. ``kind`` is ``"map"``
    ([B,K,h,w]), ``"channels-last map"`` ([B,h,w,K]) or ``"tokens"`` ([B, prefix + h·w, K]).
    """

    name: str
    kind: str
    channels: int
    height: int
    width: int
    aliases: tuple[str, ...] = ()
    note: str = ""
    module: str = ""
    call: int = 1
    rectifier: str = ""
    prefix: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the feature maps."""
        return self.height, self.width

    def title(self, word: str = "") -> str:
        """The layer for a reader, "last layer (7 × 7 × 1280)": a word or else its name, and height, width, channels."""
        sizes = " \N{MULTIPLICATION SIGN} ".join(map(str, (*self.size, self.channels)))
        return f"{word or self.name} ({sizes})"

    def to_maps(self, output: Tensor) -> Tensor:
        """Read the layer's output (behind the rectifier where the name says so) as feature maps [B, K, h, w]."""
        if self.kind == "channels-last map":
            return output.permute(0, 3, 1, 2)
        if self.kind == "tokens":
            grid = output[:, self.prefix :].unflatten(1, self.size)  # [B, h, w, K]
            return grid.permute(0, 3, 1, 2)
        return output

    def from_maps(self, maps: Tensor, output: Tensor) -> Tensor:
        """The inverse of :meth:`to_maps`: a tensor with the shape of ``output``, whose class tokens are kept."""
        if self.kind == "map":
            return maps
        if self.kind == "channels-last map":
            return maps.permute(0, 2, 3, 1)
        tokens = maps.permute(0, 2, 3, 1).flatten(1, 2)
        return torch.cat([output[:, : self.prefix], tokens], dim=1)


def split_name(name: str) -> tuple[str, int, str]:
    """Split ``module[:call][+relu]`` into (module, call, rectifier); call 0 means that none was named."""
    rest, _, rectifier = name.partition("+")
    base, _, call = rest.partition(":")
    return base, int(call) if call.isdigit() else 0, rectifier
