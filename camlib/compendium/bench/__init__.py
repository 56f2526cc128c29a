"""camlib against other libraries and against the limit, measured.

    python -m camlib.compendium.bench [--quick] [--only ...]

All libraries run in this process on the same network, layer, photograph and threads. The jobs of a case are timed one
after the other in rounds, and a ratio is formed within its round, so that a machine that slows down slows both sides.
The limit of Score-CAM is K plain passes of the folded, channels-last network at its best batch, without the fused
activations of camlib's own copy; the limit of gradient methods is one forward pass and one backward pass to the layer.
Peers run at their default batch and at their best of 4, 8 and 16. The best batches are found on an earlier, narrower
layer, where a pass of a masked picture costs the same.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["aims", "budget", "cases", "machine", "memory", "peers", "rounds", "subjects", "table"],
    submod_attrs={
        "cases": ["CASES", "PLAIN_BATCHES"],
        "peers": ["GRADIENT"],
        "table": ["COLUMNS", "COMPOSED", "read", "summary"],
    },
)
