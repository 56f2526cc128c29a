"""A small figure and a small table, as notebooks hand them to the compendium."""

import comparison
import matplotlib.pyplot as plt
import pandas as pd
import pytest

from camlib.compendium import kernels


@pytest.fixture
def figure():
    figure, ax = plt.subplots(figsize=(2, 1.5))
    ax.plot([0, 1], [1, 0])
    yield figure
    plt.close(figure)


@pytest.fixture
def table():
    return pd.DataFrame({"network": ["a|b", "c"], "error": [41.81, 1 / 3], "n": [1, 2], "gap": [None, "x"]})


@pytest.fixture
def folder(own_repository):
    return own_repository


@pytest.fixture
def forked_kernels(monkeypatch):
    """Notebooks that the runner executes alone get forked kernels, too, where processes can be forked.

    A started one takes seconds of a core; test_kernels.py sees that both give the same outputs.
    """
    made = kernels.manager_class

    def manager_class(lenient=False, spare=None):
        comparison.serve()
        return made(lenient, spare or kernels.SpareKernel("forkserver"))

    if kernels.can_fork():
        monkeypatch.setattr(kernels, "manager_class", manager_class)
