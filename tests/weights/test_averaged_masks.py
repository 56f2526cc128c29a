"""IS-CAM and SS-CAM: Score-CAM averaged over steps and draws, against loops over channels."""

from __future__ import annotations

import helpers
import pytest
import torch
from head_cases import EXACT, HEADS, found, looped, traced
from torch import nn

from camlib.compendium.loops.averaged import is_cam_loop, ss_cam_loop


def killed() -> nn.Module:
    """Channel 2 is zero and channel 4 constant: neither makes a mask."""
    module = helpers.seeded(helpers.Gap)
    with torch.no_grad():
        module.fc.weight *= 20
        for k, value in ((2, -1.0), (4, 0.7)):
            module.features[2].weight[k] = 0
            module.features[2].bias[k] = value
    return module


@pytest.mark.parametrize("build", [killed, HEADS["mlp"]])
@pytest.mark.parametrize("path", ["cumulative", "linear"])
def test_is_cam_against_a_loop_over_channels_and_steps(build, path):
    module = build()
    trace = traced(module)
    for weighting in ("softmax", "probability"):
        options = {"steps": 4, "path": path, "weighting": weighting}
        expected = looped(is_cam_loop, module, trace, **options)
        assert helpers.relative(found("is-cam", trace, **options), expected) < EXACT


@pytest.mark.parametrize("build", [killed, HEADS["mlp"]])
@pytest.mark.parametrize("noise", ["mask", "picture"])
def test_ss_cam_against_a_loop_over_channels_and_draws(build, noise):
    module = build()
    trace = traced(module)
    for weighting in ("softmax", "probability"):
        options = {"samples": 3, "sigma": 0.5, "noise": noise, "seed": 5, "weighting": weighting}
        expected = looped(ss_cam_loop, module, trace, **options)
        assert helpers.relative(found("ss-cam", trace, **options), expected) < EXACT


def test_one_step_of_is_cam_and_no_noise_in_ss_cam_are_score_cam():
    trace = traced(killed())
    softmax, plain = found("score-cam-softmax", trace), found("score-cam", trace)
    for name, options in (("is-cam", {"steps": 1}), ("ss-cam", {"samples": 2, "sigma": 0.0})):
        assert helpers.relative(found(name, trace, **options), softmax) < EXACT
        assert helpers.relative(found(name, trace, weighting="probability", **options), plain) < EXACT


def test_classes_share_the_passes_of_is_cam_and_ss_cam():
    trace = traced(killed())
    found("is-cam", trace, steps=2), found("ss-cam", trace, samples=2)
    pictures = trace.scorer().pictures
    found("is-cam", trace, (0, 2), steps=2), found("ss-cam", trace, (0, 2), samples=2)
    assert trace.scorer().pictures == pictures
    assert pictures == 2 * 2 * int(trace.live.sum())
