"""Controls: maps that know nothing of the picture. A metric on which a method does not beat them says nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from camlib import framework
from camlib.metrics.sample import Sample


def all_ones(size: tuple[int, int], seed: int = 0) -> Tensor:
    """Ones everywhere, [H, W]: average drop 0, and the energy share of a box is its share of the area."""
    return torch.ones(size)


def random_map(size: tuple[int, int], seed: int = 0, cells: int = 7) -> Tensor:
    """Uniform random numbers on ``cells`` x ``cells``, upsampled and scaled to [0, 1] as a heatmap is, [H, W].

    Noise of single pixels would be no control: masking with it destroys a picture as no class activation map can.
    The same seed gives the same map; give every picture its own.
    """
    noise = torch.rand(1, cells, cells, generator=torch.Generator().manual_seed(seed))
    return framework.normalize(framework.upsample(noise, size))[0][0]


def center_gaussian(size: tuple[int, int], seed: int = 0, spread: float = 0.25) -> Tensor:
    """A Gaussian in the center with standard deviations of ``spread`` times height and width, largest value 1, [H, W].

    Photographers center their objects: much of a localization score can be had without looking.
    """
    rows, columns = (torch.linspace(1 / n - 1, 1 - 1 / n, n) / 2 / spread for n in size)
    map_ = torch.exp(-(rows[:, None] ** 2 + columns**2) / 2)
    return map_ / map_.max()


CONTROLS: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {"all-ones": all_ones, "random": random_map, "center-gaussian": center_gaussian}
)
"""Name -> ``control(size, seed)``, which returns float32 [H, W] in [0, 1]."""


def control_maps(size: tuple[int, int], seed: int = 0) -> dict[str, Tensor]:
    """Every control as a heatmap float32 [H, W] in [0, 1]; ``seed`` of the random one, another for each picture."""
    return {name: control(size, seed) for name, control in CONTROLS.items()}


def control_samples(sample: Sample, seed: int = 0) -> dict[str, Sample]:
    """The sample with each control in the place of its heatmap, by name; evaluation adds them to every table."""
    return {name: sample.with_heatmap(map_) for name, map_ in control_maps(sample.size, seed).items()}
