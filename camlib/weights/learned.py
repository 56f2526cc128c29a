"""Class activation weights that the network itself has learned to give."""

from __future__ import annotations

import torch
from torch import Tensor

from camlib.layers import unwrapped
from camlib.registry import method
from camlib.trace import Trace
from camlib.zoo.lfi import LFINetwork


@method(
    "lfi-cam",
    title="LFI-CAM",
    sign="softmax",
    family="learned",
    source="Lee et al. 2021, sec. 3",
    passes="1 forward",
    summary="w = softmax over channels of a branch trained with the network; one map for all classes",
    class_specific=False,
    architecture="LFINetwork",
)
def lfi_cam(trace: Trace, target: Tensor) -> Tensor:
    """Importance that the network's attention branch gives to each feature map, w = softmax(FIN(s(F)·g)).

    Returns [B, K], positive, sum 1. The branch knows no class: the map is the same whatever the target is. Raises
    ValueError on a network without the branch, and at another layer than the one that the branch reads.
    """
    module = unwrapped(trace.network.module)
    if not isinstance(module, LFINetwork):
        raise ValueError(
            f"LFI-CAM reads the attention branch of a network that was trained with it; {trace.network.name} has none. "
            f"Load one (camlib.load_network('cifar10-lfi')), train a camlib.zoo.lfi.LFINetwork, or use a post-hoc "
            f"method such as 'grad-cam'."
        )
    read = trace.network.find_layer(module.target_layer, trace.inputs)
    if not {read.name, *read.aliases} & {trace.layer.name, *trace.layer.aliases}:
        raise ValueError(
            f"LFI-CAM weighs the feature maps of layer {read.name!r}, the ones that the branch of {trace.network.name} "
            f"reads; given {trace.layer.name!r}. Pass layer={read.name!r}."
        )
    with trace.ready.held() as module, torch.no_grad():
        return module.attention(trace.inputs, trace.maps).weights.to(trace.activations.dtype)
