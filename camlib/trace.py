"""``Trace``: what one pass of a network over a batch of pictures leaves at one layer.

Activations M [B, K, h, w] and logits y [B, C] come from the one forward pass; gradients of a class, the proof of a
linear head, the moments of noisy passes and the logits of masked pictures are computed when a method first asks for
them and kept for the next one. Only the part of the network behind the layer records a graph, so a gradient costs a
backward pass from the logits to the layer and no more. Scores are kept for all classes: the second class is free.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from camlib import framework
from camlib.engine.masking import Masking, blend, filler_of, live_channels, masks_of
from camlib.engine.runtime import outside_stacklevel
from camlib.engine.scoring import Scorer, Tail, Writer, progress
from camlib.layers import replacing_output
from camlib.networks import Network, evaluating
from camlib.pictures import Picture

_SAMPLED_MASKS = 32


class _Ablation:
    """Writes feature maps [K, h, w] with one channel of each row set to 0; rewrites only what differs.

    Copying all maps for each row takes a fifth of the time of an ablation in front of a linear head. The buffer is
    written anew where the network behind the layer has changed it in place.
    """

    def __init__(self, maps: Tensor) -> None:
        self.maps, self.zeroed, self.version = maps, slice(0, 0), -1

    def __call__(self, buffer: Tensor, start: int, stop: int) -> None:
        rows = torch.arange(len(buffer), device=buffer.device)
        if buffer._version == self.version:
            buffer[rows, self.zeroed.start + rows] = self.maps[self.zeroed][: len(buffer)]
        else:
            buffer.copy_(self.maps)
        buffer[rows, start + rows] = 0
        self.zeroed, self.version = slice(start, stop), buffer._version


@dataclass(frozen=True)
class LinearHead:
    """A head that the trace proves to be linear behind the pooling, with the rows that CAM uses as weights.

    ``form`` is the identity that holds on the trace, ``error`` its largest deviation relative to the largest logit:

    - ``"y = w·GAP(M) + b"``: ResNet, EfficientNet (Zhou et al. 2016);
    - ``"y = w·GAP(ReLU(M)) + b"``: DenseNet at ``norm5``;
    - ``"y = GAP(ReLU(w·M + b))"``: SqueezeNet, whose 1x1 convolution is the classifier.
    """

    form: str
    weight: Tensor
    bias: Tensor
    error: float
    parameter: str


HEAD_FORMS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "y = w·GAP(M) + b": lambda m, w, b: m.mean(dim=(2, 3)) @ w.T + b,
    "y = w·GAP(ReLU(M)) + b": lambda m, w, b: m.relu().mean(dim=(2, 3)) @ w.T + b,
    "y = GAP(ReLU(w·M + b))": lambda m, w, b: (
        (torch.einsum("ck,bkhw->bchw", w, m) + b.view(1, -1, 1, 1)).relu().mean(dim=(2, 3))
    ),
}
_HEAD_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


class ApproximationWarning(UserWarning):
    """An approximation that was asked for was used; the message gives its measured error."""


class Trace:
    """One recorded pass of a network over a batch, read by every method.

    Args:
        network: the classifier.
        inputs: ready batch [B, C, H, W] (normalized).
        layer: the layer to record; a name, or None for the network's target layer.

    Attributes:
        activations: M [B, K, h, w], float32 (float64 for a float64 network), detached.
        logits: y [B, C], same type.
        inputs: the batch.
        layer: the :class:`camlib.layers.Layer`.
        targets: class indices [B] that are going to be asked for, if known; work that classes can share (noisy
            passes) is then done for all of them at once.

    Raises:
        ValueError, TypeError: see :meth:`Network.check_batch`, :meth:`Network.find_layer` and
            :meth:`Network.check_logits`.
    """

    def __init__(
        self,
        network: Network,
        inputs: Tensor,
        layer: str | nn.Module | None = None,
    ) -> None:
        self.network = network
        self.inputs = network.check_batch(inputs)
        self.layer = network.find_layer(layer, self.inputs)
        self.targets: list[Tensor] = []
        self._leaf, logits = self._record(self.inputs)
        self._logits = network.check_logits(logits, self.inputs)
        self.activations = _widened(self._leaf.detach())
        self.logits = _widened(self._logits.detach())
        self._gradients: dict[tuple[int, ...], Tensor] = {}
        self._moments: dict[tuple, dict[tuple[int, ...], Tensor]] = {}
        self._masked: dict[Masking, Tensor] = {}
        self._kept: dict[Hashable, Tensor] = {}
        self._scorers: dict[str, Scorer] = {}

    @classmethod
    def of(cls, network: Network, *photos: Picture, layer: str | nn.Module | None = None) -> Trace:
        """The trace of one or several pictures, prepared as the network wants them."""
        return cls(network, torch.stack([network.prepare(photo)[1] for photo in photos]), layer)

    def _record(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """One forward pass: (feature maps as a leaf of the graph, logits of whatever type the module returns)."""
        leaves: list[Tensor] = []

        def record(output: Tensor) -> Tensor:
            leaf = self.layer.to_maps(output).detach().clone().requires_grad_(True)
            leaves.append(leaf)
            torch.set_grad_enabled(True)  # the body runs without a graph, the head with one
            return self.layer.from_maps(leaf, output).clone()  # a clone: the next in-place ReLU must not touch M

        with (
            torch.inference_mode(False),
            torch.no_grad(),
            evaluating(self.network.module),
            replacing_output(self.network.module, self.layer, record),
        ):
            logits = self.network.module(inputs)
        if not leaves:
            raise ValueError(f"Layer {self.layer.name!r} did not run on {list(inputs.shape)}.")
        return leaves[0], logits

    @property
    def probabilities(self) -> Tensor:
        """Softmax over classes of the logits, [B, C]."""
        return self.logits.softmax(dim=1)

    @property
    def maps(self) -> Tensor:
        """The activations [B, K, h, w] in the network's own type: what the part behind the layer takes."""
        return self._leaf.detach()

    @property
    def positions(self) -> int:
        """h·w, the number of positions of a feature map."""
        return self.activations.shape[-2] * self.activations.shape[-1]

    def gradients(self, target: Tensor) -> Tensor:
        """Pixel gradients g_kij = ∂y_c/∂M_kij of each picture's target logit (Si et al. 2021, eq. 4).

        Args:
            target: class index of every picture, int64 [B].

        Returns:
            [B, K, h, w], logit units per activation unit, type of :attr:`activations`.
        """
        key = tuple(target.tolist())
        if key not in self._gradients:
            self._gradients[key] = self._gradient_of(self._leaf, self._logits, target)
        return self._gradients[key]

    def _gradient_of(self, leaf: Tensor, logits: Tensor, target: Tensor) -> Tensor:
        gradient = None
        if logits.requires_grad:
            with torch.inference_mode(False), torch.enable_grad():
                index = target.to(logits.device).clone()  # autograd cannot save an index made in inference mode
                score = logits.gather(1, index[:, None]).sum()
                (gradient,) = torch.autograd.grad(score, leaf, retain_graph=True, allow_unused=True)
        if gradient is None:
            raise ValueError(
                f"The logits of {self.network.name} do not depend on layer {self.layer.name!r}. Choose a layer on "
                f"the way to the logits, for example {self.network.find_layer(None, self.inputs).name!r}."
            )
        return _widened(gradient)

    def noisy_moments(self, target: Tensor, samples: int, noise: float, seed: int) -> Tensor:
        """Means of g, g² and g³ over noisy copies of the pictures (Omeiza et al. 2019, eq. 7-8).

        Args:
            target: class index of every picture, int64 [B].
            samples: number of noisy copies; each is one forward and one backward pass of the batch.
            noise: standard deviation of the Gaussian noise as a share of each picture's max - min.
            seed: seed of the noise, the same for every picture: a batch gives what single pictures give.

        Returns:
            [3, B, K, h, w].
        """
        key = (samples, noise, seed)
        wanted = {tuple(t.tolist()): t for t in [*self.targets, target]}
        known = self._moments.setdefault(key, {})
        if tuple(target.tolist()) not in known:
            self._moments[key] = known = self._sample_moments(wanted, samples, noise, seed)
        return known[tuple(target.tolist())]

    def _sample_moments(
        self, wanted: dict[tuple[int, ...], Tensor], samples: int, noise: float, seed: int
    ) -> dict[tuple[int, ...], Tensor]:
        generator = torch.Generator().manual_seed(seed)
        spread = self.inputs.amax(dim=(1, 2, 3)) - self.inputs.amin(dim=(1, 2, 3))
        sums = {key: torch.zeros(3, *self.activations.shape).to(self.activations) for key in wanted}
        for _ in range(samples):
            draw = torch.randn(self.inputs.shape[1:], generator=generator).to(self.inputs)
            with torch.inference_mode(False):
                noisy = self.inputs + (noise * spread.view(-1, 1, 1, 1) * draw).clone()
            leaf, logits = self._record(noisy)
            for key, target in wanted.items():
                gradient = self._gradient_of(leaf, logits, target)
                sums[key] += torch.stack([gradient, gradient**2, gradient**3])
        return {key: total / samples for key, total in sums.items()}

    # -- scores of changed pictures and of changed feature maps ----------------------------------------------------

    @cached_property
    def live(self) -> Tensor:
        """Channels that are not constant over their positions, bool [B, K]; the others make no mask."""
        return live_channels(self.activations)

    def masked_logits(self, masking: Masking | None = None) -> Tensor:
        """Logits of every picture masked by each of its feature maps, for all classes (Wang et al. 2019, eq. 1-4).

        Args:
            masking: how masks are made and what they hide behind; None is :class:`Masking`'s default.

        Returns:
            [B, K, C], type of :attr:`logits`; zeros where a channel is not :attr:`live`, because no picture is made
            for it. K forward passes a picture, made once for all classes and methods.

        Warns:
            ApproximationWarning: a precision below the network's own was asked for; the message gives its error.
        """
        masking = masking or Masking()
        if masking not in self._masked:
            made = torch.zeros(*self.activations.shape[:2], self.logits.shape[1]).to(self.logits)
            for b in range(len(self.inputs)):
                channels = self.live[b].nonzero().flatten()
                if len(channels):
                    made[b, channels] = self._masked_logits_of(b, channels, masking)
            self._masked[masking] = made
            if masking.precision != "float32":
                self._report_precision(masking)
        return self._masked[masking]

    def _masked_logits_of(self, b: int, channels: Tensor, masking: Masking) -> Tensor:
        picture, maps = self.inputs[b].to(self.activations.dtype), self.activations[b, channels]
        size, filler = tuple(picture.shape[-2:]), filler_of(self.network, picture, masking)

        def write(buffer: Tensor, start: int, stop: int) -> None:
            blend(picture, masks_of(maps[start:stop], size, masking), filler, buffer)

        return self.scorer(masking.precision).logits(len(channels), write, "masked pictures").to(self.logits)

    def _report_precision(self, masking: Masking) -> None:
        """Warn with the error of a low precision, measured on a sample of the masks of the first picture."""
        channels = self.live[0].nonzero().flatten()
        channels = channels[:: max(1, len(channels) // _SAMPLED_MASKS)][:_SAMPLED_MASKS]
        if len(channels) < 2:
            return
        exact = self._masked_logits_of(0, channels, replace(masking, precision="float32"))
        found = self._masked[masking][0, channels]
        top = int(self.logits[0].argmax())
        scores = torch.stack([found.softmax(dim=1)[:, top], exact.softmax(dim=1)[:, top]])
        maps = framework.class_activation_map(scores, self.activations[0, channels].expand(2, -1, -1, -1))
        r = float(torch.corrcoef(maps.flatten(1).double())[0, 1])
        warnings.warn(
            f"{masking.precision} scores, measured on {len(channels)} masks in both precisions: map correlation "
            f"{r:.4f}, largest deviation of a probability {float((scores[0] - scores[1]).abs().max()):.1g}, of a "
            f"logit {float((found - exact).abs().max()):.2g}.",
            ApproximationWarning,
            stacklevel=outside_stacklevel(),
        )

    def scorer(self, precision: str = "float32") -> Scorer:
        """The engine that runs many changed versions of the batch's pictures; made once a precision."""
        if precision not in self._scorers:
            self._scorers[precision] = Scorer(self.network, self.inputs, precision, self._logits[:1])
        return self._scorers[precision]

    def picture_logits(self, key: Hashable, count: int, write: Callable[[int], Writer], what: str) -> Tensor:
        """Logits of ``count`` changed versions of each picture, [B, count, C]; kept unless ``key`` is None.

        ``write(b)`` returns the function that fills a buffer with versions of picture b, see :class:`Scorer`.
        """
        if key in self._kept:
            return self._kept[key]
        made = [self.scorer().logits(count, write(b), what) for b in range(len(self.inputs))]
        logits = torch.stack(made).to(self.logits)
        if key is not None:
            self._kept[key] = logits
        return logits

    def tail_logits(self, key: Hashable, count: int, write: Callable[[int], Writer], what: str) -> Tensor:
        """Logits behind the layer of ``count`` changed sets of each picture's feature maps, [B, count, C].

        ``write(b)`` returns the function that fills a buffer [n, K, h, w] for picture b, see
        :class:`camlib.engine.scoring.Tail`. Only the network behind the layer runs. The result is kept under ``key``.
        """
        if key not in self._kept:
            made = []
            with progress(count * len(self.inputs), what) as advance:
                for b in range(len(self.inputs)):
                    made.append(self._tail(b).logits(count, write(b), advance))
            self._kept[key] = torch.stack(made).to(self.logits)
        return self._kept[key]

    def _tail(self, b: int) -> Tail:
        row = slice(b, b + 1)
        return Tail(self.network, self.layer, self.inputs[row], self.maps[row], self._logits[row])

    def ablated_logits(self) -> Tensor:
        """Logits with one channel at a time set to 0 (Desai and Ramaswamy 2020), [B, K, C]; K tails, no bodies."""
        channels = self.activations.shape[1]
        return self.tail_logits("ablated", channels, lambda b: _Ablation(self.maps[b]), "ablated channels")

    @cached_property
    def head(self) -> LinearHead | None:
        """The linear head that this trace proves, or None where no row of weights explains the logits.

        Every weight matrix [C, K] of the network is tried in the three forms of :class:`LinearHead`; a form holds
        when it reproduces all logits of all pictures to 1e-4 of the largest one (1e-9 in float64, 3e-2 in half
        precision). A name is never looked at.
        """
        tolerance = _HEAD_TOLERANCE.get(self.network.dtype, 3e-2)
        scale = self.logits.abs().max().clamp(min=1e-30)
        best: LinearHead | None = None
        for name, weight, bias in self._candidate_heads():
            for form, logits_of in HEAD_FORMS.items():
                error = float((logits_of(self.activations, weight, bias) - self.logits).abs().max() / scale)
                if error <= tolerance and (best is None or error < best.error):
                    best = LinearHead(form, weight, bias, error, name)
        return best

    def _candidate_heads(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """(name, weight [C, K], bias [C]) of every Linear or 1x1 convolution from K channels to C classes."""
        shape = (self.logits.shape[1], self.activations.shape[1])
        for name, child in self.network.module.named_modules():
            weight = getattr(child, "weight", None)
            if not isinstance(child, nn.Linear | nn.Conv2d) or weight.numel() != shape[0] * shape[1]:
                continue
            if tuple(weight.shape[:2]) == shape and bool(weight.any()):
                bias = child.bias if child.bias is not None else weight.new_zeros(shape[0])
                yield f"{name}.weight", _widened(weight.detach().reshape(shape)), _widened(bias.detach())


def _widened(tensor: Tensor) -> Tensor:
    """float32 for half precision, everything else as it is: weights of maps are never computed in half precision."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
