"""Scenes: how the small networks learn to name the shape, and one of them colors first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from camlib.data.scenes import COLORS, SHAPES, Scenes, make_scenes
from camlib.training.fitting import Batch, accuracy, fit
from camlib.training.recipes import Run, recipe
from camlib.zoo.scenes import pooling_head, scene_inputs
from camlib.zoo.trained import kept_weights

TEST_SCENES = 2000
STEPS = 700
STAGES = (0, 20, 60, 150, 500, 650)
"""Steps of finetuning after which the weights are kept, beside the final ones."""
_TEST_FAMILY = 10**9  # seeds from here on are never trained on
_BATCH = 64


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


def _fast(module: nn.Module) -> nn.Module:
    """The module with its channels last in memory: a third faster on a CPU."""
    return module.to(memory_format=torch.channels_last)


@recipe("scenes-gap", "scenes-avg22", "scenes-max22", "scenes-avg21", "scenes-vgg", test=shape_accuracy, accuracy=0.95)
def train(module: nn.Module, run: Run) -> Mapping[str, Any]:
    """Batches of new scenes, none seen twice."""
    loss = fit(_fast(module), shape_batches(run.seed), STEPS, run)
    return {"steps": STEPS, "scenes": STEPS * _BATCH, "loss": round(loss, 4)}


@recipe("scenes-squeeze", "scenes-dense", test=shape_accuracy, accuracy=0.95, minutes=2)
def train_rectified(module: nn.Module, run: Run) -> Mapping[str, Any]:
    """The same scenes; heads that rectify on the way learn from more of them."""
    steps = 1000
    loss = fit(_fast(module), shape_batches(run.seed), steps, run)
    return {"steps": steps, "scenes": steps * _BATCH, "loss": round(loss, 4)}


@recipe("scenes-vgg-gap", test=shape_accuracy, accuracy=0.95, after=["scenes-vgg"])
def train_modified(module: nn.Module, run: Run) -> Mapping[str, Any]:
    """The features start from the trained ``scenes-vgg``, the new layers from random weights; all are trained."""
    state = kept_weights("scenes-vgg")
    features = {key.removeprefix("features."): v for key, v in state.items() if key.startswith("features.")}
    module[0][0].load_state_dict(features)
    steps = 300
    loss = fit(_fast(module), shape_batches(run.seed + 500), steps, run, rate=2e-3)
    return {"steps": steps, "scenes": steps * _BATCH, "loss": round(loss, 4), "starts from": "scenes-vgg"}


# -- finetuning (Wang et al. 2019, fig. 13)


def _color_batches(seed: int) -> Callable[[int], Batch]:
    def draw(step: int) -> Batch:
        scenes = make_scenes(range(step * _BATCH, (step + 1) * _BATCH), seed, objects=(1, 1))
        return scene_inputs(scenes), scenes.colors[:, 0]

    return draw


@recipe("scenes-finetuned", test=shape_accuracy, accuracy=0.95, minutes=2)
def finetune(module: nn.Module, run: Run) -> Mapping[str, Any]:
    """First the colors are learned; then a random head replaces theirs, and the whole network learns the shapes."""
    shapes = module.head
    module.head = pooling_head("gap", len(COLORS))
    before = 200
    fit(_fast(module), _color_batches(run.seed + 2000), before, run)
    module.head = shapes
    run.keep("step-0", module, steps=0)

    def keep(done: int) -> None:
        if done in STAGES:
            run.keep(f"step-{done}", module, steps=done)

    loss = fit(_fast(module), shape_batches(run.seed + 1000), STEPS, run, after_step=keep)
    return {"steps": STEPS, "scenes": STEPS * _BATCH, "loss": round(loss, 4), "steps on colors": before}


def stage_names() -> Sequence[str]:
    """Weights of ``scenes-finetuned`` in the order of its training: arguments of :func:`camlib.load_network`."""
    return [*(f"step-{step}" for step in STAGES), "default"]
