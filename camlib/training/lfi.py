"""Scenes: one residual network with LFI-CAM's attention branch and its plain twin, each from several seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from camlib.data.scenes import SHAPES
from camlib.training.fitting import fit
from camlib.training.recipes import Run, find_recipe, recipe
from camlib.training.scenes import PREPROCESS, shape_accuracy, shape_batches
from camlib.zoo.lfi import GapNetwork, LFINetwork, initialize
from camlib.zoo.residual import residual_features

CHANNELS = 32
STEPS, BATCH = 600, 64
SEEDS = 5
"""Networks of one kind: the default weights and the stages "seed-1" ... "seed-4"."""


def weight_names() -> list[str]:
    """Weights of the kept seeds: arguments of :func:`camlib.load_network`, the first is the default."""
    return ["default", *(f"seed-{number}" for number in range(1, SEEDS))]


def _train(name: str, module: nn.Module, run: Run) -> Mapping[str, Any]:
    """Train the module, and others like it under other seeds; twins of one seed see the same scenes in one order."""
    losses = []
    for number, tag in enumerate(weight_names()):
        seed = run.seed + number
        torch.manual_seed(seed)
        one = module if tag == "default" else find_recipe(name).build()
        one.to(memory_format=torch.channels_last)
        losses.append(round(fit(one, shape_batches(seed), STEPS, run, precision=torch.bfloat16), 4))
        one.to(memory_format=torch.contiguous_format)
        if tag != "default":
            run.keep(tag, one, seed=seed, loss=losses[-1])
    return {"steps": STEPS, "scenes": STEPS * BATCH, "loss": losses[0]}


def _settings(name: str) -> dict[str, Any]:
    return {
        "train": lambda module, run: _train(name, module, run), "test": shape_accuracy, "accuracy": 0.9,
        "class_names": SHAPES, "preprocess": PREPROCESS, "target_layer": "features",
    }  # fmt: skip


def _features() -> nn.Sequential:
    """Pictures [B, 3, 64, 64] -> feature maps [B, 32, 8, 8]."""
    return residual_features(16, [(24, 2), (48, 2), (CHANNELS, 1)], stem_stride=2)


@recipe("scenes-plain", minutes=3, **_settings("scenes-plain"))
def scenes_plain() -> nn.Module:
    """Residual network for scenes, GAP, linear; five seeds."""
    return initialize(GapNetwork(_features(), CHANNELS, len(SHAPES)))


@recipe("scenes-lfi", minutes=4, **_settings("scenes-lfi"))
def scenes_lfi() -> nn.Module:
    """The same network with LFI-CAM's attention branch; five seeds."""
    return initialize(LFINetwork(_features(), CHANNELS, len(SHAPES)))
