"""Bad, odd and hostile calls: each gets the right map, or an error that says given, expected and remedy."""

import copy
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import helpers
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import Compose, Normalize, Resize, ToTensor

import camlib
from camlib import METHODS, DegenerateMapWarning, Network, Preprocess, Trace

WEIGHTS = [name for name in helpers.POST_HOC if METHODS[name].makes == "weights"]


def gap(**settings: object) -> Network:
    return helpers.network(helpers.seeded(helpers.Gap), **settings)


def poisoned(value: float) -> Tensor:
    """Two ready pictures, the second with one bad pixel."""
    ready = helpers.batch(2)
    ready[1, 0, 3, 5] = value
    return ready


class Output(nn.Module):
    """A classifier whose logits are wrapped into something else."""

    def __init__(self, wrap: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.inner, self.wrap = helpers.Gap(), wrap

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.inner(x))


def wrapped(wrap: Callable[[Tensor], Any]) -> Network:
    return helpers.network(helpers.seeded(lambda: Output(wrap)))


class Branches(nn.Module):
    """Returns a tuple inside, and has a layer that never runs and one that the logits do not depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.split = Split()
        self.unused = nn.Conv2d(6, 6, 1)
        self.side = nn.Conv2d(6, 6, 1)
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        maps, other = self.split(x)
        self.side(other)
        return self.fc(maps.mean(dim=(2, 3)))


class Split(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = helpers.features()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.features(x)
        return maps, maps * 2


def pooled_to_one() -> Network:
    return helpers.network(helpers.seeded(lambda: helpers.Pooled(nn.AdaptiveAvgPool2d(1))))


def branches() -> Network:
    return helpers.network(helpers.seeded(Branches))


def shared() -> Network:
    return helpers.network(helpers.seeded(helpers.SharedRelu))


P = helpers.picture(0)
READY = helpers.batch(1)

# (what, the call, the exception, what its message must say)
PROBES = [
    # layers
    ("layer that does not exist", lambda: camlib.explain(gap(), P, layer="featurs.2"), ValueError,
     r"'featurs.2' is not in Gap. Nearest: .*features.2.*Network.layers\(\) lists all 4; None takes the default"),
    ("layer name like nothing", lambda: camlib.explain(gap(), P, layer="xyz"), ValueError, "Nearest: features"),
    ("layer of another model", lambda: camlib.explain(gap(), P, layer=nn.ReLU()), ValueError,
     "This ReLU is not part of Gap. Name one of its own layers"),
    ("target layer of another model", lambda: gap(target_layer=nn.ReLU()), ValueError, "not part of Gap"),
    ("layer without space", lambda: camlib.explain(gap(), P, layer="fc"), ValueError,
     r"'fc' returns \[1, 5\], which is not a map over space.*The last spatial layers are .*features"),
    ("1x1 layer", lambda: camlib.explain(pooled_to_one(), P, layer="pool"), ValueError,
     r"'pool' returns \[1, 6, 1, 1\].*more than one position"),
    ("layer that returns a tuple", lambda: camlib.explain(branches(), P, layer="split"), ValueError,
     "'split' returns a tuple, not one tensor. Choose one of .*split.features"),
    ("layer that never runs", lambda: camlib.explain(branches(), P, layer="unused"), ValueError,
     "'unused' of Branches does not run on this input. Choose one of"),
    ("layer beside the logits", lambda: camlib.explain(branches(), P, layer="side"), ValueError,
     "do not depend on layer 'side'. Choose a layer on the way to the logits, for example 'split.features'"),
    ("module used twice", lambda: camlib.explain(shared(), P, layer="relu"), ValueError,
     "'relu' runs 2 times in one pass. Say which: relu:1, relu:2"),
    ("call that is never made", lambda: camlib.explain(shared(), P, layer="relu:3"), ValueError,
     "'relu' runs 2 times in one pass, so there is no 'relu:3'.*relu:2"),
    ("second call of a module used once", lambda: camlib.explain(gap(), P, layer="features:2"), ValueError,
     "'features' runs 1 time in one pass, so there is no 'features:2'"),
    ("ReLU that is not applied", lambda: camlib.explain(gap(), P, layer="features.0+relu"), ValueError,
     "does not rectify 'features.0' by a function call"),
    ("the network as a layer", lambda: camlib.explain(gap(), P, layer=""), ValueError, "itself is not a layer"),
    ("layer of a strange type", lambda: camlib.explain(gap(), P, layer=3), TypeError,
     "A layer is a name or a module; given int"),
    # classes
    ("class 5 of 5", lambda: camlib.explain(gap(), P, target=5), ValueError,
     "Class 5 is out of range: Gap has classes 0 to 4"),
    ("class -1", lambda: camlib.explain(gap(), P, target=-1), ValueError, "Class -1 is out of range.*0 to 4"),
    ("unknown class name", lambda: camlib.explain(gap(), P, target="cat"), ValueError,
     "No class is called 'cat'. Nearest: tabby cat, tiger cat. See Network.class_names for all 5"),
    ("misspelled class name", lambda: camlib.explain(gap(), P, target="golden retreiver"), ValueError,
     "Nearest: golden retriever"),
    ("class name without names", lambda: camlib.explain(gap(class_names=None), P, target="cat"), ValueError,
     "given no class names, so 'cat' is unknown. Pass an index"),
    ("ambiguous class name", lambda: camlib.explain(gap(class_names=["a", "a", "b", "c", "d"]), P, target="a"),
     ValueError, r"'a' stands for \[0, 1\]. Pass one of these"),
    ("fewer names than logits", lambda: camlib.explain(gap(class_names=["a"]), P), ValueError,
     "Gap returned 5 logits, but class_names has length 1. Give one name a logit"),
    ("class 3.0", lambda: camlib.explain(gap(), P, target=3.0), TypeError,
     "A target is a class index, a class name or None; given 3.0"),
    ("class True", lambda: camlib.explain(gap(), P, target=True), TypeError, "given True"),
    ("float tensor as class", lambda: camlib.explain(gap(), P, target=torch.tensor(1.0)), TypeError,
     "class index, a class name or None; given 1.0"),
    ("several classes in explain", lambda: camlib.explain(gap(), P, target=[1, 2]), TypeError,
     r"class index, a class name or None; given \[1, 2\]"),
    ("fewer targets than pictures", lambda: camlib.compare(gap(), [P, P, P], targets=[[1], [2]]), ValueError,
     r"one list of equal length for each of the 3 picture\(s\); given \[\[1\], \[2\]\]"),
    ("targets of unequal length", lambda: camlib.compare(gap(), [P, P], targets=[[1], [2, 3]]), ValueError,
     "one list of equal length for each of the 2"),
    ("targets half nested", lambda: camlib.compare(gap(), [P, P], targets=[1, [2]]), ValueError,
     "one list of classes for all pictures, or one list of equal length"),
    ("no targets", lambda: camlib.compare(gap(), P, targets=[]), ValueError, r"Use targets=\[None\]"),
    ("a float as targets", lambda: camlib.compare(gap(), P, targets=3.0), TypeError, "given 3.0"),
    # pictures
    ("NaN in picture 1 of 2", lambda: camlib.compare(gap(), poisoned(float("nan"))), ValueError,
     "Picture 1 of 2 .*holds NaN or Inf. Replace those pixels"),
    ("Inf in picture 1 of 2", lambda: camlib.compare(gap(), poisoned(float("inf"))), ValueError,
     "Picture 1 of 2 .*holds NaN or Inf"),
    ("NaN in picture 1 of a list", lambda: camlib.compare(gap(), [P, P * float("nan")]), ValueError,
     "Picture 1 of 2 .*holds NaN or Inf"),
    ("NaN in the only picture", lambda: camlib.explain(gap(), P * float("nan")), ValueError,
     "^The picture holds NaN or Inf"),
    ("NaN in a batch of a trace", lambda: Trace(gap(), poisoned(float("nan"))), ValueError,
     "Picture 1 of the batch holds NaN or Inf"),
    ("missing file in a list", lambda: camlib.compare(gap(), [P, "no/such/cat.jpg"]), ValueError,
     "Picture 1 of 2 .*No picture at .*cat.jpg"),
    ("not a picture in a list", lambda: camlib.compare(gap(), [P, P, 3]), TypeError, "Picture 2 of 3 .*given int"),
    ("grayscale tensor", lambda: camlib.explain(gap(), torch.rand(1, 32, 32)), ValueError,
     r"\[3,H,W\]; given \[1, 32, 32\]. For a gray picture and a color network use x.expand\(3, -1, -1\)"),
    ("gray tensor without channels", lambda: camlib.explain(gap(), torch.rand(32, 32)), ValueError,
     r"one picture \[3,H,W\]|\[3,H,W\]; given \[32, 32\]"),
    ("gray batch", lambda: camlib.explain(gap(), torch.rand(1, 1, 32, 32)), ValueError,
     r"takes 3-channel pictures; given \[1, 1, 32, 32\]. Use x.expand\(-1, 3, -1, -1\)"),
    ("five axes", lambda: camlib.compare(gap(), torch.rand(1, 1, 3, 32, 32)), ValueError,
     r"one picture \[3,H,W\] in \[0,1\] or a ready batch \[B,3,H,W\]; given \[1, 1, 3, 32, 32\]"),
    ("normalized without batch axis", lambda: camlib.explain(gap(), READY[0]), ValueError,
     r"lies in \[0,1\].*batch \[B,3,H,W\] or with normalized=True"),
    ("uint8 batch", lambda: camlib.explain(gap(), (READY * 50).byte()), TypeError,
     "ready batch is normalized floating point; given torch.uint8. .*normalized=False"),
    ("empty batch", lambda: camlib.compare(gap(), torch.zeros(0, 3, 32, 32)), ValueError,
     r"The batch is empty: \[0, 3, 32, 32\]. Give at least one"),
    ("empty batch in explain", lambda: camlib.explain(gap(), torch.zeros(0, 3, 32, 32)), ValueError, "is empty"),
    ("empty batch of a trace", lambda: Trace(gap(), torch.zeros(0, 3, 32, 32)), ValueError, "is empty"),
    ("empty list", lambda: camlib.compare(gap(), []), ValueError, "No picture was given. Give at least one"),
    ("several pictures in explain", lambda: camlib.explain(gap(), helpers.batch(2)), ValueError,
     "explain takes one picture; given 2. Use camlib.compare"),
    ("list of pictures in explain", lambda: camlib.explain(gap(), [P, P, P]), ValueError,
     "explain takes one picture; given 3. Use camlib.compare"),
    ("no batch at all", lambda: camlib.compare(gap(), P, batch_size=0), ValueError,
     "batch_size=0: expected at least 1"),
    # networks
    ("module that is not wrapped", lambda: camlib.explain(gap().module, P), TypeError,
     r"first argument is a camlib.Network; given Gap. Wrap it: Network\(module\)"),
    ("not a module", lambda: Network("resnet18"), TypeError, "takes a torch.nn.Module; given str"),
    ("transform that cannot be called", lambda: Network(nn.ReLU(), transform=3), TypeError, "callable; given int"),
    ("tuple output", lambda: camlib.explain(wrapped(lambda y: (y, y)), P), TypeError,
     r"Output returned a tuple; expected logits \[B, classes\]. Wrap the module"),
    ("dict output", lambda: camlib.explain(wrapped(lambda y: {"out": y, "aux": y}), P), TypeError,
     r"dict with keys \['aux', 'out'\]; expected logits"),
    ("4-D output", lambda: camlib.explain(wrapped(lambda y: y[:, :, None, None]), P), ValueError,
     r"returned \[1, 5, 1, 1\] for \[1, 3, 32, 32\]; expected logits \[1, classes\]. Pool or flatten"),
    ("1-D output", lambda: camlib.explain(wrapped(lambda y: y[:, 0]), P), ValueError, r"returned \[1\] for"),
    ("batch lost in the output", lambda: camlib.compare(wrapped(lambda y: y.sum(0, keepdim=True)), [P, P]),
     ValueError, r"returned \[1, 5\] for \[2, 3, 32, 32\]; expected logits \[2, classes\]"),
    ("NaN logits", lambda: camlib.explain(wrapped(lambda y: y * float("nan")), P), ValueError,
     "NaN or Inf logits on finite input. Check its weights, or run it in float32"),
    ("transform that returns an array", lambda: camlib.explain(gap_with(lambda image: np.asarray(image)), P * 1.0),
     (TypeError, ValueError), "The transform must return a tensor"),
    ("picture too small for a map", lambda: camlib.explain(gap(size=2), P), ValueError,
     "no spatial feature maps on this input size. Pass a larger picture"),
    # methods
    ("unknown method", lambda: camlib.explain(gap(), P, "gradcam"), ValueError,
     "No method is called 'gradcam'. Nearest: grad-cam, .*camlib.METHODS lists all"),
    ("method in capitals", lambda: camlib.explain(gap(), P, "Grad-CAM"), ValueError, "Nearest: grad-cam"),
    ("method that is no name", lambda: camlib.explain(gap(), P, None), TypeError, "named by a string such as"),
    ("list of methods in explain", lambda: camlib.explain(gap(), P, ["grad-cam"]), TypeError, "named by a string"),
    ("no methods", lambda: camlib.compare(gap(), P, []), ValueError, "No method was named"),
    ("unknown option", lambda: camlib.explain(gap(), P, "smooth-grad-cam++", sample=3), ValueError,
     r"smooth-grad-cam\+\+ has no option 'sample'. Its options: samples=25, noise=0.15, seed=0"),
    ("option of a method without any", lambda: camlib.explain(gap(), P, "grad-cam", samples=3), ValueError,
     "grad-cam has no option 'samples'. Its options: none"),
    ("options for a method not asked for",
     lambda: camlib.compare(gap(), P, ["grad-cam"], options={"smooth-grad": {"samples": 3}}), ValueError,
     r"Options for \['smooth-grad'\], which is not among the methods \['grad-cam'\]"),
    ("unknown value of an option", lambda: camlib.explain(gap(), P, "sca-cam", form="max"), ValueError,
     "form='max': expected 'gradient' .* or 'softmax'"),
]  # fmt: skip


def gap_with(transform: Callable) -> Network:
    return Network(helpers.seeded(helpers.Gap), transform=transform)


@pytest.mark.parametrize(("call", "error", "words"), [p[1:] for p in PROBES], ids=[p[0] for p in PROBES])
def test_error_names_given_expected_and_remedy(call, error, words):
    with pytest.raises(error, match=f"(?s){words}"):
        call()


def test_class_1000_of_1000_and_cat_on_imagenet():
    net = helpers.lite0()
    with pytest.raises(ValueError, match=r"Class 1000 is out of range: .* has classes 0 to 999"):
        camlib.explain(net, helpers.bull_mastiff(), target=1000)
    with pytest.raises(ValueError, match=r"No class is called 'cat'. Nearest: .*cat.*class_names for all 1000"):
        camlib.explain(net, helpers.bull_mastiff(), target="cat")
    assert camlib.explain(net, helpers.bull_mastiff(), target="Bull_Mastiff").target == 243


@pytest.mark.parametrize("target", [2, np.int64(2), torch.tensor(2), "tiger cat", "Tiger-Cat", "TIGER_cat"])
def test_a_class_may_be_said_in_many_ways(target):
    assert camlib.explain(gap(), P, target=target).target == 2
    assert [e.target for e in camlib.compare(gap(), P, targets=target)] == [2]
    assert [e.target for e in camlib.compare(gap(), P, targets=[target, None, 0])][::2] == [2, 0]


def test_no_target_is_the_most_probable_class():
    net, e = gap(), camlib.explain(gap(), P)
    (best, name, probability), *_ = net.predict(P)
    assert (e.target, e.target_name) == (best, name)
    assert e.probability == pytest.approx(probability, rel=1e-5)


# -- layers that need care


def test_a_layer_may_be_the_module_itself_or_any_of_its_names():
    net = gap()
    expected = camlib.explain(net, P, target=1)
    for layer in ("features", "features.3", net.module.features, net.module.features[3]):
        assert torch.equal(camlib.explain(net, P, target=1, layer=layer).heatmap, expected.heatmap)


def test_each_call_of_a_module_used_twice():
    """relu:1 and relu:2 are the rectified first and second convolution, computed by hand."""
    module = helpers.seeded(helpers.SharedRelu)
    net = helpers.network(module)
    with torch.no_grad():
        first = module.conv1(READY).relu()
        second = module.conv2(first).relu()
    assert torch.equal(Trace(net, READY, "relu:1").activations, first)
    assert torch.equal(Trace(net, READY, "relu:2").activations, second)
    first.requires_grad_(True)
    score = module.fc(module.conv2(first).relu().mean(dim=(2, 3)))[0, 1]
    (gradient,) = torch.autograd.grad(score, first)
    torch.testing.assert_close(Trace(net, READY, "relu:1").gradients(torch.tensor([1])), gradient)
    assert net.default_layer.name == "relu:2"


@pytest.mark.parametrize("method", [name for name in WEIGHTS if name != "gap-cam"])  # no linear head there
def test_in_place_relu_a_layer_means_what_its_name_says(method):
    """conv (before an in-place ReLU) and the ReLU (after it), by a network without in-place operations."""
    inplace, plain = (helpers.network(helpers.seeded(lambda flag=f: helpers.Gap(flag))) for f in (True, False))
    before, after = (camlib.explain(inplace, P, method, 1, name, relu=False) for name in ("features.0", "features.1"))
    for e in (before, after):
        expected = camlib.explain(plain, P, method, 1, e.layer, relu=False)
        torch.testing.assert_close(e.raw, expected.raw, rtol=0, atol=1e-6 * float(expected.raw.abs().max()))
    with torch.no_grad():
        maps = plain.module.features[0](plain.prepare(P)[1][None].double())
    assert bool((maps < 0).any())
    trace = Trace(inplace, plain.prepare(P)[1][None].double(), "features.0")
    assert torch.equal(trace.activations, maps)
    (layer,) = (layer for layer in inplace.layers() if layer.name == "features.0")
    assert layer.note == "before the in-place ReLU"


class Keywords(nn.Module):
    """Calls its body with keyword arguments, as EfficientNet's blocks of some libraries are called."""

    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = helpers.features()

        def forward(self, *, inputs: Tensor, scale: float) -> Tensor:
            return self.features(inputs) * scale

    def __init__(self) -> None:
        super().__init__()
        self.body = Keywords.Body()
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(inputs=x, scale=2.0).mean(dim=(2, 3)))


def test_layer_called_with_keyword_arguments():
    module = helpers.seeded(Keywords)
    net = helpers.network(module)
    assert net.default_layer.name == "body"
    trace = Trace(net, READY)
    with torch.no_grad():
        assert torch.equal(trace.activations, module.body(inputs=READY, scale=2.0))
    expected = module.fc.weight[1].detach() / 64
    torch.testing.assert_close(trace.gradients(torch.tensor([1])).mean(dim=(2, 3))[0], expected)


@pytest.mark.parametrize("method", [name for name in helpers.POST_HOC if name != "gap-cam"])
@pytest.mark.filterwarnings("ignore:.*has no ReLU module")
def test_vision_transformer_without_a_reshape_function(method):
    net = helpers.network(_vit(), 64)
    options = helpers.short([method])[method]
    e = camlib.explain(net, helpers.picture(0, 64, 64), method, 1, **options)
    assert not e.degenerate
    assert e.heatmap.shape == (64, 64)
    assert e.raw.shape == ((64, 64) if METHODS[method].makes == "pixels" else (4, 4))
    assert float(e.heatmap.std()) > 0.05


@cache
def _vit() -> nn.Module:
    name = "vit_tiny_patch16_224"
    return helpers.seeded(lambda: timm.create_model(name, img_size=64, num_classes=5), dtype=torch.float32)


def test_tokens_lie_where_their_patches_are():
    """Only the patch tokens in row 1 and column 2 see the bright square: the map must say so, not its transpose."""
    net = helpers.network(_vit(), 64)
    dark = torch.zeros(3, 64, 64)
    bright = dark.clone()
    bright[:, 16:32, 32:48] = 1
    for layer in ("patch_embed", "pos_drop"):  # without and with a class token in front
        first, second = (Trace(net, net.prepare(p)[1][None], layer).activations for p in (dark, bright))
        assert first.shape == (1, 192, 4, 4)
        assert (first - second).abs().sum(dim=1)[0].nonzero().tolist() == [[1, 2]]


def test_gap_cam_on_a_transformer_says_why_not():
    with pytest.raises(ValueError, match="GAP-CAM needs a head that is linear behind global pooling"):
        camlib.explain(helpers.network(_vit(), 64), helpers.picture(0, 64, 64), "gap-cam")


# -- shapes and types of input


@pytest.mark.parametrize(
    "method", [m for m in helpers.POST_HOC if m not in ("deconvnet", "smooth-grad", "fd-cam", "case", "rise")]
)
@pytest.mark.parametrize(("row", "column"), [(8, 8), (8, 136), (72, 8), (72, 136)])
def test_a_bright_object_in_a_corner_lights_up_there(method, row, column):
    """96 x 160, ready batch: the network answers to brightness, so the map must peak at the bright square.

    Five methods are left out: the deconvnet signal does not depend on the picture here, noise opens the ReLU
    everywhere, one channel has no group (FD-CAM) and no direction beside the rival's (CASE), and RISE's masks are as
    large as the square (its own test below).
    """
    options = {"mask": {"steps": 60, "l1": 1e-5}}.get(method, {})
    e = camlib.explain(_brightness(), _corner(row, column), method, 0, normalized=True, **options)
    assert e.heatmap.shape == (96, 160)
    assert e.raw.shape == ((96, 160) if METHODS[method].makes == "pixels" else (24, 40))
    inside = e.heatmap[row : row + 16, column : column + 16]
    assert float(inside.mean()) > 0.5
    assert float(e.heatmap.mean()) < 0.1


@pytest.mark.parametrize(("row", "column"), [(8, 8), (8, 136), (72, 8), (72, 136)])
def test_rise_peaks_at_a_bright_object_in_a_corner(row, column):
    e = camlib.explain(_brightness(gain=100), _corner(row, column), "rise", 0, normalized=True, masks=500)
    y, x = divmod(int(e.heatmap.argmax()), 160)
    assert abs(y - row - 8) <= 16
    assert abs(x - column - 8) <= 16


def _corner(row: int, column: int) -> Tensor:
    ready = torch.zeros(1, 3, 96, 160)
    ready[..., row : row + 16, column : column + 16] = 1
    return ready


def _brightness(gain: float = 1.0) -> Network:
    """Mean brightness of 4x4 blocks, rectified, averaged: logit 0 is brightness times gain, logit 1 its negative."""
    module = nn.Sequential(
        nn.Conv2d(3, 1, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2)
    )
    with torch.no_grad():
        module[0].weight.fill_(1 / 48)
        module[0].bias.zero_()
        module[4].weight.copy_(torch.tensor([[gain], [-gain]]))
        module[4].bias.zero_()
    return Network(module.eval(), transform=Preprocess((96, 160), (0.0,) * 3, (1.0,) * 3))


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_ready_batches_of_other_types_are_converted(kind):
    expected = camlib.explain(gap(), READY.float(), target=1)
    found = camlib.explain(gap(), READY.to(kind), target=1)
    torch.testing.assert_close(found.heatmap, expected.heatmap, rtol=0, atol=0.1)
    if kind == torch.float64:
        torch.testing.assert_close(found.heatmap, expected.heatmap, rtol=0, atol=1e-6)


def test_pictures_of_several_sizes_and_kinds_in_one_call():
    net = gap()
    photos = [camlib.load_photo("chelsea"), READY, helpers.picture(1), torch.cat([READY, READY]), np.ones((5, 7, 3))]
    wide = torch.rand(1, 3, 24, 48, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateMapWarning)
        rows = camlib.compare(net, [*photos, wide], targets=[1])
    assert [e.picture for e in rows] == list(range(7))
    assert [tuple(e.heatmap.shape) for e in rows] == [(32, 32)] * 6 + [(24, 48)]
    assert torch.equal(rows[1].heatmap, rows[3].heatmap)
    assert torch.equal(rows[1].heatmap, rows[4].heatmap)


# -- passes


class Counting(nn.Module):
    """Raises in a given forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.passes, self.fails_at = helpers.Gap(), 0, None

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        if self.passes == self.fails_at:
            raise RuntimeError("out of luck")
        return self.inner(x)


def test_module_that_raises_in_the_fourth_forward():
    module = helpers.seeded(Counting)
    net = helpers.network(module)
    net.layers()
    module.passes, module.fails_at = 0, 4
    before = helpers.state(module)
    with pytest.raises(RuntimeError, match="out of luck"):
        camlib.explain(net, P, "smooth-grad-cam++", 1, samples=8)
    assert module.passes == 4
    helpers.assert_same(before, helpers.state(module))
    module.fails_at = None
    fresh = camlib.explain(helpers.network(helpers.seeded(Counting)), P, "smooth-grad-cam++", 1, samples=8)
    assert torch.equal(camlib.explain(net, P, "smooth-grad-cam++", 1, samples=8).heatmap, fresh.heatmap)


def test_second_class_from_one_forward():
    module = helpers.seeded(Counting)
    trace = Trace(helpers.network(module), READY)
    passes = module.passes
    found = [METHODS["grad-cam"].function(trace, torch.tensor([c]))[0] for c in (0, 3, 0)]
    assert module.passes == passes
    for weights, c in zip(found, (0, 3, 0), strict=True):
        torch.testing.assert_close(weights, module.inner.fc.weight[c].detach() / 64)


def test_a_users_own_gradients_stay():
    net = gap()
    loss = net.module(READY).square().sum()
    loss.backward()
    kept = {name: p.grad.clone() for name, p in net.module.named_parameters()}
    camlib.compare(net, P, helpers.POST_HOC, [1, 2], options=helpers.short(helpers.POST_HOC))
    assert all(torch.equal(p.grad, kept[name]) for name, p in net.module.named_parameters())


def test_a_users_own_graph_can_still_be_walked():
    net = gap()
    loss = net.module(READY).square().sum()
    camlib.compare(net, P, ["grad-cam", "guided-backprop", "smooth-grad-cam++"], [1])
    loss.backward()
    again = gap().module
    again(READY).square().sum().backward()
    for found, expected in zip(net.module.parameters(), again.parameters(), strict=True):
        assert torch.equal(found.grad, expected.grad)


def test_a_users_own_hooks_run_and_stay():
    net = gap()
    seen = []
    handle = net.module.features.register_forward_hook(lambda *_: seen.append(1))
    camlib.explain(net, P, "grad-cam", 1)
    assert seen
    assert len(net.module.features._forward_hooks) == 1
    handle.remove()


class Lazy(helpers.Gap):
    """Makes a tensor in its first pass and keeps it, as networks with position tables do."""

    ramp: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        maps = self.features(x)
        if self.ramp is None:
            self.ramp = torch.linspace(1, 2, 8, dtype=maps.dtype)
        return self.fc((maps * self.ramp).mean(dim=(2, 3)))


@pytest.mark.parametrize("first", [lambda net: net.predict(P), lambda net: net.layers(), lambda net: None])
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_tensors_that_a_module_keeps_from_an_earlier_pass(first, mode):
    net = helpers.network(helpers.seeded(Lazy))
    with mode():
        first(net)
        inside = camlib.explain(net, P, "grad-cam", 1, "features")
    outside = camlib.explain(net, P, "grad-cam", 1, "features")
    expected = camlib.explain(helpers.network(helpers.seeded(Lazy)), P, "grad-cam", 1, "features")
    assert torch.equal(inside.heatmap, expected.heatmap)
    assert torch.equal(outside.heatmap, expected.heatmap)


# -- degenerate maps


def test_zero_gradient_gives_zeros_a_flag_and_the_reason():
    module = helpers.seeded(helpers.Gap)
    with torch.no_grad():
        module.fc.weight[2].zero_()
    with pytest.warns(DegenerateMapWarning, match=r"'tiger cat' at 'features' of Gap: all-zero heatmap, because every"):
        e = camlib.explain(helpers.network(module), P, "grad-cam", 2)
    assert e.degenerate
    assert "no gradient of this class reaches the layer" in e.reason
    assert not e.heatmap.any()
    assert e.heatmap.shape == (32, 32)


@pytest.mark.parametrize("ask", [camlib.explain, lambda *a: camlib.compare(a[0], a[1], a[2], [a[3]])])
def test_the_warning_points_at_the_line_that_asked(ask):
    with pytest.warns(DegenerateMapWarning) as caught:
        ask(_brightness(), _corner(8, 8), "grad-cam", 1)
    assert [warning.filename for warning in caught] == [__file__]


def test_a_class_the_layer_speaks_against():
    with pytest.warns(DegenerateMapWarning, match=r"nowhere positive \(largest value 0\).*relu=False"):
        e = camlib.explain(_brightness(), _corner(8, 8), "grad-cam", 1)
    assert (e.degenerate, bool(e.heatmap.any())) == (True, False)
    signed = camlib.explain(_brightness(), _corner(8, 8), "grad-cam", 1, relu=False)
    assert not signed.degenerate
    assert float(signed.raw.min()) < 0 == float(signed.raw.max())


@pytest.mark.parametrize("method", WEIGHTS)
def test_dead_feature_maps_are_zeros_and_never_nan(method):
    """All feature maps are zero behind the ReLU: XGrad-CAM divides by their sum, Grad-CAM++ by functions of it."""
    net = _brightness()
    with torch.no_grad():
        net.module[0].bias.fill_(-5)
    with pytest.warns(DegenerateMapWarning, match=f"{method.replace('+', '.')} on picture 0"):
        e = camlib.explain(net, _corner(8, 8), method, 0)
    assert e.degenerate
    assert e.reason
    assert not e.heatmap.any()
    assert not e.heatmap.isnan().any()


def test_a_constant_picture_through_a_network_without_padding_is_flat():
    with pytest.warns(DegenerateMapWarning, match="the map is constant"):
        e = camlib.explain(_brightness(), torch.full((1, 3, 96, 160), 0.7), "grad-cam", 0)
    assert (e.degenerate, bool(e.heatmap.any())) == (True, False)


def test_only_the_flat_one_of_several_maps_is_flagged():
    batch = torch.cat([_corner(8, 8), torch.full((1, 3, 96, 160), 0.7)])
    with pytest.warns(DegenerateMapWarning, match="on picture 1") as caught:
        rows = camlib.compare(_brightness(), batch, ["grad-cam", "layer-cam"], [0])
    assert [e.degenerate for e in rows] == [False, False, True, True]
    assert [e.reason is None for e in rows] == [True, True, False, False]
    assert len(caught) == 2


def test_good_maps_warn_of_nothing(recwarn):
    camlib.compare(gap(), P, helpers.POST_HOC, [1], options=helpers.short(helpers.POST_HOC))
    assert not recwarn.list


def test_a_method_that_makes_nan_is_reported():
    """A new method that divides by zero is an error, not a blank picture."""

    @camlib.method("nan-cam", family="test", source="none", passes="none")
    def nan_cam(trace: Trace, target: Tensor) -> Tensor:
        """Zero divided by zero, [B, K]."""
        return trace.activations.mean(dim=(2, 3)) * 0 / 0

    try:
        with pytest.raises(ValueError, match="nan-cam made NaN or Inf at 'features' of Gap"):
            camlib.explain(gap(), P, "nan-cam", 1)
    finally:
        camlib.registry._methods.pop("nan-cam")


# -- what a fresh pair of eyes tripped over


def test_a_tensor_goes_through_a_transform_that_wants_pil():
    transform = Compose([Resize((32, 32)), ToTensor(), Normalize((0.5,) * 3, (0.5,) * 3)])
    net = Network(helpers.seeded(helpers.Gap), transform=transform)
    photo = torch.randint(0, 256, (3, 40, 50), dtype=torch.uint8)
    from_tensor = camlib.explain(net, photo.float() / 255, target=0)
    from_pil = camlib.explain(net, Image.fromarray(photo.permute(1, 2, 0).numpy()), target=0)
    assert torch.equal(from_tensor.heatmap, from_pil.heatmap)


def test_a_transform_without_normalization_shows_the_picture_as_it_is():
    transform = Compose([Resize((32, 32)), ToTensor()])
    net = Network(helpers.seeded(helpers.Gap), transform=transform)
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    e = camlib.explain(net, photo, target=0)
    assert torch.equal(e.image, transform(photo))


def test_gray_tensor_for_a_gray_network():
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    net = Network(module, transform=Preprocess(16, (0.5,), (0.5,)))
    gray = torch.rand(1, 16, 16)
    one, three = (camlib.explain(net, photo, relu=False) for photo in (gray, gray.expand(3, -1, -1)))
    assert torch.allclose(one.heatmap, three.heatmap, atol=1e-6)
    assert one.image.shape == (3, 16, 16)


@pytest.mark.parametrize("names", ["abcd", [1, 2, 3, 4], {1: "a", 2: "b"}])
def test_class_names_that_are_none(names):
    with pytest.raises(TypeError, match=r"class_names is a list of strings"):
        Network(helpers.seeded(helpers.Gap), class_names=names)


def test_class_names_as_a_dict():
    assert Network(helpers.seeded(helpers.Gap), class_names={1: "b", 0: "a"}).class_names == ["a", "b"]


@pytest.mark.parametrize(
    ("makes", "made", "fragment"),
    [
        ("weights", lambda t: None, "it returned NoneType"),
        ("weights", lambda t: torch.ones(3), r"it returned \[3\]"),
        ("map", lambda t: torch.ones(1, 1, *t.activations.shape[-2:]), r"it returned \[1, 1"),
        ("pixels", lambda t: t.activations[:, 0], r"must return a tensor \[1, 32, 32\]"),
    ],
)
def test_a_method_that_breaks_its_promise_is_named(makes, made, fragment):
    from camlib import registry

    @camlib.method("broken-cam", family="test", source="this test", passes="none", makes=makes)
    def broken(trace, target):
        """Something else."""
        return made(trace)

    try:
        with pytest.raises(ValueError, match=f"broken-cam is registered with makes='{makes}'.*{fragment}"):
            camlib.explain(helpers.network(helpers.seeded(helpers.Gap)), P, "broken-cam", 0)
    finally:
        del registry._methods["broken-cam"]


def test_explanations_compare_by_identity_and_print_in_one_line():
    e = camlib.explain(helpers.network(helpers.seeded(helpers.Gap)), P, target=0)
    assert e == e
    assert e != copy.deepcopy(e)
    assert e in [copy.deepcopy(e), e]
    assert "\n" not in repr(e)
    assert "grad-cam" in repr(e)


@pytest.mark.parametrize("target", [np.array(1), torch.tensor([1]), np.int64(1)])
def test_targets_that_other_libraries_return(target):
    net = helpers.network(helpers.seeded(helpers.Gap))
    assert camlib.explain(net, [P], target=target).target == 1
