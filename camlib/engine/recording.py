"""One recorded pass: the feature maps of a layer as a leaf of the graph, the logits, gradients between the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from camlib.layers import Layer, evaluating, replacing_output
from camlib.networks import Network

Score = Callable[[Tensor], Tensor]
"""A score of each picture from its logits, [B, C] -> [B]."""


def record(
    network: Network, layer: Layer, inputs: Tensor, change: Callable[[Tensor], Tensor] = lambda maps: maps
) -> tuple[Tensor, Tensor]:
    """One forward pass: (feature maps as a leaf of the graph, logits of whatever type the module returns).

    Only the part of the network behind the layer records a graph; it sees ``change(maps)``. Raises ValueError if the
    layer did not run.
    """
    leaves: list[Tensor] = []

    def keep(output: Tensor) -> Tensor:
        leaf = change(layer.to_maps(output).detach()).clone().requires_grad_(True)
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
    return widened(_score_gradient(leaf, logits, logit_of(target)))


def logit_of(target: Tensor) -> Score:
    """The score y_c: each picture's logit of its class, int64 [B]."""
    return lambda logits: logits.gather(1, on(logits, target)[:, None])[:, 0]


def on(logits: Tensor, target: Tensor) -> Tensor:
    """A tensor where the logits are, which autograd can save (it cannot save one made in inference mode)."""
    return target.to(logits.device).clone()


def score_gradient(leaf: Tensor, logits: Tensor, score: Score) -> Tensor:
    """Pixel gradients of each picture's score, [B, K, h, w]. Raises :class:`Unreached` as :func:`gradient` does."""
    return widened(_score_gradient(leaf, logits, score))


def hessian_product(leaf: Tensor, logits: Tensor, score: Score, vector: Tensor) -> tuple[Tensor, Tensor]:
    """(g, Hv): gradient of each picture's score, and its Hessian times ``vector``, both [B, K, h, w].

    The gradient is differentiated again in the direction of the vector, so that no Hessian is ever formed: one more
    backward pass. Zeros where the score is linear in the maps. Raises :class:`Unreached` as :func:`gradient` does.
    """
    g = _score_gradient(leaf, logits, score, again=True)
    product = None
    if g.requires_grad:
        with torch.inference_mode(False), torch.enable_grad():
            along = (g * vector.detach().to(g).clone()).sum()
            (product,) = torch.autograd.grad(along, leaf, retain_graph=True, allow_unused=True)
    return widened(g.detach()), torch.zeros_like(widened(g.detach())) if product is None else widened(product)


def _score_gradient(leaf: Tensor, logits: Tensor, score: Score, again: bool = False) -> Tensor:
    if not logits.requires_grad:
        raise Unreached
    with torch.inference_mode(False), torch.enable_grad():
        total = score(logits).sum()
        (found,) = torch.autograd.grad(total, leaf, retain_graph=True, create_graph=again, allow_unused=True)
    if found is None:
        raise Unreached
    return found


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
