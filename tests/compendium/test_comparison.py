"""Notebooks are compared in kernels that are forked and draw small pictures; what they print is what others print."""

import io
from base64 import b64decode

import comparison
import pytest
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager
from PIL import Image

from camlib.compendium import kernels

pytestmark = pytest.mark.skipif(not kernels.can_fork(), reason="forked kernels need Linux")
CELL = """
import sys
loaded = {"torch", "captum", "ipywidgets"} <= set(sys.modules)
import matplotlib.pyplot as plt
from camlib.compendium import pictures
print(seed, __name__, pictures.DPI, loaded)
figure, ax = plt.subplots(figsize=(4, 2), dpi=100)
"""


@pytest.fixture(scope="module")
def kernel():
    """A manager as nbval makes it, and what its kernel published, by type, on two cells."""
    manager = comparison.ForkedKernelManager(
        kernel_name=CURRENT_ENV_KERNEL_NAME, kernel_spec_manager=NbvalKernelspecManager()
    )
    manager.start_kernel()
    client, published = manager.blocking_client(), {}
    client.start_channels()
    try:
        client.wait_for_ready(timeout=120)
        for cell in ("seed = 4", CELL):
            client.execute_interactive(cell, timeout=120, output_hook=lambda m: published.update({m["msg_type"]: m}))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return manager, {kind: message["content"] for kind, message in published.items()}


def test_a_forked_kernel_has_loaded_everything_keeps_its_state_and_ends_when_it_is_told(kernel):
    manager, published = kernel
    assert published["stream"]["text"] == f"4 __main__ {comparison.DOTS} True\n"
    assert not manager.is_alive()
    assert "error" not in published


def test_a_picture_has_few_dots_and_says_the_size_that_it_would_have(kernel):
    data = kernel[1]["display_data"]["data"]
    assert data["text/plain"] == "<Figure size 400x200 with 1 Axes>"
    assert Image.open(io.BytesIO(b64decode(data["image/png"]))).size == (4 * comparison.DOTS, 2 * comparison.DOTS)
