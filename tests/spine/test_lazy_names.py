"""Names of the package are imported when they are first used, and stay what they are."""

from __future__ import annotations

import subprocess
import sys

import pytest

import camlib


def in_a_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    "module", ["camlib", "camlib.paths", "camlib.compendium.png", "camlib.compendium.notebook_runner"]
)
def test_what_computes_nothing_does_not_import_pytorch(module):
    assert in_a_new_process(f"import sys, {module}; print('torch' in sys.modules)") == "False"


def test_a_trained_network_is_loaded_without_what_trains_it():
    code = "import sys, camlib; camlib.load_network('scenes-gap'); print([m for m in sys.modules if 'training' in m])"
    assert "camlib" not in in_a_new_process(code)


@pytest.mark.parametrize(
    "first",
    ["camlib.baselines.pixels", "camlib.baselines.perturbation", "camlib.weights.union", "camlib.compendium.bench"],
)
def test_methods_are_the_same_whatever_is_imported_first(first):
    """Class activation maps before baselines, as in METHODS of this process; explain stays a function."""
    code = f"import {first}, camlib; print(*camlib.METHODS, callable(camlib.explain), callable(camlib.counterfactual))"
    methods = [name for name, method in camlib.METHODS.items() if method.function.__module__.startswith("camlib.")]
    assert in_a_new_process(code).split() == [*methods, "True", "True"]


def test_every_listed_name_is_there():
    assert {"explain", "compare", "load_network", "METHODS", "method", "Network"} <= set(camlib.__all__)
    assert all(getattr(camlib, name) is not None for name in camlib.__all__)
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        _ = camlib.nothing_of_this_name
