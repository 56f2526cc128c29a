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

from camlib import framework
from camlib.engine import recording, sharing
from camlib.engine.landmarks import Landmarks, stakes_of, survey
from camlib.engine.linear_head import LinearHead, proven_head
from camlib.engine.masked import Ablation, ApproximationWarning, masked_pictures, sampled, warn_about_precision
from camlib.engine.masking import Masking, live_channels
from camlib.engine.recording import widened
from camlib.engine.scoring import Scorer, Tail, Writer, progress
from camlib.layers import Layer
from camlib.networks import Network
from camlib.pictures import Picture

__all__ = ["ApproximationWarning", "LinearHead", "Trace"]


class Trace:
    """One recorded pass of a network over a batch, read by every method.

    A network without any spatial layer has a trace, too, for methods that look at pixels alone: ``layer`` is then None,
    and reading :attr:`activations` raises what :meth:`Network.find_layer` raises.

    Args:
        network: the classifier.
        inputs: ready batch [B, C, H, W] (normalized); [B, C, L] or [B, C, D, H, W].
        layer: the layer to record; a name, or None for the network's target layer.

    Attributes:
        logits: y [B, C], float32 (float64 for a float64 network).
        inputs: the batch.
        ready: the network's twin, how it is called and what is known of it, for pictures of this size.
        layer: the :class:`camlib.layers.Layer`, or None.
        targets: class indices [B] that are going to be asked for, if known; work that classes can share (noisy
            passes) is then done for all of them at once.

    Raises:
        ValueError, TypeError: see :meth:`Network.check_batch`, :meth:`Network.find_layer` and
            :meth:`Network.check_logits`.
    """

    def __init__(self, network: Network, inputs: Tensor, layer: str | nn.Module | None = None) -> None:
        self.network = network
        self.inputs = network.check_batch(inputs)
        self.ready = network.ready(self.inputs)
        self.targets: list[Tensor] = []
        self.layer: Layer | None = None
        self._recording: recording.Recording | None = None
        if layer is None and network.target_layer is None and self.ready.survey.default is None:
            self._logits = self._plain_logits()
        else:
            self.layer = network.layer_of(layer, self.ready.survey)
            self._recording = recording.record(network, self.ready, self.layer, self.inputs)
            self._logits = self._recording.logits.detach()
        self.logits = widened(self._logits)
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

    def _plain_logits(self) -> Tensor:
        with self.ready.held() as module, torch.no_grad():
            return self.network.check_logits(self.ready.run(module, self.inputs.clone()), self.inputs)

    @cached_property
    def activations(self) -> Tensor:
        """M [B, K, h, w], float32 (float64 for a float64 network), detached.

        Maps of a sound have h = 1, the slices of a volume lie below each other (h = d·h); :meth:`unfolded` undoes that.
        Raises ValueError for a network without feature maps.
        """
        return widened(self.maps)

    @property
    def maps(self) -> Tensor:
        """The activations [B, K, h, w] in the network's own type: what the part behind the layer takes."""
        return self.folded(self._recorded().maps)

    def _recorded(self) -> recording.Recording:
        if self._recording is None:
            self.network.layer_of(None, self.ready.survey)  # raises, and says why there is no layer
        return self._recording

    def folded(self, maps: Tensor) -> Tensor:
        """Maps in the layer's own axes of space [..., w], [..., d, h, w] as methods see them, [..., h, w]."""
        return self.layer.fold(maps)

    def unfolded(self, values: Tensor) -> Tensor:
        """Values [..., h, w], one a position of the maps, in the layer's own axes: [..., w], [..., d, h, w]."""
        return self.layer.unfold(values)

    def enlarged(self, maps: Tensor) -> Tensor:
        """Maps [n, h, w] linearly upsampled to the size of the input, [n, H, W]; [n, L], [n, D, H, W]."""
        return framework.upsample(self.unfolded(maps), self.size)

    @property
    def positions(self) -> int:
        """h·w, the number of positions of a feature map."""
        return self.activations[0, 0].numel()

    @property
    def layer_name(self) -> str:
        """Name of the layer; "" where the network has none."""
        return "" if self.layer is None else self.layer.name

    @property
    def size(self) -> tuple[int, ...]:
        """(H, W) of the input, to which maps are enlarged: its last axes, as many as the maps have."""
        axes = len(self.layer.size) if self.layer is not None else self.inputs.dim() - 2
        return tuple(self.inputs.shape[-axes:])

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
                self._gradients[key] = self.folded(self._recorded().gradient(target))
        return self._gradients[key]

    def score_gradients(self, score: recording.Score) -> Tensor:
        """Pixel gradients of each picture's score, [B, K, h, w]; ``score`` maps logits [B, C] to [B]. Not kept."""
        with self._saying_where():
            return self.folded(self._recorded().score_gradient(score))

    def hessian_product(self, score: recording.Score, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient g and Hessian-vector product Hv of each picture's score with respect to its feature maps.

        Args:
            score: logits [B, C] -> [B].
            vector: v [B, K, h, w].

        Returns:
            (g, Hv), [B, K, h, w] each, two backward passes. Hv is 0 where the score is piecewise linear in the maps. A
            fused attention cannot be differentiated twice: the pass is then recorded once more with its plain form.
        """
        vector = self.unfolded(vector)
        with self._saying_where():
            try:
                found = self._recorded().hessian_product(score, vector)
            except RuntimeError:
                with sdpa_kernel(SDPBackend.MATH):
                    again = recording.record(self.network, self.ready, self.layer, self.inputs)
                    found = again.hessian_product(score, vector)
        return self.folded(found[0]), self.folded(found[1])

    @contextmanager
    def _saying_where(self) -> Iterator[None]:
        """An error without names becomes one that says why no gradient of the logits reaches the layer."""
        try:
            yield
        except recording.Unreached:
            why = recording.why_unreached(self.network, self.ready, self.layer, self.inputs, self._recorded())
            raise ValueError(why) from None

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
        self._recorded()  # raises where there is no layer
        if tuple(target.tolist()) not in known:
            with self._saying_where():
                found = recording.noisy_moments(
                    self.network, self.ready, self.layer, self.inputs, wanted, samples, noise, seed
                )
                self._moments[key] = known = {asked: self.folded(moments) for asked, moments in found.items()}
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
        picture, maps = self.inputs[b], self.unfolded(self.activations[b, channels])

        def made() -> Tensor:
            write = masked_pictures(self.network, picture, maps, masking)
            return self.scorer(masking.precision).logits(len(channels), write, "masked pictures").to(self.logits)

        known = (picture, self.logits[b], maps, repr(masking), repr(self.network.preprocess))
        return sharing.once_a_run(lambda: self._digest, known, made).to(self.logits)

    @cached_property
    def _digest(self) -> str:
        """Of the network whose logits a trace holds: one that changes has another trace."""
        return sharing.digest_of(self.network.module)

    def _report_precision(self, masking: Masking) -> None:
        maps = self.unfolded(self.activations[0, sampled(self.live[0].nonzero().flatten())])
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
        return Tail(self.ready, self.layer, self.inputs[row], self._recorded().maps[row], self._logits[row])

    def ablated_logits(self) -> Tensor:
        """Logits with one channel at a time set to 0 (Desai and Ramaswamy 2020), [B, K, C]; K tails, no bodies."""
        channels = self.activations.shape[1]
        return self.tail_logits("ablated", channels, lambda b: Ablation(self.maps[b]), "ablated channels")

    @cached_property
    def head(self) -> LinearHead | None:
        """The linear head that this trace proves, or None; see :func:`camlib.engine.linear_head.proven_head`."""
        with self.ready.held() as module:
            return proven_head(module, self.activations, self.logits, self._logits.dtype)
