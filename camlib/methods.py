"""The registry with every method that camlib brings: importing this module registers them, in the order of METHODS."""

from camlib import weights  # isort: skip  (class activation maps before baselines)
from camlib import perturbation, pixels
from camlib.registry import METHODS, Method, find_method, method

__all__ = ["METHODS", "Method", "find_method", "method", "perturbation", "pixels", "weights"]
