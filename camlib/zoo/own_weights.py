"""A network by name with weights of one's own: a file with a state_dict, and the names of its classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import timm
import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import get_model, list_models

from camlib.networks import Network
from camlib.zoo.pretrained import load_network

_WRAPPERS = ("state_dict", "model", "model_state_dict", "net")
_PREFIXES = ("module.", "model.", "_orig_mod.")


def network_of(
    name: str, weights: str | Path = "default", classes: str | Path | None = None, device: str = "cpu"
) -> Network:
    """A network for the command line.

    Args:
        name: a name of :func:`camlib.list_networks`.
        weights: "default", "none" (random), the name of published weights, or a file: a state_dict in .pt, .pth, .bin
            or .safetensors, as it is or under a key such as "state_dict". It is loaded without running code.
        classes: a file with one class name a line.
        device: where the network runs.

    Raises:
        ValueError: a file that holds no weights of this network, or another number of classes than its names.
    """
    file = Path(weights)
    if file.suffix in (".pt", ".pth", ".bin", ".ckpt", ".safetensors"):
        network = _with_file(name, file)
    else:
        network = load_network(name, None if weights == "none" else str(weights))
    if classes is not None:
        names = _names_in(Path(classes))
        network = Network(network.module, network.target_layer, network.transform, names, network.name)
    return network.to(device)


def _names_in(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeError) as error:
        raise ValueError(f"{file} cannot be read as names of classes, one a line in UTF-8: {error}") from error


def _with_file(name: str, file: Path) -> Network:
    state = read_state(file)
    own = load_network(name, None)
    heads = [key for key, value in state.items() if value.dim() >= 1]
    known = own.module.state_dict()
    classes = next(
        (len(state[key]) for key in reversed(heads) if key in known and known[key].shape != state[key].shape), 0
    )
    module = _built(name, classes) if classes else own.module
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{file} holds no weights of {name}: {_misfit(state, module.state_dict(), error)}") from error
    names = own.class_names if not classes else None
    return Network(module.eval(), own.target_layer, own.transform, names, f"{name} ({file.name})")


def _misfit(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], error: RuntimeError) -> str:
    """How the names of a state_dict differ from those that are wanted; where they agree, what torch says."""
    lacking, strange = ([key for key in a if key not in b] for a, b in ((wanted, state), (state, wanted)))
    said = [f"it lacks {len(lacking)} of {len(wanted)} tensors, such as {lacking[0]!r}"] if lacking else []
    said += [f"{len(strange)} of its tensors are not in it, such as {strange[0]!r}"] if strange else []
    return "; ".join(said) + "." if said else str(error).strip().splitlines()[-1].strip()


def _built(name: str, classes: int) -> nn.Module:
    """The architecture with another number of classes."""
    if name in list_models(module=torchvision.models):
        return get_model(name, weights=None, num_classes=classes)
    bare = name.removeprefix("timm/")
    if timm.is_model(bare):
        return timm.create_model(bare, pretrained=False, num_classes=classes)
    raise ValueError(f"{name} has a fixed number of classes; weights for {classes} classes do not fit it.")


def read_state(file: Path) -> Mapping[str, Tensor]:
    """The state_dict of a file, freed of wrappers and of the prefixes of DataParallel and torch.compile.

    Nothing in the file is executed. Raises ValueError for a file that is missing, damaged or holds something else.
    """
    if not file.is_file():
        raise ValueError(f"No file of weights at {str(file)!r}.")
    try:
        if file.suffix == ".safetensors":
            content = load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as error:
        what = str(error).strip().partition("\n")[0]
        if isinstance(error, UnpicklingError | EOFError):
            what = "it holds more than weights, and was not run" if file.stat().st_size else "it is empty"
        raise ValueError(
            f"{file} cannot be read as weights ({what}). Save module.state_dict(), not the module."
        ) from error
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{file} holds no state_dict: expected names and tensors, as module.state_dict() gives.")
    for prefix in _PREFIXES:
        if content and all(key.startswith(prefix) for key in content):
            content = {key.removeprefix(prefix): value for key, value in content.items()}
    return content
