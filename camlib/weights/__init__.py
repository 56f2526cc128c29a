"""Class activation weights: one small function a method, trace and target class in, weights out."""

from camlib.weights import channel, gradient

__all__ = ["channel", "gradient"]
