"""What every metric promises, whatever it measures; the sample that all of them read, and the controls."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from helpers import Gap, batch, network, picture, seeded

import camlib.metrics
from camlib import explain
from camlib.metrics import CONTROLS, METRICS, Sample, control_maps, control_samples, find_metric, metric
from camlib.metrics.registry import NEEDS

SIZE = 64
NET = network(seeded(Gap), SIZE)
INPUTS = NET.prepare(picture(0, SIZE, SIZE))[1]
RANGES = {"%": (0, 100), "share": (0, 1), "AUC": (0, 1), "hit": (0, 1), "IoU": (0, 1), "difference of AUC": (-1, 1)}
PRESETS = [name for name in METRICS if name.endswith(("-half", "-binary", "-1-percent"))]


def full_sample(heatmap: torch.Tensor | None = None, seed: int = 0) -> Sample:
    """A sample that has everything any metric may ask for."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, 8, 8, generator=generator)
    up = torch.nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bilinear")[0, 0]
    return Sample.of(
        NET,
        INPUTS,
        (up - up.min()) / (up.max() - up.min()) if heatmap is None else heatmap,
        1,
        boxes=[(8, 8, 40, 32), (36, 30, 60, 64)],
        mask=torch.rand(SIZE, SIZE, generator=generator) > 0.5,
        raw=coarse[0, 0],
        reference=torch.rand(SIZE, SIZE, generator=generator),
    )


# -- every metric


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_a_finite_float_in_the_range_of_its_unit(name):
    low, high = RANGES.get(METRICS[name].unit, (-1, 1))
    for sample in (full_sample(), full_sample(torch.zeros(SIZE, SIZE)), full_sample(torch.ones(SIZE, SIZE))):
        value = METRICS[name](sample)
        assert type(value) is float
        assert low - 1e-9 <= value <= high + 1e-9


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_repeats_and_leaves_its_sample_alone(name):
    sample = full_sample()
    before = {f.name: getattr(sample, f.name) for f in dataclasses.fields(sample)}
    tensors = {key: value.clone() for key, value in before.items() if isinstance(value, torch.Tensor)}
    state = torch.get_rng_state()
    first = METRICS[name](sample)
    assert METRICS[name](full_sample()) == first
    assert all(torch.equal(getattr(sample, key), value) for key, value in tensors.items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_what_it_needs(name):
    found = METRICS[name]
    assert found.missing(full_sample()) == ()
    bare = Sample(NET, INPUTS, torch.ones(SIZE, SIZE), 1, 0.5)
    assert found.missing(bare) == found.needs != ()
    with pytest.raises(ValueError, match=rf"{name} needs .*Sample\.{found.needs[0]}.*this sample has none"):
        found(bare)
    for need in found.needs:  # each of them is really read
        empty = () if need == "boxes" else None
        with pytest.raises(ValueError, match=f"Sample.{need}"):
            found(dataclasses.replace(full_sample(), **{need: empty}))


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_needs_nothing_that_it_does_not_name(name):
    given = full_sample()
    others = {need for need in NEEDS if need not in METRICS[name].needs}
    stripped = dataclasses.replace(given, **{need: () if need == "boxes" else None for need in others})
    assert METRICS[name](stripped) == METRICS[name](given)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_described_by_its_registration(name):
    found = METRICS[name]
    assert found.name == name == find_metric(name).name
    assert found.better in ("higher", "lower")
    assert found.sways.endswith(".")
    assert ". " not in found.sways.removesuffix(".").replace("et al. ", "")  # one sentence
    assert found.source
    assert found.unit
    assert found.summary.endswith(".")
    assert found.function.__module__.startswith("camlib.metrics.")


def test_everything_that_the_papers_measure_is_registered():
    assert set(METRICS) >= {
        *(f"average-{what}{variant}" for what in ("drop", "increase") for variant in ("", "-half", "-binary")),
        *("deletion", "insertion", "deletion-1-percent", "insertion-1-percent", "overall"),
        *("energy-pointing-game", "pointing-game", "grid-pointing-game", "box-iou", "localization-accuracy"),
        *("several-objects-coverage", "class-discrimination", "sanity-ssim", "sanity-spearman", "sanity-hog"),
    }


@pytest.mark.parametrize("name", PRESETS)
def test_a_variant_is_its_function_with_other_defaults(name):
    variant = METRICS[name]
    (plain,) = [m for m in METRICS.values() if m.function is variant.function and m.name not in PRESETS]
    assert variant.options.keys() == plain.options.keys()
    changed = {key: value for key, value in variant.options.items() if value != plain.options[key]}
    assert changed
    assert variant(full_sample()) == plain(full_sample(), **changed)


def test_old_imports_still_work():
    for name in ("Interval", "grid_pointing_share", "pearson", "spearman", "bootstrap_interval", "paired_difference"):
        assert getattr(camlib.metrics, name)
    assert all(getattr(camlib.metrics, name) is not None for name in camlib.metrics.__all__)


# -- registration


def register(name="my-metric", function=None, **changes):
    given = {"better": "higher", "unit": "share", "source": "here", "sways": "Nothing.", **changes}
    return metric(name, **given)(function or (lambda sample, *, factor=2: factor * float(sample.heatmap.mean())))


@pytest.mark.usefixtures("own_registries")
def test_a_new_metric_is_one_decorated_function():
    register()
    sample = Sample(NET, INPUTS, torch.full((SIZE, SIZE), 0.25), 1, 0.5)
    assert METRICS["my-metric"](sample) == 0.5
    assert METRICS["my-metric"](sample, factor=4) == 1.0
    register("my-metric-tripled", METRICS["my-metric"].function, factor=3)
    assert METRICS["my-metric-tripled"](sample) == 0.75
    assert list(METRICS)[-2:] == ["my-metric", "my-metric-tripled"]
    with pytest.raises(TypeError):
        METRICS["other"] = METRICS["my-metric"]


@pytest.mark.usefixtures("own_registries")
@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"name": "My Metric"}, ValueError, "'My Metric' is not kebab-case, like 'average-drop'"),
        ({"name": "average-drop"}, ValueError, "'average-drop' is taken by average_drop"),
        ({"better": "larger"}, ValueError, r"better='larger': expected one of \('higher', 'lower'\)"),
        ({"needs": ["box"]}, ValueError, r"needs=\['box'\]: expected names among .*'boxes'"),
        ({"sways": "nothing"}, ValueError, "sways='nothing': expected one sentence"),
        ({"speed": 3}, TypeError, r"has no option \['speed'\]; it has \['factor'\]"),
        ({"function": lambda sample, other: 0}, TypeError, r"must take \(sample, \*, options"),
        ({"function": lambda *, factor=1: 0}, TypeError, r"must take \(sample, \*, options"),
        ({"function": lambda: 0}, TypeError, r"must take \(sample, \*, options"),
        ({"function": lambda sample, *, factor: 0}, TypeError, r"gives its options \['factor'\] no default"),
    ],
)
def test_a_registration_that_cannot_work_is_refused(changes, error, words):
    with pytest.raises(error, match=words):
        register(**changes)


def test_an_unknown_metric_gets_the_nearest_names():
    with pytest.raises(ValueError, match=r"No metric is called 'avg-drop'\. Nearest: average-drop"):
        find_metric("avg-drop")


# -- sample


def test_the_clean_probability_is_that_of_the_module():
    net, x = network(seeded(Gap)), batch(1)[0]
    expected = net.module(x[None]).softmax(dim=1)[0, 3].item()
    assert Sample.of(net, x, torch.ones(32, 32), 3).probability == pytest.approx(expected, rel=1e-12)


def test_a_sample_of_an_explanation():
    net = network(seeded(Gap, dtype=torch.float32), SIZE)
    explanation = explain(net, picture(1, SIZE, SIZE), "grad-cam", 2)
    inputs = net.prepare(picture(1, SIZE, SIZE))[1]
    sample = Sample.of(net, inputs, explanation.heatmap, explanation.target, raw=explanation.raw)
    assert sample.probability == pytest.approx(explanation.probability, rel=1e-5)
    assert 0 <= METRICS["average-drop"](sample) <= 100


def test_another_heatmap_starts_without_the_results_of_the_first():
    sample = full_sample()
    assert sample.kept("key", lambda: 1) == sample.kept("key", lambda: 2) == 1
    other = sample.with_heatmap(torch.ones(SIZE, SIZE))
    assert other.kept("key", lambda: 2) == 2
    assert other.raw is None
    assert (other.boxes, other.probability, other.score) == (sample.boxes, sample.probability, sample.score)
    assert not sample.empty
    assert other.with_heatmap(torch.zeros(SIZE, SIZE)).empty


MAP = torch.ones(SIZE, SIZE)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": INPUTS[None]}, r"one picture \[3,H,W\]; given \[1, 3, 64, 64\]. Drop the batch axis"),
        ({"heatmap": torch.ones(8, 8)}, r"heatmap is \[8, 8\].*expected \[64, 64\]: use Explanation.heatmap"),
        ({"heatmap": 2 * MAP}, r"values from 2 to 2; expected \[0, 1\]"),
        ({"heatmap": MAP * float("nan")}, "values from nan to nan"),
        ({"reference": -MAP}, "reference has values from -1"),
        ({"mask": MAP}, r"mask is torch.float32 \[64, 64\]; expected bool"),
        ({"mask": torch.ones(2, 2, dtype=torch.bool)}, r"\[2, 2\]; expected bool \[64, 64\]"),
        ({"raw": torch.full((2, 2), float("inf"))}, "raw is one finite map"),
        ({"raw": torch.ones(1, 2, 2)}, r"raw is one finite map \[h,w\]; given \[1, 2, 2\]"),
        ({"probability": 14.2}, "probability=14.2: expected the softmax probability of class 1"),
        ({"probability": float("nan")}, "probability=nan"),
        ({"boxes": [(0, 0, 65, 4)]}, r"box \(0, 0, 65, 4\).*x1 <= 64"),
        ({"boxes": [(4, 0, 4, 4)]}, r"box \(4, 0, 4, 4\): expected 0 <= x0 < x1"),
        ({"boxes": [(0.5, 0, 4, 4)]}, "expected four integers .*resized_boxes rounds"),
        ({"boxes": [(0, 0, 4)]}, "expected four integers"),
    ],
)
def test_a_sample_that_does_not_fit_together_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        Sample(**{"network": NET, "inputs": INPUTS, "heatmap": MAP, "target": 1, "probability": 0.5, **changes})


@pytest.mark.parametrize(
    ("score", "target", "words"),
    [
        (None, 1, "no score, and the metric needs passes"),
        (lambda count, write: torch.ones(count), 0, r"score returned \[29\] for 29 pictures; expected \[29, classes\]"),
        (lambda count, write: torch.ones(count + 1, 2), 0, r"\[30, 2\] for 29 pictures"),
        (lambda count, write: torch.full((count, 2), float("nan")), 0, "NaN or Inf for class 0"),
        (lambda count, write: torch.ones(count, 2), 5, "target=5 is out of range: the network has classes 0 to 1"),
        (lambda count, write: torch.ones(count, 2), -1, "target=-1 is out of range"),
    ],
)
def test_a_broken_score_is_named(score, target, words):
    sample = Sample(NET, INPUTS, MAP, target, 0.5, score=score)
    with pytest.raises(ValueError, match=words):
        camlib.metrics.deletion_curve(sample)


def test_a_target_out_of_range_is_refused_before_the_first_metric():
    with pytest.raises(ValueError, match="target=5 is out of range: the network has classes 0 to 4"):
        Sample.of(NET, INPUTS, MAP, 5)


# -- controls


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize("size", [(64, 48), (7, 7), (1, 1)])
def test_a_control_is_a_heatmap_of_any_size(name, size):
    made = CONTROLS[name](size, 3)
    assert (tuple(made.shape), made.dtype) == (size, torch.float32)
    assert 0 <= float(made.min()) <= float(made.max()) <= 1


def test_controls_are_known_maps():
    maps = control_maps((20, 30), seed=4)
    assert list(maps) == ["all-ones", "random", "center-gaussian"] == list(CONTROLS)
    assert bool((maps["all-ones"] == 1).all())
    gaussian = maps["center-gaussian"].double().numpy()
    y, x = np.mgrid[:20, :30]
    expected = np.exp(-((y - 9.5) ** 2 / (2 * 5**2) + (x - 14.5) ** 2 / (2 * 7.5**2)))
    assert gaussian == pytest.approx(expected / expected.max(), abs=1e-6)


def test_the_random_control_has_a_seed_and_leaves_the_global_one():
    state = torch.get_rng_state()
    first, again, other = (control_maps((32, 32), seed)["random"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert abs(np.corrcoef(first.flatten(), other.flatten())[0, 1]) < 0.5
    assert (float(first.min()), float(first.max())) == (0, 1)
    cells = torch.rand(1, 1, 7, 7, generator=torch.Generator().manual_seed(1))  # as coarse as a last layer
    up = torch.nn.functional.interpolate(cells, (32, 32), mode="bilinear", align_corners=False)[0, 0]
    assert torch.allclose(first, (up - up.min()) / (up.max() - up.min()), atol=1e-6)
    assert torch.equal(torch.get_rng_state(), state)


def test_control_samples_keep_picture_class_and_ground_truth():
    sample = full_sample()
    controls = control_samples(sample, seed=5)
    assert list(controls) == list(CONTROLS)
    for name, control in controls.items():
        assert torch.equal(control.heatmap, control_maps((SIZE, SIZE), 5)[name])
        assert (control.inputs is sample.inputs, control.target, control.boxes) == (True, 1, sample.boxes)
    assert METRICS["energy-pointing-game"](controls["all-ones"]) == pytest.approx(camlib.metrics.area_share(sample))
    assert METRICS["average-drop"](controls["all-ones"]) == METRICS["average-increase"](controls["all-ones"]) == 0
