"""What makes comparing notebooks cheap: one import of what they need for each test process, and small pictures.

nbval starts a kernel for each notebook, which spends eight seconds on imports, and it compares no pixels: a picture
has to be drawn, or an error in its drawing would stay unseen, but not at its size.
"""

from __future__ import annotations

from multiprocessing import get_context
from typing import Any

from jupyter_client.manager import KernelManager

from camlib.compendium import kernels

DOTS = 30
"""Dots an inch of a picture that nobody looks at."""


class ForkedKernelManager(KernelManager):
    """nbval's manager of a kernel, with a kernel that is forked instead of started and draws small pictures."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        spare = kernels.SpareKernel("forkserver")
        self.provisioner = kernels.ForkedProvisioner(parent=self, kernel_spec=self.kernel_spec, spare=spare)

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """The command with this module as an extension of IPython."""
        return super().format_kernel_cmd([*(extra_arguments or []), f"--IPKernelApp.extra_extensions={__name__}"])


def install() -> None:
    """From now on nbval forks its kernels; nothing changes where processes cannot be forked."""
    if kernels.can_fork():
        import nbval.kernel

        get_context("forkserver").set_forkserver_preload(["preloaded"])
        nbval.kernel.KernelManager = ForkedKernelManager


def load_ipython_extension(shell: Any) -> None:
    """Draw what a cell shows, and what it saves for the gallery, with few dots."""
    from camlib.compendium import writing

    shell.config.InlineBackend.print_figure_kwargs = {"dpi": DOTS, "bbox_inches": None}
    writing.RESOLUTIONS = (DOTS,)
