"""Class activation weights that need no gradient: ones, and the row of the classifier."""

from __future__ import annotations

import torch
from torch import Tensor

from camlib.engine.linear_head import HEAD_FORMS
from camlib.registry import method
from camlib.trace import Trace


@method(
    "feature-map",
    title="Sum of feature maps",
    sign="none",
    family="channel",
    source="Si et al. 2021, sec. 2.1",
    passes="1 forward",
    summary="w_k = 1",
    relu=False,
    class_specific=False,
)
def feature_map(trace: Trace, target: Tensor) -> Tensor:
    """Ones: feature-map visualization, the plain sum of all channels.

    Returns [B, K]. The map is the same for every class. LaFAM (Karjauv and Albayrak 2024) divides the sum by K, which
    the scaling to [0, 1] takes out again: it is this map.
    """
    return torch.ones(trace.activations.shape[:2]).to(trace.activations)


@method(
    "gap-cam",
    title="GAP-CAM",
    sign="signed",
    family="channel",
    source="Zhou et al. 2016, eq. 2; Si et al. 2021, eq. 2",
    passes="1 forward",
    summary="w_k = row c of the classifier behind global average pooling",
)
def gap_cam(trace: Trace, target: Tensor) -> Tensor:
    """The classifier's weights from channel k to the target class (CAM; GAP-CAM in Si et al.).

    Returns [B, K]. Raises ValueError where no row of weights reproduces the logits, see :attr:`Trace.head`.
    """
    if trace.head is None:
        forms = "; ".join(HEAD_FORMS)
        raise ValueError(
            f"GAP-CAM needs a head that is linear behind global pooling ({forms}). None of these holds for "
            f"{trace.network.name} at {trace.layer.name!r}. Use 'grad-cam', which equals GAP-CAM up to the factor "
            f"h·w where both exist, or replace the head and train it (Si et al. 2021, fig. 4)."
        )
    return trace.head.weight[target.to(trace.head.weight.device)]
