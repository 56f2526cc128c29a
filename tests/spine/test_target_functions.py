"""A function of the output as target: differences, regressions, embeddings, segmentations, detectors, labels."""

from __future__ import annotations

import helpers
import pytest
import torch
from torch import Tensor, nn

import camlib

PICTURE = helpers.picture(0)


@pytest.fixture(scope="module")
def net():
    return helpers.network(helpers.seeded(helpers.Gap))


def test_grad_cam_of_a_difference_is_the_gradient_of_the_difference(net):
    e = camlib.explain(net, PICTURE, "grad-cam", target=lambda y: y[:, 3] - y[:, 1], relu=False)
    three, one = (camlib.explain(net, PICTURE, "grad-cam", target=c, relu=False) for c in (3, 1))
    torch.testing.assert_close(e.weights, three.weights - one.weights, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(e.raw, three.raw - one.raw, rtol=1e-4, atol=1e-6)
    assert (e.target, e.target_name, e.layer) == (None, "target function", three.layer)
    y = net.logits(net.prepare(PICTURE)[1][None])[0]
    assert e.probability == pytest.approx(float(y[3] - y[1]), rel=1e-4)


def test_score_methods_read_the_functions_value(net):
    """Score-CAM's weight is the function of the outputs for the masked picture, by a loop over the masks."""
    e = camlib.explain(net, PICTURE, "score-cam", target=lambda y: y[:, 2].tanh())
    x = net.prepare(PICTURE)[1][None].to(net.dtype)
    maps = camlib.Trace(net, x).activations[0]
    expected = []
    for one in torch.nn.functional.interpolate(maps[:, None], x.shape[-2:], mode="bilinear")[:, 0]:
        mask = (one - one.min()) / (one.max() - one.min())
        expected.append(float(net.logits(x * mask)[0, 2].tanh()))
    torch.testing.assert_close(e.weights, torch.tensor(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", [m for m in helpers.POST_HOC if m not in ("gap-cam", "finer-cam", "case", "fd-cam")])
def test_every_method_that_needs_no_other_class_takes_a_function(net, method):
    options = {"rise": {"masks": 20}, "mask": {"steps": 3}, "opti-cam": {"steps": 3}}.get(method, {})
    e = camlib.explain(net, PICTURE, method, target=lambda y: y[:, 1], **options)
    assert bool(e.heatmap.isfinite().all())
    assert e.target is None


def test_functions_and_classes_in_one_call_keep_their_order(net):
    def second(y: Tensor) -> Tensor:
        return y[:, 1]

    found = camlib.compare(net, [PICTURE, helpers.picture(1)], ["grad-cam", "layer-cam"], targets=[3, second, None])
    slots = [(e.picture, e.method, e.target_name) for e in found]
    assert [slot[:2] for slot in slots] == [(p, m) for p in (0, 1) for m in ("grad-cam", "layer-cam") for _ in range(3)]
    assert [e.target_name for e in found[1::3]] == ["second"] * 4
    for e in found[1::3]:
        plain = camlib.explain(net, [PICTURE, helpers.picture(1)][e.picture], e.method, 1)
        torch.testing.assert_close(e.heatmap, plain.heatmap, rtol=0, atol=1e-5)


class Dense(nn.Module):
    """A network of anything: its output is made by ``make`` from pooled features and maps."""

    def __init__(self, make, channels=6) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.body = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(channels, 4, 1)
        self.make = make

    def forward(self, x: Tensor):
        return self.make(self.head(self.body(x)))


TASKS = {
    "segmentation": (lambda maps: {"out": maps}, lambda y: y["out"][:, 2, 4:12, 4:12].mean(dim=(1, 2))),
    "regression": (lambda maps: maps.mean(dim=(2, 3))[:, :1], lambda y: -y[:, 0]),
    "embedding": (
        lambda maps: maps.mean(dim=(2, 3)),
        lambda y: torch.cosine_similarity(y, torch.tensor([[1.0, 0.0, -1.0, 0.5]]), dim=1),
    ),
    "detection": (
        lambda maps: [{"scores": one.amax(dim=(1, 2))} for one in maps],
        lambda y: torch.stack([found["scores"][1] for found in y]),
    ),
    "several labels": (lambda maps: maps.mean(dim=(2, 3)), lambda y: y[:, 1].sigmoid() * y[:, 3].sigmoid()),
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", ["grad-cam", "layer-cam", "score-cam", "ablation-cam", "gradient", "rise"])
def test_whatever_a_module_returns_can_be_explained(task, method):
    make, target = TASKS[task]
    net = camlib.Network(Dense(make).eval(), "body", camlib.Preprocess(32))
    options = {"masks": 20} if method == "rise" else {}
    e = camlib.explain(net, PICTURE, method, target=target, relu=False, **options)
    assert bool(e.heatmap.any())
    if method == "grad-cam":
        x = net.prepare(PICTURE)[1][None]
        maps = net.module.body(x).detach().requires_grad_(True)
        (g,) = torch.autograd.grad(target(make(net.module.head(maps))).sum(), maps)
        torch.testing.assert_close(e.weights, g.mean(dim=(2, 3))[0], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("wrong", [lambda y: y, lambda y: y.sum(), lambda y: 3.0])
def test_a_function_that_gives_no_number_for_each_picture_is_named(net, wrong):
    with pytest.raises(ValueError, match=r"target function returned .* one number a picture, \[1\]"):
        camlib.explain(net, PICTURE, target=wrong)


def test_the_callers_module_stays_what_it_was(net):
    before = type(net.module), helpers.state(net.module)
    camlib.explain(net, PICTURE, "score-cam", target=lambda y: y[:, 0])
    assert type(net.module) is before[0]
    helpers.assert_same(before[1], helpers.state(net.module))
    assert net.output == "softmax"
