"""Which tensors of a network are feature maps, and how to read them as M [B, K, h, w].

It stands on PyTorch alone; networks, the engine and everything above import from it.
Take ``Layer``, ``replacing_output``, ``evaluating``; ``probe`` and ``Survey`` for what a network's layers are.
"""

from camlib.layers.layer import Layer, split_name
from camlib.layers.modules import evaluating, with_gradients
from camlib.layers.probing import RECTIFIERS, probe
from camlib.layers.replacing import replacing_output
from camlib.layers.survey import Survey

__all__ = [
    "RECTIFIERS",
    "Layer",
    "Survey",
    "evaluating",
    "probe",
    "replacing_output",
    "split_name",
    "with_gradients",
]
