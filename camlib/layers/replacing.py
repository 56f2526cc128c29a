"""A layer whose output is replaced while the network runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from camlib.layers.layer import Layer
from camlib.layers.probing import version_of


@contextmanager
def replacing_output(module: nn.Module, layer: Layer, replacement: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside the block the layer's output passes through ``replacement``; the hook is always removed.

    A layer that is the result of a rectifying function call is replaced behind that call: in front of it the
    derivative of the ReLU would cut the gradient wherever the rectified map is zero.
    """
    calls = 0
    rectification = _ReplacingRectification(replacement) if layer.rectifier else None

    def hook(_module: nn.Module, _args: tuple, _kwargs: dict, output: Tensor) -> Tensor | None:
        nonlocal calls
        calls += 1
        if calls != layer.call:
            return None
        if rectification:
            rectification.expect(output)
            return None
        return replacement(output)

    handle = module.get_submodule(layer.module).register_forward_hook(hook, with_kwargs=True)
    try:
        with rectification or nullcontext():
            yield
    finally:
        handle.remove()


class _ReplacingRectification(TorchFunctionMode):
    """Passes the result of one ReLU function call, the one on the expected tensor, through ``replacement``."""

    _names = ("relu", "relu_", "relu6", "relu6_", "hardtanh", "hardtanh_")

    def __init__(self, replacement: Callable[[Tensor], Tensor | None]) -> None:
        super().__init__()
        self.replacement = replacement
        self.source: Tensor | None = None
        self.version = 0

    def expect(self, source: Tensor) -> None:
        """Wait for a ReLU of this tensor in the state it has now."""
        self.source, self.version = source, version_of(source)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        source = self.source
        if (
            source is None
            or getattr(func, "__name__", "") not in self._names
            or (args[0] if args else kwargs.get("input")) is not source
            or version_of(source) != self.version
        ):
            return func(*args, **kwargs)
        self.source = None
        result = func(*args, **kwargs)
        replaced = self.replacement(result)
        if replaced is None or result is not source:
            return result if replaced is None else replaced
        return source.copy_(replaced)  # in-place: the network may go on with either of the two names
