"""camlib: class activation maps, H = Σ_l w_l · M_l, with every method a class activation weight."""

from camlib import perturbation, pixels, weights
from camlib.counterfactual import counterfactual
from camlib.data import Mosaic, list_photos, load_photo, mosaic, photo_info, side_by_side
from camlib.explain import DegenerateMapWarning, Explanation, compare, explain
from camlib.layers import Layer
from camlib.masking import Masking
from camlib.networks import Network
from camlib.pictures import Preprocess
from camlib.registry import METHODS, Method, method
from camlib.trace import ApproximationWarning, LinearHead, Trace
from camlib.zoo import list_networks, load_network, load_networks

__all__ = [
    "METHODS",
    "ApproximationWarning",
    "DegenerateMapWarning",
    "Explanation",
    "Layer",
    "LinearHead",
    "Masking",
    "Method",
    "Mosaic",
    "Network",
    "Preprocess",
    "Trace",
    "compare",
    "counterfactual",
    "explain",
    "list_networks",
    "list_photos",
    "load_network",
    "load_networks",
    "load_photo",
    "method",
    "mosaic",
    "perturbation",
    "photo_info",
    "pixels",
    "side_by_side",
    "weights",
]
