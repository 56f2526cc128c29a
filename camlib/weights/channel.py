"""Class activation weights that need no gradient: ones, the row of the classifier, the first principal direction."""

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
    source="Zhou et al. 2016, eq. 2; Si et al. 2021, eq. 1-2; its ReLU: Liang et al. 2022, eq. 1",
    passes="1 forward",
    summary="w_k = row c of the classifier behind global average pooling",
)
def gap_cam(trace: Trace, target: Tensor) -> Tensor:
    """The classifier's weights from channel k to the target class (CAM; GAP-CAM in Si et al.).

    The map is rectified, as Liang et al. print CAM and as Grad-CAM is, of which it is then a multiple. Zhou et al. and
    Si et al. print no ReLU: ``relu=False`` keeps what speaks against the class, and scaling to [0, 1] then lifts the
    zero to somewhere above the darkest place.

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


@method(
    "eigen-cam",
    title="Eigen-CAM",
    sign="none",
    family="channel",
    source="Muhammad and Yeasin 2020, eq. 3-4",
    passes="1 forward",
    summary="w = first right singular vector of the feature maps; one map for all classes",
    relu=False,
    class_specific=False,
)
def eigen_cam(trace: Trace, target: Tensor, *, center: bool = False) -> Tensor:
    """First right singular vector of the feature maps as a matrix [hw, K], M = U Σ Vᵀ, w = v_1: H = M v_1.

    The map with the largest norm that weights of norm 1 can make; no class enters, so it is a control for methods that
    do know one. A singular vector has no sign of its own: here ⟨H, ΣM⟩ ≥ 0, the map points where the sum of channels
    does. Where all maps are rectified, v_1 has no negative entry. The paper names no ReLU.

    ``center`` subtracts each channel's mean over the positions first, as pytorch-grad-cam does (its map is then
    H − mean H). Returns [B, K], norm 1; zeros where all maps are zero.
    """
    rows = trace.activations.flatten(2).mT  # [B, hw, K]
    matrix = rows - rows.mean(dim=1, keepdim=True) if center else rows
    first = torch.linalg.svd(matrix, full_matrices=False).Vh[:, 0]
    along = ((matrix @ first[:, :, None])[..., 0] * matrix.sum(dim=2)).sum(dim=1, keepdim=True)
    weights = torch.where(along < 0, -first, first)
    return weights * matrix.flatten(1).any(dim=1, keepdim=True)
