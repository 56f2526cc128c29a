"""Other libraries as witnesses: agreement where they follow the papers, and every known difference, documented.

The pixel baselines run through captum and are compared with backward passes written by hand.
"""

import copy
from functools import cache

import architectures
import helpers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from captum.attr import IntegratedGradients, LayerGradCam
from torch import Tensor, nn

import camlib
from camlib import METHODS, Network, Preprocess, Trace, framework

pytest.importorskip("pytorch_grad_cam")
pytest.importorskip("torchcam")
import pytorch_grad_cam as pgc
import torchcam.methods as tc
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

# (network, layer): the layer's output is not changed in-place afterwards
CLEAN = [("efficientnet-lite0", "bn2"), ("resnet18", "layer4"), ("resnet18", "layer3")]
SAME = {
    "grad-cam": (tc.GradCAM, pgc.GradCAM),
    "xgrad-cam": (tc.XGradCAM, pgc.XGradCAM),
    "layer-cam": (tc.LayerCAM, pgc.LayerCAM),
}


@cache
def named(name: str) -> tuple[Network, Tensor, int]:
    """(network, ready photograph, class): Lite0 with its weights, others with random ones and their top class."""
    if name == "efficientnet-lite0":
        return helpers.lite0(), helpers.bull_mastiff(), 243
    net = camlib.load_network(name, weights=None, seed=0)
    architectures.slim(net.module)
    size = 224 if name == "resnet18" else 96
    x = net.with_input_size(size).prepare(camlib.load_photo("bull-mastiff"))[1][None]
    return net, x, int(net.logits(x).argmax())


def ours(name: str, method: str, layer: str, **options: object) -> camlib.Explanation:
    net, x, target = named(name)
    return camlib.explain(net, x, method, target, layer, **options)


def module_copy(name: str) -> nn.Module:
    """Peers leave hooks, gradients and modes behind: each gets a module of its own."""
    return copy.deepcopy(named(name)[0].module).eval()


def torchcam(kind: type, name: str, layer: str, normalized: bool = False, **settings: object) -> Tensor:
    """Low-resolution map of torchcam [h, w]."""
    module, (_, x, target) = module_copy(name), named(name)
    with kind(module, target_layer=layer, input_shape=tuple(x.shape[1:]), **settings) as extractor:
        (maps,) = extractor(target, module(x.clone().requires_grad_(True)), normalized=normalized)
    return maps[0].detach()


def pytorch_grad_cam(kind: type, name: str, layer: str) -> tuple[Tensor, Tensor]:
    """(low-resolution map [h, w] behind the ReLU, final map [H, W]) of pytorch-grad-cam."""
    module, (_, x, target) = module_copy(name), named(name)
    place, wanted = module.get_submodule(layer), [ClassifierOutputTarget(target)]
    with kind(model=module, target_layers=[place]) as cam:
        final = cam(input_tensor=x.clone(), targets=wanted)[0]
        kept = cam.activations_and_grads
        maps, gradients = kept.activations[0].numpy(), kept.gradients[0].numpy()
        raw = cam.get_cam_image(x, place, wanted, maps, gradients, False)
    return torch.from_numpy(np.maximum(raw[0], 0)), torch.from_numpy(np.array(final))


# -- agreement


@pytest.mark.parametrize(("name", "layer"), CLEAN)
@pytest.mark.parametrize("method", SAME)
def test_agreement_with_torchcam(method, name, layer):
    e, kind = ours(name, method, layer), SAME[method][0]
    assert helpers.relative(torchcam(kind, name, layer), e.raw) < 1e-4
    low = torchcam(kind, name, layer, normalized=True)  # scaled first, enlarged afterwards
    assert helpers.correlation(framework.upsample(low[None], tuple(e.heatmap.shape))[0], e.heatmap) > 0.9999


@pytest.mark.parametrize(("name", "layer"), CLEAN)
@pytest.mark.parametrize("method", SAME)
def test_agreement_with_pytorch_grad_cam(method, name, layer):
    e = ours(name, method, layer)
    raw, final = pytorch_grad_cam(SAME[method][1], name, layer)
    assert helpers.relative(raw, e.raw) < 1e-4
    assert helpers.correlation(final, e.heatmap) > 0.9999


@pytest.mark.parametrize(("name", "layer"), CLEAN)
def test_agreement_with_captum(name, layer):
    module, (_, x, target) = module_copy(name), named(name)
    explainer = LayerGradCam(module, module.get_submodule(layer))
    maps = explainer.attribute(x, target=target, relu_attributions=True)[0, 0].detach()
    assert helpers.relative(maps, ours(name, "grad-cam", layer).raw) < 1e-4


@pytest.mark.parametrize(("name", "layer", "fc"), [(*CLEAN[0], "classifier"), (*CLEAN[1], "fc")])
def test_cam_agrees_with_torchcam_which_has_no_relu(name, layer, fc):
    found = torchcam(tc.CAM, name, layer, fc_layer=fc)
    assert helpers.relative(found, ours(name, "gap-cam", layer, relu=False).raw) < 1e-5


# -- known differences


def gradient_and_maps(name: str, layer: str) -> tuple[Tensor, Tensor]:
    net, x, target = named(name)
    trace = Trace(net, x, layer)
    return trace.gradients(torch.tensor([target]))[0].double(), trace.activations[0].double()


@pytest.mark.parametrize(("name", "layer"), CLEAN)
def test_grad_cam_plus_plus_of_torchcam_is_the_sum_of_cubes(name, layer):
    """Its alpha never takes effect: the weights are Σ g²·ReLU(g), which is not Grad-CAM++."""
    g, m = gradient_and_maps(name, layer)
    cubes = (g.relu() ** 3).sum(dim=(1, 2))
    theirs = torchcam(tc.GradCAMpp, name, layer)
    assert helpers.relative(theirs, torch.einsum("k,khw->hw", cubes, m).relu()) < 1e-4
    e = ours(name, "grad-cam++", layer)
    assert helpers.correlation(cubes, e.weights) < 0.95
    assert helpers.correlation(theirs, e.raw) < 0.9995


@pytest.mark.parametrize(("name", "layer"), CLEAN)
def test_grad_cam_plus_plus_of_pytorch_grad_cam_is_decided_by_its_epsilon(name, layer):
    """It adds 1e-6 to 2g² + g³·ΣM, which can be smaller than that; without the epsilon it is our map."""
    g, m = gradient_and_maps(name, layer)
    total = m.sum(dim=(1, 2), keepdim=True)

    def formula(epsilon: float) -> Tensor:
        alpha = g**2 / (2 * g**2 + g**3 * total + epsilon)
        weights = torch.where(g > 0, alpha * g, 0.0).sum(dim=(1, 2))
        return torch.einsum("k,khw->hw", weights, m).relu()

    theirs, _ = pytorch_grad_cam(pgc.GradCAMPlusPlus, name, layer)
    e = ours(name, "grad-cam++", layer)
    assert helpers.relative(theirs, formula(1e-6)) < 1e-4
    assert helpers.relative(e.raw, formula(0.0)) < 1e-4
    assert helpers.relative(theirs, e.raw) > 0.05


def test_smooth_grad_cam_plus_plus_of_torchcam_sums_the_wrong_product():
    """Without noise it is Grad-CAM++ with Σ(M·g³) in place of ΣM·g³ (equal only where g is constant) and an epsilon."""
    g, m = gradient_and_maps("resnet18", "layer3")
    alpha = g**2 / (2 * g**2 + (m * g**3).sum(dim=(1, 2), keepdim=True) + 1e-8)
    weights = torch.where(g > 0, alpha * g, 0.0).sum(dim=(1, 2))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = torchcam(tc.SmoothGradCAMpp, "resnet18", "layer3", num_samples=4, std=1e-12)
    assert helpers.relative(theirs, torch.einsum("k,khw->hw", weights, m).relu()) < 1e-3
    assert helpers.relative(theirs, ours("resnet18", "smooth-grad-cam++", "layer3", samples=4, noise=0.0).raw) > 0.02


def test_three_readings_of_a_layer_in_front_of_an_in_place_relu():
    """VGG-16 features.28. Ours and captum: before the ReLU; torchcam: after it; pytorch-grad-cam: a mixture."""
    layer, (net, x, target) = "features.28", named("vgg16")
    before, after = ours("vgg16", "grad-cam", layer), ours("vgg16", "grad-cam", "features.29")
    module = module_copy("vgg16")
    captum = LayerGradCam(module, module.features[28]).attribute(x, target=target, relu_attributions=True)
    assert helpers.relative(captum[0, 0].detach(), before.raw) < 1e-4

    assert helpers.relative(torchcam(tc.GradCAM, "vgg16", layer), after.raw) < 1e-4

    gradient = Trace(net, x, layer).gradients(torch.tensor([target]))[0]
    maps = Trace(net, x, "features.29").activations[0]
    mixture = torch.einsum("k,khw->hw", gradient.mean(dim=(1, 2)), maps).relu()
    theirs, _ = pytorch_grad_cam(pgc.GradCAM, "vgg16", layer)
    assert helpers.relative(theirs, mixture) < 1e-4

    for a, b in ((before.raw, after.raw), (before.raw, theirs), (after.raw, theirs)):
        assert helpers.relative(a, b) > 0.02

    assert bool((Trace(net, x, layer).activations < 0).any())
    with torch.no_grad():
        by_hand = x
        for child in net.module.features[:29]:
            by_hand = child(by_hand)
        assert torch.equal(Trace(net, x, layer).activations, by_hand)
        assert torch.equal(Trace(net, x, "features.29").activations, by_hand.relu())


def test_a_frozen_network_under_no_grad_works_here_and_is_refused_by_torchcam():
    net, x, target = named("resnet18")
    module = copy.deepcopy(net.module).requires_grad_(False)
    with torch.no_grad(), tc.GradCAM(module, target_layer="layer4") as extractor, pytest.raises(RuntimeError):
        extractor(target, module(x))
    with torch.no_grad():
        e = camlib.explain(Network(module), x, "grad-cam", target, "layer4")
    assert helpers.relative(e.raw, ours("resnet18", "grad-cam", "layer4").raw) < 1e-6


# -- pixel methods


class Six(nn.Module):
    """conv - ReLU6 - conv - ReLU6 - GAP - linear, with inputs large enough to saturate the first ReLU6."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.act1 = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU6(inplace=True)
        self.conv2, self.act2 = nn.Conv2d(8, 6, 3, stride=2, padding=1), nn.ReLU6(inplace=True)
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.act2(self.conv2(self.act1(self.conv1(x)))).mean(dim=(2, 3)))


@pytest.fixture
def six() -> tuple[Network, Tensor]:
    return helpers.network(helpers.seeded(Six)), helpers.batch(2) * 6


def backward_by_hand(module: Six, x: Tensor, target: int, rule: str) -> Tensor:
    """∂y/∂x of Six, layer by layer from the logit down, with the given rule at each ReLU6 [B, 3, H, W]."""
    with torch.no_grad():
        z1 = module.conv1(x)
        a1 = z1.clamp(0, 6)
        z2 = module.conv2(a1)
        signal = module.fc.weight[target].view(1, -1, 1, 1).expand_as(z2) / z2[0, 0].numel()
        signal = at_relu(signal, z2, rule)
        signal = torch.nn.grad.conv2d_input(a1.shape, module.conv2.weight, signal, stride=2, padding=1)
        signal = at_relu(signal, z1, rule)
        return torch.nn.grad.conv2d_input(x.shape, module.conv1.weight, signal, padding=1)


def at_relu(signal: Tensor, inputs: Tensor, rule: str) -> Tensor:
    passed = (inputs > 0) & (inputs < 6)
    rules = {
        "gradient": signal * passed,
        "guided-backprop": signal.relu() * passed,  # Springenberg et al. 2014: both masks
        "deconvnet": signal.relu(),  # Zeiler and Fergus 2014: the signal's own sign only
    }
    return rules[rule]


@pytest.mark.parametrize("method", ["gradient", "guided-backprop", "deconvnet"])
def test_backward_rules_hold_on_relu6_by_hand(method, six):
    """captum overrides nn.ReLU only; on a network of ReLU6 it would return the plain gradient."""
    net, x = six
    with torch.no_grad():
        z1 = net.module.conv1(x)
    assert bool((z1 > 6).any())
    expected = backward_by_hand(net.module, x, 2, method).abs().amax(dim=1)
    found = METHODS[method].function(Trace(net, x), torch.tensor([2, 2]))
    assert helpers.relative(found, expected) < 1e-6
    plain = backward_by_hand(net.module, x, 2, "gradient").abs().amax(dim=1)
    assert method == "gradient" or helpers.relative(found, plain) > 0.1


def test_backward_rules_do_not_touch_the_network(six):
    net, x = six
    kinds = [type(child) for child in net.module.modules()]
    METHODS["guided-backprop"].function(Trace(net, x), torch.tensor([2, 2]))
    assert [type(child) for child in net.module.modules()] == kinds


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (helpers.FunctionalRelu, "FunctionalRelu has no ReLU module: guided-backprop is the plain gradient here"),
        (lambda: Mixed(), r"Mixed applies 1 ReLU\(s\) by a function call; guided-backprop leaves these as they are"),
    ],
)
def test_relus_out_of_captums_reach_are_reported(build, words):
    with pytest.warns(UserWarning, match=words):
        camlib.explain(helpers.network(helpers.seeded(build)), helpers.picture(0), "guided-backprop", 1)


class Mixed(helpers.SharedRelu):
    """One ReLU module and one ReLU by a function call."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(self.conv2(self.relu(self.conv1(x)))).mean(dim=(2, 3)))


def test_smooth_grad_without_noise_is_the_gradient(six):
    net, x = six
    trace, target = Trace(net, x), torch.tensor([1, 3])
    smooth = METHODS["smooth-grad"].function(trace, target, samples=4, noise=0.0)
    assert helpers.relative(smooth, METHODS["gradient"].function(trace, target)) < 1e-6


def test_smooth_grad_is_the_mean_gradient_under_gaussian_noise(six):
    """Two independent estimates of the same mean: ours, and a plain loop with its own noise."""
    net, x = six
    x, samples = x[:1], 400
    found = METHODS["smooth-grad"].function(Trace(net, x), torch.tensor([1]), samples=samples, noise=0.1, batch=50)
    sigma = 0.1 * (x.max() - x.min())
    draws = torch.randn(samples, *x.shape[1:], generator=torch.Generator().manual_seed(99), dtype=x.dtype)
    noisy = (x + sigma * draws).requires_grad_(True)
    (gradients,) = torch.autograd.grad(net.module(noisy)[:, 1].sum(), noisy)
    mean, error = gradients.mean(dim=0), gradients.std(dim=0) / samples**0.5
    difference = (found[0] - mean.abs().amax(dim=0)).abs()
    assert float((difference / (error.amax(dim=0) * 2**0.5)).max()) < 6  # standard errors, over 1024 pixels
    plain = backward_by_hand(net.module, x, 1, "gradient").abs().amax(dim=1)
    assert helpers.relative(found, plain) > 0.05


def test_integrated_gradients_equal_a_midpoint_sum(six):
    net, x = six
    baseline, steps = 0.5, 2000
    t = ((torch.arange(steps, dtype=x.dtype) + 0.5) / steps).view(-1, 1, 1, 1)
    expected = []
    for one in x:
        line = (baseline + t * (one - baseline)).requires_grad_(True)
        (gradients,) = torch.autograd.grad(net.module(line)[:, 2].sum(), line)
        expected.append(((one - baseline) * gradients.mean(dim=0)).abs().amax(dim=0))
    found = METHODS["integrated-gradients"].function(
        Trace(net, x), torch.tensor([2, 2]), steps=300, baseline=baseline, batch=64
    )
    assert helpers.relative(found, torch.stack(expected)) < 0.01


def test_integrated_gradients_add_up_to_the_change_of_the_logit():
    """Completeness: Σ attribution = y(x) - y(x'). One color and only positive weights make |attribution| signed."""
    module = helpers.seeded(
        lambda: nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 3, stride=2), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
        )
    )  # fmt: skip
    with torch.no_grad():
        for p in module.parameters():
            p.abs_()
        module[0].bias.fill_(-1.0)  # the first ReLU is closed at the baseline and opens on the way
    net = Network(module, transform=Preprocess((24, 24), (0.0,), (1.0,)))
    x = torch.rand(2, 1, 24, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    found = METHODS["integrated-gradients"].function(Trace(net, x), torch.tensor([1, 1]), steps=400, batch=100)
    with torch.no_grad():
        change = (module(x) - module(torch.zeros_like(x)))[:, 1]
        linear = module[0](x)
    assert bool((linear > 0).any())
    assert bool((linear < 0).any())
    torch.testing.assert_close(found.sum(dim=(1, 2)).double(), change, rtol=2e-3, atol=0)


def test_integrated_gradients_equal_captum_called_directly(six):
    net, x = six
    expected = IntegratedGradients(net.module).attribute(x, baselines=0.0, target=2, n_steps=20)
    found = METHODS["integrated-gradients"].function(Trace(net, x), torch.tensor([2, 2]), steps=20)
    assert helpers.relative(found, expected.abs().amax(dim=1).detach()) < 1e-6
