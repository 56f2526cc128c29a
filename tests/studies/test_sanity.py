"""The sanity check as numbers: what forgets, which picture meets which weights, and when a map counts as lost."""

import helpers
import numpy as np
import pytest
import torch

import camlib
from camlib.metrics import Interval
from camlib.studies import sanity
from camlib.studies.robustness import cascading_randomization


@pytest.fixture
def net():
    return helpers.network(helpers.seeded(helpers.Trainable, dtype=torch.float64))


def pictures(count):
    generator = torch.Generator().manual_seed(3)
    return torch.rand(count, 3, 12, 12, generator=generator, dtype=torch.float64)


def test_equal_maps_have_similarity_1_and_random_maps_do_not():
    map_ = torch.rand(64, 64, generator=torch.Generator().manual_seed(0))
    assert sanity.similarities(map_, map_) == pytest.approx(dict.fromkeys(sanity.MEASURES, 1.0), abs=1e-6)
    floor = sanity.random_floor((64, 64), 8, 12)
    assert set(floor) == set(sanity.MEASURES)
    assert all(abs(found.value) < 0.5 for found in floor.values())


def test_what_forgets_is_what_the_cascade_hands_out(net):
    other = sanity.forgetful(net, 5, None, "features.4")
    expected = dict(cascading_randomization(net, 5))["features.4"]
    for a, b in zip(other.module.parameters(), expected.module.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="no stage"):
        sanity.forgetful(net, 5, "features.1", "fc")


def test_picture_i_meets_the_weights_of_seed_i_mod_n(net):
    images = pictures(5)
    made = dict(sanity.forgetful_maps(net, list(images), [0, 1, 2, 3, 4], ["grad-cam"], (None, "fc"), seeds=(7, 8)))
    assert sorted(made) == [0, 1, 2, 3, 4]
    for i, found in made.items():
        other = sanity.forgetful(net, (7, 8)[i % 2], None, "fc")
        assert torch.allclose(found.raw, camlib.explain(other, images[i], "grad-cam", target=i).raw)


@pytest.mark.parametrize(
    ("own", "other", "state"),
    [
        ([0.0, 0.1, 0.2, 0.1], [0.0] * 4, "at the floor"),
        ([0.8, 0.9, 0.8, 0.9], [0.1] * 4, "above"),
        ([0.8, 0.9, 0.8, 0.9], [0.8, 0.9, 0.85, 0.9], "unclear"),
    ],
)
def test_a_map_is_lost_at_the_floor_and_kept_only_if_it_is_its_own_picture(own, other, state):
    found, mean, margin = sanity.state_of(own, other, Interval(0.05, 0.0, 0.1))
    assert found == state
    assert mean.value == pytest.approx(np.mean(own))
    assert margin.value == pytest.approx(np.mean(own) - np.mean(other))


@pytest.mark.parametrize(
    ("states", "verdict"),
    [
        (["at the floor"] * 3, "holds"),
        (["at the floor", "above"], "does not hold"),
        (["at the floor", "unclear"], "undecided"),
    ],
)
def test_one_measure_above_fails_and_all_at_the_floor_pass(states, verdict):
    assert sanity.verdict_of(states) == verdict


def test_batch_statistics_are_those_of_the_inputs_and_the_network_keeps_its_own(net):
    """The first normalization sees the first convolution's output, of which mean and variance are known."""
    inputs = pictures(6)
    before = {name: value.clone() for name, value in net.module.state_dict().items()}
    made = sanity.with_batch_statistics(net, inputs)
    seen = net.module.features[0](inputs).detach()
    norm = made.module.features[1]
    assert torch.allclose(norm.running_mean, seen.mean(dim=(0, 2, 3)))
    assert torch.allclose(norm.running_var, seen.var(dim=(0, 2, 3)))
    assert not made.module.training
    for name, value in net.module.state_dict().items():
        assert torch.equal(value, before[name])
