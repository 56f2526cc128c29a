"""Processes of a test's own that need not import anything: they are forked from one that has loaded camlib.

A started Python spends five to eight seconds of a core on imports, nearly all of them on other packages than camlib.
Where a test asks whether those are loaded, or what a command line says, it still starts one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import comparison
from torch.utils.flop_counter import flop_registry

from camlib.compendium import kernels


def start(
    code: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    output: Path | None = None,
    anew: bool = False,
) -> BaseProcess:
    """A process that runs the code with these arguments, as ``python -c code arguments`` would.

    ``environment`` is by default that of the test; standard output goes to the file ``output``, complaints go beside it
    (:func:`errors`). ``anew``: nothing of camlib has been imported yet, only what it imports.
    """
    if kernels.can_fork():
        comparison.serve()
    context = get_context("forkserver" if kernels.can_fork() else "spawn")
    environment = dict(os.environ if environment is None else environment)
    process = context.Process(target=_run, args=(code, arguments, environment, output, anew))
    process.start()
    return process


def status(process: BaseProcess, seconds: float = 300) -> int | None:
    """Its exit status, as of ``subprocess.Popen``, once it has ended; None where that takes longer."""
    process.join(seconds)
    return process.exitcode


def said(code: str, *arguments: str, output: Path) -> str:
    """What such a process prints that imports camlib anew; AssertionError with its traceback where it fails."""
    ended = status(start(code, *arguments, output=output, anew=True))
    assert ended == 0, errors(output)
    return output.read_text(encoding="utf-8").strip()


def errors(output: Path) -> str:
    """What a process complained of whose standard output goes to this file."""
    return output.with_suffix(".err").read_text(encoding="utf-8")


def _run(code: str, arguments: tuple[str, ...], environment: dict[str, str], output: Path | None, anew: bool) -> None:
    if output is not None:
        for number, path in ((1, output), (2, output.with_suffix(".err"))):
            with path.open("w") as file:
                os.dup2(file.fileno(), number)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    if anew:
        _forget()
    exec(compile(code, "<code of a test>", "exec"), {"__name__": "__main__"})


def _forget() -> None:
    """Take camlib out of this process, with what it has registered with PyTorch."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "camlib"]:
        del sys.modules[name]
    for operation in [op for op, formula in flop_registry.items() if formula.__module__.startswith("camlib.")]:
        del flop_registry[operation]
