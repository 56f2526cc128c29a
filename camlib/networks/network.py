"""``Network``: anybody's network with its target layer, its preprocessing and its class names."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from camlib.layers import Layer, Survey, plain_name, roles
from camlib.networks import checks
from camlib.networks.calling import Extra, call_with, everything
from camlib.networks.classes import checked_names, class_index
from camlib.networks.first_passes import FirstPasses
from camlib.networks.ready import Ready, Stand
from camlib.networks.transforms import Transforming, knows_colors_of, read_transform, shown, transformed
from camlib.outputs import OUTPUTS, Functions, Reading, TargetFunction, activation_of, name_of, probabilities_of
from camlib.pictures import Picture, Preprocess


class Network:
    """A network that can be explained.

    Args:
        module: any ``nn.Module`` that maps [B, C, H, W] to logits [B, classes]; or [B, C, L] (sounds, series) or
            [B, C, D, H, W] (volumes). It is never changed, not for a moment: a private twin on the same memory runs in
            its place (see :class:`camlib.layers.Twin`), so other threads may use it meanwhile. What is done to it
            between two calls (``.to()``, ``load_state_dict``, another head) is seen.
        target_layer: name of the module whose output is taken as feature maps (see :meth:`layers`), or the module
            itself. None: the one that the module names in an attribute ``target_layer``, else the last feature maps
            before the head.
        transform: a :class:`camlib.Preprocess`, or any callable from a PIL image to a normalized tensor
            [C, H, W]. None: 224 x 224 with ImageNet's mean and standard deviation.
        class_names: one name a class, in the order of the logits. None: classes are called "class 0", "class 1" ...
        name: how figures and tables call the network.
        inputs: what ``forward`` takes beside the picture: a tuple of arguments behind it, or a dictionary by name.
            Tensors [1, ...] are repeated for every picture of a batch.
        output: what makes probabilities of the module's outputs: "softmax" (one class of several), "sigmoid" (each
            output by itself: one logit, several labels) or "none" (a regression; outputs that are probabilities
            already). None decides by a first pass: one output is a sigmoid's, outputs that add up to 1 are taken as
            they are, both with a warning; anything else is a softmax's.
        device: where the module is moved first, as by :meth:`to`; None leaves it where it is.

    Attributes:
        verified: whether the weights are the published ones, by the SHA-256 of their file; None where nothing is known.

    Raises:
        TypeError: ``module`` is not an ``nn.Module``, or ``transform`` is not callable.
        ValueError: ``target_layer`` is a module that is not part of ``module``; a lazy module.
    """

    def __init__(
        self,
        module: nn.Module,
        target_layer: str | nn.Module | None = None,
        transform: Preprocess | Callable | None = None,
        class_names: Sequence[str] | Mapping[int, str] | None = None,
        name: str | None = None,
        inputs: Extra = None,
        output: str | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        checks.check_module(module)
        if device is not None:
            checks.move(module, device)
        if transform is not None and not isinstance(transform, Preprocess) and not callable(transform):
            raise TypeError(f"transform is a camlib.Preprocess or a callable; given {type(transform).__name__}.")
        self._stand = Stand(module)
        self.name = name or type(module).__name__
        self.verified: bool | None = None
        self.class_names = checked_names(class_names)
        self.transform: Preprocess | Callable = transform if transform is not None else Preprocess()
        self._call = call_with(module, inputs)
        if output not in (None, *OUTPUTS):
            raise ValueError(f"output={output!r}: expected None or one of {OUTPUTS}.")
        self._output = output
        if target_layer is None and isinstance(getattr(module, "target_layer", None), str):
            target_layer = module.target_layer
        self.target_layer = None if target_layer is None else self._name_of(target_layer)

    def __repr__(self) -> str:
        h, w = self.input_size
        return f"Network({self.name!r}, input {h}x{w}, target layer {self.target_layer or 'found by itself'})"

    # -- the module and its views ----------------------------------------------------------------------------------

    @property
    def module(self) -> nn.Module:
        """The caller's module; it is read and never run."""
        return self._stand.module

    @module.setter
    def module(self, module: nn.Module) -> None:
        self._stand = Stand(checks.check_module(module))

    @property
    def device(self) -> torch.device:
        """Device of the module's first parameter."""
        return self._first_tensor().device

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the module's parameters."""
        return self._first_tensor().dtype

    def to(self, device: torch.device | str) -> Network:
        """This network, its module moved in place to a device; raises ValueError for one that is not here."""
        checks.move(self.module, device)
        return self

    def _first_tensor(self) -> Tensor:
        tensors = (t for ts in (self.module.parameters(), self.module.buffers()) for t in ts)
        return next((t for t in tensors if t.is_floating_point()), torch.empty(0))

    @property
    def axes(self) -> int:
        """Axes of space of its pictures: 2, as the first convolution tells 1 (sounds, series) or 3 (volumes)."""
        return checks.axes_wanted(self.module)

    def with_input_size(self, size: int | tuple[int, int]) -> Network:
        """The same module and settings for pictures of another size (mosaics, high resolution)."""
        if not isinstance(self.transform, Preprocess):
            raise ValueError("This network was given its own transform; give another transform instead of a size.")
        other = self._view()
        other.transform = replace(self.transform, size=size)
        return other

    def with_inputs(self, inputs: Extra) -> Network:
        """The same module and settings with other arguments beside the picture, see ``inputs`` of :class:`Network`."""
        other = self._view()
        other._call = call_with(self.module, inputs, self._call.read)
        return other

    def with_output(self, read: Callable[[Any], Tensor]) -> Network:
        """The same module seen through a function of its output; the n numbers are its "classes", without names.

        ``read`` leads from the module's output (a tensor, tuple or dictionary) to numbers [B, n], or [B] for one a
        picture; differentiable for methods that need gradients.
        """
        return self._read_by(Reading(read), None, None)

    def with_targets(self, functions: Sequence[TargetFunction]) -> Network:
        """The same network with functions of its output in the place of classes, whatever the module returns.

        Each function takes the output for a batch and returns one number a picture, [B]: the score of a regression, a
        difference of two logits, the similarity to an embedding, the mean over some pixels of a segmentation.
        """
        return self._read_by(Functions(tuple(functions)), [name_of(function) for function in functions], "none")

    def _read_by(self, read: Functions | Reading, names: list[str] | None, output: str | None) -> Network:
        other = self._view()
        other._call = replace(self._call, read=read)
        other.class_names, other._output = names, output
        return other

    @property
    def output(self) -> str:
        """What makes probabilities of the module's outputs: "softmax", "sigmoid" or "none"."""
        if self._output is None:
            survey = self._first_passes().any_survey() or self.survey()
            self._output = activation_of(survey.logits, self.name)
        return self._output

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities of outputs [..., C] by :attr:`output`, same shape; with "none" the outputs themselves."""
        return probabilities_of(logits, self.output)

    def with_module(self, module: nn.Module) -> Network:
        """The same settings for another module of the same structure (other weights): its layers are known already."""
        other = self._view()
        other._stand = Stand(checks.check_module(module))
        other._stand.twin().surveys.update(self._stand.twin().surveys)
        return other

    def _view(self) -> Network:
        other = copy.copy(self)
        other.__dict__.pop("reading", None)
        return other

    # -- pictures --------------------------------------------------------------------------------------------------

    @cached_property
    def reading(self) -> Transforming:
        """What could be found out about the transform."""
        return read_transform(self.transform)

    @property
    def preprocess(self) -> Preprocess:
        """Size, mean and standard deviation of the transform."""
        return self.reading.preprocess

    @property
    def normalization_known(self) -> bool:
        """Whether mean and standard deviation of the transform are known."""
        return self.reading.normalization_known

    @property
    def input_size(self) -> tuple[int, int]:
        """(H, W) to which pictures are resized."""
        return self.preprocess.size

    def prepare(self, photo: Picture) -> tuple[Tensor, Tensor]:
        """(picture [3, H, W] in [0, 1] as the network sees it, normalized input [C, H, W]), float32, CPU."""
        if isinstance(self.transform, Preprocess):
            picture = self.transform.picture(photo)
            return picture, self.transform.normalize(picture)
        inputs = transformed(self.transform, photo)
        if self.reading.fault:
            raise ValueError(self.reading.fault)
        return self.show(inputs), inputs

    def knows_colors_of(self, inputs: Tensor) -> bool:
        """Whether a normalized input [C, *space] can be turned back into colors."""
        return knows_colors_of(inputs, self.reading)

    def show(self, inputs: Tensor) -> Tensor:
        """A normalized input [C, *space] back as a picture in [0, 1], for overlays: [3, *space], or [1, *space]."""
        return shown(inputs, self.axes, self.reading)

    def check_batch(self, inputs: Tensor) -> Tensor:
        """A ready batch [B, C, *space] on the module's device and type; raises ValueError for NaN, Inf or emptiness."""
        self.refuse_unready(inputs)
        # A copy made outside inference mode: autograd cannot save inference tensors.
        with torch.inference_mode(False):
            return inputs.detach().clone().to(device=self.device, dtype=self.dtype)

    def refuse_unready(self, inputs: Tensor) -> None:
        """Raises what :meth:`check_batch` raises for a batch that no network can take."""
        checks.check_batch(inputs, self.name)

    # -- passes ----------------------------------------------------------------------------------------------------

    def ready(self, inputs: Tensor | None = None) -> Ready:
        """The module's twin, how it is called and what is known of it, for pictures of the size of ``inputs``.

        ``inputs`` is a batch [B, C, *space] as :meth:`check_batch` returns it; None stands for the size that the
        transform makes.
        """
        first = self._first_passes()
        shape = first.usual_shape(self.preprocess) if inputs is None else tuple(inputs.shape[1:])
        like = torch.empty(0, device=self.device, dtype=self.dtype) if inputs is None else inputs
        return first.ready(shape, like)

    def _first_passes(self) -> FirstPasses:
        return FirstPasses(self._stand, self._call, self.name, self.class_names)

    @contextmanager
    def held(self) -> Iterator[nn.Module]:
        """The module's twin for this thread alone, in eval mode: parts of it may be called, and it may be hooked."""
        twin = self._stand.twin()
        with twin.lock, torch.inference_mode(False):
            twin.refresh()
            yield twin.module

    def survey(self, inputs: Tensor | None = None) -> Survey:
        """What first passes on seeded noise of the pictures' size find out; kept per size, whatever they show.

        Warns:
            RandomNetworkWarning, BatchDependentWarning: a picture's logits depend on more than the picture.
        """
        return self.ready(inputs).survey

    def check_logits(self, logits: object, inputs: Tensor) -> Tensor:
        """Logits [B, classes] that are finite; anything else raises and says what came instead."""
        return checks.check_logits(logits, inputs, self.name, self.class_names)

    def logits(self, inputs: Tensor) -> Tensor:
        """Logits [B, classes] (float32) of a ready batch, one forward pass without gradients."""
        inputs = self.check_batch(inputs)
        ready = self.ready(inputs)
        with ready.held() as module, torch.no_grad():  # what the module keeps must serve a later gradient
            return self.check_logits(ready.run(module, inputs), inputs).float()

    def predict(self, photo: Picture, top: int = 5) -> list[tuple[int, str, float]]:
        """The ``top`` most probable classes of one picture as (index, name, probability)."""
        probabilities = self.probabilities(self.logits(self.prepare(photo)[1][None])[0])
        best = probabilities.topk(min(top, probabilities.numel()))
        found = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [(index, self.class_name(index), value) for index, value in found]

    # -- classes ---------------------------------------------------------------------------------------------------

    def class_name(self, index: int) -> str:
        """Name of a class index."""
        return self.class_names[index] if self.class_names is not None else f"class {index}"

    def class_index(self, target: int | str, classes: int) -> int:
        """Index of a target of so many ``classes``: an index, or a name (capitals, hyphens, underscores do not matter).

        Raises ValueError for an index out of range and for an unknown name (the nearest are listed), TypeError for
        anything else.
        """
        return class_index(target, self.class_names, self.name, classes)

    # -- layers ----------------------------------------------------------------------------------------------------

    def _name_of(self, layer: str | nn.Module) -> str:
        """Name of a layer in the twin: a name of the caller's tree, or one of its modules."""
        if isinstance(layer, str):
            return plain_name(self.module, layer)
        if not isinstance(layer, nn.Module):
            raise TypeError(f"A layer is a name or a module; given {type(layer).__name__}.")
        name = self._stand.twin().name_of(layer)
        if name is None:
            raise ValueError(f"This {type(layer).__name__} is not part of {self.name}. Name one of its own layers.")
        return name

    def layers(self, depth: int | None = None) -> list[Layer]:
        """The layers that can be explained, in order of computation; ``depth``: names of at most so many parts."""
        try:
            found = self.survey().layers
        except checks.NoLogits:  # a segmentation, a detector
            found = self.with_output(everything).survey().layers
        return [layer for layer in found if depth is None or layer.name.count(".") < depth]

    @property
    def default_layer(self) -> Layer:
        """The layer that is explained when none is named."""
        return self.find_layer(None)

    def find_layer(self, layer: str | nn.Module | None = None, inputs: Tensor | None = None) -> Layer:
        """The layer called ``layer`` for inputs of this size; None or "last" is the network's target layer.

        "inner" is the end of the stage before it (camlib/layers/roles.py). Raises ValueError when no module has this
        name (nearest names are listed), when it does not run or not once, or when its output is no spatial map.
        """
        return self.layer_of(layer, self.survey(inputs))

    def layer(self, role: str) -> str:
        """Name of the layer that plays a role ("last", "inner") here; a name is answered with itself."""
        return self.find_layer(role).name

    def stages(self) -> list[str]:
        """Name of the last layer of each size, from the finest maps to the target layer."""
        return [layer.name for layer in roles.stages(self.survey().layers, self.default_layer)]

    def layer_title(self, layer: str | nn.Module | None = None) -> str:
        """A layer for a reader: "last layer (7 × 7 × 1280)" for the default one, else its name, with its sizes."""
        return (found := self.find_layer(layer)).title("last layer" * (found.name == self.default_layer.name))

    def layer_of(self, layer: str | nn.Module | None, survey: Survey) -> Layer:
        """:meth:`find_layer` in a survey that is at hand."""
        if isinstance(layer, str) and layer in roles.ROLES and layer not in survey.modules:
            return roles.by_role(layer, survey.layers, self.layer_of(None, survey))
        return survey.find(self.target_layer if layer is None else self._name_of(layer), self.name)
