"""Networks by name, and the modules that the compendium builds itself: pooling heads, LFI-CAM's network, the captioner.

It stands on data and networks; weights, training and everything above import from it.
Take ``load_network``, ``load_networks``, ``list_networks``; the modules lie in heads, residual, lfi and captioner.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["captioner", "heads", "lfi", "pretrained", "residual"],
    submod_attrs={"pretrained": ["list_networks", "load_network", "load_networks"]},
)
