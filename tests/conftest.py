"""One state for every test: seeds and threads as in the notebooks, no windows, the same examples always."""

import matplotlib
import pytest
from hypothesis import settings

from camlib import checkpoints, runtime

matplotlib.use("Agg")
settings.register_profile("camlib", deadline=None, derandomize=True)
settings.load_profile("camlib")


@pytest.fixture(autouse=True)
def determinism():
    runtime.setup(seed=0, threads=1)  # two processes of two threads each would fight over two cores


@pytest.fixture(autouse=True)
def no_foreign_weights(monkeypatch):
    """A test that loads damaged or random checkpoints marks its process; the mark ends with the test."""
    monkeypatch.setattr(checkpoints, "_foreign", {})


def pytest_terminal_summary(terminalreporter):
    """Counts that a test recorded ("80 of 80 networks"), also when it ran in another process."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "count":
                terminalreporter.write_line(value)
