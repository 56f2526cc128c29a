"""Activations computed inside the convolutions of the private copy."""

from __future__ import annotations

import architectures
import helpers
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from camlib.engine import folding, fusing


class Rectified(nn.Module):
    """One ReLU module for three places: behind two convolutions, and behind a sum that is made in place."""

    def __init__(self, kind: type[nn.Module] = nn.ReLU, **how: bool) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(6)
        self.conv2, self.norm2 = nn.Conv2d(6, 6, 3, padding=1, groups=3), nn.BatchNorm2d(6)
        self.plain = nn.Conv2d(6, 5, 1)
        self.act = kind(**how)
        self.fc = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        first = self.act(self.norm1(self.conv1(x)))
        maps = self.norm2(self.conv2(first))
        maps += first
        return self.fc(self.act(self.plain(self.act(maps))).mean(dim=(2, 3)))


class ReadTwice(Rectified):
    """What the first convolution makes is read before its ReLU, too: it cannot be fused."""

    def forward(self, x: Tensor) -> Tensor:
        maps = self.norm1(self.conv1(x))
        return self.fc(self.plain(self.act(maps) - 2 * maps).mean(dim=(2, 3)))


def copy_of(module: nn.Module, **how: object) -> tuple[folding.FastCopy, Tensor, Tensor]:
    """(fast copy, three pictures in its format, the module's own logits for them)."""
    noise = helpers.batch(3, torch.float32)
    with torch.no_grad():
        logits = module(noise)
    made = folding.fast_copy(module, noise[:1], logits[:1], **how)
    return made, noise.contiguous(memory_format=made.memory_format), logits


ACTIVATIONS = [
    (nn.ReLU, {}),
    (nn.ReLU, {"inplace": True}),
    (nn.ReLU6, {"inplace": True}),
    (nn.SiLU, {}),
    (nn.Hardswish, {}),
]


@pytest.mark.parametrize(("kind", "how"), ACTIVATIONS)
def test_a_fused_copy_gives_the_logits_of_the_network(kind, how):
    module = helpers.seeded(lambda: Rectified(kind, **how), dtype=torch.float32)
    made, pictures, logits = copy_of(module)
    assert (made.folded, made.fused) == (2, 3)
    with torch.inference_mode():
        torch.testing.assert_close(made.module(pictures), logits, rtol=1e-5, atol=1e-5)
    assert (copy_of(module, fused=False)[0].folded, copy_of(module, fused=False)[0].fused) == (2, 0)


def test_a_convolution_that_is_read_before_its_relu_is_not_fused():
    made, pictures, logits = copy_of(helpers.seeded(lambda: ReadTwice(nn.ReLU), dtype=torch.float32))
    assert made.fused == 0
    with torch.inference_mode():
        torch.testing.assert_close(made.module(pictures), logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kept", ["norm1", "act", "conv1"])
def test_the_outputs_of_kept_modules_stay_what_they_are(kept):
    module = helpers.seeded(lambda: Rectified(nn.ReLU, inplace=False), dtype=torch.float32)
    made, pictures, _ = copy_of(module, keep=[kept])
    seen: dict[str, list[Tensor]] = {"original": [], "copy": []}
    for name, network in (("original", module), ("copy", made.module)):
        target = network.get_submodule(kept)
        handle = target.register_forward_hook(lambda _m, _a, output, name=name: seen[name].append(output.clone()))
        with torch.no_grad():
            network(pictures)
        handle.remove()
    for a, b in zip(seen["original"], seen["copy"], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_gradients_through_a_fused_copy_are_those_of_the_network():
    module = helpers.seeded(lambda: Rectified(nn.ReLU6, inplace=True), dtype=torch.float32)
    made, pictures, _ = copy_of(module)
    assert made.fused == 3
    gradients = []
    for network in (module, made.module):
        x = pictures.clone().requires_grad_(True)
        gradients.append(torch.autograd.grad(network(x)[:, 1].sum(), x)[0])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-6)
    assert float(gradients[0].abs().max()) > 1e-4


@pytest.mark.parametrize(("name", "fused"), [("efficientnet-lite0", 49), ("resnet18", 20), ("vgg16", 13)])
def test_convolutions_of_known_networks_are_fused(name, fused):
    """49 and 20 are all of them: folding made their weights the copy's own. VGG-16's 13 keep the caller's weights."""
    module, noise, logits = architectures.known(name)
    before = helpers.state(module)
    made = folding.fast_copy(module, noise, logits)
    assert made.fused == fused
    assert made.error <= 1e-5
    helpers.assert_same(before, helpers.state(module))


@given(
    side=st.integers(6, 15), other=st.integers(6, 15), kernel=st.sampled_from([1, 2, 3, 5]), stride=st.integers(1, 3),
    dilation=st.integers(1, 2), wide=st.booleans(), bias=st.booleans(),
    activation=st.sampled_from([None, nn.ReLU(), nn.ReLU6()]),
)  # fmt: skip
def test_padding_that_depends_on_the_size_is_the_same_in_a_fused_convolution(
    side, other, kernel, stride, dilation, wide, bias, activation
):
    """timm's Conv2dSame pads as TensorFlow does: unevenly where the sum is odd, the larger part behind."""
    torch.manual_seed(0)
    width, groups = (20, 1) if wide else (4, 4)
    conv = Conv2dSame(4, width, kernel, stride, dilation=dilation, groups=groups, bias=bias).requires_grad_(False)
    x = torch.randn(2, 4, side, other).contiguous(memory_format=torch.channels_last)
    expected = conv(x) if activation is None else activation(conv(x))
    for own in (True, False):
        fused = fusing.FusedConv(conv, activation, x.shape, own)
        with torch.inference_mode():
            found = fused(x)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert found.activated is (activation is not None)


def test_operations_of_fused_convolutions_are_counted():
    """3·6·9 + 6·2·9 + 6·5 multiplications at each of 256 positions of half the side; two operations each."""
    made, pictures, _ = copy_of(helpers.seeded(lambda: Rectified(nn.ReLU), dtype=torch.float32))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        made.module(pictures[:1])
    assert counter.get_total_flops() == 2 * (256 * (3 * 6 * 9 + 6 * 2 * 9 + 6 * 5) + 5 * 4)


def test_bytes_of_the_copys_own_weights_are_those_of_what_was_folded():
    module = helpers.seeded(lambda: Rectified(nn.ReLU), dtype=torch.float32)
    own = 4 * (3 * 6 * 9 + 6 + 6 * 2 * 9 + 6)
    assert copy_of(module)[0].own == copy_of(module, fused=False)[0].own == own
    assert folding.fast_copy(*architectures.known("vgg16")).own == 0


def test_other_types_are_not_fused():
    """oneDNN computes in float32 and bfloat16 only."""
    module = helpers.seeded(lambda: Rectified(nn.ReLU))
    noise = helpers.batch(1)
    with torch.no_grad():
        made = folding.fast_copy(module, noise, module(noise))
    assert (made.folded, made.fused) == (2, 0)
    assert made.error <= 1e-12
