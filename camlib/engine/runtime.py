"""The process around the methods: seeds, threads, the allocator."""

from __future__ import annotations

import ctypes
import os
import random

import numpy as np
import torch

DEFAULT_THREADS = 2
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST_LIMIT = 1023  # MiB; mallopt takes an int, and the second threshold is twice the first


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


def keep_buffers(limit_mib: int = 512) -> bool:
    """Ask glibc to keep freed buffers of up to ``limit_mib`` MiB for the next request; opt-in, for the whole process.

    By default glibc hands every buffer over 32 MiB back to the system as soon as it is freed, and the next one of that
    size pays for all its pages again. A library whose batches are that wide gains most from this setting; camlib
    chooses batches below the limit (notebook 17 compares both). Results do not change. The price is memory: up to twice
    ``limit_mib`` of freed memory stays with the process. ``keep_buffers(32)`` gives it back and returns to the largest
    thresholds that glibc chooses by itself. ``MALLOC_MMAP_THRESHOLD_`` and ``MALLOC_TRIM_THRESHOLD_`` in the
    environment (bytes) do the same from outside.

    Returns:
        Whether the allocator took both thresholds; False where the C library is not glibc (macOS, Windows, musl) or
        refuses the size, and then nothing has changed that matters.

    Raises:
        ValueError: ``limit_mib`` is not an integer from 1 to 1023.
    """
    if isinstance(limit_mib, bool) or not isinstance(limit_mib, int) or not 1 <= limit_mib <= _LARGEST_LIMIT:
        raise ValueError(f"limit_mib={limit_mib!r}: expected an integer from 1 to {_LARGEST_LIMIT}, in MiB.")
    try:
        library = ctypes.CDLL(None)
        mallopt, give_back = library.mallopt, library.malloc_trim
    except (AttributeError, OSError, TypeError):  # no mallopt; no way to ask for the process itself (Windows)
        return False
    wanted = ((_M_MMAP_THRESHOLD, limit_mib), (_M_TRIM_THRESHOLD, 2 * limit_mib))
    took = all(mallopt(which, mib * 2**20) == 1 for which, mib in wanted)
    give_back(0)  # what was kept under an earlier limit would be used on
    return took
