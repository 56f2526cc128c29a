"""Flat maps are zeros with a flag and a reason; good maps warn of nothing; NaN is reported."""

import helpers
import pytest
import torch
from helpers import PICTURE, WEIGHTS, brightness, corner, gap
from torch import Tensor

import camlib
from camlib import DegenerateMapWarning, Trace


def test_zero_gradient_gives_zeros_a_flag_and_the_reason():
    module = helpers.seeded(helpers.Gap)
    with torch.no_grad():
        module.fc.weight[2].zero_()
    with pytest.warns(DegenerateMapWarning, match=r"'tiger cat' at 'features' of Gap: all-zero heatmap, because every"):
        e = camlib.explain(helpers.network(module), PICTURE, "grad-cam", 2)
    assert e.degenerate
    assert "no gradient of this class reaches the layer" in e.reason
    assert not e.heatmap.any()
    assert e.heatmap.shape == (32, 32)


@pytest.mark.parametrize("method", ["score-cam-cic", "ablation-cam", "feature-map"])
def test_a_method_without_gradients_does_not_blame_them(method):
    module = helpers.seeded(helpers.Gap)
    with torch.no_grad():
        module.fc.weight.zero_()
    e = camlib.explain(helpers.network(module), PICTURE, method, 2)
    if method == "feature-map":
        assert not e.degenerate
    else:
        assert e.reason.endswith("no change of the picture, or of its maps, changed the score of this class")


@pytest.mark.parametrize("ask", [camlib.explain, lambda *a: camlib.compare(a[0], a[1], a[2], [a[3]])])
def test_the_warning_points_at_the_line_that_asked(ask):
    with pytest.warns(DegenerateMapWarning) as caught:
        ask(brightness(), corner(8, 8), "grad-cam", 1)
    assert [warning.filename for warning in caught] == [__file__]


def test_a_class_the_layer_speaks_against():
    with pytest.warns(DegenerateMapWarning, match=r"nowhere positive \(largest value 0\).*relu=False"):
        e = camlib.explain(brightness(), corner(8, 8), "grad-cam", 1)
    assert (e.degenerate, bool(e.heatmap.any())) == (True, False)
    signed = camlib.explain(brightness(), corner(8, 8), "grad-cam", 1, relu=False)
    assert not signed.degenerate
    assert float(signed.raw.min()) < 0 == float(signed.raw.max())


@pytest.mark.parametrize("method", WEIGHTS)
def test_dead_feature_maps_are_zeros_and_never_nan(method):
    """All feature maps are zero behind the ReLU: XGrad-CAM divides by their sum, Grad-CAM++ by functions of it."""
    net = brightness()
    with torch.no_grad():
        net.module[0].bias.fill_(-5)
    with pytest.warns(DegenerateMapWarning, match=f"{method.replace('+', '.')} on picture 0"):
        e = camlib.explain(net, corner(8, 8), method, 0)
    assert e.degenerate
    assert e.reason
    assert not e.heatmap.any()
    assert not e.heatmap.isnan().any()


def test_a_constant_picture_through_a_network_without_padding_is_flat():
    with pytest.warns(DegenerateMapWarning, match="the map is constant"):
        e = camlib.explain(brightness(), torch.full((1, 3, 96, 160), 0.7), "grad-cam", 0)
    assert (e.degenerate, bool(e.heatmap.any())) == (True, False)


def test_only_the_flat_one_of_several_maps_is_flagged():
    batch = torch.cat([corner(8, 8), torch.full((1, 3, 96, 160), 0.7)])
    with pytest.warns(DegenerateMapWarning, match="on picture 1") as caught:
        rows = camlib.compare(brightness(), batch, ["grad-cam", "layer-cam"], [0])
    assert [e.degenerate for e in rows] == [False, False, True, True]
    assert [e.reason is None for e in rows] == [True, True, False, False]
    assert len(caught) == 2


def test_good_maps_warn_of_nothing(recwarn):
    camlib.compare(gap(), PICTURE, helpers.POST_HOC, [1], options=helpers.short(helpers.POST_HOC))
    assert not recwarn.list


def test_a_method_that_makes_nan_is_reported():
    """A new method that divides by zero is an error, not a blank picture."""

    @camlib.method("nan-cam", family="test", source="none", passes="none")
    def nan_cam(trace: Trace, target: Tensor) -> Tensor:
        """Zero divided by zero, [B, K]."""
        return trace.activations.mean(dim=(2, 3)) * 0 / 0

    try:
        with pytest.raises(ValueError, match="nan-cam made NaN or Inf at 'features' of Gap"):
            camlib.explain(gap(), PICTURE, "nan-cam", 1)
    finally:
        camlib.registry._methods.pop("nan-cam")
