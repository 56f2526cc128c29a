"""What classes are called, and the class that somebody means."""

from __future__ import annotations

import difflib
import math
import numbers
import re
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor


def checked_names(names: Sequence[str] | Mapping[int, str] | None) -> list[str] | None:
    """Class names as a list in the order of the logits; raises TypeError for names without an order, or no strings."""
    if names is None:
        return None
    if isinstance(names, Mapping):
        names = [names.get(index) for index in range(len(names))]
    ordered = isinstance(names, Sequence | np.ndarray) and not isinstance(names, str)
    if not ordered or not all(isinstance(name, str) for name in names):
        raise TypeError(
            f"class_names is a list of strings in the order of the logits, or a dict {{0: name, 1: name, ...}}; given "
            f"{'something else than strings' if ordered else f'a {type(names).__name__}, which has no order'}."
        )
    return [str(name) for name in names]


def class_index(target: object, names: list[str] | None, network: str, classes: int) -> int:
    """Index of a target given as index or name; see :meth:`camlib.Network.class_index`."""
    if isinstance(target, str):
        return _index_of_name(target, names, network)
    if isinstance(target, Tensor | np.ndarray) and math.prod(target.shape) == 1:
        target = target.item()
    if isinstance(target, bool) or not isinstance(target, numbers.Integral):
        raise TypeError(f"A target is a class index, a class name or None; given {target!r}.")
    if not 0 <= target < classes:
        raise ValueError(f"Class {target} is out of range: {network} has classes 0 to {classes - 1}.")
    return int(target)


def _index_of_name(name: str, names: list[str] | None, network: str) -> int:
    if names is None:
        raise ValueError(f"{network} was given no class names, so {name!r} is unknown. Pass an index.")
    wanted = _plain(name)
    found = [i for i, known in enumerate(names) if _plain(known) == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"Class name {name!r} stands for {found}. Pass one of these indices.")
    plain = {_plain(known): known for known in names}
    near = [known for key, known in plain.items() if wanted and wanted in key.split()][:5]
    near += [plain[key] for key in difflib.get_close_matches(wanted, plain, n=5, cutoff=0.5)]
    raise ValueError(
        f"No class is called {name!r}. Nearest: {', '.join(dict.fromkeys(near)) or 'none'}. "
        f"See Network.class_names for all {len(names)}."
    )


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().lower()
