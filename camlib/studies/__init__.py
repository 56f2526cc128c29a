"""Attacks, randomized networks, counterfactuals: what they tell about a map.

It stands on the engine and the front door; notebooks import from it.
Take ``counterfactual`` (counterfactuals), ``fgsm``, ``paste`` (attacks), ``cascading_randomization`` (robustness).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["attacks", "counterfactuals", "robustness"],
    submod_attrs={"counterfactuals": ["counterfactual"]},
)
