"""``Network`` and its layers: what a layer's name means, tensors read as maps, pictures, transforms, classes."""

import math
from collections import OrderedDict
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from architectures import quick, ready
from helpers import (
    CLASSES,
    FunctionalRelu,
    Gap,
    Pooled,
    SharedRelu,
    Trainable,
    batch,
    features,
    network,
    picture,
    seeded,
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights
from torchvision.transforms import v2

from camlib import Layer, Network, Preprocess, Trace, explain, load_network
from camlib.data.classes import imagenet_classes


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads on such small pictures cost up to ten times as much as soon as another process holds a core."""
    torch.set_num_threads(1)  # until conftest sets up the next test


@cache
def classifier(name: str, size: int = 64) -> Network:
    module = quick(lambda: get_model(name), size)
    return Network(module, transform=Preprocess((size, size)), class_names=imagenet_classes(), name=name)


def top_gradients(trace: Trace) -> Tensor:
    return trace.gradients(trace.logits.argmax(dim=1))


# -- a layer means what its name says ------------------------------------------------------------------------------


def test_vgg_features_28_is_before_its_in_place_relu_and_29_behind_it():
    vgg = classifier("vgg16")
    assert all(child.inplace for child in vgg.module.features if isinstance(child, nn.ReLU))
    pictures = ready(2, 64)
    by_hand, maps = {}, pictures
    for index, child in enumerate(vgg.module.features):
        maps = F.relu(maps) if isinstance(child, nn.ReLU) else child(maps).detach()
        by_hand[index] = maps
    before, behind = Trace(vgg, pictures, "features.28"), Trace(vgg, pictures, "features.29")
    assert torch.equal(before.activations, by_hand[28])
    assert torch.equal(behind.activations, by_hand[29])
    assert before.activations.min() < 0 == behind.activations.min()
    assert before.layer.note == "before the in-place ReLU"
    assert torch.equal(before.logits, behind.logits)
    # The chain rule of the ReLU between the two.
    assert torch.equal(top_gradients(before), top_gradients(behind) * (by_hand[28] > 0))
    assert vgg.default_layer.name == "features.29"


def test_densenet_features_is_norm5_and_features_relu_what_the_network_makes_of_it():
    densenet = classifier("densenet121")
    pictures = ready(2, 64)
    norm5 = pictures
    with torch.no_grad():
        for child in densenet.module.features:
            norm5 = child(norm5)
    before, behind = Trace(densenet, pictures, "features"), Trace(densenet, pictures, "features+relu")
    assert torch.equal(before.activations, norm5)
    assert torch.equal(behind.activations, norm5.relu())
    assert before.activations.min() < 0
    # y = w·GAP(ReLU(norm5)) + b: the gradient is w/(hw), cut by the ReLU only in front of it.
    target = before.logits.argmax(dim=1)
    share = (densenet.module.classifier.weight[target] / before.positions)[..., None, None].detach()
    torch.testing.assert_close(behind.gradients(target), share.expand_as(norm5))
    torch.testing.assert_close(before.gradients(target), share * (norm5 > 0))
    assert densenet.default_layer.name == "features+relu"
    assert torch.equal(Trace(densenet, pictures, "features.norm5").activations, norm5)


@pytest.mark.parametrize(("build", "name"), [(FunctionalRelu, "norm"), (FunctionalRelu, "conv1")])
def test_a_function_call_that_rectifies_is_a_layer_of_its_own(build, name):
    net = network(seeded(build))
    before, behind = Trace(net, batch(), name), Trace(net, batch(), f"{name}+relu")
    assert torch.equal(behind.activations, before.activations.relu())
    assert before.activations.min() < 0
    assert torch.equal(before.logits, behind.logits)
    target = torch.tensor([1, 3])
    cut = behind.gradients(target) * (before.activations > 0)
    torch.testing.assert_close(before.gradients(target), cut, rtol=0, atol=1e-15)
    assert (behind.gradients(target) != cut).any()  # behind the ReLU the gradient is not zero where the map is


def test_plus_relu_where_no_function_rectifies_is_refused():
    with pytest.raises(ValueError, match=r"does not rectify 'features\.0' by a function call"):
        network(seeded(Gap)).find_layer("features.0+relu")


def test_each_call_of_a_shared_relu_is_a_layer():
    resnet = classifier("resnet18")
    block, pictures = resnet.module.layer4[1], ready(1, 64)
    with torch.no_grad():
        entry = Trace(resnet, pictures, "layer4.0").activations
        inside = F.relu(block.bn1(block.conv1(entry)))
        result = F.relu(block.bn2(block.conv2(inside)) + entry)
    assert torch.equal(Trace(resnet, pictures, "layer4.1.relu:1").activations, inside)
    assert torch.equal(Trace(resnet, pictures, "layer4.1.relu:2").activations, result)
    with pytest.raises(ValueError, match=r"runs 2 times in one pass\. Say which: layer4\.1\.relu:1"):
        resnet.find_layer("layer4.1.relu")
    with pytest.raises(ValueError, match=r"relu:3"):
        resnet.find_layer("layer4.1.relu:3")


def test_aliases_are_the_same_layer():
    resnet = classifier("resnet18")
    names = ["layer4", "layer4.1", "layer4.1.relu:2"]
    assert resnet.find_layer("layer4").aliases == ("layer4.1.relu:2", "layer4.1")
    traces = [Trace(resnet, ready(2, 64), name) for name in names]
    for trace, name in zip(traces, names, strict=True):
        assert trace.layer.name == name
        assert torch.equal(trace.activations, traces[0].activations)
        assert torch.equal(top_gradients(trace), top_gradients(traces[0]))
    assert top_gradients(traces[0]).any()


def test_calls_are_counted_in_every_pass_anew():
    net = network(seeded(SharedRelu))
    first, second = (Trace(net, batch(), f"relu:{call}") for call in (1, 2))
    again = Trace(net, batch(), "relu:1")
    assert first.activations.shape[1:] == (8, 16, 16)
    assert second.activations.shape[1:] == (6, 8, 8)
    assert torch.equal(first.activations, again.activations)


# -- the list of layers --------------------------------------------------------------------------------------------


def test_layers_of_a_resnet_in_order_with_sizes():
    resnet = classifier("resnet18")
    assert [(layer.name, layer.channels, *layer.size) for layer in resnet.layers(depth=1)] == [
        ("conv1", 64, 32, 32),
        ("bn1", 64, 32, 32),
        ("relu", 64, 32, 32),
        ("maxpool", 64, 16, 16),
        ("layer1", 64, 16, 16),
        ("layer2", 128, 8, 8),
        ("layer3", 256, 4, 4),
        ("layer4", 512, 2, 2),
    ]
    names = [layer.name for layer in resnet.layers(depth=2)]
    assert "layer3.0" in names
    assert "layer3.0.conv1" not in names
    everything = [layer.name for layer in resnet.layers()]
    assert set(names) < set(everything)
    assert len(everything) == len(set(everything))
    assert not {"avgpool", "fc"} & set(everything)
    kinds = {layer.kind for layer in resnet.layers()}
    assert kinds == {"map"}


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "swin_t"])
def test_every_listed_layer_can_be_recorded(name):
    net = classifier(name)
    for layer in net.layers()[:: 10 if name == "densenet121" else 3]:
        trace = Trace(net, ready(1, 64), layer.name)
        assert trace.activations.shape == (1, layer.channels, layer.height, layer.width)
        assert trace.layer == layer


def test_layers_follow_the_size_of_the_pictures():
    net = network(seeded(Gap))
    assert net.default_layer.size == (8, 8)
    assert Trace(net, torch.zeros(1, 3, 48, 16)).layer.size == (12, 4)
    assert net.default_layer.size == (8, 8)


def test_a_network_without_space_says_so():
    net = network(seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 5))))
    assert net.layers() == []
    with pytest.raises(ValueError, match="has no spatial feature maps"):
        _ = net.default_layer


# -- the target layer found by itself ------------------------------------------------------------------------------


class Branch(nn.Module):
    """A residual sum and a ReLU by function calls: the last module's output is not all that reaches the head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = features()
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.fc = nn.Linear(6, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        maps = self.stem(x)
        return self.fc(F.relu(maps + self.conv(maps)).mean(dim=(2, 3)))


SURVEYED = {
    "gap": (Gap, "features"),
    "in-place": (lambda: Gap(inplace=True), "features"),
    "pooled": (Pooled, "features"),
    "function": (FunctionalRelu, "norm+relu"),
    "shared": (SharedRelu, "relu:2"),
    "trainable": (Trainable, "features"),
    "branch": (Branch, "stem"),
}


def first_pictures() -> dict[str, Tensor]:
    mirrored = batch(1)
    flat = {f"constant {value}": torch.full((1, 3, 32, 32), value) for value in (0.0, -2.0, 2.0, 1e-6, 1e6)}
    return {**flat, "symmetric": mirrored + mirrored.flip(-1), "photograph": batch(1), "tiny": batch(1) * 1e-12}


@pytest.mark.parametrize("kind", first_pictures())
@pytest.mark.parametrize("case", SURVEYED)
def test_what_the_first_picture_shows_does_not_decide_the_layer(case, kind):
    build, expected = SURVEYED[case]
    net, reference = network(seeded(build)), network(seeded(build))
    first = Trace(net, first_pictures()[kind])
    assert first.layer.name == expected
    assert first.layer == reference.default_layer
    assert net.layers() == reference.layers()
    assert Trace(net, batch()).layer.name == expected


@given(st.integers(0, 2**31), st.floats(0, 100), st.floats(-100, 100))
def test_survey_of_any_picture_is_the_same(seed, scale, offset):
    net = network(seeded(Branch))
    noise = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    assert Trace(net, noise * scale + offset).layer.name == "stem"


# -- reading tensors as maps ---------------------------------------------------------------------------------------

sizes = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(0, 3))


@given(sizes, st.sampled_from(["map", "channels-last map", "tokens"]))
def test_to_maps_and_back(shape, kind):
    b, k, h, w, prefix = shape
    prefix = prefix if kind == "tokens" else 0
    layer = Layer("layer", kind, k, (h, w), prefix=prefix, axes=(3, 1, 2) if kind == "channels-last map" else ())
    lengths = {"map": (b, k, h, w), "channels-last map": (b, h, w, k), "tokens": (b, prefix + h * w, k)}
    output = torch.arange(math.prod(lengths[kind])).view(lengths[kind])
    maps = layer.to_maps(output)
    assert maps.shape == (b, k, h, w)
    assert torch.equal(layer.from_maps(maps, output), output)
    for i, j in np.ndindex(h, w):
        position = {
            "map": lambda i, j: output[:, :, i, j],
            "channels-last map": lambda i, j: output[:, i, j],
            "tokens": lambda i, j: output[:, prefix + i * w + j],
        }[kind](i, j)
        assert torch.equal(maps[:, :, i, j], position)


def test_class_tokens_stay_when_the_maps_are_replaced():
    layer = Layer("layer", "tokens", 4, (2, 3), prefix=2)
    output = torch.randn(1, 8, 4)
    replaced = layer.from_maps(torch.zeros(1, 4, 2, 3), output)
    assert torch.equal(replaced[:, :2], output[:, :2])
    assert not replaced[:, 2:].any()


def test_channels_last_maps_of_swin():
    swin = classifier("swin_t")
    pictures = ready(1, 64)
    layer = swin.find_layer("features.7")
    assert (layer.kind, layer.channels, layer.size) == ("channels-last map", 768, (2, 2))
    with torch.no_grad():
        output = swin.module.features(pictures)
        normed = swin.module.norm(output).permute(0, 3, 1, 2)
    inner, last = Trace(swin, pictures, "features.7"), Trace(swin, pictures)
    assert torch.equal(inner.activations, output.permute(0, 3, 1, 2))
    assert torch.equal(last.activations, normed)
    assert last.layer.name == "permute"
    # y = w·GAP(M) + b behind the last norm, so every position of a map has the gradient w/(hw).
    target = last.logits.argmax(dim=1)
    share = swin.module.head.weight[target].detach()[..., None, None] / 4
    torch.testing.assert_close(last.gradients(target), share.expand_as(normed), rtol=1e-4, atol=1e-9)
    assert inner.gradients(target).any()


# -- pictures of other shapes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(32, 64), (64, 32), (40, 100)])
def test_a_bright_square_in_a_picture_that_is_not_square(size):
    net = network(bright_detector(), size)
    height, width = size
    photo = torch.full((3, height, width), 0.2)
    y, x = height * 3 // 4, width // 8
    photo[:, y - 4 : y + 4, x - 4 : x + 4] = 1.0
    explanation = explain(net, photo)
    assert explanation.heatmap.shape == size
    assert explanation.raw.shape == (height // 4, width // 4)
    row, column = divmod(int(explanation.heatmap.argmax()), width)
    assert abs(row - y) <= 4
    assert abs(column - x) <= 4


def bright_detector() -> nn.Module:
    """Two averaging convolutions with stride 2, so that the map is the picture at a quarter of its size."""

    class Bright(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(3, 1, 2, stride=2), nn.Conv2d(1, 1, 2, stride=2)
            self.fc = nn.Linear(1, len(CLASSES))
            for parameter in self.parameters():
                nn.init.constant_(parameter, 1.0 if parameter.dim() > 1 else 0.0)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(F.relu(self.conv2(self.conv1(x))).mean(dim=(2, 3)))

    return Bright().eval()


def test_a_resnet_on_a_picture_that_is_not_square():
    resnet = classifier("resnet18").with_input_size((64, 96))
    trace = Trace(resnet, resnet.prepare(picture(height=50, width=70))[1][None])
    assert trace.layer.name == "layer4"
    assert trace.activations.shape == (1, 512, 2, 3)
    assert trace.head.form == "y = w·GAP(M) + b"


def test_with_input_size_is_the_same_module_on_pictures_of_another_size():
    net = network(seeded(Gap), target_layer="features.1", name="small")
    wide = net.with_input_size((48, 80))
    assert wide.module is net.module
    assert (wide.name, wide.class_names, wide.target_layer) == ("small", CLASSES, "features.1")
    assert wide.input_size == (48, 80)
    assert wide.preprocess.mean == net.preprocess.mean
    assert net.input_size == (32, 32)
    assert wide.prepare(picture())[1].shape == (3, 48, 80)
    assert wide.default_layer.size == (24, 40)
    assert net.default_layer.size == (16, 16)
    assert net.with_input_size(64).input_size == (64, 64)


def test_with_input_size_and_ones_own_transform():
    net = Network(seeded(Gap, dtype=torch.float32), transform=v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32)]))
    with pytest.raises(ValueError, match="give another transform instead of a size"):
        net.with_input_size(64)


# -- target layer, transform, classes ------------------------------------------------------------------------------


def test_the_target_layer_may_be_a_module_or_a_name():
    module = seeded(Gap)
    by_name = network(module, target_layer="features.1")
    by_module = network(module, target_layer=module.features[1])
    assert by_module.target_layer == "features.1"
    assert by_module.default_layer == by_name.default_layer
    assert by_module.default_layer.channels == 8
    assert explain(by_module, picture()).layer == "features.1"


@pytest.mark.parametrize(
    ("layer", "error", "words"),
    [
        (nn.ReLU(), ValueError, r"This ReLU is not part of Gap"),
        (3, TypeError, r"A layer is a name or a module; given int"),
    ],
)
def test_a_target_layer_that_is_none(layer, error, words):
    with pytest.raises(error, match=words):
        network(seeded(Gap), target_layer=layer)


def test_a_target_layer_that_is_misspelled_names_the_nearest():
    with pytest.raises(ValueError, match=r"'feature\.3' is not in Gap\. Nearest: features"):
        _ = network(seeded(Gap), target_layer="feature.3").default_layer


def photograph(width: int = 300, height: int = 200) -> Image.Image:
    return Image.fromarray((picture(5, height, width).permute(1, 2, 0).numpy() * 255).astype(np.uint8))


def test_a_torchvision_preset_is_used_as_it_is():
    preset = get_model_weights("resnet18").IMAGENET1K_V1.transforms()
    net = Network(seeded(Gap, dtype=torch.float32), transform=preset)
    assert net.input_size == (224, 224)
    assert net.preprocess.mean == tuple(preset.mean)
    shown, inputs = net.prepare(photograph())
    assert torch.equal(inputs, preset(photograph()))
    mean, std = (torch.tensor(values)[:, None, None] for values in (preset.mean, preset.std))
    torch.testing.assert_close(shown, inputs * std + mean, rtol=0, atol=1e-6)
    assert 0 <= shown.min() < shown.max() <= 1
    assert explain(net, photograph()).heatmap.shape == (224, 224)


def test_a_composed_transform_is_used_as_it_is():
    steps = [v2.Resize((40, 60)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    compose = v2.Compose([*steps, v2.Normalize([0.1, 0.2, 0.3], [0.5, 0.6, 0.7])])
    net = Network(seeded(Gap, dtype=torch.float32), transform=compose)
    assert net.input_size == (40, 60)
    assert net.preprocess.std == (0.5, 0.6, 0.7)
    shown, inputs = net.prepare(photograph())
    assert torch.equal(inputs, compose(photograph()))
    torch.testing.assert_close(shown, v2.Compose(steps)(photograph()).as_subclass(Tensor), rtol=0, atol=1e-6)


def test_any_callable_is_a_transform():
    def halves(image: Image.Image) -> Tensor:
        return torch.from_numpy(np.array(image.resize((48, 32)))).permute(2, 0, 1) / 127.5 - 1

    net = Network(seeded(Gap, dtype=torch.float32), transform=halves)
    _, inputs = net.prepare(photograph())
    assert torch.equal(inputs, halves(photograph()))
    explanation = explain(net, photograph())
    assert explanation.heatmap.shape == (32, 48)
    assert explanation.raw.shape == (8, 12)


@pytest.mark.parametrize(
    ("transform", "given"),
    [
        (lambda image: np.zeros((3, 8, 8)), "ndarray"),
        (lambda image: torch.zeros(1, 3, 8, 8), r"\[1, 3, 8, 8\]"),
    ],
)
def test_a_transform_that_returns_something_else(transform, given):
    net = Network(seeded(Gap), transform=transform)
    with pytest.raises(ValueError, match=rf"must return a tensor \[C,H,W\]; it returned {given}"):
        net.prepare(photograph())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"module": "resnet18"}, r"takes a torch\.nn\.Module; given str"),
        ({"module": Gap(), "transform": 224}, r"a camlib\.Preprocess or a callable; given int"),
    ],
)
def test_what_is_no_network(arguments, words):
    with pytest.raises(TypeError, match=words):
        Network(**arguments)


@pytest.mark.parametrize("count", [4, 6])
def test_class_names_of_the_wrong_length(count):
    net = network(seeded(Gap), class_names=[f"name {i}" for i in range(count)])
    for call in (lambda: net.predict(picture()), lambda: explain(net, picture()), net.layers):
        with pytest.raises(ValueError, match=rf"Gap returned 5 logits, but class_names has length {count}"):
            call()


def test_predict_is_the_softmax_in_falling_order():
    net = network(seeded(Gap))
    logits = net.module(net.prepare(picture())[1][None].double())[0]
    shares = [math.exp(value) for value in logits.tolist()]
    expected = sorted(((share / sum(shares), i) for i, share in enumerate(shares)), reverse=True)
    found = net.predict(picture(), top=3)
    assert [index for index, _, _ in found] == [index for _, index in expected[:3]]
    assert [name for _, name, _ in found] == [CLASSES[index] for _, index in expected[:3]]
    assert [probability for _, _, probability in found] == pytest.approx([p for p, _ in expected[:3]], rel=1e-5)
    assert len(net.predict(picture(), top=100)) == 5
    assert sum(probability for _, _, probability in net.predict(picture(), top=100)) == pytest.approx(1)
    assert network(seeded(Gap), class_names=None).predict(picture(), top=1)[0][1].startswith("class ")


@pytest.mark.parametrize(
    ("said", "index"),
    [
        ("Golden Retriever", 207),
        ("golden-retriever", 207),
        ("  golden_RETRIEVER ", 207),
        ("TABBY", 281),
        ("black and white colobus", None),
        ("black-and-gold garden spider", 72),
        ("black and gold garden spider", 72),
    ],
)
def test_class_names_match_without_capitals_and_hyphens(said, index):
    net = classifier("resnet18")
    if index is None:
        with pytest.raises(ValueError, match="No class is called"):
            net.class_index(said, 1000)
    else:
        assert net.class_index(said, 1000) == index
        assert net.class_name(index).lower().replace("-", " ") == said.strip().lower().replace("-", " ").replace(
            "_", " "
        )


@pytest.mark.parametrize(
    ("said", "near"),
    [("retriever", "golden retriever"), ("golden retreiver", "golden retriever"), ("tabby cat", "tabby")],
)
def test_an_unknown_class_name_lists_the_nearest(said, near):
    with pytest.raises(ValueError, match=rf"No class is called '{said}'\. Nearest: .*{near}"):
        classifier("resnet18").class_index(said, 1000)


def test_a_name_of_two_classes_asks_which():
    names = imagenet_classes()
    assert (names[264], names[474]) == ("Cardigan", "cardigan")  # a dog and a jacket
    with pytest.raises(ValueError, match=r"'CARDIGAN' stands for \[264, 474\]\. Pass one of these indices"):
        classifier("resnet18").class_index("CARDIGAN", 1000)


def test_a_class_name_without_class_names():
    with pytest.raises(ValueError, match="was given no class names, so 'daisy' is unknown"):
        network(seeded(Gap), class_names=None).class_index("daisy", 5)


@pytest.mark.parametrize("target", [-1, 5, 1000])
def test_a_class_out_of_range(target):
    with pytest.raises(ValueError, match=rf"Class {target} is out of range: Gap has classes 0 to 4"):
        network(seeded(Gap)).class_index(target, 5)


@pytest.mark.parametrize("target", [1.0, True, [1], torch.tensor(1.5), None])
def test_a_target_that_is_none(target):
    with pytest.raises(TypeError, match="A target is a class index, a class name or None"):
        network(seeded(Gap)).class_index(target, 5)


@pytest.mark.parametrize("target", [3, np.int64(3), torch.tensor(3), "School-Bus"])
def test_a_class_in_many_forms(target):
    found = network(seeded(Gap)).class_index(target, 5)
    assert found == 3
    assert type(found) is int


def test_repr_says_what_it_is():
    net = network(seeded(Gap), (32, 48), name="small")
    assert repr(net) == "Network('small', input 32x48, target layer found by itself)"


@pytest.mark.parametrize(
    ("name", "inner", "stages"),
    [
        ("resnet18", "layer3", ["relu", "layer1", "layer2", "layer3", "layer4"]),
        ("vgg16", "features.22", ["features.3", "features.8", "features.15", "features.22", "features.29"]),
    ],
)
def test_layers_by_role_in_a_network_whose_names_nobody_knows(name, inner, stages):
    net = classifier(name)
    assert (net.layer("inner"), net.layer("last")) == (inner, net.default_layer.name)
    assert net.stages() == stages
    by_role = explain(net, picture(64), layer="inner", target=3)
    assert by_role.layer == inner
    assert torch.equal(by_role.raw, explain(net, picture(64), layer=inner, target=3).raw)
    assert net.layer("layer4" if name == "resnet18" else "features.3") in net.stages()


def test_the_inner_layer_of_the_default_network_is_the_one_that_notebooks_look_at():
    net = load_network("efficientnet-lite0")
    assert net.layer("inner") == "blocks.4"
    assert net.stages() == ["blocks.0", "blocks.1", "blocks.2", "blocks.4", "bn2"]


def test_maps_of_one_size_have_their_middle_as_inner_layer():
    blocks = [nn.Conv2d(3 if i == 0 else 8, 8, 3, padding=1) for i in range(5)]
    net = Network(nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)))
    assert (net.layer("last"), net.layer("inner")) == ("4", "2")
    assert net.stages() == ["4"]


def test_a_module_with_the_name_of_a_role_is_meant_itself():
    parts = {"inner": nn.Conv2d(3, 4, 3), "pool": nn.MaxPool2d(2), "end": nn.Conv2d(4, 5, 3)}
    head = {"mean": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "head": nn.Linear(5, 3)}
    net = Network(nn.Sequential(OrderedDict(parts | head)), target_layer="pool")
    assert net.layer("inner") == "inner"
    assert net.layer("last") == "pool"


def test_a_layer_is_named_for_a_reader():
    net = load_network("efficientnet-lite0")
    assert net.layer_title() == "last layer (7 × 7 × 1280)"
    assert net.layer_title("bn2") == net.layer_title()
    assert net.layer_title("blocks.4.2.bn2") == "blocks.4.2.bn2 (14 × 14 × 672)"
    assert net.find_layer("blocks.4.2.bn2").title("an inner layer") == "an inner layer (14 × 14 × 672)"
