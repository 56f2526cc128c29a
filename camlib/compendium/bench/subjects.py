"""What every library is given: a network, a layer of it, and a photograph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from camlib.data.photographs import load_photo
from camlib.engine.folding import fast_copy
from camlib.explanation import compare, explain
from camlib.layers import structural_copy
from camlib.networks import Network
from camlib.trace import Trace
from camlib.zoo.pretrained import load_network

PHOTO = "bull-mastiff"


@dataclass(frozen=True)
class Setup:
    """One network of the measurement.

    ``layer`` None is the network's own target layer. ``narrow`` is an earlier layer with fewer channels. ``rounds`` is
    how often the long jobs run: once where they take minutes. Where ``whole`` is False, the settings of peers that are
    not the fastest run as many passes as ``narrow`` has channels, and their times are scaled.
    """

    network: str
    weights: str | None
    layer: str | None
    narrow: str
    rounds: int
    whole: bool


SETUPS = {
    setup.network: setup
    for setup in (
        Setup("resnet18", None, "layer4", "layer2", 3, True),
        Setup("vgg16", None, "features.29", "features.3", 1, False),
        Setup("efficientnet-lite0", "default", None, "blocks.5", 3, False),
    )
}


class Subject:
    """A network, a layer and a photograph: what every library is given.

    Attributes:
        net, name: the network, and the name under which the rows know it.
        inputs: ready batch [1, 3, H, W].
        layer, module: name of the layer, and of the module that returns it.
        targets: the five most probable classes.
        channels, live: feature maps, and those of them that are not constant.
    """

    def __init__(self, net: Network, layer: str | None, inputs: Tensor, name: str) -> None:
        self.net, self.inputs, self.name = net, inputs, name
        trace = Trace(net, inputs, layer)
        self.layer, self.module = trace.layer.name, trace.layer.module
        self.targets = trace.logits[0].topk(5).indices.tolist()
        self.channels, self.live = trace.activations.shape[1], int(trace.live.sum())
        self.logits = trace.logits

    @property
    def target(self) -> int:
        """The most probable class."""
        return self.targets[0]

    def explain(self, method: str, **options: Any) -> Tensor:
        """camlib's heatmap of the most probable class, [H, W]."""
        return explain(self.net, self.inputs, method, self.target, self.layer, **options).heatmap

    def compare(self, methods: Sequence[str]) -> None:
        """camlib's maps of all five classes."""
        compare(self.net, self.inputs, methods, self.targets, self.layer)

    def plain(self, batch: int, count: int) -> Callable[[], None]:
        """``count`` plain passes of the folded, channels-last network, ``batch`` pictures at a time."""
        copy = fast_copy(self.net.module, self.inputs, self.logits, fused=False)
        pictures = self.inputs.repeat(min(batch, count), 1, 1, 1).contiguous(memory_format=copy.memory_format)

        def run() -> None:
            with torch.inference_mode():
                for start in range(0, count, batch):
                    copy.module(pictures[: min(batch, count - start)])

        return run

    def forward_backward(self) -> Callable[[], None]:
        """One forward pass, recorded from the layer on, and one backward pass to the layer; nothing else."""
        module = structural_copy(self.net.module)
        leaves: list[Tensor] = []

        def cut(_module: nn.Module, _args: tuple, output: Tensor) -> Tensor:
            leaves.append(output.detach().requires_grad_(True))
            torch.set_grad_enabled(True)
            return leaves[-1].clone()

        module.get_submodule(self.module).register_forward_hook(cut)

        def run() -> None:
            with torch.no_grad():
                logits = module(self.inputs)
            torch.autograd.grad(logits[0, self.target], leaves.pop())

        return run


def subjects(setup: Setup) -> Callable[[str | None], Subject]:
    """Makes the subject of a layer name; the network of the setup is loaded once."""
    net = load_network(setup.network, setup.weights, seed=0)
    inputs = net.prepare(load_photo(PHOTO))[1][None]
    return lambda layer: Subject(net, layer, inputs, setup.network)
