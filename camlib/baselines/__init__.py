"""Explanations that are no weighted sum of maps: gradients of pixels, RISE, Mask.

They stand on the trace, the engine and the weights; registry finds them, and nothing below imports from them.
Take them from ``camlib.METHODS``, as ``METHODS["rise"]``; ``guided_product`` (pixels) is for notebooks.
"""

from camlib.baselines import perturbation, pixels

__all__ = ["perturbation", "pixels"]
