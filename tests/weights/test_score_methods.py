"""The score family against loops transcribed from the papers, closed forms and numbers by hand, in float64.

The loops go picture by picture and channel by channel through the plain module; nothing in them is from camlib.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import helpers
import numpy as np
import pytest
import skimage.transform
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

import camlib
from camlib import METHODS, DegenerateMapWarning, Explanation, Network, Preprocess, Trace
from camlib.weights import union

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)  # three different ones: a color mixed up would show
TARGETS = (1, 3)
SIZE = (32, 32)
EXACT = 1e-9  # relative; float64, other order of summation
SINGLE = 1e-6  # relative; where a blur, a noise or a color is float32
FEW = settings(max_examples=8, deadline=None)


# -- small networks, taken apart


@dataclass(frozen=True)
class Case:
    """A network as two functions: pictures -> feature maps (``body``) and feature maps -> logits (``head``)."""

    module: nn.Module
    layer: str
    body: Callable[[Tensor], Tensor]
    head: Callable[[Tensor], Tensor]

    @property
    def net(self) -> Network:
        return Network(self.module, transform=Preprocess(SIZE, MEAN, STD), class_names=helpers.CLASSES)

    def trace(self, x: Tensor) -> Trace:
        return Trace(self.net, x, self.layer)

    def maps(self, picture: Tensor) -> Tensor:
        """A [K, h, w] of one picture [3, H, W]."""
        return self.body(picture[None])[0]

    def logit(self, picture: Tensor, c: int) -> Tensor:
        return self.module(picture[None])[0, c]

    def p(self, picture: Tensor, c: int) -> Tensor:
        return self.module(picture[None])[0].softmax(dim=0)[c]

    def gradient(self, picture: Tensor, c: int) -> Tensor:
        """dy_c/dA [K, h, w]."""
        with torch.enable_grad():
            a = self.body(picture[None]).detach().requires_grad_(True)
            (g,) = torch.autograd.grad(self.head(a)[0, c], a)
        return g[0]


def gap(module: helpers.Gap, gain: float = 12.0) -> Case:
    """Any Gap network; the classifier is enlarged so that probabilities differ clearly."""
    with torch.no_grad():
        module.fc.weight *= gain
    return Case(module, "features", module.features, lambda a: module.fc(a.mean(dim=(2, 3))))


def pooled(pool: nn.Module | None = None) -> Case:
    """Pooling to 4x4 and an MLP, as in VGG."""
    module = helpers.seeded(lambda: helpers.Pooled(pool), seed=9)
    with torch.no_grad():
        module.classifier[2].weight *= 20
    return Case(module, "features", module.features, lambda a: module.classifier(module.pool(a).flatten(1)))


def functional(layer: str) -> Case:
    """DenseNet's end: batch normalization, an in-place ReLU by a function call, GAP, linear."""

    def build() -> nn.Module:
        module = helpers.FunctionalRelu()
        nn.init.uniform_(module.norm.weight, 0.5, 2.0)
        nn.init.uniform_(module.norm.bias, -0.1, 0.1)
        nn.init.uniform_(module.norm.running_var, 0.1, 0.5)
        return module

    module = helpers.seeded(build, seed=2)
    with torch.no_grad():
        module.fc.weight *= 12

    def norm(x: Tensor) -> Tensor:
        return module.norm(module.conv2(module.conv1(x).relu()))

    if layer == "norm":
        return Case(module, layer, norm, lambda a: module.fc(a.relu().mean(dim=(2, 3))))
    return Case(module, layer, lambda x: norm(x).relu(), lambda a: module.fc(a.mean(dim=(2, 3))))


def with_channels(conv: Callable[[Tensor, Tensor], None], seed: int = 0, kind: type = helpers.Gap) -> nn.Module:
    """A Gap network whose second convolution was changed by hand: ``conv(weight, bias)``."""
    module = helpers.seeded(kind, seed)
    with torch.no_grad():
        conv(module.features[2].weight, module.features[2].bias)
    return module


def _kill(weight: Tensor, bias: Tensor) -> None:
    """Channel 2 is 0 everywhere, channel 4 is 0.7 everywhere; both count in the logits where not zero."""
    weight[[2, 4]] = 0
    bias[2], bias[4] = -1.0, 0.7


def bare() -> Case:
    """Pooling and an MLP on a convolution: maps of both signs, and gradients where they are negative."""
    module = helpers.seeded(lambda: helpers.Pooled(nn.AvgPool2d(2)), seed=4)
    module.features = module.features[:3]
    with torch.no_grad():
        module.classifier[2].weight *= 20
    return Case(module, "features", module.features, lambda a: module.classifier(module.pool(a).flatten(1)))


BUILD: dict[str, Callable[[], Case]] = {
    "gap": lambda: gap(helpers.seeded(helpers.Gap)),
    "mlp-max": pooled,
    "mlp-avg": lambda: pooled(nn.AvgPool2d(2)),
    "densenet": lambda: functional("norm+relu"),
    "signed": lambda: functional("norm"),  # in front of the in-place ReLU: maps of both signs
    "bare": bare,
    "dead": lambda: gap(with_channels(_kill)),
}
DEAD = {2, 4}
ALIVE = ["gap", "mlp-max", "mlp-avg", "densenet", "signed", "bare"]
every_case = pytest.mark.parametrize("name", BUILD)
every_living_case = pytest.mark.parametrize("name", ALIVE)


@cache
def case(name: str) -> Case:
    return BUILD[name]()


def pictures(count: int = 2) -> Tensor:
    """Normalized pictures whose values in [0, 1] survive a way there and back [count, 3, 32, 32]."""
    shape = (1, 3, 1, 1)
    x01 = torch.stack([helpers.picture(seed) for seed in range(count)]).double()
    return (x01 - torch.tensor(MEAN).double().view(shape)) / torch.tensor(STD).double().view(shape)


def in_range(value: float) -> Tensor:
    """A picture of one value of [0, 1] as network input [3, 1, 1]: black is 0, white is 1."""
    return torch.tensor([(value - m) / s for m, s in zip(MEAN, STD, strict=True)]).double().view(3, 1, 1)


def made(method: str, chosen: Case, x: Tensor, targets: tuple[int, ...] = TARGETS, **options: object) -> Tensor:
    """What the registered function returns in the network's own precision."""
    found = METHODS[method].function(chosen.trace(x), torch.tensor(targets), **options)
    return found.values if isinstance(found, tuple) else found


def explained(method: str, chosen: Case, x: Tensor, target: int, **options: object) -> Explanation:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DegenerateMapWarning)
        return camlib.explain(chosen.net, x, method, target, chosen.layer, **options)


def up(a: Tensor, align_corners: bool = False) -> Tensor:
    """[h, w] -> [H, W], bilinear."""
    return F.interpolate(a[None, None], SIZE, mode="bilinear", align_corners=align_corners)[0, 0]


@cache
def gaussian(n: int, sigma: float, radius: int) -> Tensor:
    """Matrix [n, n] of a Gaussian cut at ``radius``, mirrored at the ends (the outermost pixel not repeated)."""
    made = torch.zeros(n, n).double()
    for i in range(n):
        for d in range(-radius, radius + 1):
            j = (i + d) % (2 * n - 2)
            made[i, min(j, 2 * n - 2 - j)] += math.exp(-(d**2) / (2 * sigma**2))
    return made / made.sum(dim=1, keepdim=True)


def blur(picture: Tensor, sigma: float, radius: int | None = None) -> Tensor:
    """Gaussian blur of [..., 32, 32] in pixels, cut at 4 sigma unless told."""
    g = gaussian(32, sigma, round(4 * sigma) if radius is None else radius)
    return g @ picture @ g.T


def n01(a: Tensor) -> Tensor:
    """(a - min)/(max - min); zeros where that is 0/0 (METHODS 0.6)."""
    span = a.max() - a.min()
    return (a - a.min()) / span if span > 1e-12 else torch.zeros_like(a)


def live(a: Tensor) -> bool:
    return bool(a.max() > a.min())


def per_picture(
    loop: Callable[..., Tensor], chosen: Case, x: Tensor, targets: tuple[int, ...] = TARGETS, **options: object
) -> Tensor:
    """A loop over one picture and one class, for every picture of a batch."""
    with torch.no_grad():
        return torch.stack([loop(chosen, one, c, **options) for one, c in zip(x, targets, strict=True)])


def assert_heatmap(e: Explanation, expected: Tensor) -> None:
    """The front door's heatmap is N01(Up(map)) of the expected low-resolution map (float32)."""
    torch.testing.assert_close(e.heatmap.double(), n01(up(expected)), rtol=0, atol=1e-5)


# -- Score-CAM (METHODS 1.10)


@every_living_case
def test_score_cam_in_ten_lines(name):
    """Wang et al. 2019, eq. 1-5: mask with each feature map, take the probability, sum the maps."""
    chosen, x = case(name), pictures()
    found = made("score-cam", chosen, x)
    for b, c in enumerate(TARGETS):
        with torch.no_grad():
            cam = torch.zeros(8, 8).double()
            for k, a in enumerate(chosen.maps(x[b])):
                u = F.interpolate(a[None, None], size=(32, 32), mode="bilinear", align_corners=False)[0]
                mask = (u - u.min()) / (u.max() - u.min())
                weight = torch.softmax(chosen.module((x[b] * mask)[None]), dim=1)[0, c]
                assert float(found[b, k]) == pytest.approx(float(weight), rel=EXACT)
                cam += weight * a
        e = explained("score-cam", chosen, x[b : b + 1], c)
        assert helpers.relative(e.raw, cam.relu()) < 1e-5
        assert_heatmap(e, cam.relu())


def _scaled(a: Tensor, align_corners: bool, order: str) -> Tensor:
    return up(n01(a), align_corners) if order == "normalize-first" else n01(up(a, align_corners))


def _positive(a: Tensor, align_corners: bool, order: str) -> Tensor:
    return (up(a, align_corners) > 0).double()


def _unshifted(a: Tensor, align_corners: bool, order: str) -> Tensor:
    u = up(a, align_corners)
    return u / (u.max() - u.min())


FILLERS = {
    "mean": lambda: torch.zeros(3, 1, 1).double(),
    "black": lambda: in_range(0.0),
    "white": lambda: in_range(1.0),
}
SCORES = {  # name: (mask, score of a masked picture, whether a softmax over living channels follows)
    "score-cam": (_scaled, lambda net, x, c, filler: net.p(x, c), False),
    "score-cam-cic": (_scaled, lambda net, x, c, filler: net.p(x, c) - net.p(filler.expand_as(x), c), False),
    "score-cam-softmax": (_scaled, lambda net, x, c, filler: net.logit(x, c), True),
    "score-cam-raw": (_scaled, lambda net, x, c, filler: net.logit(x, c), False),
    "score-cam-binary": (_positive, lambda net, x, c, filler: net.p(x, c), False),
}


def score_cam_loop(
    net: Case,
    picture: Tensor,
    c: int,
    method: str = "score-cam",
    align_corners: bool = False,
    order: str = "upsample-first",
    filler: str = "mean",
    masks: str | None = None,
    fill: Tensor | None = None,
) -> Tensor:
    """Weights [K] of one picture."""
    mask_of, score, softmax = SCORES[method]
    mask_of = {None: mask_of, "binary": _positive, "unshifted": _unshifted}[masks]
    fill = FILLERS[filler]() if fill is None else fill
    scores = []
    for a in net.maps(picture):
        mask = mask_of(a, align_corners, order)
        masked = picture * mask + fill * (1 - mask)
        dead = -math.inf if softmax else 0.0
        scores.append(score(net, masked, c, fill) if live(a) else torch.tensor(dead).double())
    w = torch.stack(scores)
    return w.exp() / w.exp().sum() if softmax else w


OPTIONS = [
    {},
    {"align_corners": True},
    {"order": "normalize-first"},
    {"filler": "black"},
    {"filler": "white", "order": "normalize-first", "align_corners": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())) or "default")
@pytest.mark.parametrize("method", SCORES)
@every_case
def test_score_cam_and_its_variants_equal_a_loop(name, method, options):
    if method == "score-cam-binary":  # order changes what "U > 0" means, and is not offered
        options = {key: value for key, value in options.items() if key != "order"}
    chosen, x = case(name), pictures()
    expected = per_picture(score_cam_loop, chosen, x, method=method, **options)
    assert helpers.relative(made(method, chosen, x, **options), expected) < (SINGLE if "filler" in options else EXACT)


@pytest.mark.parametrize("masks", ["unshifted", "binary"])
@every_case
def test_score_cam_with_other_masks(name, masks):
    """Eq. 1 of 2019 as printed forgets the minimum in the numerator; the same where that is 0 (METHODS 1.10)."""
    chosen, x = case(name), pictures()
    expected = per_picture(score_cam_loop, chosen, x, masks=masks)
    found = made("score-cam", chosen, x, masks=masks)
    assert helpers.relative(found, expected) < EXACT
    if masks == "binary":
        assert torch.equal(found, made("score-cam-binary", chosen, x))
    elif name == "signed":
        assert helpers.relative(found, made("score-cam", chosen, x)) > 1e-2


@every_case
def test_score_cam_softmax_of_probabilities_is_the_sum_below_eq_8(name):
    """Wang et al. 2019, sec. 5.5.3: Σ_k Softmax(f(A^k·I, ...)) × A^k with f a probability."""
    chosen, x = case(name), pictures()
    found = made("score-cam-softmax", chosen, x, score="probability")
    for b, c in enumerate(TARGETS):
        with torch.no_grad():
            f = score_cam_loop(chosen, x[b], c)
            lit = torch.tensor([live(a) for a in chosen.maps(x[b])])
            printed = torch.where(lit, f.exp(), 0.0) / f[lit].exp().sum()
        assert helpers.relative(found[b], printed) < EXACT
        assert float(found[b][lit].max() / found[b][lit].min()) < math.e
    assert helpers.relative(found, made("score-cam-softmax", chosen, x)) > 1e-2


def test_the_options_of_score_cam_make_a_difference():
    chosen, x = case("mlp-max"), pictures(1)
    plain = made("score-cam", chosen, x, TARGETS[:1])
    for options in OPTIONS[1:]:
        assert helpers.relative(made("score-cam", chosen, x, TARGETS[:1], **options), plain) > 1e-4, options


@pytest.mark.parametrize("method", SCORES)
def test_dead_channels_have_weight_zero_and_stay_out_of_the_softmax(method):
    """METHODS 0.6; the constant channel has a probability of its own, which is not asked."""
    found = made(method, case("dead"), pictures())
    for k in range(6):
        assert bool((found[:, k] == 0).all()) == (k in DEAD)
    if method == "score-cam-softmax":
        torch.testing.assert_close(found.sum(dim=1), torch.ones(2).double())


def test_the_baseline_matters_for_cic_alone():
    """CIC = S1 minus one number a picture; a softmax does not see that number (METHODS 1.10)."""
    chosen, x = case("gap"), pictures()
    s1, cic = made("score-cam", chosen, x), made("score-cam-cic", chosen, x)
    with torch.no_grad():
        empty = torch.stack([chosen.p(torch.zeros(3, *SIZE).double(), c) for c in TARGETS])
    torch.testing.assert_close(s1 - cic, empty[:, None].expand_as(s1))
    raw, softmax = made("score-cam-raw", chosen, x), made("score-cam-softmax", chosen, x)
    torch.testing.assert_close(softmax, (raw - 1.25).softmax(dim=1))


@pytest.mark.parametrize("filler", ["blur", "noise"])
@every_case
def test_what_the_mask_hides_can_be_blurred_or_noise(name, filler):
    """Blur: sigma 10 pixels, mirrored border; noise: one draw of standard normal values for all channels."""
    chosen, x = case(name), pictures()
    noise = torch.randn(3, *SIZE, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        expected = torch.stack(
            [
                score_cam_loop(chosen, one, c, fill=blur(one, 10.0) if filler == "blur" else noise)
                for one, c in zip(x, TARGETS, strict=True)
            ]
        )
    assert helpers.relative(made("score-cam", chosen, x, filler=filler), expected) < SINGLE


def test_bfloat16_gives_nearly_the_same_weights():
    module = helpers.seeded(helpers.Gap, dtype=torch.float32)
    chosen, x = gap(module), pictures().float()
    with pytest.warns(UserWarning, match="bfloat16 scores, measured on 6 masks"):
        half = made("score-cam", chosen, x, precision="bfloat16")
    full = made("score-cam", chosen, x)
    assert 0 < helpers.relative(half, full) < 0.05
    assert half.dtype == full.dtype == torch.float32
    assert next(module.parameters()).dtype == torch.float32


def test_a_trace_keeps_the_logits_of_masked_pictures_for_all_classes():
    """What notebooks read: [B, K, C] of the pictures behind each living channel, zeros for the others."""
    chosen, x = case("dead"), pictures()
    trace = chosen.trace(x)
    found = trace.masked_logits()
    assert trace.live.tolist() == [[k not in DEAD for k in range(6)]] * 2
    with torch.no_grad():
        for b, picture in enumerate(x):
            for k, a in enumerate(chosen.maps(picture)):
                expected = chosen.module((picture * n01(up(a)))[None])[0] if live(a) else torch.zeros(5).double()
                torch.testing.assert_close(found[b, k], expected)
    assert trace.masked_logits() is found


def test_a_trace_keeps_the_logits_of_ablated_channels_for_all_classes():
    chosen, x = case("mlp-max"), pictures()
    trace = chosen.trace(x)
    found = trace.ablated_logits()
    with torch.no_grad():
        for b, picture in enumerate(x):
            for k in range(6):
                maps = chosen.maps(picture).clone()
                maps[k] = 0
                torch.testing.assert_close(found[b, k], chosen.head(maps[None])[0])
    assert trace.ablated_logits() is found


# -- numbers by hand: two maps of two by two

M = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64)


class Pencil(nn.Module):
    """The picture is the feature maps; y_0 = 2·mean(M_0) - mean(M_1), y_1 = 0, hence p_0 = sigmoid(y_0)."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Identity()
        self.fc = nn.Linear(2, 2).double()
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([[2.0, -1.0], [0.0, 0.0]]))
            self.fc.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.maps(x).mean(dim=(2, 3)))


def _sigmoid(y: float) -> float:
    return 1 / (1 + math.exp(-y))


# Masks ((0, 1/3), (2/3, 1)) and M_1 leave the means (5/3, 1/4) and (5/4, 1/2): logits 37/12 and 2. The whole
# picture has the means (5/2, 1/2) and the logit 9/2; M_0 alone 5, M_1 alone -1/2.
PENCIL = {
    "score-cam": [_sigmoid(37 / 12), _sigmoid(2)],
    "score-cam-cic": [_sigmoid(37 / 12) - 0.5, _sigmoid(2) - 0.5],
    "score-cam-softmax": [_sigmoid(13 / 12), 1 - _sigmoid(13 / 12)],
    "score-cam-raw": [37 / 12, 2],
    "score-cam-binary": [_sigmoid(9 / 2), _sigmoid(2)],
    "ablation-cam": [10 / 9, -1 / 9],
    "fd-cam": [math.e - 0.5, -0.5],  # s = (5 + 5, -1/2 - 1/2), scaled (1, 0); mean gradients scaled (1, 0)
}


@pytest.mark.parametrize("method", PENCIL)
def test_weights_by_hand(method):
    found = METHODS[method].function(Trace(Network(Pencil()), M[None], "maps"), torch.tensor([0]))
    assert found[0].tolist() == pytest.approx(PENCIL[method], rel=1e-12)


def test_recipro_cam_by_hand():
    trace = Trace(Network(Pencil()), M[None], "maps")
    logits = METHODS["recipro-cam"].function(trace, torch.tensor([0]), score="logit")
    assert logits[0].tolist() == [[0.5, 0.75], [1.25, 2.0]]  # (2·M_0 - M_1)/4
    found = METHODS["recipro-cam"].function(trace, torch.tensor([0]))
    assert found.flatten().tolist() == pytest.approx([_sigmoid(y) for y in (0.5, 0.75, 1.25, 2.0)], rel=1e-12)


# -- Guided Score-CAM (METHODS 1.11)


class _Guided(torch.autograd.Function):
    """ReLU whose backward pass keeps R[out > 0]·1[input > 0] (Springenberg et al. 2014)."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, signal: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return signal.clamp(min=0) * (x > 0)


class _Deconvolved(_Guided):
    """ReLU whose backward pass keeps R[out > 0], wherever the input was (Zeiler and Fergus 2014)."""

    @staticmethod
    def backward(ctx, signal: Tensor) -> Tensor:
        return signal.clamp(min=0)


def _through(layers: nn.Sequential, x: Tensor, relu: type[_Guided] = _Guided) -> Tensor:
    for child in layers:
        x = relu.apply(x) if isinstance(child, nn.ReLU) else child(x)
    return x


def backprop_by_hand(name: str, picture: Tensor, c: int, relu: type[_Guided] = _Guided) -> Tensor:
    """R_0 [3, H, W] of the logit, signed."""
    module, x = case(name).module, picture[None].clone().requires_grad_(True)
    with torch.enable_grad():
        a = _through(module.features, x, relu)
        behind = module.fc(a.mean(dim=(2, 3))) if name == "gap" else module.pool(a).flatten(1)
        y = behind if name == "gap" else _through(module.classifier, behind, relu)
        return torch.autograd.grad(y[0, c], x)[0][0]


SIGNALS = {None: _Guided, "guided-backprop": _Guided, "deconvnet": _Deconvolved}


@pytest.mark.parametrize(("clip", "signal"), [(None, None), (0.9, "guided-backprop"), (1.0, "deconvnet")])
@pytest.mark.parametrize("name", ["gap", "mlp-max"])
def test_guided_score_cam_is_heatmap_times_guided_backprop(name, clip, signal):
    """Wang et al. 2019, eq. 6; in gray: the sum over RGB of |.|, cut at a quantile (0.99 unless told)."""
    chosen, x = case(name), pictures()
    options = {key: value for key, value in (("clip", clip), ("signal", signal)) if value is not None}
    found = made("guided-score-cam", chosen, x, **options).double()
    for b, c in enumerate(TARGETS):
        with torch.no_grad():
            w = score_cam_loop(chosen, x[b], c)
            heat = n01(up(torch.einsum("k,khw->hw", w, chosen.maps(x[b])).relu()))
        gray = (heat * backprop_by_hand(name, x[b], c, SIGNALS[signal])).abs().sum(dim=0)
        top = float(np.quantile(gray.numpy(), 0.99 if clip is None else clip))
        assert helpers.relative(found[b], gray.clamp(max=top)) < 1e-5


# -- Ablation-CAM (METHODS 1.12)


def ablation_loop(net: Case, picture: Tensor, c: int, signed: bool = False) -> Tensor:
    """w_k = (y - y_k)/|y|, as printed (y - y_k)/y, with channel k set to 0 (Desai and Ramaswamy 2020, eq. 3)."""
    maps = net.maps(picture)
    y = net.head(maps[None])[0, c]
    w = []
    for k in range(len(maps)):
        without = maps.clone()
        without[k] = 0
        w.append((y - net.head(without[None])[0, c]) / (y if signed else abs(y)))
    return torch.stack(w)


@pytest.mark.parametrize("options", [{}, {"signed": True}], ids=str)
@every_case
def test_ablation_cam_equals_a_loop_over_the_channels(name, options):
    chosen, x = case(name), pictures()
    for targets in ((0, 1), (2, 3), (4, 4)):
        expected = per_picture(ablation_loop, chosen, x, targets, **options)
        assert helpers.relative(made("ablation-cam", chosen, x, targets, **options), expected) < EXACT


def test_ablation_cam_on_a_gap_network_for_logits_of_both_signs():
    """w_k = w_k^fc·m_k/|y| (METHODS 1.21): a negative logit must not turn the map around."""
    chosen, x = case("gap"), pictures(1)
    with torch.no_grad():
        means, y = chosen.maps(x[0]).mean(dim=(1, 2)), chosen.module(x)[0]
        rows = chosen.module.fc.weight
        assert bool((y > 0).any())
        assert bool((y < 0).any())
        for c in range(5):
            found = made("ablation-cam", chosen, x, (c,))[0]
            assert helpers.relative(found, rows[c] * means / y[c].abs()) < EXACT
            assert bool((found.sign() == rows[c].sign() * means.sign()).all())
            printed = made("ablation-cam", chosen, x, (c,), signed=True)[0]
            assert torch.equal(printed, found * y[c].sign())


# -- Group-CAM (METHODS 1.13)


def group_cam_loop(
    net: Case,
    picture: Tensor,
    c: int,
    groups: int = 32,
    theta: float | None = 70.0,
    kernel: int = 51,
    sigma: float = 50.0,
    sizes: tuple[int, ...] | None = None,
) -> Tensor:
    """Zhang et al. 2021 at low resolution, [h, w]; ``sizes`` are the channels of each group."""
    a = net.maps(picture)
    b = net.gradient(picture, c).mean(dim=(1, 2))[:, None, None] * a
    blurred = gaussian_blur(picture[None], [kernel, kernel], [sigma, sigma])[0]
    blank = net.p(blurred, c)
    total, start = torch.zeros_like(a[0]), 0
    for size in sizes or (1,) * len(a):
        m = b[start : start + size].sum(dim=0).relu()
        start += size
        if theta is not None:
            m = torch.where(m < np.percentile(m.numpy(), theta), 0.0, m)
        if not live(m):
            continue
        mask = n01(up(m))
        alpha = (net.p(picture * mask + blurred * (1 - mask), c) - blank).relu()
        total += alpha * m
    assert start == len(a)
    return total


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, None),  # 32 groups of 6 channels: one channel each, the others are empty
        ({"groups": 6, "theta": None}, None),
        ({"groups": 3}, (2, 2, 2)),
        ({"groups": 4}, (2, 2, 2)),  # 6 is no multiple of 4: as torch.chunk in the authors' code, fewer groups
        ({"groups": 2, "theta": 40.0, "kernel": 7, "sigma": 2.0}, (3, 3)),
        ({"groups": 1, "theta": None, "kernel": 5, "sigma": 10.0}, (6,)),
    ],
)
@every_case
def test_group_cam_equals_a_loop_over_the_groups(name, options, sizes):
    chosen, x, classes = case(name), pictures(1).expand(3, -1, -1, -1), (0, 1, 2)
    expected = per_picture(group_cam_loop, chosen, x, classes, sizes=sizes, **options)
    found = made("group-cam", chosen, x, classes, **options)
    assert found.shape == (3, 8, 8)
    assert helpers.relative(found, expected) < SINGLE
    b = int(expected.flatten(1).amax(dim=1).argmax())
    assert_heatmap(explained("group-cam", chosen, x[:1], b, **options), expected[b])


def test_a_group_of_zeros_is_skipped():
    """The official code divides 0 by 0 there and loses the whole map (METHODS 1.13)."""
    chosen, x = case("dead"), pictures()
    found = made("group-cam", chosen, x, groups=6, theta=None)
    assert bool(found.isfinite().all())
    assert float(found.max()) > 0


# -- SA-CAM (METHODS 1.14)


def sa_cam_loop(
    net: Case,
    picture: Tensor,
    c: int,
    perturbation: str = "constant",
    lambda1: float = 1.0,
    lambda2: float = 1.0,
    tau: float = 0.5,
    fill: str = "white",
    scale: str = "minmax",
    form: str = "sum",
    softmax: bool = True,
    exact: bool = False,
    blurred: Tensor | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """Algorithms 1 and 2 of Liang et al. 2022, weights [K]."""
    a, g = net.maps(picture), net.gradient(picture, c)
    hidden = {"constant": torch.zeros_like(picture), "blur": blurred, "noise": noise}[perturbation]
    alive, s, k, q = [], [], [], []
    for i in range(len(a)):
        alive.append(live(a[i]))
        if not alive[-1]:
            continue
        heat = n01(up(a[i]))
        segmented = torch.where(heat >= tau, picture, FILLERS[fill]())
        perturbed = picture * heat + hidden * (1 - heat)
        s.append(net.p(segmented, c) * (1 + net.p(perturbed, c)))
        k.append(g[i].mean())
        priority = torch.zeros(()).double()
        for g_ab in g[i].flatten():
            denominator = 2 * g_ab**2 + a[i].sum() * g_ab**3
            if g_ab > 0 and denominator > 0:
                priority += g_ab**2 / denominator * g_ab
        q.append(priority)
    s, k, q = (_rescaled(torch.stack(values), scale) for values in (s, k, q))
    sa = {
        "sum": s + lambda1 * k + lambda2 * q,  # eq. 9-10
        "score-gradient": s * k,  # eq. 5
        "product": s * k * q,  # eq. 6
        "mixed": (s + k) * q,  # eq. 8
    }[form]
    w = torch.zeros(len(a)).double()
    w[torch.tensor(alive)] = sa.exp() / sa.exp().sum() if softmax else sa
    return w


def _rescaled(values: Tensor, scale: str) -> Tensor:
    if scale == "none":
        return values
    if scale == "minmax":
        return n01(values)
    if scale == "max":  # eq. 7 as printed
        high, low = values.max(), values.min()
        return (values - low) / high if high > max(low, 0) else torch.zeros_like(values)
    top = values.abs().max()
    return values / top if top > 0 else torch.zeros_like(values)


SA_OPTIONS = [
    {},
    {"lambda1": 0.0, "lambda2": 0.0},
    {"lambda1": 2.0, "lambda2": 0.5},
    {"tau": 0.2, "fill": "black"},
    {"tau": 0.8, "fill": "mean"},
    {"scale": "none"},
    {"scale": "maxabs"},
    {"scale": "max"},
    {"exact": True},  # the same: the networks are piecewise linear
    {"form": "score-gradient"},
    {"form": "product"},
    {"form": "mixed", "scale": "none"},
    {"form": "mixed", "softmax": False},
    {"softmax": False},
]


@pytest.mark.parametrize("options", SA_OPTIONS, ids=str)
@every_case
def test_sa_cam_equals_algorithm_2(name, options):
    chosen, x = case(name), pictures()
    expected = per_picture(sa_cam_loop, chosen, x, **options)
    assert helpers.relative(made("sa-cam", chosen, x, **options), expected) < SINGLE


@pytest.mark.parametrize("sigma", [10.0, 2.0])
@every_living_case
def test_sa_cam_with_a_blurred_picture_behind_the_mask(name, sigma):
    chosen, x = case(name), pictures()
    with torch.no_grad():
        expected = torch.stack(
            [
                sa_cam_loop(chosen, one, c, perturbation="blur", softmax=False, blurred=blur(one, sigma))
                for one, c in zip(x, TARGETS, strict=True)
            ]
        )
    options = {} if sigma == 10.0 else {"sigma": sigma}
    found = made("sa-cam", chosen, x, perturbation="blur", softmax=False, **options)
    assert helpers.relative(found, expected) < SINGLE


@every_living_case
def test_sa_cam_with_noise_behind_the_mask(name):
    """One draw of standard normal noise a picture, the same for every channel."""
    chosen, x = case(name), pictures()
    noise = torch.randn(3, *SIZE, generator=torch.Generator().manual_seed(5)).double()
    expected = per_picture(sa_cam_loop, chosen, x, perturbation="noise", softmax=False, noise=noise)
    found = made("sa-cam", chosen, x, perturbation="noise", softmax=False, seed=5)
    assert helpers.relative(found, expected) < SINGLE
    other = made("sa-cam", chosen, x, perturbation="noise", softmax=False, seed=6)
    assert helpers.relative(other, expected) > 1e-4


def test_sa_cam_weights_are_all_positive_and_nearly_equal():
    """METHODS 1.14.2 q: with S, K and Q in [0, 1] no weight is more than e³ times another."""
    found = made("sa-cam", case("mlp-max"), pictures())
    assert bool((found > 0).all())
    assert bool((found.amax(dim=1) / found.amin(dim=1) <= math.exp(3)).all())
    torch.testing.assert_close(found.sum(dim=1), torch.ones(2).double())


# -- FD-CAM (METHODS 1.17)


def fd_cam_loop(net: Case, picture: Tensor, c: int, quantile: float = 0.95) -> Tensor:
    """Li et al. 2022: scores with a group of similar channels alone and without it."""
    a = net.maps(picture)
    flat = [one.flatten() for one in a]
    y = net.head(a[None])[0, c]
    s = []
    for k in range(len(a)):
        cosines = []
        for j in range(len(a)):
            cosine = torch.dot(flat[k], flat[j]) / (flat[k].norm() * flat[j].norm())
            cosines.append(0.0 if cosine.isnan() else float(cosine))
        group = torch.tensor([cosine > np.quantile(cosines, quantile) for cosine in cosines])
        alone, without = a.clone(), a.clone()
        alone[~group] = 0
        without[group] = 0
        s.append(net.head(alone[None])[0, c] + y - net.head(without[None])[0, c])
    return n01(torch.stack(s)).exp() * n01(net.gradient(picture, c).mean(dim=(1, 2))) - 0.5


@pytest.mark.parametrize("quantile", [None, 0.5, 0.3])
@every_case
def test_fd_cam_equals_a_loop_over_the_channels(name, quantile):
    chosen, x = case(name), pictures()
    options = {} if quantile is None else {"quantile": quantile}
    expected = per_picture(fd_cam_loop, chosen, x, **options)
    assert helpers.relative(made("fd-cam", chosen, x, **options), expected) < 1e-8


# -- Recipro-CAM (METHODS 1.18)

KERNEL = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]).double() / 16


def recipro_cam_loop(net: Case, picture: Tensor, c: int, gaussian: bool = False, score: str = "probability") -> Tensor:
    """Byun and Lee 2022: the score of each position's feature vector alone, [h, w]."""
    a = net.maps(picture)
    _, h, w = a.shape
    found = torch.zeros(h, w).double()
    for i in range(h):
        for j in range(w):
            kept = torch.zeros_like(a)
            for di in (-1, 0, 1) if gaussian else (0,):
                for dj in (-1, 0, 1) if gaussian else (0,):
                    if 0 <= i + di < h and 0 <= j + dj < w:
                        kept[:, i + di, j + dj] = a[:, i, j] * (KERNEL[1 + di, 1 + dj] if gaussian else 1)
            y = net.head(kept[None])[0]
            found[i, j] = y[c] if score == "logit" else y.softmax(dim=0)[c]
    return found


@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("score", ["probability", "logit"])
@every_case
def test_recipro_cam_equals_a_loop_over_the_positions(name, score, gaussian):
    chosen, x = case(name), pictures()
    expected = per_picture(recipro_cam_loop, chosen, x, score=score, gaussian=gaussian)
    found = made("recipro-cam", chosen, x, score=score, gaussian=gaussian)
    assert found.shape == (2, 8, 8)
    assert helpers.relative(found, expected) < EXACT


def test_recipro_cam_with_logits_is_cam_plus_the_bias():
    """R_ij = CAM_ij/hw + b_c on a GAP network (METHODS 1.21)."""
    chosen, x = case("gap"), pictures()
    found = made("recipro-cam", chosen, x, score="logit")
    with torch.no_grad():
        rows, bias = chosen.module.fc.weight[list(TARGETS)], chosen.module.fc.bias[list(TARGETS)]
        expected = torch.einsum("bk,bkhw->bhw", rows, chosen.body(x)) / 64 + bias[:, None, None]
    assert helpers.relative(found, expected) < 1e-12


def test_the_heatmap_of_recipro_cam_is_not_rectified_away():
    """With logits that are all negative the map still shows where the least negative ones are."""
    module = helpers.seeded(helpers.Gap)
    with torch.no_grad():
        module.fc.bias -= 100
    chosen, x = gap(module), pictures(1)
    with torch.no_grad():
        expected = recipro_cam_loop(chosen, x[0], 1, score="logit")
    assert float(expected.max()) < 0
    assert_heatmap(explained("recipro-cam", chosen, x, 1, score="logit"), expected)


# -- UnionCAM (METHODS 1.15)


def amd_loop(net: Case, picture: Tensor, c: int, theta: float = 10.0) -> Tensor:
    """Hu et al. 2024, eq. 1-3: gradients below a percentile of their channel dropped, each channel rescaled."""
    a, g = net.maps(picture), net.gradient(picture, c)
    found = torch.zeros_like(a[0])
    for k in range(len(a)):
        d = g[k].relu() * (g[k] >= np.percentile(g[k].numpy(), theta))
        if d.sum() > 0:
            found += d / d.sum() * a[k]
    return found


def union_cam_loop(
    net: Case,
    picture: Tensor,
    c: int,
    theta: float = 10.0,
    filler: str = "mean",
    score: str = "probability",
    clamp: bool = True,
    rescale: bool = True,
    rectified: str = "region",
) -> dict[str, Tensor | str | float]:
    """Eq. 4-8, by default with negative contributions cut at 0 and L_De-Region scaled as its parts before eq. 7.

    ``clamp=False, rescale=False`` is what is printed. Every intermediate result and the final map [H, W].
    """
    fill = FILLERS[filler]()
    f = net.p if score == "probability" else net.logit

    def beta(mask: Tensor) -> float:
        return float(f(picture * mask + fill * (1 - mask), c) - f(fill.expand_as(picture), c))

    denoised = amd_loop(net, picture, c, theta)
    denoised = n01(up(denoised.relu() if rectified == "both" else denoised))
    w = score_cam_loop(net, picture, c, "score-cam" if score == "probability" else "score-cam-raw", filler=filler)
    region = torch.einsum("k,khw->hw", w, net.maps(picture))
    region = n01(up(region if rectified == "neither" else region.relu()))
    beta_denoised, beta_region = beta(denoised), beta(region)
    used = max(beta_denoised, 0) if clamp else beta_denoised, max(beta_region, 0) if clamp else beta_region
    united = used[0] * denoised + used[1] * region
    beta_union = beta(n01(united) if rescale else united)
    use_union = beta_union > used[1] + 1e-12 and used[0] != 0  # with β_Denoised = 0 both maps are the same: a tie
    return {
        "branch": "union" if use_union else "region",
        "beta_denoised": beta_denoised,
        "beta_region": beta_region,
        "beta_union": beta_union,
        "heatmap": n01(united) if use_union else region,
    }


def union_details(chosen: Case, picture: Tensor, c: int, **options: object) -> dict[str, Tensor | str | float]:
    with torch.no_grad():
        return union_cam_loop(chosen, picture, c, **options)


def assert_union_cam(chosen: Case, picture: Tensor, c: int, **options: object) -> dict:
    """The front door agrees with the loop in map, branch and the three contributions."""
    expected = union_details(chosen, picture, c, **options)
    empty = not bool(expected["heatmap"].any())  # with f as logit the region map of a class below zero is empty
    with pytest.warns(DegenerateMapWarning) if empty else contextlib.nullcontext():
        e = camlib.explain(chosen.net, picture[None], "union-cam", c, chosen.layer, **options)
    torch.testing.assert_close(e.heatmap.double(), expected["heatmap"], rtol=0, atol=1e-5)
    assert e.details["branch"] == expected["branch"]
    for key in ("beta_denoised", "beta_region", "beta_union"):
        found = (e.details[key], expected[key])
        found = tuple(max(0.0, one) for one in found) if options.get("clamp", True) else found
        assert found[0] == pytest.approx(found[1], abs=1e-7, rel=1e-6), key
    return expected


UNION_OPTIONS = [
    {},
    {"theta": 80.0},
    {"filler": "black"},
    {"score": "logit"},
    {"clamp": False},
    {"rescale": False},
    {"clamp": False, "rescale": False},
    {"rectified": "both"},
    {"rectified": "neither", "score": "logit", "clamp": False},
]


@pytest.mark.parametrize("options", UNION_OPTIONS, ids=str)
@every_case
def test_union_cam_equals_equations_1_to_8(name, options):
    for picture in pictures():
        for c in range(5):
            assert_union_cam(case(name), picture, c, **options)


@pytest.mark.parametrize("options", UNION_OPTIONS[3:], ids=str)
def test_each_reading_of_union_cam_changes_a_branch_or_a_map(options):
    """On the networks above, for one of the classes; a ReLU more or less where maps are signed alone."""
    changed = dict.fromkeys(("gap", "mlp-max", "bare"), False)
    for name, picture in itertools.product(changed, pictures()):
        for c in range(5):
            usual, other = (union_details(case(name), picture, c, **given) for given in ({}, options))
            same_branch = usual["branch"] == other["branch"]
            changed[name] |= not same_branch or float((usual["heatmap"] - other["heatmap"]).abs().max()) > 1e-3
    assert changed["bare"]
    assert "rectified" not in options or "score" in options or not (changed["gap"] or changed["mlp-max"])


def test_eq_7_as_printed_takes_the_map_that_keeps_less():
    """The text says that AMS selects the map with the higher score. With L_De-Region unscaled it can take the lower."""
    picture, lower = pictures(1)[0], []
    for name in BUILD:
        chosen = case(name)
        for c in range(5):
            printed = union_details(chosen, picture, c, rescale=False)
            scaled = union_details(chosen, picture, c)
            with torch.no_grad():
                kept = [float(chosen.p(picture * one["heatmap"], c)) for one in (printed, scaled)]
            assert kept[0] < kept[1] + 1e-9
            lower.append(kept[0] < kept[1] - 1e-9)
    assert any(lower)


@pytest.mark.parametrize("theta", [0.0, 10.0, 75.0, 95.0])
@every_case
def test_amd_equals_equations_1_to_3(name, theta):
    chosen, x = case(name), pictures()
    expected = per_picture(amd_loop, chosen, x, theta=theta)
    assert helpers.relative(union.amd(chosen.trace(x), torch.tensor(TARGETS), theta), expected) < EXACT


@pytest.mark.parametrize("theta", [10.0, 50.0, 99.0])
def test_amd_on_a_gap_network_is_the_mean_of_the_maps_that_speak_for_the_class(theta):
    """(1/hw) Σ A_k over w_k > 0 whatever theta is: the gradient is constant (METHODS 1.21)."""
    chosen, x = case("gap"), pictures()
    with torch.no_grad():
        positive = (chosen.module.fc.weight[list(TARGETS)] > 0).double()
        expected = torch.einsum("bk,bkhw->bhw", positive, chosen.body(x)) / 64
    assert helpers.relative(union.amd(chosen.trace(x), torch.tensor(TARGETS), theta), expected) < EXACT


def test_the_percentile_of_amd_does_nothing_in_front_of_a_2x2_maximum_up_to_75():
    """At most a quarter of the positions has a gradient, so the percentile is never positive (METHODS 1.15)."""
    target = torch.tensor(TARGETS)
    maximum, average = case("mlp-max").trace(pictures()), case("mlp-avg").trace(pictures())
    assert torch.equal(union.amd(maximum, target, 75.0), union.amd(maximum, target, 0.0))
    for trace in (maximum, average):
        assert helpers.relative(union.amd(trace, target, 95.0), union.amd(trace, target, 0.0)) > 0.05
    assert helpers.relative(union.amd(average, target, 75.0), union.amd(average, target, 0.0)) > 0.05


@every_case
def test_amu_equals_equations_4_to_6(name):
    """Both maps in [0, 1] at the input's size, and their sum weighted by what they add to the blank picture."""
    chosen, x, target = case(name), pictures(), torch.tensor(TARGETS)
    trace = chosen.trace(x)
    denoised = per_picture(amd_loop, chosen, x)
    weights = per_picture(score_cam_loop, chosen, x)
    region = torch.einsum("bk,bkhw->bhw", weights, chosen.body(x).detach()).relu()
    found = union.amu(trace, target, denoised, region)
    for b, c in enumerate(TARGETS):
        expected = union_details(chosen, x[b], c)
        parts = n01(up(denoised[b])), n01(up(region[b]))
        betas = max(expected["beta_denoised"], 0), max(expected["beta_region"], 0)
        torch.testing.assert_close(up(found.denoised[b]), parts[0])
        torch.testing.assert_close(up(found.region[b]), parts[1])
        assert (float(found.beta_denoised[b]), float(found.beta_region[b])) == pytest.approx(betas, abs=1e-12)
        torch.testing.assert_close(up(found.union[b]), betas[0] * parts[0] + betas[1] * parts[1])


def test_ams_takes_the_union_only_where_it_keeps_more_probability():
    """Eq. 7-8 with contributions set by hand around the one that the union has; a tie goes to the region map."""
    chosen, x, target = case("mlp-max"), pictures(1), torch.tensor([0])
    trace = chosen.trace(x)
    maps = chosen.maps(x[0]).detach()
    united, region = maps[0][None], maps[1][None]
    parts = {"denoised": united, "region": region, "union": united, "beta_denoised": torch.ones(1).double()}

    def selected(beta_region: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return union.ams(trace, target, union.Union(**parts, beta_region=beta_region))

    _, beta, _ = selected(torch.zeros(1).double())
    with torch.no_grad():
        blank = torch.zeros_like(x[0])
        expected = chosen.p(x[0] * n01(up(united[0])), 0) - chosen.p(blank, 0)
    assert float(beta) == pytest.approx(float(expected), rel=EXACT)
    for difference, won in ((-1e-9, True), (0.0, False), (1e-9, False)):
        found, _, which = selected(beta + difference)
        assert which.tolist() == [won]
        torch.testing.assert_close(up(found[0]), n01(up(united[0])) if won else up(region[0]))


def test_both_branches_of_eq_8_occur_among_the_networks_above():
    found = [union_details(case(name), picture, c) for name in BUILD for picture in pictures() for c in range(5)]
    assert {one["branch"] for one in found} == {"union", "region"}
    assert {(one["beta_denoised"] > 0, one["beta_region"] > 0) for one in found} == {
        (False, False), (False, True), (True, False), (True, True)
    }  # fmt: skip


def test_a_batch_of_union_cam_has_the_details_of_its_pictures():
    chosen, x = case("mlp-max"), pictures(2)
    together = camlib.compare(chosen.net, x, ["union-cam"], [0, 1, 2, 3, 4], chosen.layer)
    for e in together:
        alone = union_details(chosen, x[e.picture], e.target)
        assert e.details["branch"] == alone["branch"]
        assert max(0.0, e.details["beta_region"]) == pytest.approx(max(0.0, alone["beta_region"]), abs=1e-7)


def _silent(weight: Tensor, bias: Tensor) -> None:
    bias.zero_()


def against_class_0(row: list[float]) -> Case:
    """No bias in the body: a black picture leaves no activation, any other one speaks for classes 1 to 4."""
    module = with_channels(_silent)
    with torch.no_grad():
        module.features[0].bias.zero_()
        module.fc.weight[0] = torch.tensor(row).double()
        module.fc.weight[1:] = module.fc.weight[1:].abs()
    return gap(module)


@pytest.mark.parametrize("row", [[-1.0] * 6, [0.01, -1, -1, -1, -1, -1]])
def test_negative_contributions_do_not_turn_the_map_around(row):
    """Eq. 6 with negative β and a min-max would show the background; here β is cut at 0 and L_Region stays."""
    chosen, picture = against_class_0(row), pictures(1)[0]
    found = assert_union_cam(chosen, picture, 0)
    assert found["beta_region"] < 0
    assert (found["beta_denoised"] < 0) == (max(row) > 0)
    assert found["branch"] == "region"
    if max(row) > 0:  # both contributions are negative: the sum of eq. 6 as printed, scaled to [0, 1], is upside down
        printed = assert_union_cam(chosen, picture, 0, clamp=False)
        parts = union_details(chosen, picture, 0, clamp=False)
        assert printed["branch"] == parts["branch"]


def test_a_tie_of_eq_8_goes_to_the_region_map():
    """Equal rows of the classifier: every picture has the probability 1/5, every contribution is 0."""
    module = helpers.seeded(helpers.Gap)
    with torch.no_grad():
        module.fc.weight[:] = module.fc.weight[1].clone()
        module.fc.bias.zero_()
    found = assert_union_cam(gap(module), pictures(1)[0], 1)
    assert (found["beta_union"], found["branch"]) == (0.0, "region")


# -- RISE and Mask (METHODS 1.19)

SEEN: list[Tensor] = []


class Recording(helpers.Gap):
    """Notes every batch that it is asked about, wherever a copy of it runs."""

    def forward(self, x: Tensor) -> Tensor:
        SEEN.append(x.detach().clone())
        return super().forward(x)


def recorded(run: Callable[[], object]) -> Tensor:
    """The pictures that a Recording network was asked about during ``run``, [N, 3, H, W]."""
    SEEN.clear()
    run()
    return torch.cat(SEEN)


def rise_masks(chosen: Case, ones: Tensor, count: int, **options: object) -> tuple[Tensor, Tensor]:
    """(saliency [H, W], the masks [count, H, W]): of a picture of ones nothing but the mask reaches the network."""
    trace, target, found = chosen.trace(ones), torch.tensor([1]), []
    rise = METHODS["rise"].function
    rise(trace, target, masks=2, seed=99)  # whatever is measured once is measured now
    seen = recorded(lambda: found.append(rise(trace, target, masks=count, **options)))
    assert len(seen) == count
    assert torch.equal(seen[:, 0], seen[:, 1])
    assert torch.equal(seen[:, 0], seen[:, 2])
    return found[0][0], seen[:, 0]


@pytest.fixture(scope="module")
def recording() -> Case:
    return gap(helpers.seeded(Recording))


@pytest.mark.parametrize("options", [{}, {"cells": 4, "probability": 0.3}])
def test_rise_is_the_mean_of_masks_weighted_by_probability(recording, options):
    """S = 1/(N·p1) Σ p_c(x·M_i)·M_i (Petsiuk et al. 2018)."""
    ones = torch.ones(1, 3, *SIZE).double()
    found, masks = rise_masks(recording, ones, 50, **options)
    expected = torch.zeros(SIZE).double()
    with torch.no_grad():
        for mask in masks:
            expected += recording.p(mask.expand(3, -1, -1), 1) * mask
    expected /= 50 * options.get("probability", 0.5)
    assert helpers.relative(found, expected) < 1e-5


@pytest.mark.parametrize(("probability", "cells"), [(0.5, 7), (0.1, 8)])
def test_rise_masks_have_the_mean_and_range_that_the_paper_says(recording, probability, cells):
    _, masks = rise_masks(recording, torch.ones(1, 3, *SIZE).double(), 1000, probability=probability, cells=cells)
    assert float(masks.min()) >= 0
    assert float(masks.max()) <= 1
    means = masks.mean(dim=(1, 2))
    assert float(means.mean()) == pytest.approx(probability, abs=5 * float(means.std()) / 1000**0.5)
    assert masks.flatten(1).unique(dim=0).shape[0] > 990  # not one mask again and again
    places = masks.mean(dim=0)  # no place is preferred
    assert float((places - probability).abs().max()) < 6 * (probability * (1 - probability) / 1000) ** 0.5


def test_rise_masks_are_crops_of_an_enlarged_grid_of_zeros_and_ones(recording):
    """Cells of ceil(H/s) pixels, an (s+1)-cell canvas, a crop at an offset below one cell: fitted for every offset."""
    cells, cell = 4, 8
    _, masks = rise_masks(recording, torch.ones(1, 3, *SIZE).double(), 40, cells=cells)
    canvas = torch.from_numpy(  # rows: pixels of the canvas, columns: cells of the grid
        skimage.transform.resize(
            np.eye(cells), ((cells + 1) * cell, cells), order=1, mode="reflect", anti_aliasing=False
        )
    )
    crops = [canvas[start : start + 32] for start in range(cell)]
    inverses = [torch.linalg.pinv(crop) for crop in crops]
    offsets = set()
    for mask in masks:
        fits = {}
        for i in range(cell):
            for j in range(cell):
                grid = inverses[i] @ mask @ inverses[j].T
                error = float((crops[i] @ grid @ crops[j].T - mask).abs().max())
                binary = bool(((grid - grid.round()).abs() < 1e-4).all())
                if error < 1e-5 and binary:
                    fits[i, j] = grid
        assert fits, "no grid of zeros and ones explains the mask"
        offsets |= set(fits)
    assert {i for i, _ in offsets} == {j for _, j in offsets} == set(range(cell))


def test_rise_depends_on_its_seed_alone():
    chosen, x = case("gap"), pictures()
    torch.manual_seed(1)
    first = made("rise", chosen, x, masks=20, seed=3)
    torch.manual_seed(2)
    assert torch.equal(first, made("rise", chosen, x, masks=20, seed=3))
    assert not torch.equal(first, made("rise", chosen, x, masks=20, seed=4))


def mask_loop(
    net: Case,
    picture: Tensor,
    c: int,
    steps: int,
    learning_rate: float = 0.1,
    l1: float = 1e-4,
    tv: float = 1e-2,
    tv_power: float = 3.0,
    cell: int = 8,
    sigma: float = 10.0,
) -> tuple[Tensor, list[float]]:
    """Fong and Vedaldi 2017 without jitter: (1 - M [H, W], the objective in front of every step); Adam by hand."""
    hidden = blur(picture, sigma)
    values = torch.ones(32 // cell, 32 // cell).double()
    first, second, objectives = torch.zeros_like(values), torch.zeros_like(values), []

    def smooth(m: Tensor) -> Tensor:
        return blur(m.repeat_interleave(cell, dim=0).repeat_interleave(cell, dim=1), 5.0)

    for step in range(1, steps + 1):
        with torch.enable_grad():
            m = values.clone().requires_grad_(True)
            mask = smooth(m)
            down, right = m[1:, :-1] - m[:-1, :-1], m[:-1, 1:] - m[:-1, :-1]
            objective = (
                net.p(picture * mask + hidden * (1 - mask), c)
                + l1 * (1 - m).abs().sum()
                + tv * ((down**2 + right**2) ** (tv_power / 2)).sum()
            )
            (g,) = torch.autograd.grad(objective, m)
        objectives.append(objective.item())
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        move = (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        values = (values - learning_rate * move).clamp(0, 1)
    return 1 - smooth(values).detach(), objectives


@pytest.mark.parametrize(
    "options", [{}, {"learning_rate": 0.05, "l1": 2e-5, "tv": 0.1, "tv_power": 2.0, "cell": 4, "sigma": 3.0}], ids=str
)
@every_living_case
def test_mask_equals_five_steps_of_adam_by_hand(name, options):
    chosen, x, classes = case(name), pictures(), (0, 2)
    found = made("mask", chosen, x, classes, steps=5, jitter=0, **options)
    assert found.shape == (2, *SIZE)
    expected = [mask_loop(chosen, one, c, 5, **options)[0] for one, c in zip(x, classes, strict=True)]
    torch.testing.assert_close(found.double(), torch.stack(expected), rtol=0, atol=1e-5)
    assert float(torch.stack(expected).max()) > 0.1


@pytest.mark.parametrize("jitter", [0, 3])
def test_mask_takes_the_class_away(jitter):
    """Behind the learned mask the class is less probable than in the picture; the objective falls on the way."""
    chosen, x = case("mlp-max"), pictures(1)
    saliency = made("mask", chosen, x, (0,), steps=30, jitter=jitter)[0].double()
    assert float(saliency.min()) >= 0
    assert float(saliency.max()) <= 1
    with torch.no_grad():
        hidden = blur(x[0], 10.0)
        before, after = chosen.p(x[0], 0), chosen.p(x[0] * (1 - saliency) + hidden * saliency, 0)
    assert float(after) < 0.3 * float(before)
    _, objectives = mask_loop(chosen, x[0], 0, 30)
    assert objectives[-1] < 0.3 * objectives[0]


def test_mask_is_random_through_its_jitter_alone():
    """Without jitter no seed matters; with it the seed alone does (Wang et al. 2019 call Mask random)."""
    chosen, x = case("gap"), pictures(1)
    runs = {(j, s): made("mask", chosen, x, (1,), steps=5, jitter=j, seed=s) for j in (0, 3) for s in (1, 2)}
    assert torch.equal(runs[0, 1], runs[0, 2])
    assert not torch.equal(runs[3, 1], runs[3, 2])
    torch.manual_seed(5)
    assert torch.equal(runs[3, 1], made("mask", chosen, x, (1,), steps=5, jitter=3, seed=1))


def test_the_picture_moves_under_the_mask_and_not_the_mask_with_it(recording):
    """Jitter shifts picture and blur, then the mask is laid over them (METHODS 1.19).

    A checkerboard of ±1 whose blur is 0 shows the mask itself as absolute value: it has to be a grid of 4x4 values,
    enlarged and blurred, in every step.
    """
    i, j = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    board = ((-1.0) ** (i + j)).double().expand(1, 3, -1, -1)
    assert float(blur(board[0], 10.0).abs().max()) < 1e-3
    trace, mask = recording.trace(board), METHODS["mask"].function
    mask(trace, torch.tensor([1]), steps=1)
    seen = recorded(lambda: mask(trace, torch.tensor([1]), steps=12, jitter=3))
    shown = seen[-12:, 0]
    grid = gaussian(32, 5.0, 20) @ torch.eye(4).double().repeat_interleave(8, dim=0)  # [32, 4]
    inverse = torch.linalg.pinv(grid)
    masks = shown.abs()
    fitted = grid @ (inverse @ masks @ inverse.T) @ grid.T
    assert len({float(sign) for sign in shown[:, 16, 16].sign()}) == 2  # the board did move
    assert float((masks[-1] - masks[0]).abs().max()) > 0.05  # and the mask was learned
    assert float((masks - fitted).abs().max()) < 2e-3


# -- counterfactual (Wang et al. 2019, eq. 7)

PAIR = (3, 1)  # the target is the likelier of the two


@pytest.mark.parametrize("scaled", [None, False])
@pytest.mark.parametrize("method", ["score-cam", "grad-cam"])
def test_counterfactual_is_the_rectified_difference_of_two_scaled_maps(method, scaled):
    """Eq. 7 with both maps in [0, 1]; as printed (scaled=False) with the maps of eq. 5."""
    chosen, x = case("mlp-max"), pictures(1)
    target, reference = (explained(method, chosen, x, c).raw.double() for c in PAIR)
    expected = (n01(target) - n01(reference) if scaled is None else target - reference).relu()
    options = {} if scaled is None else {"scaled": scaled}
    e = camlib.counterfactual(chosen.net, x, *PAIR, method=method, layer=chosen.layer, **options)
    assert helpers.relative(e.raw, expected) < 1e-5
    assert_heatmap(e, expected)
    assert (e.target, e.target_name) == (PAIR[0], helpers.CLASSES[PAIR[0]])


def test_eq_7_as_printed_leaves_nothing_to_the_less_probable_class():
    """Score-CAM's weights are probabilities: the map of the likelier class is larger everywhere."""
    chosen, x = case("mlp-max"), pictures(1)
    p = chosen.module(x)[0].softmax(dim=0)
    likely, unlikely = int(p.argmax()), int(p.argmin())
    printed = camlib.counterfactual(chosen.net, x, unlikely, likely, layer=chosen.layer, scaled=False)
    assert printed.degenerate
    assert not printed.raw.any()
    assert bool(camlib.counterfactual(chosen.net, x, unlikely, likely, layer=chosen.layer).raw.any())


def test_counterfactual_hands_options_on_and_takes_class_names():
    chosen, x = case("mlp-max"), pictures(1)
    options = {"filler": "black"}
    target, reference = (explained("score-cam", chosen, x, c, **options).raw.double() for c in (1, 3))
    e = camlib.counterfactual(chosen.net, x, "tabby cat", "school bus", layer=chosen.layer, **options)
    assert helpers.relative(e.raw, (n01(target) - n01(reference)).relu()) < 1e-5


def test_a_counterfactual_against_itself_is_refused_or_said_to_be_flat():
    chosen, x = case("mlp-max"), pictures(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DegenerateMapWarning)
        with pytest.raises((DegenerateMapWarning, ValueError)):
            camlib.counterfactual(chosen.net, x, 1, 1, layer=chosen.layer)


# -- flat maps

FAST = {"rise": {"masks": 12}, "mask": {"steps": 3}}  # short runs
USED = {("sa-cam", "sigma"): {"perturbation": "blur"}}  # options that matter only beside another one
CAMS = {*SCORES, "guided-score-cam", "ablation-cam", "group-cam", "recipro-cam", "fd-cam", "sa-cam", "union-cam"}
NAMES = {*CAMS, "rise", "mask"}


def test_the_family_is_complete():
    assert set(METHODS) >= NAMES


def _flatten(weight: Tensor, bias: Tensor) -> None:
    weight.zero_()


@pytest.mark.parametrize("method", sorted(CAMS))
def test_a_layer_without_any_structure_gives_zeros_and_a_warning_with_the_reason(method):
    """Every channel is constant: there is nothing to explain, and that is said."""
    chosen = gap(with_channels(_flatten))
    with pytest.warns(DegenerateMapWarning, match=f"{method} .*because "):
        e = camlib.explain(chosen.net, pictures(1), method, 1, chosen.layer)
    assert e.degenerate
    assert e.reason
    assert not e.heatmap.any()
    assert bool(e.raw.isfinite().all())


def test_cic_of_a_class_that_every_channel_speaks_against():
    """All weights are negative, the ReLU leaves nothing; relu=False shows the signed map."""
    chosen, x = against_class_0([-1.0] * 6), pictures(1)
    assert bool((made("score-cam-cic", chosen, x, (0,)) < 0).all())
    with pytest.warns(DegenerateMapWarning, match="nowhere positive"):
        assert camlib.explain(chosen.net, x, "score-cam-cic", 0, chosen.layer).degenerate
    signed = camlib.explain(chosen.net, x, "score-cam-cic", 0, chosen.layer, relu=False)
    assert float(signed.raw.min()) < 0
    assert not signed.degenerate


# -- options that cannot be

BAD = [
    *[(method, "order", "sideways") for method in sorted(SCORES) if method != "score-cam-binary"],
    *[(method, "filler", "pink") for method in sorted(SCORES)],
    ("score-cam", "masks", "striped"),
    ("score-cam", "precision", "float12"),
    ("score-cam-softmax", "score", "odds"),
    ("guided-score-cam", "signal", "gradient"),
    ("guided-score-cam", "clip", 2.0),
    ("guided-score-cam", "clip", 0.0),
    ("group-cam", "groups", 0),
    ("group-cam", "theta", 101.0),
    ("group-cam", "theta", -1.0),
    ("group-cam", "kernel", 4),
    ("group-cam", "kernel", 0),
    ("group-cam", "sigma", 0.0),
    ("fd-cam", "quantile", 1.5),
    ("fd-cam", "quantile", -0.1),
    ("recipro-cam", "score", "odds"),
    ("sa-cam", "perturbation", "fog"),
    ("sa-cam", "tau", 1.5),
    ("sa-cam", "fill", "pink"),
    ("sa-cam", "scale", "log"),
    ("sa-cam", "form", "difference"),
    ("sa-cam", "sigma", -1.0),
    ("union-cam", "theta", 101.0),
    ("union-cam", "theta", -1.0),
    ("union-cam", "filler", "pink"),
    ("union-cam", "score", "odds"),
    ("union-cam", "rectified", "all"),
    ("rise", "masks", 0),
    ("rise", "cells", 0),
    ("rise", "probability", 0.0),
    ("rise", "probability", 1.5),
    ("mask", "steps", 0),
    ("mask", "learning_rate", 0.0),
    ("mask", "cell", 0),
    ("mask", "jitter", -1),
    ("mask", "l1", -1.0),
    ("mask", "tv", -1.0),
    ("mask", "sigma", 0.0),
]


@pytest.mark.parametrize(("method", "option", "value"), BAD)
def test_an_impossible_option_is_named_with_what_was_expected(method, option, value):
    chosen = case("gap")
    options = {**FAST.get(method, {}), **USED.get((method, option), {}), option: value}
    with pytest.raises(ValueError, match=r"(?i)expected") as failure:
        camlib.explain(chosen.net, pictures(1), method, 1, chosen.layer, **options)
    text = str(failure.value)
    assert option in text
    assert str(value) in text


# -- properties


def _gap_with(order: list[int]) -> Case:
    """The network "gap" with its channels in another order."""
    module = helpers.seeded(helpers.Gap)
    with torch.no_grad():
        conv = module.features[2]
        conv.weight[:], conv.bias[:] = conv.weight[order].clone(), conv.bias[order].clone()
        module.fc.weight[:] = module.fc.weight[:, order].clone()
    return gap(module)


BY_WEIGHTS = sorted(name for name in NAMES if name in PENCIL or name == "sa-cam")
BY_MAPS = ["group-cam", "recipro-cam", "union-cam", "guided-score-cam"]


@pytest.mark.parametrize("method", [*BY_WEIGHTS, *BY_MAPS])
@FEW
@given(st.permutations(range(6)))
def test_permuting_the_channels_permutes_the_weights_and_leaves_the_map(method, order):
    """Group-CAM too, as long as each channel is a group."""
    plain, permuted = (made(method, chosen, pictures()) for chosen in (case("gap"), _gap_with(list(order))))
    expected = plain[:, list(order)] if method in BY_WEIGHTS else plain
    assert helpers.relative(permuted, expected) < 1e-6


class Seven(helpers.Gap):
    """A Gap network with a seventh channel."""

    def __init__(self) -> None:
        super().__init__()
        self.features = helpers.features(7)
        self.fc = nn.Linear(7, 5)


def _gap_and_a_dead_channel(place: int, value: float, column: float) -> Case:
    """The network "gap" with one more channel that is ``value`` everywhere and enters the logits by ``column``."""
    six, seven = helpers.seeded(helpers.Gap), helpers.seeded(Seven)
    others = [k for k in range(7) if k != place]
    with torch.no_grad():
        for name in ("weight", "bias"):
            getattr(seven.features[0], name).copy_(getattr(six.features[0], name))
            getattr(seven.features[2], name)[others] = getattr(six.features[2], name)
        seven.features[2].weight[place], seven.features[2].bias[place] = 0, value
        seven.fc.weight[:, others], seven.fc.weight[:, place] = six.fc.weight, column
        seven.fc.bias.copy_(six.fc.bias)
    return gap(seven)


@pytest.mark.parametrize("method", [m for m in (*BY_WEIGHTS, *BY_MAPS) if m != "fd-cam"])
@FEW
@given(st.integers(0, 6), st.sampled_from([(-1.0, 3.0), (-1.0, -3.0), (0.5, 0.0)]))
def test_a_dead_channel_changes_nothing(method, place, kind):
    """One that is zero whatever its weight in the head, or constant and not read by the head.

    Not so FD-CAM, whose quantiles and min-max go over all channels in the authors' code (METHODS 1.17).
    """
    x = pictures()
    plain, found = made(method, case("gap"), x), made(method, _gap_and_a_dead_channel(place, *kind), x)
    if method in BY_WEIGHTS:
        others = [k for k in range(7) if k != place]
        assert float(found[:, place].abs().max()) < 1e-12
        found = found[:, others]
    assert helpers.relative(found, plain) < 1e-6


@pytest.mark.filterwarnings("ignore:FunctionalRelu has no ReLU module")
@pytest.mark.parametrize("method", sorted(NAMES))
@pytest.mark.parametrize("name", ["mlp-max", "densenet"])
def test_a_batch_gives_what_single_pictures_give(method, name):
    chosen, x = case(name), pictures(3)
    options, targets = FAST.get(method, {}), (1, 3, 0)
    together = made(method, chosen, x, targets, **options)
    for b in range(3):
        alone = made(method, chosen, x[b : b + 1], targets[b : b + 1], **options)
        torch.testing.assert_close(alone[0], together[b], rtol=1e-6, atol=1e-6 * float(together.abs().max()))


@pytest.mark.parametrize("method", sorted(NAMES))
def test_five_classes_at_once_give_what_each_gives(method):
    chosen, x = case("mlp-max"), pictures(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateMapWarning)
        together = camlib.compare(
            chosen.net, x, [method], range(5), chosen.layer, options={method: FAST.get(method, {})}
        )
        for c, e in enumerate(together):
            alone = camlib.explain(chosen.net, x, method, c, chosen.layer, **FAST.get(method, {}))
            assert (e.target, e.degenerate) == (c, alone.degenerate)
            torch.testing.assert_close(e.heatmap, alone.heatmap, rtol=0, atol=1e-6)
            torch.testing.assert_close(e.raw, alone.raw, rtol=1e-5, atol=1e-9)


@pytest.mark.filterwarnings("ignore::camlib.DegenerateMapWarning")
@pytest.mark.parametrize("method", [*sorted(SCORES), "rise", "ablation-cam", "recipro-cam"])
def test_five_classes_cost_the_passes_of_one(method, recording):
    """The scores of masked pictures are logits of all classes, kept with the trace."""

    def run(targets: int) -> Callable[[], object]:
        options = {method: FAST.get(method, {})}
        return lambda: camlib.compare(recording.net, pictures(1), [method], range(targets), "features", options=options)

    recorded(run(1))  # surveys of the network's layers are made once
    assert len(recorded(run(5))) == len(recorded(run(1)))
