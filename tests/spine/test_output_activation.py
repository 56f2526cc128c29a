"""Softmax, sigmoid or nothing behind the outputs: what the network says, and all that reads it."""

from __future__ import annotations

import warnings

import helpers
import pytest
import torch
from torch import nn

import camlib
from camlib.engine.scoring import Scorer
from camlib.metrics import METRICS, Sample, probability_score
from camlib.outputs import OutputWarning

PICTURE = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(3))


def module(classes):
    torch.manual_seed(5)
    body = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    made = nn.Sequential(*body, nn.Linear(8, classes)).eval()
    with torch.no_grad():
        made[-1].weight.mul_(8)
    return made


def network(classes, output=None, wrap=None):
    made = module(classes)
    return camlib.Network(nn.Sequential(made, wrap) if wrap else made, None, camlib.Preprocess(32), output=output)


def masked(net):
    """Outputs of the bare module for the picture masked by each channel, [K, C], by a loop."""
    x = net.prepare(PICTURE)[1][None]
    rows = []
    with torch.no_grad():
        for k in range(8):
            maps = net.module[:2](x)[:, k : k + 1]
            mask = (maps - maps.min()) / (maps.max() - maps.min())
            rows.append(net.module(x * mask)[0])
    return torch.stack(rows)


def test_one_output_is_a_sigmoids_with_one_word_of_warning():
    net = network(1)
    with pytest.warns(OutputWarning, match="has one output; its sigmoid is taken"):
        e = camlib.explain(net, PICTURE, "score-cam", 0)
    assert net.output == "sigmoid"
    expected = masked(net)[:, 0].sigmoid()
    torch.testing.assert_close(e.weights, expected, rtol=1e-4, atol=1e-6)
    assert float(expected.std()) > 1e-4
    assert e.probability == pytest.approx(float(net.module(net.prepare(PICTURE)[1][None])[0, 0].sigmoid()), rel=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", OutputWarning)  # once
        camlib.explain(net, PICTURE, "grad-cam", 0)
        camlib.explain(network(1, "sigmoid"), PICTURE, "grad-cam", 0)


@pytest.mark.parametrize(("output", "of"), [("sigmoid", torch.sigmoid), ("none", lambda y: y), ("softmax", None)])
def test_scores_top_classes_and_metrics_follow_the_output(output, of):
    net = network(4, output)
    of = of or (lambda y: y.softmax(dim=-1))
    x = net.prepare(PICTURE)[1][None]
    y = net.module(x).detach()[0]
    e = camlib.explain(net, PICTURE, "score-cam", 2)
    torch.testing.assert_close(e.weights, of(masked(net))[:, 2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(e.probabilities, of(y), rtol=1e-5, atol=1e-6)
    assert [p for _, _, p in net.predict(PICTURE, top=4)] == pytest.approx(
        sorted(of(y).tolist(), reverse=True), rel=1e-4
    )
    if output == "none":
        return
    sample = Sample.of(net, x[0], e.heatmap, 2, probability_score(Scorer(net, x)))
    hidden = of(net.module(x * e.heatmap).detach())[0, 2]
    drop = 100 * max(0.0, float((of(y)[2] - hidden) / of(y)[2]))
    assert METRICS["average-drop"](sample) == pytest.approx(drop, abs=0.01)


@pytest.mark.parametrize("method", ["score-cam-cic", "recipro-cam", "union-cam", "group-cam", "rise", "fd-cam", "mask"])
def test_no_method_takes_a_softmax_of_one_output(method):
    options = {"rise": {"masks": 30}, "mask": {"steps": 5}}.get(method, {})
    e = camlib.explain(network(1, "sigmoid"), PICTURE, method, 0, **options)
    assert not e.degenerate  # the softmax of one number is 1, whatever is masked
    assert bool(e.heatmap.any())


def test_outputs_that_add_up_to_one_are_taken_as_they_are():
    net = network(5, wrap=nn.Softmax(dim=1))
    with pytest.warns(OutputWarning, match="add up to 1"):
        e = camlib.explain(net, PICTURE)
    assert net.output == "none"
    plain = camlib.explain(network(5), PICTURE)
    torch.testing.assert_close(e.probabilities, plain.probabilities, rtol=1e-4, atol=1e-6)


def test_logits_are_a_softmaxs_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = network(5)
        camlib.explain(net, PICTURE)
    assert net.output == "softmax"
    assert net.with_input_size(64).output == "softmax"


def test_copies_for_other_sizes_know_it_whichever_of_them_was_surveyed_first():
    net = network(5)
    net.with_input_size(64).survey()
    again = net.with_input_size(64)
    assert (again.output, net.output) == ("softmax", "softmax")


def test_an_unknown_word_is_refused():
    with pytest.raises(ValueError, match="output='tanh': expected None or one of"):
        network(2, "tanh")


def test_the_same_network_as_before():
    """The default of every helper network is the softmax that all numbers of the compendium stand on."""
    net = helpers.network(helpers.seeded(helpers.Gap))
    logits = torch.randn(3, 5)
    assert torch.equal(net.probabilities(logits), logits.softmax(dim=1))
