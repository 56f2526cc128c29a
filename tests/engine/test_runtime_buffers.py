"""The opt-in allocator setting, and warnings that point at the user's line."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
import types
import warnings

import pytest

from camlib import networks, paths
from camlib.engine import runtime

GLIBC = platform.libc_ver()[0] == "glibc" and hasattr(ctypes.CDLL(None), "mallinfo2")
MAPPED = """
import ctypes
import torch
from camlib.engine import runtime

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

info = ctypes.CDLL(None).mallinfo2
info.restype = Info

def mapped(mib):
    "MiB of a buffer that the allocator took from the system for itself alone"
    before = info().hblkhd
    buffer = torch.empty(mib * 2**20, dtype=torch.uint8)
    return round((info().hblkhd - before) / 2**20)
"""


def run(code: str) -> list[str]:
    """Words that a fresh process prints: the setting holds for a whole process."""
    plain = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}  # make test sets it
    command = [sys.executable, "-c", MAPPED + code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=paths.ROOT, env=plain)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(not GLIBC, reason="needs glibc with mallinfo2")
def test_large_buffers_come_from_the_heap_and_not_from_the_system():
    """glibc itself is asked: a buffer of 48 MiB is a mapping of its own before and after, and none in between."""
    printed = run(
        "print(mapped(48), runtime.keep_buffers(64), mapped(48), mapped(80), runtime.keep_buffers(32), mapped(48))"
    )
    assert printed == ["48", "True", "0", "80", "True", "48"]


@pytest.mark.skipif(not GLIBC, reason="needs glibc with mallinfo2")
def test_importing_camlib_changes_nothing():
    assert run("import camlib, camlib.compendium.bench.cases; print(mapped(48))") == ["48"]


@pytest.mark.parametrize("library", [object(), TypeError("no name")])
def test_a_system_without_mallopt_is_told_by_the_return_value(monkeypatch, library):
    def load(_name):
        if isinstance(library, Exception):
            raise library
        return library

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert runtime.keep_buffers() is False


def test_an_allocator_that_refuses_is_told_by_the_return_value(monkeypatch):
    asked = []
    refusing = types.SimpleNamespace(
        mallopt=lambda which, value: asked.append((which, value)) or 0, malloc_trim=lambda _: 0
    )
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: refusing)
    assert runtime.keep_buffers(512) is False
    assert asked == [(-3, 512 * 2**20)]  # M_MMAP_THRESHOLD; after its refusal nothing else is set


def test_both_thresholds_fit_an_int(monkeypatch):
    asked = {}
    accepting = types.SimpleNamespace(
        mallopt=lambda which, value: asked.update({which: value}) or 1, malloc_trim=lambda _: 1
    )
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: accepting)
    assert runtime.keep_buffers(1023) is True
    assert asked == {-3: 1023 * 2**20, -1: 2046 * 2**20}
    assert max(asked.values()) < 2**31


@pytest.mark.parametrize("limit", [0, -1, 1024, 2.5, "512", True, None])
def test_an_impossible_limit_is_refused(limit):
    with pytest.raises(ValueError, match=r"limit_mib=.*expected an integer from 1 to 1023, in MiB"):
        runtime.keep_buffers(limit)


def inside(name: str, code: str, **values: object) -> types.ModuleType:
    """A module of that name, as if it were a part of the package or of another one."""
    module = types.ModuleType(name)
    module.__dict__.update(values)
    exec(compile(code, f"{name}.py", "exec"), module.__dict__)
    return module


WARNS = """
import warnings
from camlib import networks

def deep():
    warnings.warn("flat", UserWarning, stacklevel=networks.outside_stacklevel())

def middle():
    deep()

def front():
    middle()
"""


@pytest.mark.parametrize("entry", ["deep", "middle", "front"])
def test_a_warning_points_at_the_line_outside_however_deep_it_arises(entry):
    module = inside("camlib.somewhere", WARNS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        getattr(module, entry)()
        line = sys._getframe().f_lineno - 1
    assert [(w.filename, w.lineno) for w in caught] == [(__file__, line)]


def test_a_package_whose_name_only_begins_alike_is_outside():
    module = inside("camlib.somewhere", WARNS)
    other = inside("camlibrary", "def user():\n    front()\n", front=module.front)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        other.user()
    assert [(w.filename, w.lineno) for w in caught] == [("camlibrary.py", 2)]


def test_outside_camlib_it_is_the_line_of_the_warning_itself():
    assert networks.outside_stacklevel() == 1


def test_a_stack_that_is_inside_throughout_names_its_outermost_frame():
    code = (
        "from camlib import networks\n"
        "import types; module = types.ModuleType('camlib.x'); __name__ = 'camlib.main'\n"
        "exec('def f():\\n    return g()\\ndef g():\\n    return level()', module.__dict__)\n"
        "module.level = networks.outside_stacklevel\n"
        "print(module.f())"
    )
    assert run(code) == ["3"]
