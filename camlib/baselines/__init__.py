"""Explanations that are no weighted sum of feature maps: gradients of pixels, RISE and Mask.

They stand on the trace, the engine and the weights. Each is registered, as ``camlib.METHODS["rise"]``.
"""

from camlib.baselines import perturbation, pixels

__all__ = ["perturbation", "pixels"]
