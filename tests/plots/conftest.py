"""Every test of drawings begins with the style of the notebooks and leaves no figure open."""

import matplotlib.pyplot as plt
import pytest

from camlib import plots


@pytest.fixture(autouse=True)
def _closed_figures():
    plots.style()
    yield
    plt.close("all")
