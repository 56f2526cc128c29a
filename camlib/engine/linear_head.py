"""The proof of a linear head: which weights of a network explain the logits, or the gradients, of a recorded pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from camlib.engine.recording import widened


@dataclass(frozen=True)
class LinearHead:
    """A head that the trace proves to be linear behind the pooling, with the rows that CAM uses as weights.

    ``form`` is the identity that holds on the trace, ``error`` its largest deviation relative to the largest logit:

    - ``"y = w·GAP(M) + b"``: ResNet, EfficientNet (Zhou et al. 2016);
    - ``"y = w·GAP(ReLU(M)) + b"``: DenseNet at ``norm5``;
    - ``"y = GAP(ReLU(w·M + b))"``: SqueezeNet, whose 1x1 convolution is the classifier.
    """

    form: str
    weight: Tensor
    bias: Tensor
    error: float
    parameter: str


HEAD_FORMS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "y = w·GAP(M) + b": lambda m, w, b: m.mean(dim=(2, 3)) @ w.T + b,
    "y = w·GAP(ReLU(M)) + b": lambda m, w, b: m.relu().mean(dim=(2, 3)) @ w.T + b,
    "y = GAP(ReLU(w·M + b))": lambda m, w, b: (
        (torch.einsum("ck,bkhw->bchw", w, m) + b.view(1, -1, 1, 1)).relu().mean(dim=(2, 3))
    ),
}
_HEAD_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


def proven_head(module: nn.Module, activations: Tensor, logits: Tensor, dtype: torch.dtype) -> LinearHead | None:
    """The linear head that feature maps and logits of one pass prove, or None where no row of weights explains them.

    Every weight matrix [C, K] of the module is tried in the three forms of :class:`LinearHead`; a form holds when it
    reproduces all logits of all pictures to 1e-4 of the largest one (1e-9 in float64, 3e-2 in half precision). A name
    is never looked at.

    Args:
        module: the network.
        activations: M [B, K, h, w].
        logits: y [B, C].
        dtype: the type in which the logits were computed.
    """
    tolerance = _tolerance(dtype)
    scale = logits.abs().max().clamp(min=1e-30)
    best: LinearHead | None = None
    for name, weight, bias in _candidates(module, (logits.shape[1], activations.shape[1])):
        for form, logits_of in HEAD_FORMS.items():
            error = float((logits_of(activations, weight, bias) - logits).abs().max() / scale)
            if error <= tolerance and (best is None or error < best.error):
                best = LinearHead(form, weight, bias, error, name)
    return best


def pooled_rows(module: nn.Module, sums: Tensor, target: Tensor, classes: int, dtype: torch.dtype) -> Tensor | None:
    """Σ_s w_s of every channel, the classifier's weights over its pooled values m_s, [B, K] (Si et al. 2021, eq. 23).

    Every linear layer from K·S values to ``classes`` logits is tried, its inputs ordered channel by channel. It is the
    one where eq. 24 holds on this pass: Σ_s w_s = Σ_ij g_ij for every channel of every picture, to 1e-4 of the largest
    (1e-9 in float64, 3e-2 in half precision). Neither names nor poolings are looked at: average and max pooling
    without padding qualify; an MLP, a sum and a zero-padded average do not. None where no layer fulfils it.

    Args:
        module: the network.
        sums: Σ_ij g_ij of each channel, [B, K].
        target: class index of every picture, int64 [B].
        classes: number of logits.
        dtype: the network's own type.
    """
    limit = _tolerance(dtype) * sums.abs().max().clamp(min=1e-30)
    for child in module.modules():
        if isinstance(child, nn.Linear) and child.out_features == classes and child.in_features % sums.shape[1] == 0:
            matrix = widened(child.weight.detach()).unflatten(1, (sums.shape[1], -1)).sum(dim=2)
            found = matrix[target.to(matrix.device)]
            if bool((found - sums).abs().max() <= limit):
                return found
    return None


def _tolerance(dtype: torch.dtype) -> float:
    return _HEAD_TOLERANCE.get(dtype, 3e-2)


def _candidates(module: nn.Module, shape: tuple[int, int]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(name, weight [C, K], bias [C]) of every Linear or 1x1 convolution from K channels to C classes."""
    for name, child in module.named_modules():
        weight = getattr(child, "weight", None)
        if not isinstance(child, nn.Linear | nn.modules.conv._ConvNd) or weight.numel() != shape[0] * shape[1]:
            continue
        if tuple(weight.shape[:2]) == shape and bool(weight.any()):
            bias = child.bias if child.bias is not None else weight.new_zeros(shape[0])
            yield f"{name}.weight", widened(weight.detach().reshape(shape)), widened(bias.detach())
