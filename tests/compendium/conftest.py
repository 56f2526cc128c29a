"""A small figure and a small table, as notebooks hand them to the compendium."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest


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
