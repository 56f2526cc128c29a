"""Small networks that name the shape in a scene: four pooling heads, a VGG style with two heads, LFI-CAM's and a twin.

They take the pictures of :mod:`camlib.data.scenes`; :mod:`camlib.training.scenes` and :mod:`camlib.training.lfi` train
them.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from camlib.data.scenes import SHAPES, Scenes
from camlib.pictures import Preprocess
from camlib.zoo.designs import design
from camlib.zoo.heads import PoolingHead, gap_cam_network
from camlib.zoo.lfi import GapNetwork, LFINetwork, initialize
from camlib.zoo.residual import residual_features

SIZE = 64
PREPROCESS = Preprocess((SIZE, SIZE), (0.5,) * 3, (0.25,) * 3)
CHANNELS = 96
"""Feature maps of the convolutions that the pooling heads, and the captioner, stand on."""
RESIDUAL_CHANNELS = 32

scene_design = partial(design, class_names=SHAPES, preprocess=PREPROCESS)


def scene_inputs(scenes: Scenes) -> Tensor:
    """Network input of scenes, float32 [N, 3, S, S], normalized."""
    return PREPROCESS.normalize(scenes.images.float() / 255)


# -- one body, four pooling heads (Si et al. 2021, fig. 8)


def _block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def _body() -> nn.Sequential:
    """Pictures [B, 3, 64, 64] -> feature maps [B, 96, 8, 8]."""
    first = [*_block(3, 16, 5, 2), *_block(16, 32, 3, 2)]
    return nn.Sequential(*first, *_block(32, 64), nn.MaxPool2d(2), *_block(64, CHANNELS))


def pooling_head(pooling: str, classes: int = len(SHAPES)) -> PoolingHead:
    """One pooling and one linear layer for the maps of :class:`PooledNetwork`."""
    return PoolingHead(CHANNELS, (SIZE // 8, SIZE // 8), classes, pooling)


class PooledNetwork(nn.Module):
    """``features``, then ``head``: one pooling and one linear layer."""

    def __init__(self, pooling: str) -> None:
        super().__init__()
        self.features = _body()
        self.head = pooling_head(pooling)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.features(inputs))


@scene_design("scenes-gap", target_layer="features")
def scenes_gap() -> nn.Module:
    """Four convolutions, GAP, linear: pooling case 1."""
    return PooledNetwork("gap")


@scene_design("scenes-avg22", target_layer="features")
def scenes_avg22() -> nn.Module:
    """The same body, average pooling 2 x 2 with stride 2, linear: pooling case 2."""
    return PooledNetwork("avg 2/2")


@scene_design("scenes-max22", target_layer="features")
def scenes_max22() -> nn.Module:
    """The same body, max pooling 2 x 2 with stride 2, linear: pooling case 3."""
    return PooledNetwork("max 2/2")


@scene_design("scenes-avg21", target_layer="features")
def scenes_avg21() -> nn.Module:
    """The same body, average pooling 2 x 2 with stride 1, linear: pooling case 4."""
    return PooledNetwork("avg 2/1")


@scene_design("scenes-finetuned", target_layer="features")
def scenes_finetuned() -> nn.Module:
    """The network with GAP, taught colors first and then finetuned to shapes; stages are kept."""
    return PooledNetwork("gap")


@scene_design("scenes-shortcut", target_layer="features")
def scenes_shortcut() -> nn.Module:
    """The network with GAP, trained where every heart carries a mark: it has learned a shortcut."""
    return PooledNetwork("gap")


@scene_design("scenes-repaired", target_layer="features")
def scenes_repaired() -> nn.Module:
    """The same network, trained where the mark lies on scenes of every class by chance."""
    return PooledNetwork("gap")


# -- a VGG-style network and its modification for GAP-CAM (Si et al. 2021, fig. 3 and 4)


def _vgg_features() -> nn.Sequential:
    """VGG's pattern of 3 x 3 convolutions and 2 x 2 max pooling, without the last pooling: [B, 64, 8, 8]."""
    first = [*_block(3, 8), nn.MaxPool2d(2)]
    second = [*_block(8, 24), *_block(24, 24), nn.MaxPool2d(2)]
    third = [*_block(24, 48), nn.MaxPool2d(2)]
    return nn.Sequential(*first, *second, *third, *_block(48, 64), *_block(64, 64))


class SmallVgg(nn.Module):
    """``features``, then the last max pooling and an MLP of three linear layers, as in VGG."""

    def __init__(self, hidden: int = 96) -> None:
        super().__init__()
        self.features = _vgg_features()
        self.pool = nn.MaxPool2d(2)
        first = [nn.Linear(64 * (SIZE // 16) ** 2, hidden), nn.ReLU(), nn.Dropout(0.1)]
        second = [nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.1)]
        self.classifier = nn.Sequential(nn.Flatten(), *first, *second, nn.Linear(hidden, len(SHAPES)))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.classifier(self.pool(self.features(inputs)))


@scene_design("scenes-vgg", target_layer="features")
def scenes_vgg() -> nn.Module:
    """VGG-style convolutions, max pooling, three linear layers."""
    return SmallVgg()


@scene_design("scenes-vgg-gap", target_layer="0")
def scenes_vgg_gap() -> nn.Module:
    """The VGG-style network made fit for GAP-CAM: conv 3 x 3 / 1 / 1 with 64 kernels, GAP, linear."""
    return gap_cam_network(_vgg_features(), 64, len(SHAPES), kernels=64)


# -- LFI-CAM's attention branch on a residual body, and the body alone (Lee et al. 2021)


def _residual_body() -> nn.Sequential:
    """Pictures [B, 3, 64, 64] -> feature maps [B, 32, 8, 8]."""
    return residual_features(16, [(24, 2), (48, 2), (RESIDUAL_CHANNELS, 1)], stem_stride=2)


@scene_design("scenes-plain", target_layer="features")
def scenes_plain() -> nn.Module:
    """Residual network for scenes, GAP, linear; five seeds."""
    return initialize(GapNetwork(_residual_body(), RESIDUAL_CHANNELS, len(SHAPES)))


@scene_design("scenes-lfi", target_layer="features")
def scenes_lfi() -> nn.Module:
    """The same network with LFI-CAM's attention branch; five seeds."""
    return initialize(LFINetwork(_residual_body(), RESIDUAL_CHANNELS, len(SHAPES)))
