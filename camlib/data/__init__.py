"""Pictures: photographs, generated scenes with exact masks, readers of data sets.

It stands on paths, pictures and networks; the zoo, the metrics and everything above import from it.
Take ``load_photo``, ``list_photos``, ``mosaic``, ``make_scenes``, and ``datasets``, the face of the readers.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "annotations",
        "boxes",
        "cifar10",
        "classes",
        "datasets",
        "examples",
        "folders",
        "imagenet",
        "manifest",
        "mosaics",
        "photographs",
        "scene_drawing",
        "scene_layouts",
        "scenes",
        "voc",
    ],
    submod_attrs={
        "mosaics": ["Mosaic", "mosaic", "side_by_side", "square"],
        "photographs": ["list_photos", "load_photo", "photo_info"],
        "scenes": ["make_scenes"],
    },
)
