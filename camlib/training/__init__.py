"""Networks that are trained here, one recipe each; their weights lie in data/trained/.

    python -m camlib.training --list
    python -m camlib.training scenes-gap --seed 0
    net = camlib.load_network("scenes-gap")

A module of this package that is not machinery is a subject: it registers its recipes with the decorator
:func:`recipe` and is found by itself.
"""

from importlib import import_module
from pkgutil import iter_modules

from camlib.training.fitting import accuracy, fit
from camlib.training.recipes import RECIPES, Recipe, Run, find_recipe, kept_weights, load_trained, recipe, train

_MACHINERY = {"__main__", "fitting", "recipes"}
for _module in iter_modules(__path__):
    if _module.name not in _MACHINERY:
        import_module(f"{__name__}.{_module.name}")

__all__ = [
    "RECIPES",
    "Recipe",
    "Run",
    "accuracy",
    "find_recipe",
    "fit",
    "kept_weights",
    "load_trained",
    "recipe",
    "train",
]
