"""Pictures: the photographs that packages carry, generated scenes with exact masks, readers of folders and data sets.

It stands on paths and pictures; the zoo, the metrics and everything above import from it.
Take ``load_photo``, ``list_photos``, ``mosaic`` (photographs), ``make_scenes`` (scenes), the readers (datasets).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["datasets", "photographs", "scenes"],
    submod_attrs={
        "photographs": ["Mosaic", "list_photos", "load_photo", "mosaic", "photo_info", "side_by_side", "square"],
        "scenes": ["make_scenes"],
    },
)
