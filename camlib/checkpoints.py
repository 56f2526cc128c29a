"""Weight files whose names promise their content, and whether they keep the promise.

torchvision's end in the first digits of their SHA-256. torch.hub compares those digits with the file that it
downloads, and never again; a file that somebody put there is taken as it is. So they are compared here whenever weights
are loaded, and whatever is made with other weights is marked by the compendium as not comparable. This is how the
papers' setting can be tried with random weights under the right file names without anybody taking the numbers for the
papers' own.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

_PROMISE = re.compile(r"-([0-9a-f]{8,})\.\w+$")  # torch.hub reads the digits from the same place
_SHOWN = 8

_foreign: dict[str, str] = {}
"""Network -> its file and how the digest begins, of all that this process loaded under a wrong name."""


class WeightsUnavailable(RuntimeError):
    """Pretrained weights are neither on disk nor to be had by download; the message says what to do."""


def promised(file: str | Path) -> str | None:
    """The digits with which a file's SHA-256 begins by its name, such as "397923af" of vgg16-397923af.pth, or None."""
    found = _PROMISE.search(Path(file).name)
    return found[1] if found else None


def verified(file: str | Path) -> bool | None:
    """Whether a file is what its name promises; None where the name promises nothing.

    Raises FileNotFoundError where there is no such file. A file is read once in a process unless it changes.
    """
    digits = promised(file)
    return None if digits is None else digest(file).startswith(digits)


def digest(file: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    path = Path(file).resolve()
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@cache
def _digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def admit(network: str, file: str | Path) -> bool | None:
    """:func:`verified`, and from now on :func:`not_comparable` names the network if it is not."""
    right = verified(file)
    if right is False:
        _foreign[network] = f"the SHA-256 of {Path(file).name} begins with {digest(file)[:_SHOWN]}"
    return right


def not_comparable() -> str | None:
    """Why nothing that this process makes from now on can be compared with a paper; None as long as all is well.

    The process is marked, not the single number: what has been computed with which network is not known here, and a
    mark too many does no harm.
    """
    if not _foreign:
        return None
    which = "; ".join(f"{network}: {what}" for network, what in sorted(_foreign.items()))
    return f"the weights are not the published ones, random for all that is known ({which})"
