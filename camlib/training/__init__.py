"""How the small networks of the zoo are trained and tested, one recipe each.

It stands on the zoo, data and engine; notebooks and ``python -m camlib.training`` import from it, nothing else.
Take ``RECIPES``, ``recipe``, ``train``, ``fit``; a module that is not machinery is a subject and is found by itself.

    python -m camlib.training --list
    python -m camlib.training scenes-gap --seed 0
    net = camlib.load_network("scenes-gap")
"""

from importlib import import_module
from pkgutil import iter_modules

from camlib.training.fitting import accuracy, fit
from camlib.training.recipes import RECIPES, Recipe, Run, find_recipe, recipe, train

_MACHINERY = {"__main__", "fitting", "recipes"}
for _module in iter_modules(__path__):
    if _module.name not in _MACHINERY:
        import_module(f"{__name__}.{_module.name}")

__all__ = ["RECIPES", "Recipe", "Run", "accuracy", "find_recipe", "fit", "recipe", "train"]
