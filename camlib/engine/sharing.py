"""Logits of masked pictures that the notebooks of one run compute once: the first keeps them, the others read them.

Several notebooks mask the same pictures for the same network. Whoever runs them together names a folder, empty at
first, in the environment (``paths.SHARED``); a notebook says with :func:`share` that its numbers may come from there.
The name of a file is a digest of all that its logits follow from, so what is read is what would be computed, bit for
bit.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from camlib import paths

_wanted = False


def share(wanted: bool = True) -> None:
    """From now on this process shares, or computes for itself as at its start. What measures passes must not share."""
    global _wanted
    _wanted = wanted


def once_a_run(network: Callable[[], str], follows_from: Iterable[Tensor | str], make: Callable[[], Tensor]) -> Tensor:
    """``make()``, or what it returned in another process of this run.

    Args:
        network: returns the digest (:func:`digest_of`) of the module whose passes ``make`` runs, in the state in which
            it runs them; it is called only where something is shared.
        follows_from: all else that the result depends on.
        make: computes a tensor. It is always called where nothing is shared, and where a TorchDispatchMode watches, as
            PyTorch's FlopCounterMode does: operations that are counted have to be done.
    """
    folder = os.environ.get(paths.SHARED)
    # The mode of this thread: the flag behind torch's is_in_torch_dispatch_mode is one for all threads.
    if not (_wanted and folder) or _get_current_dispatch_mode() is not None:
        return make()
    path = Path(folder) / f"{_digest([network(), *follows_from])}.npy"
    if path.exists():
        return torch.from_numpy(np.load(path))
    made = make()
    _write(path, made)
    return made


def digest_of(module: nn.Module) -> str:
    """What the logits of a module follow from, in one word: its structure, its weights and what computes them."""
    state = [part for pair in module.state_dict().items() for part in pair]
    return _digest([torch.__version__, str(torch.get_num_threads()), repr(module), *state])


def _digest(parts: Iterable[Tensor | str]) -> str:
    known = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, Tensor):
            known.update(f"{part.dtype} {tuple(part.shape)} ".encode())
            part = part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        known.update(part.encode() if isinstance(part, str) else part)
    return known.hexdigest()


def _write(path: Path, made: Tensor) -> None:
    """To a temporary name and then renamed: another process finds the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    with temporary.open("wb") as file:
        np.save(file, made.detach().cpu().numpy())
    temporary.replace(path)
