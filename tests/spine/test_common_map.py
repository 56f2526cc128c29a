"""H − β ΣM for every method: against subtraction by hand, orthogonality, invariance, and what it says of itself."""

import helpers
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import camlib
from camlib import METHODS, DegenerateMapWarning, Network, Trace, framework
from camlib import registry as registry_module
from camlib.engine.scoring import Scorer

SUMS = [name for name in helpers.POST_HOC if METHODS[name].makes == "weights"]
MAPS = [name for name in helpers.POST_HOC if METHODS[name].makes != "pixels"]
PIXELS = [name for name in helpers.POST_HOC if METHODS[name].makes == "pixels"]
TARGET = 1


def net() -> Network:
    return helpers.network(helpers.seeded(helpers.Trainable))


def explain(network: Network, method: str, **settings: object) -> camlib.Explanation:
    settings = {"target": TARGET, "relu": False} | helpers.short([method])[method] | settings
    return camlib.explain(network, helpers.picture(0), method, **settings)


def maps_of(network: Network) -> Tensor:
    return Trace.of(network, helpers.picture(0)).activations[0]


def expand(weights: Tensor) -> Tensor:
    return weights if weights.dim() == 3 else weights[:, None, None]


# -- every method


@pytest.mark.parametrize("method", MAPS)
def test_keep_is_the_default_and_changes_no_bit(method):
    kept, default = explain(net(), method, common="keep"), explain(net(), method)
    assert torch.equal(kept.raw, default.raw)
    assert torch.equal(kept.heatmap, default.heatmap)
    assert not any(key.startswith("common") for key in kept.details)
    if kept.weights is not None:  # the published sentence, computed here
        by_hand = (expand(kept.weights.double()) * maps_of(net())).sum(dim=0)
        assert helpers.relative(kept.raw, by_hand) < 1e-5


@pytest.mark.filterwarnings("ignore::camlib.DegenerateMapWarning")
@pytest.mark.parametrize("method", SUMS)
def test_centering_subtracts_the_mean_weight_of_the_live_channels(method):
    network = net()
    maps, published = maps_of(network), explain(network, method).weights.double()
    alive = [k for k in range(len(maps)) if float(maps[k].max()) > float(maps[k].min())]
    mean = published[alive].mean(dim=0)
    e = explain(network, method, common="center")
    if method == "feature-map":
        assert e.degenerate
        assert not e.raw.any()
        return
    assert helpers.relative(e.raw, (expand(published - mean) * maps).sum(dim=0)) < 1e-4
    torch.testing.assert_close(torch.as_tensor(e.details["common_beta"]).double(), mean, rtol=1e-4, atol=1e-9)
    assert helpers.relative(e.weights, published - mean) < 1e-4
    total = maps.sum(dim=0)
    beta = e.details["common_beta"]
    assert helpers.relative(e.raw, explain(network, method).raw.double() - beta * total) < 1e-4


@pytest.mark.filterwarnings("ignore::camlib.DegenerateMapWarning")
@pytest.mark.parametrize("method", MAPS)
def test_projecting_leaves_nothing_along_the_common_map(method):
    network = net()
    total, published = maps_of(network).sum(dim=0), explain(network, method).raw.double()
    e = explain(network, method, common="project")
    if method == "feature-map":
        assert e.degenerate
        return
    rest = e.raw.double()
    assert abs(float((rest * total).sum())) < 1e-4 * float(rest.norm() * total.norm())
    assert helpers.relative(published, rest + e.details["common_beta"] * total) < 1e-5
    cosine = float((published * total).sum() / published.norm() / total.norm())
    assert e.details["common_share"] == pytest.approx(abs(cosine), abs=1e-5)
    assert e.details["common"] == "project"


@pytest.mark.filterwarnings("ignore::camlib.DegenerateMapWarning")
@pytest.mark.parametrize("method", SUMS)
def test_the_relu_comes_after_the_subtraction_and_follows_the_method(method):
    for common in ("center", "project"):
        signed, default, rectified = (explain(net(), method, common=common, relu=relu) for relu in (False, None, True))
        assert torch.equal(rectified.raw, signed.raw.relu())
        assert torch.equal(default.raw, rectified.raw if METHODS[method].relu else signed.raw)


@pytest.mark.parametrize("method", PIXELS)
def test_a_pixel_method_has_no_common_map(method):
    for common in ("center", "project"):
        with pytest.raises(ValueError, match=f"{method} makes a saliency of pixels"):
            explain(net(), method, common=common)
    assert explain(net(), method, common="keep").raw.any()


@pytest.mark.parametrize("method", [name for name in MAPS if METHODS[name].makes == "map"])
def test_a_finished_map_has_no_weights_to_center(method):
    with pytest.raises(ValueError, match=f"{method} makes a finished map without weights to center"):
        explain(net(), method, common="center")


def test_an_unknown_choice_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"common='mean': expected one of \('keep', 'center', 'project'\)"):
        explain(net(), "grad-cam", common="mean")
    with pytest.raises(ValueError, match="common='mean': expected one of"):
        camlib.compare(net(), helpers.picture(0), ["grad-cam"], options={"grad-cam": {"common": "mean"}})


# -- compare, batches, types


def test_a_batch_gives_what_single_pictures_give():
    photos = [helpers.picture(seed) for seed in range(3)]
    names = ["grad-cam", "hires-cam", "score-cam", "recipro-cam"]
    together = camlib.compare(net(), photos, names, [0, 3], common="project", batch_size=2)
    assert len(together) == 3 * 4 * 2
    for e in together:
        alone = camlib.explain(net(), photos[e.picture], e.method, e.target, common="project")
        torch.testing.assert_close(e.raw, alone.raw, rtol=1e-4, atol=1e-6 * float(alone.raw.abs().max()))
        assert e.details["common_beta"] == pytest.approx(alone.details["common_beta"], rel=1e-4)


def test_versions_of_one_method_share_their_passes(monkeypatch):
    network, photo = net(), helpers.picture(0)
    pairs = [("score-cam", {"common": common}) for common in framework.COMMON]
    masked, run = [], Scorer.logits
    monkeypatch.setattr(Scorer, "logits", lambda self, count, *rest: masked.append(count) or run(self, count, *rest))
    together = camlib.compare(network, photo, pairs, [TARGET, 3])
    assert masked == [6]  # one picture a channel, for three versions and two classes
    for e, common in zip(together[::2], framework.COMMON, strict=True):
        assert torch.equal(e.raw, camlib.explain(network, photo, "score-cam", TARGET, common=common).raw)


def test_options_of_a_method_go_before_the_call():
    photo = helpers.picture(0)
    made = camlib.compare(
        net(), photo, ["grad-cam", "layer-cam"], [TARGET], common="project", options={"grad-cam": {"common": "keep"}}
    )
    assert "common" not in made[0].details
    assert made[1].details["common"] == "project"
    assert torch.equal(made[0].raw, camlib.explain(net(), photo, "grad-cam", TARGET).raw)


@pytest.mark.parametrize("wrong", [("grad-cam",), ("grad-cam", "project"), ("grad-cam", {}, {})])
def test_a_method_is_a_name_or_a_name_with_options(wrong):
    with pytest.raises(TypeError, match="a name, or a pair of a name and its options"):
        camlib.compare(net(), helpers.picture(0), [wrong])
    with pytest.raises(ValueError, match="grad-cam has no option 'theta'"):
        camlib.compare(net(), helpers.picture(0), [("grad-cam", {"theta": 1})])


def test_no_method_may_take_the_name_of_the_option(monkeypatch):
    monkeypatch.setattr(registry_module, "_methods", dict(registry_module._methods))
    with pytest.raises(TypeError, match="the option 'common' belongs to every method"):

        @camlib.method("other-cam", family="test", source="test", passes="none")
        def other(trace, target, *, common="mine"):
            return None


@pytest.mark.parametrize("common", ["center", "project"])
def test_half_precision_and_channels_that_are_dead(common):
    module = helpers.seeded(helpers.Gap, dtype=torch.float32)
    with torch.no_grad():
        module.features[2].weight[2] = 0
        module.features[2].bias[2] = -1  # dead: it does not count for the mean
    network = helpers.network(module)
    single = explain(network, "score-cam", common=common)
    published = explain(network, "score-cam").weights
    assert published[2] == 0
    if common == "center":
        alive = [0, 1, 3, 4, 5]
        alive = [k for k in alive if float(maps_of(network)[k].max()) > 0]
        assert single.details["common_beta"] == pytest.approx(float(published[alive].mean()), rel=1e-5)
    half = explain(helpers.network(module.to(torch.bfloat16)), "grad-cam", common=common)
    assert half.raw.dtype == torch.float32
    assert bool(half.raw.isfinite().all())


# -- the function itself, on any numbers


def drawn(seed: int, k: int = 5, size: int = 4, pixels: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """(weights, M, live) in float64: rectified maps, one of them constant."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(2, k, size, size, generator=generator, dtype=torch.float64).relu()
    maps[:, 0] = 0.3
    weights = torch.randn(2, k, *((size, size) if pixels else ()), generator=generator, dtype=torch.float64)
    live = torch.ones(2, k, dtype=torch.bool)
    live[:, 0] = False
    return weights, maps, live


def removed(weights: Tensor, maps: Tensor, live: Tensor, common: str) -> framework.WithoutCommon:
    return framework.without_common_map(framework.class_activation_map(weights, maps), weights, maps, live, common)


numbers = st.floats(-1e3, 1e3).filter(lambda x: x == 0 or abs(x) > 1e-3)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000), pixels=st.booleans(), constant=numbers, common=st.sampled_from(["center", "project"])
)
def test_a_constant_added_to_all_weights_changes_nothing(seed, pixels, constant, common):
    weights, maps, live = drawn(seed, pixels=pixels)
    a, b = removed(weights, maps, live, common), removed(weights + constant, maps, live, common)
    tolerance = 1e-10 * (1 + abs(constant))
    torch.testing.assert_close(a.maps, b.maps, rtol=0, atol=tolerance)
    torch.testing.assert_close(a.beta + constant, b.beta, rtol=0, atol=tolerance)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-6, 1e6), common=st.sampled_from(["center", "project"]))
def test_it_is_linear_and_a_second_removal_does_nothing(seed, scale, common):
    weights, maps, live = drawn(seed)
    other, _, _ = drawn(seed + 1)
    a, b, both = (removed(w, maps, live, common).maps for w in (weights, other, scale * weights + other))
    torch.testing.assert_close(both, scale * a + b, rtol=1e-9, atol=1e-9 * (1 + scale))
    left = removed(weights, maps, live, common)
    again = removed(left.weights, maps, live, common)
    torch.testing.assert_close(again.maps, left.maps, rtol=1e-9, atol=1e-9)
    assert float(again.beta.abs().max()) < 1e-9


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), pixels=st.booleans(), step=st.floats(-2, 2).filter(lambda x: abs(x) > 1e-3))
def test_the_projected_multiple_is_the_nearest_one(seed, pixels, step):
    """β of "project" is the least-squares fit: any other multiple of ΣM leaves a larger rest."""
    weights, maps, live = drawn(seed, pixels=pixels)
    left = removed(weights, maps, live, "project")
    total = maps.sum(dim=1)
    moved = left.maps + step * total
    assert bool((moved.norm(dim=(1, 2)) > left.maps.norm(dim=(1, 2))).all())


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    constant=st.floats(1e-6, 1e6),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    pixels=st.booleans(),
    common=st.sampled_from(["center", "project"]),
)
def test_equal_weights_leave_zeros_and_not_their_rounding(seed, constant, dtype, pixels, common):
    weights, maps, live = drawn(seed, k=200, pixels=pixels)
    maps, equal = maps.to(dtype), torch.full_like(weights, constant).to(dtype)
    left = removed(equal, maps, live, common)
    assert left.degenerate.tolist() == [True, True]
    assert not left.maps.any()
    assert left.share.tolist() == pytest.approx([1, 1], abs=1e-4)
    nearly = equal * (1 + 1e-3 * torch.randn_like(equal))
    assert removed(nearly, maps, live, common).degenerate.tolist() == [False, False]


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), factor=numbers)
def test_a_finished_map_loses_its_multiple_of_the_sum(seed, factor):
    assume(abs(factor) > 1e-2)
    _, maps, live = drawn(seed)
    total = maps.sum(dim=1)
    generator = torch.Generator().manual_seed(seed + 7)
    own = torch.randn(total.shape, generator=generator, dtype=torch.float64)
    own = own - (own * total).sum(dim=(1, 2), keepdim=True) / (total**2).sum(dim=(1, 2), keepdim=True) * total
    left = framework.without_common_map(own + factor * total, None, maps, live, "project")
    torch.testing.assert_close(left.maps, own, rtol=1e-9, atol=1e-9 * (1 + abs(factor)))
    torch.testing.assert_close(left.beta, torch.full((2,), factor, dtype=torch.float64), rtol=1e-9, atol=1e-9)
    assert left.weights is None
    only = framework.without_common_map(factor * total, None, maps, live, "project")
    assert only.degenerate.all()
    with pytest.raises(ValueError, match="no weights to center"):
        framework.without_common_map(own, None, maps, live, "center")


def test_by_hand_on_two_maps_of_two_by_two():
    """M = [[1,2],[3,4]] and [[0,1],[1,0]], w = (3, 1): H = [[3,7],[10,12]], ΣM = [[1,3],[4,4]]."""
    maps = torch.tensor([[[[1.0, 2], [3, 4]], [[0, 1], [1, 0]]]], dtype=torch.float64)
    weights, live = torch.tensor([[3.0, 1]], dtype=torch.float64), torch.ones(1, 2, dtype=torch.bool)
    centered, projected = (removed(weights, maps, live, common) for common in ("center", "project"))
    assert centered.beta.tolist() == [2]
    assert centered.maps.tolist() == [[[1, 1], [2, 4]]]
    beta = (3 + 21 + 40 + 48) / (1 + 9 + 16 + 16)
    assert projected.beta.tolist() == pytest.approx([beta])
    assert projected.maps[0].flatten().tolist() == pytest.approx([3 - beta, 7 - 3 * beta, 10 - 4 * beta, 12 - 4 * beta])
    assert projected.share.tolist() == pytest.approx([112 / (302 * 42) ** 0.5])
    assert centered.share.tolist() == projected.share.tolist()


def test_nothing_to_remove_is_no_degeneracy_that_is_blamed_on_the_common_map():
    zeros = torch.zeros(1, 2, 3, 3, dtype=torch.float64)
    left = removed(torch.zeros(1, 2, dtype=torch.float64), zeros, torch.zeros(1, 2, dtype=torch.bool), "center")
    assert (left.beta.tolist(), left.share.tolist()) == ([0], [0])


class Even(nn.Module):
    """Both classes read the sum of all channels, class 1 twice: every weight is the common map's."""

    def __init__(self) -> None:
        super().__init__()
        self.features = helpers.features()

    def forward(self, x: Tensor) -> Tensor:
        total = self.features(x).mean(dim=(2, 3)).sum(dim=1)
        return torch.stack([total, 2 * total], dim=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("common", ["center", "project"])
@pytest.mark.parametrize("method", ["grad-cam", "hires-cam", "feature-map"])
def test_a_map_that_is_the_common_one_comes_back_as_zeros_with_the_reason(dtype, common, method):
    network = helpers.network(helpers.seeded(Even, dtype=dtype), class_names=["once", "twice"])
    with pytest.warns(DegenerateMapWarning, match="without the common map ΣM nothing is left"):
        e = camlib.explain(network, helpers.picture(0), method, "twice", common=common)
    assert e.degenerate
    assert not e.raw.any()
    assert not e.heatmap.any()
    assert e.details["common_share"] == pytest.approx(1, abs=1e-5)
    assert not camlib.explain(network, helpers.picture(0), method, "twice").degenerate
