"""Saliency from perturbed pictures, no feature maps needed: RISE and Mask (Wang et al. 2019, fig. 1)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from camlib import framework
from camlib.engine.masking import blend, blurred
from camlib.engine.scoring import Writer, progress
from camlib.options import Count, Inside, NotNegative, Pixels, Positive, Range, Seed
from camlib.registry import method
from camlib.trace import Trace

_MASK_SIGMA = 5.0
Cells = Annotated[int, Range(1, 1000)]


@method(
    "rise",
    title="RISE",
    sign="positive by construction",
    family="perturbation",
    source="Petsiuk et al. 2018, eq. 6",
    passes="1 forward + N masked, N = 4000",
    summary="mean of random masks, weighted by the probability of class c behind them",
    makes="pixels",
    relu=False,
)
def rise(
    trace: Trace, target: Tensor, *, masks: Count = 4000, cells: Cells = 7, probability: Inside = 0.5, seed: Seed = 0
) -> Tensor:
    """Σ_i p_c(x · M_i) M_i / (N · probability) over N random masks, [B, H, W].

    Args:
        trace, target: as for every method.
        masks: N; the same masks for every picture and class.
        cells: cells of a mask in each direction before upsampling.
        probability: that a cell is kept.
        seed: of the masks.
    """
    source = RandomMasks(masks, cells, probability, seed, trace.size)

    def write(b: int) -> Writer:
        picture = trace.inputs[b].to(trace.logits.dtype)
        return lambda buffer, start, stop: blend(picture, source[start:stop].to(picture), None, buffer)

    logits = trace.picture_logits(("rise", masks, cells, probability, seed), masks, write, "random masks")
    scores = trace.network.probabilities(logits)[torch.arange(len(logits)), :, target.to(logits.device)]  # [B, N]
    scores = scores * _differ(scores)[:, None]
    saliency = torch.zeros(len(scores), *trace.size).to(scores)
    for start in range(0, masks, 64):
        saliency += torch.einsum("bn,n...->b...", scores[:, start : start + 64], source[start : start + 64].to(scores))
    return saliency / (masks * probability)


def _differ(scores: Tensor) -> Tensor:
    """Whether the scores [B, N] of a picture differ by more than rounding; else their map would show masks alone."""
    low, high = scores.aminmax(dim=1)
    return high - low > 1e-6 * torch.maximum(high.abs(), low.abs())


class RandomMasks:
    """RISE's masks: random cells, linearly enlarged by more than the picture and cropped at a random offset.

    ``masks[start:stop]`` makes that part of them, float32 [n, H, W] in [0, 1]; nothing is kept but cells and offsets.
    ``size`` has one side for every axis of space.
    """

    def __init__(self, count: int, cells: int, probability: float, seed: int, size: tuple[int, ...]) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.grids = (torch.rand(count, *[cells] * len(size), generator=generator) < probability).float()
        self.size, self.cells = size, cells
        steps = [math.ceil(side / cells) for side in size]
        self.offsets = torch.stack([torch.randint(0, step, (count,), generator=generator) for step in steps], dim=1)
        self._enlarge = [_enlarging(cells, (cells + 1) * step) for step in steps]

    def __getitem__(self, part: slice) -> Tensor:
        matrices = [
            torch.stack([self._enlarge[axis][o : o + side] for o in self.offsets[part, axis].tolist()])
            for axis, side in enumerate(self.size)
        ]
        return enlarged(self.grids[part], matrices)


def enlarged(grids: Tensor, matrices: list[Tensor]) -> Tensor:
    """Grids [..., cells, cells] made larger by a matrix [..., side, cells] an axis, [..., H, W]."""
    lead = grids.dim() - len(matrices)
    for axis, matrix in enumerate(matrices[:-1], start=lead):
        moved = grids.movedim(axis, lead)
        made = matrix @ moved.flatten(lead + 1)
        grids = made.unflatten(lead + 1, moved.shape[lead + 1 :]).movedim(lead, axis)
    rows = grids.reshape(*grids.shape[:lead], -1, grids.shape[-1])
    return (rows @ matrices[-1].mT).reshape(*grids.shape[:-1], matrices[-1].shape[-2])


def _enlarging(cells: int, length: int) -> Tensor:
    """Matrix [length, cells] of linear interpolation between cell centers, mirrored at the ends."""
    place = (torch.arange(length, dtype=torch.float64) + 0.5) * cells / length - 0.5
    low = place.floor()
    share = (place - low).float()
    matrix = torch.zeros(length, cells)
    for index, weight in ((low, 1 - share), (low + 1, share)):
        mirrored = (cells - 1 - (cells - 1 - index.abs()).abs()).clamp(min=0).long()  # -1 -> 1, cells -> cells - 2
        matrix.scatter_add_(1, mirrored[:, None], weight[:, None])
    return matrix


@method(
    "mask",
    title="Mask",
    sign="positive by construction",
    family="perturbation",
    source="Fong and Vedaldi 2017, eq. 4-6",
    passes="1 forward + n (forward + backward), n = 300",
    summary="smallest smooth mask whose blur takes the probability of class c away",
    makes="pixels",
    relu=False,
)
def mask(
    trace: Trace,
    target: Tensor,
    *,
    steps: Count = 300,
    learning_rate: Positive = 0.1,
    l1: NotNegative = 1e-4,
    tv: NotNegative = 1e-2,
    tv_power: Positive = 3.0,
    cell: Count = 8,
    sigma: Pixels = 10.0,
    jitter: Annotated[int, Range(0)] = 3,
    seed: Seed = 0,
) -> Tensor:
    """1 − M, where M blurs the picture so that the class is lost with as little blur as possible, [B, H, W] in [0, 1].

    Args:
        trace, target: as for every method.
        steps, learning_rate: of Adam, from a mask of ones.
        l1, tv, tv_power: weights of the size of the blurred part and of the roughness of the mask, and its exponent.
        cell: side in pixels of one mask value.
        sigma: of the blur of the picture, in pixels.
        jitter: largest shift of the picture under the mask in a step, in pixels; 0 for none. What leaves on one side
            comes back on the other (the authors load a larger picture instead).
        seed: of the shifts.
    """
    weights = (l1, tv, tv_power)
    with progress(steps * len(target), "mask optimization") as advance:
        maps = []
        for b in range(len(target)):
            problem = _Masking(trace, b, int(target[b]), cell, sigma, jitter, seed)
            kept = problem.solve(steps, learning_rate, weights, advance)
            maps.append(framework.difference(torch.ones_like(kept), kept))
    return torch.stack(maps).float()


class _Masking:
    """The optimization of one picture's mask."""

    def __init__(self, trace: Trace, b: int, target: int, cell: int, sigma: float, jitter: int, seed: int) -> None:
        self.axes = tuple(range(-len(trace.size), 0))
        with torch.inference_mode(False):
            self.picture = trace.inputs[b : b + 1].clone()
            self.blurred = blurred(self.picture[0], sigma, axes=self.axes)[None]
            self.enlarge = [_enlarging_smoothly(side, cell).to(self.picture) for side in trace.size]
        self.scorer, self.target, self.jitter = trace.scorer(), target, jitter
        self.generator = torch.Generator().manual_seed(seed)

    def solve(self, steps: int, rate: float, weights: tuple[float, float, float], advance) -> Tensor:
        """The mask [H, W] that keeps the picture where it is 1."""
        with torch.inference_mode(False), torch.enable_grad():
            values = self.picture.new_ones([matrix.shape[1] for matrix in self.enlarge]).requires_grad_(True)
            adam = torch.optim.Adam([values], lr=rate)
            for _ in range(steps):
                adam.zero_grad()
                objective = self._objective(values, *weights)
                if objective.requires_grad:  # else neither the score nor a penalty depends on the mask
                    values.grad = torch.autograd.grad(objective, values)[0]
                    adam.step()
                    values.data.clamp_(0, 1)
                advance(1)
            return self._smooth(values).detach()

    def _objective(self, values: Tensor, l1: float, tv: float, power: float) -> Tensor:
        m = self._smooth(values)
        shift = [int(torch.randint(0, self.jitter + 1, (1,), generator=self.generator)) for _ in self.axes]
        picture, blurred = (torch.roll(shown, shift, dims=self.axes) for shown in (self.picture, self.blurred))
        shown = m * picture + (1 - m) * blurred
        probability = self.scorer.network.probabilities(self.scorer.run(shown))[0, self.target]
        steep = sum(difference**2 for difference in _differences(values))
        rough = ((steep + 1e-20) ** (power / 2)).sum()
        return probability + l1 * (1 - values).abs().sum() + tv * rough

    def _smooth(self, values: Tensor) -> Tensor:
        """The mask at the size of the picture, [H, W]: cells enlarged, then blurred, both linear in each direction."""
        return enlarged(values, self.enlarge)


def _differences(values: Tensor) -> list[Tensor]:
    """Differences to the next value along each axis, where there is a next one along all of them."""
    found = []
    for axis in range(values.dim()):
        there = tuple(slice(1, None) if other == axis else slice(-1) for other in range(values.dim()))
        found.append(values[there] - values[(slice(-1),) * values.dim()])
    return found


def _enlarging_smoothly(side: int, cell: int) -> Tensor:
    """Matrix [side, cells] that repeats every value ``cell`` times and blurs the result, mirrored at the ends."""
    repeated = torch.eye(math.ceil(side / cell), dtype=torch.float64).repeat_interleave(cell, dim=0)[:side]
    radius = min(round(4 * _MASK_SIGMA), side - 1)
    return torch.from_numpy(gaussian_filter1d(repeated.numpy(), _MASK_SIGMA, axis=0, mode="mirror", radius=radius))
