"""Average drop and increase, deletion and insertion: closed forms, the papers' loops written out, other libraries."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from helpers import SIZE, Gap, Trainable, batch, network, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from camlib import Network
from camlib.metrics import (
    METRICS,
    Curve,
    Sample,
    area_under_curve,
    control_samples,
    deletion_curve,
    insertion_curve,
    masked_probability,
    probability_score,
    shown_part,
)
from camlib.metrics.curves import changed_pixels
from camlib.metrics.substrates import rise_blur, substrate_of

NET = network(seeded(Gap))
PICTURE = batch(1)[0]
FEW = settings(max_examples=25, deadline=None)


class StandIn:
    """``Scorer`` with a function of pictures [n, 3, H, W] -> probability [n] in the place of a network."""

    network = network(seeded(Gap))  # its outputs are a softmax's

    def __init__(self, probability: Callable[[Tensor], Tensor], shape: tuple[int, ...], rows: int = 4) -> None:
        self.probability, self.pictures = probability, 0
        self.buffer = torch.empty(rows, *shape, dtype=torch.float64).contiguous(memory_format=torch.channels_last)

    def logits(self, count: int, write: Callable[[Tensor, int, int], None], what: str) -> Tensor:
        made = []
        for start in range(0, count, len(self.buffer)):
            stop = min(start + len(self.buffer), count)
            with torch.inference_mode():
                write(self.buffer[: stop - start], start, stop)
                p = self.probability(self.buffer[: stop - start])
            made.append(torch.stack([p.log(), (1 - p).log()], dim=1))  # softmax gives p back
            self.pictures += stop - start
        return torch.cat(made)


def brightness(pictures: Tensor) -> Tensor:
    """A "network" that one can follow with a pencil: the mean of all pixels."""
    return pictures.mean(dim=(1, 2, 3))


def sample_of(inputs: Tensor, heatmap: Tensor, probability: Callable[[Tensor], Tensor] = brightness) -> Sample:
    scorer = StandIn(probability, tuple(inputs.shape))
    return Sample.of(NET, inputs, heatmap, 0, probability_score(scorer))


def gray(values: Tensor) -> Tensor:
    """[H, W] -> [3, H, W], float64."""
    return values.double().expand(3, -1, -1).contiguous()


def random_heatmap(seed: int, size: tuple[int, int] = (SIZE, SIZE), distinct: bool = True) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    pixels = size[0] * size[1]
    if distinct:
        return (torch.randperm(pixels, generator=generator).float() / (pixels - 1)).view(size)
    return torch.rand(size, generator=generator).mul(4).floor() / 3  # many ties, many zeros


def plain_probability(net: Network, picture: Tensor, target: int) -> float:
    """p_c by the module itself, one picture at a time."""
    with torch.no_grad():
        return float(net.module(picture[None]).softmax(dim=1)[0, target])


# -- average drop and increase


def test_drop_is_the_share_of_brightness_that_the_map_hides():
    heatmap = torch.tensor([[1.0, 0.5], [0.25, 0.0]])
    sample = sample_of(gray(torch.tensor([[0.8, 0.4], [0.4, 0.4]])), heatmap)
    assert sample.probability == pytest.approx(0.5)
    # O = (0.8 + 0.2 + 0.1 + 0)/4 = 0.275
    assert masked_probability(sample) == pytest.approx(0.275)
    assert METRICS["average-drop"](sample) == pytest.approx(45)
    assert METRICS["average-increase"](sample) == 0


def test_half_keeps_two_of_four_pixels_and_their_soft_values():
    heatmap = torch.tensor([[1.0, 0.5], [0.25, 0.125]])
    sample = sample_of(gray(torch.full((2, 2), 0.8)), heatmap)
    assert METRICS["average-drop"](sample) == pytest.approx(100 * (1 - 1.875 / 4))
    assert METRICS["average-drop-half"](sample) == pytest.approx(100 * (1 - 1.5 / 4))
    assert METRICS["average-drop-binary"](sample) == pytest.approx(50)


def test_an_increase_is_one_whatever_its_size():
    darker_is_better = lambda pictures: 1 - brightness(pictures)  # noqa: E731
    sample = sample_of(gray(torch.full((2, 2), 0.5)), torch.tensor([[1.0, 1.0], [1.0, 0.9]]), darker_is_better)
    assert METRICS["average-increase"](sample) == 100
    assert METRICS["average-drop"](sample) == 0


def test_all_in_and_nothing_in():
    sample = sample_of(gray(torch.full((3, 3), 0.5)), torch.ones(3, 3))
    assert METRICS["average-drop"](sample) == 0
    empty = sample.with_heatmap(torch.zeros(3, 3))
    assert empty.empty
    for name in ("average-drop", "average-drop-half", "average-drop-binary"):
        assert METRICS[name](empty) == 100


@pytest.mark.parametrize(
    ("heatmap", "half", "binary"),
    [
        # 9 pixels: floor(9/2) = 4 stay; of four equal ones the first three in raster order
        ([[1, 2, 1], [0, 1, 0], [0, 1, 0]], [[1, 2, 1], [0, 1, 0], [0, 0, 0]], [[1, 1, 1], [0, 1, 0], [0, 0, 0]]),
        # more than half zeros: its own half, and no zero is shown by the binary mask
        ([[0, 0, 2], [0, 0, 1], [0, 0, 0]], [[0, 0, 2], [0, 0, 1], [0, 0, 0]], [[0, 0, 1], [0, 0, 1], [0, 0, 0]]),
        ([[2, 2, 2], [2, 2, 2], [2, 2, 2]], [[2, 2, 2], [2, 0, 0], [0, 0, 0]], [[1, 1, 1], [1, 0, 0], [0, 0, 0]]),
    ],
)  # fmt: skip
def test_what_half_of_the_pixels_show(heatmap, half, binary):
    heatmap = torch.tensor(heatmap) / 2
    assert torch.equal(shown_part(heatmap), heatmap)
    assert (2 * shown_part(heatmap, "half")).tolist() == half
    assert shown_part(heatmap, "binary-half").tolist() == binary


@pytest.mark.parametrize("filler", ["mean", "black", "white"])
@pytest.mark.parametrize("pixels", ["all", "half"])
def test_drop_of_a_network_is_that_of_the_equation(pixels, filler):
    heatmap, target = random_heatmap(3, distinct=False), 2
    sample = Sample.of(NET, PICTURE, heatmap, target)
    hidden = {"mean": 0.0, "black": (0 - 0.5) / 0.25, "white": (1 - 0.5) / 0.25}[filler]
    shown = heatmap.double()
    if pixels == "half":
        ranking = sorted(range(SIZE * SIZE), key=lambda i: (-float(heatmap.flatten()[i]), i))
        shown.view(-1)[ranking[SIZE * SIZE // 2 :]] = 0
    clean = plain_probability(NET, PICTURE, target)
    masked = plain_probability(NET, PICTURE * shown + hidden * (1 - shown), target)
    assert METRICS["average-drop"](sample, pixels=pixels, filler=filler) == pytest.approx(
        100 * max(0, clean - masked) / clean, abs=1e-9
    )
    assert METRICS["average-increase"](sample, pixels=pixels, filler=filler) == 100 * (clean < masked)
    assert abs(clean - masked) > 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_ones_control_is_exactly_no_drop_and_no_increase_on_a_folded_network(dtype):
    net = network(seeded(Trainable, dtype=dtype))
    for seed in range(8):
        inputs = torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
        sample = Sample.of(net, inputs, random_heatmap(seed), seed % 5)
        ones = control_samples(sample)["all-ones"]
        assert METRICS["average-drop"](ones) == METRICS["average-increase"](ones) == 0.0


def test_a_probability_of_zero_has_nothing_to_drop():
    sample = sample_of(torch.zeros(3, 2, 2, dtype=torch.float64), torch.ones(2, 2))
    assert sample.probability == 0
    assert METRICS["average-drop"](sample) == 0


@FEW
@given(seed=st.integers(0, 10**6), height=st.integers(1, 7), width=st.integers(1, 7))
def test_drops_are_percentages_and_exclude_an_increase(seed, height, width):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(height, width, generator=generator, dtype=torch.float64)
    inputs = torch.randn(3, height, width, generator=generator, dtype=torch.float64)
    sample = sample_of(inputs, random_heatmap(seed, (height, width), distinct=False), partial(_logistic, weights))
    for suffix in ("", "-half", "-binary"):
        drop, increase = METRICS["average-drop" + suffix](sample), METRICS["average-increase" + suffix](sample)
        assert 0 <= drop <= 100
        assert increase in (0, 100)
        assert drop == 0 or increase == 0


def _logistic(weights: Tensor, pictures: Tensor) -> Tensor:
    return (pictures.mean(dim=1) * weights).sum(dim=(1, 2)).sigmoid()


# -- curves: known answers


def test_curves_of_brightness_by_hand():
    values = torch.tensor([[0.1, 0.4], [0.3, 0.0]])
    sample = sample_of(gray(values), values / 0.4)  # order: 0.4, 0.3, 0.1, 0.0
    fractions, probabilities = deletion_curve(sample, step=1)
    assert fractions == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert probabilities == pytest.approx([0.2, 0.1, 0.025, 0, 0])
    inserted = insertion_curve(sample, step=1, substrate="mean")
    assert inserted.probabilities == pytest.approx([0, 0.1, 0.175, 0.2, 0.2])
    assert METRICS["deletion"](sample, step=1) == pytest.approx(0.225 / 4)
    assert METRICS["insertion"](sample, step=1, substrate="mean") == pytest.approx(0.575 / 4)
    assert METRICS["overall"](sample, step=1, inserted="mean") == pytest.approx(0.35 / 4)


def test_equal_pixels_go_in_raster_order_also_in_an_empty_map():
    values = torch.arange(6.0).view(2, 3) / 6
    for heatmap in (torch.zeros(2, 3), torch.ones(2, 3), torch.full((2, 3), 0.5)):
        curve = deletion_curve(sample_of(gray(values), heatmap), step=1)
        assert curve.probabilities * 36 == pytest.approx([15, 15, 14, 12, 9, 5, 0])
    heatmap = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    curve = deletion_curve(sample_of(gray(values), heatmap), step=1)
    assert curve.probabilities * 36 == pytest.approx([15, 13, 9, 9, 8, 5, 0])


def test_a_map_that_finds_what_counts_is_faithful_and_its_opposite_is_not():
    values = torch.rand(8, 8, generator=torch.Generator().manual_seed(1))
    good = sample_of(gray(values), values / values.max())
    bad = good.with_heatmap(1 - good.heatmap)
    for name in ("deletion", "deletion-1-percent", "insertion-1-percent"):
        better = METRICS[name](good) - METRICS[name](bad)
        assert better < -0.05 if METRICS[name].better == "lower" else better > 0.05
    assert METRICS["overall"](good, inserted="mean") > 0.1 > -0.1 > METRICS["overall"](bad, inserted="mean")


@pytest.mark.parametrize(
    ("pixels", "step", "counts"),
    [
        (10, 4, [0, 4, 8, 10]),
        (10, 5, [0, 5, 10]),
        (10, 99, [0, 10]),
        (10, 0.25, [0, 2, 5, 8, 10]),  # 2.5 and 7.5 to the even neighbor
        (10, 0.3, [0, 3, 6, 9, 10]),
        (10, 1.0, [0, 10]),
        (10, 1, list(range(11))),
        (3, 0.01, [0, 1, 2, 3]),  # a share below one pixel repeats no point
        (224 * 224, 1 / 28, list(range(0, 224 * 224 + 1, 224 * 8))),  # RISE for data sets
        (224 * 224, 1 / 224, list(range(0, 224 * 224 + 1, 224))),  # RISE for single pictures
    ],
)
def test_numbers_of_changed_pixels(pixels, step, counts):
    assert changed_pixels(pixels, step) == counts


def test_the_protocol_of_score_cam_s_second_paper_has_an_empty_canvas_at_both_ends():
    inputs = gray(torch.rand(20, 20, generator=torch.Generator().manual_seed(3)))
    sample = sample_of(inputs, random_heatmap(3, (20, 20)))
    deleted = literal_brightness(sample, step=4)
    assert METRICS["deletion-1-percent"](sample) == pytest.approx(trapezoid(deleted, dx=0.01))
    assert METRICS["insertion-1-percent"](sample) == pytest.approx(trapezoid(deleted[0] - deleted, dx=0.01))
    assert METRICS["insertion"](sample, step=0.01) > METRICS["insertion-1-percent"](sample) + 0.1  # RISE starts blurred


def literal_brightness(sample: Sample, step: int) -> np.ndarray:
    """Brightness that is left when the highest pixels, ``step`` more each time, are set to 0."""
    values, order = sample.inputs[0].numpy().ravel(), np.argsort(-sample.heatmap.numpy().ravel())
    left = [values.sum() - values[order[:count]].sum() for count in range(0, values.size + 1, step)]
    return np.array(left) / values.size


def test_one_percent_is_one_hundred_steps():
    counts = np.array(changed_pixels(224 * 224, 0.01))
    assert len(counts) == 101
    assert np.abs(counts - np.linspace(0, 224 * 224, 101)).max() <= 0.5


def test_a_step_of_one_pixel_and_a_step_of_everything_are_kept_apart():
    sample = sample_of(gray(torch.rand(2, 2)), torch.rand(2, 2))
    assert len(deletion_curve(sample, step=1).fractions) == 5
    assert len(deletion_curve(sample, step=1.0).fractions) == 2


# -- curves: the loop of the papers


def literal_curve(net: Network, before: Tensor, after: Tensor, heatmap: Tensor, step: int, target: int) -> list[float]:
    """RISE, pixel after pixel: score, then move ``step`` pixels, the highest first, the earlier of equal ones first."""
    height, width = heatmap.shape
    order = sorted((-float(heatmap[y, x]), y, x) for y in range(height) for x in range(width))
    picture, scores = before.clone(), [plain_probability(net, before, target)]
    for start in range(0, len(order), step):
        for _, y, x in order[start : start + step]:
            picture[:, y, x] = after[:, y, x]
        scores.append(plain_probability(net, picture, target))
    return scores


@pytest.mark.parametrize("step", [64, 100])
@pytest.mark.parametrize("substrate", ["mean", "black", "white", "blur", "gaussian", "noise picture"])
def test_curves_are_those_of_the_loop(substrate, step):
    net, target = network(seeded(Gap), (32, 20)), 3
    inputs = batch(1)[0, :, :, :20].contiguous()
    heatmap = random_heatmap(5, (32, 20), distinct=False)
    if substrate == "noise picture":
        substrate = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    sample = Sample.of(net, inputs, heatmap, target)
    empty = substrate_of(sample, substrate)
    deleted = deletion_curve(sample, step=step, substrate=substrate)
    inserted = insertion_curve(sample, step=step, substrate=substrate)
    assert deleted.probabilities == pytest.approx(literal_curve(net, inputs, empty, heatmap, step, target), abs=1e-12)
    assert inserted.probabilities == pytest.approx(literal_curve(net, empty, inputs, heatmap, step, target), abs=1e-12)
    assert deleted.fractions[:2] == pytest.approx([0, step / 640])
    assert np.ptp(deleted.probabilities) > 1e-3


def test_auc_is_that_of_rise_for_equal_steps_and_weighs_a_shorter_last_step_as_it_is():
    """The authors' formula takes every step as a whole one."""

    def authors(p):
        return (p.sum() - p[0] / 2 - p[-1] / 2) / (len(p) - 1)

    sample = Sample.of(NET, PICTURE, random_heatmap(7), 1)
    even, uneven = deletion_curve(sample, step=64), deletion_curve(sample, step=1000)
    assert even.auc == pytest.approx(authors(even.probabilities), abs=1e-12)
    first, second, third = uneven.probabilities
    assert uneven.auc == pytest.approx(1000 / 1024 * (first + second) / 2 + 24 / 1024 * (second + third) / 2)
    assert abs(uneven.auc - authors(uneven.probabilities)) > 1e-4


# -- curves: properties


@FEW
@given(seed=st.integers(0, 10**6), height=st.integers(1, 6), width=st.integers(1, 6), step=st.integers(1, 40))
def test_curves_begin_and_end_at_the_clean_and_the_blank_picture(seed, height, width, step):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(height, width, generator=generator, dtype=torch.float64)
    inputs = torch.randn(3, height, width, generator=generator, dtype=torch.float64)
    score = partial(_logistic, weights)
    sample = sample_of(inputs, random_heatmap(seed, (height, width), distinct=False), score)
    clean, blank = float(score(inputs[None])), 0.5  # the sigmoid of 0
    deleted, inserted = deletion_curve(sample, step=step), insertion_curve(sample, step=step, substrate="mean")
    assert sample.probability == pytest.approx(clean)
    assert (deleted.probabilities[0], deleted.probabilities[-1]) == pytest.approx((clean, blank))
    assert (inserted.probabilities[0], inserted.probabilities[-1]) == pytest.approx((blank, clean))
    for curve in (deleted, inserted):
        assert (curve.fractions[0], curve.fractions[-1]) == (0, 1)
        assert (np.diff(curve.fractions) > 0).all()
        assert curve.probabilities.min() - 1e-12 <= curve.auc <= curve.probabilities.max() + 1e-12
    assert -1 <= METRICS["overall"](sample, step=step) <= 1


@FEW
@given(seed=st.integers(0, 10**6), step=st.sampled_from([1, 2, 3, 6, 12]))
def test_insertion_of_the_opposite_map_is_deletion_read_backwards(seed, step):
    inputs = torch.rand(3, 3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    sample = sample_of(inputs, random_heatmap(seed, (3, 4)))
    opposite = sample.with_heatmap(1 - sample.heatmap)
    deleted = deletion_curve(sample, step=step).probabilities
    inserted = insertion_curve(opposite, step=step, substrate="mean").probabilities
    assert inserted == pytest.approx(deleted[::-1], abs=1e-12)


@FEW
@given(points=st.lists(st.floats(0, 1), min_size=2, max_size=40), seed=st.integers(0, 99))
def test_auc_of_probabilities_is_in_0_to_1_and_between_their_extremes(points, seed):
    gaps = np.random.default_rng(seed).uniform(0.1, 1, len(points) - 1)
    fractions = np.concatenate([[0], gaps.cumsum() / gaps.sum()])
    auc = area_under_curve(fractions, np.array(points))
    assert 0 <= auc <= 1 + 1e-12
    assert min(points) - 1e-12 <= auc <= max(points) + 1e-12
    assert area_under_curve(fractions, 1 - np.array(points)) == pytest.approx(1 - auc)


def test_auc_of_a_straight_line_is_a_half():
    assert Curve(np.array([0, 0.2, 1]), np.array([1, 0.8, 0])).auc == pytest.approx(0.5)


# -- passes: streamed, shared


class LargestTensor(TorchDispatchMode):
    """Inside the block notes the number of elements of the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        made = result if isinstance(result, tuple | list) else (result,)
        self.elements = max([self.elements, *(t.numel() for t in made if isinstance(t, Tensor))])
        return result


def test_a_curve_of_224_steps_never_holds_more_than_one_batch():
    inputs = gray(torch.rand(224, 224, generator=torch.Generator().manual_seed(0)))
    scorer = StandIn(lambda pictures: pictures[:, 0, 0, 0].clamp(0, 1), (3, 224, 224), rows=4)
    sample = Sample.of(NET, inputs, random_heatmap(0, (224, 224)), 0, probability_score(scorer))
    with LargestTensor() as largest:
        curve = insertion_curve(sample, step=224)
    assert len(curve.probabilities) == 225
    assert scorer.pictures == 226  # and the clean picture before
    assert 0 < largest.elements <= 4 * inputs.numel()


def test_metrics_of_one_sample_share_their_passes():
    scorer = StandIn(brightness, (3, 4, 4))
    sample = Sample.of(NET, gray(torch.rand(4, 4)), torch.rand(4, 4), 0, probability_score(scorer))
    names, spent = ["average-drop", "average-increase", "average-drop-half", "deletion", "insertion", "overall"], []
    for name in [*names, "deletion"]:
        before = scorer.pictures
        METRICS[name](sample)
        spent.append(scorer.pictures - before)
    assert spent == [1, 0, 1, 17, 17, 0, 0]  # 16 pixels: 1/28 is less than one
    METRICS["deletion"](sample, step=4)
    assert scorer.pictures - sum(spent) - 1 == 5
    METRICS["average-drop"](sample.with_heatmap(torch.rand(4, 4)))
    assert scorer.pictures - sum(spent) - 6 == 1


# -- blur


def test_rise_blur_is_the_convolution_with_the_blurred_point():
    point = np.zeros((11, 11))
    point[5, 5] = 1
    kernel = gaussian_filter(point, 5)
    assert (kernel[5, 5], kernel[0, 0]) == pytest.approx((0.0088, 0.0077), abs=5e-5)  # nearly a box
    inputs = torch.randn(3, 20, 31, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    expected = np.stack([convolve2d(channel, kernel, mode="same") for channel in inputs.numpy()])
    assert rise_blur(inputs).numpy() == pytest.approx(expected, abs=1e-12)


def test_gaussian_substrate_is_mirrored_at_the_border_and_rise_s_is_not():
    sample = Sample.of(NET, torch.ones(3, SIZE, SIZE, dtype=torch.float64), torch.ones(SIZE, SIZE), 0)
    assert substrate_of(sample, "gaussian", 11, 5.0).numpy() == pytest.approx(1.0)
    assert float(substrate_of(sample, "blur", 11, 5.0)[0, 0, 0]) < 0.4


# -- other libraries


class FixedMap:
    """What torchcam's metrics ask of an extractor, with a map that is given instead of computed."""

    def __init__(self, module: torch.nn.Module, heatmap: Tensor) -> None:
        self.model, self.heatmap = module, heatmap

    def __call__(self, class_idx: object, scores: object) -> list[Tensor]:
        return [self.heatmap[None]]

    def fuse_cams(self, cams: list[Tensor]) -> Tensor:
        return cams[0]

    def _hooks_off(self) -> nullcontext:
        return nullcontext()


SOFTMAX = partial(torch.softmax, dim=-1)


@pytest.mark.parametrize("seed", range(4))
def test_drop_and_increase_agree_with_torchcam_up_to_its_epsilon(seed):
    """torchcam gives fractions and divides by Y + 1e-7: with five classes that is 1e-6 of the drop at most."""
    peer_metrics = pytest.importorskip("torchcam.metrics")
    heatmap, target = random_heatmap(seed, distinct=False), seed
    peer = peer_metrics.ClassificationMetric(FixedMap(NET.module, heatmap.double()), SOFTMAX)
    peer.update(PICTURE[None], target)
    sample = Sample.of(NET, PICTURE, heatmap, target)
    theirs = peer.summary()
    assert METRICS["average-drop"](sample) == pytest.approx(100 * theirs["avg_drop"], rel=2e-6, abs=1e-9)
    assert METRICS["average-increase"](sample) == 100 * theirs["conf_increase"]
    assert METRICS["average-drop"](sample) > 0 or METRICS["average-increase"](sample) > 0


@pytest.mark.parametrize("steps", [16, 20])
@pytest.mark.parametrize("distinct", [True, False])
def test_curves_agree_with_torchcam_on_zeros(steps, distinct):
    """torchcam's ``steps`` are at most so many: each changes ceil(pixels / steps) pixels; ties as ours."""
    peer_metrics = pytest.importorskip("torchcam.metrics")
    heatmap, target = random_heatmap(9, distinct=distinct), 4
    peer = peer_metrics.DeletionInsertionMetric(FixedMap(NET.module, heatmap.double()), SOFTMAX, steps=steps)
    peer.update(PICTURE[None], target)
    theirs = peer.summary()
    sample, step = Sample.of(NET, PICTURE, heatmap, target), -(-SIZE * SIZE // steps)
    assert METRICS["deletion"](sample, step=step) == pytest.approx(theirs["deletion_auc"], rel=1e-6)
    assert METRICS["insertion"](sample, step=step, substrate="mean") == pytest.approx(theirs["insertion_auc"], rel=1e-6)


def test_drop_of_pytorch_grad_cam_is_absolute_and_of_logits_unless_told():
    peer = pytest.importorskip("pytorch_grad_cam.metrics.cam_mult_image")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    target = 2
    for seed in range(8):
        heatmap = random_heatmap(seed, distinct=False)
        arguments = PICTURE[None], heatmap.double().numpy()[None]
        softmax, logit = targets.ClassifierOutputSoftmaxTarget(target), targets.ClassifierOutputTarget(target)
        sample = Sample.of(NET, PICTURE, heatmap, target)
        drop = float(peer.DropInConfidence()(*arguments, [softmax], NET.module)[0])
        assert METRICS["average-drop"](sample) == pytest.approx(100 * drop / sample.probability, rel=1e-4, abs=1e-4)
        increase = float(peer.IncreaseInConfidence()(*arguments, [softmax], NET.module)[0])
        assert METRICS["average-increase"](sample) == 100 * increase
        if drop > 1e-3:
            of_logit = float(peer.DropInConfidence()(*arguments, [logit], NET.module)[0])
            assert abs(of_logit - drop) > 1e-4
            break
    else:
        pytest.fail("no map lowered the probability: nothing was compared")


# -- bad input


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("average-drop", {"pixels": "third"}, r"pixels='third': expected one of \('all', 'half', 'binary-half'\)"),
        ("average-drop", {"filler": "red"}, "filler='red'.*'mean', 'black'"),
        ("deletion", {"step": 0}, r"step=0: expected a whole number of at least 1 or a number above 0"),
        ("deletion", {"step": 1.5}, "step=1.5"),
        ("deletion", {"step": True}, "step=True"),
        ("deletion", {"step": float("nan")}, "step=nan"),
        ("insertion", {"kernel": 10}, "kernel=10, sigma=5.0: expected an odd number"),
        ("insertion", {"sigma": 0.0}, "sigma=0.0"),
        ("insertion", {"substrate": torch.zeros(3, 4, 4)}, r"is \[3, 4, 4\]; expected the picture's \[3, 32, 32\]"),
        ("deletion", {"blur": 3}, "deletion has no option 'blur'. Its options: step=.*kernel=11"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_named(name, options, words):
    sample = Sample.of(NET, PICTURE, random_heatmap(0), 0)
    with pytest.raises((ValueError, TypeError), match=words):
        METRICS[name](sample, **options)
