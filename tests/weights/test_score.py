"""Score-CAM, its variants and Guided Score-CAM against loops transcribed from the papers and numbers by hand."""

from __future__ import annotations

import math

import helpers
import pytest
import torch
import torch.nn.functional as F
from score_cases import (
    DEAD,
    EXACT,
    SINGLE,
    TARGETS,
    assert_heatmap,
    case,
    every_case,
    every_living_case,
    explained,
    gap,
    made,
    per_picture,
    pictures,
)
from torch import Tensor, nn

from camlib import METHODS, Network, Trace
from camlib.compendium.loops.plain import SIZE, live, n01, up
from camlib.compendium.loops.score import SCORES, guided_score_cam_loop, score_cam_loop

# -- Score-CAM (METHODS 1.10)


@every_living_case
def test_score_cam_in_ten_lines(name):
    """Wang et al. 2019, eq. 1-5: mask with each feature map, take the probability, sum the maps."""
    chosen, x = case(name), pictures()
    found = made("score-cam", chosen, x)
    for b, c in enumerate(TARGETS):
        with torch.no_grad():
            cam = torch.zeros(8, 8).double()
            for k, a in enumerate(chosen.maps(x[b])):
                u = F.interpolate(a[None, None], size=(32, 32), mode="bilinear", align_corners=False)[0]
                mask = (u - u.min()) / (u.max() - u.min())
                weight = torch.softmax(chosen.module((x[b] * mask)[None]), dim=1)[0, c]
                assert float(found[b, k]) == pytest.approx(float(weight), rel=EXACT)
                cam += weight * a
        e = explained("score-cam", chosen, x[b : b + 1], c)
        assert helpers.relative(e.raw, cam.relu()) < 1e-5
        assert_heatmap(e, cam.relu())


OPTIONS = [
    {},
    {"align_corners": True},
    {"order": "normalize-first"},
    {"filler": "black"},
    {"filler": "white", "order": "normalize-first", "align_corners": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())) or "default")
@pytest.mark.parametrize("method", SCORES)
@every_case
def test_score_cam_and_its_variants_equal_a_loop(name, method, options):
    if method == "score-cam-binary":  # order changes what "U > 0" means, and is not offered
        options = {key: value for key, value in options.items() if key != "order"}
    chosen, x = case(name), pictures()
    expected = per_picture(score_cam_loop, chosen, x, method=method, **options)
    assert helpers.relative(made(method, chosen, x, **options), expected) < (SINGLE if "filler" in options else EXACT)


@pytest.mark.parametrize("masks", ["unshifted", "binary"])
@every_case
def test_score_cam_with_other_masks(name, masks):
    """Eq. 1 of 2019 as printed forgets the minimum in the numerator; the same where that is 0 (METHODS 1.10)."""
    chosen, x = case(name), pictures()
    expected = per_picture(score_cam_loop, chosen, x, masks=masks)
    found = made("score-cam", chosen, x, masks=masks)
    assert helpers.relative(found, expected) < EXACT
    if masks == "binary":
        assert torch.equal(found, made("score-cam-binary", chosen, x))
    elif name == "signed":
        assert helpers.relative(found, made("score-cam", chosen, x)) > 1e-2


@every_case
def test_score_cam_softmax_of_probabilities_is_the_sum_below_eq_8(name):
    """Wang et al. 2019, sec. 5.5.3: Σ_k Softmax(f(A^k·I, ...)) × A^k with f a probability."""
    chosen, x = case(name), pictures()
    found = made("score-cam-softmax", chosen, x, score="probability")
    for b, c in enumerate(TARGETS):
        with torch.no_grad():
            f = score_cam_loop(chosen, x[b], c)
            lit = torch.tensor([live(a) for a in chosen.maps(x[b])])
            printed = torch.where(lit, f.exp(), 0.0) / f[lit].exp().sum()
        assert helpers.relative(found[b], printed) < EXACT
        assert float(found[b][lit].max() / found[b][lit].min()) < math.e
    assert helpers.relative(found, made("score-cam-softmax", chosen, x)) > 1e-2


def test_the_options_of_score_cam_make_a_difference():
    chosen, x = case("mlp-max"), pictures(1)
    plain = made("score-cam", chosen, x, TARGETS[:1])
    for options in OPTIONS[1:]:
        assert helpers.relative(made("score-cam", chosen, x, TARGETS[:1], **options), plain) > 1e-4, options


@pytest.mark.parametrize("method", SCORES)
def test_dead_channels_have_weight_zero_and_stay_out_of_the_softmax(method):
    """METHODS 0.6; the constant channel has a probability of its own, which is not asked."""
    found = made(method, case("dead"), pictures())
    for k in range(6):
        assert bool((found[:, k] == 0).all()) == (k in DEAD)
    if method == "score-cam-softmax":
        torch.testing.assert_close(found.sum(dim=1), torch.ones(2).double())


def test_the_baseline_matters_for_cic_alone():
    """CIC = S1 minus one number a picture; a softmax does not see that number (METHODS 1.10)."""
    chosen, x = case("gap"), pictures()
    s1, cic = made("score-cam", chosen, x), made("score-cam-cic", chosen, x)
    with torch.no_grad():
        empty = torch.stack([chosen.p(torch.zeros(3, *SIZE).double(), c) for c in TARGETS])
    torch.testing.assert_close(s1 - cic, empty[:, None].expand_as(s1))
    raw, softmax = made("score-cam-raw", chosen, x), made("score-cam-softmax", chosen, x)
    torch.testing.assert_close(softmax, (raw - 1.25).softmax(dim=1))


@pytest.mark.parametrize("filler", ["blur", "noise"])
@every_case
def test_what_the_mask_hides_can_be_blurred_or_noise(name, filler):
    """Blur: sigma 10 pixels, mirrored border; noise: one draw of standard normal values for all channels."""
    chosen, x = case(name), pictures()
    expected = per_picture(score_cam_loop, chosen, x, filler=filler)
    assert helpers.relative(made("score-cam", chosen, x, filler=filler), expected) < SINGLE


def test_bfloat16_gives_nearly_the_same_weights():
    module = helpers.seeded(helpers.Gap, dtype=torch.float32)
    chosen, x = gap(module), pictures().float()
    with pytest.warns(UserWarning, match="bfloat16 scores, measured on 6 masks"):
        half = made("score-cam", chosen, x, precision="bfloat16")
    full = made("score-cam", chosen, x)
    assert 0 < helpers.relative(half, full) < 0.05
    assert half.dtype == full.dtype == torch.float32
    assert next(module.parameters()).dtype == torch.float32


def test_a_trace_keeps_the_logits_of_masked_pictures_for_all_classes():
    """What notebooks read: [B, K, C] of the pictures behind each living channel, zeros for the others."""
    chosen, x = case("dead"), pictures()
    trace = chosen.trace(x)
    found = trace.masked_logits()
    assert trace.live.tolist() == [[k not in DEAD for k in range(6)]] * 2
    with torch.no_grad():
        for b, picture in enumerate(x):
            for k, a in enumerate(chosen.maps(picture)):
                expected = chosen.module((picture * n01(up(a)))[None])[0] if live(a) else torch.zeros(5).double()
                torch.testing.assert_close(found[b, k], expected)
    assert trace.masked_logits() is found


def test_a_trace_keeps_the_logits_of_ablated_channels_for_all_classes():
    chosen, x = case("mlp-max"), pictures()
    trace = chosen.trace(x)
    found = trace.ablated_logits()
    with torch.no_grad():
        for b, picture in enumerate(x):
            for k in range(6):
                maps = chosen.maps(picture).clone()
                maps[k] = 0
                torch.testing.assert_close(found[b, k], chosen.head(maps[None])[0])
    assert trace.ablated_logits() is found


# -- numbers by hand: two maps of two by two


M = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64)


class Pencil(nn.Module):
    """The picture is the feature maps; y_0 = 2·mean(M_0) - mean(M_1), y_1 = 0, hence p_0 = sigmoid(y_0)."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Identity()
        self.fc = nn.Linear(2, 2).double()
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([[2.0, -1.0], [0.0, 0.0]]))
            self.fc.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.maps(x).mean(dim=(2, 3)))


def _sigmoid(y: float) -> float:
    return 1 / (1 + math.exp(-y))


# Masks ((0, 1/3), (2/3, 1)) and M_1 leave the means (5/3, 1/4) and (5/4, 1/2): logits 37/12 and 2. The whole
# picture has the means (5/2, 1/2) and the logit 9/2; M_0 alone 5, M_1 alone -1/2.
PENCIL = {
    "score-cam": [_sigmoid(37 / 12), _sigmoid(2)],
    "score-cam-cic": [_sigmoid(37 / 12) - 0.5, _sigmoid(2) - 0.5],
    "score-cam-softmax": [_sigmoid(13 / 12), 1 - _sigmoid(13 / 12)],
    "score-cam-raw": [37 / 12, 2],
    "score-cam-binary": [_sigmoid(9 / 2), _sigmoid(2)],
    "ablation-cam": [10 / 9, -1 / 9],
    "fd-cam": [math.e - 0.5, -0.5],  # s = (5 + 5, -1/2 - 1/2), scaled (1, 0); mean gradients scaled (1, 0)
}


@pytest.mark.parametrize("method", PENCIL)
def test_weights_by_hand(method):
    found = METHODS[method].function(Trace(Network(Pencil()), M[None], "maps"), torch.tensor([0]))
    assert found[0].tolist() == pytest.approx(PENCIL[method], rel=1e-12)


def test_recipro_cam_by_hand():
    trace = Trace(Network(Pencil()), M[None], "maps")
    logits = METHODS["recipro-cam"].function(trace, torch.tensor([0]), score="logit")
    assert logits[0].tolist() == [[0.5, 0.75], [1.25, 2.0]]  # (2·M_0 - M_1)/4
    found = METHODS["recipro-cam"].function(trace, torch.tensor([0]))
    assert found.flatten().tolist() == pytest.approx([_sigmoid(y) for y in (0.5, 0.75, 1.25, 2.0)], rel=1e-12)


# -- Guided Score-CAM (METHODS 1.11)


@pytest.mark.parametrize(("clip", "signal"), [(None, None), (0.9, "guided-backprop"), (1.0, "deconvnet")])
@pytest.mark.parametrize("name", ["gap", "mlp-max"])
def test_guided_score_cam_is_heatmap_times_guided_backprop(name, clip, signal):
    """Wang et al. 2019, eq. 6; in gray: the sum over RGB of |.|, cut at a quantile (0.99 unless told)."""
    chosen, x = case(name), pictures()
    options = {key: value for key, value in (("clip", clip), ("signal", signal)) if value is not None}
    expected = per_picture(guided_score_cam_loop, chosen, x, **options)
    assert helpers.relative(made("guided-score-cam", chosen, x, **options), expected) < 1e-5
