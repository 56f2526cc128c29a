"""What runs behind the layer: tails of known networks against the whole network with its layer's output replaced."""

from __future__ import annotations

from contextlib import nullcontext

import architectures
import helpers
import pytest
import torch
from torch import Tensor

import camlib
from camlib import Trace
from camlib.engine import scoring

TAILS = [
    ("resnet18", "layer4", "tail"),
    ("resnet18", "layer3", "tail"),
    ("resnet18", "layer4.1.conv1", "tail with body"),
    ("vgg16", "features.28", "tail"),
    ("vgg16", "features.29", "tail"),
    ("densenet121", "features", "tail"),
    ("densenet121", "features+relu", "tail"),
    ("densenet121", "features.denseblock3.denselayer4.norm1", "tail with body"),
    ("mobilenet_v2", "features.17", "tail"),
    ("googlenet", "inception4a.branch2", "tail with body"),
]


@pytest.mark.parametrize(("name", "layer", "form"), TAILS)
def test_a_tail_gives_what_the_whole_network_gives(name, layer, form):
    """Ablated maps through the tail against a forward pass of the whole network whose layer output is replaced."""
    module, _, _ = architectures.known(name)
    net = camlib.Network(module, transform=camlib.Preprocess((64, 64), (0.5,) * 3, (0.25,) * 3))
    trace = Trace.of(net, helpers.picture(0, 64, 64), layer=layer)
    assert trace.tail(0).form == form
    found = trace.ablated_logits()[0]
    before = helpers.state(module)
    for k in (0, trace.activations.shape[1] // 2):
        maps = trace.maps.clone()
        maps[0, k] = 0
        with torch.no_grad(), camlib.layers.replacing_output(module, trace.layer, lambda _, m=maps: m.clone()):
            expected = module(trace.inputs)[0]
        torch.testing.assert_close(found[k], expected, rtol=1e-4, atol=1e-4 * float(trace.logits.abs().max()))
    helpers.assert_same(before, helpers.state(module))


class Spoiling(helpers.Gap):
    """What comes behind the layer adds to its maps in place, which no second pass over one buffer may notice."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).add_(1).mean(dim=(2, 3)))


@pytest.mark.parametrize("kind", [helpers.Gap, Spoiling])
@pytest.mark.parametrize("batch", [1, 2, 4, 128])
def test_every_batch_of_ablations_starts_from_the_maps(kind, batch, monkeypatch):
    monkeypatch.setattr(scoring, "LARGEST_BATCH", batch)
    net = helpers.network(helpers.seeded(kind), target_layer="features")
    trace = Trace.of(net, helpers.picture(0))
    channels = trace.activations.shape[1]
    assert batch in (1, 2) or channels % batch
    written = trace.maps.repeat(channels, 1, 1, 1) + (kind is Spoiling)
    written[range(channels), range(channels)] = float(kind is Spoiling)
    expected = net.module.fc(written.mean(dim=(2, 3)))
    for again in (nullcontext(), torch.inference_mode()):
        with again:
            found = Trace.of(net, helpers.picture(0)).ablated_logits()[0]
        torch.testing.assert_close(found, expected)


class Wayward(helpers.Gap):
    """The picture goes around the layer by a plain function call: no tail reproduces the logits."""

    def forward(self, x: Tensor) -> Tensor:
        direct = x.mean(dim=(1, 2, 3), keepdim=True).flatten(1)
        return self.fc(self.features(x).mean(dim=(2, 3)) + direct.add_(1))


def test_what_goes_around_the_layer_is_computed_from_the_picture():
    net = helpers.network(helpers.seeded(Wayward), target_layer="features")
    trace = Trace.of(net, helpers.picture(0))
    maps = trace.maps.clone()
    maps[0, 2] = 0
    x = trace.inputs
    with torch.no_grad():
        expected = net.module.fc(maps.mean(dim=(2, 3)) + x.mean(dim=(1, 2, 3), keepdim=True).flatten(1) + 1)
    torch.testing.assert_close(trace.ablated_logits()[0, 2], expected[0])


def test_a_network_that_looks_at_its_batch_is_run_as_a_whole():
    class Picky(helpers.Gap):
        def forward(self, x: Tensor) -> Tensor:
            maps = self.features(x)
            if len(maps) != len(x):
                raise RuntimeError("other maps than pictures")
            return self.fc(maps.mean(dim=(2, 3)))

    plain, picky = (
        Trace.of(helpers.network(helpers.seeded(kind), target_layer="features"), helpers.picture(0))
        for kind in (helpers.Gap, Picky)
    )
    assert (plain.tail(0).form, picky.tail(0).form) == ("tail", "whole network")
    torch.testing.assert_close(plain.ablated_logits(), picky.ablated_logits())
