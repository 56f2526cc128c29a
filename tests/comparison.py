"""What makes comparing notebooks cheap: one import of what they need for each test process, and small pictures.

nbval starts a kernel for each notebook, which spends eight seconds on imports, and it compares no pixels: a picture
has to be drawn, or an error in its drawing would stay unseen, but not at its size.
"""

from __future__ import annotations

import os
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from unittest import mock

from jupyter_client.manager import KernelManager

from camlib.compendium import kernels

DOTS = 30
"""Dots an inch of a picture that nobody looks at."""


class ForkedKernelManager(KernelManager):
    """nbval's manager of a kernel, with a kernel that is forked instead of started and draws small pictures."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        serve()
        spare = kernels.SpareKernel("forkserver")
        self.provisioner = kernels.ForkedProvisioner(parent=self, kernel_spec=self.kernel_spec, spare=spare)

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """The command with this module as an extension of IPython, without a history that kernels share, and silent."""
        own = [f"--IPKernelApp.extra_extensions={__name__}", "--HistoryManager.hist_file=:memory:"]
        return super().format_kernel_cmd([*(extra_arguments or []), *own, *kernels.OwnKernelManager.options])


def install() -> None:
    """From now on nbval forks its kernels; nothing changes where processes cannot be forked."""
    if kernels.can_fork():
        import nbval.kernel

        nbval.kernel.KernelManager = ForkedKernelManager


def serve() -> None:
    """Start the process that loads preloaded.py and is forked into kernels, unless this process has one."""
    folders = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(folders)):
        forkserver.set_forkserver_preload(["preloaded"])
        forkserver.ensure_running()


def load_ipython_extension(shell: Any) -> None:
    """Draw what a cell shows, and what it saves for the gallery, with few dots."""
    from camlib.compendium import pictures

    shell.config.InlineBackend.print_figure_kwargs = {"dpi": DOTS, "bbox_inches": None}
    pictures.DPI = DOTS
