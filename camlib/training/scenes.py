"""Networks that name the shape in a scene: four pooling heads, a VGG-style network with two heads, a finetuned one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from camlib.data.scenes import COLORS, SHAPES, Scenes, make_scenes
from camlib.pictures import Preprocess
from camlib.training.fitting import Batch, accuracy, fit
from camlib.training.recipes import Run, kept_weights, recipe
from camlib.zoo.heads import PoolingHead, gap_cam_network

SIZE = 64
PREPROCESS = Preprocess((SIZE, SIZE), (0.5,) * 3, (0.25,) * 3)
TEST_SCENES = 2000
_TEST_FAMILY = 10**9  # seeds from here on are never trained on
_BATCH = 64


def scene_inputs(scenes: Scenes) -> Tensor:
    """Network input of scenes, float32 [N, 3, S, S], normalized."""
    return PREPROCESS.normalize(scenes.images.float() / 255)


def shape_accuracy(module: nn.Module, seed: int) -> float:
    """Accuracy on 2,000 scenes of one object that no training has seen, another set for each seed."""
    scenes = make_scenes(TEST_SCENES, _TEST_FAMILY + seed, objects=(1, 1))
    return accuracy(module, scene_inputs(scenes), scenes.labels)


def shape_batches(seed: int) -> Callable[[int], Batch]:
    """Half scenes of one object, half of two or three; the target is spread evenly over the objects' shapes."""

    def draw(step: int) -> Batch:
        half = range(step * _BATCH // 2, (step + 1) * _BATCH // 2)
        parts = [make_scenes(half, 2 * seed, objects=(1, 1)), make_scenes(half, 2 * seed + 1, objects=(2, 3))]
        targets = [_shares(part) for part in parts]
        return torch.cat([scene_inputs(part) for part in parts]), torch.cat(targets)

    return draw


def _shares(scenes: Scenes) -> Tensor:
    """Share of each shape among the objects of a scene, float32 [N, classes]."""
    hits = scenes.shapes[..., None] == torch.arange(len(SHAPES))
    return hits.sum(dim=1) / scenes.counts[:, None]


def _trained(steps: int, **settings: Any) -> Callable[[nn.Module, Run], Mapping[str, Any]]:
    """Training from random weights: ``steps`` batches of new scenes, none seen twice."""

    def train(module: nn.Module, run: Run) -> Mapping[str, Any]:
        loss = fit(_fast(module), shape_batches(run.seed), steps, run, **settings)
        return {"steps": steps, "scenes": steps * _BATCH, "loss": round(loss, 4)}

    return train


def _fast(module: nn.Module) -> nn.Module:
    """The module with its channels last in memory: a third faster on a CPU."""
    return module.to(memory_format=torch.channels_last)


# -- one body, four pooling heads (Si et al. 2021, fig. 8)


def _block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def _body() -> nn.Sequential:
    """Pictures [B, 3, 64, 64] -> feature maps [B, 96, 8, 8]."""
    return nn.Sequential(*_block(3, 16, 5, 2), *_block(16, 32, 3, 2), *_block(32, 64), nn.MaxPool2d(2), *_block(64, 96))


class PooledNetwork(nn.Module):
    """``features``, then ``head``: one pooling and one linear layer."""

    def __init__(self, pooling: str, classes: int = len(SHAPES)) -> None:
        super().__init__()
        self.features = _body()
        self.head = PoolingHead(96, (SIZE // 8, SIZE // 8), classes, pooling)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.features(inputs))


_common = {"test": shape_accuracy, "accuracy": 0.95, "class_names": SHAPES, "preprocess": PREPROCESS}
_STEPS = 700


@recipe("scenes-gap", train=_trained(_STEPS), target_layer="features", **_common)
def scenes_gap() -> nn.Module:
    """Four convolutions, GAP, linear: pooling case 1."""
    return PooledNetwork("gap")


@recipe("scenes-avg22", train=_trained(_STEPS), target_layer="features", **_common)
def scenes_avg22() -> nn.Module:
    """The same body, average pooling 2 x 2 with stride 2, linear: pooling case 2."""
    return PooledNetwork("avg 2/2")


@recipe("scenes-max22", train=_trained(_STEPS), target_layer="features", **_common)
def scenes_max22() -> nn.Module:
    """The same body, max pooling 2 x 2 with stride 2, linear: pooling case 3."""
    return PooledNetwork("max 2/2")


@recipe("scenes-avg21", train=_trained(_STEPS), target_layer="features", **_common)
def scenes_avg21() -> nn.Module:
    """The same body, average pooling 2 x 2 with stride 1, linear: pooling case 4."""
    return PooledNetwork("avg 2/1")


# -- a VGG-style network and its modification for GAP-CAM (Si et al. 2021, fig. 3 and 4)


def _vgg_features() -> nn.Sequential:
    """VGG's pattern of 3 x 3 convolutions and 2 x 2 max pooling, without the last pooling: [B, 64, 8, 8]."""
    first = [*_block(3, 8), nn.MaxPool2d(2)]
    second = [*_block(8, 24), *_block(24, 24), nn.MaxPool2d(2)]
    third = [*_block(24, 48), nn.MaxPool2d(2)]
    return nn.Sequential(*first, *second, *third, *_block(48, 64), *_block(64, 64))


class SmallVgg(nn.Module):
    """``features``, then the last max pooling and an MLP of three linear layers, as in VGG."""

    def __init__(self, hidden: int = 96) -> None:
        super().__init__()
        self.features = _vgg_features()
        self.pool = nn.MaxPool2d(2)
        first = [nn.Linear(64 * (SIZE // 16) ** 2, hidden), nn.ReLU(), nn.Dropout(0.1)]
        second = [nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.1)]
        self.classifier = nn.Sequential(nn.Flatten(), *first, *second, nn.Linear(hidden, len(SHAPES)))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.classifier(self.pool(self.features(inputs)))


@recipe("scenes-vgg", train=_trained(_STEPS), target_layer="features", **_common)
def scenes_vgg() -> nn.Module:
    """VGG-style convolutions, max pooling, three linear layers."""
    return SmallVgg()


def _train_modified(module: nn.Module, run: Run) -> Mapping[str, Any]:
    """The features start from the trained ``scenes-vgg``, the new layers from random weights; all are trained."""
    state = kept_weights("scenes-vgg")
    features = {key.removeprefix("features."): v for key, v in state.items() if key.startswith("features.")}
    module[0][0].load_state_dict(features)
    steps = 300
    loss = fit(_fast(module), shape_batches(run.seed + 500), steps, run, rate=2e-3)
    return {"steps": steps, "scenes": steps * _BATCH, "loss": round(loss, 4), "starts from": "scenes-vgg"}


@recipe("scenes-vgg-gap", train=_train_modified, after=["scenes-vgg"], target_layer="0", **_common)
def scenes_vgg_gap() -> nn.Module:
    """The VGG-style network made fit for GAP-CAM: conv 3 x 3 / 1 / 1 with 64 kernels, GAP, linear."""
    return gap_cam_network(_vgg_features(), 64, len(SHAPES), kernels=64)


# -- finetuning (Wang et al. 2019, fig. 13)

STAGES = (0, 20, 60, 150, 500, 650)
"""Steps of finetuning after which the weights are kept, beside the final ones."""


def _color_batches(seed: int) -> Callable[[int], Batch]:
    def draw(step: int) -> Batch:
        scenes = make_scenes(range(step * _BATCH, (step + 1) * _BATCH), seed, objects=(1, 1))
        return scene_inputs(scenes), scenes.colors[:, 0]

    return draw


def _finetune(module: nn.Module, run: Run) -> Mapping[str, Any]:
    """First the colors are learned; then a random head replaces theirs, and the whole network learns the shapes."""
    shapes = module.head
    module.head = PoolingHead(96, (SIZE // 8, SIZE // 8), len(COLORS), "gap")
    before = 200
    fit(_fast(module), _color_batches(run.seed + 2000), before, run)
    module.head = shapes
    run.keep("step-0", module, steps=0)

    def keep(done: int) -> None:
        if done in STAGES:
            run.keep(f"step-{done}", module, steps=done)

    loss = fit(_fast(module), shape_batches(run.seed + 1000), _STEPS, run, after_step=keep)
    return {"steps": _STEPS, "scenes": _STEPS * _BATCH, "loss": round(loss, 4), "steps on colors": before}


@recipe("scenes-finetuned", train=_finetune, target_layer="features", minutes=2, **_common)
def scenes_finetuned() -> nn.Module:
    """The network with GAP, taught colors first and then finetuned to shapes; stages are kept."""
    return PooledNetwork("gap")


def stage_names() -> Sequence[str]:
    """Weights of ``scenes-finetuned`` in the order of its training: arguments of :func:`camlib.load_network`."""
    return [*(f"step-{step}" for step in STAGES), "default"]
