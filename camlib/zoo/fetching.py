"""Files of pretrained weights: where they lie, how they are fetched, and that nothing but weights is read from them.

A checkpoint is a pickle, and a pickle is a program. So the SHA-256 that a file's name promises is compared before the
file is opened, and the file is then read with PyTorch's restricted reader, which runs nothing; only what has passed is
handed to torchvision or timm.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from huggingface_hub import constants, try_to_load_from_cache
from torch import Tensor, nn

from camlib.checkpoints import WeightsUnavailable, promised

_NO_PICKLES = (".safetensors", ".npz")


@dataclass(frozen=True)
class Checkpoint:
    """Where pretrained weights come from, and where they lie once they were fetched.

    Attributes:
        argument: of ``load_network``, for messages.
        file, folder: name of the file and where it belongs.
        variable: environment variable that moves the folder.
        address: where it is fetched.
        found: the file, where it lies there already.
    """

    argument: str
    file: str
    folder: Path
    variable: str
    address: str
    found: str | None

    @property
    def path(self) -> Path:
        """The file, there or not."""
        return self.folder / self.file


def from_url(argument: str, url: str) -> Checkpoint:
    """A file of torch.hub."""
    folder, file = Path(torch.hub.get_dir(), "checkpoints"), url.rpartition("/")[2]
    found = str(folder / file) if (folder / file).exists() else None
    return Checkpoint(argument, file, folder, "TORCH_HOME", url, found)


def from_hub(argument: str, repository: str, file: str | None) -> Checkpoint:
    """A file of the Hugging Face Hub."""
    files = [file] if file else ["model.safetensors", "pytorch_model.bin"]
    cached = [try_to_load_from_cache(repository, each) for each in files]
    found = next((path for path in cached if isinstance(path, str)), None)
    folder = Path(constants.HF_HUB_CACHE, f"models--{repository.replace('/', '--')}")
    return Checkpoint(argument, files[0], folder, "HF_HOME", repository, found)


def fetched(checkpoint: Checkpoint) -> Checkpoint:
    """A file of torch.hub, downloaded if it is not there; torch.hub compares the digits in its name.

    Raises :class:`camlib.checkpoints.WeightsUnavailable` where that is switched off or fails.
    """
    if checkpoint.found:
        return checkpoint
    refuse_offline(checkpoint)
    try:
        checkpoint.folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(checkpoint.address, str(checkpoint.path), promised(checkpoint.file))
    except Exception as error:
        raise WeightsUnavailable(_missing(checkpoint, f"failed ({_what(error)})")) from error
    return from_url(checkpoint.argument, checkpoint.address)


def built(build: Callable[[], nn.Module], checkpoint: Checkpoint) -> nn.Module:
    """Build a module with pretrained weights; what stands in the way becomes one error that says how to go on."""
    refuse_offline(checkpoint)
    try:
        if checkpoint.found:
            refuse_programs(checkpoint.found)
        return build()
    except Exception as error:
        if not checkpoint.found:
            raise WeightsUnavailable(_missing(checkpoint, f"failed ({_what(error)})")) from error
        raise WeightsUnavailable(
            f"{checkpoint.file!r} in {checkpoint.folder} cannot be used as the weights of {_call(checkpoint)} "
            f"({_what(error)}). Delete it, so that the next call fetches it again, {_instead(checkpoint)}"
        ) from error


def refuse_programs(file: str | Path) -> None:
    """Raises ValueError for a file that holds anything but weights; nothing in it is run."""
    if str(file).endswith(_NO_PICKLES):
        return
    try:
        content = _restricted(str(file))
    except UnpicklingError as error:
        raise ValueError(f"it holds more than weights, and was not run: {_what(error)}") from error
    if not isinstance(content, Mapping) or not any(isinstance(v, Tensor | Mapping) for v in content.values()):
        raise ValueError(f"it holds a {type(content).__name__} and not a state_dict")


def _restricted(file: str) -> object:
    try:  # without reading the numbers, where the format allows it
        return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:
        return torch.load(file, map_location="cpu", weights_only=True)


def refuse_offline(checkpoint: Checkpoint) -> None:
    """Raises WeightsUnavailable for a file that is not here where downloads are switched off."""
    offline = os.environ.get("HF_HUB_OFFLINE", "") in ("1", "ON", "YES", "TRUE") or os.environ.get("CAMLIB_OFFLINE")
    if offline and not checkpoint.found:
        raise WeightsUnavailable(_missing(checkpoint, "is switched off (CAMLIB_OFFLINE or HF_HUB_OFFLINE is set)"))


def _what(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _call(checkpoint: Checkpoint) -> str:
    return f"camlib.load_network({checkpoint.argument})"


def _instead(checkpoint: Checkpoint) -> str:
    return (
        f"or use camlib.load_network({checkpoint.argument.partition(',')[0]}, weights=None) for random weights, or "
        f"'efficientnet-lite0', whose weights are installed already."
    )


def _missing(checkpoint: Checkpoint, why: str) -> str:
    call = _call(checkpoint)
    return (
        f"The weights of {call} are not here: {checkpoint.file!r} is looked for in {checkpoint.folder}, and "
        f"downloading it from {checkpoint.address} {why}. With a connection, {call} fetches it once; without one, "
        f"copy it there from another machine ({checkpoint.variable} moves the folder), {_instead(checkpoint)}"
    )
