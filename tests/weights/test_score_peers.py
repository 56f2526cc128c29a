"""Score-CAM and Ablation-CAM of other libraries: agreement where they do the same, and each known difference."""

from __future__ import annotations

import copy
from functools import cache

import helpers
import numpy as np
import pytest
import torch
from captum.attr import LayerFeatureAblation
from torch import Tensor, nn

import camlib
from camlib import Network, Trace, framework

pytest.importorskip("pytorch_grad_cam")
pytest.importorskip("torchcam")
import pytorch_grad_cam as pgc
import torchcam.methods as tc
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget, ClassifierOutputTarget

# (network, layer): about 100 channels; blocks.4 has maps of both signs, layer2 is behind a ReLU
CASES = [("efficientnet-lite0", "blocks.4"), ("resnet18", "layer2")]
both = pytest.mark.parametrize(("name", "layer"), CASES)


@pytest.fixture(autouse=True)
def _no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")


@cache
def named(name: str) -> tuple[Network, Tensor, int]:
    """(network, ready photograph, class): Lite0 with its weights at 128, ResNet-18 with random ones at 64."""
    trained = name == "efficientnet-lite0"
    net = helpers.lite0() if trained else camlib.load_network(name, weights=None, seed=0)
    net = net.with_input_size(128 if trained else 64)
    x = net.prepare(camlib.load_photo("bull-mastiff"))[1][None]
    return net, x, 243 if trained else int(net.logits(x).argmax())


@cache
def _trace(name: str, layer: str) -> Trace:
    return Trace(named(name)[0], named(name)[1], layer)


def weights(name: str, layer: str, method: str, target: int | None = None, **options: object) -> Tensor:
    """Our class activation weights [K]; every pass is shared among the tests."""
    target = named(name)[2] if target is None else target
    return camlib.METHODS[method].function(_trace(name, layer), torch.tensor([target]), **options)[0]


def maps(name: str, layer: str) -> Tensor:
    return _trace(name, layer).activations[0]


def ours(name: str, layer: str, method: str, target: int | None = None, **options: object) -> Tensor:
    """Our rectified low-resolution map [h, w]."""
    w = weights(name, layer, method, target, **options)
    return framework.class_activation_map(w[None], maps(name, layer)[None])[0].relu()


def module_copy(name: str) -> nn.Module:
    """Peers leave hooks and replaced layers behind: each gets a module of its own."""
    return copy.deepcopy(named(name)[0].module).eval()


@cache
def torchcam_score_cam(name: str, layer: str) -> Tensor:
    """Rectified low-resolution map [h, w] of torchcam."""
    module, (_, x, target) = module_copy(name), named(name)
    with (
        torch.no_grad(),
        tc.ScoreCAM(module, target_layer=layer, batch_size=4, input_shape=tuple(x.shape[1:])) as extractor,
    ):
        (found,) = extractor(target, module(x), normalized=False)
    return found[0]


@cache
def pytorch_grad_cam_weights(kind: type, name: str, layer: str, target: int | None = None, p: bool = False) -> Tensor:
    """Weights [K] of pytorch-grad-cam; ``p``: softmax probability as the score."""
    module, (_, x, top) = module_copy(name), named(name)
    place, kept = module.get_submodule(layer), []
    wanted = (ClassifierOutputSoftmaxTarget if p else ClassifierOutputTarget)(top if target is None else target)
    with kind(model=module, target_layers=[place]) as cam:
        cam.batch_size = 4 if kind is pgc.ScoreCAM else 16
        weigh = cam.get_cam_weights
        cam.get_cam_weights = lambda *args: kept.append(weigh(*args)) or kept[-1]
        cam(input_tensor=x.clone(), targets=[wanted])
    return torch.from_numpy(np.asarray(kept[0]))[0]


def mapped(w: Tensor, name: str, layer: str) -> Tensor:
    return framework.class_activation_map(w[None].float(), maps(name, layer)[None])[0].relu()


# -- Score-CAM


@both
def test_score_cam_softmax_with_masks_normalized_first_is_torchcams(name, layer):
    theirs = torchcam_score_cam(name, layer)
    found = ours(name, layer, "score-cam-softmax", order="normalize-first")
    assert helpers.correlation(found, theirs) >= 0.9999
    assert helpers.relative(found / found.max(), theirs / theirs.max()) < 1e-3  # dead channels: a common factor


@both
def test_score_cam_softmax_with_aligned_corners_is_pytorch_grad_cams(name, layer):
    theirs = pytorch_grad_cam_weights(pgc.ScoreCAM, name, layer)
    found = weights(name, layer, "score-cam-softmax", align_corners=True)
    live = _trace(name, layer).live[0]  # dead channels have a share in theirs, see below
    assert helpers.relative(found[live], theirs[live] / theirs[live].sum()) < 1e-3
    assert helpers.correlation(mapped(found, name, layer), mapped(theirs, name, layer)) >= 0.9999


@both
def test_the_two_libraries_differ_by_their_masks_alone(name, layer):
    """Each of their masks against the paper's: upsampled with cell centers aligned, then scaled."""
    paper = weights(name, layer, "score-cam-softmax")
    torchcams = weights(name, layer, "score-cam-softmax", order="normalize-first")
    pgcs = weights(name, layer, "score-cam-softmax", align_corners=True)
    for a, b in ((paper, torchcams), (paper, pgcs), (torchcams, pgcs)):
        assert helpers.relative(a, b) > 5e-3
    assert helpers.relative(paper, torchcams) < helpers.relative(paper, pgcs)


def test_probabilities_in_a_softmax_over_channels_are_nearly_equal_weights():
    """Algorithm 1 read with probabilities leaves hardly any weight (METHODS 1.10): pytorch-grad-cam run that way."""
    name, layer = CASES[0]
    theirs = pytorch_grad_cam_weights(pgc.ScoreCAM, name, layer, p=True)
    by_hand = weights(name, layer, "score-cam", align_corners=True).softmax(dim=0)
    assert helpers.relative(by_hand, theirs) < 1e-3
    spread = float(theirs.max() / theirs.min())
    default = weights(name, layer, "score-cam-softmax", align_corners=True)
    assert spread < float(default.max() / default.min())
    assert spread < 2.8  # exp(1) at most


def test_a_dead_channel_is_scored_by_the_libraries_and_skipped_here():
    """Their masks of it are all zero: the score of the mean color takes part in the softmax."""
    module = helpers.seeded(helpers.Gap, dtype=torch.float32)
    with torch.no_grad():
        module.features[2].weight[2], module.features[2].bias[2] = 0, -1
    net, x = helpers.network(module), helpers.batch(1, torch.float32)
    found = camlib.METHODS["score-cam-softmax"].function(Trace(net, x, "features"), torch.tensor([1]))[0]
    assert float(found[2]) == 0
    with (
        torch.no_grad(),
        tc.ScoreCAM(copy.deepcopy(module), target_layer="features", input_shape=(3, 32, 32)) as extractor,
    ):
        extractor.model(x)
        theirs = extractor._get_weights(1)[0][0]
        empty = module(torch.zeros_like(x))[0, 1]
    assert float(theirs[2]) > 0.05
    shares = theirs / theirs.sum()
    with torch.no_grad():
        others = [k for k in range(6) if k != 2]
        trace = Trace(net, x, "features")
        logits = trace.masked_logits(camlib.engine.masking.Masking(order="normalize-first"))[0, :, 1]
    logits[2] = empty
    torch.testing.assert_close(shares, logits.softmax(dim=0), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        theirs[others] / theirs[others].sum(), logits[others].softmax(dim=0), rtol=1e-4, atol=1e-6
    )


# -- Ablation-CAM


def test_ablation_cam_is_pytorch_grad_cams_behind_a_relu():
    """Where the smallest activation is 0 it ablates to 0, as the paper does, and divides by the logit."""
    name, layer = CASES[1]
    assert float(maps(name, layer).min()) == 0
    assert float(_trace(name, layer).logits[0, named(name)[2]]) > 0
    theirs = pytorch_grad_cam_weights(pgc.AblationCAM, name, layer)
    found = weights(name, layer, "ablation-cam")
    assert helpers.correlation(found, theirs) >= 0.9999
    assert helpers.relative(found, theirs) < 1e-3
    assert helpers.correlation(ours(name, layer, "ablation-cam"), mapped(theirs, name, layer)) >= 0.9999


def test_a_negative_logit_turns_pytorch_grad_cams_weights_around():
    """It divides by y, we by |y| (METHODS 1.12): the map of such a class is ours with the other sign."""
    name, layer = CASES[1]
    target = int(_trace(name, layer).logits[0].argmin())
    assert float(_trace(name, layer).logits[0, target]) < 0
    theirs = pytorch_grad_cam_weights(pgc.AblationCAM, name, layer, target)
    found = weights(name, layer, "ablation-cam", target)
    assert helpers.relative(-found, theirs) < 1e-3


def test_pytorch_grad_cam_ablates_to_minus_ten_million_where_maps_are_signed():
    """Not to 0 as in the paper: that breaks the logit, and the drop is about y itself for every channel alike."""
    name, layer = CASES[0]
    assert float(maps(name, layer).min()) < 0
    theirs = pytorch_grad_cam_weights(pgc.AblationCAM, name, layer)
    found = weights(name, layer, "ablation-cam")
    assert helpers.correlation(found, theirs) < 0.5
    assert float(theirs.max() / theirs.min()) < 2
    assert float(found.max()) > 0 > float(found.min())


def captum_drops(module: nn.Module, layer: str, x: Tensor, target: int, channels: int) -> Tensor:
    """y - y_k of every channel [B, K] by captum's LayerFeatureAblation with one feature a channel, baseline 0."""
    one_a_channel = torch.arange(channels).view(1, -1, 1, 1)
    ablation = LayerFeatureAblation(module, module.get_submodule(layer))
    with torch.no_grad():
        drops = ablation.attribute(x, target=target, layer_baselines=0.0, layer_mask=one_a_channel)
    assert torch.equal(drops.amin(dim=(2, 3)), drops.amax(dim=(2, 3)))  # the same at every position
    return drops[:, :, 0, 0]


@pytest.mark.parametrize("target", range(5))
@pytest.mark.parametrize("build", [helpers.Gap, helpers.Pooled])
def test_ablation_cam_is_captums_drop_divided_by_the_absolute_logit(build, target):
    module, x = helpers.seeded(build), helpers.batch(2)
    found = camlib.METHODS["ablation-cam"].function(
        Trace(helpers.network(module), x, "features"), torch.tensor([target] * 2)
    )
    with torch.no_grad():
        y = module(x)[:, target]
    drops = captum_drops(copy.deepcopy(module), "features", x, target, 6)
    assert helpers.relative(found * y.abs()[:, None], drops) < 1e-9


@both
def test_ablation_cam_is_captums_on_a_photograph(name, layer):
    """Signed maps too: captum's baseline is 0 everywhere."""
    _, x, target = named(name)
    channels = 8  # the first ones are enough: each is a pass of the whole network
    mask = torch.arange(maps(name, layer).shape[0]).clamp(max=channels).view(1, -1, 1, 1)
    module = module_copy(name)
    ablation = LayerFeatureAblation(module, module.get_submodule(layer))
    with torch.no_grad():
        drops = ablation.attribute(x, target=target, layer_baselines=0.0, layer_mask=mask)[0, :channels, 0, 0]
    y = float(_trace(name, layer).logits[0, target])
    assert helpers.relative(weights(name, layer, "ablation-cam")[:channels] * abs(y), drops) < 1e-2
