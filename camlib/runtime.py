"""Determinism in one place: seeds, thread count, and the switches of cuDNN that change numbers."""

from __future__ import annotations

import os
import random

import numpy as np
import torch

DEFAULT_THREADS = 2


def setup(seed: int = 0, threads: int | None = None) -> None:
    """Seed ``random``, NumPy and PyTorch, fix PyTorch's thread count, ask cuDNN for repeatable results.

    ``threads``: None reads the environment variable CAMLIB_THREADS, else 2. Every notebook calls this
    first; importing camlib calls nothing. On a GPU it turns off cuDNN's benchmark mode and TF32
    convolutions (faster, but the identities that the notebooks assert to 1e-6 do not hold in TF32's 10
    bits); on a CPU nothing but seeds and threads changes. Raises ValueError for a seed outside [0, 2**32)
    or a thread count below 1.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed {seed}: expected an integer in [0, 2**32); NumPy accepts no other.")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(_thread_count(threads))
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False


def _thread_count(threads: int | None) -> int:
    given = os.environ.get("CAMLIB_THREADS", DEFAULT_THREADS) if threads is None else threads
    if not str(given).isdecimal() or int(given) < 1:
        raise ValueError(f"threads {given!r}: expected an integer of at least 1 (argument or CAMLIB_THREADS).")
    return int(given)
