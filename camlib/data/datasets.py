"""Pictures to evaluate on: the offline photographs and mosaics, ImageNet, PASCAL VOC, any folder with or without boxes.

Every reader returns a :class:`Dataset`, a sequence of :class:`Example`. No picture is opened and no annotation parsed
before it is asked for, so that one broken file among 50,000 is met where it can be counted. Boxes are half-open
(x0, y0, x1, y1) in the pixels of the picture as it is displayed (EXIF rotation applied); :func:`boxes_on_input` brings
them to the network's input, where heatmaps live, and :func:`classes_of` says for which classes an object counts.
"""

from camlib.data.annotations import read_coco, read_voc_xml
from camlib.data.boxes import LabeledBox, boxes_on_input
from camlib.data.classes import classes_of, imagenet_index, voc_classes
from camlib.data.examples import Dataset, Example, single_object
from camlib.data.folders import folder
from camlib.data.imagenet import imagenet
from camlib.data.mosaics import mosaics
from camlib.data.photographs import photos
from camlib.data.voc import TORCHVISION_SPLITS, voc
from camlib.pictures import PICTURE_SUFFIXES

__all__ = [
    "PICTURE_SUFFIXES",
    "TORCHVISION_SPLITS",
    "Dataset",
    "Example",
    "LabeledBox",
    "boxes_on_input",
    "classes_of",
    "folder",
    "imagenet",
    "imagenet_index",
    "mosaics",
    "photos",
    "read_coco",
    "read_voc_xml",
    "single_object",
    "voc",
    "voc_classes",
]
