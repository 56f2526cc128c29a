"""Kernels for notebooks that run without a head: started, or forked from a process in which PyTorch is loaded already.

A started kernel spends about eight seconds of a core on imports, most of a short notebook's time. :func:`preload` does
them once; :class:`SpareKernel`, made in a process forked after that, is such a kernel in waiting.
"""

from __future__ import annotations

import ast
import atexit
import builtins
import contextlib
import gc
import importlib
import multiprocessing
import os
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import default

import camlib

INLINE = "module://matplotlib_inline.backend_inline"
"""What a kernel sets MPLBACKEND to before matplotlib is imported; a preloading process has to do it in its place."""


class OwnKernelManager(AsyncKernelManager):
    """Starts kernels with this very interpreter, whatever kernels the user has installed.

    Each kernel talks through sockets in a private folder, so kernels started at the same time cannot meet.

    Attributes:
        options: of ipykernel. Logging is kept to what is fatal: papermill's shutdown would be logged as an error.
        spare: the forked kernel to use, or None to start one.
    """

    options: tuple[str, ...] = ("--IPKernelApp.log_level=CRITICAL",)
    spare: SpareKernel | None = None

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if self.spare is not None:
            self.provisioner = ForkedProvisioner(parent=self, kernel_spec=self.kernel_spec, spare=self.spare)

    @default("kernel_spec_manager")
    def _no_installed_kernels(self) -> KernelSpecManager:
        return KernelSpecManager(parent=self, kernel_dirs=[])

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """The command with ``options``."""
        return super().format_kernel_cmd([*(extra_arguments or []), *self.options])

    @default("transport")
    def _sockets(self) -> str:
        return "ipc"

    @default("ip")
    def _private_folder(self) -> str:
        self.folder = tempfile.TemporaryDirectory(prefix="camlib-")
        return f"{self.folder.name}/kernel"


def manager_class(lenient: bool = False, spare: SpareKernel | None = None) -> type[OwnKernelManager]:
    """A manager of one kernel: with :mod:`camlib.compendium.lenient` if ``lenient``, in ``spare`` if one waits."""

    class Manager(OwnKernelManager):
        pass

    Manager.spare = spare
    if lenient:
        Manager.options = (
            *OwnKernelManager.options,
            "--InteractiveShellApp.extra_extensions=camlib.compendium.lenient",
        )
    return Manager


class SpareKernel:
    """A forked process that becomes a kernel when it is told how; it ends with the process that made it.

    ``method`` "fork" forks this process: make it before anything starts a thread. "forkserver" forks
    multiprocessing's server, which has loaded what ``set_forkserver_preload`` named, and may be asked at any time.
    It has what :class:`subprocess.Popen` has and Jupyter asks for.
    """

    stdin = stdout = stderr = None

    def __init__(self, method: str = "fork") -> None:
        self._orders, orders = multiprocessing.Pipe()
        others = self._orders if method == "fork" else None
        self._process = multiprocessing.get_context(method).Process(target=_become, args=(orders, others))
        self._process.start()
        orders.close()
        self.pid = self._process.pid

    def launch(self, arguments: list[str], environment: dict[str, str], folder: str) -> None:
        """Make it the kernel that ``python -m ipykernel_launcher *arguments`` would be."""
        self._orders.send((arguments, environment, folder))
        self._orders.close()

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        return self._process.exitcode

    def wait(self) -> int | None:
        """Its exit status, when it has ended."""
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it."""
        self._process.kill()


def _become(orders: Connection, others: Connection | None) -> None:
    if others is not None:
        others.close()  # so that recv below ends when the other process does
    os.setsid()  # a Ctrl+C is for the process that waits for the kernel, as with a started one
    with contextlib.suppress(EOFError):
        arguments, environment, folder = orders.recv()
        orders.close()
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        from ipykernel.kernelapp import IPKernelApp

        whose = f"--IPKernelApp.parent_handle={os.getppid()}"  # it ends when its parent does
        IPKernelApp.launch_instance([*arguments, whose])


class ForkedProvisioner(LocalProvisioner):
    """Hands the command of a kernel to a spare one instead of starting it."""

    def __init__(self, spare: SpareKernel, **settings: Any) -> None:
        super().__init__(**settings)
        self._spare = spare

    async def launch_kernel(self, cmd: list[str], **settings: Any) -> dict[str, Any]:
        """As the base class says; ``cmd`` is Python's command line."""
        self.cwd = settings.get("cwd") or os.getcwd()
        arguments = cmd[cmd.index("ipykernel_launcher") + 1 :]
        self._spare.launch(arguments, dict(settings.get("env", os.environ)), str(self.cwd))
        self.process = self._spare
        self.pid = self.pgid = self._spare.pid
        return self.connection_info


def end_with_parent() -> None:
    """End this process, which multiprocessing started, when the one that started it is gone; its kernel follows."""

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def can_fork() -> bool:
    """Whether spare kernels work here: macOS's own libraries do not survive a fork, Windows has none."""
    return sys.platform == "linux"


def preload(notebooks: Iterable[str | Path]) -> None:
    """Import what the notebooks import, and all of camlib, into this process, for the kernels forked from it.

    What cannot be imported is left to the notebook that needs it. Nothing is computed: no thread survives a fork.
    Widgets imported here do not listen to a page; where there is no head, there is none.
    """
    os.environ.setdefault("MPLBACKEND", INLINE)
    builtins.get_ipython = lambda: SimpleNamespace(kernel=None)  # pandas asks it, when imported, how wide tables may be
    try:
        for name in camlib.__all__:
            getattr(camlib, name)
        for module in sorted({module for notebook in notebooks for module in imported(notebook)}):
            with contextlib.suppress(Exception):
                importlib.import_module(module)
        importlib.import_module("ipykernel.kernelapp")
    finally:
        del builtins.get_ipython
    gc.freeze()  # modules stay: passes of the garbage collector in kernels need not walk through them
    atexit.register(gc.unfreeze)


def imported(notebook: str | Path) -> Iterator[str]:
    """Names of the modules that the notebook's code cells import; cells that are not plain Python are passed over."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code":
            with contextlib.suppress(SyntaxError):
                yield from _imported(ast.parse(cell.source))


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (
                f"{node.module}.{alias.name}" for alias in node.names
            )  # submodules; other names cannot be imported
