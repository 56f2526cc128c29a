"""Bad calls: each gets an error that says given, expected and remedy. Classes may be said in many ways."""

from collections.abc import Callable
from typing import Any

import helpers
import numpy as np
import pytest
import torch
from helpers import PICTURE as P
from helpers import READY, gap
from torch import Tensor, nn

import camlib
from camlib import Network, Trace


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
     r"Gap does not run on \[1, 1, 32, 32\].*takes 3-channel pictures. Use x.expand\(-1, 3, -1, -1\)"),
    ("five axes", lambda: camlib.compare(gap(), torch.rand(1, 1, 3, 32, 32)), ValueError,
     r"does not run on \[1, 1, 3, 32, 32\]"),
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
     "batch_size=0: expected a whole number of at least 1"),
    # networks
    ("module that is not wrapped", lambda: camlib.explain(gap().module, P), TypeError,
     r"first argument is a camlib.Network; given Gap. Wrap it: Network\(module\)"),
    ("not a module", lambda: Network("resnet18"), TypeError, "takes a torch.nn.Module; given str"),
    ("transform that cannot be called", lambda: Network(nn.ReLU(), transform=3), TypeError, "callable; given int"),
    ("tuple output", lambda: camlib.explain(wrapped(lambda y: (y, y)), P), TypeError,
     r"Output returned a tuple; expected logits \[B, classes\]. Explain a function"),
    ("dict output", lambda: camlib.explain(wrapped(lambda y: {"out": y, "aux": y}), P), TypeError,
     r"dict with keys \['aux', 'out'\]; expected logits"),
    ("4-D output", lambda: camlib.explain(wrapped(lambda y: y[:, :, None, None]), P), ValueError,
     r"returned \[1, 5, 1, 1\] for \[1, 3, 32, 32\]; expected logits \[1, classes\]. Explain a function"),
    ("no batch in the output", lambda: camlib.explain(wrapped(lambda y: y[0]), P), ValueError, r"returned \[5\] for"),
    ("no class in the output", lambda: camlib.explain(wrapped(lambda y: y[:, :0]), P), ValueError,
     r"returned \[1, 0\]: logits of no class"),
    ("decisions", lambda: camlib.explain(wrapped(lambda y: y > 0), P), TypeError, "returned torch.bool; expected fl"),
    ("votes", lambda: camlib.explain(wrapped(lambda y: y.long()), P), TypeError, "returned torch.int64; expected fl"),
    ("complex numbers", lambda: camlib.explain(wrapped(lambda y: y + 1j), P), TypeError, "their real part"),
    ("NaN logits", lambda: camlib.explain(wrapped(lambda y: y * float("nan")), P), ValueError,
     r"NaN or Inf logits on finite input\. Check its weights\.$"),
    ("transform that returns an array", lambda: camlib.explain(gap_with(lambda image: np.asarray(image)), P * 1.0),
     (TypeError, ValueError), "The transform must return a tensor"),
    ("picture too small for a map", lambda: camlib.explain(gap(size=2), P), ValueError,
     "no spatial feature maps on this input size: pass a larger picture"),
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
     r"form='max': expected one of \('gradient', 'softmax'\)"),
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
