"""``Survey``: what is known of a network's layers for pictures of one size, and the layer of a name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from camlib.layers.default import default_layer
from camlib.layers.layer import Layer, split_name
from camlib.layers.locating import Response, Run, locate, probing_pictures
from camlib.layers.parts import Scripted
from camlib.layers.probing import Probe, is_numbers, probe
from camlib.layers.reading import Reader, group_head
from camlib.layers.writing import WriteGuard, kept_random_state

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 2e-3}
"""Relative deviation of logits from which on two passes of one picture are taken to differ."""


@dataclass(frozen=True)
class Survey:
    """What the first passes found out for inputs of one size.

    Attributes:
        modules: names of all its modules.
        layers: the layers that can be explained, in order of computation.
        default: the one that is explained when none is named; None where there is none.
        calls: module -> how often it runs in a pass.
        others: module -> what it returns where that is no tensor.
        shapes: module -> shape of the tensor that it returns.
        functional_relus: number of ReLUs that are function calls.
        completed: modules in order of completion, with the shape of the tensor that each returned, or None.
        together: whether several pictures run in one pass; False where batch mates matter, or are not allowed.
        batch_matters: whether the logits of a picture depend on its batch mates.
        random: whether two passes of one picture differ.
        draws: whether a pass draws random numbers.
        blind: whether quite different pictures have the same logits, to the last bit.
        logits: of the noise picture, [1, classes].
        why_none: where there is no layer at all, why, and what to do.
    """

    modules: frozenset[str]
    layers: list[Layer]
    default: Layer | None
    calls: dict[str, int]
    others: dict[str, str]
    shapes: dict[str, list[int]]
    functional_relus: int
    completed: list[tuple[str, tuple[int, ...] | None]]
    together: bool
    batch_matters: bool
    random: bool
    draws: bool
    blind: bool
    logits: Tensor
    why_none: str

    @classmethod
    def of(cls, run: Run, module: nn.Module, inputs: Tensor, memory: Mapping[int, list[int]]) -> Survey:
        """Run a module in eval mode on one noise picture [1, C, *space], on changed ones and on batches.

        Raises :class:`camlib.layers.WritesToMemory` before a pass writes into ``memory``, and whatever the module
        raises.
        """

        def guarded(module: nn.Module, pictures: Tensor) -> Tensor:
            with WriteGuard(memory):
                return run(module, pictures)

        with kept_random_state() as drew:
            found = probe(guarded, module, inputs.clone())
        with kept_random_state():
            responses, blind, together, repeated = _responses(guarded, module, inputs, found)
            if drew[0]:  # other numbers than in the first pass: every difference is one of chance
                repeated = not deviates(_once(guarded, module, inputs), _once(guarded, module, inputs), 1e-6)
                together = together or not repeated
            reader = Reader(found, responses)
            return cls(
                modules=frozenset(name for name, _ in module.named_modules()),
                layers=reader.layers(),
                default=default_layer(guarded, module, inputs, reader),
                calls=found.calls,
                others=found.others,
                shapes={o.name: list(o.tensor.shape) for o in found.outputs},
                functional_relus=found.functional_relus,
                completed=found.completed,
                together=together,
                batch_matters=not together and repeated is True,
                random=repeated is False,
                draws=drew[0],
                blind=blind,
                logits=found.logits,
                why_none=_why_none(module, found),
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
                    f"{network} has no spatial feature maps on this input size: {self.why_none} Methods that look at "
                    f"pixels alone need none: 'rise', 'mask', 'gradient'."
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


def _responses(
    run: Run, module: nn.Module, inputs: Tensor, found: Probe
) -> tuple[dict[str, Response], bool, bool, bool | None]:
    """(how outputs follow the picture, whether logits do not, whether pictures run together, whether a picture's logits
    come out again).

    The last is None where that was not in question: one batch told all.
    """
    outputs: dict[str, dict[int, int]] = {}
    for head in map(group_head, found.groups()):
        if is_numbers(head.tensor) and head.tensor.dim() > 2 and head.tensor.numel():
            outputs.setdefault(head.name, {})[head.call] = len(head.tensor)
    pictures = probing_pictures(inputs)
    try:
        responses, logits = locate(run, module, outputs, pictures, together=True)
        complete = logits.shape == (len(pictures), *found.logits.shape[1:])
    except Exception:  # it takes one picture at a time, or this is too much for its memory
        complete = False
    if not complete:
        responses, logits = locate(run, module, outputs, pictures, together=False)
        return responses, _all_equal(logits), False, None
    if not deviates(logits[:1], found.logits):
        return responses, _all_equal(logits), True, None
    repeated = not deviates(_once(run, module, inputs), found.logits)
    if repeated:
        responses, logits = locate(run, module, outputs, pictures, together=False)
    return responses, _all_equal(logits), not repeated, repeated


def _all_equal(logits: Tensor) -> bool:
    return torch.equal(logits, logits[:1].expand_as(logits))


def _why_none(module: nn.Module, found: Probe) -> str:
    if isinstance(module, Scripted):
        return "it is TorchScript, and what happens inside cannot be seen. Pass the module that it was made of."
    if isinstance(module, torch.fx.GraphModule):
        return "it is an exported graph, whose layers are no modules. Pass the module that was exported."
    if not found.calls:
        return "it has no modules inside. Write its layers as modules, nn.Conv2d and the like."
    if all(output.tensor.numel() == output.tensor.shape[-1] for output in found.outputs if output.tensor.dim()):
        return "its modules return vectors."
    return "pass a larger picture, or an explicit layer; Network.layers() lists what there is."


def _once(run: Run, module: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return run(module, inputs.clone())


def deviates(logits: Tensor, expected: Tensor, tolerance: float | None = None) -> bool:
    """Whether logits differ by more than rounding does."""
    scale = torch.maximum(logits.abs().max(), expected.abs().max()).clamp(min=1e-12)
    if tolerance is None:
        tolerance = _TOLERANCE.get(expected.dtype, 0.1) * (1 if expected.device.type == "cpu" else 5)
    return not bool((logits - expected).abs().max() <= tolerance * scale)
