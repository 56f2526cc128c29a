"""Class activation weights: one small function a method, trace and class in.

They stand on the trace, the engine and the zoo; registry finds them, and baselines import from them.
Take the functions by family (channel, gradient, contrast, shapley, score, paths, optimized, tail, hybrid, union,
learned); METHODS lists them all.
"""

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
