"""A module that is looked at and left alone, and which of its tensors are feature maps M [B, K, h, w].

It stands on PyTorch alone; networks, the engine and everything above import from it.
Take ``Layer``, ``replacing_output``; ``Twin`` for what runs in the module's place, ``Survey`` for what its layers are.
"""

from camlib.layers.copying import structural_copy
from camlib.layers.layer import Layer, split_name
from camlib.layers.locating import Run
from camlib.layers.modules import evaluating
from camlib.layers.parts import Scripted, plain_name, unwrapped
from camlib.layers.probing import RECTIFIERS, tensors_in
from camlib.layers.replacing import replacing_output
from camlib.layers.survey import Survey
from camlib.layers.twin import Twin
from camlib.layers.writing import WritesToMemory, kept_random_state

__all__ = [
    "RECTIFIERS",
    "Layer",
    "Run",
    "Scripted",
    "Survey",
    "Twin",
    "WritesToMemory",
    "evaluating",
    "kept_random_state",
    "plain_name",
    "replacing_output",
    "split_name",
    "structural_copy",
    "tensors_in",
    "unwrapped",
]
