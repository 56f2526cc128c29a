"""Counterfactual maps: what speaks for one class and not for another (Wang et al. 2019, eq. 7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from camlib import framework
from camlib.engine.batches import Target
from camlib.explanation import Explanation, compare
from camlib.networks import Network
from camlib.pictures import Picture


def counterfactual(
    net: Network,
    photo: Picture,
    target: Target,
    reference: Target,
    method: str = "score-cam",
    layer: str | nn.Module | None = None,
    *,
    scaled: bool = True,
    **options: Any,
) -> Explanation:
    """Map of what the target class has and the reference class has not, L = ReLU(N(L_target) − N(L_reference)).

    Each class's map is scaled to [0, 1] first (N). Eq. 7 does not print it, but the text goes on to mask a picture with
    1 − L, which needs maps in [0, 1]; differences of unscaled maps hang on the two probabilities.
    ``scaled=False`` takes eq. 7 as printed. Multiply the picture by 1 − heatmap to take the target's own evidence away.

    Args:
        net, photo, layer: as in :func:`camlib.explain`.
        target, reference: class indices or names; None for the most probable class.
        method: any name of :data:`camlib.METHODS`; both maps come from one set of passes.
        scaled: scale each map to [0, 1] before the difference.
        options: of the method.

    Returns:
        An :class:`camlib.Explanation` of the target class; ``details`` names the reference and its probability,
        ``weights`` is None.

    Raises:
        ValueError: target and reference are the same class; otherwise as :func:`camlib.explain`.
    """
    found = compare(net, photo, [method], [target, reference], layer, options={method: options})
    if len(found) != 2:
        raise ValueError(f"counterfactual takes one picture; given {len(found) // 2}.")
    wanted, other = found
    if wanted.target == other.target:
        raise ValueError(
            f"target and reference are both class {wanted.target} ({wanted.target_name!r}); name two different ones."
        )
    of = _unit if scaled else (lambda raw: raw)
    raw = (of(wanted.raw) - of(other.raw)).relu()
    heatmap, flat = framework.normalize(framework.upsample(raw[None], tuple(wanted.heatmap.shape)))
    return replace(
        wanted,
        heatmap=heatmap[0],
        raw=raw,
        weights=None,
        degenerate=bool(flat),
        reason="the reference class has all the evidence of the target" if bool(flat) else None,
        details={"reference": other.target, "reference_name": other.target_name, "probability": other.probability},
    )


def _unit(raw: Tensor) -> Tensor:
    return framework.normalize(raw[None])[0][0]
