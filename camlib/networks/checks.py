"""What a network is given and what it returns, checked; each fault is one sentence with the remedy."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin

from camlib.pictures import refuse_without_pixels


class ModuleFailed(ValueError, RuntimeError):
    """The network's module raises on pictures of this shape; the message has the module's own error."""


class NoLogits(TypeError, ValueError):
    """The network returns something else than logits [B, classes]: maps, boxes, a dictionary."""


def check_module(module: object) -> nn.Module:
    """The module, if it is one that can run; raises TypeError or ValueError with what to do instead."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"Network takes a torch.nn.Module; given {_kind_of(module)}")
    lazy = [name for name, tensor in module.named_parameters() if isinstance(tensor, UninitializedTensorMixin)]
    if lazy:
        raise ValueError(
            f"{type(module).__name__} has parameters without a shape ({lazy[0]}): a lazy module. Run one batch through "
            f"it first, module(torch.zeros(1, 3, 224, 224)), or load its weights."
        )
    tensors = (*module.named_parameters(), *module.named_buffers())
    if empty := [name for name, tensor in tensors if tensor.is_meta]:
        raise ValueError(
            f"{type(module).__name__} has tensors without values ({empty[0]} is on the device 'meta'). Give them "
            f"memory and weights first: module.to_empty(device='cpu'), module.load_state_dict(...)."
        )
    return module


def move(module: nn.Module, device: torch.device | str) -> None:
    """Move a module in place; raises ValueError, and says what there is, for a device that is not here."""
    try:
        module.to(device)
    except (RuntimeError, AssertionError, TypeError) as error:
        here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        here += ["mps"] if torch.backends.mps.is_available() else []
        what = str(error).strip().partition("\n")[0].rstrip(".")
        raise ValueError(f"device={str(device)!r}: {what}. Here there are {', '.join(here)}.") from error


def _kind_of(given: object) -> str:
    name = type(given).__name__
    if isinstance(given, dict) and given and all(isinstance(value, Tensor) for value in given.values()):
        return f"a state_dict ({name}). Build the module and call module.load_state_dict(...), then Network(module)."
    if isinstance(given, dict):
        return f"{name}. Build the module, load its part of this checkpoint, then Network(module)."
    if isinstance(given, type) and issubclass(given, nn.Module):
        return f"the class {given.__name__}. Pass a module of it: Network({given.__name__}(...))."
    if name == "ExportedProgram":
        return f"an {name}. Pass the module that was exported; black-box methods also take program.module()."
    if isinstance(given, str):
        return f"str. camlib.load_network({given!r}) loads a network by name."
    return f"{name}." if not callable(given) else f"{name}. Put the function into the forward of an nn.Module."


def check_batch(inputs: object, network: str) -> None:
    """Raises TypeError or ValueError for what cannot be a ready batch [B, C, *space]."""
    if not isinstance(inputs, Tensor):
        raise TypeError(f"A ready batch is a tensor [B,C,H,W]; given {type(inputs).__name__}.")
    refuse_without_pixels(inputs)
    if not 3 <= inputs.dim() <= 5:
        raise ValueError(
            f"A ready batch is [B,C,H,W] ([B,C,L] of sounds, [B,C,D,H,W] of volumes); given {list(inputs.shape)}."
        )
    if inputs.numel() == 0:
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


def check_logits(logits: object, inputs: Tensor, network: str, names: list[str] | None) -> Tensor:
    """Logits [B, classes] that are finite; anything else raises and says what came instead."""
    if not isinstance(logits, Tensor):
        given = f"dict with keys {sorted(map(str, logits))}" if isinstance(logits, dict) else type(logits).__name__
        raise NoLogits(
            f"{network} returned a {given}; expected logits [B, classes]. Explain a function of the output with one "
            f"number a picture, target={_example_of(logits)}, or wrap the module so that forward returns the logits."
        )
    if logits.dim() != 2 or logits.shape[0] != inputs.shape[0]:
        raise NoLogits(
            f"{network} returned {list(logits.shape)} for {list(inputs.shape)}; expected logits "
            f"[{inputs.shape[0]}, classes]. Explain a function of the output with one number a picture, "
            f"target={_example_of(logits)}, or pool it first."
        )
    if not logits.shape[1]:
        raise ValueError(f"{network} returned {list(logits.shape)}: logits of no class at all. Give it a last layer.")
    if not logits.is_floating_point():
        remedy = "Return their real part or their magnitude" if logits.is_complex() else "Return what they were made of"
        raise TypeError(f"{network} returned {logits.dtype}; expected floating-point logits. {remedy}, not decisions.")
    if names is not None and len(names) != logits.shape[1]:
        raise ValueError(
            f"{network} returned {logits.shape[1]} logits, but class_names has length {len(names)}. "
            f"Give one name a logit, or class_names=None."
        )
    if not bool(logits.isfinite().all()):
        kind = str(inputs.dtype).removeprefix("torch.")
        wider = f", or run it in float32 instead of {kind}" if kind in ("float16", "bfloat16") else ""
        raise ValueError(f"{network} returned NaN or Inf logits on finite input. Check its weights{wider}.")
    return logits


def _example_of(output: object) -> str:
    """A target function for an output that is no logits: the mean of class 0 where it is maps, else dots."""
    place, dims = "y", getattr(output, "ndim", 0)
    if isinstance(output, dict):
        place, dims = next(
            ((f"y[{key!r}]", one.dim()) for key, one in output.items() if isinstance(one, Tensor)), ("y", 0)
        )
    elif isinstance(output, tuple | list) and output and isinstance(output[0], Tensor):
        place, dims = "y[0]", output[0].dim()
    mean = f".mean(dim={tuple(range(1, dims - 1))})" if dims > 2 else ""
    return f"lambda y: {place}[:, 0]{mean}" if dims > 1 else "lambda y: ..."


def failed(error: Exception, module: nn.Module, inputs: Tensor, network: str, runs_on: Callable[[Tensor], bool]):
    """What a module's own error on its first picture becomes: one sentence, and the likely remedy."""
    what = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}".rstrip(".")
    kind = str(inputs.dtype).removeprefix("torch.")
    return ModuleFailed(
        f"{network} does not run on {list(inputs.shape)} ({kind}): {what}. {_remedy(error, module, inputs, runs_on)}"
    )


_SIZES = (224, 32, 28, 64, 96, 128, 160, 192, 227, 240, 256, 299, 320, 384, 448, 512)


def _remedy(error: Exception, module: nn.Module, inputs: Tensor, runs_on: Callable[[Tensor], bool]) -> str:
    types = {str(p.dtype).removeprefix("torch.") for p in module.parameters() if p.is_floating_point()}
    if len(types) > 1:
        return f"Its parameters are {' and '.join(sorted(types))}: convert it to one type, module.float()."
    if isinstance(error, TypeError) and "argument" in str(error):
        return "Give what its forward takes beside the picture: Network(module, inputs=(...)) or inputs={name: ...}."
    wanted = channels_wanted(module)
    if wanted is not None and wanted != inputs.shape[1] and runs_on(noise((wanted, *inputs.shape[2:])).to(inputs)):
        return f"It takes {wanted}-channel pictures. {_channel_remedy(wanted, inputs)}"
    for side in _SIZES if inputs.dim() == 4 else ():
        if runs_on(noise((inputs.shape[1], side, side)).to(inputs)):
            return f"It runs on {side}x{side}: camlib.Preprocess({side}, ...) makes pictures of that size."
    return "Give it the pictures that its forward takes: another size, number of channels, or type."


def _channel_remedy(wanted: int, inputs: Tensor) -> str:
    if wanted == 1:
        return "Give the network a gray transform: camlib.Preprocess(size, mean=(0.5,), std=(0.5,))."
    if wanted == 3 and inputs.shape[1] == 1:
        return "Use x.expand(-1, 3, -1, -1) for gray pictures."
    return f"Pass a ready batch [B,{wanted},H,W], or a transform that returns [{wanted},H,W]."


def noise(shape: tuple[int, ...]) -> Tensor:
    """A seeded picture of noise [1, C, *space] in [0, 1]."""
    return torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))


def channels_wanted(module: nn.Module) -> int | None:
    """Channels that the first convolution takes: a hint for error messages and first tries, nothing more."""
    first = _first_convolution(module)
    return first.in_channels if first is not None else None


def axes_wanted(module: nn.Module) -> int:
    """Axes of space that the first convolution takes; 2 where there is none."""
    first = _first_convolution(module)
    return 2 if first is None else len(first.kernel_size)


def _first_convolution(module: nn.Module) -> nn.modules.conv._ConvNd | None:
    return next((child for child in module.modules() if isinstance(child, nn.modules.conv._ConvNd)), None)
