"""Scenes: one residual network with LFI-CAM's attention branch and its plain twin, each from several seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from camlib.training.fitting import fit
from camlib.training.recipes import Run, recipe
from camlib.training.scenes import shape_accuracy, shape_batches
from camlib.zoo.designs import find_design

STEPS, BATCH = 600, 64
SEEDS = 5
"""Networks of one kind: the default weights and the stages "seed-1" ... "seed-4"."""


def weight_names() -> list[str]:
    """Weights of the kept seeds: arguments of :func:`camlib.load_network`, the first is the default."""
    return ["default", *(f"seed-{number}" for number in range(1, SEEDS))]


@recipe("scenes-lfi", minutes=4, test=shape_accuracy, accuracy=0.9)
@recipe("scenes-plain", minutes=3, test=shape_accuracy, accuracy=0.9)
def train(module: nn.Module, run: Run) -> Mapping[str, Any]:
    """Train the module, and others like it under other seeds; twins of one seed see the same scenes in one order."""
    losses = []
    for number, tag in enumerate(weight_names()):
        seed = run.seed + number
        torch.manual_seed(seed)
        one = module if tag == "default" else find_design(run.name).build()
        one.to(memory_format=torch.channels_last)
        losses.append(round(fit(one, shape_batches(seed), STEPS, run, precision=torch.bfloat16), 4))
        one.to(memory_format=torch.contiguous_format)
        if tag != "default":
            run.keep(tag, one, seed=seed, loss=losses[-1])
    return {"steps": STEPS, "scenes": STEPS * BATCH, "loss": losses[0]}
