"""Which axes of an output are space, and which token lies where: proven by changing the picture."""

from __future__ import annotations

from collections.abc import Callable

import helpers
import pytest
import torch
import torch.nn.functional as F
import torchvision
from architectures import quick, ready
from torch import Tensor, nn

import camlib
from camlib import Layer, Network, Preprocess, Trace

pytestmark = pytest.mark.filterwarnings("ignore::camlib.DegenerateMapWarning")


def built(build: Callable[[], nn.Module]) -> nn.Module:
    return helpers.seeded(build, seed=5, dtype=torch.float32)


def layers(module: nn.Module, *shape: int) -> dict[str, Layer]:
    net = Network(module)
    return {layer.name: layer for layer in net.survey(torch.zeros(1, *shape)).layers}


# -- maps


def test_swin_has_96_channels_on_96_x_96_positions():
    """At 384 pixels the axes cannot be told apart by their lengths; the channels are last. Two stages of Swin-T."""
    swin = quick(lambda: torchvision.models.SwinTransformer([4, 4], 96, [2, 2], [3, 6], [7, 7]), 64)
    net = Network(swin, transform=Preprocess(384))
    layer = net.find_layer("features.1")
    assert (layer.kind, layer.channels, layer.size) == ("channels-last map", 96, (96, 96))
    inputs = ready(1, 384)
    with torch.no_grad():
        assert torch.equal(Trace(net, inputs, "features.1").activations, swin.features[:2](inputs).permute(0, 3, 1, 2))


def test_every_stage_of_swin_at_224():
    net = Network(quick(lambda: torchvision.models.swin_t(), 64), transform=Preprocess(224))
    stages = [net.find_layer(f"features.{i}") for i in (1, 3, 5, 7)]
    assert {layer.kind for layer in stages} == {"channels-last map"}
    assert [(layer.channels, layer.size) for layer in stages] == [
        (96, (56, 56)), (192, (28, 28)), (384, (14, 14)), (768, (7, 7)),
    ]  # fmt: skip


class ChannelsLast(nn.Module):
    """[B, h, w, K] between blocks that change only the last axis, K = h = w; nothing but the values tells."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.mix = nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.turn, self.act, self.fc = nn.Identity(), nn.ReLU(), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        last = self.turn(self.stem(x).permute(0, 2, 3, 1))
        last = self.act(self.mix(last.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) + last)
        return self.fc(last.mean(dim=(1, 2)))


class Turned(nn.Module):
    """A sound's spectrogram: the module turns time and frequency around first."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU())
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x.transpose(2, 3)).mean(dim=(2, 3)))


def test_channels_last_although_all_axes_are_of_one_length():
    module = built(ChannelsLast)
    found = layers(module, 3, 32, 32)
    assert {name: found[name].kind for name in ("stem", "turn", "act")} == {
        "stem": "map", "turn": "channels-last map", "act": "channels-last map",
    }  # fmt: skip
    trace = Trace(Network(module), helpers.batch(2, torch.float32), "act")
    g = trace.gradients(torch.tensor([0, 3]))
    share = module.fc.weight[torch.tensor([0, 3])].detach()[..., None, None] / 256
    torch.testing.assert_close(g, share.expand_as(g))


@pytest.mark.parametrize("shape", [(24, 24), (32, 16)])
def test_maps_that_the_network_has_turned_around_come_back(shape):
    module = built(Turned)
    layer = layers(module, 1, *shape)["body"]
    assert (layer.kind, layer.size, layer.axes) == ("transposed map", shape, (1, 3, 2))
    inputs = torch.rand(1, 1, *shape)
    trace = Trace(Network(module), inputs, "body")
    with torch.no_grad():
        assert torch.equal(trace.activations, module.body(inputs.transpose(2, 3)).transpose(2, 3))
    share = module.fc.weight[2].detach() / trace.positions
    torch.testing.assert_close(trace.gradients(torch.tensor([2]))[0, :, 0, 0], share)


def test_one_sided_pooling_leaves_maps():
    """Text lines and sounds: 64 x 64 becomes 64 x 16, whatever the picture's aspect."""
    module = built(lambda: nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d((1, 4)), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    ))  # fmt: skip
    net = Network(module, transform=Preprocess(64, (0.5,), (0.5,)))
    assert net.default_layer.name == "4"
    assert [(layer.name, layer.size) for layer in net.layers()][2:] == [
        ("2", (64, 16)), ("3", (64, 16)), ("4", (64, 16)),
    ]  # fmt: skip
    e = camlib.explain(net, torch.rand(1, 64, 64), "grad-cam", 1, layer="3")
    assert (e.raw.shape, e.heatmap.shape) == ((64, 16), (64, 64))


def test_a_map_of_one_row():
    module = built(lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d((1, None)),
        nn.Conv2d(8, 8, (1, 3), padding=(0, 1)), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    ))  # fmt: skip
    found = layers(module, 3, 16, 32)
    assert (found["4"].kind, found["4"].channels, found["4"].size) == ("map", 8, (1, 32))
    assert Network(module).find_layer(None, torch.zeros(1, 3, 16, 32)).name == "4"


class Attending(nn.Module):
    """One block of attention over 6 x 6 patches, whose weights [heads, 36, 36] are an output, too."""

    def __init__(self, order: Tensor | None = None) -> None:
        super().__init__()
        self.stem, self.qkv = nn.Conv2d(3, 16, 4, stride=4), nn.Linear(16, 48)
        self.weights, self.block, self.fc = nn.Softmax(dim=-1), nn.Identity(), nn.Linear(16, 5)
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        tokens = tokens if self.order is None else tokens[:, self.order]
        q, k, v = self.qkv(tokens).unflatten(2, (3, 2, 8)).permute(2, 0, 3, 1, 4)
        weights = self.weights(q @ k.transpose(2, 3) / 8**0.5)
        tokens = self.block(tokens + (weights @ v).transpose(1, 2).flatten(2))
        return self.fc(tokens.mean(dim=1))


def test_attention_weights_are_no_map():
    found = layers(built(Attending), 3, 24, 24)
    assert "weights" not in found
    assert (found["block"].kind, found["block"].size, found["block"].order) == ("tokens", (6, 6), ())


# -- tokens


def windows(side: int, window: int) -> Tensor:
    """Order of the tokens of a picture in windows: all of a window before the next one."""
    cells = torch.arange(side * side).view(side // window, window, side // window, window)
    return cells.permute(0, 2, 1, 3).flatten()


ORDERS = {
    "windows": windows(6, 3),
    "columns": torch.arange(36).view(6, 6).T.flatten(),
    "backwards": torch.arange(35, -1, -1),
    "shuffled": torch.randperm(36, generator=torch.Generator().manual_seed(0)),
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_tokens_in_any_order_become_the_map_that_they_are(order):
    module = built(lambda: Attending(order))
    plain = built(Attending)
    plain.load_state_dict(module.state_dict())
    inputs = torch.rand(1, 3, 24, 24)
    net, usual = Network(module, "block"), Network(plain, "block")
    layer = net.find_layer(None, inputs)
    assert torch.equal(torch.tensor(layer.order), order.argsort())
    found, expected = Trace(net, inputs), Trace(usual, inputs)
    torch.testing.assert_close(found.activations, expected.activations)
    torch.testing.assert_close(found.gradients(torch.tensor([1])), expected.gradients(torch.tensor([1])))
    for method in ("score-cam", "ablation-cam", "recipro-cam"):
        maps = [camlib.explain(each, inputs, method, 1).raw for each in (net, usual)]
        torch.testing.assert_close(*maps, rtol=1e-4, atol=1e-6)


def test_hiera_keeps_its_tokens_by_mask_units():
    """Inner layers are in the order of the units, the last stage row by row; coarser stages pool finer ones."""
    timm = pytest.importorskip("timm")
    module = quick(lambda: timm.create_model("hiera_tiny_224"), 224)
    found = layers(module, 3, 224, 224)
    blocks = [found[f"blocks.{i}"] for i in (0, 2, 5, 11)]
    assert [layer.size for layer in blocks] == [(56, 56), (28, 28), (14, 14), (7, 7)]
    assert [bool(layer.order) for layer in blocks] == [True, True, True, False]
    inputs = ready(1, 224)
    moved = inputs.clone()
    moved[..., :56, 112:168] += 3.0  # the first quarter of the rows, the third of the columns
    net = Network(module)
    for layer in blocks[:3]:
        change = (
            (Trace(net, moved, layer.name).activations - Trace(net, inputs, layer.name).activations).abs().sum(1)[0]
        )
        h, w = layer.size
        assert float(change[: h // 4, w // 2 : 3 * w // 4].mean()) > 3 * float(change[h // 2 :].mean())
        assert float(change[: h // 4, w // 2 : 3 * w // 4].mean()) > 3 * float(change[:, : w // 4].mean())


def test_a_grid_without_any_map_in_the_network():
    """Patches cut out by hand and a linear layer: no 4-D tensor tells the grid, the picture does."""

    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.mix, self.fc = nn.Linear(3 * 16, 12), nn.Linear(12, 12), nn.Linear(12, 5)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.embed(F.unfold(x, 4, stride=4).transpose(1, 2))
            return self.fc(self.mix(tokens.relu()).relu().mean(dim=1))

    found = layers(built(Patches), 3, 24, 32)
    assert (found["mix"].kind, found["mix"].size, found["mix"].prefix) == ("tokens", (6, 8), 0)


# -- sounds, volumes, views


def sound() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 8, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(8, 6, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, 5),
    )  # fmt: skip


def volume() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(8, 6, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(6, 5),
    )  # fmt: skip


SPACES = {"sound": (sound, (2, 40), (20,)), "volume": (volume, (1, 8, 12, 10), (4, 6, 5))}


@pytest.mark.parametrize("method", helpers.POST_HOC)
@pytest.mark.parametrize(("build", "shape", "size"), SPACES.values(), ids=SPACES)
def test_every_method_on_sounds_and_volumes(build, shape, size, method):
    net = Network(built(build))
    e = camlib.explain(net, torch.rand(1, *shape), method, 1, **helpers.short([method])[method])
    space = shape[1:]
    pixels = camlib.METHODS[method].makes == "pixels"
    assert tuple(e.raw.shape) == (space if pixels else size)
    assert tuple(e.heatmap.shape) == space
    assert tuple(e.image.shape) == (3, *space)
    assert e.weights is None or tuple(e.weights.shape) in ((6,), (6, *size))


@pytest.mark.parametrize(("build", "shape", "size"), SPACES.values(), ids=SPACES)
def test_grad_cam_on_sounds_and_volumes_by_hand(build, shape, size):
    module, inputs = built(build), torch.rand(2, *shape)
    net = Network(module)
    with torch.no_grad():
        maps = module[:5](inputs)
    weights = module[7].weight[3].detach() / maps[0, 0].numel()
    for e in camlib.compare(net, inputs, ["grad-cam", "layer-cam"], [3], relu=False):
        w = weights if e.method == "grad-cam" else weights.relu()
        raw = torch.einsum("k,k...->...", w, maps[e.picture])
        torch.testing.assert_close(e.raw, raw)
        mode = {1: "linear", 3: "trilinear"}[len(size)]
        large = F.interpolate(raw[None, None], shape[1:], mode=mode, align_corners=False)[0, 0]
        torch.testing.assert_close(e.heatmap, (large - large.min()) / (large.max() - large.min()), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("build", "shape", "size"), SPACES.values(), ids=SPACES)
def test_a_tail_runs_on_maps_of_any_axes(build, shape, size):
    module, inputs = built(build), torch.rand(1, *shape)
    trace = Trace(Network(module), inputs)
    with torch.no_grad():
        maps = module[:5](inputs)
        for k in range(6):
            without = maps.clone()
            without[:, k] = 0
            torch.testing.assert_close(trace.ablated_logits()[0, k], module[5:](without)[0])


def test_one_sound_is_a_batch_without_its_first_axis():
    net = Network(built(sound))
    wave = torch.rand(2, 40)
    assert torch.equal(camlib.explain(net, wave, "grad-cam", 1).raw, camlib.explain(net, wave[None], "grad-cam", 1).raw)
    with pytest.raises(ValueError, match=r"one picture \[3,L\].*given \[40\]"):
        camlib.explain(net, wave[0], "grad-cam", 1)


class Views(nn.Module):
    """Several views of a thing are folded into the batch, one after the other or all first ones first."""

    def __init__(self, apart: bool) -> None:
        super().__init__()
        self.body, self.fc, self.apart = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU()), nn.Linear(6, 5), apart

    def forward(self, x: Tensor) -> Tensor:
        views = x.unflatten(1, (-1, 3)) if x.dim() == 4 else x
        if self.apart:
            pooled = self.body(views.transpose(0, 1).flatten(0, 1)).mean(dim=(2, 3)).unflatten(0, (-1, len(x))).mean(0)
        else:
            pooled = self.body(views.flatten(0, 1)).mean(dim=(2, 3)).unflatten(0, (len(x), -1)).mean(1)
        return self.fc(pooled)


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("apart", [True, False])
def test_maps_of_several_views_are_channels_side_by_side(apart, folded):
    module = built(lambda: Views(apart))
    inputs = torch.rand(3, 2, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    given = inputs.flatten(1, 2) if folded else inputs
    trace = Trace(Network(module), given)
    with torch.no_grad():
        maps = torch.stack([module.body(inputs[:, v]) for v in range(2)], dim=1).flatten(1, 2)  # [B, V·K, h, w]
    assert torch.equal(trace.activations, maps)
    target = torch.tensor([0, 1, 4])
    share = module.fc.weight[target].detach().repeat(1, 2)[..., None, None] / (2 * 144)
    torch.testing.assert_close(trace.gradients(target), share.expand_as(maps))
    methods = ["grad-cam", "score-cam", "ablation-cam", "gradient"]
    together = {(e.method, e.picture): e for e in camlib.compare(Network(module), given, methods, [1])}
    for b in range(3):
        for method in methods:
            alone = camlib.explain(Network(module), given[b : b + 1], method, 1)
            assert alone.heatmap.shape == (12, 12)
            torch.testing.assert_close(alone.raw, together[method, b].raw, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_quantized_maps_are_read_and_scored():
    quantization = pytest.importorskip("torch.ao.quantization")
    body = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)]
    module = nn.Sequential(quantization.QuantStub(), *body, quantization.DeQuantStub()).eval()
    module.qconfig = quantization.get_default_qconfig("x86")
    quantization.prepare(module, inplace=True)
    inputs = helpers.batch(1, torch.float32)
    module(inputs)
    quantization.convert(module, inplace=True)
    net = Network(module, "2")
    assert camlib.explain(net, inputs, "score-cam", 1).raw.shape == (32, 32)
    assert bool(Trace(net, inputs).activations.any())
    with pytest.raises(ValueError, match=r"depend on layer '2', but what follows it has no gradient.*'score-cam'"):
        camlib.explain(net, inputs, "grad-cam", 1)
