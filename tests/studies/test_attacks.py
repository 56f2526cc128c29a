"""Attacks against closed forms: linear networks, a network that reads one pixel, cores that are pasted."""

import helpers
import pytest
import torch
import torch.nn.functional as F
from captum.robust import FGSM
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from camlib import Network
from camlib.engine.scoring import Scorer
from camlib.studies.attacks import (
    core_mask,
    every_corner,
    fgsm,
    most_active,
    paste,
    patched_logits,
    random_corners,
    random_shifts,
)

SIDE = 12
STD = 0.25


class Linear(nn.Module):
    """Logits (w·x, −w·x) of the normalized picture: however sure, some gradient is left."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, SIDE, SIDE))

    def forward(self, x):
        logit = (x * self.weight).sum(dim=(1, 2, 3))
        return torch.stack([logit, -logit], dim=1)


class OnePixel(nn.Module):
    """Class 0 as long as the red of one pixel lies above 0 in normalized units, gray level 0.5."""

    def __init__(self, row, column):
        super().__init__()
        self.row, self.column = row, column
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        red = self.scale * x[:, 0, self.row, self.column]
        return torch.stack([red, -red], dim=1)


def small(module, **settings):
    return helpers.network(module, SIDE, class_names=["first", "second"], **settings)


def linear(seed=0):
    return small(helpers.seeded(Linear, seed))


def gray(seed=0, count=2, low=0.2, high=0.8):
    """Random pictures that keep away from black and white."""
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(count, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)


# -- the fast gradient sign method


@settings(max_examples=25)
@given(seed=st.integers(0, 50), epsilon=st.floats(0, 0.2), target=st.sampled_from([0, 1]))
def test_logit_of_a_linear_network_moves_by_epsilon_times_the_sum_of_its_weights(seed, epsilon, target):
    network, pictures = linear(seed), gray(seed)
    attacked = fgsm(network, pictures, [target] * 2, epsilon)
    before, after = (network.logits(network.preprocess.normalize(p))[:, 0].double() for p in (pictures, attacked))
    step = epsilon * float(network.module.weight.detach().abs().sum()) / STD
    assert torch.allclose(after - before, torch.full((2,), step if target else -step).double(), atol=2e-4)
    assert attacked.dtype == pictures.dtype


def test_every_attack_is_a_picture_and_clipping_comes_before_the_normalization():
    network, pictures = linear(), gray(low=0.0, high=1.0)
    pictures[0, :, :2], pictures[0, :, -2:] = 0.0, 1.0
    attacked = fgsm(network, pictures, [0, 0], 0.3)
    assert torch.allclose(attacked, (pictures - 0.3 * network.module.weight.detach().sign()).clamp(0, 1), atol=1e-12)
    assert float(attacked.min()) == 0
    assert float(attacked.max()) == 1


@pytest.mark.parametrize("build", [helpers.Gap, lambda: helpers.Pooled(mlp=True), helpers.Trainable])
def test_the_same_pictures_as_autograd_and_as_captum_without_its_threshold(build):
    network = helpers.network(helpers.seeded(build))
    pictures = torch.stack([helpers.picture(seed) for seed in range(3)]).double()
    labels = torch.tensor([4, 0, 2])
    attacked = fgsm(network, pictures, labels, 4 / 255)

    def logits(x):
        return network.module(network.preprocess.normalize(x))

    x = pictures.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits(x), labels, reduction="sum"), x)
    assert torch.allclose(attacked, (pictures + 4 / 255 * gradient.sign()).clamp(0, 1), atol=1e-12)
    peer = FGSM(logits, nn.CrossEntropyLoss(reduction="none"), lower_bound=0, upper_bound=1)
    peer.zero_thresh = 0
    assert torch.allclose(attacked, peer.perturb(pictures.clone().requires_grad_(True), 4 / 255, labels), atol=1e-12)
    assert float((attacked - pictures).abs().max()) <= 4 / 255 + 1e-12


def test_epsilon_zero_changes_nothing_and_names_serve_as_targets():
    network, pictures = linear(), gray()
    assert torch.equal(fgsm(network, pictures, [0, 1], 0), pictures)
    assert torch.equal(fgsm(network, pictures, ["first", "second"], 0.1), fgsm(network, pictures, [0, 1], 0.1))


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_leaves_the_network_alone_in_every_mode(mode):
    module = helpers.seeded(helpers.Trainable).train()
    network = helpers.network(module)
    next(module.parameters()).requires_grad_(False)
    module.fc.weight.grad = torch.ones_like(module.fc.weight)
    before, pictures = helpers.state(module), torch.stack([helpers.picture(0)])
    with mode():
        attacked = fgsm(network, pictures, [1], 0.05)
    helpers.assert_same(before, helpers.state(module))
    assert not attacked.requires_grad
    assert torch.equal(attacked, fgsm(network, pictures, [1], 0.05))


def test_leaves_the_network_alone_when_a_pass_fails():
    module = helpers.seeded(lambda: helpers.FailsLater(helpers.Gap(), RuntimeError)).train()
    module.at = 2
    before = helpers.state(module)
    with pytest.raises(RuntimeError, match="the head fails"):
        fgsm(helpers.network(module), torch.stack([helpers.picture(0)]), [1], 0.05)
    helpers.assert_same(before, helpers.state(module))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pictures": gray()[0]}, r"\[B,C,H,W\] in \[0,1\].*given \[3, 12, 12\]"),
        ({"pictures": gray() * 4 - 2}, r"given \[2, 3, 12, 12\] from -"),
        ({"pictures": gray()[:0], "targets": []}, "at least one picture"),
        ({"pictures": torch.full((2, 3, SIDE, SIDE), torch.nan)}, r"in \[0,1\]"),
        ({"epsilon": -0.1}, "epsilon=-0.1"),
        ({"epsilon": 8}, "8 / 255"),
        ({"targets": [0]}, "2 pictures and 1 targets"),
        ({"targets": [0, 2]}, "Class 2 is out of range"),
    ],
)
def test_bad_input_of_the_attack_is_named(changed, message):
    given_ = {"pictures": gray(), "targets": [0, 1], "epsilon": 0.1} | changed
    with pytest.raises(ValueError, match=message):
        fgsm(linear(), **given_)


def test_an_unknown_normalization_cannot_be_clipped():
    network = Network(helpers.seeded(Linear), transform=lambda photo: torch.zeros(3, SIDE, SIDE))
    with pytest.raises(ValueError, match=r"Give it a camlib\.Preprocess"):
        fgsm(network, gray(), [0, 1], 0.1)


# -- one pixel and small squares


@pytest.mark.parametrize("side", [1, 3, 5])
@pytest.mark.parametrize("level", [0, 1])
def test_a_network_that_reads_one_pixel_flips_only_there(side, level):
    row, column = 4, 9
    network = small(OnePixel(row, column))
    picture = torch.full((3, SIDE, SIDE), 0.2 if level else 0.8)  # dark for the white square, bright for the black one
    inputs = network.preprocess.normalize(picture)
    corners = every_corner((SIDE, SIDE), side)
    logits = patched_logits(Scorer(network, inputs[None]), inputs, corners, side, level)
    clean = int(network.logits(inputs[None]).argmax())
    flipped = {tuple(corner) for corner in corners[logits.argmax(dim=1) != clean].tolist()}
    rows, columns = (range(max(0, at - side + 1), min(at, SIDE - side) + 1) for at in (row, column))
    assert flipped == {(r, c) for r in rows for c in columns}
    assert flipped


@pytest.mark.parametrize("side", [1, 4])
def test_squares_are_those_of_a_plain_loop(side):
    network = helpers.network(helpers.seeded(helpers.Gap))
    picture = helpers.picture(3)
    inputs = network.preprocess.normalize(picture)
    corners = random_corners((32, 32), side, 200, seed=1)
    found = patched_logits(Scorer(network, inputs[None]), inputs, corners, side, 0.75)
    for (row, column), logits in list(zip(corners.tolist(), found, strict=True))[::23]:
        changed = picture.clone()
        changed[:, row : row + side, column : column + side] = 0.75
        expected = network.logits(network.preprocess.normalize(changed)[None])[0]
        assert torch.allclose(logits.float(), expected, atol=1e-5)
    assert torch.equal(inputs, network.preprocess.normalize(picture)), "the picture stays as it was"


def test_one_scorer_serves_all_pictures_of_a_network():
    network = helpers.network(helpers.seeded(helpers.Gap))
    first, second = (network.preprocess.normalize(helpers.picture(seed)) for seed in range(2))
    corners = every_corner((32, 32), 30)
    shared = patched_logits(Scorer(network, first[None]), second, corners, 30, 0)
    assert torch.allclose(shared, patched_logits(Scorer(network, second[None]), second, corners, 30, 0))


def test_corners_are_all_squares_once():
    assert every_corner((2, 3)).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert every_corner((4, 5), 4).tolist() == [[0, 0], [0, 1]]
    drawn = random_corners((6, 7), 2, 30, seed=5)
    assert sorted(drawn.tolist()) == every_corner((6, 7), 2).tolist()
    assert drawn.tolist() != random_corners((6, 7), 2, 30, seed=6).tolist()
    assert torch.equal(drawn[:7], random_corners((6, 7), 2, 7, seed=5))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"inputs": torch.zeros(1, 3, SIDE, SIDE)}, r"one normalized picture \[C,H,W\]"),
        ({"corners": torch.zeros(2, 2)}, "int64"),
        ({"corners": torch.zeros(0, 2, dtype=torch.int64)}, r"\[0, 2\]"),
        ({"corners": torch.tensor([[0, SIDE - 1]])}, "leaves the picture"),
        ({"corners": torch.tensor([[-1, 0]])}, "leaves the picture"),
        ({"side": 0}, "side 0"),
        ({"level": 255}, "0 for black and 1 for white"),
    ],
)
def test_bad_squares_are_named(changed, message):
    network = linear()
    good = {"inputs": torch.zeros(3, SIDE, SIDE), "corners": torch.tensor([[0, 0]]), "side": 2, "level": 0.0}
    with pytest.raises(ValueError, match=message):
        patched_logits(Scorer(network, torch.zeros(1, 3, SIDE, SIDE)), **(good | changed))


@pytest.mark.parametrize(("side", "count", "message"), [(0, 1, "side=0"), (7, 1, "1 to 6"), (6, 3, "there are 2")])
def test_squares_that_do_not_exist_are_named(side, count, message):
    with pytest.raises(ValueError, match=message):
        random_corners((6, 7), side, count)


# -- cores in foreign pictures


def test_core_takes_the_highest_pixels_and_equal_ones_in_raster_order():
    heatmap = torch.tensor([[0.0, 0.5, 0.5], [0.9, 0.5, 0.1]])
    assert core_mask(heatmap, 0.5).tolist() == [[False, True, True], [True, False, False]]
    assert core_mask(torch.zeros(2, 3), 0.4).tolist() == [[True, True, False], [False, False, False]]


@given(seed=st.integers(0, 1000), share=st.floats(0.05, 0.95), levels=st.integers(1, 40))
def test_core_has_its_size_and_nothing_outside_is_higher(seed, share, levels):
    generator = torch.Generator().manual_seed(seed)
    heatmap = torch.randint(0, levels, (7, 9), generator=generator) / levels
    mask = core_mask(heatmap, share)
    assert int(mask.sum()) == int(share * 63)
    assert float(heatmap[mask].min()) >= float(heatmap[~mask].max())


def masks(height=8, width=11):
    """Any mask with at least one pixel."""
    cells = st.lists(st.booleans(), min_size=height * width, max_size=height * width)
    return cells.filter(any).map(lambda values: torch.tensor(values).view(height, width))


@given(mask=masks(), seed=st.integers(0, 100))
def test_pasting_keeps_exactly_the_pixels_of_the_core(mask, seed):
    picture = torch.rand(3, *mask.shape, generator=torch.Generator().manual_seed(seed))
    environment = 2 + torch.rand(3, *mask.shape, generator=torch.Generator().manual_seed(seed + 1))
    for down, right in random_shifts(mask, 3, seed).tolist():
        made, expected = paste(picture, mask, (down, right), environment), environment.clone()
        for row, column in mask.nonzero().tolist():
            expected[:, row + down, column + right] = picture[:, row, column]
        assert torch.equal(made, expected)
        assert int((made < 2).all(dim=0).sum()) == int(mask.sum()), "no pixel is lost at an edge"


def test_shifts_reach_every_place_equally_often_and_no_other():
    mask = torch.zeros(6, 9, dtype=torch.bool)
    mask[1:4, 2:8] = True  # 3 x 6 pixels: up by 1 to down by 2, left by 2 to right by 1
    drawn = [tuple(shift) for shift in random_shifts(mask, 3200).tolist()]
    places = {(down, right) for down in range(-1, 3) for right in range(-2, 2)}
    assert set(drawn) == places
    assert all(140 < drawn.count(place) < 270 for place in places), "200 expected, standard deviation 14"


def test_a_core_from_edge_to_edge_stays_and_shifts_are_paired_by_their_seed():
    mask = torch.zeros(5, 5, dtype=torch.bool)
    mask[2] = True
    shifts = random_shifts(mask, 50, seed=3)
    assert set(shifts[:, 1].tolist()) == {0}
    assert set(shifts[:, 0].tolist()) == {-2, -1, 0, 1, 2}
    lower = torch.roll(mask, 1, dims=0)
    assert torch.equal(random_shifts(lower, 50, seed=3), shifts - torch.tensor([1, 0])), "the same final places"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: core_mask(torch.zeros(1, 4, 4)), r"one finite map \[H,W\]"),
        (lambda: core_mask(torch.full((4, 4), torch.nan)), "NaN"),
        (lambda: core_mask(torch.rand(4, 4), 0.01), "0 of 16 pixels"),
        (lambda: core_mask(torch.rand(4, 4), 1.0), "16 of 16 pixels"),
        (lambda: random_shifts(torch.zeros(4, 4, dtype=torch.bool), 1), "at least one pixel"),
        (lambda: random_shifts(torch.ones(4, 4), 1), "torch.float32"),
        (lambda: random_shifts(torch.ones(4, 4, dtype=torch.bool), 0), "count=0"),
        (lambda: pasted(shift=(0, 1)), r"shift \(0, 1\).*\[-3, 0\] to \[0, 0\]"),
        (lambda: pasted(environment=torch.zeros(3, 4, 5)), r"environment \[3, 4, 5\]"),
        (lambda: pasted(mask=torch.ones(2, 4, dtype=torch.bool)), r"mask \[2, 4\]"),
    ],
)
def test_bad_cores_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def pasted(**changed):
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[3] = True
    good = {"picture": torch.ones(3, 4, 4), "mask": mask, "shift": (0, 0), "environment": torch.zeros(3, 4, 4)}
    return paste(**(good | changed))


# -- the same channels before and after


def test_the_most_active_channels_are_those_with_the_largest_sums_of_each_picture():
    maps = torch.zeros(2, 4, 1, 2)
    maps[0, :, 0, 0] = torch.tensor([1.0, -5.0, 3.0, 0.0])
    maps[1, :, 0, 1] = torch.tensor([0.0, 1.0, 2.0, 4.0])
    kept = most_active(maps, 2)
    assert kept.shape == (2, 4, 1, 1)
    assert kept[:, :, 0, 0].tolist() == [[0, 1, 1, 0], [0, 0, 1, 1]]
    with pytest.raises(ValueError, match="expected"):
        most_active(maps, 5)
