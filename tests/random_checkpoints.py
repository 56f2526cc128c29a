"""Seeded random weights under the names of torchvision's checkpoints, to try the papers' setting without a download.

    python tests/random_checkpoints.py TORCH_HOME resnet18 vgg16 ...

camlib marks everything that is made with them as not comparable, because their SHA-256 is not the one in their names.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from torchvision.models import get_model

from camlib.zoo import published_weights


def write(home: str | Path, networks: Iterable[str], seed: int = 0) -> dict[str, Path]:
    """One file for each network in ``home``/hub/checkpoints, where torch.hub looks for it; network -> file."""
    folder = Path(home, "hub", "checkpoints")
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for network in networks:
        files[network] = folder / published_weights(network).url.rpartition("/")[2]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            torch.save(get_model(network).state_dict(), files[network])
    return files


if __name__ == "__main__":
    for network, file in write(sys.argv[1], sys.argv[2:]).items():
        print(f"{network}: {file.name}, random weights")
