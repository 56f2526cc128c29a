"""Cascading randomization: what becomes random, in which order, from which seed, and what stays as it was."""

import copy
import math

import helpers
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import camlib
from camlib.studies.robustness import cascading_randomization, randomization_stages

TRAINABLE = ["fc", "features.5", "features.4", "features.1", "features.0"]
LITE0 = ["classifier", "bn2", "conv_head", *(f"blocks.{i}" for i in range(6, -1, -1)), "bn1", "conv_stem"]


def trainable(dtype=torch.float64):
    return helpers.network(helpers.seeded(helpers.Trainable, dtype=dtype))


def values(network, stage):
    """Parameters and buffers below a stage's name, as one vector."""
    tensors = network.module.get_submodule(stage).state_dict().values()
    return torch.cat([tensor.double().flatten() for tensor in tensors])


class Registered(nn.Module):
    """Modules that are registered in another order than they run, one of them used by a function call only."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 5)
        self.unused = nn.Linear(2, 2)
        self.last = nn.Conv2d(8, 6, 3, 2, 1)
        self.first = nn.Conv2d(3, 8, 3, 2, 1)

    def forward(self, x):
        maps = self.last(self.first(x).relu()).relu()
        return F.linear(maps.mean(dim=(2, 3)), self.fc.weight, self.fc.bias)


# -- order


def test_stages_go_from_the_logits_down():
    assert list(randomization_stages(trainable())) == TRAINABLE


@pytest.mark.parametrize(
    ("depth", "expected"),
    [(1, ["fc", "features"]), (2, TRAINABLE), (3, TRAINABLE)],
)
def test_depth_says_how_many_parts_of_a_name_make_a_stage(depth, expected):
    assert list(randomization_stages(trainable(), depth)) == expected


def test_stages_of_a_real_network():
    assert list(randomization_stages(helpers.lite0())) == LITE0


def test_order_is_that_of_computation_and_what_never_runs_comes_last():
    network = helpers.network(helpers.seeded(Registered))
    assert list(randomization_stages(network)) == ["last", "first", "unused", "fc"]


# -- what becomes random, what stays


def test_cumulative_and_nothing_below_the_stage_changes():
    network = trainable()
    found = list(cascading_randomization(network, seed=1))
    assert [name for name, _ in found] == TRAINABLE
    for position, (_, other) in enumerate(found):
        for stage in TRAINABLE[: position + 1]:
            if stage not in ("features.5", "features.1"):
                assert not (values(other, stage) == values(network, stage)).any(), stage
            assert torch.equal(values(other, stage), values(found[-1][1], stage)), "drawn once, then kept"
        for stage in TRAINABLE[position + 1 :]:
            assert torch.equal(values(other, stage), values(network, stage)), stage


def test_batch_normalization_is_reset():
    network = trainable()
    with torch.no_grad():
        for norm in (network.module.features[1], network.module.features[5]):
            for tensor in norm.state_dict().values():
                tensor.fill_(7)
    for name, other in cascading_randomization(network):
        if name in ("features.5", "features.1"):
            norm = other.module.get_submodule(name)
            assert bool((norm.weight == 1).all() and (norm.bias == 0).all())
            assert bool((norm.running_mean == 0).all() and (norm.running_var == 1).all())
            assert int(norm.num_batches_tracked) == 0


def test_weights_are_drawn_from_the_default_of_pytorch():
    """Uniform in ±1/√fan_in for convolutions, linear layers and their biases: bound and mean square, typed in."""
    module = nn.Sequential(nn.Conv2d(3, 400, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(400, 50))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(7.0)
    *_, (_, other) = cascading_randomization(helpers.network(module, class_names=None))
    for part, inputs in ((other.module[0], 75), (other.module[3], 400)):
        weight = part.weight.detach()
        assert 0.99 / math.sqrt(inputs) < float(weight.abs().max()) <= 1 / math.sqrt(inputs)
        assert float(weight.pow(2).mean() * inputs) == pytest.approx(1 / 3, rel=0.05)
        assert 0 < float(part.bias.detach().abs().max()) <= 1 / math.sqrt(inputs)


def test_the_callers_network_and_random_state_are_untouched():
    network = trainable()
    network.module.features.train()  # an unusual state must come through as well
    network.module.fc.weight.requires_grad_(False)
    network.survey()
    before, surveys = copy.deepcopy(helpers.state(network.module)), dict(network._stand.twin().surveys)
    for _, other in cascading_randomization(network, seed=3):
        other.logits(helpers.batch(1))
        other.survey(helpers.batch(1)[..., :24])  # another size: kept with the copy
        assert other.module.features.training
        assert not other.module.fc.weight.requires_grad
    helpers.assert_same(before, helpers.state(network.module))
    assert network._stand.twin().surveys.keys() == surveys.keys()
    assert (network.name, network.target_layer) == ("Trainable", None)


def test_networks_share_no_weights():
    found = [other for _, other in cascading_randomization(trainable())]
    with torch.no_grad():
        found[0].module.fc.weight.fill_(0.0)
    assert not any(bool((other.module.fc.weight == 0).all()) for other in found[1:])


def test_a_change_to_a_network_does_not_reach_the_next_one():
    undisturbed = [values(other, "fc") for _, other in cascading_randomization(trainable())]
    for (_, other), expected in zip(cascading_randomization(trainable()), undisturbed, strict=True):
        assert torch.equal(values(other, "fc"), expected)
        with torch.no_grad():
            other.module.fc.weight.fill_(0.0)


# -- seed, start


def test_same_seed_same_networks_whatever_the_global_state():
    torch.manual_seed(1)
    first = [values(other, "") for _, other in cascading_randomization(trainable(), seed=5)]
    torch.manual_seed(2)
    second = [values(other, "") for _, other in cascading_randomization(trainable(), seed=5)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_other_seed_other_weights():
    (_, one), (_, two) = (next(iter(cascading_randomization(trainable(), seed=seed))) for seed in (0, 1))
    assert not (values(one, "fc") == values(two, "fc")).any()


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(TRAINABLE), st.integers(0, 2**63 - 1))
def test_start_leaves_what_is_above_trained_and_draws_the_same_weights(start, seed):
    network = trainable()
    whole, part = (list(cascading_randomization(network, seed, start=s)) for s in (None, start))
    position = TRAINABLE.index(start)
    assert [name for name, _ in part] == TRAINABLE[position:]
    for stage in TRAINABLE[:position]:
        assert all(torch.equal(values(other, stage), values(network, stage)) for _, other in part)
    for stage in TRAINABLE[position:]:
        assert torch.equal(values(part[-1][1], stage), values(whole[-1][1], stage))


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 4), st.integers(0, 9))
def test_the_last_network_does_not_depend_on_depth(depth, seed):
    *_, (_, last) = cascading_randomization(trainable(), seed, depth=depth)
    *_, (_, expected) = cascading_randomization(trainable(), seed, depth=2)
    assert torch.equal(values(last, ""), values(expected, ""))


# -- what comes out can be explained


def test_all_stages_keep_layer_preprocessing_and_class_names():
    network = trainable()
    default = network.default_layer.name
    for name, other in cascading_randomization(network, seed=2):
        assert other.default_layer.name == default
        assert (other.class_names, other.preprocess) == (network.class_names, network.preprocess)
        assert other.name == f"Trainable, random from fc to {name} (seed 2)"
        made = camlib.explain(other, helpers.picture(), "grad-cam", 1, relu=False)
        assert made.layer == default


def test_a_target_layer_of_the_callers_own_is_kept():
    network = helpers.network(helpers.seeded(helpers.Trainable), target_layer="features.2")
    assert {other.default_layer.name for _, other in cascading_randomization(network)} == {"features.2"}


def test_randomizing_the_body_under_a_trained_classifier_changes_the_prediction_of_a_real_network():
    network = helpers.lite0()
    trained = network.logits(helpers.bull_mastiff())[0]
    *_, (name, other) = cascading_randomization(network, start="bn2")
    assert name == "conv_stem"
    assert torch.equal(other.module.classifier.weight, network.module.classifier.weight)
    found = other.logits(helpers.bull_mastiff())[0]
    assert int(trained.argmax()) == 243  # ImageNet's bull mastiff
    assert int(found.argmax()) != 243
    assert abs(helpers.correlation(found, trained)) < 0.2


def test_works_in_inference_mode():
    with torch.inference_mode():
        found = [other for _, other in cascading_randomization(trainable())]
    for other in found:
        assert not any(tensor.is_inference() for tensor in other.module.state_dict().values())


# -- bad input


class Scaled(nn.Module):
    """A parameter in a module that cannot draw it anew."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * self.scale


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"start": "features"},
            r"start='features' is no stage of Trainable at depth=2. Choose one of fc, features.5",
        ),
        ({"seed": -1}, r"seed=-1: expected an integer from 0"),
        ({"seed": 0.5}, r"seed=0.5: expected an integer"),
        ({"seed": True}, r"seed=True: expected an integer"),
        ({"depth": 0}, r"depth=0: expected an integer of at least 1"),
        ({"depth": 1.5}, r"depth=1.5: expected an integer of at least 1"),
    ],
)
def test_bad_arguments_raise_at_the_call(arguments, message):
    with pytest.raises(ValueError, match=message):
        cascading_randomization(trainable(), **arguments)


def test_a_module_is_no_network():
    with pytest.raises(TypeError, match=r"network is a camlib.Network; given Trainable. Wrap it: Network\(module\)"):
        cascading_randomization(helpers.seeded(helpers.Trainable))


def test_parameters_that_cannot_be_drawn_are_named():
    module = nn.Sequential(helpers.features(), Scaled(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))
    with pytest.raises(ValueError, match=r"1 \(Scaled\) holds parameters and has no reset_parameters\(\)"):
        cascading_randomization(helpers.network(module))


def test_nothing_to_randomize():
    module = nn.Sequential(nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match="has no weights, so there is nothing to randomize"):
        cascading_randomization(helpers.network(module, class_names=None))
