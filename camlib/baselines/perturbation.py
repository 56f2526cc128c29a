"""Saliency from perturbed pictures, no feature maps needed: RISE and Mask (Wang et al. 2019, fig. 1)."""

from __future__ import annotations

import math

import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from camlib.engine.masking import blend, blurred
from camlib.engine.scoring import Writer, progress
from camlib.registry import method
from camlib.trace import Trace

_MASK_SIGMA = 5.0


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
    trace: Trace, target: Tensor, *, masks: int = 4000, cells: int = 7, probability: float = 0.5, seed: int = 0
) -> Tensor:
    """Σ_i p_c(x · M_i) M_i / (N · probability) over N random masks, [B, H, W].

    Args:
        trace, target: as for every method.
        masks: N; the same masks for every picture and class.
        cells: cells of a mask in each direction before upsampling.
        probability: that a cell is kept.
        seed: of the masks.

    Raises:
        ValueError: fewer than one mask or cell, or a probability outside (0, 1).
    """
    if masks < 1 or cells < 1 or not 0 < probability < 1:
        raise ValueError(
            f"masks={masks}, cells={cells}, probability={probability}: expected masks >= 1, cells >= 1 and a "
            f"probability between 0 and 1."
        )
    source = RandomMasks(masks, cells, probability, seed, tuple(trace.inputs.shape[-2:]))

    def write(b: int) -> Writer:
        picture = trace.inputs[b].to(trace.activations.dtype)
        return lambda buffer, start, stop: blend(picture, source[start:stop].to(picture), None, buffer)

    logits = trace.picture_logits(("rise", masks, cells, probability, seed), masks, write, "random masks")
    scores = trace.network.probabilities(logits)[torch.arange(len(logits)), :, target.to(logits.device)]  # [B, N]
    saliency = torch.zeros(len(scores), *trace.inputs.shape[-2:]).to(scores)
    for start in range(0, masks, 64):
        saliency += torch.einsum("bn,nhw->bhw", scores[:, start : start + 64], source[start : start + 64].to(scores))
    return saliency / (masks * probability)


class RandomMasks:
    """RISE's masks: random cells, linearly enlarged by more than the picture and cropped at a random offset.

    ``masks[start:stop]`` makes that part of them, float32 [n, H, W] in [0, 1]; nothing is kept but cells and offsets.
    """

    def __init__(self, count: int, cells: int, probability: float, seed: int, size: tuple[int, int]) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.grids = (torch.rand(count, cells, cells, generator=generator) < probability).float()
        self.size, self.cells = size, cells
        steps = [math.ceil(side / cells) for side in size]
        self.offsets = torch.stack([torch.randint(0, step, (count,), generator=generator) for step in steps], dim=1)
        self._enlarge = [_enlarging(cells, (cells + 1) * step) for step in steps]

    def __getitem__(self, part: slice) -> Tensor:
        rows, columns = (
            torch.stack([self._enlarge[axis][o : o + side] for o in self.offsets[part, axis].tolist()])
            for axis, side in enumerate(self.size)
        )
        return rows @ self.grids[part] @ columns.mT  # [n, H, cells] · [n, cells, cells] · [n, cells, W]


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
    steps: int = 300,
    learning_rate: float = 0.1,
    l1: float = 1e-4,
    tv: float = 1e-2,
    tv_power: float = 3.0,
    cell: int = 8,
    sigma: float = 10.0,
    jitter: int = 3,
    seed: int = 0,
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

    Raises:
        ValueError: steps or cell below 1, a learning rate or sigma that is not positive, another number below 0.
    """
    least = {"steps": (steps, 1), "cell": (cell, 1), "jitter": (jitter, 0), "l1": (l1, 0), "tv": (tv, 0)}
    if wrong := [f"{name}={given}" for name, (given, lowest) in least.items() if not given >= lowest]:
        raise ValueError(f"{', '.join(wrong)}: expected steps, cell >= 1 and jitter, l1, tv >= 0.")
    if not learning_rate > 0 or not sigma > 0:
        raise ValueError(f"learning_rate={learning_rate}, sigma={sigma}: expected both above 0.")
    weights = (l1, tv, tv_power)
    with progress(steps * len(target), "mask optimization") as advance:
        maps = []
        for b in range(len(target)):
            problem = _Masking(trace, b, int(target[b]), cell, sigma, jitter, seed)
            maps.append(1 - problem.solve(steps, learning_rate, weights, advance))
    return torch.stack(maps).float()


class _Masking:
    """The optimization of one picture's mask."""

    def __init__(self, trace: Trace, b: int, target: int, cell: int, sigma: float, jitter: int, seed: int) -> None:
        with torch.inference_mode(False):
            self.picture = trace.inputs[b : b + 1].clone()
            self.blurred = blurred(self.picture[0], sigma)[None]
            self.enlarge = [_enlarging_smoothly(side, cell).to(self.picture) for side in self.picture.shape[-2:]]
        self.scorer, self.target, self.jitter = trace.scorer(), target, jitter
        self.generator = torch.Generator().manual_seed(seed)

    def solve(self, steps: int, rate: float, weights: tuple[float, float, float], advance) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            values = self.picture.new_ones([matrix.shape[1] for matrix in self.enlarge]).requires_grad_(True)
            adam = torch.optim.Adam([values], lr=rate)
            for _ in range(steps):
                adam.zero_grad()
                values.grad = torch.autograd.grad(self._objective(values, *weights), values)[0]
                adam.step()
                values.data.clamp_(0, 1)
                advance(1)
            return self._smooth(values).detach()

    def _objective(self, values: Tensor, l1: float, tv: float, power: float) -> Tensor:
        m = self._smooth(values)
        shift = [int(torch.randint(0, self.jitter + 1, (1,), generator=self.generator)) for _ in range(2)]
        picture, blurred = (torch.roll(shown, shift, dims=(2, 3)) for shown in (self.picture, self.blurred))
        shown = m * picture + (1 - m) * blurred
        probability = self.scorer.network.probabilities(self.scorer.run(shown))[0, self.target]
        down, right = values[..., 1:, :-1] - values[..., :-1, :-1], values[..., :-1, 1:] - values[..., :-1, :-1]
        rough = ((down**2 + right**2 + 1e-20) ** (power / 2)).sum()
        return probability + l1 * (1 - values).abs().sum() + tv * rough

    def _smooth(self, values: Tensor) -> Tensor:
        """The mask at the size of the picture, [H, W]: cells enlarged, then blurred, both linear in each direction."""
        rows, columns = self.enlarge
        return rows @ values @ columns.mT


def _enlarging_smoothly(side: int, cell: int) -> Tensor:
    """Matrix [side, cells] that repeats every value ``cell`` times and blurs the result, mirrored at the ends."""
    repeated = torch.eye(math.ceil(side / cell), dtype=torch.float64).repeat_interleave(cell, dim=0)[:side]
    radius = min(round(4 * _MASK_SIGMA), side - 1)
    return torch.from_numpy(gaussian_filter1d(repeated.numpy(), _MASK_SIGMA, axis=0, mode="mirror", radius=radius))
