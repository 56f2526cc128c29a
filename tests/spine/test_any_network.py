"""Networks of every kind: the module decides what it takes, and what it does beside its logits changes nothing."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable

import helpers
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import camlib
from camlib import METHODS, Network, Preprocess, Trace
from camlib.networks import BatchDependentWarning, NetworkWarning, RandomNetworkWarning

SIZE = 16
P = Preprocess(SIZE, (0.5,) * 3, (0.25,) * 3)
pytestmark = pytest.mark.filterwarnings("ignore::camlib.DegenerateMapWarning")


def body(channels: int = 3) -> list[nn.Module]:
    return [nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, padding=1), nn.ReLU()]


def head(width: int = 6, classes: int = 5) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)]


def plain(channels: int = 3) -> nn.Sequential:
    return nn.Sequential(*body(channels), *head())


def built(build: Callable[[], nn.Module]) -> nn.Module:
    return helpers.seeded(build, seed=3, dtype=torch.float32)


def ready(count: int = 1, channels: int = 3, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * 4 - 2


class Around(nn.Module):
    """``change`` goes around a plain network: ``change(inner, x)`` is its logits."""

    def __init__(self, change: Callable[[nn.Module, Tensor], object], channels: int = 3) -> None:
        super().__init__()
        self.inner, self.change = plain(channels), change

    def forward(self, x: Tensor) -> object:
        return self.change(self.inner, x)


def maps(net: Network, inputs: Tensor, methods: list[str], batch_size: int = 8) -> dict[tuple[str, int], Tensor]:
    """(method, picture) -> map."""
    options = helpers.short(methods)
    found = camlib.compare(net, inputs, methods, [1], options=options, batch_size=batch_size)
    return {(e.method, e.picture): e.raw for e in found}


# -- channels and what happens to them


class Siamese(nn.Module):
    """Two pictures in six channels, through one body."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Sequential(*body()), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.cat([self.body(part).mean(dim=(2, 3)) for part in x.split(3, dim=1)], dim=1))


class Gated(nn.Module):
    """A filter stands before the stem: its convolution takes one channel, the network three."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.inner = nn.Conv2d(1, 1, 3, padding=1), plain()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x * self.gate(x.mean(dim=1, keepdim=True)).sigmoid())


CHANNELS = {
    "one": (lambda: plain(1), 1, None),
    "two": (lambda: plain(2), 2, None),
    "four": (lambda: plain(4), 4, None),
    "six, siamese": (Siamese, 6, "body:1"),
    "gray repeated inside": (lambda: Around(lambda inner, x: inner(x.expand(-1, 3, -1, -1))), 1, None),
    "luminance inside": (lambda: Around(lambda inner, x: inner(x.mean(dim=1, keepdim=True)), 1), 3, None),
    "a filter before the stem": (Gated, 3, None),
}


@pytest.mark.parametrize(("build", "channels", "layer"), CHANNELS.values(), ids=CHANNELS)
@pytest.mark.parametrize("method", ["grad-cam", "score-cam", "ablation-cam", "gradient", "rise"])
def test_the_module_decides_what_it_takes(method, build, channels, layer):
    net = Network(built(build), layer, P)
    inputs = ready(2, channels)
    options = {"masks": 20} if method == "rise" else {}
    found = camlib.compare(net, inputs, [method], [1], options={method: options})
    assert [tuple(e.heatmap.shape) for e in found] == [(SIZE, SIZE)] * 2
    assert [tuple(e.image.shape) for e in found] == [(3, SIZE, SIZE)] * 2
    assert all(bool(e.heatmap.isfinite().all()) for e in found)


@pytest.mark.parametrize(("build", "channels", "layer"), CHANNELS.values(), ids=CHANNELS)
def test_gradients_of_any_channels_are_those_of_autograd(build, channels, layer):
    module = built(build)
    trace = Trace(Network(module, layer, P), ready(2, channels))
    m, y = trace.activations, trace.logits
    assert torch.equal(y, module(ready(2, channels)).detach())
    g = trace.gradients(torch.tensor([1, 4]))
    # y is linear in the pooled maps: y_c(M) − y_c(0) is the sum of gradient times activation of the last maps.
    assert g.shape == m.shape
    assert float(g.abs().max()) > 0


@pytest.mark.parametrize(("channels", "size"), [(4, 224), (1, 28), (3, 32)])
def test_layers_are_listed_without_a_picture(channels, size):
    fixed = [nn.Flatten(), nn.Linear(6 * size * size, 5)] if size != 224 else head()
    net = Network(nn.Sequential(*body(channels), *fixed))
    assert [layer.name for layer in net.layers()] == ["0", "1", "2", "3"]
    assert net.default_layer.size == (size, size)


def test_a_picture_of_four_channels_is_a_tensor():
    preprocess = Preprocess(SIZE, (0.5,) * 4, (0.25,) * 4)
    net = Network(built(lambda: plain(4)), transform=preprocess)
    photo = torch.rand(4, SIZE, SIZE)
    e = camlib.explain(net, photo, "grad-cam", 1)
    assert torch.equal(e.raw, camlib.explain(net, preprocess.normalize(photo)[None], "grad-cam", 1).raw)
    with pytest.raises(ValueError, match=r"three colors, and the network takes 4 channels. Pass a tensor \[4,H,W\]"):
        camlib.explain(net, np.zeros((8, 8, 3), np.uint8), "grad-cam", 1)


# -- arguments beside the picture, outputs beside logits


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.fc = plain(), nn.Linear(4, 5)

    def forward(self, x: Tensor, meta: Tensor, scale: float = 1.0) -> Tensor:
        return scale * self.inner(x) + self.fc(meta)


class Reversed(Two):
    def forward(self, meta: Tensor, image: Tensor, scale: float = 1.0) -> Tensor:
        return super().forward(image, meta, scale)


META = torch.tensor([[0.5, -1.0, 2.0, 0.1]])
EXTRA = {
    "a tuple": (Two, (META, 2.0)),
    "by name": (Two, {"meta": META, "scale": 2.0}),
    "without a batch axis": (Two, (META[0], 2.0)),
    "the picture second": (Reversed, {"meta": META, "scale": 2.0}),
    "double precision": (Two, (META.double(), 2.0)),
}


@pytest.mark.parametrize("method", ["grad-cam", "score-cam", "ablation-cam", "integrated-gradients", "recipro-cam"])
@pytest.mark.parametrize(("build", "inputs"), EXTRA.values(), ids=EXTRA)
def test_constant_arguments_beside_the_picture(method, build, inputs):
    module = built(build)
    expected = helpers.seeded(lambda: Around(lambda inner, x: 2.0 * inner(x)), dtype=torch.float32)
    expected.inner.load_state_dict(module.inner.state_dict())
    shift = module.fc(META).detach()
    expected.change = lambda inner, x: 2.0 * inner(x) + shift
    wanted = maps(Network(expected, transform=P), ready(2), [method])
    for net in (Network(module, transform=P, inputs=inputs), Network(module, transform=P).with_inputs(inputs)):
        found = maps(net, ready(2), [method])
        for key, expected_map in wanted.items():
            torch.testing.assert_close(found[key], expected_map, rtol=1e-4, atol=1e-5)


def test_missing_arguments_are_one_sentence():
    with pytest.raises(ValueError, match=r"Two does not run on .*'meta'\. Give what its forward takes.*inputs="):
        camlib.explain(Network(built(Two), transform=P), ready(), "grad-cam", 1)
    with pytest.raises(TypeError, match="a tuple, or a dictionary by name; given float"):
        Network(built(Two), transform=P, inputs=2.0)


def test_an_output_that_is_no_logits_is_read_by_a_function():
    module = built(lambda: Around(lambda inner, x: {"logits": inner(x), "other": x}))
    wanted = camlib.explain(Network(module.inner, transform=P), ready(), "score-cam", 1)
    net = Network(module, transform=P)
    with pytest.raises(TypeError, match=r"returned a dict with keys \['logits', 'other'\]"):
        camlib.explain(net, ready(), "score-cam", 1)
    found = camlib.explain(net.with_output(lambda output: output["logits"]), ready(), "score-cam", 1)
    torch.testing.assert_close(found.raw, wanted.raw)
    one = net.with_output(lambda output: output["logits"][:, 1] - output["logits"][:, 3])
    difference = camlib.explain(one, ready(), "grad-cam", 0)
    trace = Trace(Network(module.inner, transform=P), ready())
    g = trace.gradients(torch.tensor([1])) - trace.gradients(torch.tensor([3]))
    torch.testing.assert_close(difference.weights, g.mean(dim=(2, 3))[0])


def test_a_regression_may_return_one_number_a_picture():
    module = built(lambda: Around(lambda inner, x: inner(x)[:, 2]))
    trace = Trace(Network(module, transform=P), ready(3))
    assert trace.logits.shape == (3, 1)
    inner = Trace(Network(module.inner, transform=P), ready(3))
    torch.testing.assert_close(trace.gradients(torch.zeros(3).long()), inner.gradients(torch.full((3,), 2)))


# -- one picture at a time


class OnlyOne(nn.Module):
    """Adds a second input of one row, and forgets the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = plain()
        self.register_buffer("second", torch.linspace(0, 1, 5)[None])

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x).view(1, 5) + self.second


ONE_BY_ONE = [m for m in helpers.POST_HOC if m not in ("gap-cam", "lift-cam")]


@pytest.mark.parametrize("method", ONE_BY_ONE)
def test_networks_that_take_one_picture_at_a_time(method):
    module = built(OnlyOne)
    usual = Around(lambda inner, x: inner(x) + torch.linspace(0, 1, 5))
    usual.inner.load_state_dict(module.inner.state_dict())
    wanted = maps(Network(usual.eval(), transform=P), ready(2), [method])
    found = maps(Network(module, transform=P), ready(2), [method])
    for key, expected in wanted.items():
        torch.testing.assert_close(found[key], expected, rtol=1e-3, atol=1e-5)


def test_methods_that_need_two_rows_say_so():
    with pytest.raises(ValueError, match=r"takes one picture at a time\. Use 'ablation-cam'"):
        camlib.explain(Network(built(OnlyOne), transform=P), ready(), "lift-cam", 1)


def without_statistics() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6, track_running_stats=False), nn.ReLU(), *head()
    )


@pytest.mark.parametrize("method", ["grad-cam", "score-cam", "ablation-cam", "smooth-grad", "rise", "gradient"])
def test_a_batch_gives_what_single_pictures_give_although_batch_mates_matter(method):
    module = built(without_statistics)
    net = Network(module, transform=P)
    with pytest.warns(BatchDependentWarning, match="logits depend on its batch mates"):
        together = maps(net, ready(3), [method])
    with warnings.catch_warnings():
        warnings.simplefilter("error", NetworkWarning)  # it is said once
        for b in range(3):
            alone = maps(net, ready(3)[b : b + 1], [method])
            torch.testing.assert_close(alone[method, 0], together[method, b], rtol=0, atol=1e-5)


def test_a_network_whose_batch_mates_do_not_matter_is_not_warned_about():
    with warnings.catch_warnings():
        warnings.simplefilter("error", NetworkWarning)
        for build in (helpers.Gap, helpers.Trainable, helpers.SharedRelu):
            Network(helpers.seeded(build, dtype=torch.float32), transform=P).survey()


# -- chance


@pytest.mark.parametrize("where", ["pixels", "features"])
def test_a_random_network_is_warned_about_and_the_callers_random_state_stays(where):
    def change(inner: nn.Module, x: Tensor) -> Tensor:
        np.random.rand()
        random.random()
        if where == "pixels":
            return inner(nn.functional.dropout(x, 0.5))
        return inner[4:](nn.functional.dropout(inner[:4](x), 0.5))

    module = built(lambda: Around(change))
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    net = Network(module, transform=P)
    with pytest.warns(RandomNetworkWarning, match=r"random: two passes of one picture give different logits"):
        net.survey(ready())
    for method in ("grad-cam", "score-cam", "ablation-cam", "gradient", "smooth-grad", "rise"):
        camlib.explain(net, ready(), method, 1, **helpers.short([method])[method])
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])
    assert states[2] == random.getstate()


# -- a network that writes


class InPlace(nn.Module):
    """Normalizes its input where it lies."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = plain()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.sub_(0.4).div_(0.3))


@pytest.mark.parametrize("method", [m for m in helpers.POST_HOC if m != "gap-cam"])
def test_a_network_that_writes_into_its_input(method):
    module = built(InPlace)
    usual = Around(lambda inner, x: inner((x - 0.4) / 0.3))
    usual.inner.load_state_dict(module.inner.state_dict())
    inputs = ready(2)
    kept = inputs.clone()
    found = maps(Network(module, transform=P), inputs, [method])
    assert torch.equal(inputs, kept)
    for key, expected in maps(Network(usual.eval(), transform=P), inputs, [method]).items():
        torch.testing.assert_close(found[key], expected, rtol=1e-3, atol=1e-5)


class Observing(nn.Module):
    """Writes into buffers, a parameter and a plain tensor in every pass, in eval mode, too."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = plain()
        self.register_buffer("largest", torch.zeros(()))
        self.register_buffer("passes", torch.zeros((), dtype=torch.long))
        self.scale = nn.Parameter(torch.full((5,), 2.0))
        self.plain = torch.zeros(3)
        self.list, self.count = [], 0

    def forward(self, x: Tensor) -> Tensor:
        self.largest.copy_(torch.maximum(self.largest, x.detach().max()))
        self.passes += 1
        with torch.no_grad():
            self.scale.div_(self.scale.norm() / 3)
        self.plain[0] += 1
        self.list.append(1)
        self.count += 1
        return self.inner(x) * self.scale


@pytest.mark.parametrize("method", ["grad-cam", "score-cam", "ablation-cam", "gradient", "rise", "mask"])
def test_what_a_pass_writes_does_not_reach_the_caller(method):
    module = built(Observing)
    before = helpers.state(module)
    net = Network(module, transform=P)
    first = camlib.explain(net, ready(), method, 1, **helpers.short([method])[method])
    again = camlib.explain(net, ready(), method, 1, **helpers.short([method])[method])
    assert torch.equal(first.raw, again.raw)
    helpers.assert_same(before, helpers.state(module))
    assert (float(module.plain.sum()), module.list, module.count) == (0, [], 0)


def test_changes_between_two_calls_are_seen():
    module = built(plain)
    net = Network(module, transform=P)
    first = camlib.explain(net, ready(), "grad-cam", 1)
    module[6] = nn.Linear(6, 3)
    assert Trace(net, ready()).logits.shape == (1, 3)
    module[6] = built(plain)[6]
    with torch.no_grad():
        module[6].weight.copy_(built(plain)[6].weight * 2)
        module[6].bias.copy_(built(plain)[6].bias)
    torch.testing.assert_close(camlib.explain(net, ready(), "grad-cam", 1).weights, first.weights * 2)
    module.double()
    assert Trace(net, ready()).logits.dtype == torch.float64
    module.float().load_state_dict(built(plain).state_dict())
    assert torch.equal(camlib.explain(net, ready(), "grad-cam", 1).raw, first.raw)
    module.insert(2, nn.Identity())
    assert net.default_layer.name == "4"


# -- what is no network


class Fixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Sequential(*body()), nn.Linear(6 * 28 * 28, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).flatten(1))


def mixed() -> nn.Module:
    module = plain()
    module[6].double()
    return module


REFUSED = {
    "a state_dict": (lambda: plain().state_dict(), TypeError, r"given a state_dict.*load_state_dict"),
    "a checkpoint": (lambda: {"epoch": 3, "model": {}}, TypeError, "given dict. Build the module, load its part"),
    "a class": (lambda: nn.Identity, TypeError, r"given the class Identity. Pass a module of it"),
    "a name": (lambda: "resnet18", TypeError, r"camlib.load_network\('resnet18'\)"),
    "a function": (lambda: torch.relu, TypeError, "Put the function into the forward of an nn.Module"),
    "a lazy module": (lambda: nn.Sequential(nn.LazyConv2d(4, 3), *head(4)), ValueError, "lazy module. Run one batch"),
    "two types": (mixed, ValueError, r"parameters are float32 and float64: convert it to one type, module.float\(\)"),
    "another size": (Fixed, ValueError, r"does not run on \[1, 3, 16, 16\].*It runs on 28x28: camlib.Preprocess\(28"),
    "other channels": (lambda: plain(1), ValueError, r"takes 1-channel pictures.*Preprocess\(size, mean=\(0.5,\)"),
}


@pytest.mark.parametrize(("build", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_run_is_one_sentence_with_the_remedy(build, error, words):
    with pytest.raises(error, match=words):
        camlib.explain(Network(build(), transform=P), ready(), "grad-cam", 1)


def test_the_modules_own_error_is_the_cause():
    with pytest.raises(ValueError, match="does not run") as caught:
        camlib.explain(Network(built(Fixed), transform=P), ready(), "grad-cam", 1)
    assert isinstance(caught.value, RuntimeError)  # as before, for whoever expects the module's own kind
    assert "shapes cannot be multiplied" in str(caught.value.__cause__)


# -- no layer at all


def test_a_black_box_has_no_layer_and_is_explained_by_its_pixels():
    module = built(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 5)))
    net = Network(module, transform=P)
    e = camlib.explain(net, ready(), "gradient", 2)
    weight = module[1].weight[2].detach().view(3, SIZE, SIZE)
    torch.testing.assert_close(e.raw, weight.abs().amax(dim=0))
    assert e.layer == ""
    assert camlib.explain(net, ready(), "rise", 2, masks=30).heatmap.shape == (SIZE, SIZE)
    assert camlib.explain(net, ready(), "mask", 2, steps=3, l1=0.0).heatmap.shape == (SIZE, SIZE)
    for method in METHODS:
        if METHODS[method].makes != "pixels" and not METHODS[method].architecture:
            with pytest.raises(ValueError, match=r"no spatial feature maps.*its modules return vectors.*'rise'"):
                camlib.explain(net, ready(), method, 2)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_torchscript_and_exported_graphs_are_black_boxes():
    module = built(plain)
    script = torch.jit.trace(module, ready())
    graph = torch.export.export(module, (ready(),)).module()
    wanted = camlib.explain(Network(module, transform=P), ready(), "rise", 1, masks=30)
    for given, words in ((script, "TorchScript.*Pass the module that it was made of"), (graph, "exported graph")):
        net = Network(given, transform=P)
        torch.testing.assert_close(camlib.explain(net, ready(), "rise", 1, masks=30).raw, wanted.raw)
        with pytest.raises(ValueError, match=words):
            camlib.explain(net, ready(), "grad-cam", 1)


def test_a_scripted_part_is_a_layer_as_a_whole():
    module = built(plain)
    mixed = nn.Sequential(torch.jit.trace(module[:4], ready()), *module[4:])
    e = camlib.explain(Network(mixed, transform=P), ready(), "grad-cam", 1)
    assert e.layer == "0"
    torch.testing.assert_close(e.raw, camlib.explain(Network(module, transform=P), ready(), "grad-cam", 1).raw)
    assert not mixed[0]._forward_hooks
