"""Every classifier of torchvision and 45 families of timm: the target layer found by itself, and what hangs on it.

The tables say what is known of the architectures: the layer behind which only pooling and the classifier follow, and
whether that head is linear. Sizes are the smallest that leave more than one position.
"""

import gc
import re

import pytest
import timm
import torch
import torchvision
from architectures import narrow, quick, ready, slim
from torch import Tensor, nn
from torchvision.models import get_model, list_models

from camlib import Layer, Network, Preprocess, Trace, explain

GAP = "y = w·GAP(M) + b"
GAP_OF_RELU = "y = w·GAP(ReLU(M)) + b"
GAP_OF_CLASS_MAPS = "y = GAP(ReLU(w·M + b))"

TORCHVISION = list_models(module=torchvision.models)
TORCHVISION_LAYERS = {  # name -> (target layer, form of the head)
    r"alexnet": ("features.11", None),  # the last ReLU, in front of the max-pooling
    r"vgg11": ("features.19", None),
    r"vgg11_bn": ("features.27", None),
    r"vgg13": ("features.23", None),
    r"vgg13_bn": ("features.33", None),
    r"vgg16": ("features.29", None),
    r"vgg16_bn": ("features.42", None),
    r"vgg19": ("features.35", None),
    r"vgg19_bn": ("features.51", None),
    r"(wide_)?resne(t|xt)\d+.*": ("layer4", GAP),
    r"densenet\d+": ("features+relu", GAP),
    r"squeezenet1_[01]": ("features", GAP_OF_CLASS_MAPS),
    r"googlenet": ("inception5b", GAP),
    r"inception_v3": ("Mixed_7c", GAP),
    r"mobilenet_v2": ("features", GAP),
    r"mobilenet_v3_(large|small)": ("features", None),  # an MLP behind the pooling
    r"mnasnet.*": ("layers", GAP),
    r"shufflenet_v2.*": ("conv5", GAP),
    r"efficientnet_.*": ("features", GAP),
    r"convnext_.*": ("features", None),  # a LayerNorm behind the pooling
    r"regnet_.*": ("trunk_output", GAP),
    r"maxvit_t": ("blocks.3", None),  # LayerNorm and an MLP behind the pooling
    r"swin_.*": ("permute", GAP),  # [B, h, w, K] turned into [B, K, h, w]
    r"vit_b_.*": ("encoder.layers.encoder_layer_11.ln_1", None),
    r"vit_l_.*": ("encoder.layers.encoder_layer_23.ln_1", None),
    r"vit_h_.*": ("encoder.layers.encoder_layer_31.ln_1", None),
}

TIMM = {  # name -> (target layer, form of the head)
    "resnet18": ("layer4", GAP),
    "resnet26d": ("layer4", GAP),
    "seresnet50": ("layer4", GAP),
    "ecaresnet26t": ("layer4", GAP),
    "resnest26d": ("layer4", GAP),
    "res2net50_26w_4s": ("layer4", GAP),
    "skresnet18": ("layer4", GAP),
    "resnetv2_50": ("norm", GAP),  # pre-activation: a last batch normalization with ReLU
    "densenet121": ("features", GAP),  # norm5 with its ReLU inside
    "vgg11": ("features.19", None),
    "mobilenetv2_050": ("bn2", GAP),  # convolution, norm and activation in front of the pooling
    "mobilenetv3_small_050": ("blocks", None),  # the last convolution stands behind the pooling
    "mobilenetv4_conv_small": ("blocks", None),
    "efficientnet_b0": ("bn2", GAP),
    "mixnet_s": ("bn2", GAP),
    "mnasnet_small": ("bn2", GAP),
    "tinynet_e": ("bn2", GAP),
    "fbnetc_100": ("bn2", GAP),
    "ghostnet_100": ("blocks", None),
    "hardcorenas_a": ("blocks", None),
    "lcnet_050": ("blocks", None),
    "convnext_atto": ("stages", None),  # a LayerNorm behind the pooling
    "convnextv2_atto": ("stages", None),
    "edgenext_xx_small": ("stages", None),
    "poolformer_s12": ("stages", None),
    "hgnet_tiny": ("stages", None),  # a convolution behind the pooling
    "regnetx_002": ("s4", GAP),
    "regnety_002": ("s4", GAP),
    "repvgg_a0": ("stages", GAP),
    "mobileone_s0": ("stages", GAP),
    "cspresnet50": ("stages", GAP),
    "darknet53": ("stages", GAP),
    "vovnet39a": ("stages", GAP),
    "xception41": ("blocks", GAP),
    "dpn68": ("features", GAP),
    "rexnet_100": ("features", GAP),
    "dla34": ("level5", GAP),  # the classifier is a 1x1 convolution
    "hrnet_w18_small": ("final_layer", GAP),
    "selecsls42": ("head", GAP),
    "fastvit_t8": ("final_conv", GAP),
    "gernet_s": ("final_conv", GAP),
    "mobilevit_xxs": ("final_conv", GAP),
    "nfnet_f0": ("final_act", GAP),
    "tresnet_m": ("body", GAP),
    "starnet_s1": ("norm", GAP),
}
TIMM_TOKENS = {
    "vit_tiny_patch16_224": ("blocks.11.norm1", None),  # only the class token goes on behind the last attention
    "deit_tiny_patch16_224": ("blocks.11.norm1", None),
    "deit_tiny_distilled_patch16_224": ("blocks.11.norm1", None),  # two prefix tokens
    "swin_tiny_patch4_window7_224": ("norm", GAP),
    "swinv2_tiny_window8_256": ("norm", GAP),
    "mixer_s32_224": ("norm", GAP),  # the mean over all tokens
    "pit_ti_224": ("transformers.2.blocks.3.norm1", None),  # three stages; the last is the shortest
}
TIMM_SIZES = {"selecsls42": 128, "pit_ti_224": 224}
TIMM_SLIM = {
    "vgg11": {"mlp_ratio": 1 / 64},  # 64 neurons between its linear layers instead of 4096
    "nfnet_f0": {"width_factor": 1 / 4, "group_size": 32},
    "tresnet_m": {"width_factor": 1 / 4},
}

passed: dict[str, set[str]] = {"torchvision": set(), "timm": set()}


@pytest.fixture(scope="module", autouse=True)
def _what_was_there_before():
    """It stays: the collections below look only at what these tests make, not at all that the process has loaded."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads on such small pictures cost up to ten times as much as soon as another process holds a core."""
    torch.set_num_threads(1)  # until conftest sets up the next test
    yield
    gc.collect()


def torchvision_network(name: str) -> Network:
    size, settings = 64, {}
    if name.startswith("vit"):
        size = settings["image_size"] = 2 * int(name[-2:])
    elif name in ("googlenet", "inception_v3"):
        size, settings["init_weights"] = 128, False
    elif name == "maxvit_t":
        size = 224
    with narrow():
        module = quick(lambda: slim(get_model(name, weights=None, **settings)), size)
    return Network(module, transform=Preprocess((size, size)), name=name)


def timm_network(name: str) -> Network:
    size = TIMM_SIZES.get(name, 64)
    settings = {"img_size": size} if name in TIMM_TOKENS else TIMM_SLIM.get(name, {})
    module = quick(lambda: timm.create_model(name, pretrained=False, **settings), size)
    return Network(module, transform=Preprocess((size, size)), name=name)


def expected_of(name: str) -> tuple[str, str | None]:
    (found,) = [value for pattern, value in TORCHVISION_LAYERS.items() if re.fullmatch(pattern, name)]
    return found


def with_output(module: nn.Module, layer: str, picture: Tensor, other: Tensor | None = None) -> list[Tensor]:
    """[logits, output of the layer] of one picture by a plain hook, which may let another output go on instead."""
    kept: list[Tensor] = []

    def hook(_module: nn.Module, _args: tuple, output: Tensor) -> Tensor | None:
        kept.append(output.clone())
        return None if other is None else other.clone()

    handle = module.get_submodule(layer).register_forward_hook(hook)
    try:
        with torch.no_grad():
            return [module(picture), *kept]
    finally:
        handle.remove()


def read_by_hand(output: Tensor, layer: Layer, class_tokens: int) -> Tensor:
    """[B, K, h, w] written out position by position."""
    if layer.kind == "map":
        return output.relu() if layer.name.endswith("+relu") else output
    b, h, w = len(output), layer.height, layer.width
    maps = torch.empty(b, output.shape[-1], h, w)
    for i in range(h):
        for j in range(w):
            maps[:, :, i, j] = output[:, i, j] if output.dim() == 4 else output[:, class_tokens + i * w + j]
    return maps


def check(network: Network, expected: tuple[str, str | None], class_tokens: int = 0) -> None:
    """What the issue asks of every architecture, each part against plain PyTorch."""
    name, form = expected
    pictures = ready(2, network.input_size[0])
    trace = Trace(network, pictures[:1])
    assert trace.layer.name == name
    assert network.default_layer == trace.layer

    layer = name.removesuffix("+relu")
    logits, output = with_output(network.module, layer, pictures[:1])
    scale = float(logits.abs().max())
    torch.testing.assert_close(trace.logits, logits, rtol=0, atol=1e-5 * scale)
    maps = read_by_hand(output, trace.layer, class_tokens)
    assert maps.shape == (1, trace.layer.channels, *trace.layer.size)
    assert trace.layer.height * trace.layer.width > 1
    torch.testing.assert_close(trace.activations, maps, rtol=0, atol=float(1e-5 * maps.abs().max()))
    if not class_tokens:  # a class token goes around the patch tokens
        replaced, other = with_output(network.module, layer, pictures[1:], output)
        assert (other - output).abs().max() > 0.01 * output.abs().max(), "two pictures that the layer tells apart"
        torch.testing.assert_close(replaced, logits, rtol=0, atol=1e-5 * scale)

    target = trace.logits.argmax(dim=1)
    gradients = trace.gradients(target)
    assert gradients.shape == trace.activations.shape
    assert gradients.isfinite().all()
    assert gradients.any()
    assert (trace.head.form if trace.head else None) == form

    explanation = explain(network, pictures[:1], "grad-cam", relu=False)
    by_hand = (gradients.mean(dim=(2, 3), keepdim=True) * trace.activations).sum(dim=1)[0]
    torch.testing.assert_close(explanation.raw, by_hand, rtol=1e-3, atol=float(1e-4 * by_hand.abs().max()))
    assert explanation.layer == name
    assert explanation.target == int(target)
    assert not explanation.degenerate
    assert explanation.heatmap.shape == network.input_size
    assert explanation.heatmap.min() == 0
    assert explanation.heatmap.max() == 1


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_classifier(name):
    network = torchvision_network(name)
    check(network, expected_of(name), class_tokens=int(name.startswith("vit")))
    passed["torchvision"].add(name)


@pytest.mark.parametrize("name", [*TIMM, *TIMM_TOKENS])
def test_timm_classifier(name):
    class_tokens = 2 if "distilled" in name else int(name.startswith(("vit", "deit", "pit")))
    check(timm_network(name), {**TIMM, **TIMM_TOKENS}[name], class_tokens)
    passed["timm"].add(name)


def test_count(capsys, record_property):
    families = passed["timm"] & set(TIMM)
    line = (
        f"target layer found by itself: {len(passed['torchvision'])} of {len(TORCHVISION)} torchvision classifiers, "
        f"{len(families)} of {len(TIMM)} timm CNN families, "
        f"{len(passed['timm'] - families)} of {len(TIMM_TOKENS)} timm token networks"
    )
    record_property("count", line)
    with capsys.disabled():
        print(f"\n{line}")
    if len(passed["torchvision"]) + len(passed["timm"]) == 0:
        pytest.skip("no architecture ran in this process")
    assert len(TORCHVISION) >= 80
    assert len(TIMM) >= 25
    assert passed == {"torchvision": set(TORCHVISION), "timm": {*TIMM, *TIMM_TOKENS}}


@pytest.mark.parametrize("name", ["densenet121", "densenet161", "densenet169", "densenet201"])
def test_densenet_in_front_of_its_relu_has_a_rectified_linear_head(name):
    network = torchvision_network(name)
    trace = Trace(network, ready(2, 64), "features")
    assert trace.head.form == GAP_OF_RELU
    classifier = network.module.classifier
    assert torch.equal(trace.head.weight, classifier.weight)
    assert torch.equal(trace.head.bias, classifier.bias)
    assert trace.activations.min() < 0
    torch.testing.assert_close(
        trace.logits, classifier(trace.activations.relu().mean(dim=(2, 3))).detach(), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize(
    ("build", "dead", "living"),
    [
        (lambda: torchvision_network("vit_b_32"), "encoder.layers", "encoder.layers.encoder_layer_11.ln_1"),
        (lambda: timm_network("deit_tiny_distilled_patch16_224"), "blocks", "blocks.11.norm1"),
    ],
)
def test_patch_tokens_behind_the_last_attention_reach_no_logit(build, dead, living):
    network = build()
    pictures = ready(1, network.input_size[0])
    behind, before = Trace(network, pictures, dead), Trace(network, pictures, living)
    assert behind.layer.prefix == before.layer.prefix > 0
    for target in (torch.tensor([0]), torch.tensor([7])):
        assert not behind.gradients(target).any()
        assert before.gradients(target).any()


def test_attention_matrices_are_no_grid_of_tokens():
    """CrossViT: 401 and 197 tokens, and attention of one token to 197 that has the shape of a 1 x 197 map."""
    module = quick(lambda: timm.create_model("crossvit_tiny_240"), 240)
    layers = Network(module, transform=Preprocess((240, 240))).layers()
    assert {layer.size for layer in layers if layer.kind == "tokens"} == {(20, 20), (14, 14)}
    assert {layer.prefix for layer in layers if layer.name in ("norm.0", "norm.1")} == {1}
