"""RISE and Mask: the masks they draw, the sums they take, five steps of Adam by hand."""

from __future__ import annotations

import helpers
import numpy as np
import pytest
import skimage.transform
import torch
from score_cases import Case, case, every_living_case, made, pictures, recorded, recording
from torch import Tensor

from camlib import METHODS
from camlib.compendium.loops.plain import SIZE, blur, gaussian


def rise_masks(chosen: Case, ones: Tensor, count: int, **options: object) -> tuple[Tensor, Tensor]:
    """(saliency [H, W], the masks [count, H, W]): of a picture of ones nothing but the mask reaches the network."""
    trace, target, found = chosen.trace(ones), torch.tensor([1]), []
    rise = METHODS["rise"].function
    rise(trace, target, masks=2, seed=99)  # whatever is measured once is measured now
    seen = recorded(lambda: found.append(rise(trace, target, masks=count, **options)))
    assert len(seen) == count
    assert torch.equal(seen[:, 0], seen[:, 1])
    assert torch.equal(seen[:, 0], seen[:, 2])
    return found[0][0], seen[:, 0]


@pytest.mark.parametrize("options", [{}, {"cells": 4, "probability": 0.3}])
def test_rise_is_the_mean_of_masks_weighted_by_probability(options):
    """S = 1/(N·p1) Σ p_c(x·M_i)·M_i (Petsiuk et al. 2018)."""
    ones = torch.ones(1, 3, *SIZE).double()
    found, masks = rise_masks(recording(), ones, 50, **options)
    expected = torch.zeros(SIZE).double()
    with torch.no_grad():
        for mask in masks:
            expected += recording().p(mask.expand(3, -1, -1), 1) * mask
    expected /= 50 * options.get("probability", 0.5)
    assert helpers.relative(found, expected) < 1e-5


@pytest.mark.parametrize(("probability", "cells"), [(0.5, 7), (0.1, 8)])
def test_rise_masks_have_the_mean_and_range_that_the_paper_says(probability, cells):
    _, masks = rise_masks(recording(), torch.ones(1, 3, *SIZE).double(), 1000, probability=probability, cells=cells)
    assert float(masks.min()) >= 0
    assert float(masks.max()) <= 1
    means = masks.mean(dim=(1, 2))
    assert float(means.mean()) == pytest.approx(probability, abs=5 * float(means.std()) / 1000**0.5)
    assert masks.flatten(1).unique(dim=0).shape[0] > 990  # not one mask again and again
    places = masks.mean(dim=0)  # no place is preferred
    assert float((places - probability).abs().max()) < 6 * (probability * (1 - probability) / 1000) ** 0.5


def test_rise_masks_are_crops_of_an_enlarged_grid_of_zeros_and_ones():
    """Cells of ceil(H/s) pixels, an (s+1)-cell canvas, a crop at an offset below one cell: fitted for every offset."""
    cells, cell = 4, 8
    _, masks = rise_masks(recording(), torch.ones(1, 3, *SIZE).double(), 40, cells=cells)
    canvas = torch.from_numpy(  # rows: pixels of the canvas, columns: cells of the grid
        skimage.transform.resize(
            np.eye(cells), ((cells + 1) * cell, cells), order=1, mode="reflect", anti_aliasing=False
        )
    )
    crops = [canvas[start : start + 32] for start in range(cell)]
    inverses = [torch.linalg.pinv(crop) for crop in crops]
    offsets = set()
    for mask in masks:
        fits = {}
        for i in range(cell):
            for j in range(cell):
                grid = inverses[i] @ mask @ inverses[j].T
                error = float((crops[i] @ grid @ crops[j].T - mask).abs().max())
                binary = bool(((grid - grid.round()).abs() < 1e-4).all())
                if error < 1e-5 and binary:
                    fits[i, j] = grid
        assert fits, "no grid of zeros and ones explains the mask"
        offsets |= set(fits)
    assert {i for i, _ in offsets} == {j for _, j in offsets} == set(range(cell))


def test_rise_depends_on_its_seed_alone():
    chosen, x = case("gap"), pictures()
    torch.manual_seed(1)
    first = made("rise", chosen, x, masks=20, seed=3)
    torch.manual_seed(2)
    assert torch.equal(first, made("rise", chosen, x, masks=20, seed=3))
    assert not torch.equal(first, made("rise", chosen, x, masks=20, seed=4))


def mask_loop(
    net: Case,
    picture: Tensor,
    c: int,
    steps: int,
    learning_rate: float = 0.1,
    l1: float = 1e-4,
    tv: float = 1e-2,
    tv_power: float = 3.0,
    cell: int = 8,
    sigma: float = 10.0,
) -> tuple[Tensor, list[float]]:
    """Fong and Vedaldi 2017 without jitter: (1 - M [H, W], the objective in front of every step); Adam by hand."""
    hidden = blur(picture, sigma)
    values = torch.ones(32 // cell, 32 // cell).double()
    first, second, objectives = torch.zeros_like(values), torch.zeros_like(values), []

    def smooth(m: Tensor) -> Tensor:
        return blur(m.repeat_interleave(cell, dim=0).repeat_interleave(cell, dim=1), 5.0)

    for step in range(1, steps + 1):
        with torch.enable_grad():
            m = values.clone().requires_grad_(True)
            mask = smooth(m)
            down, right = m[1:, :-1] - m[:-1, :-1], m[:-1, 1:] - m[:-1, :-1]
            objective = (
                net.p(picture * mask + hidden * (1 - mask), c)
                + l1 * (1 - m).abs().sum()
                + tv * ((down**2 + right**2) ** (tv_power / 2)).sum()
            )
            (g,) = torch.autograd.grad(objective, m)
        objectives.append(objective.item())
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        move = (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        values = (values - learning_rate * move).clamp(0, 1)
    return 1 - smooth(values).detach(), objectives


@pytest.mark.parametrize(
    "options", [{}, {"learning_rate": 0.05, "l1": 2e-5, "tv": 0.1, "tv_power": 2.0, "cell": 4, "sigma": 3.0}], ids=str
)
@every_living_case
def test_mask_equals_five_steps_of_adam_by_hand(name, options):
    chosen, x, classes = case(name), pictures(), (0, 2)
    found = made("mask", chosen, x, classes, steps=5, jitter=0, **options)
    assert found.shape == (2, *SIZE)
    expected = [mask_loop(chosen, one, c, 5, **options)[0] for one, c in zip(x, classes, strict=True)]
    torch.testing.assert_close(found.double(), torch.stack(expected), rtol=0, atol=1e-5)
    assert float(torch.stack(expected).max()) > 0.1


@pytest.mark.parametrize("jitter", [0, 3])
def test_mask_takes_the_class_away(jitter):
    """Behind the learned mask the class is less probable than in the picture; the objective falls on the way."""
    chosen, x = case("mlp-max"), pictures(1)
    saliency = made("mask", chosen, x, (0,), steps=30, jitter=jitter)[0].double()
    assert float(saliency.min()) >= 0
    assert float(saliency.max()) <= 1
    with torch.no_grad():
        hidden = blur(x[0], 10.0)
        before, after = chosen.p(x[0], 0), chosen.p(x[0] * (1 - saliency) + hidden * saliency, 0)
    assert float(after) < 0.3 * float(before)
    _, objectives = mask_loop(chosen, x[0], 0, 30)
    assert objectives[-1] < 0.3 * objectives[0]


def test_mask_is_random_through_its_jitter_alone():
    """Without jitter no seed matters; with it the seed alone does (Wang et al. 2019 call Mask random)."""
    chosen, x = case("gap"), pictures(1)
    runs = {(j, s): made("mask", chosen, x, (1,), steps=5, jitter=j, seed=s) for j in (0, 3) for s in (1, 2)}
    assert torch.equal(runs[0, 1], runs[0, 2])
    assert not torch.equal(runs[3, 1], runs[3, 2])
    torch.manual_seed(5)
    assert torch.equal(runs[3, 1], made("mask", chosen, x, (1,), steps=5, jitter=3, seed=1))


def test_the_picture_moves_under_the_mask_and_not_the_mask_with_it():
    """Jitter shifts picture and blur, then the mask is laid over them (METHODS 1.19).

    A checkerboard of ±1 whose blur is 0 shows the mask itself as absolute value: it has to be a grid of 4x4 values,
    enlarged and blurred, in every step.
    """
    i, j = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    board = ((-1.0) ** (i + j)).double().expand(1, 3, -1, -1)
    assert float(blur(board[0], 10.0).abs().max()) < 1e-3
    trace, mask = recording().trace(board), METHODS["mask"].function
    mask(trace, torch.tensor([1]), steps=1)
    seen = recorded(lambda: mask(trace, torch.tensor([1]), steps=12, jitter=3))
    shown = seen[-12:, 0]
    grid = gaussian(32, 5.0, 20) @ torch.eye(4).double().repeat_interleave(8, dim=0)  # [32, 4]
    inverse = torch.linalg.pinv(grid)
    masks = shown.abs()
    fitted = grid @ (inverse @ masks @ inverse.T) @ grid.T
    assert len({float(sign) for sign in shown[:, 16, 16].sign()}) == 2  # the board did move
    assert float((masks[-1] - masks[0]).abs().max()) > 0.05  # and the mask was learned
    assert float((masks - fitted).abs().max()) < 2e-3
