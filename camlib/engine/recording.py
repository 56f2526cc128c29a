"""One recorded pass: the feature maps of a layer as a leaf of the graph, the logits, gradients between the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor

from camlib.engine.behind import KeepingGraph, without_checkpoints
from camlib.layers import Layer, replacing_output
from camlib.networks import Network, Ready


class Unreached(ValueError):
    """No gradient of the logits leads to the layer."""


@dataclass(eq=False)
class Recording:
    """A pass over a batch; only the part of the network behind the layer has recorded a graph.

    Attributes:
        maps: feature maps M [B, K, h, w] of the layer, in the network's own type.
        logits: y [B, C].
    """

    maps: Tensor = field(init=False)
    logits: Tensor = field(init=False)
    ready: Ready
    layer: Layer
    inputs: Tensor
    _parts: list[tuple[Tensor, Tensor]]  # (leaf, logits) of every call of the network: one, or one a picture
    _kept: bool = False

    def __post_init__(self) -> None:
        leaves, logits = zip(*((leaf.detach(), logits.detach()) for leaf, logits in self._parts), strict=True)
        self.maps = leaves[0] if len(leaves) == 1 else torch.cat(leaves)
        self.logits = logits[0] if len(logits) == 1 else torch.cat(logits)

    def gradient(self, target: Tensor) -> Tensor:
        """Pixel gradients ∂y_c/∂M of each picture's target logit, [B, K, h, w].

        ``target``: class index of every picture, int64 [B]. Raises :class:`Unreached` where no graph leads to the maps.
        """
        with torch.inference_mode(False):  # autograd cannot save an index made in inference mode
            index = target.to(self.logits.device).clone()
        return self.gradient_of(lambda logits, rows: logits.gather(1, index[rows, None])[:, 0])

    def gradient_of(self, score: Callable[[Tensor, slice], Tensor]) -> Tensor:
        """Pixel gradients of any number a picture, [B, K, h, w].

        ``score(logits, rows)`` makes of the logits of some pictures, rows ``rows`` of the batch, one number each.
        Raises :class:`Unreached` as :meth:`gradient`.
        """
        try:
            return self._gradient_of(score)
        except RuntimeError:  # a reentrant checkpoint allows no gradient of a single tensor
            if self._kept:
                raise
            self._kept = True
            self._parts = _recorded(self.ready, self.layer, self.inputs, keeping=True)
            return self._gradient_of(score)

    def _gradient_of(self, score: Callable[[Tensor, slice], Tensor]) -> Tensor:
        found, start = [], 0
        with self.ready.twin.lock, torch.inference_mode(False), torch.enable_grad():
            for leaf, logits in self._parts:
                rows = slice(start, start + len(logits))
                start = rows.stop
                found.append(_one_gradient(score(logits, rows), leaf))
        return widened(found[0] if len(found) == 1 else torch.cat(found))


def _one_gradient(scores: Tensor, leaf: Tensor) -> Tensor:
    if not scores.requires_grad:
        raise Unreached
    (gradient,) = torch.autograd.grad(scores.sum(), leaf, retain_graph=True, allow_unused=True)
    if gradient is None:
        raise Unreached
    return gradient


def record(network: Network, ready: Ready, layer: Layer, inputs: Tensor) -> Recording:
    """One forward pass of a checked batch. Raises ValueError if the layer did not run or the logits are none.

    Where the network's own code keeps the graph from reaching the layer, the pass is made again and the graph kept.
    """
    note = ("keeping the graph", layer.name)
    keeping = ready.twin.notes.get(note, False)
    parts = _recorded(ready, layer, inputs, keeping)
    for (_, logits), rows in zip(parts, ready.calls(inputs), strict=True):
        network.check_logits(logits, rows)
    if not keeping and not any(logits.requires_grad for _, logits in parts):
        kept = _recorded(ready, layer, inputs, keeping=True)
        ready.twin.notes[note] = keeping = all(logits.requires_grad for _, logits in kept)
        parts = kept if keeping else parts
    return Recording(ready, layer, inputs, parts, keeping)


def _recorded(ready: Ready, layer: Layer, inputs: Tensor, keeping: bool) -> list[tuple[Tensor, Tensor]]:
    return [_one_pass(ready, layer, rows, keeping) for rows in ready.calls(inputs)]


def _one_pass(ready: Ready, layer: Layer, inputs: Tensor, keeping: bool) -> tuple[Tensor, Tensor]:
    """(feature maps as a leaf of the graph, logits of whatever type the module returns)."""
    leaves: list[Tensor] = []
    mode = KeepingGraph() if keeping else None

    def keep(output: Tensor) -> Tensor:
        if torch.is_inference_mode_enabled():  # entered by the network itself
            with torch.inference_mode(False), torch.enable_grad():
                return leaf_of(output)
        torch.set_grad_enabled(True)  # the body runs without a graph, the head with one
        return leaf_of(output)

    def leaf_of(output: Tensor) -> Tensor:
        leaf = layer.to_maps(output).detach().clone().requires_grad_(True)
        leaves.append(leaf)
        if mode is not None:
            mode.start()
        return layer.put(leaf, output)  # a clone: the next in-place ReLU must not touch M

    with ready.held() as module, ExitStack() as stack:
        stack.enter_context(torch.set_grad_enabled(keeping))
        if mode is not None:
            stack.enter_context(without_checkpoints())
            stack.enter_context(mode)
        stack.enter_context(replacing_output(module, layer, keep))
        logits = ready.run(module, inputs.clone())
    if not leaves:
        raise ValueError(f"Layer {layer.name!r} did not run on {list(inputs.shape)}.")
    return leaves[0], logits


def depends(ready: Ready, layer: Layer, inputs: Tensor, maps: Tensor, logits: Tensor) -> bool:
    """Whether the logits of a batch change when the feature maps of a layer do; no gradient is asked."""
    changed = []
    for rows, kept in zip(ready.calls(inputs), ready.calls(maps), strict=True):
        turned = kept.flip(-1) + kept.std().clamp(min=1.0)

        def replace(output: Tensor, turned: Tensor = turned) -> Tensor:
            return layer.put(turned, output)

        with ready.held() as module, torch.no_grad(), replacing_output(module, layer, replace):
            changed.append(ready.run(module, rows.clone()))
    return not torch.equal(torch.cat(changed), logits)


def noisy_moments(
    network: Network,
    ready: Ready,
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
        network, ready, layer: what runs, and where g is taken.

    Returns:
        key -> [3, B, K, h, w].
    """
    generator = torch.Generator().manual_seed(seed)
    everywhere = tuple(range(1, inputs.dim()))
    spread = inputs.amax(dim=everywhere, keepdim=True) - inputs.amin(dim=everywhere, keepdim=True)
    sums: dict[tuple[int, ...], Tensor] = {}
    for _ in range(samples):
        draw = torch.randn(inputs.shape[1:], generator=generator).to(inputs)
        with torch.inference_mode(False):
            noisy = inputs + (noise * spread * draw).clone()
        recording = record(network, ready, layer, noisy)
        for key, target in wanted.items():
            g = recording.gradient(target)
            moments = torch.stack([g, g**2, g**3])
            sums[key] = sums[key] + moments if key in sums else moments
    return {key: total / samples for key, total in sums.items()}


def widened(tensor: Tensor) -> Tensor:
    """float32 for half precision, everything else as it is: weights of maps are never computed in half precision."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
