"""One recorded pass: the feature maps of a layer as a leaf of the graph, the logits, gradients between the two."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from camlib.layers import Layer, evaluating, replacing_output
from camlib.networks import Network


def record(network: Network, layer: Layer, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """One forward pass: (feature maps as a leaf of the graph, logits of whatever type the module returns).

    Only the part of the network behind the layer records a graph. Raises ValueError if the layer did not run.
    """
    leaves: list[Tensor] = []

    def keep(output: Tensor) -> Tensor:
        leaf = layer.to_maps(output).detach().clone().requires_grad_(True)
        leaves.append(leaf)
        torch.set_grad_enabled(True)  # the body runs without a graph, the head with one
        return layer.from_maps(leaf, output).clone()  # a clone: the next in-place ReLU must not touch M

    with (
        torch.inference_mode(False),
        torch.no_grad(),
        evaluating(network.module),
        replacing_output(network.module, layer, keep),
    ):
        logits = network.module(inputs)
    if not leaves:
        raise ValueError(f"Layer {layer.name!r} did not run on {list(inputs.shape)}.")
    return leaves[0], logits


class Unreached(ValueError):
    """The logits do not depend on the layer."""


def gradient(leaf: Tensor, logits: Tensor, target: Tensor) -> Tensor:
    """Pixel gradients ∂y_c/∂M of each picture's target logit, [B, K, h, w].

    ``target``: class index of every picture, int64 [B]. Raises :class:`Unreached` where no graph leads to the maps.
    """
    if not logits.requires_grad:
        raise Unreached
    with torch.inference_mode(False), torch.enable_grad():
        index = target.to(logits.device).clone()  # autograd cannot save an index made in inference mode
        score = logits.gather(1, index[:, None]).sum()
        (found,) = torch.autograd.grad(score, leaf, retain_graph=True, allow_unused=True)
    if found is None:
        raise Unreached
    return widened(found)


def noisy_moments(
    network: Network,
    layer: Layer,
    inputs: Tensor,
    wanted: Mapping[tuple[int, ...], Tensor],
    samples: int,
    noise: float,
    seed: int,
) -> dict[tuple[int, ...], Tensor]:
    """Means of g, g² and g³ over noisy copies of the pictures (Omeiza et al. 2019, eq. 7-8), for several classes.

    Args:
        inputs: ready batch [B, C, H, W].
        wanted: a key -> class index of every picture, int64 [B].
        samples: number of noisy copies; each is one forward and, for every key, one backward pass of the batch.
        noise: standard deviation of the Gaussian noise as a share of each picture's max - min.
        seed: seed of the noise, the same for every picture: a batch gives what single pictures give.
        network, layer: what runs, and where g is taken.

    Returns:
        key -> [3, B, K, h, w].
    """
    generator = torch.Generator().manual_seed(seed)
    spread = inputs.amax(dim=(1, 2, 3)) - inputs.amin(dim=(1, 2, 3))
    sums: dict[tuple[int, ...], Tensor] = {}
    for _ in range(samples):
        draw = torch.randn(inputs.shape[1:], generator=generator).to(inputs)
        with torch.inference_mode(False):
            noisy = inputs + (noise * spread.view(-1, 1, 1, 1) * draw).clone()
        leaf, logits = record(network, layer, noisy)
        for key, target in wanted.items():
            g = gradient(leaf, logits, target)
            moments = torch.stack([g, g**2, g**3])
            sums[key] = sums[key] + moments if key in sums else moments
    return {key: total / samples for key, total in sums.items()}


def widened(tensor: Tensor) -> Tensor:
    """float32 for half precision, everything else as it is: weights of maps are never computed in half precision."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
