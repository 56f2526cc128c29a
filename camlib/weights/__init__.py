"""Class activation weights: one small function a method, trace and target class in, weights out."""

from camlib.weights import channel, gradient, contrast, shapley  # isort: skip  (the order of METHODS)
from camlib.weights import score, paths, optimized, tail  # isort: skip
from camlib.weights import hybrid, union  # isort: skip
from camlib.weights import learned

__all__ = [
    "channel",
    "contrast",
    "gradient",
    "hybrid",
    "learned",
    "optimized",
    "paths",
    "score",
    "shapley",
    "tail",
    "union",
]
