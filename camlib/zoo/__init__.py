"""Networks by name; those that are trained here, as they are built and loaded.

It stands on data and networks; weights, training and everything above import from it.
Take ``load_network``, ``load_networks``, ``list_networks``; ``design`` (designs), ``record_of`` (trained), the modules.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "captioner",
        "cifar10",
        "designs",
        "heads",
        "lfi",
        "pretrained",
        "rectified_heads",
        "residual",
        "scenes",
        "trained",
    ],
    submod_attrs={"pretrained": ["list_networks", "load_network", "load_networks"]},
)
