"""One state for every test: seeds and threads as in the notebooks, no windows, the same examples always."""

import matplotlib
import pytest
from hypothesis import settings

from camlib import runtime

matplotlib.use("Agg")
settings.register_profile("camlib", deadline=None, derandomize=True)
settings.load_profile("camlib")


@pytest.fixture(autouse=True)
def determinism():
    runtime.setup(seed=0)
