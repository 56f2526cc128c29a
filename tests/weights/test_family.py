"""The wider family against loops transcribed from its papers, closed forms and whole Hessians, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations

import helpers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from head_cases import EXACT, HEADS, TARGETS, every_head, found, head_of, looped, plain_of, smooth, traced
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import camlib
from camlib import METHODS, Trace, framework
from camlib.compendium.loops.averaged import opti_cam_steps
from camlib.compendium.loops.gradient import (
    case_loop,
    eigen_cam_loop,
    finer_cam_loop,
    grad_cam_loop,
    hires_cam_loop,
    shapley_cam_loop,
)
from camlib.compendium.loops.plain import Plain
from camlib.compendium.loops.tail import lift_cam_loop
from camlib.engine.deeplift import contributions
from camlib.weights.contrast import rival_classes

# -- HiResCAM


@every_head
def test_hires_cam_multiplies_element_by_element(build):
    module = build()
    trace = traced(module)
    e = camlib.compare(helpers.network(module), trace.inputs, ["hires-cam"], [TARGETS[0]], "features", relu=False)
    for b, maps in enumerate(trace.activations):
        slopes = hires_cam_loop(plain_of(module), trace.inputs[b], TARGETS[0])
        h = sum(slopes[k] * maps[k] for k in range(6))
        assert helpers.relative(e[b].raw, h) < 1e-6


def test_hires_cam_sums_to_the_logit_behind_one_linear_layer():
    """Draelos and Carin 2020: behind flattened maps and one linear layer Σ H = y − b; Grad-CAM's sum is another."""
    module = helpers.seeded(lambda: helpers.Pooled(nn.Identity(), mlp=False))
    trace = traced(module)
    total = framework.class_activation_map(found("hires-cam", trace), trace.activations).sum(dim=(1, 2))
    expected = torch.stack([trace.logits[b, c] - module.classifier.bias[c] for b, c in enumerate(TARGETS)]).detach()
    assert helpers.relative(total, expected) < EXACT
    averaged = framework.class_activation_map(found("grad-cam", trace), trace.activations).sum(dim=(1, 2))
    assert helpers.relative(averaged, expected) > 0.1


# -- contrast: Finer-CAM and CASE


@every_head
@pytest.mark.parametrize("gamma", [0.0, 0.6, 1.0])
def test_finer_cam_is_grad_cam_of_a_logit_difference(build, gamma):
    module = build()
    trace = traced(module)
    for count in (1, 3, 99):
        weights = found("finer-cam", trace, gamma=gamma, rivals=count)
        expected = looped(finer_cam_loop, module, trace, gamma=gamma, rivals=count)
        assert helpers.relative(weights, expected) < EXACT
    assert gamma or torch.allclose(weights, found("grad-cam", trace), rtol=1e-12, atol=0)


@every_head
def test_finer_cam_weighted_by_probability_differentiates_the_probabilities(build):
    module = build()
    trace = traced(module)
    weights = found("finer-cam", trace, weighting="probability", gamma=0.8)
    expected = looped(finer_cam_loop, module, trace, weighting="probability", gamma=0.8)
    assert helpers.relative(weights, expected) < EXACT
    assert helpers.relative(weights, found("finer-cam", trace, gamma=0.8)) > 1e-4


@every_head
@pytest.mark.parametrize("rivals", [1, 2, 5, [0, 4]])
def test_case_leaves_nothing_of_the_mean_rival(build, rivals):
    module = build()
    trace = traced(module)
    weights = found("case", trace, rivals=rivals)
    assert helpers.relative(weights, looped(case_loop, module, trace, rivals=rivals)) < EXACT
    for b, c in enumerate(TARGETS):
        order = sorted((d for d in range(5) if d != c), key=lambda d: -float(trace.logits[b, d]))
        chosen = order[:rivals] if isinstance(rivals, int) else rivals
        r = sum(grad_cam_loop(plain_of(module), trace.inputs[b], d) for d in chosen)
        assert abs(float(weights[b] @ r)) < 1e-12 * float(weights[b].norm() * r.norm()) + 1e-18


def test_case_needs_no_epsilon():
    """Where gradients are small the authors' 1e-8 in ⟨r, r⟩ would leave Grad-CAM as it is."""
    module, tiny = helpers.seeded(helpers.Gap), helpers.seeded(helpers.Gap)
    with torch.no_grad():
        tiny.fc.weight *= 1e-180
        tiny.fc.bias *= 0
        module.fc.bias *= 0
    a, b = found("case", traced(module)), found("case", traced(tiny))
    assert helpers.relative(b * 1e180, a) < 1e-6
    assert helpers.relative(found("grad-cam", traced(module)), a) > 0.05


def test_rivals_are_never_the_target_and_are_named_when_wrong():
    trace, target = traced(helpers.seeded(helpers.Gap)), torch.tensor(TARGETS)
    assert rival_classes(trace, target, 99, trace.logits).shape == (2, 4)
    for b, c in enumerate(TARGETS):
        assert c not in rival_classes(trace, target, 99, trace.logits)[b]
    assert rival_classes(trace, target, [0, 4], trace.logits).tolist() == [[0, 4], [0, 4]]
    assert rival_classes(trace, target, [1, 3, 4], trace.logits).tolist() == [[3, 4], [1, 4]]
    for rivals, message in (
        (0, "rivals=0"),
        ([0, 0], "different class indices"),
        ([7], "from 0 to 4"),
        ([-1], "from 0 to 4"),
        ([1, 4], "as many rivals"),
        ([], "at least one"),
    ):
        with pytest.raises(ValueError, match=message):
            rival_classes(trace, target, rivals, trace.logits)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("finer-cam", {"gamma": -1}, "gamma=-1: expected"),
        ("finer-cam", {"gamma": math.nan}, "gamma=nan: expected"),
        ("finer-cam", {"weighting": "max"}, "weighting='max': expected one of"),
        ("finer-cam", {"rivals": 0}, "rivals=0"),
        ("case", {"rivals": [9]}, "from 0 to 4"),
        ("shapley-cam", {"score": "probability"}, "score='probability': expected one of"),
        ("opti-cam", {"steps": 0}, "steps=0"),
        ("opti-cam", {"learning_rate": 0}, "learning_rate=0"),
        ("is-cam", {"steps": 0}, "steps=0"),
        ("is-cam", {"path": "up"}, "path='up'"),
        ("is-cam", {"weighting": "raw"}, "weighting='raw'"),
        ("ss-cam", {"samples": 0}, "samples=0"),
        ("ss-cam", {"sigma": -1}, "sigma=-1"),
        ("ss-cam", {"noise": "maps"}, "noise='maps'"),
        ("ss-cam", {"weighting": "raw"}, "weighting='raw'"),
        ("eigen-cam", {"centre": True}, "eigen-cam has no option 'centre'. Its options: center=False"),
    ],
)
def test_wrong_options_say_what_is_expected(name, options, message):
    with pytest.raises(ValueError, match=message):
        camlib.explain(helpers.network(helpers.seeded(helpers.Gap)), helpers.picture(0), name, 1, **options)


# -- ShapleyCAM


@pytest.mark.parametrize("score", ["rest", "logit"])
def test_shapley_cam_equals_gradient_minus_half_of_the_whole_hessian_times_the_maps(score):
    module, trace = smooth()
    weights, plain = found("shapley-cam", trace, score=score), Plain(module, "maps", module.maps, module.head)
    for b, c in enumerate(TARGETS):
        expected = shapley_cam_loop(plain, trace.inputs[b], c, score)
        assert helpers.relative(weights[b], expected) < EXACT
    assert helpers.relative(weights, found("grad-cam", trace)) > 1e-3


def test_shapley_cam_in_closed_form_behind_global_average_pooling():
    """s = 2 y_c − ln Σ e^y: ∂s/∂y = 2e_c − p, Hessian −(diag p − ppᵀ), and y − b is linear in M."""
    module = helpers.seeded(helpers.Gap)
    with torch.no_grad():
        module.fc.weight *= 30
    trace = traced(module)
    weights, rows = found("shapley-cam", trace), module.fc.weight.detach()
    for b, c in enumerate(TARGETS):
        p = trace.logits[b].softmax(dim=0)
        u = rows @ trace.activations[b].mean(dim=(1, 2))  # logits without the bias
        slope = 2 * rows[c] - p @ rows
        curved = -(p * (u - (p * u).sum())) @ rows
        assert helpers.relative(weights[b], (slope - curved / 2) / 64) < EXACT
        assert float(curved.abs().max()) > 1e-3 * float(slope.abs().max())


@every_head
def test_shapley_cam_of_the_logit_is_grad_cam_behind_piecewise_linear_layers(build):
    trace = traced(build())
    assert torch.equal(found("shapley-cam", trace, score="logit"), found("grad-cam", trace))


def test_shapley_values_of_a_quadratic_game_by_enumeration():
    """The second order formula is the exact Shapley value of a quadratic score: all orders of four players."""
    generator = torch.Generator().manual_seed(3)
    linear = torch.randn(4, generator=generator, dtype=torch.float64)
    square = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    x = torch.randn(4, generator=generator, dtype=torch.float64)

    class Quadratic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps, self.linear = nn.Identity(), nn.Parameter(linear)

        def forward(self, pictures: Tensor) -> Tensor:
            flat = self.maps(pictures).flatten(1)
            y = flat @ self.linear + torch.einsum("bi,ij,bj->b", flat, square, flat)
            return torch.stack([y, 0 * y], dim=1)

    def value(players: set[int]) -> float:
        kept = torch.tensor([float(x[i]) if i in players else 0.0 for i in range(4)], dtype=torch.float64)
        return float(kept @ linear + kept @ square @ kept)

    shares, orders = np.zeros(4), list(permutations(range(4)))
    for order in orders:
        seen: set[int] = set()
        for player in order:
            shares[player] += (value(seen | {player}) - value(seen)) / len(orders)
            seen = seen | {player}
    trace = Trace(camlib.Network(Quadratic()), x.view(1, 2, 1, 2), "maps")
    g, curved = trace.hessian_product(lambda y: y[:, 0], trace.activations)
    per_player = (g - curved / 2) * trace.activations
    assert per_player.flatten().tolist() == pytest.approx(shares.tolist(), rel=1e-9)
    weights = found("shapley-cam", trace, (0,), score="logit")
    assert helpers.relative(weights, (g - curved / 2).mean(dim=(2, 3))) < EXACT


# -- LIFT-CAM


def test_lift_cam_is_what_each_channel_adds_behind_a_linear_layer():
    module = helpers.seeded(helpers.Gap)
    trace = traced(module)
    weights = found("lift-cam", trace)
    for b, c in enumerate(TARGETS):
        for k in range(6):
            without = trace.activations[b : b + 1].clone()
            without[:, k] = 0
            drop = trace.logits[b, c] - head_of(module)(without)[0, c].detach()
            assert float(weights[b, k]) == pytest.approx(float(drop), rel=1e-9, abs=1e-15)


def test_lift_cam_by_the_rescale_rule_through_an_mlp_by_hand():
    """Average pooling, linear, ReLU, linear: the ReLU's slope is (ReLU(a) − ReLU(a'))/(a − a')."""
    module = HEADS["average pooling"]()
    trace = traced(module)
    weights = found("lift-cam", trace)
    assert helpers.relative(weights, looped(lift_cam_loop, module, trace)) < EXACT
    for b, c in enumerate(TARGETS):
        blank = head_of(module)(torch.zeros(1, 6, 8, 8).double())[0, c].detach()
        assert float(weights[b].sum()) == pytest.approx(float(trace.logits[b, c] - blank), rel=1e-9)


class Deep(nn.Module):
    """Behind the layer: convolutions, an activation, a max pooling, and the picture itself once more."""

    def __init__(self, activation: Callable[[Tensor], Tensor], pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.features, self.activation, self.pool = helpers.features(), activation, pool
        self.conv1, self.conv2 = nn.Conv2d(6, 7, 3, padding=1), nn.Conv2d(7, 7, 3, padding=1)
        self.norm, self.fc = nn.BatchNorm2d(7), nn.Linear(7 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.features(x)
        inner = self.activation(self.conv1(maps) + x[:, :1, ::4, ::4])
        return self.fc(self.activation(self.pool(self.norm(self.conv2(inner)))).flatten(1))


ACTIVATIONS = {
    "relu": F.relu, "module": nn.ReLU(), "in-place module": nn.ReLU(inplace=True), "method": lambda x: x.relu(),
    "in-place method": lambda x: x.relu_(), "relu6": nn.ReLU6(), "clamp": lambda x: x.clamp(min=0), "silu": nn.SiLU(),
    "gelu": nn.GELU(), "tanh": torch.tanh, "sigmoid": torch.sigmoid, "hardswish": nn.Hardswish(),
    "leaky": nn.LeakyReLU(), "elu": F.elu, "softplus": nn.Softplus(), "mish": nn.Mish(),
}  # fmt: skip


POOLINGS = {
    "max module": nn.MaxPool2d(2), "max function": lambda x: F.max_pool2d(x, 2),
    "max of torch": lambda x: torch.max_pool2d(x, 2),
    "adaptive": nn.AdaptiveMaxPool2d(4), "average": nn.AvgPool2d(2),
}  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS.keys())
def test_contributions_sum_to_the_difference_of_the_logits(activation):
    _assert_complete(activation, POOLINGS["max module"])


@pytest.mark.parametrize("pool", POOLINGS.values(), ids=POOLINGS.keys())
def test_contributions_are_complete_for_any_pooling(pool):
    _assert_complete(F.relu, pool)


def _assert_complete(activation: Callable, pool: Callable) -> None:
    module = helpers.seeded(lambda: Deep(activation, pool))
    net, x = helpers.network(module), helpers.batch(2)
    trace = Trace(net, x, "features")
    made = METHODS["lift-cam"].function(trace, torch.tensor(TARGETS))
    blank = _with_maps(module, x, torch.zeros(2, 6, 8, 8, dtype=torch.float64))
    expected = (trace.logits - blank)[[0, 1], list(TARGETS)]
    assert helpers.relative(made.values.sum(dim=1), expected) < 1e-7
    assert all(detail["completeness_error"] < 1e-7 for detail in made.details)


def _with_maps(module: nn.Module, x: Tensor, maps: Tensor) -> Tensor:
    handle = module.features.register_forward_hook(lambda *_: maps.clone())
    try:
        with torch.no_grad():
            return module(x)
    finally:
        handle.remove()


def test_a_gate_has_no_rule_and_the_error_says_so():
    """A product of two parts that depend on the layer: the plain gradient is used, and the sum misses."""
    module = helpers.seeded(lambda: Deep(lambda x: x * x.mean(dim=(2, 3), keepdim=True).sigmoid(), nn.AvgPool2d(2)))
    made = METHODS["lift-cam"].function(traced(module), torch.tensor(TARGETS))
    assert all(detail["completeness_error"] > 1e-4 for detail in made.details)


def test_contributions_name_a_layer_that_does_not_count():
    class Aside(helpers.Gap):
        def forward(self, x: Tensor) -> Tensor:
            self.features(x)
            return self.fc(x.mean(dim=(2, 3)).repeat(1, 2))

    net = helpers.network(helpers.seeded(Aside))
    ready = net.ready(helpers.batch(1))
    layer = net.layer_of("features", ready.survey)
    with pytest.raises(ValueError, match="do not depend on layer 'features'"):
        contributions(net, ready, layer, helpers.batch(1), torch.tensor([1]))


# -- Eigen-CAM


def test_eigen_cam_is_the_first_right_singular_vector_with_the_sign_of_the_sum():
    module = helpers.seeded(helpers.Gap)
    trace = traced(module)
    for center in (False, True):
        weights = found("eigen-cam", trace, center=center)
        expected = looped(eigen_cam_loop, module, trace, center=center)
        assert helpers.relative(weights, expected) < 1e-8
        for b in range(2):
            assert float(weights[b].norm()) == pytest.approx(1)
        assert center or float(weights.min()) > -1e-12  # rectified maps: Perron and Frobenius


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_no_other_unit_weights_make_a_larger_map(seed):
    trace = traced(helpers.seeded(helpers.Gap, seed % 7))
    weights = found("eigen-cam", trace)
    other = torch.randn(2, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    other = other / other.norm(dim=1, keepdim=True)
    best, any_ = (framework.class_activation_map(w, trace.activations).norm(dim=(1, 2)) for w in (weights, other))
    assert bool((best >= any_ - 1e-12).all())


def test_eigen_cam_of_maps_that_are_zero_has_no_direction():
    module = helpers.seeded(helpers.Gap)
    with torch.no_grad():
        module.features[2].weight.zero_()
        module.features[2].bias.fill_(-1)
    assert not found("eigen-cam", traced(module)).any()


@every_head
def test_opti_cam_against_its_equations_with_adam_written_out(build):
    """Zhang et al. 2023, eq. 8-10; Adam as Kingma and Ba 2015 print it (algorithm 1)."""
    module, steps, rate = build(), 6, 0.1
    trace = traced(module)
    weights = found("opti-cam", trace, steps=steps, learning_rate=rate)
    made = METHODS["opti-cam"].function(trace, torch.tensor(TARGETS), steps=steps, learning_rate=rate)
    for b, c in enumerate(TARGETS):
        expected, first, last = opti_cam_steps(plain_of(module), trace.inputs[b], c, steps, rate)
        assert helpers.relative(weights[b], expected) < 1e-5
        assert made.details[b]["logit_first"] == pytest.approx(first, rel=1e-6)
        assert made.details[b]["logit_last"] == pytest.approx(last, rel=1e-5)


def test_opti_cam_climbs():
    trace = traced(helpers.seeded(helpers.Gap))
    made = METHODS["opti-cam"].function(trace, torch.tensor(TARGETS), steps=60)
    for detail in made.details:
        assert detail["logit_last"] > detail["logit_first"] + 1e-3
    assert made.values.sum(dim=1).tolist() == pytest.approx([1, 1])
    assert float(made.values.min()) >= 0


# -- where the framework ends


class Biased(nn.Module):
    """Two convolutions with biases, ReLUs, and a linear layer with one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1)
        self.fc = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv2(self.conv1(x).relu()).relu().mean(dim=(2, 3)))


def test_full_grad_needs_the_biases_which_no_weight_of_maps_can_be():
    """Srinivas and Fleuret 2019, eq. 2: y = ∂y/∂x · x + Σ ∂y/∂b · b. Without the biases the sum is another number."""
    module = helpers.seeded(Biased)
    x = helpers.batch(1)[:, :, :8, :8].clone().requires_grad_(True)
    y = module(x)[0, 1]
    biases = [module.conv1.bias, module.conv2.bias, module.fc.bias]
    input_gradient, *slopes = torch.autograd.grad(y, [x, *biases])
    through_input = float((input_gradient * x.detach()).sum())
    through_biases = [float((slope * bias).sum().detach()) for slope, bias in zip(slopes, biases, strict=True)]
    assert through_input + sum(through_biases) == pytest.approx(float(y.detach()), rel=1e-9)
    assert abs(through_input - float(y.detach())) > 0.05 * abs(float(y.detach()))
    # What a CAM of the last maps can hold is y without the head's bias alone: deeper biases are inside M.
    trace = Trace(camlib.Network(module), x.detach())
    hires = framework.class_activation_map(trace.gradients(torch.tensor([1])), trace.activations)
    assert float(hires.sum()) == pytest.approx(float((y - module.fc.bias[1]).detach()), rel=1e-9)
