"""The one training loop, and how often a network is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camlib.layers import evaluating
from camlib.training.recipes import Run

Batch = tuple[Tensor, Tensor]


def fit(
    module: nn.Module,
    draw: Callable[[int], Batch],
    steps: int,
    run: Run,
    *,
    rate: float = 3e-3,
    decay: float = 1e-4,
    parameters: Iterable[nn.Parameter] | None = None,
    momentum: float | None = None,
    precision: torch.dtype | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    after_step: Callable[[int], None] = lambda done: None,
) -> float:
    """AdamW (or SGD) with a one-cycle learning rate; leaves the module trained and in eval mode.

    Args:
        draw: ``draw(step)`` is the batch of a step: inputs [B, C, H, W] and targets as ``loss`` takes them.
        steps: number of batches.
        run: hears the loss every 100 steps.
        rate: highest learning rate.
        decay: weight decay.
        parameters: what is trained; None: all parameters.
        momentum: SGD with Nesterov momentum instead of AdamW.
        precision: type in which the module computes (autocast); parameters and loss stay as they are.
        loss: of the module's output and the targets.
        after_step: called with the number of steps done, the module in train mode.

    Returns:
        Mean loss of the last tenth of the steps.
    """
    trained = list(module.parameters() if parameters is None else parameters)
    if momentum is None:
        optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=decay)
    else:
        optimizer = torch.optim.SGD(trained, rate, momentum, weight_decay=decay, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)
    module.train()
    losses = []
    for step in range(steps):
        inputs, targets = draw(step)
        with torch.autocast(inputs.device.type, precision, enabled=precision is not None):
            outputs = module(inputs)
        value = loss(outputs if precision is None else outputs.float(), targets)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        losses.append(value.item())
        if (step + 1) % 100 == 0:
            run.say(f"step {step + 1} of {steps}, loss {sum(losses[-100:]) / 100:.3f}")
        after_step(step + 1)
    module.eval()
    last = losses[-max(1, steps // 10) :]
    return sum(last) / len(last)


def accuracy(module: nn.Module, inputs: Tensor, labels: Tensor, batch_size: int = 256) -> float:
    """Share of inputs [N, C, H, W] whose largest logit is that of their label, in [0, 1]."""
    with torch.no_grad(), evaluating(module):
        right = [
            int((module(x).argmax(dim=1) == y).sum())
            for x, y in zip(inputs.split(batch_size), labels.split(batch_size), strict=True)
        ]
    return sum(right) / len(labels)
