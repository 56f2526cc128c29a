"""camlib.plots.method_map: every weighted sum has its place, and the place says what its weights really do."""

import time

import pytest
import torch
from helpers import texts
from matplotlib.patches import FancyBboxPatch

import camlib
from camlib import plots
from camlib.plots.method_map import COSTS, FATES, SHORT, passes_of, place
from camlib.registry import SIGNS, find_method

CHEAP = ["gap-cam", "grad-cam", "xgrad-cam", "hires-cam", "grad-cam++", "layer-cam", "sca-cam", "feature-map"]
SCORES = ["score-cam", "score-cam-cic", "score-cam-binary", "score-cam-softmax", "ablation-cam"]


def weighted_sums():
    return [m for m in camlib.METHODS.values() if m.makes != "pixels" and m.function.__module__.startswith("camlib.")]


def drawn(figure):
    return [text.get_text() for text in texts(figure)]


def toy():
    torch.manual_seed(0)
    body = torch.nn.Sequential(torch.nn.Conv2d(3, 12, 3, stride=4), torch.nn.ReLU())
    head = (torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(12, 5))
    return camlib.Network(torch.nn.Sequential(body, *head).eval(), name="toy"), torch.rand(1, 3, 32, 32)


def test_columns_share_out_all_signs():
    assert sorted(sign for signs in FATES.values() for sign in signs) == sorted(SIGNS)


def test_every_weighted_sum_is_drawn_once():
    names = drawn(plots.method_map())
    for method in weighted_sums():
        assert place(method) is not None, method.name
        assert names.count(SHORT.get(method.name, method.title)) == 1, method.name
    assert set(SHORT) <= set(camlib.METHODS)


@pytest.mark.parametrize("name", CHEAP + SCORES)
def test_column_says_what_the_weights_do(name):
    """On a network with signed gradients: negative weights stand in the first column and nowhere else."""
    net, x = toy()
    fate, _ = place(find_method(name))
    maps = [camlib.explain(net, x, name, target=c, layer="0", relu=False) for c in range(5)]
    weights = torch.stack([e.weights for e in maps])
    if name == "sca-cam":  # squared: the product of a gradient and its own sum, behind global pooling
        weights = weights.mean(dim=(-1, -2))
    negative = bool((weights < -1e-9).any())
    assert negative == (fate == "sign kept"), name
    assert (fate == "no evidence") == bool(torch.allclose(weights, weights[:1].expand_as(weights)))
    if fate == "softmax":
        assert torch.allclose(weights.sum(dim=1), torch.ones(5))


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("1 forward", 1),
        ("1 forward + 2 backward", 3),
        ("1 forward + n (forward + backward), n = 25", 51),
        ("1 forward + 1 backward + G+1 masked, G = 32", 35),
        ("1 forward + hw tails", 50),
        ("1 forward + 10K masked", 12801),
    ],
)
def test_passes_are_counted(words, number):
    assert passes_of(words) == number


def test_words_that_are_no_passes_are_refused():
    with pytest.raises(ValueError, match="1 forward"):
        passes_of("a coffee")


def test_rows_hold_the_costs_of_their_methods():
    assert {place(find_method(n))[1] for n in ("grad-cam", "sca-cam")} == {list(COSTS)[1]}
    assert {place(find_method(n))[1] for n in ("score-cam", "sa-cam", "ablation-cam")} == {list(COSTS)[-1]}


def test_here_is_marked_and_readable():
    figure = plots.method_map(here=("score-cam", "sa-cam"))
    (ax,) = figure.axes
    pills = [patch.get_window_extent() for patch in ax.patches if isinstance(patch, FancyBboxPatch)]

    def held(text):
        box, middle = text.get_window_extent(), sum(text.get_window_extent().intervaly) / 2
        return any(pill.contains(box.x0, middle) and pill.contains(box.x1, middle) for pill in pills)

    inside = {text.get_text() for text in ax.texts if held(text)} - {"you are here"}
    assert inside == {"Score-CAM", "SA-CAM"}
    assert "you are here" in drawn(figure)
    assert "you are here" not in drawn(plots.method_map())
    assert plots.text_problems(figure) == []


def test_a_name_is_enough():
    assert drawn(plots.method_map("grad-cam")) == drawn(plots.method_map(["grad-cam"]))


def test_methods_without_a_place_are_refused():
    with pytest.raises(ValueError, match="no place on the map"):
        plots.method_map(here=("rise",))
    with pytest.raises(ValueError, match="Nearest: score-cam"):
        plots.method_map(here=("scorecam",))


def test_the_map_is_fast():
    plots.method_map()
    start = time.perf_counter()
    plots.method_map(here=("score-cam",))
    assert time.perf_counter() - start < 2  # 0.1 s on a quiet core
