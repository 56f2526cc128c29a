"""The first passes of a network on pictures of one size: does it run, what is known of it, what must be said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

import torch
from torch import Tensor, nn

from camlib.layers import Survey, Twin, WritesToMemory
from camlib.networks import checks
from camlib.networks.calling import Call, Runner
from camlib.networks.ready import Ready, Stand
from camlib.networks.warning import warn_about
from camlib.pictures import Preprocess

_SIDES = (28, 32, 64, 96, 128, 256)
_LENGTHS = (1024, 256, 128, 64, 4096, 16000)
_VOLUMES = ((16, 112, 112), (32, 32, 32), (16, 64, 64), (16, 16, 16))


@dataclass(frozen=True)
class FirstPasses:
    """What is done once for every size of pictures and kept with the twin.

    Attributes:
        stand: keeps the twin of the module.
        call: how the module is called.
        name, class_names: of the network.
    """

    stand: Stand
    call: Call
    name: str
    class_names: list[str] | None

    def ready(self, shape: tuple[int, ...], like: Tensor) -> Ready:
        """The network ready for pictures [C, *space], on the device and in the type of ``like``."""
        twin = self.stand.twin()
        known = twin.surveys.get((shape, self.call.key))
        if known is None:
            twin, known = self._surveyed(twin, shape, like)
        return Ready(twin, Runner(self.call, known.together, known.draws), known)

    def _surveyed(self, twin: Twin, shape: tuple[int, ...], like: Tensor) -> tuple[Twin, Survey]:
        key = shape, self.call.key
        with torch.inference_mode(False):
            noise = checks.noise(shape).to(device=like.device, dtype=like.dtype)
        while True:
            try:
                with twin.lock, torch.inference_mode(False):
                    if key not in twin.surveys:  # another thread may have been faster
                        twin.surveys[key] = Survey.of(self._run, twin.module, noise, twin.shared_memory())
                        warn_about(twin.surveys[key], self.name)
                    return twin, twin.surveys[key]
            except WritesToMemory as error:
                twin = self.stand.twin_with_private(error.tensors)

    def _run(self, module: nn.Module, pictures: Tensor) -> Tensor:
        """A first pass: whatever the module raises or returns for one picture is said in one sentence."""
        if len(pictures) > 1:
            return self.call(module, pictures)
        try:
            output = self.call.output(module, pictures)
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:
            raise checks.failed(error, self.stand.module, pictures, self.name, self._runs_on) from error
        return checks.check_logits(self.call.logits(output, pictures), pictures, self.name, self.class_names)

    def _runs_on(self, noise: Tensor) -> bool:
        twin = self.stand.twin()
        try:
            with twin.lock, torch.inference_mode(False), torch.no_grad():
                self.call(twin.module, noise)
        except Exception:
            return False
        return True

    def any_survey(self) -> Survey | None:
        """What is known of the network on pictures of any size; None before its first pass."""
        return next((s for (_, key), s in self.stand.twin().surveys.items() if key == self.call.key), None)

    def usual_shape(self, preprocess: Preprocess) -> tuple[int, ...]:
        """[C, *space] of this network's pictures where nobody has given one: the first likely shape that runs."""
        usual = preprocess.channels, *preprocess.size
        seen = [shape for shape, key in self.stand.twin().surveys if key == self.call.key]
        if usual in seen:
            return usual
        tensors = (*self.stand.module.parameters(), *self.stand.module.buffers())
        like = next((tensor for tensor in tensors if tensor.is_floating_point()), torch.empty(0))
        for shape in dict.fromkeys([usual, *reversed(seen), *_likely(self.stand.module, preprocess.size)]):
            if self._runs_on(checks.noise(shape).to(like.device, like.dtype)):
                return shape
        return usual


def _likely(module: nn.Module, size: tuple[int, int]) -> Iterator[tuple[int, ...]]:
    """Shapes [C, *space] to try, by the first layer: its channels, and sizes that many networks take."""
    layers = (child for child in module.modules() if isinstance(child, nn.modules.conv._ConvNd | nn.Linear))
    first = next(layers, None)
    if isinstance(first, nn.Conv1d):
        yield from ((first.in_channels, length) for length in _LENGTHS)
    elif isinstance(first, nn.Conv3d):
        yield from ((first.in_channels, *volume) for volume in _VOLUMES)
    elif isinstance(first, nn.Linear):
        for channels in (1, 3, 4):
            side = isqrt(first.in_features // channels)
            if channels * side * side == first.in_features:
                yield channels, side, side
    channels = [first.in_channels] if isinstance(first, nn.Conv2d) else []
    for count in dict.fromkeys([*channels, 3, 1]):
        yield from ((count, *shape) for shape in (size, *((side, side) for side in _SIDES)))
