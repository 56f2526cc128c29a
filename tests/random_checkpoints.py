"""Seeded random weights under the names of torchvision's checkpoints, to try the papers' setting without a download.

    python tests/random_checkpoints.py TORCH_HOME resnet18 vgg16 ... [--fit 224 128]

camlib marks everything that is made with them as not comparable, because their SHA-256 is not the one in their names.
``--fit`` solves the last linear layer for the labels of the photographs at these input sizes: the notebooks then find
photographs that are classified right, and run to their end (07 plays its grid game at 128 pixels).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import nn

from camlib import Network, list_photos, load_network, load_photo, photo_info
from camlib.zoo.pretrained import published_weights

_LOGIT = 12.0  # of the right class, so that its probability is 0.99
_SPREAD = 0.1  # of the other classes' logits: a class that answers 0 to everything has no map


def write(home: str | Path, networks: Iterable[str], seed: int = 0, fit: Sequence[int] = ()) -> dict[str, Path]:
    """One file for each network in ``home``/hub/checkpoints, where torch.hub looks for it; network -> file."""
    folder = Path(home, "hub", "checkpoints")
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for name in networks:
        files[name] = folder / published_weights(name).url.rpartition("/")[2]
        network = load_network(name, None, seed=seed)
        if fit:
            _fit_head([network.with_input_size(size) for size in fit])
        torch.save(network.module.state_dict(), files[name])
    return files


def _fit_head(networks: Sequence[Network]) -> None:  # views of one network at several input sizes
    """The last linear layer by least squares: the pictures are fewer than its inputs, so that all become right."""
    heads = [module for module in networks[0].module.modules() if isinstance(module, nn.Linear)]
    if not heads:
        return
    photos = list_photos("imagenet")
    inputs = torch.cat([_head_input(network, heads[-1], name) for network in networks for name in photos]).double()
    labels = [photo_info(name).label for _ in networks for name in photos]
    size = len(inputs), heads[-1].out_features
    logits = _SPREAD * torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits[range(len(inputs)), labels] = _LOGIT
    centered = inputs - inputs.mean(dim=0)
    weight = torch.linalg.pinv(centered) @ (logits - logits.mean(dim=0))
    with torch.no_grad():
        heads[-1].weight.copy_(weight.T)
        heads[-1].bias.copy_(logits.mean(dim=0) - inputs.mean(dim=0) @ weight)


def _head_input(network: Network, head: nn.Linear, photo: str) -> torch.Tensor:
    seen: list[torch.Tensor] = []
    with head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach())), torch.no_grad():
        network.module(network.prepare(load_photo(photo))[1][None])  # a network would look at its new hook each time
    return seen[-1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("home", metavar="TORCH_HOME")
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--fit", type=int, nargs="+", default=(), metavar="PIXELS")
    options = parser.parse_args()
    for network, file in write(options.home, options.networks, fit=options.fit).items():
        print(f"{network}: {file.name}, random weights")
