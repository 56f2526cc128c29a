"""Second and third derivatives of a logit with respect to single activations, by differentiating the tail again.

The derivatives ∂²y/∂M² and ∂³y/∂M³ of one activation each: the diagonal of the Hessian and what follows it. A row of a
batch is given to each of them, so that one forward and three backward passes of the network behind the layer serve a
whole batch of activations.
"""

from __future__ import annotations

import torch
from torch import Tensor

from camlib.engine.scoring import Tail, progress
from camlib.trace import Trace


def logit_curvature(trace: Trace, target: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """∂²y_c/∂M_kij² and ∂³y_c/∂M_kij³ of each picture's target logit, by automatic differentiation.

    One pass of the tail and three back through it for each batch of wanted activations; nothing but the first batch
    where the tail is linear. A piecewise linear tail (ReLU, pooling, linear layers) has zeros.

    Args:
        trace: of a network whose tail can be differentiated three times.
        target: class index of every picture, int64 [B].
        wanted: which activations, bool [B, K, h, w].

    Returns:
        Two tensors [B, K, h, w] of the type of :attr:`Trace.activations`; zeros where not wanted.
    """
    with torch.inference_mode(False), torch.enable_grad(), progress(int(wanted.sum()), "second derivatives") as advance:
        second, third = torch.zeros_like(trace.activations), torch.zeros_like(trace.activations)
        for b in range(len(wanted)):
            tail, places = trace.tail(b), wanted[b].flatten().nonzero().flatten().clone()
            for part in places.split(tail.batch):
                made = _of_batch(tail, trace.maps[b].clone(), part, int(target[b]))
                if made is None:
                    break
                second[b].view(-1)[part], third[b].view(-1)[part] = (one.to(second) for one in made)
                advance(len(part))
    return second, third


def _of_batch(tail: Tail, maps: Tensor, places: Tensor, target: int) -> tuple[Tensor, Tensor] | None:
    """Both derivatives at each of ``places`` [n] in the flattened maps; None where the gradient is a constant."""
    rows = maps.expand(len(places), *maps.shape).clone().requires_grad_(True)
    first = _each(tail.run(rows.clone())[:, target], rows, places)  # a clone: an in-place ReLU must not touch a leaf
    second = None if first is None else _each(first, rows, places)
    if second is None:
        return None
    third = _each(second, rows, places)
    return second.detach(), torch.zeros_like(second) if third is None else third.detach()


def _each(values: Tensor, rows: Tensor, places: Tensor) -> Tensor | None:
    """Derivative of each row's value [n] with respect to its own place; None where no graph leads from it to rows."""
    if not values.requires_grad:
        return None
    (found,) = torch.autograd.grad(values.sum(), rows, create_graph=True, allow_unused=True)
    return None if found is None else found.flatten(1)[torch.arange(len(places), device=rows.device), places]
