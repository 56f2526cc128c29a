"""Layers that need care: several names, several calls, in-place ReLUs, keyword arguments, tokens."""

from functools import cache

import helpers
import pytest
import timm
import torch
from helpers import PICTURE, READY, WEIGHTS, gap
from torch import Tensor, nn

import camlib
from camlib import METHODS, Trace


def test_a_layer_may_be_the_module_itself_or_any_of_its_names():
    net = gap()
    expected = camlib.explain(net, PICTURE, target=1)
    for layer in ("features", "features.3", net.module.features, net.module.features[3]):
        assert torch.equal(camlib.explain(net, PICTURE, target=1, layer=layer).heatmap, expected.heatmap)


def test_each_call_of_a_module_used_twice():
    """relu:1 and relu:2 are the rectified first and second convolution, computed by hand."""
    module = helpers.seeded(helpers.SharedRelu)
    net = helpers.network(module)
    with torch.no_grad():
        first = module.conv1(READY).relu()
        second = module.conv2(first).relu()
    assert torch.equal(Trace(net, READY, "relu:1").activations, first)
    assert torch.equal(Trace(net, READY, "relu:2").activations, second)
    first.requires_grad_(True)
    score = module.fc(module.conv2(first).relu().mean(dim=(2, 3)))[0, 1]
    (gradient,) = torch.autograd.grad(score, first)
    torch.testing.assert_close(Trace(net, READY, "relu:1").gradients(torch.tensor([1])), gradient)
    assert net.default_layer.name == "relu:2"


@pytest.mark.parametrize("method", [name for name in WEIGHTS if name != "gap-cam"])  # no linear head there
def test_in_place_relu_a_layer_means_what_its_name_says(method):
    """conv (before an in-place ReLU) and the ReLU (after it), by a network without in-place operations."""
    inplace, plain = (helpers.network(helpers.seeded(lambda flag=f: helpers.Gap(flag))) for f in (True, False))
    before, after = (
        camlib.explain(inplace, PICTURE, method, 1, name, relu=False) for name in ("features.0", "features.1")
    )
    for e in (before, after):
        expected = camlib.explain(plain, PICTURE, method, 1, e.layer, relu=False)
        torch.testing.assert_close(e.raw, expected.raw, rtol=0, atol=1e-6 * float(expected.raw.abs().max()))
    with torch.no_grad():
        maps = plain.module.features[0](plain.prepare(PICTURE)[1][None].double())
    assert bool((maps < 0).any())
    trace = Trace(inplace, plain.prepare(PICTURE)[1][None].double(), "features.0")
    assert torch.equal(trace.activations, maps)
    (layer,) = (layer for layer in inplace.layers() if layer.name == "features.0")
    assert layer.note == "before the in-place ReLU"


class Keywords(nn.Module):
    """Calls its body with keyword arguments, as EfficientNet's blocks of some libraries are called."""

    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = helpers.features()

        def forward(self, *, inputs: Tensor, scale: float) -> Tensor:
            return self.features(inputs) * scale

    def __init__(self) -> None:
        super().__init__()
        self.body = Keywords.Body()
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(inputs=x, scale=2.0).mean(dim=(2, 3)))


def test_layer_called_with_keyword_arguments():
    module = helpers.seeded(Keywords)
    net = helpers.network(module)
    assert net.default_layer.name == "body"
    trace = Trace(net, READY)
    with torch.no_grad():
        assert torch.equal(trace.activations, module.body(inputs=READY, scale=2.0))
    expected = module.fc.weight[1].detach() / 64
    torch.testing.assert_close(trace.gradients(torch.tensor([1])).mean(dim=(2, 3))[0], expected)


@pytest.mark.parametrize("method", [name for name in helpers.POST_HOC if name != "gap-cam"])
@pytest.mark.filterwarnings("ignore:.*has no ReLU module")
def test_vision_transformer_without_a_reshape_function(method):
    net, options = _vit_network(), helpers.short([method])[method]
    e = camlib.explain(net, helpers.picture(0, 64, 64), method, 1, **options)
    assert not e.degenerate
    assert e.heatmap.shape == (64, 64)
    assert e.raw.shape == ((64, 64) if METHODS[method].makes == "pixels" else (4, 4))
    assert float(e.heatmap.std()) > 0.05


@cache
def _vit_network() -> camlib.Network:
    name = "vit_tiny_patch16_224"
    vit = helpers.seeded(lambda: timm.create_model(name, img_size=64, num_classes=5), dtype=torch.float32)
    return helpers.network(vit, 64)


def test_tokens_lie_where_their_patches_are():
    """Only the patch tokens in row 1 and column 2 see the bright square: the map must say so, not its transpose."""
    net = _vit_network()
    dark = torch.zeros(3, 64, 64)
    bright = dark.clone()
    bright[:, 16:32, 32:48] = 1
    for layer in ("patch_embed", "pos_drop"):  # without and with a class token in front
        first, second = (Trace(net, net.prepare(p)[1][None], layer).activations for p in (dark, bright))
        assert first.shape == (1, 192, 4, 4)
        assert (first - second).abs().sum(dim=1)[0].nonzero().tolist() == [[1, 2]]


def test_gap_cam_on_a_transformer_says_why_not():
    with pytest.raises(ValueError, match="GAP-CAM needs a head that is linear behind global pooling"):
        camlib.explain(_vit_network(), helpers.picture(0, 64, 64), "gap-cam")
