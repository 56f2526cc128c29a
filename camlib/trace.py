"""``Trace``: what one pass of a network over a batch of pictures leaves at one layer.

Activations M [B, K, h, w] and logits y [B, C] come from the one forward pass; gradients of a class, the proof of a
linear head, the moments of noisy passes and the logits of masked pictures are computed when a method first asks for
them and kept for the next one. Only the part of the network behind the layer records a graph, so a gradient costs a
backward pass from the logits to the layer and no more. Scores are kept for all classes: the second class is free.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from camlib.engine import recording
from camlib.engine.landmarks import Landmarks, stakes_of, survey
from camlib.engine.linear_head import LinearHead, proven_head
from camlib.engine.masked import Ablation, ApproximationWarning, masked_pictures, sampled, warn_about_precision
from camlib.engine.masking import Masking, live_channels
from camlib.engine.recording import widened
from camlib.engine.scoring import Scorer, Tail, Writer, progress
from camlib.networks import Network
from camlib.pictures import Picture

__all__ = ["ApproximationWarning", "LinearHead", "Trace"]


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
        self._leaf, logits = recording.record(network, self.layer, self.inputs)
        self._logits = network.check_logits(logits, self.inputs)
        self.activations = widened(self._leaf.detach())
        self.logits = widened(self._logits.detach())
        self._gradients: dict[tuple[int, ...], Tensor] = {}
        self._moments: dict[tuple, dict[tuple[int, ...], Tensor]] = {}
        self._masked: dict[Masking, Tensor] = {}
        self._landmarks: dict[Masking, list[Landmarks | None]] = {}
        self._kept: dict[Hashable, Tensor] = {}
        self._scorers: dict[str, Scorer] = {}

    @classmethod
    def of(cls, network: Network, *photos: Picture, layer: str | nn.Module | None = None) -> Trace:
        """The trace of one or several pictures, prepared as the network wants them."""
        return cls(network, torch.stack([network.prepare(photo)[1] for photo in photos]), layer)

    @property
    def probabilities(self) -> Tensor:
        """Probabilities of the classes by the network's output activation, [B, C]."""
        return self.network.probabilities(self.logits)

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
            with self._saying_where():
                self._gradients[key] = recording.gradient(self._leaf, self._logits, target)
        return self._gradients[key]

    def score_gradients(self, score: recording.Score) -> Tensor:
        """Pixel gradients of each picture's score, [B, K, h, w]; ``score`` maps logits [B, C] to [B]. Not kept."""
        with self._saying_where():
            return recording.score_gradient(self._leaf, self._logits, score)

    def hessian_product(self, score: recording.Score, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient g and Hessian-vector product Hv of each picture's score with respect to its feature maps.

        Args:
            score: logits [B, C] -> [B].
            vector: v [B, K, h, w].

        Returns:
            (g, Hv), [B, K, h, w] each, two backward passes. Hv is 0 where the score is piecewise linear in the maps. A
            fused attention cannot be differentiated twice: the pass is then recorded once more with its plain form.
        """
        with self._saying_where():
            try:
                return recording.hessian_product(self._leaf, self._logits, score, vector)
            except RuntimeError:
                with sdpa_kernel(SDPBackend.MATH):
                    leaf, logits = recording.record(self.network, self.layer, self.inputs)
                    return recording.hessian_product(leaf, logits, score, vector)

    @contextmanager
    def _saying_where(self) -> Iterator[None]:
        """An error without names becomes one that says which layer the logits do not depend on."""
        try:
            yield
        except recording.Unreached:
            raise ValueError(
                f"The logits of {self.network.name} do not depend on layer {self.layer.name!r}. Choose a layer on "
                f"the way to the logits, for example {self.network.find_layer(None, self.inputs).name!r}."
            ) from None

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
            with self._saying_where():
                self._moments[key] = known = recording.noisy_moments(
                    self.network, self.layer, self.inputs, wanted, samples, noise, seed
                )
        return known[tuple(target.tolist())]

    # -- scores of changed pictures and of changed feature maps ----------------------------------------------------

    @cached_property
    def live(self) -> Tensor:
        """Channels that are not constant over their positions, bool [B, K]; the others make no mask."""
        return live_channels(self.activations)

    def masked_logits(self, masking: Masking | None = None) -> Tensor:
        """Logits of every picture masked by each of its feature maps, for all classes (Wang et al. 2019, eq. 1-4).

        Args:
            masking: how masks are made and what they hide behind; None is :class:`Masking`'s default. With ``passes``
                below the number of live channels, so many masks run for each picture, those that tell most of the maps
                of its most probable classes; the other logits are interpolated (:mod:`camlib.engine.landmarks`).

        Returns:
            [B, K, C], type of :attr:`logits`; zeros where a channel is not :attr:`live`, because no picture is made
            for it. K forward passes a picture, made once for all classes and methods.

        Warns:
            ApproximationWarning: a precision below the network's own was asked for; the message gives its error.
        """
        masking = masking or Masking()
        if masking not in self._masked:
            made, surveyed = torch.zeros(*self.activations.shape[:2], self.logits.shape[1]).to(self.logits), []
            for b in range(len(self.inputs)):
                channels = self.live[b].nonzero().flatten()
                surveyed.append(self._survey(b, channels, masking))
                if surveyed[b] is not None:
                    made[b, channels] = surveyed[b].logits.to(made)
                elif len(channels):
                    made[b, channels] = self._masked_logits_of(b, channels, masking)
            self._masked[masking], self._landmarks[masking] = made, surveyed
            if masking.precision != "float32":
                self._report_precision(masking)
        return self._masked[masking]

    def landmarks(self, masking: Masking) -> list[Landmarks | None]:
        """The scored masks behind :meth:`masked_logits`, one a picture; None where every live channel was scored."""
        self.masked_logits(masking)
        return self._landmarks[masking]

    def _survey(self, b: int, channels: Tensor, masking: Masking) -> Landmarks | None:
        if masking.passes is None or masking.passes >= len(channels):
            return None
        return survey(
            self.activations[b, channels],
            masking.passes,
            lambda chosen: self._masked_logits_of(b, channels[chosen], masking),
            stakes_of(self.probabilities[b]),
            self.network.output,
        )

    def _masked_logits_of(self, b: int, channels: Tensor, masking: Masking) -> Tensor:
        write = masked_pictures(self.network, self.inputs[b], self.activations[b, channels], masking)
        return self.scorer(masking.precision).logits(len(channels), write, "masked pictures").to(self.logits)

    def _report_precision(self, masking: Masking) -> None:
        maps = self.activations[0, sampled(self.live[0].nonzero().flatten())]
        write, top = masked_pictures(self.network, self.inputs[0], maps, masking), int(self.logits[0].argmax())
        warn_about_precision(write, maps, top, self.scorer(), self.scorer(masking.precision), masking.precision)

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

    def once(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """What ``make`` makes, made once and kept under ``key``: work that classes share."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def tail_logits(self, key: Hashable, count: int, write: Callable[[int], Writer], what: str) -> Tensor:
        """Logits behind the layer of ``count`` changed sets of each picture's feature maps, [B, count, C].

        ``write(b)`` returns the function that fills a buffer [n, K, h, w] for picture b, see
        :class:`camlib.engine.scoring.Tail`. Only the network behind the layer runs. The result is kept under ``key``.
        """
        if key not in self._kept:
            made = []
            with progress(count * len(self.inputs), what) as advance:
                for b in range(len(self.inputs)):
                    made.append(self.tail(b).logits(count, write(b), advance))
            self._kept[key] = torch.stack(made).to(self.logits)
        return self._kept[key]

    def tail(self, b: int) -> Tail:
        """The network behind the layer, ready to run on changed feature maps of picture b."""
        row = slice(b, b + 1)
        return Tail(self.network, self.layer, self.inputs[row], self.maps[row], self._logits[row])

    def ablated_logits(self) -> Tensor:
        """Logits with one channel at a time set to 0 (Desai and Ramaswamy 2020), [B, K, C]; K tails, no bodies."""
        channels = self.activations.shape[1]
        return self.tail_logits("ablated", channels, lambda b: Ablation(self.maps[b]), "ablated channels")

    @cached_property
    def head(self) -> LinearHead | None:
        """The linear head that this trace proves, or None; see :func:`camlib.engine.linear_head.proven_head`."""
        return proven_head(self.network.module, self.activations, self.logits, self.network.dtype)
