"""Every class activation weight against closed forms, hand-typed numbers, autograd and finite differences."""

import helpers
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import camlib
from camlib import METHODS, Network, Trace, framework
from camlib.compendium.loops.gradient import grad_cam_plus_plus_loop, smooth_grad_cam_plus_plus_loop
from camlib.compendium.loops.plain import Plain

HW = 64  # positions of the small networks' 8x8 feature maps


def weights(name: str, trace: Trace, target: int, **options: object) -> Tensor:
    return METHODS[name].function(trace, torch.full((len(trace.inputs),), target), **options)


def first_direction(rows: Tensor) -> Tensor:
    """Leading eigenvector of RᵀR [B, K] by way of RRᵀ, pointing where the sum of the columns does."""
    values, vectors = torch.linalg.eigh(rows.double() @ rows.double().mT)
    lead = (rows.double().mT @ vectors[:, :, -1:])[..., 0] / values[:, -1:].sqrt()
    along = (rows.double() @ lead[:, :, None])[..., 0] * rows.sum(dim=2)
    return lead * along.sum(dim=1, keepdim=True).sign()


def spread(per_channel: Tensor, maps: Tensor) -> Tensor:
    return per_channel[..., None, None].expand_as(maps)


# Closed forms for a head y = w·GAP(M) + b, from nothing but M [B,K,h,w] and the row w [K].
CLOSED_FORMS = {
    "feature-map": lambda m, w: torch.ones_like(m[..., 0, 0]),
    "gap-cam": lambda m, w: w.expand(m.shape[:2]),
    "grad-cam": lambda m, w: (w / m[0, 0].numel()).expand(m.shape[:2]),
    "grad-cam++": lambda m, w: w.relu() / (2 + w / m[0, 0].numel() * m.sum(dim=(2, 3))),
    "xgrad-cam": lambda m, w: w / m[0, 0].numel() * (m.sum(dim=(2, 3)) > 1e-8),
    "layer-cam": lambda m, w: spread(w.relu() / m[0, 0].numel(), m),
    "hires-cam": lambda m, w: spread(w / m[0, 0].numel(), m),
    "sca-cam": lambda m, w: spread(w**2 / m[0, 0].numel(), m),
    "eigen-cam": lambda m, w: first_direction(m.flatten(2).mT),
    "smooth-grad-cam++": lambda m, w: w.relu() / (2 + w / m[0, 0].numel() * m.sum(dim=(2, 3))),
}


def test_every_class_activation_weight_has_a_closed_form_here():
    assert {name for name, m in METHODS.items() if m.family in ("channel", "gradient")} <= set(CLOSED_FORMS)


@pytest.mark.parametrize("name", CLOSED_FORMS)
@pytest.mark.parametrize("target", [0, 3])
def test_closed_form_on_a_gap_network_in_float64(name, target):
    module, x = helpers.seeded(helpers.Gap), helpers.batch(2)
    with torch.no_grad():
        maps = module.features(x)
    expected = CLOSED_FORMS[name](maps, module.fc.weight[target].detach())
    found = weights(name, Trace(helpers.network(module), x), target)
    assert helpers.relative(found, expected) < 1e-12


@pytest.mark.parametrize("name", [name for name in CLOSED_FORMS if name != "smooth-grad-cam++"])
@pytest.mark.parametrize("target", [243, 281])
def test_closed_form_on_efficientnet_lite0_with_a_photograph(name, target):
    net, x = helpers.lite0(), helpers.bull_mastiff()
    with torch.no_grad():
        maps = net.module.forward_features(x)
    row = net.module.classifier.weight[target].detach()
    assert maps.shape == (1, 1280, 7, 7)
    expected = CLOSED_FORMS[name](maps.double(), row.double())
    found = weights(name, _lite0_trace(), target)
    assert helpers.relative(found, expected) < (5e-6 if name == "eigen-cam" else 1e-6)  # a float32 decomposition
    expected_map = framework.class_activation_map(expected, maps.double())
    assert helpers.relative(framework.class_activation_map(found, maps), expected_map) < 1e-6


_TRACES: dict[str, Trace] = {}


def _lite0_trace() -> Trace:
    return _TRACES.setdefault("lite0", Trace(helpers.lite0(), helpers.bull_mastiff()))


def test_oracle_maps_of_the_front_door_on_lite0():
    """Grad-CAM = ReLU(CAM)/hw, XGrad-CAM = Grad-CAM, SCA-CAM = Σ w²M/hw, through the front door."""
    photo = camlib.load_photo("bull-mastiff")
    names = ["gap-cam", "grad-cam", "xgrad-cam", "sca-cam"]
    cam, grad, xgrad, sca = camlib.compare(helpers.lite0(), [photo], names, [243])
    trace = _lite0_trace()
    row = helpers.lite0().module.classifier.weight[243].detach().double()
    squares = torch.einsum("k,khw->hw", row**2, trace.activations[0].double()) / 49
    assert helpers.relative(grad.raw, cam.raw / 49) < 1e-6
    assert helpers.relative(xgrad.raw, grad.raw) < 1e-6
    assert helpers.relative(sca.raw, squares) < 1e-6
    assert helpers.relative(grad.heatmap, cam.heatmap) < 1e-5


def test_mean_of_cam_is_the_logit_without_its_bias():
    """Σ_ij CAM_ij/hw = y - b (Zhou et al. 2016): on a trained network and photograph."""
    trace = _lite0_trace()
    cam = framework.class_activation_map(weights("gap-cam", trace, 243), trace.activations)
    bias = helpers.lite0().module.classifier.bias[243].detach()
    assert float(cam.mean()) == pytest.approx(float(trace.logits[0, 243] - bias), rel=1e-5)


@pytest.mark.parametrize(("trace", "target"), [("small", 2), ("lite0", 243)])
def test_sca_cam_with_classifier_weights_equals_sca_cam_with_gradients(trace, target):
    """Eq. 21 = eq. 22 on a GAP network, since Σ_ab g_kab = hw · w_k/hw."""
    small = trace == "small"
    made = Trace(helpers.network(helpers.seeded(helpers.Gap)), helpers.batch()) if small else _lite0_trace()
    eq22 = weights("sca-cam", made, target)
    eq21 = weights("sca-cam", made, target, form="softmax")
    gradients = made.gradients(torch.tensor([target] * len(eq22)))
    mean_form = weights("grad-cam", made, target)[..., None, None] * gradients
    assert helpers.relative(eq21, eq22) < (1e-12 if small else 1e-6)
    assert helpers.relative(mean_form * made.positions, eq22) < (1e-12 if small else 1e-6)


# -- hand-typed numbers


M = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64)  # sums 10 and 2


G = torch.tensor([[[1.0, 0.0], [-1.0, 2.0]], [[-1.0, 1.0], [0.5, 0.0]]], dtype=torch.float64)  # sums 2 and 1/2


class Pencil(nn.Module):
    """y = Σ G·M for the class 0 and its negative for class 1: the gradient of class 0 is G, typed above."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Identity()
        self.head = nn.Linear(8, 2).double()
        with torch.no_grad():
            self.head.weight.copy_(torch.stack([G.flatten(), -G.flatten()]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x).flatten(1))


PENCIL = {
    "feature-map": ([1, 1], [[1, 3], [4, 4]]),
    "grad-cam": ([1 / 2, 1 / 8], [[0.5, 1.125], [1.625, 2]]),
    "grad-cam++": ([23 / 132, 5 / 12], [[23 / 132, 101 / 132], [124 / 132, 92 / 132]]),
    "smooth-grad-cam++": ([23 / 132, 5 / 12], [[23 / 132, 101 / 132], [124 / 132, 92 / 132]]),
    "xgrad-cam": ([0.6, 0.75], [[0.6, 1.95], [2.55, 2.4]]),
    "layer-cam": ([[[1, 0], [0, 2]], [[0, 1], [0.5, 0]]], [[1, 1], [0.5, 8]]),
    "hires-cam": ([[[1, 0], [-1, 2]], [[-1, 1], [0.5, 0]]], [[1, 1], [-2.5, 8]]),
    "sca-cam": ([[[2, 0], [-2, 4]], [[-0.5, 0.5], [0.25, 0]]], [[2, 0.5], [-5.75, 16]]),
}


@pytest.mark.parametrize("name", PENCIL)
def test_two_maps_of_two_by_two_by_hand(name):
    trace = Trace(Network(Pencil()), M[None], "maps")
    found = weights(name, trace, 0)
    by_hand, by_hand_map = (torch.tensor(values, dtype=torch.float64) for values in PENCIL[name])
    torch.testing.assert_close(found[0], by_hand, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        framework.class_activation_map(found, trace.activations)[0], by_hand_map, rtol=1e-12, atol=1e-12
    )


def test_gap_cam_by_hand():
    """GAP of M is (2.5, 0.5); with w = (2, -1) the logit is 4.5 and CAM = 2·M_0 - M_1."""
    head = nn.Linear(2, 1, bias=False).double()
    head.weight.data[:] = torch.tensor([[2.0, -1.0]])
    module = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    trace = Trace(Network(module), M[None], "0")
    assert trace.logits.item() == 4.5
    cam = framework.class_activation_map(weights("gap-cam", trace, 0), trace.activations)
    assert cam.tolist() == [[[2, 3], [5, 8]]]


def test_a_dead_channel_gets_xgrad_weight_zero():
    trace = Trace(Network(Pencil()), torch.stack([M[0], torch.zeros(2, 2, dtype=torch.float64)])[None], "maps")
    assert weights("xgrad-cam", trace, 0)[0].tolist() == pytest.approx([0.6, 0])


def test_grad_cam_plus_plus_drops_positions_without_a_positive_denominator():
    """g = 1 and ΣM = -2 make 2 + g·ΣM = 0; g = 2 and ΣM = -2 make -2: neither may enter."""
    g = torch.tensor([[[[1.0, 2.0], [0.5, -1.0]]]], dtype=torch.float64)
    m = torch.full((1, 1, 2, 2), -0.5, dtype=torch.float64)
    found = camlib.weights.gradient.plus_plus_weights(g, g**2, g**3, m)
    assert found.tolist() == [[0.5 / (2 - 1)]]


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e3])
def test_grad_cam_plus_plus_needs_no_epsilon(scale):
    """With gradients s·g and maps M/s the weights are s times those of g and M, for tiny s as well."""
    g, m = G[None], M[None]
    small = camlib.weights.gradient.plus_plus_weights(g * scale, (g * scale) ** 2, (g * scale) ** 3, m / scale)
    expected = torch.tensor([[23 / 132, 5 / 12]], dtype=torch.float64) * scale
    torch.testing.assert_close(small, expected, rtol=1e-10, atol=0)


# -- derivatives


@pytest.mark.parametrize("pool", [nn.AvgPool2d(2), nn.MaxPool2d(2)])
def test_gradients_equal_central_differences(pool):
    module, x = helpers.seeded(lambda: helpers.Pooled(pool)), helpers.batch(1)
    trace = Trace(helpers.network(module), x, "features")
    gradient = trace.gradients(torch.tensor([1])).flatten()
    step = 1e-6
    with torch.no_grad():
        maps = module.features(x)
        moves = torch.eye(maps.numel(), dtype=torch.float64).view(-1, *maps.shape[1:]) * step

        def logit(m: Tensor) -> Tensor:
            return module.classifier(module.pool(m).flatten(1))[:, 1]

        differences = (logit(maps + moves) - logit(maps - moves)) / (2 * step)
        one_sided = (logit(maps + moves) - logit(maps)) / step
    smooth = (differences - one_sided).abs() < 1e-7  # ties of a maximum and ReLU kinks have no derivative
    assert smooth.double().mean() > 0.7
    assert (gradient - differences)[smooth].abs().max() < 1e-8
    assert gradient.abs().max() > 1e-3


def test_grad_cam_plus_plus_equals_second_and_third_derivatives_of_exp():
    """D2/(2·D2 + D3·ΣM) with D_n the n-th derivative of Y = exp(y) (Chattopadhay et al. 2018, eq. 19)."""
    module, x = helpers.seeded(lambda: helpers.Pooled(nn.AvgPool2d(2)), seed=1), helpers.batch(1)
    maps = module.features(x).detach().requires_grad_(True)
    score = module.classifier(module.pool(maps).flatten(1))[0, 2].exp()
    (first,) = torch.autograd.grad(score, maps, create_graph=True)
    expected = torch.zeros(1, 2, dtype=torch.float64)  # two of the six channels: the others take long
    totals = maps.detach().sum(dim=(2, 3))
    used = 0
    for b, k, i, j in (first[:, :2] > 0).nonzero().tolist():
        (second,) = torch.autograd.grad(first[b, k, i, j], maps, create_graph=True)
        (third,) = torch.autograd.grad(second[b, k, i, j], maps, retain_graph=True)
        d2, d3 = second[b, k, i, j].detach(), third[b, k, i, j]
        expected[b, k] += (d2 / (2 * d2 + d3 * totals[b, k]) * first[b, k, i, j]).detach()
        used += 1
    assert used > 20
    found = weights("grad-cam++", Trace(helpers.network(module), x, "features"), 2)[:, :2]
    assert helpers.relative(found, expected / score.item()) < 1e-12


class Smooth(helpers.Pooled):
    """A head of SiLU, or of tanh with an attention gate: its second and third derivatives are not zero."""

    def __init__(self, gated: bool) -> None:
        super().__init__(nn.AvgPool2d(2))
        self.classifier[1] = nn.Tanh() if gated else nn.SiLU()
        self.gate = nn.Linear(96, 12) if gated else None
        with torch.no_grad():
            self.classifier[0].weight.mul_(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    def head(self, maps: Tensor) -> Tensor:
        flat = self.pool(maps).flatten(1)
        if self.gate is None:
            return self.classifier(flat)
        return self.classifier[1:](self.classifier[0](flat) * self.gate(flat).sigmoid())


@pytest.mark.parametrize("gated", [False, True])
def test_exact_grad_cam_plus_plus_equals_derivatives_of_exp_behind_smooth_activations(gated):
    """There g² and g³ are not the derivatives: the default is far from them, exact=True is not."""
    module, x = helpers.seeded(lambda: Smooth(gated), seed=1), helpers.batch(1)
    expected = grad_cam_plus_plus_loop(Plain(module, "features", module.features, module.head), x[0], 2, exact=True)
    trace = Trace(helpers.network(module), x, "features")
    assert helpers.relative(weights("grad-cam++", trace, 2, exact=True)[0], expected) < 1e-12
    assert helpers.relative(weights("grad-cam++", trace, 2)[0], expected) > 0.1


@pytest.mark.parametrize("build", [helpers.Gap, helpers.Pooled, lambda: helpers.Gap(inplace=True)])
@pytest.mark.parametrize("layer", ["features", "features.0"])
def test_exact_grad_cam_plus_plus_is_the_default_behind_piecewise_linear_layers(build, layer):
    """Also in front of an in-place ReLU, and for a batch; at features.0 a convolution lies behind the layer."""
    trace = Trace(helpers.network(helpers.seeded(build)), helpers.batch(2), layer)
    with torch.inference_mode():
        exact = weights("grad-cam++", trace, 1, exact=True)
    assert helpers.relative(exact, weights("grad-cam++", trace, 1)) < 1e-12


def test_a_linear_tail_needs_one_batch_for_its_second_derivatives(monkeypatch):
    trace, passes = Trace(helpers.network(helpers.seeded(helpers.Gap)), helpers.batch(1)), []
    tail = trace.tail(0)
    tail.batch, run = 4, tail.run
    monkeypatch.setattr(tail, "run", lambda maps: passes.append(len(maps)) or run(maps))
    monkeypatch.setattr(trace, "tail", lambda b: tail)
    assert bool(weights("grad-cam++", trace, 0, exact=True).any())
    assert passes == [4]


def test_smooth_grad_cam_plus_plus_without_noise_is_grad_cam_plus_plus():
    trace = Trace(helpers.network(helpers.seeded(helpers.Pooled)), helpers.batch(2), "features")
    smooth = weights("smooth-grad-cam++", trace, 1, samples=3, noise=0.0)
    assert helpers.relative(smooth, weights("grad-cam++", trace, 1)) < 1e-12


def test_smooth_grad_cam_plus_plus_equals_a_loop_that_follows_the_paper():
    module, x = helpers.seeded(helpers.Pooled), helpers.batch(2)
    samples, noise, seed, target = 4, 0.3, 7, 3
    plain = Plain(module, "features", module.features, lambda maps: module.classifier(module.pool(maps).flatten(1)))
    expected = torch.stack([smooth_grad_cam_plus_plus_loop(plain, one, target, samples, noise, seed) for one in x])
    trace = Trace(helpers.network(module), x, "features")
    found = weights("smooth-grad-cam++", trace, target, samples=samples, noise=noise, seed=seed)
    assert helpers.relative(found, expected) < 1e-10
    other = weights("smooth-grad-cam++", trace, target, samples=samples, noise=noise, seed=seed + 1)
    assert helpers.relative(found, other) > 1e-6


@pytest.mark.parametrize("options", [{"samples": 0}, {"noise": -0.1}])
def test_smooth_grad_cam_plus_plus_names_impossible_options(options):
    net = helpers.network(helpers.seeded(helpers.Gap))
    with pytest.raises(ValueError, match=r"expected a (whole )?number of at least"):
        camlib.explain(net, helpers.picture(0), "smooth-grad-cam++", 0, **options)


# -- alpha and heads (Si et al. 2021, section 4.1.1)


def test_alpha_of_a_seven_by_seven_gap_network_is_049():
    """w/(100·ḡ) = hw/100 for every channel (Si et al. 2021, section 4.1.1), here on the 7x7 maps of Lite0."""
    row = helpers.lite0().module.classifier.weight[243].detach()
    alpha = row / (100 * weights("grad-cam", _lite0_trace(), 243)[0])
    torch.testing.assert_close(alpha, torch.full_like(alpha, 0.49), rtol=1e-5, atol=0)


class Squeeze(nn.Module):
    """SqueezeNet's head: 1x1 convolution to the classes, ReLU, GAP."""

    def __init__(self) -> None:
        super().__init__()
        self.features = helpers.features()
        self.classifier = nn.Sequential(nn.Conv2d(6, 5, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x)).flatten(1)


def test_closed_forms_of_a_squeezenet_head():
    """ḡ_l = w_l·n_c/hw² and SCA-CAM = n_c/hw²·1[z>0]·Σ w²M, with n_c the number of positions where z > 0."""
    module, x = helpers.seeded(Squeeze, seed=3), helpers.batch(1) * 4
    with torch.no_grad():
        maps = module.features(x)
        z = module.classifier[0](maps)[0]
    counts = [(z[c] > 0).sum().item() for c in range(5)]
    target = next(c for c in range(5) if 0 < counts[c] < HW)
    row, n = module.classifier[0].weight[target, :, 0, 0].detach(), counts[target]
    trace = Trace(helpers.network(module), x)
    assert trace.layer.name == "features"
    assert helpers.relative(weights("grad-cam", trace, target)[0], row * n / HW**2) < 1e-12
    expected = n / HW**2 * (z[target] > 0) * torch.einsum("k,khw->hw", row**2, maps[0])
    found = framework.class_activation_map(weights("sca-cam", trace, target), trace.activations)[0]
    assert helpers.relative(found, expected) < 1e-12


def test_closed_forms_in_front_of_a_functional_relu():
    """DenseNet's norm5: ḡ_l = w_l·n_l/hw², SCA-CAM = Σ n_l·w²/hw²·ReLU(M_l) with n_l positive positions.

    Behind the ReLU the ratio is the same for all channels, although the rectified map has zeros.
    """
    module, x = helpers.seeded(helpers.FunctionalRelu), helpers.batch(1)
    with torch.no_grad():
        before = module.norm(module.conv2(F.relu(module.conv1(x))))
    n = (before > 0).sum(dim=(2, 3))[0]
    row = module.fc.weight[2].detach()
    assert 0 < n.min() < n.max()
    assert bool((before < 0).any())
    net = helpers.network(module)
    trace = Trace(net, x, "norm")
    assert torch.equal(trace.activations, before)  # before the ReLU, although that works in-place
    assert helpers.relative(weights("grad-cam", trace, 2)[0], row * n / HW**2) < 1e-12
    expected = torch.einsum("k,khw->hw", n * row**2 / HW**2, before[0].relu())
    found = framework.class_activation_map(weights("sca-cam", trace, 2), trace.activations)[0]
    assert helpers.relative(found, expected) < 1e-12
    rectified = Trace(net, x)
    assert rectified.layer.name == "norm+relu"
    assert helpers.relative(weights("grad-cam", rectified, 2)[0], row / HW) < 1e-12


@pytest.mark.parametrize(
    ("build", "layer", "form", "row"),
    [
        (helpers.Gap, None, "y = w·GAP(M) + b", lambda m: m.fc.weight),
        (helpers.FunctionalRelu, None, "y = w·GAP(M) + b", lambda m: m.fc.weight),
        (helpers.FunctionalRelu, "norm", "y = w·GAP(ReLU(M)) + b", lambda m: m.fc.weight),
        (Squeeze, None, "y = GAP(ReLU(w·M + b))", lambda m: m.classifier[0].weight[:, :, 0, 0]),
    ],
)
def test_head_is_proven_on_the_trace(build, layer, form, row):
    module = helpers.seeded(build)
    trace = Trace(helpers.network(module), helpers.batch(2), layer)
    assert trace.head.form == form
    assert torch.equal(trace.head.weight, row(module))
    assert trace.head.error < 1e-12


class GlobalMax(helpers.Gap):
    """Same parameters and shapes as a GAP network, but the maximum instead of the mean."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).amax(dim=(2, 3)))


@pytest.mark.parametrize("build", [GlobalMax, helpers.Pooled])
def test_a_head_that_is_not_linear_behind_gap_is_refused(build):
    net = helpers.network(helpers.seeded(build))
    assert Trace(net, helpers.batch(2), "features").head is None
    with pytest.raises(ValueError, match=r"GAP-CAM needs a head that is linear.*Use 'grad-cam'"):
        camlib.explain(net, helpers.picture(), "gap-cam", layer="features")


def summed_classifier_weights(module: nn.Module, x: Tensor, target: int) -> Tensor:
    """Σ_s w_s of each channel, value by value: which of the pooled values come from which channel is tried out."""
    maps = module.features(x).detach()
    plain = module.pool(maps).flatten(1)[0]
    found = torch.zeros(maps.shape[1], dtype=torch.float64)
    for channel in range(maps.shape[1]):
        changed = maps.clone()
        changed[:, channel] += 1
        for s, value in enumerate(module.pool(changed).flatten(1)[0]):
            if value != plain[s]:
                found[channel] += module.classifier.weight[target, s].item()
    return found


POOLINGS = {
    "average 2/2": nn.AvgPool2d(2),
    "maximum 2/2": nn.MaxPool2d(2),
    "average 2/1": nn.AvgPool2d(2, 1),
    "global maximum": nn.AdaptiveMaxPool2d(1),
}


@pytest.mark.parametrize("pool", POOLINGS.values(), ids=POOLINGS)
def test_sca_cam_with_classifier_weights_sums_them_over_the_pooled_values(pool):
    """Eq. 21 with the channel attention Σ_s w_s of eq. 23-24, which equals eq. 22."""
    module, x = helpers.seeded(lambda: helpers.Pooled(pool, mlp=False)), helpers.batch(1)
    trace = Trace(helpers.network(module), x, "features")
    assert trace.head is None
    attention = summed_classifier_weights(module, x, 3)
    expected = attention[None, :, None, None] * trace.gradients(torch.tensor([3]))
    assert helpers.relative(weights("sca-cam", trace, 3, form="softmax"), expected) < 1e-12
    assert helpers.relative(weights("sca-cam", trace, 3), expected) < 1e-12


PADDED = nn.AvgPool2d(3, 2, padding=1)


UNLIKE = {"an MLP": lambda: helpers.Pooled(), "a padded average": lambda: helpers.Pooled(PADDED, mlp=False)}


@pytest.mark.parametrize("build", UNLIKE.values(), ids=UNLIKE)
def test_sca_cam_with_classifier_weights_is_refused_where_eq_24_does_not_hold(build):
    net = helpers.network(helpers.seeded(build))
    with pytest.raises(ValueError, match=r"form='softmax' needs one linear layer.*Use form='gradient'"):
        camlib.explain(net, helpers.picture(), "sca-cam", layer="features", form="softmax")


@pytest.mark.parametrize("method", ["gap-cam", "sca-cam"])
@pytest.mark.parametrize("target", [243, 281])
def test_on_the_papers_networks_the_relu_of_sca_cam_changes_nothing_and_that_of_cam_does(method, target):
    """Si et al. 2021, eq. 1, 2 and 22 print no ReLU: H as printed beside H as shown, on a trained GAP network."""
    net, picture = helpers.lite0(), camlib.load_photo("bull-mastiff")
    printed, shown = (camlib.explain(net, picture, method, target, relu=relu) for relu in (False, None))
    row, maps = net.module.classifier.weight[target].detach(), _lite0_trace().activations[0]
    literal = sum((w if method == "gap-cam" else w * w / 49) * m for w, m in zip(row, maps, strict=True))
    assert helpers.relative(printed.raw, literal) < 1e-5
    assert torch.equal(printed.raw, shown.raw) is (method == "sca-cam")
    assert torch.equal(shown.raw, printed.raw.relu())


def test_gap_cam_at_an_inner_layer_is_refused():
    net = helpers.network(helpers.seeded(helpers.Gap))
    with pytest.raises(ValueError, match=r"None of these holds for Gap at 'features.0'"):
        camlib.explain(net, helpers.picture(), "gap-cam", layer="features.0")
