"""Networks by name: EfficientNet-Lite with its weights from ordinary packages, torchvision's and timm's classifiers."""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.error import URLError

import timm
import torch
import torchvision
from torch import nn
from torchvision.models import get_model, get_model_weights, list_models

from camlib.data import weight_file
from camlib.networks import Network
from camlib.pictures import Preprocess

_LITE = {"efficientnet-lite0": 224, "efficientnet-lite1": 240, "efficientnet-lite2": 260}
_LITE_MEAN, _LITE_STD = (0.498,) * 3, (0.502,) * 3


class WeightsUnavailable(RuntimeError):
    """Pretrained weights are neither on disk nor to be had by download; the message says what to do."""


@cache
def imagenet_classes() -> tuple[str, ...]:
    """The 1,000 ImageNet class names in the order of the logits, from torchvision's weight metadata."""
    return tuple(get_model_weights("resnet18").IMAGENET1K_V1.meta["categories"])


def list_networks() -> list[str]:
    """Names that :func:`load_network` takes: EfficientNet-Lite, torchvision's classifiers, then timm's."""
    names = [*_LITE, *list_models(module=torchvision.models), *timm.list_models()]
    return list(dict.fromkeys(names))


def load_network(name: str, weights: str | None = "default", *, seed: int = 0) -> Network:
    """A classifier by name, in eval mode on the CPU.

    Args:
        name: ``"efficientnet-lite0"``, ``-lite1``, ``-lite2`` (weights come with their packages, nothing is
            downloaded); any classifier of torchvision (``"resnet18"``); any of timm (``"timm/resnet18"`` where
            both have the name).
        weights: ``"default"`` for ImageNet weights (torchvision: IMAGENET1K_V1, the papers' own, where it exists);
            the name of a torchvision weight enum (``"IMAGENET1K_V2"``); None for random weights drawn from ``seed``.
        seed: seed of the random weights. The caller's random state is left alone.

    Raises:
        ValueError: no such network (nearest names are listed), or no such weights.
        WeightsUnavailable: the weights are not on disk and cannot be downloaded.
    """
    if not isinstance(name, str):
        raise TypeError(
            f"A network is named by a string; given {type(name).__name__}. Wrap modules: Network(module)."
        )
    with torch.inference_mode(False):
        if name in _LITE:
            return _lite(name, weights, seed)
        if name in list_models(module=torchvision.models):
            return _torchvision(name, weights, seed)
        if timm.is_model(name.removeprefix("timm/")):
            return _timm(name.removeprefix("timm/"), weights, seed)
    near = difflib.get_close_matches(name, list_networks(), n=5, cutoff=0.5)
    raise ValueError(
        f"No network is called {name!r}. Nearest: {', '.join(near) or 'none'}; see list_networks()."
    )


def _seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build with random weights from a seed, without touching the caller's random state."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", FutureWarning
        )  # torchvision announces a change of GoogLeNet's initialization
        torch.manual_seed(seed)
        return build().eval()


def _label(name: str, weights: str | None, seed: int) -> str:
    return name if weights is not None else f"{name} (random weights, seed {seed})"


def _no_such_weights(name: str, weights: str, known: list[str]) -> ValueError:
    return ValueError(f"{name} has no weights {weights!r}. Choose 'default', None or one of {known}.")


def _lite(name: str, weights: str | None, seed: int) -> Network:
    if weights not in ("default", None):
        raise _no_such_weights(name, weights, [])
    module = _seeded(lambda: timm.create_model(f"tf_{name.replace('-', '_')}", pretrained=False), seed)
    if weights == "default":
        module.load_state_dict(
            _renamed(module, torch.load(weight_file(name), weights_only=True)), strict=True
        )
    size = _LITE[name]
    preprocess = Preprocess((size, size), _LITE_MEAN, _LITE_STD, "bicubic")
    return Network(module, None, preprocess, imagenet_classes(), _label(name, weights, seed))


def _renamed(module: nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The package's tensors under timm's names.

    Both list the same layers in the same order under different names, so tensors are matched by position; kind and
    shape of every one are checked.
    """
    own = module.state_dict()
    pairs = list(zip(own.items(), state.items(), strict=True))
    for (new, tensor), (old, value) in pairs:
        if new.rpartition(".")[2] != old.rpartition(".")[2] or tensor.shape != value.shape:
            raise ValueError(f"Weight {old} {list(value.shape)} does not fit {new} {list(tensor.shape)}.")
    return {new: value for (new, _), (_, value) in pairs}


def _torchvision(name: str, weights: str | None, seed: int) -> Network:
    enum = get_model_weights(name)
    known = [member.name for member in enum]
    preferred = "IMAGENET1K_V1" if "IMAGENET1K_V1" in known else enum.DEFAULT.name
    chosen = preferred if weights in ("default", None) else weights
    if chosen not in known:
        raise _no_such_weights(name, chosen, known)
    entry = enum[chosen]
    if weights is None:
        extra = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
        module = _seeded(lambda: get_model(name, weights=None, **extra), seed)
    else:
        module = _downloaded(lambda: get_model(name, weights=entry), name, entry.url).eval()
    known_transform = entry.transforms()
    preprocess = Preprocess(
        (known_transform.crop_size[0],) * 2,
        tuple(known_transform.mean),
        tuple(known_transform.std),
        known_transform.interpolation.value,
    )
    return Network(module, None, preprocess, entry.meta["categories"], _label(name, weights, seed))


def _timm(name: str, weights: str | None, seed: int) -> Network:
    if weights not in ("default", None):
        raise _no_such_weights(name, weights, timm.list_pretrained(f"{name}*")[:5])
    if weights is None:
        module = _seeded(lambda: timm.create_model(name, pretrained=False), seed)
    else:
        source = timm.get_pretrained_cfg(name)
        where = (source.hf_hub_id or source.url) if source is not None else None
        if where is None:
            raise _no_such_weights(name, weights, ["None (timm has no pretrained weights of this name)"])
        module = _downloaded(lambda: timm.create_model(name, pretrained=True), name, where).eval()
    config = timm.data.resolve_model_data_config(module)
    interpolation = (
        config["interpolation"] if config["interpolation"] in ("bilinear", "bicubic") else "bicubic"
    )
    preprocess = Preprocess(
        config["input_size"][1:], tuple(config["mean"]), tuple(config["std"]), interpolation
    )
    classes = imagenet_classes() if getattr(module, "num_classes", None) == 1000 else None
    return Network(module, None, preprocess, classes, _label(name, weights, seed))


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "") in ("1", "ON", "YES", "TRUE") or bool(
        os.environ.get("CAMLIB_OFFLINE")
    )


def _downloaded(build: Callable[[], nn.Module], name: str, source: str) -> nn.Module:
    """Build with pretrained weights; what stands in the way becomes one error that says how to go on."""
    file = source.rpartition("/")[2]
    is_url = source.startswith("http")
    folder = (
        Path(torch.hub.get_dir()) / "checkpoints"
        if is_url
        else Path(os.environ.get("HF_HOME", "~/.cache/huggingface"))
    )
    remedy = (
        f"Weights of {name} are not here: {file!r} is looked for in {folder}, and downloading it from {source} "
        f"{{why}}. With a connection, camlib.load_network({name!r}) fetches it once; without one, copy the file there "
        f"(TORCH_HOME moves the folder), or use camlib.load_network({name!r}, weights=None) for random weights, or "
        f"'efficientnet-lite0', whose weights are installed already."
    )
    if is_url and _offline() and not (folder / file).exists():
        raise WeightsUnavailable(
            remedy.format(why="is switched off (CAMLIB_OFFLINE or HF_HUB_OFFLINE is set)")
        )
    try:
        return build()
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsUnavailable(remedy.format(why=f"failed ({type(error).__name__}: {error})")) from error
