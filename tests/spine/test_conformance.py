"""What every registered method must do alike: shapes, determinism, batches, an untouched network."""

import contextlib
import re
from collections.abc import Callable, Iterator
from functools import cache

import helpers
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import camlib
from camlib import METHODS, Explanation, Network
from camlib.registry import SIGNS

every_method = pytest.mark.parametrize("method", helpers.POST_HOC)
SMALL = torch.float32
TARGETS = (1, 3)
# On a random network all masked pictures may have a negative logit, or less than the blank one; blur may help a class.
MAY_BE_FLAT = ("score-cam-raw", "score-cam-cic", "mask")
# Maps of differences between nearly equal probabilities: scaling to [0, 1] enlarges their rounding as well.
SCORED = [n for n, m in METHODS.items() if m.family in ("score", "tail", "hybrid", "perturbation")]
# Adam's steps have the size of the learning rate however small a gradient is: rounding decides their direction.
CHAOTIC = ("mask",)


@pytest.fixture(autouse=True)
def _no_unexpected_warning(recwarn: pytest.WarningsRecorder) -> Iterator[None]:
    yield
    flat = [str(w.message) for w in recwarn if issubclass(w.category, camlib.DegenerateMapWarning)]
    assert not [text for text in flat if not text.startswith(MAY_BE_FLAT)]


def trainable(**settings: object) -> Network:
    return helpers.network(helpers.seeded(helpers.Trainable, dtype=SMALL), **settings)


def explain(net: Network, method: str, photo: object = None, **settings: object) -> Explanation:
    settings = {"target": TARGETS[0]} | helpers.short([method])[method] | settings
    return camlib.explain(net, helpers.picture(0) if photo is None else photo, method, **settings)


@cache
def alone(method: str, picture: int = 0, target: int = TARGETS[0]) -> Explanation:
    """One picture and class explained by themselves on a fresh network: what other ways to ask are compared with."""
    return explain(trainable(), method, helpers.picture(picture), target=target)


def compare(net: Network, photos: object, methods: list[str], *args: object, **settings: object) -> list:
    return camlib.compare(net, photos, methods, *args, options=helpers.short(methods), **settings)


def assert_equal(a: Explanation, b: Explanation, tolerance: float = 1e-6) -> None:
    tolerance = max(tolerance, 1e-4) if b.method in SCORED else tolerance
    torch.testing.assert_close(a.heatmap, b.heatmap, rtol=0, atol=tolerance)
    scale = max(1e-12, float(b.raw.abs().max()))
    torch.testing.assert_close(a.raw, b.raw, rtol=0, atol=tolerance * scale)
    assert (a.weights is None) == (b.weights is None)
    if a.weights is not None:
        torch.testing.assert_close(a.weights, b.weights, rtol=0, atol=tolerance * float(b.weights.abs().max()))
    assert a.probability == pytest.approx(b.probability, abs=tolerance)
    assert (a.target, a.layer, a.degenerate) == (b.target, b.layer, b.degenerate)


@every_method
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_result_has_the_promised_shape_type_and_range(method, size):
    net = trainable(size=size)
    e = explain(net, method)
    assert (e.method, e.target, e.target_name, e.network) == (method, 1, "tabby cat", "Trainable")
    assert e.heatmap.shape == size
    assert e.heatmap.dtype == e.raw.dtype == e.image.dtype == torch.float32
    assert (float(e.heatmap.min()), float(e.heatmap.max())) == (0.0, 1.0)
    assert e.heatmap.device.type == "cpu"
    assert not any(t.requires_grad for t in (e.heatmap, e.raw, e.image))
    assert bool(e.raw.isfinite().all())
    assert e.image.shape == (3, *size)
    assert 0 < e.probability < 1
    h, w = size[0] // 4, size[1] // 4
    made = METHODS[method].makes
    assert e.raw.shape == (size if made == "pixels" else (h, w))
    assert (e.weights is None) == (made != "weights")
    if e.weights is not None:
        assert e.weights.shape in {(6,), (6, h, w)}
        assert e.weights.dtype == torch.float32
        assert not e.weights.requires_grad
    if METHODS[method].relu:
        assert float(e.raw.min()) >= 0


@pytest.mark.parametrize("method", [n for n in helpers.POST_HOC if METHODS[n].makes == "weights" and n != "gap-cam"])
def test_relu_option_rectifies_the_weighted_sum_or_leaves_its_sign(method):
    """At a convolution in front of batch normalization, where maps have both signs; H = Σ w·M by hand."""
    net, layer = trainable(), "features.0"
    signed, rectified, default = (explain(net, method, layer=layer, relu=relu) for relu in (False, True, None))
    with torch.no_grad():
        maps = net.module.features[:1](net.prepare(helpers.picture(0))[1][None])[0]
    w = signed.weights if signed.weights.dim() == 3 else signed.weights[:, None, None]
    torch.testing.assert_close(signed.raw, (w * maps).sum(dim=0), rtol=1e-4, atol=1e-5 * float(signed.raw.abs().max()))
    assert float(signed.raw.min()) < 0
    assert torch.equal(rectified.raw, signed.raw.relu())
    assert torch.equal(default.raw, rectified.raw if METHODS[method].relu else signed.raw)


@every_method
def test_twice_the_same_is_bit_equal(method):
    first, second = alone(method), explain(trainable(), method)
    assert torch.equal(first.heatmap, second.heatmap)
    assert torch.equal(first.raw, second.raw)


@every_method
@pytest.mark.parametrize("batch_size", [2, 8])
def test_a_batch_gives_what_single_pictures_give(method, batch_size):
    net = trainable()
    photos = [helpers.picture(seed) for seed in range(3)]
    together = compare(net, photos, [method], TARGETS, batch_size=batch_size)
    assert [(e.picture, e.target) for e in together] == [(p, t) for p in range(3) for t in TARGETS]
    for e in together:
        assert_equal(e, alone(method, e.picture, e.target), 1e-5)


@every_method
def test_a_list_of_targets_for_each_picture(method):
    net = trainable()
    photos = [helpers.picture(seed) for seed in range(2)]
    together = compare(net, photos, [method], [[0, "daisy"], [3, None]])
    top = int(net.logits(net.prepare(photos[1])[1][None]).argmax())
    assert [e.target for e in together] == [0, 4, 3, top]
    for e in together:
        assert_equal(e, alone(method, e.picture, e.target), 1e-5)


def test_all_methods_at_once_give_what_each_gives():
    net = trainable()
    together = compare(net, helpers.picture(0), helpers.POST_HOC, TARGETS)
    assert [(e.method, e.target) for e in together] == [(m, t) for m in helpers.POST_HOC for t in TARGETS]
    for e in together:
        assert_equal(e, alone(e.method, target=e.target))


def test_methods_share_one_forward_pass():
    net = trainable()
    passes = []
    handle = net.module.register_forward_hook(lambda *_: passes.append(1))
    net.layers()
    passes.clear()
    sharing = [name for name in helpers.POST_HOC if METHODS[name].passes in ("1 forward", "1 forward + 1 backward")]
    sharing = [name for name in sharing if METHODS[name].makes == "weights"]
    try:
        compare(net, [helpers.picture(0), helpers.picture(1)], sharing, TARGETS)
        assert len(passes) == 1
        camlib.compare(
            net,
            helpers.picture(0),
            ["smooth-grad-cam++"],
            TARGETS,
            options={"smooth-grad-cam++": {"samples": 4}},
        )
        assert len(passes) == 1 + 1 + 4
    finally:
        handle.remove()
    assert len(sharing) >= 7


@every_method
def test_classes_matter_exactly_where_the_registry_says_so(method):
    a, b = (alone(method, target=target) for target in TARGETS)
    assert torch.equal(a.heatmap, b.heatmap) is not METHODS[method].class_specific
    if METHODS[method].class_specific:
        assert float((a.heatmap - b.heatmap).abs().max()) > 1e-3


@every_method
def test_the_picture_matters(method):
    net = trainable()
    a, b = compare(net, [helpers.picture(0), helpers.picture(1)], [method], [1])
    # Without ReLU masks and max pooling the deconvnet signal depends on the class alone.
    assert torch.equal(a.heatmap, b.heatmap) is (method == "deconvnet")
    assert method == "deconvnet" or float((a.heatmap - b.heatmap).abs().max()) > 1e-2


# -- nothing borrowed is kept


def borrowed() -> Network:
    """A network in the middle of somebody's work: half in train mode, half frozen, with gradients of its own."""
    net = helpers.network(helpers.seeded(lambda: helpers.FailsLater(helpers.Gap(), RuntimeError), dtype=SMALL))
    net.layers()
    net.module(helpers.batch(2, SMALL)).square().sum().backward()
    net.module.inner.features[2].bias.requires_grad_(False)
    net.module.inner.features[0].train()
    net.module.inner.fc.train()
    return net


def normal(net: Network, method: str) -> None:
    explain(net, method)


def bad_target(net: Network, method: str) -> None:
    with pytest.raises(ValueError, match="out of range"):
        explain(net, method, target=5)


def failing(error: type[BaseException], later: int) -> Callable[[Network, str], None]:
    """The head raises in the recorded pass (later = 0), or in the pass after it, if the method makes one."""

    def run(net: Network, method: str) -> None:
        net.module.error = error
        net.module.at = net.module.passes + 1 + later
        several = METHODS[method].makes == "pixels" or "n (" in METHODS[method].passes
        try:
            raises = pytest.raises(error, match="the head fails")
            with raises if several or not later else contextlib.suppress(error):
                explain(net, method)
        finally:
            net.module.at = None

    return run


CASES = {
    "normal": normal,
    "bad target": bad_target,
    "head raises": failing(RuntimeError, 0),
    "head raises later": failing(RuntimeError, 1),
    "interrupt": failing(KeyboardInterrupt, 0),
    "interrupt later": failing(KeyboardInterrupt, 1),
}


@every_method
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.filterwarnings("ignore:.*has no ReLU module")
def test_network_and_global_state_are_as_before(method, case):
    net = borrowed()
    before = helpers.state(net.module)
    case(net, method)
    helpers.assert_same(before, helpers.state(net.module))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failing_survey_leaves_the_network_as_before(error):
    net = borrowed()
    before = helpers.state(net.module)
    for later in range(1, 5):  # the probing pass, and those that try whether a branch goes around a layer
        net.module.error, net.module.at = error, net.module.passes + later
        with contextlib.suppress(error):
            net.layers()
        net.module.at = None
        helpers.assert_same(before, helpers.state(net.module))
        assert not net._stand.twin().surveys


@every_method
def test_caller_keeps_gradients_on_or_off(method):
    net = trainable()
    for mode in (torch.no_grad, torch.enable_grad, torch.inference_mode):
        with mode():
            before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
            explain(net, method)
            assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before


@every_method
def test_inputs_of_the_caller_are_not_written_to(method):
    net = trainable()
    tensor, ready = helpers.picture(0), helpers.batch(1, SMALL).requires_grad_(True)
    array = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    kept = tensor.clone(), ready.detach().clone(), array.copy()
    e = explain(net, method, tensor)
    explain(net, method, ready)
    explain(net, method, array)
    e.heatmap.zero_(), e.raw.zero_(), e.image.zero_()
    assert torch.equal(tensor, kept[0])
    assert torch.equal(ready, kept[1])
    assert ready.grad is None
    assert np.array_equal(array, kept[2])


# -- whatever the network or the caller is like, the same map


def _no_grad(net: Network, method: str) -> Explanation:
    with torch.no_grad():
        return explain(net, method)


def _inference_mode(net: Network, method: str) -> Explanation:
    with torch.inference_mode():
        return explain(net, method)


def _made_in_inference_mode(_: Network, method: str) -> Explanation:
    with torch.inference_mode():
        return explain(trainable(), method)


def _made_in_inference_mode_used_outside(_: Network, method: str) -> Explanation:
    with torch.inference_mode():
        net = trainable()
        picture = helpers.picture(0)
    return explain(net, method, picture)


def _frozen(net: Network, method: str) -> Explanation:
    net.module.requires_grad_(False)
    return explain(net, method)


def _train_mode(net: Network, method: str) -> Explanation:
    net.module.train()
    return explain(net, method)


def _channels_last(net: Network, method: str) -> Explanation:
    net.module.to(memory_format=torch.channels_last)
    ready = net.prepare(helpers.picture(0))[1][None].to(memory_format=torch.channels_last)
    return explain(net, method, ready)


def _uncontiguous(net: Network, method: str) -> Explanation:
    picture = helpers.picture(0).permute(1, 2, 0).contiguous().permute(2, 0, 1)
    return explain(net, method, picture)


def _double_input(net: Network, method: str) -> Explanation:
    return explain(net, method, helpers.picture(0).double())


CONDITIONS = [
    _no_grad, _inference_mode, _made_in_inference_mode, _made_in_inference_mode_used_outside, _frozen, _train_mode,
    _channels_last, _uncontiguous, _double_input,
]  # fmt: skip


@every_method
@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda f: f.__name__.strip("_"))
def test_the_same_map_under_any_condition(method, condition):
    assert_equal(condition(trainable(), method), alone(method), 2e-6)


@every_method
def test_float64_network_gives_the_same_map(method):
    double = helpers.network(helpers.seeded(helpers.Trainable, dtype=SMALL).double())
    assert_equal(explain(double, method), alone(method), 1e-5)


@every_method
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_networks_give_nearly_the_same_map(method, dtype):
    half = helpers.network(helpers.seeded(helpers.Trainable, dtype=SMALL).to(dtype))
    found, expected = explain(half, method), alone(method)
    assert found.heatmap.dtype == torch.float32
    if method not in CHAOTIC:
        assert helpers.correlation(found.heatmap, expected.heatmap) > 0.99


class Gated(helpers.Gap):
    """The picture itself multiplies the features behind the layer: autograd saves it for the backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        gate = nn.functional.adaptive_avg_pool2d(x, 8).mean(dim=1, keepdim=True)
        bright = x.mean(dim=(1, 2, 3), keepdim=True)
        return self.fc((self.features(x) * gate * bright).mean(dim=(2, 3)))


@every_method
def test_a_picture_that_goes_around_the_layer_in_inference_mode(method):
    net = helpers.network(helpers.seeded(Gated, dtype=SMALL))
    if method == "gap-cam":
        with pytest.raises(ValueError, match="GAP-CAM needs"):
            explain(net, method, layer="features")
        return
    expected = explain(net, method, layer="features")
    with torch.inference_mode():
        assert_equal(explain(net, method, layer="features"), expected)


@pytest.mark.parametrize("build", [lambda: helpers.Gap(inplace=True), helpers.Gap])
@every_method
def test_in_place_relus_change_nothing(method, build):
    plain = helpers.network(helpers.seeded(helpers.Gap, dtype=SMALL))
    other = helpers.network(helpers.seeded(build, dtype=SMALL))
    for layer in (None, "features.1"):
        if method == "gap-cam" and layer:
            continue
        assert_equal(explain(other, method, layer=layer), explain(plain, method, layer=layer))


@every_method
def test_permuting_the_channels_permutes_the_weights_and_keeps_the_map(method):
    """A network with permuted feature maps is the same function; the weights follow their channels."""
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    plain, permuted = helpers.seeded(helpers.Gap), helpers.seeded(helpers.Gap)
    with torch.no_grad():
        permuted.features[2].weight.copy_(plain.features[2].weight[order])
        permuted.features[2].bias.copy_(plain.features[2].bias[order])
        permuted.fc.weight.copy_(plain.fc.weight[:, order])
    a, b = explain(helpers.network(plain), method), explain(helpers.network(permuted), method)
    torch.testing.assert_close(a.heatmap, b.heatmap, rtol=0, atol=1e-6)
    if a.weights is not None:
        torch.testing.assert_close(a.weights[order], b.weights, rtol=0, atol=1e-6)


@every_method
def test_registration_is_complete(method):
    m = METHODS[method]
    assert m.name == method
    assert m.source
    assert m.family
    assert m.passes
    assert m.summary
    assert m.title != m.name
    assert m.sign in SIGNS
    assert "[B" in (m.function.__doc__ or "")  # the shape that it returns


@every_method
def test_every_option_is_named_in_the_docstring_of_its_method(method):
    text = METHODS[method].function.__doc__ or ""
    assert not [option for option in METHODS[method].options if not re.search(rf"\b{option}\b", text)]


# -- readings: options that take a source in another way

READINGS = [
    ("grad-cam++", {"exact": True}),
    ("sca-cam", {"form": "softmax"}),
    ("score-cam", {"masks": "unshifted"}),
    ("score-cam", {"filler": "black"}),
    ("score-cam-softmax", {"score": "probability"}),
    ("guided-score-cam", {"signal": "deconvnet"}),
    ("ablation-cam", {"signed": True}),
    ("sa-cam", {"scale": "max"}),
    ("sa-cam", {"exact": True}),
    ("union-cam", {"score": "logit"}),
    ("union-cam", {"clamp": False}),
    ("union-cam", {"rescale": False}),
    ("union-cam", {"rectified": "both"}),
    ("union-cam", {"filler": "black"}),
    *((name, {"passes": 4}) for name in METHODS if "passes" in METHODS[name].options),
]


@pytest.mark.parametrize(("method", "options"), READINGS, ids=str)
def test_a_reading_gives_in_a_batch_what_it_gives_alone_and_leaves_the_network_alone(method, options):
    net = trainable()
    photos, before = [helpers.picture(seed) for seed in range(2)], helpers.state(net.module)
    assert set(options) <= set(METHODS[method].options)
    together = camlib.compare(net, photos, [method], TARGETS, options={method: options})
    for e in together:
        assert_equal(e, camlib.explain(net, photos[e.picture], method, e.target, **options), 1e-5)
        assert bool(e.raw.isfinite().all())
        assert (float(e.heatmap.min()), float(e.heatmap.max())) == (0.0, 0.0 if e.degenerate else 1.0)
    helpers.assert_same(before, helpers.state(net.module))


@pytest.mark.parametrize("method", [n for n in helpers.POST_HOC if METHODS[n].makes == "weights"])
def test_the_sign_of_the_weights_is_what_the_registry_says(method):
    """Over four pictures and all classes: evidence keeps both signs exactly where the registry calls it signed."""
    module = helpers.seeded(helpers.Pooled if method != "gap-cam" else helpers.Gap)
    with torch.no_grad():
        (module.fc if method == "gap-cam" else module.classifier[2]).weight.mul_(20)
    photos = [helpers.picture(seed) for seed in range(4)]
    made = compare(helpers.network(module), photos, [method], range(5), relu=False)
    weights = torch.stack([e.weights for e in made])
    sign = METHODS[method].sign
    if sign in ("signed", "shifted"):
        assert float(weights.min()) < 0 < float(weights.max())
    elif sign in ("positive by construction", "rectified", "softmax"):
        assert float(weights.min()) >= 0
        assert float(weights.max()) > 0
    if sign == "softmax":
        torch.testing.assert_close(weights.flatten(1).sum(dim=1), torch.ones(len(weights)), rtol=0, atol=1e-5)
    if sign == "none":
        assert all(torch.equal(e.weights, made[5 * e.picture].weights) for e in made)
