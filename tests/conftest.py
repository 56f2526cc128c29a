"""One state for every test: seeds and threads as in the notebooks, no windows, the same examples always."""

import gc
import os
from unittest import mock
from urllib.error import URLError

import comparison
import matplotlib
import pytest
import torch
from hypothesis import settings

from camlib import checkpoints, metrics, paths, registry
from camlib.compendium import gallery, manifest, verdicts
from camlib.engine import runtime

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


@pytest.fixture
def own_repository(tmp_path, monkeypatch):
    """A repository of the test's own, with figures/, build/, notebooks/ and no memory of earlier touches."""
    for name in ("figures", "build", "notebooks"):
        monkeypatch.setattr(paths, name.upper(), tmp_path / name)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(manifest, "_made_here", set())
    monkeypatch.setattr(verdicts, "RULES", {})
    monkeypatch.setattr(gallery, "highlights", lambda: ["1. A finding."])
    return tmp_path


@pytest.fixture
def own_registries():
    """Methods and metrics that a test registers are gone behind it."""
    assert registry.METHODS  # the wings that bring methods are imported before anything is kept
    registries = registry._methods, metrics.registry._metrics
    kept = [dict(known) for known in registries]
    yield
    for known, before in zip(registries, kept, strict=True):
        known.clear()
        known.update(before)


@pytest.fixture
def own_environment():
    """The command line of notebooks changes the environment for its kernels; the tests that follow get theirs back."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture
def failing_download(monkeypatch):
    """Downloads are allowed, and every one of them fails for want of a name server."""

    def fail(*_: object, **__: object) -> None:
        raise URLError("name resolution")

    monkeypatch.delenv("CAMLIB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)


def pytest_configure(config):
    if config.getoption("nbval", False):
        comparison.install()


def pytest_collection_finish():
    """Modules and collected tests stay to the end: a pass of the garbage collector need not walk through them."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    """At its end the process takes its modules down as always."""
    gc.unfreeze()


def pytest_terminal_summary(terminalreporter):
    """Counts that a test recorded ("80 of 80 networks"), also when it ran in another process."""
    for passed in terminalreporter.getreports("passed"):
        for name, value in passed.user_properties:
            if name == "count":
                terminalreporter.write_line(value)
