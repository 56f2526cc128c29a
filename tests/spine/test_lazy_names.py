"""Names of the package are imported when they are first used, and stay what they are."""

from __future__ import annotations

import json
import subprocess
import sys

import forked
import pytest

import camlib


def in_a_new_process(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    "module", ["camlib", "camlib.paths", "camlib.compendium.inline", "camlib.compendium.notebook_runner"]
)
def test_what_computes_nothing_does_not_import_pytorch(module):
    assert in_a_new_process(f"import sys, {module}; print('torch' in sys.modules)") == "False"


def test_a_trained_network_is_loaded_without_what_trains_it(tmp_path):
    code = "import sys, camlib; camlib.load_network('scenes-gap'); print([m for m in sys.modules if 'training' in m])"
    printed = forked.said(code, output=tmp_path / "said")
    assert printed.startswith("[")
    assert "camlib" not in printed


FIRST = (
    "camlib.baselines.pixels",
    "camlib.baselines.perturbation",
    "camlib.weights.union",
    "camlib.compendium.bench.cases",
)
FORKED = """
import importlib, json, os, sys
for first in sys.argv[1:]:
    if not os.fork():
        importlib.import_module(first)
        import camlib
        functions = callable(camlib.explain), callable(camlib.counterfactual)
        print(json.dumps([first, *camlib.METHODS, *functions]), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def methods_by_first_import(tmp_path_factory) -> dict[str, list[object]]:
    """Names in METHODS, and whether two functions are functions, by the module that a program imports first."""
    printed = forked.said(FORKED, *FIRST, output=tmp_path_factory.mktemp("first") / "said").splitlines()
    return {first: found for first, *found in map(json.loads, printed)}


@pytest.mark.parametrize("first", FIRST)
def test_methods_are_the_same_whatever_is_imported_first(first, methods_by_first_import):
    """Class activation maps before baselines, as in METHODS of this process; explain stays a function."""
    methods = [name for name, method in camlib.METHODS.items() if method.function.__module__.startswith("camlib.")]
    assert methods_by_first_import[first] == [*methods, True, True]


def test_every_listed_name_is_there():
    assert {"explain", "compare", "load_network", "METHODS", "method", "Network"} <= set(camlib.__all__)
    assert all(getattr(camlib, name) is not None for name in camlib.__all__)
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        _ = camlib.nothing_of_this_name
