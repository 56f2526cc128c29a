"""Class activation weights: one small function a method, trace and class in.

They stand on the trace, the engine and the zoo; registry finds them, and baselines import from them.
Take the functions by family (channel, gradient, score, tail, hybrid, union, learned); METHODS lists them all.
"""

from camlib.weights import channel, gradient, score, tail  # isort: skip  (the order of METHODS)
from camlib.weights import hybrid, union  # isort: skip
from camlib.weights import learned

__all__ = ["channel", "gradient", "hybrid", "learned", "score", "tail", "union"]
