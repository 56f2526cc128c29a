"""pytorch-grad-cam, torchcam and captum on the wider family: agreement, and every known difference, named."""

from __future__ import annotations

import copy

import helpers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camlib import METHODS, Trace, framework
from camlib.registry import Detailed

pytest.importorskip("pytorch_grad_cam")
pytest.importorskip("torchcam")
import pytorch_grad_cam as pgc
import torchcam.methods as tc
from captum.attr import DeepLift
from pytorch_grad_cam.utils.model_targets import ClassifierOutputReST, ClassifierOutputTarget
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

C = 1
HEADS = {"gap": helpers.Gap, "mlp": helpers.Pooled}
every_head = pytest.mark.parametrize("kind", HEADS.values(), ids=HEADS.keys())


def built(kind: type) -> nn.Module:
    """Float32, and sure enough of itself that softmaxes are no uniform ones."""
    module = helpers.seeded(kind, dtype=torch.float32)
    with torch.no_grad():
        (module.fc if kind is helpers.Gap else module.classifier[2]).weight.mul_(15)
    return module


def traced(module: nn.Module) -> Trace:
    return Trace(helpers.network(module), helpers.batch(1, torch.float32), "features")


def found(name: str, trace: Trace, **options: object) -> Tensor:
    made = METHODS[name].function(trace, torch.tensor([C]), **options)
    return (made.values if isinstance(made, Detailed) else made)[0]


def mapped(weights: Tensor, trace: Trace) -> Tensor:
    return framework.class_activation_map(weights[None], trace.activations)[0]


def theirs(kind: type, module: nn.Module, target: object) -> Tensor:
    """Weights or map of pytorch-grad-cam before its ReLU, whichever the class makes, [K] or [h, w]."""
    module, kept = copy.deepcopy(module), []
    with kind(model=module, target_layers=[module.features]) as cam:
        name = "get_cam_image" if kind in (pgc.HiResCAM, pgc.EigenCAM) else "get_cam_weights"
        made = getattr(cam, name)
        setattr(cam, name, lambda *args: kept.append(made(*args)) or kept[-1])
        cam(input_tensor=helpers.batch(1, torch.float32), targets=[target])
    return torch.from_numpy(np.asarray(kept[0]))[0]


# -- pytorch-grad-cam


@every_head
def test_hires_cam_of_pytorch_grad_cam(kind):
    module = built(kind)
    trace = traced(module)
    peer = theirs(pgc.HiResCAM, module, ClassifierOutputTarget(C))
    assert helpers.relative(mapped(found("hires-cam", trace), trace), peer) < 1e-5


@every_head
@pytest.mark.parametrize(("score", "target"), [("rest", ClassifierOutputReST), ("logit", ClassifierOutputTarget)])
def test_shapley_cam_of_pytorch_grad_cam(kind, score, target):
    """Its default target is the logit, which behind ReLU layers makes it Grad-CAM; the paper's is ReST."""
    module = built(kind)
    assert (
        helpers.relative(found("shapley-cam", traced(module), score=score), theirs(pgc.ShapleyCAM, module, target(C)))
        < 1e-5
    )


@every_head
@pytest.mark.parametrize("alpha", [0.6, 1.0])
def test_finer_cam_of_pytorch_grad_cam_weighs_by_probability(kind, alpha):
    module = built(kind)
    trace, twin, kept = traced(module), copy.deepcopy(module), []
    with pgc.FinerCAM(twin, [twin.features]) as cam:
        weigh = cam.base_cam.get_cam_weights
        cam.base_cam.get_cam_weights = lambda *args: kept.append(weigh(*args)) or kept[-1]
        cam(helpers.batch(1, torch.float32), alpha=alpha, target_idx=C)
    peer = torch.from_numpy(np.asarray(kept[0]))[0]
    assert helpers.relative(found("finer-cam", trace, gamma=alpha, weighting="probability"), peer) < 1e-5
    assert helpers.relative(found("finer-cam", trace, gamma=alpha), peer) > 1e-3


@every_head
def test_eigen_cam_of_pytorch_grad_cam_centers_and_has_the_sign_of_its_svd(kind):
    """Its projection is H − mean H of the centered direction, up to a sign that it leaves to the library."""
    trace = traced(built(kind))
    peer = torch.from_numpy(get_2d_projection(trace.activations.numpy()))[0]
    ours = mapped(found("eigen-cam", trace, center=True), trace)
    ours = ours - ours.mean()
    assert min(helpers.relative(ours, peer), helpers.relative(-ours, peer)) < 1e-4
    plain = mapped(found("eigen-cam", trace), trace)
    assert abs(helpers.correlation(plain, peer)) < 0.9999


# -- torchcam


@every_head
def test_finer_cam_of_torchcam(kind):
    module = built(kind)
    trace, x = traced(module), helpers.batch(1, torch.float32)
    with tc.FinerCAM(copy.deepcopy(module), "features", input_shape=(3, 32, 32)) as extractor:
        scores = extractor.model(x.clone().requires_grad_(True))
        (peer,) = extractor(C, scores, normalized=False)
    ours = mapped(found("finer-cam", trace), trace).relu()
    assert helpers.relative(peer[0].detach(), ours) < 1e-4


def theirs_in_order(trace: Trace, module: nn.Module, factors: list[float]) -> Tensor:
    """torchcam's IS-CAM written out: maps are scaled before they are enlarged; softmax of the mean logit, [K]."""
    logits = []
    for channel in trace.activations[0]:
        low = (channel - channel.min()) / (channel.max() - channel.min()).clamp(min=1e-8)
        mask = F.interpolate(low[None, None], (32, 32), mode="bilinear", align_corners=False)
        y = [module(trace.inputs * (factor * mask))[0, C].detach() for factor in factors]
        logits.append(torch.stack(y).mean())
    return torch.stack(logits).softmax(dim=0)


@every_head
def test_is_cam_of_torchcam_but_for_the_order_of_scaling_and_enlarging(kind):
    module = built(kind)
    trace, x = traced(module), helpers.batch(1, torch.float32)
    with (
        torch.no_grad(),
        tc.ISCAM(copy.deepcopy(module), "features", num_samples=4, input_shape=(3, 32, 32)) as extractor,
    ):
        extractor.model(x)
        (peer,) = extractor._get_weights(C)
    assert bool(trace.live.all())  # torchcam's softmax counts dead channels, too
    written_out = theirs_in_order(trace, module, [i * (i + 1) / 8 for i in range(1, 5)])
    assert helpers.relative(peer.flatten(), written_out) < 1e-4
    ours = found("is-cam", trace, steps=4)
    assert helpers.correlation(ours, peer.flatten()) > 0.98


@every_head
def test_ss_cam_of_torchcam_draws_anew_for_every_channel(kind):
    """Its weights change from run to run and have no seed; with little noise they are ours but for the masks' order."""
    module = built(kind)
    trace, x = traced(module), helpers.batch(1, torch.float32)
    settings = {"num_samples": 6, "std": 0.05, "input_shape": (3, 32, 32)}
    runs = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        with torch.no_grad(), tc.SSCAM(copy.deepcopy(module), "features", **settings) as extractor:
            extractor.model(x)
            runs.append(extractor._get_weights(C)[0].flatten())
    assert not torch.equal(*runs)
    ours = found("ss-cam", trace, samples=6, sigma=0.05)
    assert helpers.correlation(ours, sum(runs) / 2) > 0.98


# -- captum


class Tail(nn.Module):
    """A head that captum's hooks can follow: feature maps in, logits out."""

    def __init__(self, module: helpers.Pooled) -> None:
        super().__init__()
        self.pool, self.classifier = module.pool, module.classifier

    def forward(self, maps: Tensor) -> Tensor:
        return self.classifier(self.pool(maps).flatten(1))


class Inner(nn.Module):
    """Behind the layer: convolution, ReLU, max pooling of maps whose reference is not flat, an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.features = helpers.features()
        self.pool = nn.Sequential(
            nn.Conv2d(6, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 6, 3, padding=1), nn.MaxPool2d(2)
        )
        self.classifier = nn.Sequential(nn.Linear(96, 12), nn.ReLU(), nn.Linear(12, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.pool(self.features(x)).flatten(1))


@pytest.mark.filterwarnings("ignore:.*[Ss]etting.*hooks.*")
@pytest.mark.parametrize("kind", [helpers.Pooled, Inner])
def test_lift_cam_of_its_authors_through_captum(kind):
    """The authors call captum's DeepLift on the part behind the layer and sum over positions."""
    module = helpers.seeded(kind)
    trace = Trace(helpers.network(module), helpers.batch(2), "features")
    target = torch.tensor([1, 3])
    maps = trace.activations.clone().requires_grad_(True)
    shares = DeepLift(Tail(module)).attribute(maps, torch.zeros_like(maps), target=target)
    ours = METHODS["lift-cam"].function(trace, target).values
    assert helpers.relative(ours, shares.sum(dim=(2, 3)).detach()) < 1e-9
