"""Numbers on CAM, Grad-CAM and their kin: Si et al. 2021, Baek's slides, and papers that both stand on."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

import camlib
from camlib import framework
from camlib.compendium.errata.cases import (
    GAP,
    VGG,
    Case,
    Number,
    agreement,
    by,
    cases,
    exact,
    mean,
    measures,
    network,
    photographs,
    scenes,
    spread,
)
from camlib.metrics import energy_share
from camlib.registry import METHODS
from camlib.trace import Trace
from camlib.weights.gradient import grad_cam_plus_plus
from camlib.zoo.heads import PoolingHead

POOLED = ("scenes-avg22", "scenes-max22", "scenes-avg21")
CITATIONS = {"CAM": (5409, 5490), "Grad-CAM": (7863, 7683)}
"""What the slides say, and what the picture on the same slide shows."""


@measures("cam-relu", "cam-relu-energy", "sca-negative", "sca-relu")
def relu() -> Iterator[Number]:
    """CAM and SCA-CAM without the ReLU that their papers do not print, against the maps with it."""
    lite0 = "efficientnet-lite0, photographs"
    for population, found in ((GAP, cases(GAP)), (lite0, photographs())):
        yield agreement("cam-relu", population, found, by("gap-cam", relu=False), by("gap-cam"))
    gains, units = [], []
    for case in cases(GAP, classes=1):
        shown, plain = (_energy(case, by("gap-cam", relu=relu)(case)) for relu in (True, False))
        gains += [a - b for a, b in zip(shown, plain, strict=True)]
        units += case.scenes
    yield mean("cam-relu-energy", GAP, gains, units)
    for population, found in ((VGG, cases(VGG)), (GAP, cases(GAP)), (lite0, photographs())):
        negative = [float(one.min() < -1e-6 * one.abs().max()) for c in found for one in by("sca-cam", relu=False)(c)]
        yield mean("sca-negative", population, negative, [scene for c in found for scene in c.scenes])
        yield agreement("sca-relu", population, found, by("sca-cam", relu=False), by("sca-cam"))


def _energy(case: Case, made: Tensor) -> list[float]:
    """Share of each heatmap on the first object of its scene."""
    heat = framework.normalize(framework.upsample(made, tuple(case.trace.inputs.shape[-2:])))[0]
    masks = scenes().masks[list(case.scenes), 0]
    return [energy_share(one.numpy(), mask.numpy()) for one, mask in zip(heat, masks, strict=True)]


def _against(case: Case) -> Tensor:
    """Share of SCA-CAM's map that comes from channels whose weight in the classifier is negative, [B]."""
    negative = case.trace.head.weight[case.target] < 0
    parts = METHODS["sca-cam"].function(case.trace, case.target) * case.trace.activations
    mass = parts.sum(dim=(2, 3))
    return (mass * negative).sum(dim=1) / mass.sum(dim=1)


@measures("sca-against", "sca-same")
def claims() -> Iterator[Number]:
    """Negative evidence in SCA-CAM's map, and GAP-CAM against Grad-CAM, where one is said to localize better."""
    for population, found in ((GAP, cases(GAP)), ("efficientnet-lite0, photographs", photographs())):
        shares = [share for case in found for share in _against(case).tolist()]
        yield mean("sca-against", population, shares, [scene for case in found for scene in case.scenes])
        yield agreement("sca-same", population, found, by("grad-cam"), by("gap-cam"))


@measures("sca-eq-24")
def eq_24() -> Iterator[Number]:
    """Largest deviation of the maps of eq. 21 with Σ_s w_s from those of eq. 22, relative to the largest value."""
    for name in (GAP, *POOLED):
        worst = 0.0
        for case in cases(name, count=24):
            a, b = by("sca-cam", form="softmax")(case), by("sca-cam")(case)
            worst = max(worst, spread(a - b) / spread(b))
        yield exact("sca-eq-24", name, worst)


@measures("sca-alpha", "sca-alpha-squeezenet: 165", "sca-alpha-squeezenet: 166", "sca-alpha-squeezenet: 167")
def alpha() -> Iterator[Number]:
    """w/(100·g) of every channel on 7 x 7 maps, and 169²/(100·n_c) of SqueezeNet's 13 x 13."""
    case = photographs()[0]
    row = case.trace.head.weight[case.target]
    ratio = row / (100 * METHODS["grad-cam"].function(case.trace, case.target))
    low, value, high = (float(of(ratio)) for of in (torch.amin, torch.median, torch.amax))
    yield Number("sca-alpha", "efficientnet-lite0", value, low, high, ratio.numel())
    for positions in (165, 166, 167):
        yield exact(f"sca-alpha-squeezenet: {positions}", "closed form", 13**4 / (100 * positions))


@measures("sca-before-relu")
def before_relu() -> Iterator[Number]:
    """α of each channel in front of the last ReLU over α behind it, hw/n_l: least, median and largest."""
    ratios = []
    for case in cases(GAP, "features.11", classes=1):
        w, g = case.trace.head.weight[case.target], METHODS["grad-cam"].function(case.trace, case.target)
        ratios.append((w / (case.trace.positions * g))[g != 0])
    found = torch.cat(ratios)
    low, value, high = (float(of(found)) for of in (torch.amin, torch.median, torch.amax))
    yield Number("sca-before-relu", f"{GAP}, features.11", value, low, high, len(found))


@measures("sca-inconsistent")
def inconsistent() -> Iterator[Number]:
    """Largest deviation of mean gradient and summed weights behind a zero-padded average, relative to the largest."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head, maps = PoolingHead(3, (7, 7), 2, nn.AvgPool2d(3, 2, padding=1)), torch.rand(1, 3, 7, 7)
    maps.requires_grad_(True)
    (g,) = torch.autograd.grad(head(maps)[0, 1], maps)
    w = head.channel_weights[1].detach()
    yield exact("sca-inconsistent", "7 x 7 x 3, avg 3/2, padding 1", spread(g.mean(dim=(2, 3))[0] - w) / spread(w))


@measures("sca-length")
def lengths() -> Iterator[Number]:
    """Entries of w for the 4 x 4 x 3 map of case 2."""
    yield exact("sca-length", "4 x 4 x 3, avg 2/2", PoolingHead(3, (4, 4), 2, "avg 2/2").linear.in_features)


def _divided(case: Case) -> Tensor:
    """Grad-CAM with each channel's gradient divided by the sum of its map instead of the number of positions."""
    m = case.trace.activations
    sums = m.sum(dim=(2, 3))
    weights = case.trace.gradients(case.target).sum(dim=(2, 3)) / torch.where(sums > 0, sums, torch.inf)
    return framework.class_activation_map(weights, m).relu()


def _positive_part(case: Case) -> Tensor:
    """Grad-CAM++ with α = 1/Z: the mean of the positive gradients."""
    weights = case.trace.gradients(case.target).relu().mean(dim=(2, 3))
    return framework.class_activation_map(weights, case.trace.activations).relu()


@measures("slides-z", "slides-alpha", "slides-citations: CAM", "slides-citations: Grad-CAM")
def slides() -> Iterator[Number]:
    """Z as a sum of each map, α = 1/Z behind the inner ReLU, and two numbers of citations."""
    for name in (VGG, GAP):
        yield agreement("slides-z", name, cases(name), _divided, by("grad-cam"))
        yield agreement("slides-alpha", name, cases(name), _positive_part, by("grad-cam"))
    for paper, (said, shown) in CITATIONS.items():
        yield exact(f"slides-citations: {paper}", "one slide", abs(said - shown))


def _smoothed() -> camlib.Network:
    """scenes-vgg with SiLU in the place of the ReLUs behind its feature maps."""
    net = camlib.load_network(VGG)
    for place in (2, 5):
        net.module.classifier[place] = nn.SiLU()
    return camlib.Network(net.module, net.target_layer, net.transform, name=f"{VGG} with SiLU")


@measures("plus-plus-exact", "plus-plus-exact-map")
def exact_plus_plus() -> Iterator[Number]:
    """Correlation of Grad-CAM++'s weights, powers of gradients against true derivatives, and of the maps."""
    net = _smoothed()
    for population, loaded in ((VGG, network(VGG)), (f"{VGG} with SiLU", net)):
        trace = Trace(loaded, torch.stack([loaded.prepare(scenes().images[i])[1] for i in range(24)]))
        case = Case(trace, trace.logits.argmax(dim=1), tuple(range(24)))
        usual, true = (grad_cam_plus_plus(trace, case.target, exact=exact) for exact in (False, True))
        values = [float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in zip(usual, true, strict=True)]
        yield mean("plus-plus-exact", population, values, case.scenes)
        yield agreement("plus-plus-exact-map", population, [case], by("grad-cam++"), by("grad-cam++", exact=True))


@measures("smooth-numerator")
def smooth() -> Iterator[Number]:
    """Smooth Grad-CAM++ with the first derivative in α's numerator, as printed, against the second."""

    def printed(case: Case) -> Tensor:
        d1, d2, d3 = case.trace.noisy_moments(case.target, 25, 0.15, 0)
        below = 2 * d2 + case.trace.activations.sum(dim=(2, 3), keepdim=True) * d3
        alpha = torch.where((d1 > 0) & (below > 0), d1 / below, 0.0)
        weights = (alpha * d1.relu()).sum(dim=(2, 3))
        return framework.class_activation_map(weights, case.trace.activations).relu()

    yield agreement("smooth-numerator", VGG, cases(VGG, count=24, classes=1), printed, by("smooth-grad-cam++"))


@measures("ablation-negative", "ablation-signed")
def ablation() -> Iterator[Number]:
    """Classes with a negative logit, whose map turns over when the drop is divided by it."""
    for name in (VGG, GAP):
        negative = [float(y < 0) for c in cases(name) for y in c.trace.logits.gather(1, c.target[:, None])[:, 0]]
        yield mean("ablation-negative", name, negative, [scene for c in cases(name) for scene in c.scenes])
        yield agreement("ablation-signed", name, cases(name), by("ablation-cam", signed=True), by("ablation-cam"))
