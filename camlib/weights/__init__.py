"""Class activation weights: one small function a method, trace and target class in, weights out."""

from camlib.weights import channel, gradient, score, tail  # isort: skip  (the order of METHODS)
from camlib.weights import hybrid, union  # isort: skip
from camlib.weights import learned

__all__ = ["channel", "gradient", "hybrid", "learned", "score", "tail", "union"]
