"""``Survey``: what is known of a network's layers for pictures of one size, and the layer of a name."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from torch import Tensor, nn

from camlib.layers.default import default_layer
from camlib.layers.layer import Layer, split_name
from camlib.layers.probing import Probe, layers_of


@dataclass(frozen=True)
class Survey:
    """What one probing pass found out for inputs of one size.

    Attributes:
        modules: names of all its modules.
        layers: the layers that can be explained, in order of computation.
        default: the one that is explained when none is named; None where there is none.
        calls: module -> how often it runs in a pass.
        others: module -> what it returns where that is no tensor.
        shapes: module -> shape of the tensor that it returns.
        functional_relus: number of ReLUs that are function calls.
        completed: modules in order of completion, with the shape of the tensor that each returned, or None.
        logits: what the network returned for the noise, [1, C].
    """

    modules: frozenset[str]
    layers: list[Layer]
    default: Layer | None
    calls: dict[str, int]
    others: dict[str, str]
    shapes: dict[str, list[int]]
    functional_relus: int
    completed: list[tuple[str, tuple[int, ...] | None]]
    logits: Tensor

    @classmethod
    def of(cls, module: nn.Module, inputs: Tensor, found: Probe) -> Survey:
        """What the probing pass of a module in eval mode on ``inputs`` [1, C, H, W] tells; a few more passes."""
        return cls(
            modules=frozenset(name for name, _ in module.named_modules()),
            layers=layers_of(found),
            default=default_layer(module, inputs, found),
            calls=found.calls,
            others=found.others,
            shapes={o.name: list(o.tensor.shape) for o in found.outputs},
            functional_relus=found.functional_relus,
            completed=found.completed,
            logits=found.logits,
        )

    def body(self, layer: Layer) -> tuple[list[tuple[str, tuple[int, ...]]], list[str]]:
        """(outermost modules that are complete when the layer is, with their shapes; names of all that come later).

        The layer's own module is the last of the first list.
        """
        before: list[tuple[str, tuple[int, ...] | None]] = []
        calls = 0
        for position, (name, shape) in enumerate(self.completed):
            while before and before[-1][0].startswith(name + "."):
                before.pop()  # it ran inside of the module that is now complete
            before.append((name, shape))
            calls += name == layer.module
            if name == layer.module and calls == layer.call:
                behind = [later for later, _ in self.completed[position + 1 :]]
                return [(done, shape) for done, shape in before if shape is not None], behind
        raise ValueError(f"Layer {layer.name!r} does not run on this input size.")

    def find(self, name: str | None, network: str) -> Layer:
        """The layer of this name, for None the default one; errors name the ``network``.

        Raises ValueError as :meth:`camlib.Network.find_layer`.
        """
        if name is None:
            if self.default is None:
                raise ValueError(
                    f"{network} has no spatial feature maps on this input size. Pass a larger picture, or an "
                    f"explicit layer; Network.layers() lists what there is."
                )
            return self.default
        for found in self.layers:
            if name == found.name:
                return found
        module, call, rectifier = split_name(name)
        alias = name.partition("+")[0]
        for found in self.layers:
            if alias in found.aliases and rectifier == found.rectifier:
                return replace(found, name=name, module=module, call=call or 1)
        raise ValueError(self._why_not(name, network))

    def _why_not(self, name: str, network: str) -> str:
        module, call, rectifier = split_name(name)
        names = [found.name for found in self.layers]
        if module not in self.modules:
            near = difflib.get_close_matches(name, names, n=4, cutoff=0.4)
            near = near or [found.name for found in self.layers if "." not in found.name] or names[-4:]
            return (
                f"Layer {name!r} is not in {network}. Nearest: {', '.join(near)}. "
                f"Network.layers() lists all {len(names)}; None takes the default."
            )
        if not module:
            return f"The network itself is not a layer. Layers of {network}: {', '.join(names[-4:])} ..."
        if module not in self.calls:
            return f"Layer {module!r} of {network} does not run on this input. Choose one of {names[-4:]}."
        if module in self.others and module not in self.shapes:
            return f"Layer {module!r} returns {self.others[module]}, not one tensor. Choose one of {names[-4:]}."
        if self.calls[module] > 1 and not call:
            runs = [n for n in names if split_name(n)[0] == module] or [f"{module}:1"]
            return f"Layer {module!r} runs {self.calls[module]} times in one pass. Say which: {', '.join(runs[:6])}."
        if call:
            runs = f"{self.calls[module]} time{'s' if self.calls[module] > 1 else ''}"
            return (
                f"Layer {module!r} runs {runs} in one pass, so there is no {name!r}. Layers: {', '.join(names[-4:])}."
            )
        if rectifier:
            return f"{network} does not rectify {module!r} by a function call; use {module!r} or a ReLU module."
        return (
            f"Layer {module!r} returns {self.shapes[module]}, which is not a map over space with more than one "
            f"position. The last spatial layers are {', '.join(names[-4:])}."
        )
