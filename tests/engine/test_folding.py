"""The private copy of a network: batch normalizations folded into convolutions, the caller's network left alone."""

from __future__ import annotations

import architectures
import helpers
import pytest
import torch
from torch import Tensor, nn

import camlib
from camlib.engine import folding


@pytest.mark.parametrize(
    ("name", "norms", "folded"),
    [("efficientnet-lite0", 49, 49), ("resnet18", 20, 20), ("mobilenet_v2", 52, 52), ("vgg16", 0, 0)],
)
def test_every_batch_norm_behind_a_convolution_is_folded(name, norms, folded):
    """torch.fx's fuse folds none of Lite0's 49: its convolution is a subclass."""
    module, noise, logits = architectures.known(name)
    made = folding.fast_copy(module, noise, logits)
    assert (made.norms, made.folded) == (norms, folded)
    assert made.error <= 1e-5
    with torch.no_grad():
        assert helpers.relative(made.module(noise), logits) <= 1e-5
        assert made.memory_format is torch.channels_last


def test_densenet_keeps_the_batch_norms_in_front_of_its_convolutions():
    module, noise, logits = architectures.known("densenet121")
    made = folding.fast_copy(module, noise, logits)
    assert made.norms == 121
    assert 0 < made.folded < 121
    assert made.error <= 1e-5


def test_folded_parameters_by_hand():
    """One channel, 1x1 convolution: norm(3x + 1) with mean 2, variance 4, weight 5, bias 6 is 7.5x + 3.5."""
    conv, norm = nn.Conv2d(1, 1, 1).double(), nn.BatchNorm2d(1, eps=0.0).double().eval()
    with torch.no_grad():
        for tensor, value in ((conv.weight, 3), (conv.bias, 1), (norm.weight, 5), (norm.bias, 6)):
            tensor.fill_(value)
    norm.running_mean.fill_(2)
    norm.running_var.fill_(4)
    weight, bias = folding.folded_parameters(conv, norm)
    assert float(weight) == pytest.approx(7.5)
    assert float(bias) == pytest.approx(3.5)


def test_the_callers_network_is_untouched_by_folding():
    module = helpers.seeded(helpers.Trainable, dtype=torch.float32)
    before = helpers.state(module)
    noise = helpers.batch(1, torch.float32)
    with torch.no_grad():
        logits = module(noise)
    made = folding.fast_copy(module, noise, logits, dtype=torch.bfloat16)
    assert made.folded == 2
    helpers.assert_same(before, helpers.state(module))
    assert {p.dtype for p in made.module.parameters()} == {torch.bfloat16}


class Shared(nn.Module):
    """One convolution in front of two norms, and a norm whose convolution is read by somebody else as well."""

    def __init__(self, twice: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm1, self.norm2 = nn.BatchNorm2d(6), nn.BatchNorm2d(6)
        nn.init.uniform_(self.norm1.running_mean, 0.5, 1.0)
        self.fc = nn.Linear(6, 5)
        self.twice = twice

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv(x)
        other = self.norm2(self.conv(x)) if self.twice else maps
        return self.fc((self.norm1(maps).relu() * other).mean(dim=(2, 3)))


@pytest.mark.parametrize("twice", [True, False])
def test_a_convolution_that_is_needed_unfolded_stays(twice):
    module = helpers.seeded(lambda: Shared(twice), dtype=torch.float32)
    noise = helpers.batch(1, torch.float32)
    with torch.no_grad():
        made = folding.fast_copy(module, noise, module(noise))
    assert made.folded == 0
    assert made.error <= 1e-6


class NoCopy(helpers.Gap):
    """Refuses to be copied."""

    def __deepcopy__(self, memo: dict) -> nn.Module:
        raise RuntimeError("not for copying")


def test_a_network_that_cannot_be_copied_is_used_as_it_is():
    plain, fixed = (helpers.network(helpers.seeded(kind)) for kind in (helpers.Gap, NoCopy))
    before = helpers.state(fixed.module)
    a, b = (camlib.explain(net, helpers.picture(0), "score-cam", 1) for net in (plain, fixed))
    torch.testing.assert_close(a.weights, b.weights)
    helpers.assert_same(before, helpers.state(fixed.module))


class Merging(nn.Linear):
    """Adds a low-rank part to its weight when it is switched to eval mode, as LoRA layers do."""

    def train(self, mode=True):
        if not mode:
            with torch.no_grad():
                self.weight.add_(1.0)
        return super().train(mode)


def test_a_layer_that_merges_in_eval_does_not_merge_the_callers_weights():
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), Merging(4, 5)
    )
    before = module[4].weight.detach().clone()
    for method in ("score-cam", "ablation-cam", "grad-cam", "rise"):
        camlib.explain(helpers.network(module), helpers.picture(0), method, 1)
    assert torch.equal(module[4].weight, before)
