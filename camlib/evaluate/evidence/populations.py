"""What is measured where: networks, layers, kinds of pictures, methods, and how many of each."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from camlib.metrics import CONTROLS

SCENE_NETWORKS = {
    "scenes-gap": ("features", "features.8"),
    "scenes-avg22": ("features", "features.8"),
    "scenes-max22": ("features", "features.8"),
    "scenes-vgg": ("features", "features.13"),
    "scenes-squeeze": ("features", "features.2"),
    "scenes-dense": ("features+relu", "features.transition1.relu"),
    "scenes-plain": ("features", "features.3"),
}
"""Network -> its last rectified layer and an inner rectified one of twice its resolution."""
HEADS = {
    "scenes-gap": "GAP",
    "scenes-avg22": "average 2/2",
    "scenes-max22": "max 2/2",
    "scenes-vgg": "MLP (VGG)",
    "scenes-squeeze": "SqueezeNet-like",
    "scenes-dense": "DenseNet-like",
    "scenes-plain": "ResNet-like",
    "efficientnet-lite0": "Lite0",
    "efficientnet-lite1": "Lite1",
    "efficientnet-lite2": "Lite2",
}
"""What stands behind the last maps, or which body it is: how pages call the network."""
PHOTO_SEED = 2613
"""Draws the order of the photographs. Which ones pilots had seen is not known, so a few may be among them."""
PHOTO_CHUNK = 5
PHOTOGRAPHS = 500
"""Of the public set with one photograph for each ImageNet class."""
CURVED_PHOTOGRAPHS = 100
"""On the first of them also curves, SA-CAM (2K passes) and score-cam-binary (K passes of its own)."""
PHOTO_NETWORKS = {"efficientnet-lite0": ("bn2", "blocks.4.2.bn2"), "efficientnet-lite1": ("bn2",)}
LAYERS = ("last", "inner")
SCENE_KINDS = {"one": (1, 1), "several": (2, 4)}
"""Scenes with one object; with two to four of at least two classes. Smallest and largest number of objects."""
SEEDS = {"one": 2611, "several": 2612}
"""No scene of these seeds was used by training, notebooks or pilots. Means over numbers 100-103 and 600-611 of
scenes-gap were seen when the code was tried, before the rules were written."""

CLASS_MAPS = (
    "feature-map",
    "eigen-cam",
    "grad-cam",
    "grad-cam++",
    "xgrad-cam",
    "layer-cam",
    "hires-cam",
    "sca-cam",
    "smooth-grad-cam++",
    "finer-cam",
    "case",
    "shapley-cam",
    "lift-cam",
    "score-cam",
    "score-cam-cic",
    "score-cam-softmax",
    "score-cam-raw",
    "score-cam-binary",
    "ablation-cam",
    "recipro-cam",
    "fd-cam",
    "sa-cam",
    "group-cam",
    "union-cam",
)
"""Class activation maps of the factorial. Left out: gap-cam (Grad-CAM but for a factor, where there is a GAP head, and
nowhere else), lfi-cam (needs its own network), is-cam, ss-cam and opti-cam (10 to 35 times the passes of Score-CAM)."""
PIXEL_MAPS = ("gradient", "guided-backprop", "smooth-grad", "integrated-gradients")
DEAR_MAPS = ("rise", "mask")
"""4,000 passes and 300 steps a picture: on the first ``DEAR`` numbers of scenes with one object, last layer only."""

CHUNK = 60
"""Numbers of scenes that are finished together."""
NUMBERS = 1200
"""Scene numbers a kind: at least 1,000 scenes are named right, or hold two classes, so 2,000 scenes a cell."""
VARIED = 300
"""On so many numbers every map is also made without the common map ("center" and "project"), and maps of pixels."""
CURVED = 120
"""On so many numbers of scenes with one object: deletion and insertion, 29 passes each a map; of maps without the
common map at the last layer only."""
DEAR = 60


@dataclass(frozen=True)
class Population:
    """Pictures of one kind, explained at one layer of one network.

    Attributes:
        network: name for :func:`camlib.load_network`.
        layer: "last" or "inner".
        kind: "one" or "several" (scenes), "photographs".
    """

    network: str
    layer: str
    kind: str

    @property
    def name(self) -> str:
        """As rules and the ledger write it, such as "scenes-gap:last:several"."""
        return f"{self.network}:{self.layer}:{self.kind}"

    @property
    def layer_name(self) -> str:
        """The layer as the network calls it."""
        known = SCENE_NETWORKS | PHOTO_NETWORKS
        return known[self.network][LAYERS.index(self.layer)]


POPULATIONS = (
    *itertools.starmap(Population, itertools.product(SCENE_NETWORKS, LAYERS, SCENE_KINDS)),
    *(Population(name, layer, "photographs") for name, of in PHOTO_NETWORKS.items() for layer in LAYERS[: len(of)]),
)
SCENES = tuple(each for each in POPULATIONS if each.kind in SCENE_KINDS)
METHODS = (*CLASS_MAPS, *PIXEL_MAPS, *DEAR_MAPS, *CONTROLS)
"""Every name that a row can have as its method, in the order of tables."""
