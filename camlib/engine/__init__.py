"""Many passes, fast: masked pictures, the folded copy that scores them, the process.

It stands on pictures, layers, networks and framework; the trace, the metrics and the studies import from it.
Take ``Scorer``, ``Tail`` (scoring), ``Masking``, ``blend`` (masking), ``fast_copy`` (folding), ``setup`` (runtime).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "batches",
        "folding",
        "fusing",
        "kriging",
        "landmarks",
        "linear_head",
        "map_error",
        "masked",
        "masking",
        "recording",
        "runtime",
        "scoring",
    ],
)
