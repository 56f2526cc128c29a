"""``Network``: anybody's classifier with its layers, preprocessing and class names."""

from __future__ import annotations

import copy
import difflib
import math
import numbers
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from camlib.layers import Layer, Survey, evaluating, probe, with_gradients
from camlib.outputs import OUTPUTS, TargetFunction, activation_of, name_of, probabilities_of, with_functions
from camlib.pictures import Picture, Preprocess, checked_tensor, preprocess_of, to_pil


class Network:
    """A classifier that can be explained.

    Args:
        module: any ``nn.Module`` that maps [B, C, H, W] to logits [B, classes]. It is never changed: hooks, train
            mode, gradients and parameters are after each call as they were before.
        target_layer: name of the module whose output is taken as feature maps (see :meth:`layers`), or the module
            itself. None: the one that the module names in an attribute ``target_layer``, else the last feature maps
            before the head.
        transform: a :class:`camlib.Preprocess`, or any callable from a PIL image to a normalized tensor
            [3, H, W]. None: 224 x 224 with ImageNet's mean and standard deviation.
        class_names: one name a class, in the order of the logits. None: classes are called "class 0", "class 1" ...
        name: how figures and tables call the network.
        output: what makes probabilities of the module's outputs: "softmax" (one class of several), "sigmoid" (each
            output by itself: one logit, several labels) or "none" (a regression; outputs that are probabilities
            already). None decides by a first pass: one output is a sigmoid's, outputs that add up to 1 are taken as
            they are, both with a warning; anything else is a softmax's.

    Attributes:
        verified: whether the weights are the published ones, by the SHA-256 of their file; None where nothing is known.

    Raises:
        TypeError: ``module`` is not an ``nn.Module``, or ``transform`` is not callable.
        ValueError: ``target_layer`` is a module that is not part of ``module``.
    """

    def __init__(
        self,
        module: nn.Module,
        target_layer: str | nn.Module | None = None,
        transform: Preprocess | Callable | None = None,
        class_names: Sequence[str] | Mapping[int, str] | None = None,
        name: str | None = None,
        output: str | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise TypeError(f"Network takes a torch.nn.Module; given {type(module).__name__}.")
        if transform is not None and not isinstance(transform, Preprocess) and not callable(transform):
            raise TypeError(f"transform is a camlib.Preprocess or a callable; given {type(transform).__name__}.")
        self.module = module
        self.name = name or type(module).__name__
        self.verified: bool | None = None
        self.class_names = _checked_names(class_names)
        if target_layer is None and isinstance(getattr(module, "target_layer", None), str):
            target_layer = module.target_layer
        self.target_layer = None if target_layer is None else self._name_of(target_layer)
        self.module = with_gradients(module)
        self._callable = transform if transform is not None and not isinstance(transform, Preprocess) else None
        self.preprocess, self.normalization_known = preprocess_of(transform)
        self._surveys: dict[tuple[int, ...], Survey] = {}
        if output not in (None, *OUTPUTS):
            raise ValueError(f"output={output!r}: expected None or one of {OUTPUTS}.")
        self._output = output

    def __repr__(self) -> str:
        h, w = self.input_size
        return f"Network({self.name!r}, input {h}x{w}, target layer {self.target_layer or 'found by itself'})"

    # -- pictures and passes ---------------------------------------------------------------------------------------

    @property
    def input_size(self) -> tuple[int, int]:
        """(H, W) to which pictures are resized."""
        return self.preprocess.size

    @property
    def device(self) -> torch.device:
        """Device of the module's first parameter."""
        return self._first_tensor().device

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the module's parameters."""
        return self._first_tensor().dtype

    def _first_tensor(self) -> Tensor:
        tensors = (t for ts in (self.module.parameters(), self.module.buffers()) for t in ts)
        return next((t for t in tensors if t.is_floating_point()), torch.empty(0))

    @property
    def transform(self) -> Preprocess | Callable:
        """What turns a picture into network input: the caller's own transform, or the :class:`Preprocess`."""
        return self._callable or self.preprocess

    def with_input_size(self, size: int | tuple[int, int]) -> Network:
        """The same module and settings for pictures of another size (mosaics, high resolution)."""
        if self._callable is not None:
            raise ValueError("This network was given its own transform; give another transform instead of a size.")
        size = (size, size) if isinstance(size, int) else tuple(size)
        other = copy.copy(self)
        other.preprocess = replace(self.preprocess, size=size)
        return other

    def prepare(self, photo: Picture) -> tuple[Tensor, Tensor]:
        """(picture [3, H, W] in [0, 1] as the network sees it, normalized input [3, H, W]), float32, CPU."""
        if self._callable is None:
            picture = self.preprocess.picture(photo)
            return picture, self.preprocess.normalize(picture)
        if isinstance(photo, Tensor):  # the callable was promised a PIL image, and its own resizing
            photo = np.round(checked_tensor(photo).permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        inputs = self._callable(to_pil(photo))
        if not isinstance(inputs, Tensor) or inputs.dim() != 3:
            given = list(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
            raise ValueError(f"The transform must return a tensor [C,H,W]; it returned {given}.")
        return self.show(inputs), inputs.detach().float().cpu()

    def show(self, inputs: Tensor) -> Tensor:
        """A normalized input back as a picture in [0, 1], for overlays."""
        inputs = inputs.detach().float().cpu()
        if inputs.shape[0] == self.preprocess.channels and self.normalization_known:
            return self.preprocess.denormalize(inputs)
        low, high = inputs.min(), inputs.max()
        if low < 0 or high > 1:  # not a picture already, and no mean and standard deviation to go back with
            inputs = (inputs - low) / (high - low).clamp(min=1e-12)
        return inputs if inputs.shape[0] == 3 else inputs.mean(dim=0, keepdim=True)

    def check_batch(self, inputs: Tensor) -> Tensor:
        """A ready batch [B, C, H, W] on the module's device and type; raises ValueError for NaN, Inf or emptiness."""
        self.refuse_unready(inputs)
        # A copy made outside inference mode: autograd cannot save inference tensors.
        with torch.inference_mode(False):
            return inputs.detach().clone().to(device=self.device, dtype=self.dtype)

    def refuse_unready(self, inputs: Tensor) -> None:
        """Raises what :meth:`check_batch` raises for a batch that this network cannot take."""
        if inputs.dim() != 4:
            raise ValueError(f"A ready batch is [B,C,H,W]; given {list(inputs.shape)}.")
        if inputs.shape[0] == 0:
            raise ValueError(f"The batch is empty: {list(inputs.shape)}. Give at least one picture.")
        if not inputs.is_floating_point():
            raise TypeError(
                f"A ready batch is normalized floating point; given {inputs.dtype}. Pass uint8 pictures one by one "
                f"as [3,H,W] or with normalized=False."
            )
        if not inputs.sum().isfinite() and not (finite := inputs.isfinite().flatten(1).all(dim=1)).all():
            bad = [i for i, ok in enumerate(finite.tolist()) if not ok]
            which = f"Picture {', '.join(map(str, bad))} of the batch" if len(finite) > 1 else "The picture"
            raise ValueError(f"{which} holds NaN or Inf. Replace those pixels first.")
        wanted = self._input_channels()
        if wanted is not None and inputs.shape[1] != wanted:
            raise ValueError(
                f"{self.name} takes {wanted}-channel pictures; given {list(inputs.shape)}. "
                + (
                    "Use x.expand(-1, 3, -1, -1) for gray pictures."
                    if wanted == 3
                    else "Give the network a gray transform: camlib.Preprocess(size, mean=(0.5,), std=(0.5,))."
                )
            )

    def _input_channels(self) -> int | None:
        """Color channels that the first convolution takes, where that is 1 or 3 (TResNet rearranges pixels first)."""
        first = next((child for child in self.module.modules() if isinstance(child, nn.Conv2d)), None)
        return first.in_channels if first is not None and first.in_channels in (1, 3) else None

    def check_logits(self, logits: object, inputs: Tensor) -> Tensor:
        """Logits [B, classes] that are finite; anything else raises and says what came instead."""
        if not isinstance(logits, Tensor):
            given = f"dict with keys {sorted(map(str, logits))}" if isinstance(logits, dict) else type(logits).__name__
            raise TypeError(
                f"{self.name} returned a {given}; expected logits [B, classes]. Wrap the module so that forward "
                f"returns the one tensor of logits."
            )
        if logits.dim() != 2 or logits.shape[0] != inputs.shape[0]:
            raise ValueError(
                f"{self.name} returned {list(logits.shape)} for {list(inputs.shape)}; expected logits "
                f"[{inputs.shape[0]}, classes]. Pool or flatten the output before handing the module over."
            )
        if self.class_names is not None and len(self.class_names) != logits.shape[1]:
            raise ValueError(
                f"{self.name} returned {logits.shape[1]} logits, but class_names has length {len(self.class_names)}. "
                f"Give one name a logit, or class_names=None."
            )
        if not bool(logits.isfinite().all()):
            raise ValueError(
                f"{self.name} returned NaN or Inf logits on finite input. Check its weights, or run it in float32 "
                f"instead of {self.dtype}."
            )
        return logits

    def with_targets(self, functions: Sequence[TargetFunction]) -> Network:
        """The same network with functions of its output in the place of classes, whatever the module returns.

        Each function takes the output for a batch and returns one number a picture, [B]: the score of a regression, a
        difference of two logits, the similarity to an embedding, the mean over some pixels of a segmentation.
        """
        other = copy.copy(self)
        other.module = with_functions(self.module, functions)
        other.class_names = [name_of(function) for function in functions]
        other._output, other._surveys = "none", {}
        return other

    @property
    def output(self) -> str:
        """What makes probabilities of the module's outputs: "softmax", "sigmoid" or "none"."""
        if self._output is None:
            survey = next(iter(self._surveys.values()), None) or self.survey()
            self._output = activation_of(survey.logits, self.name)
        return self._output

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities of outputs [..., C] by :attr:`output`, same shape; with "none" the outputs themselves."""
        return probabilities_of(logits, self.output)

    def logits(self, inputs: Tensor) -> Tensor:
        """Logits [B, classes] (float32) of a ready batch, one forward pass without gradients."""
        inputs = self.check_batch(inputs)
        # Not inference mode: what the module keeps from this pass must serve a later gradient.
        with torch.inference_mode(False), torch.no_grad(), evaluating(self.module):
            return self.check_logits(self.module(inputs), inputs).float()

    def predict(self, photo: Picture, top: int = 5) -> list[tuple[int, str, float]]:
        """The ``top`` most probable classes of one picture as (index, name, probability)."""
        probabilities = self.probabilities(self.logits(self.prepare(photo)[1][None])[0])
        best = probabilities.topk(min(top, probabilities.numel()))
        return [
            (index, self.class_name(index), value)
            for index, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    # -- classes ---------------------------------------------------------------------------------------------------

    def class_name(self, index: int) -> str:
        """Name of a class index."""
        return self.class_names[index] if self.class_names is not None else f"class {index}"

    def class_index(self, target: int | str, classes: int) -> int:
        """Index of a target given as index or name.

        Args:
            target: an index from 0 to ``classes - 1``, or a class name (capitals, hyphens and underscores do not
                matter).
            classes: number of logits.

        Raises:
            ValueError: index out of range, or no such name (the nearest names are listed).
            TypeError: neither an integer nor a string.
        """
        if isinstance(target, str):
            return self._index_of_name(target)
        if isinstance(target, Tensor | np.ndarray) and math.prod(target.shape) == 1:
            target = target.item()
        if isinstance(target, bool) or not isinstance(target, numbers.Integral):
            raise TypeError(f"A target is a class index, a class name or None; given {target!r}.")
        if not 0 <= target < classes:
            raise ValueError(f"Class {target} is out of range: {self.name} has classes 0 to {classes - 1}.")
        return int(target)

    def _index_of_name(self, name: str) -> int:
        if self.class_names is None:
            raise ValueError(f"{self.name} was given no class names, so {name!r} is unknown. Pass an index.")
        wanted = _plain(name)
        found = [i for i, known in enumerate(self.class_names) if _plain(known) == wanted]
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(f"Class name {name!r} stands for {found}. Pass one of these indices.")
        plain = {_plain(known): known for known in self.class_names}
        near = [known for key, known in plain.items() if wanted and wanted in key.split()][:5]
        near += [plain[key] for key in difflib.get_close_matches(wanted, plain, n=5, cutoff=0.5)]
        raise ValueError(
            f"No class is called {name!r}. Nearest: {', '.join(dict.fromkeys(near)) or 'none'}. "
            f"See Network.class_names for all {len(self.class_names)}."
        )

    # -- layers ----------------------------------------------------------------------------------------------------

    def _name_of(self, layer: str | nn.Module) -> str:
        if isinstance(layer, str):
            return layer
        if isinstance(layer, nn.Module):
            for name, child in self.module.named_modules():
                if child is layer:
                    return name
            raise ValueError(f"This {type(layer).__name__} is not part of {self.name}. Name one of its own layers.")
        raise TypeError(f"A layer is a name or a module; given {type(layer).__name__}.")

    def survey(self, inputs: Tensor | None = None) -> Survey:
        """What a probing pass on seeded noise of the pictures' size finds; kept per size, whatever they show."""
        channels = self._input_channels() or self.preprocess.channels
        key = (channels, *self.input_size) if inputs is None else tuple(inputs.shape[1:])
        if key not in self._surveys:
            with torch.inference_mode(False), evaluating(self.module):
                noise = self.check_batch(torch.rand(1, *key, generator=torch.Generator().manual_seed(0)))
                found = probe(self.module, noise)
                self.check_logits(found.logits, noise)
                self._surveys[key] = Survey.of(self.module, noise, found)
        return self._surveys[key]

    def layers(self, depth: int | None = None) -> list[Layer]:
        """The layers that can be explained, in order of computation, with the size of their feature maps.

        ``depth`` limits the list to names with at most so many parts ("layer4" has one, "layer4.1" two).
        """
        return [layer for layer in self.survey().layers if depth is None or layer.name.count(".") < depth]

    @property
    def default_layer(self) -> Layer:
        """The layer that is explained when none is named."""
        return self.find_layer(None)

    def find_layer(self, layer: str | nn.Module | None = None, inputs: Tensor | None = None) -> Layer:
        """The layer called ``layer`` for inputs of this size; None is the network's target layer.

        Raises ValueError when no module has this name (nearest names are listed), when it does not run, when its
        output is not a spatial map, or when it runs several times in a pass and the call is not named.
        """
        return self.survey(inputs).find(self.target_layer if layer is None else self._name_of(layer), self.name)

    def layer_title(self, layer: str | nn.Module | None = None) -> str:
        """A layer for a reader: "last layer (7 × 7 × 1280)" for the default one, else its name, with its sizes."""
        found = self.find_layer(layer)
        return found.title("last layer" if found.name == self.default_layer.name else "")


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


def _checked_names(names: Sequence[str] | Mapping[int, str] | None) -> list[str] | None:
    """Class names as a list in the order of the logits."""
    if names is None:
        return None
    if isinstance(names, Mapping):
        names = [names.get(index) for index in range(len(names))]
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(
            "class_names is a list of strings in the order of the logits, or a dict {0: name, 1: name, ...}."
        )
    return list(names)
