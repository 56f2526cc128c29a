"""IS-CAM and SS-CAM: Score-CAM averaged over steps and draws, against loops over channels."""

from __future__ import annotations

from collections.abc import Callable

import helpers
import pytest
import torch
import torch.nn.functional as F
from head_cases import EXACT, HEADS, TARGETS, found, scaled, traced
from torch import Tensor, nn

from camlib import Trace


def mask_of(channel: Tensor, size: tuple[int, int]) -> Tensor | None:
    """The channel enlarged and scaled to [0, 1]; None where it is constant."""
    up = F.interpolate(channel[None, None], size, mode="bilinear", align_corners=False)[0, 0]
    return None if float(channel.max()) == float(channel.min()) else scaled(up)


def averaged(module: nn.Module, trace: Trace, pictures: Callable[[Tensor, Tensor], list[Tensor]]) -> Tensor:
    """Mean logits [B, K, C] and mean probabilities, over the pictures that a mask makes; stacked, [2, B, K, C]."""
    sums = torch.zeros(2, *trace.live.shape, 5, dtype=torch.float64)
    with torch.no_grad():
        for b, x in enumerate(trace.inputs):
            for k, channel in enumerate(trace.activations[b]):
                mask = mask_of(channel, tuple(x.shape[-2:]))
                if mask is None:
                    continue
                shown = pictures(x, mask)
                for picture in shown:
                    y = module(picture[None])[0]
                    sums[0, b, k] += y / len(shown)
                    sums[1, b, k] += y.softmax(dim=0) / len(shown)
    return sums


def compared(name: str, module: nn.Module, pictures: Callable, **options: object) -> None:
    trace = traced(module)
    logits, probabilities = averaged(module, trace, pictures)
    alive = probabilities.sum(dim=2) > 0
    softmax, plain = (found(name, trace, weighting=w, **options) for w in ("softmax", "probability"))
    for b, c in enumerate(TARGETS):
        expected = torch.zeros(6, dtype=torch.float64)
        expected[alive[b]] = logits[b, alive[b], c].exp() / logits[b, alive[b], c].exp().sum()
        assert helpers.relative(softmax[b], expected) < EXACT
        assert helpers.relative(plain[b], probabilities[b, :, c]) < EXACT


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
    def pictures(x: Tensor, mask: Tensor) -> list[Tensor]:
        shown, factor = [], 0.0
        for i in range(1, 5):
            factor = factor + i / 4 if path == "cumulative" else i / 4
            shown.append(x * (factor * mask))
        return shown

    compared("is-cam", build(), pictures, steps=4, path=path)


@pytest.mark.parametrize("build", [killed, HEADS["mlp"]])
@pytest.mark.parametrize("noise", ["mask", "picture"])
def test_ss_cam_against_a_loop_over_channels_and_draws(build, noise):
    shape = (32, 32) if noise == "mask" else (3, 32, 32)
    draws = [torch.randn(shape, generator=torch.Generator().manual_seed(5 * 3 + n)).double() for n in range(3)]

    def pictures(x: Tensor, mask: Tensor) -> list[Tensor]:
        return [x * (mask + 0.5 * d) if noise == "mask" else x * mask + 0.5 * d for d in draws]

    compared("ss-cam", build(), pictures, samples=3, sigma=0.5, noise=noise, seed=5)


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
