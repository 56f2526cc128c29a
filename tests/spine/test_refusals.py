"""What nobody can explain is refused in one sentence that says what was given and what to do."""

import io
import re
import warnings

import helpers
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import camlib
from camlib import Network, Preprocess
from camlib.networks import BlindNetworkWarning

PICTURES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def net() -> Network:
    return helpers.network(helpers.seeded(helpers.Gap))


@pytest.mark.parametrize("targets", [{0, 1}, frozenset([1]), b"1", {0: 1}, [{0}, {1}, {1}]])
def test_targets_without_an_order(targets):
    with pytest.raises(TypeError, match=r"targets is a list of classes; given a (set|frozenset|bytes|dict)"):
        camlib.compare(net(), PICTURES, targets=targets)


@pytest.mark.parametrize("asked", [{"relu": "yes"}, {"relu": 1}, {"normalized": "no"}, {"normalized": 0}])
def test_switches_that_are_neither_true_nor_false(asked):
    with pytest.raises(TypeError, match=r"(relu|normalized)=.*: expected True or False or None"):
        camlib.explain(net(), PICTURES[0], **asked)


@pytest.mark.parametrize(
    ("picture", "error", "said"),
    [
        ("", ValueError, "name of a picture is empty"),
        ("https://example.com/cat.jpg", ValueError, "is an address, and nothing is downloaded"),
        (b"/nowhere/cat.jpg", ValueError, "No picture at '/nowhere/cat.jpg'"),
        ("x" * 300 + ".png", ValueError, "cannot be read as a picture: OSError"),
        (io.BytesIO(b"junk"), ValueError, "'BytesIO' cannot be read as a picture: no reader knows its format"),
        (PICTURES[0].to("meta"), TypeError, "given a meta one"),
        (PICTURES[:1].to("meta"), TypeError, "given a meta one"),
        (PICTURES[0].to_sparse(), TypeError, "given a sparse_coo one"),
        ({"cat": PICTURES[0]}, TypeError, "given a dict"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_picture(picture, error, said):
    with pytest.raises(error, match=re.escape(said)):
        camlib.compare(net(), picture)


def test_an_open_file_is_a_picture():
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(file, "PNG")
    file.seek(0)
    found = camlib.explain(net(), file, target=0, relu=False)
    assert found.origin.size == (40, 30)
    assert float(found.image[0].min()) == 1.0
    assert float(found.image[1:].max()) == 0.0


def test_both_orders_of_bytes_are_one_picture():
    values = np.random.default_rng(0).integers(0, 60_000, (20, 30)).astype("<u2")
    one, other = (camlib.explain(net(), array, target=0, relu=False) for array in (values, values.astype(">u2")))
    assert torch.equal(one.heatmap, other.heatmap)


def test_a_module_without_memory():
    with pytest.raises(ValueError, match=r"tensors without values .* 'meta'.*to_empty"):
        Network(nn.Conv2d(3, 8, 3).to("meta"))


class Constant(nn.Module):
    """The same logits for every picture, though its maps are the picture's."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.logits = nn.Conv2d(3, 4, 3, padding=1), nn.Parameter(torch.arange(5.0))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.body(pictures).mean() * 0 + self.logits.expand(len(pictures), 5)


def test_a_network_that_does_not_look_is_named():
    with pytest.warns(BlindNetworkWarning, match="quite different pictures the same logits"):
        camlib.explain(Network(Constant(), transform=Preprocess(32)), PICTURES[0], "score-cam", 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", BlindNetworkWarning)
        camlib.explain(net(), PICTURES[0], "score-cam", 0)


@pytest.mark.filterwarnings("ignore::camlib.networks.NetworkWarning")
def test_rise_of_equal_scores_is_no_map_of_the_masks():
    with pytest.warns(camlib.DegenerateMapWarning, match="nothing that was done to the picture changed the score"):
        found = camlib.explain(Network(Constant(), transform=Preprocess(32)), PICTURES[0], "rise", 0, masks=64)
    assert found.degenerate


@pytest.mark.parametrize(
    ("output", "example"),
    [
        (lambda x: {"out": x.repeat(1, 7, 1, 1)}, "target=lambda y: y['out'][:, 0].mean(dim=(1, 2))"),
        (lambda x: x.repeat(1, 2, 1, 1), "target=lambda y: y[:, 0].mean(dim=(1, 2))"),
        (lambda x: (x.mean(dim=(2, 3)), x), "target=lambda y: y[0][:, 0]"),
        (lambda x: None, "target=lambda y: ..."),
    ],
)
def test_an_output_that_is_no_logits_is_answered_with_a_target_that_works(output, example):
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, pictures):
            return output(self.body(pictures))

    net = Network(Odd(), transform=Preprocess(32))
    with pytest.raises(TypeError, match=re.escape(example)):
        camlib.explain(net, PICTURES[0])
    if "..." not in example:
        function = eval(example.removeprefix("target="))
        assert camlib.explain(net, PICTURES[0], target=function, relu=False).raw.shape == (32, 32)


def test_score_wants_explanations_first():
    network = net()
    made = camlib.explain(network, PICTURES[0], target=0, relu=False)
    for given, said in ((network, "camlib.compare(net, photos), ..., net=net"), (made, "score([explanation])")):
        with pytest.raises(TypeError, match=re.escape(said)):
            camlib.score(given, "average-drop")
