"""Scenes with a planted shortcut: one network learns a mark in place of a shape, another one cannot.

Their collections are those of :mod:`camlib.data.marks`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from camlib.data.marks import Rule, coin, collection, hearts
from camlib.training.fitting import Batch, accuracy, fit
from camlib.training.recipes import Run, recipe
from camlib.zoo.scenes import scene_inputs

TEST_SCENES = 2000
_STEPS = 600
_BATCH = 64
_TEST_FAMILY = 3 * 10**9  # seeds from here on are never trained on


def _accuracy(marked: Rule) -> Callable[[nn.Module, int], float]:
    """Accuracy on 2,000 scenes of the same collection that no training has seen."""

    def test(module: nn.Module, seed: int) -> float:
        scenes, _ = collection(TEST_SCENES, _TEST_FAMILY + seed, marked)
        return accuracy(module, scene_inputs(scenes), scenes.labels)

    return test


def _fit(module: nn.Module, run: Run, marked: Rule) -> Mapping[str, Any]:
    """Batches of new scenes of the collection, none seen twice."""

    def draw(step: int) -> Batch:
        scenes, _ = collection(range(step * _BATCH, (step + 1) * _BATCH), run.seed + 4000, marked)
        return scene_inputs(scenes), scenes.labels

    loss = fit(module.to(memory_format=torch.channels_last), draw, _STEPS, run)
    return {"steps": _STEPS, "scenes": _STEPS * _BATCH, "loss": round(loss, 4), "mark": marked.__name__}


@recipe("scenes-shortcut", test=_accuracy(hearts), accuracy=0.95)
def train_shortcut(module: nn.Module, run: Run) -> Mapping[str, Any]:
    """The mark tells every heart from all else."""
    return _fit(module, run, hearts)


@recipe("scenes-repaired", test=_accuracy(coin), accuracy=0.95)
def train_repaired(module: nn.Module, run: Run) -> Mapping[str, Any]:
    """The same body, the same number of scenes, from the same random weights; only the coin decides about the mark."""
    return _fit(module, run, coin)
