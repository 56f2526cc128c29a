"""Many forward passes of one network: a stream of changed pictures, or of changed feature maps behind a layer.

Both stream through one reused buffer of one batch. On a CPU the batch is chosen so that the widest tensor of a pass
stays under 32 MiB: glibc returns larger buffers to the system after each use, and the next batch pays for every page
again (1.3 to 3.9 times the time, see notebook 17; :func:`camlib.engine.runtime.keep_buffers` lifts the limit).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from tqdm import tqdm

from camlib.engine.folding import FastCopy, WidestTensor, fast_copy, relative_error, tolerance
from camlib.layers import Layer, replacing_output
from camlib.networks import Network, Ready

CPU_BYTES = 32 * 2**20
"""Size at which glibc stops keeping a freed buffer (its largest dynamic mmap threshold)."""
GPU_BYTES = 256 * 2**20
LARGEST_BATCH = 128
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}
"""Names of precisions; float32 stands for the network's own type."""

Writer = Callable[[Tensor, int, int], None]
"""``write(buffer, start, stop)`` fills ``buffer`` [stop - start, ...] with the items from start to stop."""


def batch_for(widest: int, device: torch.device) -> int:
    """Pictures in a batch whose widest tensor stays under the limit of the device's allocator."""
    limit = CPU_BYTES if device.type == "cpu" else GPU_BYTES
    return max(1, min(LARGEST_BATCH, (limit - 1) // max(widest, 1)))


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[int], object]]:
    """A bar that appears only for work of more than two seconds; yields the function that moves it on."""
    with tqdm(total=total, desc=what, unit="pass", delay=2, leave=False, dynamic_ncols=True) as bar:
        yield bar.update


class Scorer:
    """Logits of many changed versions of one picture, through a private fast copy of the network.

    Args:
        network: the classifier; it is not touched.
        inputs: one ready picture [1, C, *space], as :meth:`camlib.Network.check_batch` returns it.
        precision: "float32" (the network's own type) or "bfloat16".
        expected: logits of the picture if they are known, [1, classes].

    Attributes:
        copy: the :class:`camlib.engine.folding.FastCopy` that runs.
        batch: pictures in one forward pass.
        pictures: number of pictures that have gone through.
    """

    def __init__(
        self, network: Network, inputs: Tensor, precision: str = "float32", expected: Tensor | None = None
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision={precision!r}: expected one of {tuple(PRECISIONS)}.")
        self.network = network
        inputs = network.check_batch(inputs[:1])
        ready = network.ready(inputs)
        self._run = ready.run
        with torch.inference_mode(False):
            pictures, logits = _proofs(ready, inputs, expected)
            self.copy: FastCopy = fast_copy(ready.copy(), pictures, logits, PRECISIONS[precision], run=ready.run)
            self.dtype = PRECISIONS[precision] or inputs.dtype
            self.batch = batch_for(self.copy.widest, inputs.device) if ready.run.together else 1
            shape = (self.batch, *inputs.shape[1:])
            self._buffer = torch.empty(shape, dtype=self.dtype, device=inputs.device).contiguous(
                memory_format=self.copy.memory_format
            )
        self.pictures = 0

    def logits(self, count: int, write: Writer, what: str = "pictures") -> Tensor:
        """Logits of ``count`` pictures, [count, classes], float32 (float64 for a float64 network).

        ``write(buffer, start, stop)`` fills the buffer [stop - start, C, *space] with normalized pictures; ``what``
        names them in the progress bar. Raises ValueError where the network makes NaN or Inf of one of them.
        """
        with progress(count, what) as advance:
            found = _stream(self.run, self._buffer, count, write, advance)
        if not bool(found.isfinite().all()):
            bad = int((~found.isfinite().all(dim=1)).sum())
            raise ValueError(
                f"{self.network.name} returns NaN or Inf for {bad} of {count} {what} ({self.dtype}); a picture of one "
                f"color may do that to a network that divides by a standard deviation. Choose another filler "
                f"('noise', 'blur'), or a method without masked pictures."
            )
        return found

    def run(self, pictures: Tensor) -> Tensor:
        """Logits [n, classes] of ready pictures in one pass of the copy; gradients flow if they are switched on."""
        self.pictures += len(pictures)
        return self._run(self.copy.module, pictures)


def _proofs(ready: Ready, picture: Tensor, expected: Tensor | None) -> tuple[Tensor, Tensor]:
    """Pictures on which a copy must give the network's logits, and these: the picture, a blank one, noise."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(picture.shape, generator=generator).to(picture)
    pictures = torch.cat([picture, torch.zeros_like(picture), noise])
    with ready.held() as module, torch.no_grad():
        if expected is None:
            return pictures, torch.cat([ready.run(module, row.clone()) for row in pictures.split(1)])
        others = [ready.run(module, row.clone()) for row in pictures[1:].split(1)]
    return pictures, torch.cat([expected.detach(), *others])


def _stream(
    run: Callable[[Tensor], Tensor], buffer: Tensor, count: int, write: Writer, advance: Callable[[int], object]
) -> Tensor:
    """Fill the buffer, run it, keep the logits; until ``count`` items have gone through."""
    collected: Tensor | None = None
    for start in range(0, count, len(buffer)):
        stop = min(start + len(buffer), count)
        rows = buffer[: stop - start]
        with torch.inference_mode():
            write(rows, start, stop)
            logits = run(rows)
        if collected is None:
            wide = torch.promote_types(logits.dtype, torch.float32)
            with torch.inference_mode(False):  # ordinary tensors, whatever mode the caller is in
                collected = torch.empty(count, logits.shape[1], dtype=wide, device=logits.device)
        collected[start:stop] = logits
        advance(stop - start)
    if collected is None:
        raise ValueError(f"count={count}: expected at least one item.")
    return collected


class Tail:
    """The part of a network behind a layer, run on feature maps of one picture without repeating the body.

    The modules that are complete before the layer are not run: they hand out stand-ins. Zeros do where nothing
    behind the layer reads them, which is proven by the logits; otherwise one body pass records what they made. Where
    even that does not reproduce the logits, the whole network runs on copies of the picture.

    Args:
        ready: the network, ready for pictures of this size.
        layer: the layer whose maps are replaced.
        inputs: one ready picture [1, C, *space].
        maps: its feature maps [1, K, h, w].
        expected: its logits [1, classes].

    Attributes:
        form: "tail", "tail with body" (its outputs were recorded in one pass) or "whole network".
        batch: rows in one pass.
        rows: number of rows that have gone through.
    """

    def __init__(self, ready: Ready, layer: Layer, inputs: Tensor, maps: Tensor, expected: Tensor) -> None:
        self.layer, self.rows, self._ready = layer, 0, ready
        self._inputs, self._maps, self._expected = inputs, maps.to(inputs.dtype), expected.detach()
        self._stand_ins, behind = ready.survey.body(layer)
        self._own, self._format = None, torch.contiguous_format
        modules = dict(ready.twin.module.named_modules())
        if any(isinstance(modules.get(name), nn.Conv2d) for name in behind):
            with torch.inference_mode(False):
                proof = _proofs(ready, inputs, self._expected)
                made = fast_copy(ready.copy(), *proof, keep=_names(layer), run=ready.run)
            self._own, self._format = made.module, made.memory_format if maps.dim() == 4 else self._format
        self.form, widest = self._settle()
        self.batch = batch_for(widest, inputs.device) if ready.run.together else 1
        with torch.inference_mode(False):
            shape = (self.batch, self._maps.shape[1], *layer.folded)
            self._buffer = torch.empty(shape, dtype=inputs.dtype, device=inputs.device).contiguous(
                memory_format=self._format
            )

    def logits(self, count: int, write: Writer, advance: Callable[[int], object] = lambda _: None) -> Tensor:
        """Logits of ``count`` sets of feature maps, [count, classes].

        ``write(buffer, start, stop)`` fills the buffer [stop - start, K, h, w]; for a layer behind a ReLU it must
        not write negative values.
        """
        return _stream(self.run, self._buffer, count, write, advance)

    def run(self, maps: Tensor) -> Tensor:
        """Logits [n, classes] of ready feature maps [n, K, h, w]; gradients flow if they are switched on."""
        self.rows += len(maps)
        maps = self.layer.unfold(maps)
        return self._whole(maps) if self.form == "whole network" else self._behind(maps)

    def _settle(self) -> tuple[str, int]:
        """(cheapest form that reproduces the logits, bytes of the widest tensor that one row makes)."""
        if (widest := self._reproduced(self._behind)) is not None:
            return "tail", widest
        try:
            self._stand_ins = self._recorded_body()
            if (widest := self._reproduced(self._behind)) is not None:
                return "tail with body", widest
        except Exception:  # a network that cannot be cut is run as a whole
            pass
        with torch.no_grad(), WidestTensor() as widest:
            self._whole(self._maps)
        return "whole network", widest.bytes

    def _reproduced(self, run: Callable[[Tensor], Tensor]) -> int | None:
        """Bytes of the widest tensor a row, or None where the unchanged maps do not give the logits."""
        rows = 2 if self._ready.run.together else 1
        try:
            with torch.no_grad(), WidestTensor() as widest:
                repeated = self._maps.expand(rows, *self._maps.shape[1:]).contiguous(memory_format=self._format)
                logits = run(repeated)
        except Exception:  # shapes that do not meet: not a tail of this network
            return None
        expected = self._expected.expand(rows, -1)
        if logits.shape != expected.shape or relative_error(logits, expected) > tolerance(logits.dtype):
            return None
        return widest.bytes // rows

    def _recorded_body(self) -> list[tuple[str, object]]:
        """What the stand-ins really returned for this picture, in order of calls; one pass of the network."""
        recorded: list[tuple[str, object]] = []
        wanted = {name for name, _ in self._stand_ins}
        with ExitStack() as stack, self._held() as module, torch.no_grad():
            for name in wanted:
                child = module.get_submodule(name)

                def keep(_m: nn.Module, _a: tuple, output: object, name: str = name) -> None:
                    recorded.append((name, output.clone() if isinstance(output, Tensor) else output))

                stack.callback(child.register_forward_hook(keep).remove)
            self._ready.run(module, self._inputs.clone())
        return recorded[: len(self._stand_ins)]

    def _behind(self, maps: Tensor) -> Tensor:
        """Logits with ``maps`` [n, K, h, w] as the layer's output; complete body modules are not run."""
        queues: dict[str, deque] = {}
        for name, output in self._stand_ins:
            queues.setdefault(name, deque()).append(lambda output=output: _rows(output, len(maps), maps))
        *_, (_, last) = self._stand_ins  # the layer's own module comes last
        queues[self.layer.module].pop()
        queues[self.layer.module].append(lambda: self.layer.from_maps(maps, _rows(last, len(maps), maps)))
        with ExitStack() as stack, self._held() as module:
            for name, queue in queues.items():
                stack.enter_context(_standing_in(module.get_submodule(name), queue))
            return self._ready.run(module, self._inputs.clone())

    @contextmanager
    def _held(self) -> Iterator[nn.Module]:
        """The private copy, or the network's twin, which is everybody's and keeps what it has computed for later."""
        if self._own is not None:
            yield self._own
        else:
            with self._twin() as module:
                yield module

    @contextmanager
    def _twin(self) -> Iterator[nn.Module]:
        """The network's twin for this thread alone, out of inference mode; gradients stay on or off."""
        gradients = torch.is_grad_enabled()
        with self._ready.held() as module, torch.set_grad_enabled(gradients):
            yield module

    def _whole(self, maps: Tensor) -> Tensor:
        """Logits of the whole network on copies of the picture, whose maps are replaced at the layer."""

        def replace(output: Tensor) -> Tensor:
            return self.layer.put(maps, output)

        pictures = self._inputs.expand(len(maps), *self._inputs.shape[1:]).contiguous()
        with self._twin() as module, replacing_output(module, self.layer, replace):
            return self._ready.run(module, pictures)


def _names(layer: Layer) -> set[str]:
    """Names of the modules that return the layer's tensor."""
    return {layer.module, *(alias.partition("+")[0].partition(":")[0] for alias in layer.aliases)}


def _rows(output: object, count: int, like: Tensor) -> object:
    """A stand-in for a module's output on ``count`` rows: zeros of the shape, or one recorded row repeated.

    A repeated row shares memory, so that an in-place operation on it raises instead of spoiling the next pass.
    """
    if isinstance(output, Tensor):
        return output.clone() if count == 1 else output.expand(count, *output.shape[1:])
    return torch.zeros(1, dtype=like.dtype, device=like.device).expand(count, *output[1:])


@contextmanager
def _standing_in(module: nn.Module, queue: deque) -> Iterator[None]:
    """Inside the block the module's first calls return the queue's outputs; later calls run it."""
    own = module.__dict__.get("forward")
    forward = module.forward

    def stand_in(*args: object, **kwargs: object) -> object:
        return queue.popleft()() if queue else forward(*args, **kwargs)

    module.__dict__["forward"] = stand_in
    try:
        yield
    finally:
        if own is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = own
