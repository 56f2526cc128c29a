"""The engine under the score family: folding, streaming, tails, interrupts, and passes counted one by one."""

from __future__ import annotations

import re
import warnings
from contextlib import nullcontext

import architectures
import helpers
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import camlib
from camlib import METHODS, Masking, Trace
from camlib.engine import folding, fusing, scoring

ROWS: dict[str, int] = {}
"""Rows that went through the body and through the tail of a ``Counted`` network, also in copies of it."""


class Counting(nn.Module):
    """Passes its input on and counts the rows; a copy of the module counts in the same place."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        ROWS[self.name] = ROWS.get(self.name, 0) + len(x)
        return x


class Counted(nn.Module):
    """conv - ReLU (``features``, K channels) - MLP, with a counter in front of either part."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(Counting("body"), nn.Conv2d(3, channels, 3, stride=4, padding=1))
        self.features = nn.ReLU()
        self.tail = nn.Sequential(Counting("tail"), nn.Flatten(), nn.Linear(64 * channels, 8), nn.ReLU())
        self.fc = nn.Linear(8, len(helpers.CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.tail(self.features(self.body(x))))


def rows(method: str, channels: int) -> tuple[int, int]:
    """(rows through the body, rows through the tail) that a method takes at K = ``channels``, set-up included."""
    net = helpers.network(helpers.seeded(lambda: Counted(channels)), target_layer="features")
    net.layers()
    ROWS.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", camlib.DegenerateMapWarning)
        options = {} if METHODS[method].family == "score" else helpers.short([method])[method]  # their number is stated
        camlib.explain(net, helpers.picture(0), method, 1, **options)
    return ROWS["body"], ROWS["tail"]


def slope(passes: str, kind: str) -> int:
    """Coefficient of K in the registry's words: "1 forward + 2K masked" -> 2 for kind "masked"."""
    found = re.search(rf"(\d*)K(?:\+\d+)? {kind}", passes)
    return int(found[1] or 1) if found else 0


@pytest.mark.parametrize("method", [name for name in helpers.POST_HOC if name not in ("gap-cam", "group-cam")])
def test_passes_grow_with_channels_as_the_registry_says(method):
    """Two networks that differ in K alone: the difference in rows is the registry's coefficient, exactly."""
    (body6, tail6), (body11, tail11) = rows(method, 6), rows(method, 11)
    masked, tails = (slope(METHODS[method].passes, kind) for kind in ("masked", "tails"))
    assert body11 - body6 == 5 * masked
    assert tail11 - tail6 == 5 * (masked + tails)


@pytest.mark.parametrize(
    ("method", "body", "tail"),
    [
        ("grad-cam", 1, 1),
        ("score-cam", 1 + 6, 1 + 6),
        ("score-cam-cic", 1 + 6 + 1, 1 + 6 + 1),
        ("sa-cam", 1 + 12, 1 + 12),
        ("union-cam", 1 + 6 + 4, 1 + 6 + 4),
        ("ablation-cam", 1, 1 + 6),
        ("recipro-cam", 1, 1 + 64),
        ("fd-cam", 1, 1 + 12),
        ("rise", 1 + 40, 1 + 40),
        ("finer-cam", 1, 1),
        ("case", 1, 1),
        ("shapley-cam", 1, 1),
        ("lift-cam", 3, 3),
        ("is-cam", 1 + 60, 1 + 60),
        ("ss-cam", 1 + 210, 1 + 210),
        ("opti-cam", 2 + 100, 2 + 100),
    ],
)
def test_passes_are_those_that_the_registry_names(method, body, tail):
    """Besides these, setting up costs at most 3 rows: finding what folds, proving the copy or the tail."""
    found_body, found_tail = rows(method, 6)
    assert 0 <= found_body - body <= 2
    assert 0 <= found_tail - tail <= 2


def test_group_cam_takes_one_picture_a_live_group_and_the_blurred_one():
    found, _ = rows("group-cam", 6)  # fewer channels than groups: a group each
    assert 1 + 1 <= found <= 1 + 1 + 6 + 2


def test_seven_methods_and_three_classes_share_the_masked_pictures():
    net = helpers.network(helpers.seeded(lambda: Counted(6)), target_layer="features")
    net.layers()
    ROWS.clear()
    methods = ["grad-cam", "grad-cam++", "xgrad-cam", "layer-cam", "ablation-cam", "score-cam", "sa-cam"]
    camlib.compare(net, helpers.picture(0), methods, [0, 1, 2])
    assert 13 <= ROWS["body"] <= 13 + 3  # 1 + K of Score-CAM + K key areas of SA-CAM
    assert 13 + 6 <= ROWS["tail"] <= 13 + 6 + 3 + 2


# -- the private copy


def full(name: str, size: int = 64) -> tuple[nn.Module, Tensor, Tensor]:
    """(architecture with seeded weights, noise, its logits)."""
    if name == "efficientnet-lite0":
        module, noise = helpers.lite0().module, architectures.ready(1, 224)
    else:
        module = architectures.quick(lambda: torchvision.models.get_model(name, weights=None), size)
        noise = architectures.ready(1, size)
    with torch.no_grad():
        return module, noise, module(noise)


@pytest.mark.parametrize(
    ("name", "norms", "folded"),
    [("efficientnet-lite0", 49, 49), ("resnet18", 20, 20), ("mobilenet_v2", 52, 52), ("vgg16", 0, 0)],
)
def test_every_batch_norm_behind_a_convolution_is_folded(name, norms, folded):
    """torch.fx's fuse folds none of Lite0's 49: its convolution is a subclass."""
    module, noise, logits = full(name)
    made = folding.fast_copy(module, noise, logits)
    assert (made.norms, made.folded) == (norms, folded)
    assert made.error <= 1e-5
    with torch.no_grad():
        assert helpers.relative(made.module(noise), logits) <= 1e-5
        assert made.memory_format is torch.channels_last


def test_densenet_keeps_the_batch_norms_in_front_of_its_convolutions():
    module, noise, logits = full("densenet121")
    made = folding.fast_copy(module, noise, logits)
    assert made.norms == 121
    assert 0 < made.folded < 121
    assert made.error <= 1e-5


def test_folded_parameters_by_hand():
    """One channel, 1x1 convolution: norm(3x + 1) with mean 2, variance 4, weight 5, bias 6 is 7.5x + 3.5."""
    conv, norm = nn.Conv2d(1, 1, 1).double(), nn.BatchNorm2d(1, eps=0.0).double().eval()
    with torch.no_grad():
        for tensor, value in ((conv.weight, 3), (conv.bias, 1), (norm.weight, 5), (norm.bias, 6)):
            tensor.fill_(value)
    norm.running_mean.fill_(2)
    norm.running_var.fill_(4)
    weight, bias = folding.folded_parameters(conv, norm)
    assert float(weight) == pytest.approx(7.5)
    assert float(bias) == pytest.approx(3.5)


def test_the_callers_network_is_untouched_by_folding():
    module = helpers.seeded(helpers.Trainable, dtype=torch.float32)
    before = helpers.state(module)
    noise = helpers.batch(1, torch.float32)
    with torch.no_grad():
        logits = module(noise)
    made = folding.fast_copy(module, noise, logits, dtype=torch.bfloat16)
    assert made.folded == 2
    helpers.assert_same(before, helpers.state(module))
    assert {p.dtype for p in made.module.parameters()} == {torch.bfloat16}


class Shared(nn.Module):
    """One convolution in front of two norms, and a norm whose convolution is read by somebody else as well."""

    def __init__(self, twice: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm1, self.norm2 = nn.BatchNorm2d(6), nn.BatchNorm2d(6)
        nn.init.uniform_(self.norm1.running_mean, 0.5, 1.0)
        self.fc = nn.Linear(6, 5)
        self.twice = twice

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv(x)
        other = self.norm2(self.conv(x)) if self.twice else maps
        return self.fc((self.norm1(maps).relu() * other).mean(dim=(2, 3)))


@pytest.mark.parametrize("twice", [True, False])
def test_a_convolution_that_is_needed_unfolded_stays(twice):
    module = helpers.seeded(lambda: Shared(twice), dtype=torch.float32)
    noise = helpers.batch(1, torch.float32)
    with torch.no_grad():
        made = folding.fast_copy(module, noise, module(noise))
    assert made.folded == 0
    assert made.error <= 1e-6


class NoCopy(helpers.Gap):
    """Refuses to be copied."""

    def __deepcopy__(self, memo: dict) -> nn.Module:
        raise RuntimeError("not for copying")


def test_a_network_that_cannot_be_copied_is_used_as_it_is():
    plain, fixed = (helpers.network(helpers.seeded(kind)) for kind in (helpers.Gap, NoCopy))
    before = helpers.state(fixed.module)
    a, b = (camlib.explain(net, helpers.picture(0), "score-cam", 1) for net in (plain, fixed))
    torch.testing.assert_close(a.weights, b.weights)
    helpers.assert_same(before, helpers.state(fixed.module))


# -- streaming


def test_batch_keeps_the_widest_tensor_under_32_mib():
    cpu, mib = torch.device("cpu"), 2**20
    assert scoring.batch_for(16 * mib, cpu) == 1
    assert scoring.batch_for(16 * mib - 1, cpu) == 2
    assert scoring.batch_for(64 * mib, cpu) == 1
    assert scoring.batch_for(1, cpu) == scoring.LARGEST_BATCH
    assert scoring.batch_for(0, cpu) == scoring.LARGEST_BATCH


def test_widest_tensor_of_lite0_is_its_expansion_to_96_channels():
    scorer = scoring.Scorer(helpers.lite0(), helpers.bull_mastiff())
    assert 96 * 112 * 112 * 4 <= scorer.copy.widest <= 96 * 114 * 114 * 4  # it pads by itself
    assert scorer.batch * scorer.copy.widest < 32 * 2**20


@given(count=st.integers(1, 40), batch=st.integers(1, 9))
def test_every_item_is_written_and_kept_once(count, batch):
    buffer, sizes = torch.empty(batch, 2), []

    def write(rows: Tensor, start: int, stop: int) -> None:
        sizes.append(len(rows))
        rows.copy_(torch.arange(start, stop).float()[:, None].expand(-1, 2))

    moved = []
    made = scoring._stream(lambda rows: rows * 2, buffer, count, write, moved.append)
    assert torch.equal(made, 2 * torch.arange(count).float()[:, None].expand(-1, 2))
    assert sum(sizes) == sum(moved) == count
    assert max(sizes) <= batch


def test_a_stream_of_nothing_is_refused():
    with pytest.raises(ValueError, match="count=0: expected at least one item"):
        scoring.Scorer(helpers.network(helpers.seeded(helpers.Gap)), helpers.batch(1)).logits(0, lambda *_: None)


def test_pictures_live_one_batch_at_a_time():
    """64 channels at 128 x 128 in a batch of 2: 64 pictures are 12 MB, one batch is 0.4 MB."""
    module = helpers.seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 64, 8, stride=8), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 256, 5))
    )
    net = helpers.network(module.float(), 128, target_layer="1")
    trace = Trace.of(net, helpers.picture(0, 128, 128))
    seen = []

    def spy(_module: nn.Module, args: tuple) -> None:
        seen.append((args[0].shape[0], args[0].untyped_storage().data_ptr()))

    scorer = trace.scorer()
    scorer.batch, scorer._buffer = 2, scorer._buffer[:2].clone(memory_format=torch.channels_last)
    handle = scorer.copy.module.register_forward_pre_hook(spy)
    trace.masked_logits()
    handle.remove()
    assert sum(n for n, _ in seen) == int(trace.live.sum()) > 32
    assert {n for n, _ in seen} <= {1, 2}
    assert len({place for _, place in seen}) == 1


def test_dead_channels_cost_nothing_and_get_zeros():
    class HalfDead(helpers.Gap):
        def forward(self, x: Tensor) -> Tensor:
            maps = self.features(x)
            keep = torch.tensor([1.0, 0, 1, 0, 0, 1]).to(x)[:, None, None]
            return self.fc(self.gate(maps * keep + (1 - keep) * 0.25).mean(dim=(2, 3)))

        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Identity()

    trace = Trace.of(helpers.network(helpers.seeded(HalfDead), target_layer="gate"), helpers.picture(0))
    assert trace.live[0].tolist() == [True, False, True, False, False, True]
    before = trace.scorer().pictures
    logits = trace.masked_logits()
    assert trace.scorer().pictures - before == 3
    assert not bool(logits[0, [1, 3, 4]].any())
    assert bool(logits[0, [0, 2, 5]].all())


# -- behind the layer


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
    module, _, _ = full(name)
    net = camlib.Network(module, transform=camlib.Preprocess((64, 64), (0.5,) * 3, (0.25,) * 3))
    trace = Trace.of(net, helpers.picture(0, 64, 64), layer=layer)
    assert trace._tail(0).form == form
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
    assert (plain._tail(0).form, picky._tail(0).form) == ("tail", "whole network")
    torch.testing.assert_close(plain.ablated_logits(), picky.ablated_logits())


# -- interrupts and precision


@pytest.mark.parametrize("method", ["score-cam", "ablation-cam", "sa-cam", "union-cam", "rise", "mask", "fd-cam"])
@pytest.mark.parametrize("at", [1, 2])
def test_an_interrupt_leaves_the_network_as_it_was(method, at, monkeypatch):
    """Ctrl-C arrives in the middle of the passes, wherever they run."""
    net = helpers.network(helpers.seeded(helpers.Trainable))
    net.layers()
    net.module.train()
    before = helpers.state(net.module)
    calls = []
    plain = nn.Linear.forward

    def forward(self: nn.Linear, x: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) > at:
            raise KeyboardInterrupt
        return plain(self, x)

    monkeypatch.setattr(nn.Linear, "forward", forward)
    with pytest.raises(KeyboardInterrupt):
        camlib.explain(net, helpers.picture(0), method, 1)
    monkeypatch.undo()
    helpers.assert_same(before, helpers.state(net.module))
    assert not any("forward" in child.__dict__ for child in net.module.modules())
    assert camlib.explain(net, helpers.picture(0), "grad-cam", 1).heatmap.max() == 1


def test_bfloat16_prints_its_error_and_keeps_the_map():
    net, x = helpers.lite0(), helpers.bull_mastiff()
    exact = camlib.explain(net, x, "score-cam", 243, "blocks.4")
    with pytest.warns(camlib.ApproximationWarning, match=r"bfloat16 scores.* map correlation 0\.99\d+") as record:
        half = camlib.explain(net, x, "score-cam", 243, "blocks.4", precision="bfloat16")
    assert helpers.correlation(half.heatmap, exact.heatmap) >= 0.99
    assert not torch.equal(half.weights, exact.weights)
    assert record[0].filename == __file__


def test_unknown_precision_is_named():
    net = helpers.network(helpers.seeded(helpers.Gap))
    with pytest.raises(ValueError, match=r"precision='int8': expected one of \('float32', 'bfloat16'\)"):
        camlib.explain(net, helpers.picture(0), "score-cam", precision="int8")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"masks": "soft"}, r"masks='soft': expected one of \('scaled', 'binary', 'unshifted', 'key-area'\)"),
        ({"order": "later"}, r"order='later': expected one of"),
        ({"filler": "red"}, r"filler='red': expected one of \('mean', 'black', 'white', 'blur', 'noise'\)"),
        ({"threshold": 1.5}, r"threshold=1.5, sigma=10.0: expected a threshold in \[0, 1\]"),
        ({"sigma": 0.0}, r"expected a threshold in \[0, 1\] and sigma > 0"),
    ],
)
def test_masking_names_what_it_does_not_know(options, words):
    with pytest.raises(ValueError, match=words):
        Masking(**options)


def test_scores_of_all_classes_are_made_once():

    trace = Trace.of(helpers.network(helpers.seeded(helpers.Gap)), helpers.picture(0))
    first = trace.masked_logits()
    assert all(trace.masked_logits() is first for _ in range(5))
    assert trace.masked_logits(Masking()) is first


# -- activations inside convolutions


class Rectified(nn.Module):
    """One ReLU module for three places: behind two convolutions, and behind a sum that is made in place."""

    def __init__(self, kind: type[nn.Module] = nn.ReLU, **how: bool) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(6)
        self.conv2, self.norm2 = nn.Conv2d(6, 6, 3, padding=1, groups=3), nn.BatchNorm2d(6)
        self.plain = nn.Conv2d(6, 5, 1)
        self.act = kind(**how)
        self.fc = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        first = self.act(self.norm1(self.conv1(x)))
        maps = self.norm2(self.conv2(first))
        maps += first
        return self.fc(self.act(self.plain(self.act(maps))).mean(dim=(2, 3)))


class ReadTwice(Rectified):
    """What the first convolution makes is read before its ReLU, too: it cannot be fused."""

    def forward(self, x: Tensor) -> Tensor:
        maps = self.norm1(self.conv1(x))
        return self.fc(self.plain(self.act(maps) - 2 * maps).mean(dim=(2, 3)))


def copy_of(module: nn.Module, **how: object) -> tuple[folding.FastCopy, Tensor, Tensor]:
    """(fast copy, three pictures in its format, the module's own logits for them)."""
    noise = helpers.batch(3, torch.float32)
    with torch.no_grad():
        logits = module(noise)
    made = folding.fast_copy(module, noise[:1], logits[:1], **how)
    return made, noise.contiguous(memory_format=made.memory_format), logits


ACTIVATIONS = [
    (nn.ReLU, {}),
    (nn.ReLU, {"inplace": True}),
    (nn.ReLU6, {"inplace": True}),
    (nn.SiLU, {}),
    (nn.Hardswish, {}),
]


@pytest.mark.parametrize(("kind", "how"), ACTIVATIONS)
def test_a_fused_copy_gives_the_logits_of_the_network(kind, how):
    module = helpers.seeded(lambda: Rectified(kind, **how), dtype=torch.float32)
    made, pictures, logits = copy_of(module)
    assert (made.folded, made.fused) == (2, 3)
    with torch.inference_mode():
        torch.testing.assert_close(made.module(pictures), logits, rtol=1e-5, atol=1e-5)
    assert (copy_of(module, fused=False)[0].folded, copy_of(module, fused=False)[0].fused) == (2, 0)


def test_a_convolution_that_is_read_before_its_relu_is_not_fused():
    made, pictures, logits = copy_of(helpers.seeded(lambda: ReadTwice(nn.ReLU), dtype=torch.float32))
    assert made.fused == 0
    with torch.inference_mode():
        torch.testing.assert_close(made.module(pictures), logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kept", ["norm1", "act", "conv1"])
def test_the_outputs_of_kept_modules_stay_what_they_are(kept):
    module = helpers.seeded(lambda: Rectified(nn.ReLU, inplace=False), dtype=torch.float32)
    made, pictures, _ = copy_of(module, keep=[kept])
    seen: dict[str, list[Tensor]] = {"original": [], "copy": []}
    for name, network in (("original", module), ("copy", made.module)):
        target = network.get_submodule(kept)
        handle = target.register_forward_hook(lambda _m, _a, output, name=name: seen[name].append(output.clone()))
        with torch.no_grad():
            network(pictures)
        handle.remove()
    for a, b in zip(seen["original"], seen["copy"], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_gradients_through_a_fused_copy_are_those_of_the_network():
    module = helpers.seeded(lambda: Rectified(nn.ReLU6, inplace=True), dtype=torch.float32)
    made, pictures, _ = copy_of(module)
    assert made.fused == 3
    gradients = []
    for network in (module, made.module):
        x = pictures.clone().requires_grad_(True)
        gradients.append(torch.autograd.grad(network(x)[:, 1].sum(), x)[0])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-6)
    assert float(gradients[0].abs().max()) > 1e-4


@pytest.mark.parametrize(("name", "fused"), [("efficientnet-lite0", 49), ("resnet18", 20), ("vgg16", 13)])
def test_convolutions_of_known_networks_are_fused(name, fused):
    """49 and 20 are all of them: folding made their weights the copy's own. VGG-16's 13 keep the caller's weights."""
    module, noise, logits = full(name)
    before = helpers.state(module)
    made = folding.fast_copy(module, noise, logits)
    assert made.fused == fused
    assert made.error <= 1e-5
    helpers.assert_same(before, helpers.state(module))


@given(
    side=st.integers(6, 15), other=st.integers(6, 15), kernel=st.sampled_from([1, 2, 3, 5]), stride=st.integers(1, 3),
    dilation=st.integers(1, 2), wide=st.booleans(), bias=st.booleans(),
    activation=st.sampled_from([None, nn.ReLU(), nn.ReLU6()]),
)  # fmt: skip
def test_padding_that_depends_on_the_size_is_the_same_in_a_fused_convolution(
    side, other, kernel, stride, dilation, wide, bias, activation
):
    """timm's Conv2dSame pads as TensorFlow does: unevenly where the sum is odd, the larger part behind."""
    torch.manual_seed(0)
    width, groups = (20, 1) if wide else (4, 4)
    conv = Conv2dSame(4, width, kernel, stride, dilation=dilation, groups=groups, bias=bias).requires_grad_(False)
    x = torch.randn(2, 4, side, other).contiguous(memory_format=torch.channels_last)
    expected = conv(x) if activation is None else activation(conv(x))
    for own in (True, False):
        fused = fusing.FusedConv(conv, activation, x.shape, own)
        with torch.inference_mode():
            found = fused(x)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert found.activated is (activation is not None)


def test_operations_of_fused_convolutions_are_counted():
    """3·6·9 + 6·2·9 + 6·5 multiplications at each of 256 positions of half the side; two operations each."""
    made, pictures, _ = copy_of(helpers.seeded(lambda: Rectified(nn.ReLU), dtype=torch.float32))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        made.module(pictures[:1])
    assert counter.get_total_flops() == 2 * (256 * (3 * 6 * 9 + 6 * 2 * 9 + 6 * 5) + 5 * 4)


def test_bytes_of_the_copys_own_weights_are_those_of_what_was_folded():
    module = helpers.seeded(lambda: Rectified(nn.ReLU), dtype=torch.float32)
    own = 4 * (3 * 6 * 9 + 6 + 6 * 2 * 9 + 6)
    assert copy_of(module)[0].own == copy_of(module, fused=False)[0].own == own
    assert folding.fast_copy(*full("vgg16")).own == 0


def test_other_types_are_not_fused():
    """oneDNN computes in float32 and bfloat16 only."""
    module = helpers.seeded(lambda: Rectified(nn.ReLU))
    noise = helpers.batch(1)
    with torch.no_grad():
        made = folding.fast_copy(module, noise, module(noise))
    assert (made.folded, made.fused) == (2, 0)
    assert made.error <= 1e-12
