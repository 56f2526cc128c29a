"""What an explanation must follow: networks whose trained weights are replaced by random ones, stage by stage."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from camlib.networks import Network


def randomization_stages(network: Network, depth: int = 2) -> tuple[str, ...]:
    """Names of the parts of a network that hold weights, from the logits down to the input.

    Args:
        network: the classifier; one probing pass tells the order in which its modules are computed.
        depth: parts of a module's name that make a stage: with 2, ``blocks.6.0.conv_pw`` belongs to ``blocks.6``,
            ``layer4.1.conv2`` to ``layer4.1``, and each convolution of VGG (``features.28``) is a stage of its own.

    Modules that never run by themselves (an auxiliary classifier, a weight that is used by a function call) come last.
    Buffers without ``reset_parameters`` (a stored mean color) are no weights.

    Raises:
        TypeError: ``network`` is not a :class:`camlib.Network`.
        ValueError: depth below 1; no module has weights; a module with weights cannot draw new ones.
    """
    return tuple(_stages(network, depth))


def cascading_randomization(
    network: Network, seed: int = 0, start: str | None = None, depth: int = 2
) -> Iterator[tuple[str, Network]]:
    """Randomize a network from the top down and hand it out after every stage (Adebayo et al. 2018, sec. 3).

    Every module draws new weights as PyTorch does by default (``reset_parameters``); batch normalization returns to
    weight 1, bias 0, mean 0 and variance 1. The weights depend on ``seed`` alone, neither on ``start`` nor on
    ``depth``: two cascades differ only in what they leave trained.

    Untrained weights without batch statistics make the signal smaller from layer to layer. Once it falls below the
    rounding error of the biases, the probabilities no longer depend on the picture, and score methods weigh all
    feature maps alike; that is the network's doing, not an error.

    Args:
        network: the classifier. It is not touched: every network that is handed out is a copy of its own.
        seed: of the random weights; the caller's random state is left alone.
        start: the first stage to randomize; all stages above it stay trained. None: the topmost one, the classifier.
            Liang et al. (2022, sec. 4.4) leave the classifier trained: ``start="features.28"`` on VGG-16.
        depth: of the stages, see :func:`randomization_stages`.

    Yields:
        (name of the stage just randomized, network with this stage and all since ``start`` randomized). The target
        layer, the preprocessing and the class names are those of ``network``.

    Raises:
        TypeError, ValueError: as :func:`randomization_stages`; a seed that is no integer from 0 to 2**63 - 1; a start
            that is no stage (all are listed).
    """
    stages = _stages(network, depth)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ValueError(f"seed={seed!r}: expected an integer from 0 to 2**63 - 1.")
    names = list(stages)
    if start is not None and start not in stages:
        raise ValueError(
            f"start={start!r} is no stage of {network.name} at depth={depth}. Choose one of {', '.join(names)}."
        )
    chosen = names[names.index(start) if start is not None else 0 :]
    return _cascade(network, seed, {name: stages[name] for name in chosen})


def _cascade(network: Network, seed: int, stages: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Network]]:
    template = _with_pinned_layer(network)
    random, running = _copy(network.module), _copy(network.module)
    _draw_anew(random, seed, network.device)
    first = next(iter(stages))
    for stage, members in stages.items():
        for name in members:
            _take_over(running.get_submodule(name), random.get_submodule(name))
        handed_out = template.with_module(_copy(running))
        handed_out.name = f"{network.name}, random from {first} to {stage} (seed {seed})"
        yield stage, handed_out


def _stages(network: Network, depth: int) -> dict[str, list[str]]:
    """Names of the modules that hold weights by stage, both from the logits down."""
    if not isinstance(network, Network):
        raise TypeError(f"network is a camlib.Network; given {type(network).__name__}. Wrap it: Network(module).")
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise ValueError(f"depth={depth!r}: expected an integer of at least 1.")
    modules = {name: module for name, module in network.module.named_modules() if _holds_weights(module)}
    for name, module in modules.items():
        if not hasattr(module, "reset_parameters"):
            raise ValueError(
                f"{name or 'The network itself'} ({type(module).__name__}) holds parameters and has no "
                f"reset_parameters(), so it cannot be randomized. Give its class this method."
            )
    if not modules:
        raise ValueError(f"{network.name} has no weights, so there is nothing to randomize.")
    completed = {name: position for position, (name, _) in enumerate(network.survey().completed)}
    registered = {name: position for position, name in enumerate(modules)}
    stages: dict[str, list[str]] = {}
    for name in sorted(modules, key=lambda name: (completed.get(name, -1), registered[name]), reverse=True):
        stages.setdefault(".".join(name.split(".")[:depth]), []).append(name)
    return stages


def _holds_weights(module: nn.Module) -> bool:
    """Parameters of its own, or buffers that it knows how to reset (running statistics)."""
    own = next(module.parameters(recurse=False), None) is not None
    return own or (next(module.buffers(recurse=False), None) is not None and hasattr(module, "reset_parameters"))


def _draw_anew(module: nn.Module, seed: int, device: torch.device) -> None:
    """Reset every part of the module in the order of registration, from one seed."""
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        torch.inference_mode(False),
        torch.no_grad(),
    ):
        torch.manual_seed(seed)
        for part in module.modules():
            if _holds_weights(part):
                part.reset_parameters()


def _take_over(module: nn.Module, source: nn.Module) -> None:
    """Copy the source's own parameters and buffers, not those of its children."""

    def own(part: nn.Module) -> list[Tensor]:
        return [*part.parameters(recurse=False), *part.buffers(recurse=False)]

    with torch.inference_mode(False), torch.no_grad():
        for tensor, value in zip(own(module), own(source), strict=True):
            tensor.copy_(value)


def _copy(module: nn.Module) -> nn.Module:
    """A deep copy that autograd can use, in whatever mode the caller is."""
    with torch.inference_mode(False):
        return copy.deepcopy(module)


def _with_pinned_layer(network: Network) -> Network:
    """The network with its target layer named.

    Which layer is taken by default may depend on weights; all stages must be explained at the same one.
    """
    pinned = copy.copy(network)
    default = network.survey().default
    pinned.target_layer = network.target_layer or (default.name if default is not None else None)
    return pinned
