"""LFI-CAM: the network against its formulas written as loops, the method at the front door, what it refuses."""

import helpers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import camlib
from camlib import METHODS, Network, Trace
from camlib.zoo import lfi
from camlib.zoo.lfi import AttentionBranch, FeatureImportanceNetwork, GapNetwork, LFINetwork

SINGLE = torch.float32


def build(relus: int = 2, last: nn.Module | None = None) -> LFINetwork:
    """A branch on 6 maps of 8 x 8, with batch statistics that are not those of a fresh network."""
    module = LFINetwork(helpers.features(), 6, len(helpers.CLASSES), last, relus)
    for norm in [child for child in module.modules() if isinstance(child, nn.BatchNorm2d)]:
        nn.init.uniform_(norm.running_mean, -0.2, 0.2)
        nn.init.uniform_(norm.running_var, 0.5, 1.5)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
    return module


def network(dtype: torch.dtype = SINGLE, **settings: object) -> Network:
    return helpers.network(helpers.seeded(build, dtype=dtype), **settings)


def explain(net: Network, method: str = "lfi-cam", photo: object = None, **settings: object) -> camlib.Explanation:
    return camlib.explain(net, helpers.picture(0) if photo is None else photo, method, **settings)


# -- the formulas


def literal_masks(x: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """M_k = s(F_k)·g position by position; from 32 to 8 bilinear sampling is the mean of the 2 x 2 middle pixels."""
    masks = np.zeros_like(maps)
    for b, k, i, j in np.ndindex(*maps.shape):
        channel = maps[b, k]
        low, high = channel.min(), channel.max()
        scaled = 1.0 if low == high else (channel[i, j] - low) / (high - low)
        if channel[i, j] == 0:
            scaled = 0.0
        masks[b, k, i, j] = scaled * x[b, :, 4 * i + 1 : 4 * i + 3, 4 * j + 1 : 4 * j + 3].mean()
    return masks


def literal_importance(module: LFINetwork, masks: np.ndarray, relus: int) -> np.ndarray:
    """softmax over channels of the pooled output of conv-BN, conv-BN-ReLU, conv-BN, conv-BN-ReLU."""
    state = {key: value.numpy() for key, value in module.attention.importance.state_dict().items()}
    convolutions = sorted({int(key.partition(".")[0]) for key, value in state.items() if value.ndim == 4})
    values = masks
    for number, at in enumerate(convolutions, start=1):
        values = F.conv2d(torch.from_numpy(values), torch.from_numpy(state[f"{at}.weight"]), padding=1).numpy()
        norm = {
            part: state[f"{at + 1}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        }
        values = (values - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5) * norm["weight"] + norm["bias"]
        if relus == 4 or number in (2, 4):
            values = np.maximum(values, 0)
    exponential = np.exp(values.mean(axis=(2, 3)))
    return exponential / exponential.sum(axis=1, keepdims=True)


def literal_logits(module: LFINetwork, x: np.ndarray, maps: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """a = min-max of relu(Σ w F), then (1 + a)·F -> GAP -> linear."""
    raw = np.zeros((len(x), *maps.shape[2:]))
    for k in range(maps.shape[1]):
        raw += weights[:, k, None, None] * maps[:, k]
    raw = np.maximum(raw, 0)
    scaled = np.stack([(one - one.min()) / (one.max() - one.min()) for one in raw])
    pooled = ((1 + scaled[:, None]) * maps).mean(axis=(2, 3))
    return raw, scaled, pooled @ module.classifier.weight.detach().numpy().T + module.classifier.bias.detach().numpy()


@pytest.mark.parametrize("relus", lfi.RELUS)
def test_network_and_method_are_the_formulas_written_as_loops(relus):
    module, x = helpers.seeded(lambda: build(relus)), helpers.batch(3)
    with torch.no_grad():
        maps, logits = module.features(x).numpy(), module(x).numpy()
        found = module.attention(x, torch.from_numpy(maps))
    masks = literal_masks(x.numpy(), maps)
    weights = literal_importance(module, masks, relus)
    raw, scaled, expected = literal_logits(module, x.numpy(), maps, weights)
    for ours, by_hand in zip((*found, logits), (masks, weights, raw, scaled, expected), strict=True):
        np.testing.assert_allclose(ours, by_hand, rtol=1e-9, atol=1e-12)
    for b, e in enumerate(camlib.compare(helpers.network(module), x, ["lfi-cam"])):
        np.testing.assert_allclose(e.weights, weights[b], rtol=1e-5)
        np.testing.assert_allclose(e.raw, raw[b], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("channels", "parameters"), [(64, 147_968), (256, 2_361_344), (512, 9_441_280), (2048, 151_011_328)]
)
@pytest.mark.parametrize("relus", lfi.RELUS)
def test_the_branch_has_the_parameters_of_the_paper(channels, parameters, relus):
    with torch.device("meta"):
        branch = AttentionBranch(channels, relus)
    assert sum(p.numel() for p in branch.parameters()) == parameters == 4 * (9 * channels**2 + 2 * channels)
    assert sum(isinstance(child, nn.ReLU) for child in branch.importance) == relus


def test_another_number_of_relus_is_refused():
    with pytest.raises(ValueError, match=r"relus=3: expected one of \(2, 4\)"):
        FeatureImportanceNetwork(4, 3)


def test_dead_and_constant_channels_make_masks_of_zeros_and_ones():
    maps = torch.zeros(1, 4, 2, 2)
    maps[0, 1] = 3.0
    maps[0, 2] = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    maps[0, 3] = torch.tensor([[-1.0, 0.0], [1.0, 3.0]])  # a zero between other values is 0 as well
    expected = torch.tensor([[[0, 0], [0, 0]], [[1, 1], [1, 1]], [[0, 0.25], [0.5, 1]], [[0, 0], [0.5, 1]]])
    assert torch.equal(lfi.channel_scaling(maps)[0], expected)


def test_a_constant_map_keeps_its_value():
    maps = torch.stack([torch.full((2, 2), 0.7), torch.zeros(2, 2), torch.tensor([[1.0, 2.0], [3.0, 5.0]])])
    expected = torch.stack([torch.full((2, 2), 0.7), torch.zeros(2, 2), torch.tensor([[0, 0.25], [0.5, 1]])])
    assert torch.equal(lfi.map_scaling(maps), expected)


@given(st.integers(0, 10_000), st.integers(1, 5), st.booleans())
def test_weights_are_a_distribution_and_nothing_is_lost_on_any_maps(seed, channels, relu):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(2, channels, 4, 3, generator=generator) * 10 ** float(
        torch.randint(-6, 6, (1,), generator=generator)
    )
    maps = maps.relu() if relu else maps
    maps[0, 0] = 0  # dead
    inputs = torch.randn(2, 3, 8, 6, generator=generator)
    with torch.no_grad():
        found = helpers.seeded(lambda: AttentionBranch(channels), dtype=SINGLE)(inputs, maps)
    assert all(bool(part.isfinite().all()) for part in found)
    torch.testing.assert_close(found.weights.sum(dim=1), torch.ones(2))
    assert float(found.weights.min()) > 0
    assert 0 <= float(found.scaled[1].min()) <= float(found.scaled[1].max()) <= max(1.0, float(found.map[1].max()))


def test_one_cross_entropy_teaches_every_parameter():
    module = helpers.seeded(build, dtype=SINGLE).train()
    F.cross_entropy(module(helpers.batch(4, SINGLE)), torch.tensor([0, 1, 2, 3])).backward()
    silent = [name for name, p in module.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert silent == []
    assert all(bool(p.grad.isfinite().all()) for p in module.parameters() if p.grad is not None)


def test_gradients_are_those_of_finite_differences():
    """Nothing is detached: the loss moves with the masks, the importance and the map's own minimum and maximum."""
    module, x = helpers.seeded(build), helpers.batch(2)
    weight = module.attention.importance[0].weight
    loss = F.cross_entropy(module(x), torch.tensor([1, 3]))
    (gradient,) = torch.autograd.grad(loss, weight)
    at = np.unravel_index(int(gradient.abs().argmax()), gradient.shape)
    with torch.no_grad():
        values = []
        for step in (1e-5, -1e-5):
            weight[at] += step
            values.append(float(F.cross_entropy(module(x), torch.tensor([1, 3]))))
            weight[at] -= step
    assert (values[0] - values[1]) / 2e-5 == pytest.approx(float(gradient[at]), rel=1e-5)


def test_gradients_stay_finite_where_channels_are_dead_or_constant():
    branch = helpers.seeded(lambda: AttentionBranch(3), dtype=SINGLE)
    maps = torch.rand(1, 3, 4, 4)
    maps[0, 0], maps[0, 1] = 0, 2
    maps.requires_grad_(True)
    branch(torch.rand(1, 3, 8, 8), maps).scaled.square().sum().backward()
    assert bool(maps.grad.isfinite().all())


def test_batch_normalization_and_relu_of_a_densenet_come_behind_the_attention():
    last = nn.Sequential(nn.BatchNorm2d(6), nn.ReLU())
    module, x = helpers.seeded(lambda: build(last=last)), helpers.batch(2)
    with torch.no_grad():
        maps = module.features(x)
        attended = (1 + module.attention(x, maps).scaled[:, None]) * maps
        expected = module.classifier(module.last(attended).mean(dim=(2, 3)))
        torch.testing.assert_close(module(x), expected)


def test_without_attention_it_is_the_plain_network():
    """The twin shares everything but the branch: with a = 0 both give the same logits."""
    module, x = helpers.seeded(build), helpers.batch(2)
    twin = GapNetwork(module.features, 6, len(helpers.CLASSES)).eval().double()
    twin.classifier = module.classifier
    with torch.no_grad():
        maps = module.features(x)
        torch.testing.assert_close(twin(x), module.head(module.perception(maps, torch.zeros(2, 8, 8).double())))
        assert float((twin(x) - module(x)).abs().max()) > 1e-3


# -- the front door


def test_the_registry_says_what_the_method_is():
    m = METHODS["lfi-cam"]
    assert (m.makes, m.relu, m.class_specific, m.architecture) == ("weights", True, False, "LFINetwork")
    assert list(METHODS)[list(METHODS).index("union-cam") + 1] == "lfi-cam"
    assert "[B" in m.function.__doc__


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_explanation_has_the_promised_parts(size):
    e = explain(network(size=size))
    h, w = size[0] // 4, size[1] // 4
    assert (e.layer, e.heatmap.shape, e.raw.shape, e.weights.shape) == ("features", size, (h, w), (6,))
    assert float(e.weights.sum()) == pytest.approx(1, abs=1e-6)
    assert (float(e.heatmap.min()), float(e.heatmap.max())) == (0, 1)
    assert e.target_name in helpers.CLASSES


def test_the_map_is_the_same_for_every_class_and_another_for_another_picture():
    net = network()
    rows = camlib.compare(net, [helpers.picture(0), helpers.picture(1)], ["lfi-cam"], [0, "daisy", None])
    assert all(torch.equal(e.heatmap, rows[0].heatmap) and torch.equal(e.weights, rows[0].weights) for e in rows[:3])
    assert float((rows[3].heatmap - rows[0].heatmap).abs().max()) > 1e-2
    assert len({e.probability for e in rows[:2]}) == 2


def test_a_batch_gives_what_single_pictures_give():
    net, photos = network(), [helpers.picture(seed) for seed in range(3)]
    for e in camlib.compare(net, photos, ["lfi-cam"]):
        alone = explain(net, photo=photos[e.picture])
        torch.testing.assert_close(e.heatmap, alone.heatmap, rtol=0, atol=1e-5)
        torch.testing.assert_close(e.weights, alone.weights, rtol=1e-5, atol=1e-7)


@pytest.mark.filterwarnings("ignore::camlib.DegenerateMapWarning")
def test_all_post_hoc_methods_work_at_the_same_layer():
    net = network()
    methods = [name for name in helpers.POST_HOC if name != "gap-cam"]
    rows = camlib.compare(net, helpers.picture(0), ["lfi-cam", *methods], [1], options=helpers.short(methods))
    assert {e.layer for e in rows} == {"features"}
    assert [e.method for e in rows] == ["lfi-cam", *methods]
    assert all(bool(e.raw.isfinite().all()) for e in rows)


def test_ablation_at_the_features_runs_the_branch_again():
    """The picture goes around the layer, as the gray picture of the branch: a tail must carry it along."""
    module, x = helpers.seeded(build), helpers.batch(1)
    found = Trace(helpers.network(module), x).ablated_logits()[0]
    with torch.no_grad():
        maps = module.features(x)
        for k in range(6):
            without = maps.clone()
            without[:, k] = 0
            scaled = module.attention(x, without).scaled
            torch.testing.assert_close(found[k], module.head(module.perception(without, scaled))[0])


def test_a_module_may_name_its_layer_and_the_caller_has_the_last_word():
    module = helpers.seeded(build, dtype=SINGLE)
    assert helpers.network(module).default_layer.name == "features"
    assert helpers.network(module, target_layer="perception").default_layer.name == "perception"
    module.target_layer = 3  # an attribute of that name that means something else
    assert helpers.network(module).default_layer.name == "perception"  # the last maps that everything passes


def test_the_head_is_linear_behind_the_attention_only():
    net, x = network(torch.float64), helpers.batch(2)
    assert Trace(net, x, "features").head is None
    behind = Trace(net, x, "perception")
    assert behind.head.form == "y = w·GAP(M) + b"
    assert torch.equal(behind.head.weight, net.module.classifier.weight)


def test_a_plain_network_is_refused_with_what_helps():
    net = helpers.network(helpers.seeded(helpers.Gap, dtype=SINGLE))
    with pytest.raises(ValueError, match=r"attention branch.*Gap has none.*cifar10-lfi.*LFINetwork.*'grad-cam'"):
        explain(net)


@pytest.mark.parametrize("layer", ["features.1", "perception", "attention.importance.0"])
def test_another_layer_is_refused_with_the_right_one(layer):
    with pytest.raises(ValueError, match=rf"layer 'features'.*given '{layer}'\. Pass layer='features'"):
        explain(network(), layer=layer)


def test_the_layer_may_be_called_by_any_of_its_names():
    a, b = explain(network()), explain(network(), layer="features.3")
    assert torch.equal(a.heatmap, b.heatmap)


def test_a_flat_map_is_zeros_with_the_reason():
    module = helpers.seeded(build, dtype=SINGLE)
    nn.init.zeros_(module.features[2].weight)
    nn.init.constant_(module.features[2].bias, -1.0)
    with pytest.warns(camlib.DegenerateMapWarning, match="lfi-cam on picture 0.*weights and activations cancel"):
        e = explain(helpers.network(module))
    assert e.degenerate
    assert not bool(e.heatmap.any())


def test_the_options_are_none():
    with pytest.raises(ValueError, match="lfi-cam has no option 'gray'"):
        explain(network(), gray=True)


# -- nothing borrowed is kept, whatever the network is like


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_network_and_global_state_are_as_before(mode):
    net = network()
    net.layers()
    net.module.train()
    net.module.attention.eval()
    net.module(helpers.batch(2, SINGLE)).square().sum().backward()
    before = helpers.state(net.module)
    with mode():
        explain(net)
    helpers.assert_same(before, helpers.state(net.module))


def _train_mode(net: Network) -> None:
    net.module.train()


def _frozen(net: Network) -> None:
    net.module.requires_grad_(False)


def _channels_last(net: Network) -> None:
    net.module.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("change", [_train_mode, _frozen, _channels_last])
def test_the_same_map_under_any_condition(change):
    net = network()
    change(net)
    torch.testing.assert_close(explain(net).heatmap, explain(network()).heatmap, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_types_give_nearly_the_same_map(dtype):
    found, expected = explain(network(dtype)), explain(network())
    assert found.weights.dtype == torch.float32
    assert helpers.correlation(found.heatmap, expected.heatmap) > 0.99


def test_a_wrapped_network_is_not_taken_for_one_with_the_branch():
    """A wrapper may change the pictures on their way: its gray picture would not be the branch's."""

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = build()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(2 * x)

    with pytest.raises(ValueError, match="Wrapped has none"):
        explain(helpers.network(helpers.seeded(Wrapped, dtype=SINGLE)), layer="inner.features")
