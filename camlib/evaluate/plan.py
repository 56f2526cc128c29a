"""What is evaluated: network, layers, methods, metrics and classes, each with all of its options."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import Any

import torch

from camlib import framework
from camlib.data.classes import imagenet_classes
from camlib.evaluate.store import Setting
from camlib.metrics import CONTROLS, METRICS, find_metric
from camlib.metrics.registry import NEEDS, Metric
from camlib.networks import Network
from camlib.pictures import Preprocess
from camlib.registry import METHODS, find_method

TARGETS = {
    "top1": "the most probable class of the picture",
    "label": "the data set's label",
    "objects": "for every annotated kind of object, the most probable of the classes that it stands for",
}
"""Rules that choose the classes of a picture that are explained."""
METHODS_BY_DEFAULT = ("grad-cam", "grad-cam++", "layer-cam", "score-cam", "union-cam")
METRICS_BY_DEFAULT = ("average-drop", "average-increase", "energy-pointing-game", "pointing-game")


@dataclass(frozen=True)
class Choice:
    """A method or a metric by name, with the options that differ from its defaults.

    Every class activation map also has the option ``common`` ("grad-cam:common=project"), see
    :func:`camlib.framework.without_common_map`.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """How tables call it: the name, or "name:option=value,..."."""
        given = ",".join(f"{key}={value}" for key, value in sorted(self.options.items()))
        return f"{self.name}:{given}" if given else self.name

    @classmethod
    def parse(cls, text: str) -> Choice:
        """From "name" or "name:option=value,..."; values are Python's (0.5, None, True), anything else is a string."""
        name, _, rest = text.partition(":")
        options = {}
        for part in filter(None, rest.split(",")):
            key, equals, value = part.partition("=")
            if not equals:
                raise ValueError(f"{text!r}: expected name:option=value,... such as score-cam:filler=black.")
            options[key.strip()] = _literal(value.strip())
        return cls(name.strip(), options)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


@dataclass(frozen=True)
class Cell:
    """One method at one layer, judged by one metric, and the setting of its rows."""

    layer: str
    method: str
    metric: str
    setting: Setting


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that a run computes, checked before it starts.

    Attributes:
        network: the classifier, on the device where it is to run.
        methods, metrics: names, or :class:`Choice` with options; the same name may stand there with several options.
        layers: names, None for the network's target layer; every method runs at every layer.
        target: a rule of :data:`TARGETS`.
        seed: of the random control, of anything that a method draws without a seed of its own.

    The controls of :data:`camlib.metrics.CONTROLS` are always added, at every layer, because methods are compared with
    them as with each other, and never across layers.

    Raises:
        ValueError: an unknown or doubled name, option, layer or rule, or a metric that needs what no data set has here.
    """

    network: Network
    methods: Sequence[str | Choice] = METHODS_BY_DEFAULT
    metrics: Sequence[str | Choice] = METRICS_BY_DEFAULT
    layers: Sequence[str | None] = (None,)
    target: str = "top1"
    seed: int = 0

    def __post_init__(self) -> None:
        methods = _choices("method", self.methods)
        metrics = metric_choices(self.metrics)
        for choice in methods:
            method = find_method(choice.name)
            method.checked_options(choice.options)
            framework.checked_common(choice.options.get("common", "keep"), method.name, method.makes)
        for choice in metrics:
            _refuse_what_no_data_set_has(METRICS[choice.name])
        if self.target not in TARGETS:
            rules = "; ".join(f"{name!r}: {what}" for name, what in TARGETS.items())
            raise ValueError(f"target={self.target!r}: expected one of {rules}.")
        if self.target == "label" and tuple(self.network.class_names or ()) != imagenet_classes():
            raise ValueError(
                f"target='label': labels are ImageNet's, and {self.network.name} does not have its 1000 classes. Use "
                f"target='top1' or 'objects'."
            )
        layers = tuple(dict.fromkeys(self.network.find_layer(layer).name for layer in self.layers))
        if not layers:
            raise ValueError("No layer was named. Give at least one, or None for the network's target layer.")
        for name, value in (("methods", methods), ("metrics", metrics), ("layers", layers)):
            object.__setattr__(self, name, value)

    @property
    def judged(self) -> tuple[str, ...]:
        """Labels of the methods, then names of the controls: the order of tables."""
        return (*(choice.label for choice in self.methods), *CONTROLS)

    def cells(self, dataset: str) -> list[Cell]:
        """Every combination of layer, method or control, and metric, with its setting for this data set."""
        return [
            Cell(layer, method, metric.label, self._setting(dataset, layer, method, metric))
            for layer in self.layers
            for method in self.judged
            for metric in self.metrics
        ]

    def _setting(self, dataset: str, layer: str, method: str, metric: Choice) -> Setting:
        names = {
            "dataset": dataset,
            "network": self.network.name,
            "layer": layer,
            "target": self.target,
            "method": method,
            "metric": metric.label,
        }
        return Setting.of(
            names,
            {
                **self.environment,
                "method": self._method_options.get(method, "control"),
                "metric": {"name": metric.name, "options": {**METRICS[metric.name].options, **metric.options}},
            },
        )

    @cached_property
    def environment(self) -> dict[str, Any]:
        """What all rows of the run have in common and what decides about their numbers."""
        transform = self.network.transform
        return {
            "weights": weights_digest(self.network),
            "preprocess": dataclasses.asdict(transform) if isinstance(transform, Preprocess) else transform,
            "seed": self.seed,
            "device": self.network.device.type,
            "dtype": str(self.network.dtype),
            "versions": {name: version(name) for name in ("camlib", "torch")},
        }

    @cached_property
    def _method_options(self) -> dict[str, dict[str, Any]]:
        return {
            choice.label: {
                "name": choice.name,
                "options": {**METHODS[choice.name].options, **choice.options},
                "relu": METHODS[choice.name].relu,
            }
            for choice in self.methods
        }


def weights_digest(network: Network) -> str:
    """SHA-256 over names and values of everything that the module has learned."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.module.state_dict().items()):
        if isinstance(tensor, torch.Tensor):
            values = tensor.detach().cpu().contiguous().view(-1)
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(values.view(torch.uint8).numpy().tobytes() if len(values) else b"")
    return digest.hexdigest()


def _choices(kind: str, given: Sequence[str | Choice]) -> tuple[Choice, ...]:
    found = tuple(Choice.parse(each) if isinstance(each, str) else each for each in given)
    if not found:
        raise ValueError(f"No {kind} was named. Give at least one.")
    labels = [choice.label for choice in found]
    if doubled := sorted({label for label in labels if labels.count(label) > 1}):
        raise ValueError(f"{kind} {', '.join(doubled)} is named more than once.")
    return found


def metric_choices(given: Sequence[str | Choice]) -> tuple[Choice, ...]:
    """The metrics as choices; raises ValueError for none, an unknown or doubled one, or an unknown option."""
    found = _choices("metric", given)
    for choice in found:
        find_metric(choice.name).checked_options(choice.options)
    return found


def _refuse_what_no_data_set_has(metric: Metric) -> None:
    lacking = [NEEDS[need] for need in metric.needs if need not in ("score", "boxes")]
    if lacking:
        raise ValueError(
            f"{metric.name} needs {' and '.join(lacking)}, which no data set brings along here. Call "
            f"camlib.metrics.METRICS[{metric.name!r}] with a Sample of your own."
        )
