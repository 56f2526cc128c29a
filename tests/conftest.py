"""One state for every test: seeds and threads as in the notebooks, no windows, the same examples always.

With ``-n`` the first process only hands out tests; what takes seconds is imported where a test runs, so that the others
need not wait for it.
"""

import gc
import os
import tempfile
from unittest import mock
from urllib.error import URLError

import pytest
from hypothesis import settings

from camlib import paths

settings.register_profile("camlib", deadline=None, derandomize=True)
settings.load_profile("camlib")


@pytest.fixture(autouse=True)
def determinism():
    from camlib.engine import runtime

    runtime.setup(seed=0, threads=1)  # two processes of two threads each would fight over two cores


@pytest.fixture(autouse=True)
def no_foreign_weights(monkeypatch):
    """A test that loads damaged or random checkpoints marks its process; the mark ends with the test."""
    from camlib import checkpoints

    monkeypatch.setattr(checkpoints, "_foreign", {})


@pytest.fixture
def own_repository(tmp_path, monkeypatch):
    """A repository of the test's own, with figures/, build/, notebooks/ and no memory of earlier touches."""
    from camlib.compendium import counted, gallery, manifest, verdicts

    for name in ("figures", "build", "notebooks"):
        monkeypatch.setattr(paths, name.upper(), tmp_path / name)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(manifest, "_made_here", set())
    monkeypatch.setattr(verdicts, "RULES", {})
    monkeypatch.setattr(counted, "COUNTED", ())
    monkeypatch.setattr(gallery, "highlights", lambda: ["1. A finding."])
    return tmp_path


@pytest.fixture
def own_registries():
    """Methods and metrics that a test registers are gone behind it."""
    from camlib import metrics, registry

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
    import torch

    def fail(*_: object, **__: object) -> None:
        raise URLError("name resolution")

    monkeypatch.delenv("CAMLIB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)


def hands_out(config):
    """Whether this process runs no test itself."""
    return bool(config.getoption("numprocesses", None))


def pytest_configure(config):
    if not config.getoption("nbval", False):
        return
    if paths.SHARED not in os.environ:  # else the process that hands out tests has named the folder
        folder = tempfile.TemporaryDirectory(prefix="camlib-")
        os.environ[paths.SHARED] = folder.name  # notebooks of this run share passes
        config.add_cleanup(folder.cleanup)
    if not hands_out(config):
        import comparison

        comparison.install()


def pytest_sessionstart(session):
    if hands_out(session.config):
        return
    import matplotlib
    import torch

    matplotlib.use("Agg")
    for absent in [device for device in (torch.cuda, torch.xpu, torch.mtia) if not device.is_available()]:
        # A seed for a device that is not there waits for it, and PyTorch formats the whole stack to remember who gave
        # it: up to 2 ms a seed, and most tests give several.
        absent.manual_seed_all = lambda seed: None


LONG = ("test_architectures.py", "test_kernels.py", "test_conformance.py", "test_resuming.py")
"""Files that take longest: behind the notebooks and before all others, so that no process ends long after the other."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: (item.path.suffix != ".ipynb", item.path.name not in LONG))


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
