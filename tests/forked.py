"""Processes of a test's own that need not import anything: they are forked from one that has loaded camlib.

A started Python spends five to eight seconds of a core on imports. Where a test asks what is loaded, or what a command
line says, it still starts one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import comparison

from camlib.compendium import kernels


def start(
    code: str, *arguments: str, environment: Mapping[str, str] | None = None, output: Path | None = None
) -> BaseProcess:
    """A process that runs the code with these arguments, as ``python -c code arguments`` would.

    ``environment`` is by default that of the test; standard output and error go to the file ``output``.
    """
    if kernels.can_fork():
        comparison.serve()
    context = get_context("forkserver" if kernels.can_fork() else "spawn")
    environment = dict(os.environ if environment is None else environment)
    process = context.Process(target=_run, args=(code, arguments, environment, output))
    process.start()
    return process


def status(process: BaseProcess, seconds: float = 300) -> int | None:
    """Its exit status, as of ``subprocess.Popen``, once it has ended; None where that takes longer."""
    process.join(seconds)
    return process.exitcode


def _run(code: str, arguments: tuple[str, ...], environment: dict[str, str], output: Path | None) -> None:
    if output is not None:
        with output.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    exec(compile(code, "<code of a test>", "exec"), {"__name__": "__main__"})
