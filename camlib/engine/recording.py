"""One recorded pass: the feature maps of a layer as a leaf of the graph, the logits, gradients between the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from camlib.engine.behind import KeepingGraph, without_checkpoints
from camlib.layers import Layer, replacing_output
from camlib.networks import Network, Ready

Score = Callable[[Tensor], Tensor]
"""A score of each picture from its logits, [B, C] -> [B]."""
Change = Callable[[Tensor], Tensor]
"""What the part of the network behind the layer sees in place of its maps, [B, K, h, w] -> [B, K, h, w]."""


class Unreached(ValueError):
    """No gradient of the logits leads to the layer."""


class Recording:
    """A pass over a batch; only the part of the network behind the layer has recorded a graph.

    Attributes:
        maps: feature maps M [B, K, h, w] of the layer (as they were changed), detached, in the network's own type.
        logits: y [B, C], with their graph.
    """

    def __init__(self, network: Network, ready: Ready, layer: Layer, inputs: Tensor, change: Change) -> None:
        self._network, self._ready, self._layer, self._inputs, self._change = network, ready, layer, inputs, change
        self._keeping = ready.twin.notes.get(self._note, False)
        self._record()
        if not self._keeping and not self.logits.requires_grad:
            self._try_keeping()

    @property
    def _note(self) -> tuple[str, str]:
        return "keeping the graph", self._layer.name

    def _record(self) -> None:
        """Run the network, once, or once a picture where it takes one at a time."""
        self._leaves, found = [], []
        for rows in self._ready.calls(self._inputs):
            leaf, logits = _one_pass(self._ready, self._layer, rows, self._change, self._keeping)
            self._leaves.append(leaf)
            found.append(self._network.check_logits(logits, rows))
        with self._ready.twin.lock, torch.inference_mode(False), torch.enable_grad():
            self.logits = found[0] if len(found) == 1 else torch.cat(found)
            leaves = [leaf.detach() for leaf in self._leaves]
            self.maps = leaves[0] if len(leaves) == 1 else torch.cat(leaves)

    def _try_keeping(self) -> None:
        """The network's own code keeps the graph from reaching the layer: once more, and the graph is kept."""
        without = self._leaves, self.logits, self.maps
        self._keeping = True
        self._record()
        self._ready.twin.notes[self._note] = self._keeping = self.logits.requires_grad
        if not self._keeping:
            self._leaves, self.logits, self.maps = without

    def gradient(self, target: Tensor) -> Tensor:
        """Pixel gradients ∂y_c/∂M of each picture's target logit, [B, K, h, w].

        ``target``: class index of every picture, int64 [B]. Raises :class:`Unreached` where no graph leads to the maps.
        """
        return self.score_gradient(logit_of(target))

    def score_gradient(self, score: Score) -> Tensor:
        """Pixel gradients of each picture's score, [B, K, h, w]. Raises :class:`Unreached` as :meth:`gradient` does."""
        return widened(self._without_checkpoints(lambda: self._gradient(score)))

    def _without_checkpoints(self, differentiate: Callable[[], Any]) -> Any:
        """What ``differentiate`` finds; a reentrant checkpoint allows no gradient of one tensor and is left out."""
        try:
            return differentiate()
        except RuntimeError as error:
            if self._keeping or "checkpoint" not in str(error):
                raise
            self._try_keeping()
            return differentiate()

    def hessian_product(self, score: Score, vector: Tensor) -> tuple[Tensor, Tensor]:
        """(g, Hv): gradient of each picture's score, and its Hessian times ``vector``, both [B, K, h, w].

        The gradient is differentiated again in the direction of the vector, so that no Hessian is ever formed: one more
        backward pass. Zeros where the score is linear in the maps. Raises :class:`Unreached` as :meth:`gradient` does.
        """
        g = self._without_checkpoints(lambda: self._gradient(score, again=True))
        product = torch.zeros_like(g.detach())
        if g.requires_grad:
            with self._ready.twin.lock, torch.inference_mode(False), torch.enable_grad():
                along = (g * vector.detach().to(g).clone()).sum()
                found = torch.autograd.grad(along, self._leaves, retain_graph=True, allow_unused=True)
            parts = zip(found, self._leaves, strict=True)
            product = torch.cat([torch.zeros_like(leaf) if part is None else part for part, leaf in parts])
        return widened(g.detach()), widened(product)

    def _gradient(self, score: Score, again: bool = False) -> Tensor:
        if not self.logits.requires_grad:
            raise Unreached
        with self._ready.twin.lock, torch.inference_mode(False), torch.enable_grad():
            total = score(self.logits).sum()
            if not total.requires_grad:
                raise Unreached
            found = torch.autograd.grad(total, self._leaves, retain_graph=True, create_graph=again, allow_unused=True)
            if any(part is None for part in found):
                raise Unreached
            return found[0] if len(found) == 1 else torch.cat(found)


def logit_of(target: Tensor) -> Score:
    """The score y_c: each picture's logit of its class, int64 [B]."""
    return lambda logits: logits.gather(1, on(logits, target)[:, None])[:, 0]


def on(logits: Tensor, target: Tensor) -> Tensor:
    """A tensor where the logits are, which autograd can save (it cannot save one made in inference mode)."""
    return target.to(logits.device).clone()


def record(
    network: Network, ready: Ready, layer: Layer | None, inputs: Tensor, change: Change = lambda maps: maps
) -> Recording:
    """One forward pass of a checked batch; the part behind the layer sees ``change(maps)``.

    Raises ValueError if there is no layer or it did not run, and what :meth:`camlib.Network.check_logits` raises.
    """
    layer = network.layer_of(None, ready.survey) if layer is None else layer
    return Recording(network, ready, layer, inputs, change)


def _one_pass(ready: Ready, layer: Layer, inputs: Tensor, change: Change, keeping: bool) -> tuple[Tensor, Tensor]:
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
        leaf = change(layer.to_maps(output).detach()).clone().requires_grad_(True)
        leaves.append(leaf)
        if mode is not None:
            mode.start()
        return layer.put(leaf, output)  # a new tensor: the next in-place ReLU must not touch M

    with ready.held() as module, ExitStack() as stack:
        stack.enter_context(torch.set_grad_enabled(keeping))
        if mode is not None:
            stack.enter_context(without_checkpoints())
            stack.enter_context(mode)
        stack.enter_context(replacing_output(module, layer, keep))
        logits = ready.run(module, inputs.clone())
    if not leaves:
        raise ValueError(
            f"Layer {layer.name!r} did not run on {list(inputs.shape)}: it took another way. Name a layer that does."
        )
    return leaves[0], logits


def why_unreached(network: Network, ready: Ready, layer: Layer, inputs: Tensor, recording: Recording) -> str:
    """Why no gradient of the logits reaches a layer, and what to do: one sentence for :class:`Unreached`."""
    if _depends(ready, layer, inputs, recording):
        return (
            f"The logits of {network.name} depend on layer {layer.name!r}, but what follows it has no gradient (an "
            f"integer or int8 part, argmax, NumPy, torch.inference_mode in its forward). Use a method that needs none: "
            f"'score-cam', 'ablation-cam', 'recipro-cam', 'rise'."
        )
    other = ready.survey.default
    instead = f", for example {other.name!r}" if other is not None and other.name != layer.name else ""
    return (
        f"The logits of {network.name} do not depend on layer {layer.name!r}. Choose a layer on the way to the "
        f"logits{instead}."
    )


def _depends(ready: Ready, layer: Layer, inputs: Tensor, recording: Recording) -> bool:
    """Whether the logits of a batch change when the feature maps of a layer do; no gradient is asked."""
    changed = []
    for rows, kept in zip(ready.calls(inputs), ready.calls(recording.maps), strict=True):
        turned = kept.flip(-1) + kept.std().clamp(min=1.0)

        def replace(output: Tensor, turned: Tensor = turned) -> Tensor:
            return layer.put(turned, output)

        with ready.held() as module, torch.no_grad(), replacing_output(module, layer, replace):
            changed.append(ready.run(module, rows.clone()))
    return not torch.equal(torch.cat(changed), recording.logits.detach())


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
