"""Pictures changed to mislead a network: signs of the gradient, squares of one gray level, cores in foreign pictures.

All of it is seeded, and nothing touches the network. Pictures in [0, 1] are what :meth:`camlib.Network.prepare` returns
first; normalized ones are what it returns second.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from foolbox import PyTorchModel
from foolbox.attacks import LinfFastGradientAttack
from foolbox.criteria import Misclassification
from torch import Tensor, nn

from camlib.engine.masking import constant_color
from camlib.engine.scoring import Scorer
from camlib.networks import Network

# -- the fast gradient sign method


def fgsm(network: Network, pictures: Tensor, targets: Sequence[int | str] | Tensor, epsilon: float) -> Tensor:
    """Attacked pictures clip(x + ε · sign(∂CE(f(x), c)/∂x), 0, 1), untargeted (Goodfellow et al. 2015), by foolbox.

    The clipping comes before the normalization, so that every result is a picture. A color value whose derivative is
    exactly 0 stays as it was. foolbox and not captum, whose FGSM leaves all derivatives below 1e-6 out: those are most
    of a picture that the network is sure of.

    Args:
        network: the classifier; its parameters collect no gradients.
        pictures: [B, C, H, W] in [0, 1].
        targets: the true class of each picture, as index or name; it is what the attack leads away from.
        epsilon: largest change of a color value, in [0, 1]; 8/255 is eight of 256 levels.

    Returns:
        [B, C, H, W] in [0, 1], in the type and on the device of the pictures.

    Raises:
        ValueError: pictures of another shape or range, another number of targets, an unknown class, an epsilon outside
            [0, 1], or a network whose own transform hides how it normalizes.
    """
    if not network.normalization_known:
        raise ValueError(
            f"{network.name} was given a transform whose mean and standard deviation are unknown, so nothing can be "
            f"clipped to a picture. Give it a camlib.Preprocess."
        )
    if pictures.dim() != 4 or not len(pictures) or not bool(((pictures >= 0) & (pictures <= 1)).all()):
        raise ValueError(
            f"pictures is [B,C,H,W] in [0,1] with at least one picture; given {list(pictures.shape)}"
            + (f" from {float(pictures.min()):.3g} to {float(pictures.max()):.3g}." if pictures.numel() else ".")
        )
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon={epsilon}: expected a number in [0, 1], such as 8 / 255.")
    if len(targets) != len(pictures):
        raise ValueError(f"{len(pictures)} pictures and {len(targets)} targets; expected one true class a picture.")
    classes = network.logits(network.preprocess.normalize(pictures[:1])).shape[1]
    labels = [network.class_index(target, classes) for target in targets]
    with torch.inference_mode(False), torch.enable_grad():
        model = PyTorchModel(_Normalizing(network, pictures).eval(), bounds=(0, 1), device=network.device)
        clean = pictures.detach().clone().to(device=network.device, dtype=network.dtype)
        away = Misclassification(torch.tensor(labels, device=network.device))
        return LinfFastGradientAttack().run(model, clean, away, epsilon=epsilon).detach().to(pictures)


class _Normalizing(nn.Module):
    """A private copy of the network as a function of pictures in [0, 1]; its parameters collect no gradients."""

    def __init__(self, network: Network, pictures: Tensor) -> None:
        super().__init__()
        ready = network.ready(network.check_batch(pictures[:1]))
        self.module, self.run, self.preprocess = ready.copy(), ready.run, network.preprocess

    def forward(self, pictures: Tensor) -> Tensor:
        return self.run(self.module, self.preprocess.normalize(pictures))


# -- one pixel and small squares


def every_corner(size: tuple[int, int], side: int = 1) -> Tensor:
    """Upper left corners (row, column) of all squares inside a picture of ``size`` (H, W), raster order, int64 [n, 2].

    Raises ValueError where no square of this side fits.
    """
    rows, columns = (extent - side + 1 for extent in size)
    if side < 1 or rows < 1 or columns < 1:
        raise ValueError(f"side={side}: expected a square of 1 to {min(size)} pixels in a picture of {tuple(size)}.")
    return torch.cartesian_prod(torch.arange(rows), torch.arange(columns))


def random_corners(size: tuple[int, int], side: int, count: int, seed: int = 0) -> Tensor:
    """``count`` different corners of :func:`every_corner`, drawn uniformly, int64 [count, 2].

    Raises ValueError for a side that does not fit or more corners than there are.
    """
    corners = every_corner(size, side)
    if not 1 <= count <= len(corners):
        raise ValueError(f"count={count}: there are {len(corners)} squares of side {side} in {tuple(size)}.")
    return corners[torch.randperm(len(corners), generator=torch.Generator().manual_seed(seed))[:count]]


def patched_logits(scorer: Scorer, inputs: Tensor, corners: Tensor, side: int, level: float) -> Tensor:
    """Logits of one picture with a square of one gray level at each of n places, [n, classes]; n passes.

    Args:
        scorer: of the network, made once for all of its pictures: ``Scorer(network, batch)``.
        inputs: one normalized picture [C, H, W].
        corners: upper left corners (row, column), int64 [n, 2].
        side: of the square, in pixels.
        level: 0 for black, 1 for white.

    Raises:
        ValueError: another shape, a square that leaves the picture, a level outside [0, 1].
    """
    if inputs.dim() != 3:
        raise ValueError(f"inputs is one normalized picture [C,H,W]; given {list(inputs.shape)}.")
    if corners.dim() != 2 or corners.shape[1] != 2 or corners.is_floating_point() or not len(corners):
        raise ValueError(f"corners is int64 [n, 2], (row, column); given {corners.dtype} {list(corners.shape)}.")
    last = torch.tensor(inputs.shape[-2:]) - side
    if side < 1 or bool(((corners < 0) | (corners > last)).any()):
        raise ValueError(f"A square of side {side} at one of the corners leaves the picture {list(inputs.shape)}.")
    if not 0 <= level <= 1:
        raise ValueError(f"level={level}: expected a gray level in [0, 1], 0 for black and 1 for white.")
    color = constant_color(scorer.network, inputs, level)[:, 0, 0]
    steps = torch.arange(side)
    rows = corners[:, 0, None, None] + steps[:, None]  # [n, side, 1]
    columns = corners[:, 1, None, None] + steps  # [n, 1, side]

    def write(buffer: Tensor, start: int, stop: int) -> None:
        buffer.copy_(inputs)
        item = torch.arange(stop - start)[:, None, None]
        buffer.permute(0, 2, 3, 1)[item, rows[start:stop], columns[start:stop]] = color.to(buffer)

    return scorer.logits(len(corners), write, "squares")


# -- the same channels before and after


def most_active(activations: Tensor, count: int) -> Tensor:
    """1 for the ``count`` channels [B, K, h, w] with the largest sums of each picture, 0 for the others, [B, K, 1, 1].

    Multiplied with the activations it leaves a channel of zeros, which gets no mask from a score method and adds
    nothing. Raises ValueError for a count that is not from 1 to K.
    """
    if activations.dim() != 4 or not 1 <= count <= activations.shape[1]:
        raise ValueError(f"count={count}, activations {list(activations.shape)}: expected [B,K,h,w] and 1 to K.")
    mass = activations.abs().sum(dim=(2, 3))
    best = mass.topk(count, dim=1).indices
    return torch.zeros_like(mass).scatter_(1, best, 1.0)[:, :, None, None]


# -- cores in foreign pictures


def core_mask(heatmap: Tensor, share: float = 0.25) -> Tensor:
    """The floor(share · HW) highest pixels of a heatmap [H, W], bool [H, W]; equal pixels rank in raster order.

    An empty map has its core in the upper left: count it. Raises ValueError for another shape, NaN, or a share that
    gives no pixel or all of them.
    """
    if heatmap.dim() != 2 or not bool(heatmap.isfinite().all()):
        raise ValueError(f"heatmap is one finite map [H,W]; given {list(heatmap.shape)}, perhaps with NaN or Inf.")
    count = int(share * heatmap.numel())
    if not 0 < count < heatmap.numel():
        raise ValueError(f"share={share} makes a core of {count} of {heatmap.numel()} pixels; expected some, not all.")
    mask = torch.zeros(heatmap.numel(), dtype=torch.bool)
    mask[heatmap.detach().cpu().flatten().argsort(descending=True, stable=True)[:count]] = True
    return mask.view(heatmap.shape)


def random_shifts(mask: Tensor, count: int, seed: int = 0) -> Tensor:
    """Translations (down, right) that keep a mask [H, W] fully inside, uniform over all of them, int64 [count, 2].

    The same seed places two masks at the same relative position of their ranges: paired comparisons of cores share
    their luck. A mask that reaches from edge to edge cannot move in that direction. Raises ValueError for an empty mask
    or a count below 1.
    """
    if count < 1:
        raise ValueError(f"count={count}: expected at least one translation.")
    luck = torch.rand(count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    low, high = _range_of(mask)
    return low + (luck * (high - low + 1)).long()


def paste(picture: Tensor, mask: Tensor, shift: Sequence[int] | Tensor, environment: Tensor) -> Tensor:
    """The environment with the masked pixels of a picture at their place plus ``shift`` (down, right), [C, H, W].

    ``picture`` and ``environment`` are [C, H, W], both in [0, 1] or both normalized, ``mask`` is bool [H, W]. Raises
    ValueError for shapes that do not belong together or a shift that moves masked pixels out of the picture.
    """
    if picture.dim() != 3 or environment.shape != picture.shape or mask.shape != picture.shape[1:]:
        raise ValueError(
            f"picture {list(picture.shape)}, mask {list(mask.shape)}, environment {list(environment.shape)}: expected "
            f"[C,H,W], [H,W] and [C,H,W]."
        )
    down, right = (int(step) for step in shift)
    low, high = _range_of(mask)
    if not bool(((torch.tensor([down, right]) >= low) & (torch.tensor([down, right]) <= high)).all()):
        raise ValueError(
            f"shift {(down, right)} moves the core out of the picture; expected {low.tolist()} to {high.tolist()}."
        )
    moved = torch.roll(mask, (down, right), dims=(0, 1))
    return torch.where(moved, torch.roll(picture, (down, right), dims=(1, 2)), environment)


def _range_of(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest translation (down, right) that keep the mask inside, int64 [2] each."""
    if mask.dim() != 2 or mask.dtype != torch.bool or not bool(mask.any()):
        raise ValueError(f"mask is bool [H,W] with at least one pixel; given {mask.dtype} {list(mask.shape)}.")
    places = mask.nonzero().cpu()
    return -places.amin(dim=0), torch.tensor(mask.shape) - 1 - places.amax(dim=0)
