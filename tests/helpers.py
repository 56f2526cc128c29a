"""Small seeded networks and pictures that several test modules share."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from torch import Tensor, nn

from camlib import METHODS, Network, Preprocess, load_network, load_photo

CLASSES = ["golden retriever", "tabby cat", "tiger cat", "school bus", "daisy"]
SIZE = 32
POST_HOC = [name for name, method in METHODS.items() if not method.architecture]
"""Methods that work on any classifier; the others have their own tests (test_lfi.py)."""
WEIGHTS = [name for name in POST_HOC if METHODS[name].makes == "weights"]


def seeded(build: Callable[[], nn.Module], seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A module with random weights from a seed, in eval mode; the global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().eval().to(dtype)


def texts(figure: Figure) -> list[Text]:
    """All texts of a figure that are drawn."""
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def marks(ax: Axes) -> list[tuple[float, float, str, str]]:
    """(x, y, marker, face) of every marker of an axes."""
    return [
        (*map(float, line.get_xydata()[0]), line.get_marker(), line.get_markerfacecolor())
        for line in ax.lines
        if line.get_marker() not in ("None", None, "")
    ]


def picture(seed: int = 0, height: int = SIZE, width: int = SIZE) -> Tensor:
    """A colored random picture [3, H, W] in [0, 1], float32, smooth enough to have structure."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, max(1, height // 4), max(1, width // 4), generator=generator)
    return F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)[0]


def batch(count: int = 2, dtype: torch.dtype = torch.float64) -> Tensor:
    """A ready (normalized) batch [count, 3, 32, 32]."""
    return torch.stack([picture(seed) for seed in range(count)]).to(dtype) * 4 - 2


PICTURE = picture(0)
READY = batch(1)


def network(module: nn.Module, size: int | tuple[int, int] = SIZE, **settings: object) -> Network:
    """The module as a camlib network for small pictures with the five classes of these tests."""
    size = (size, size) if isinstance(size, int) else size
    settings.setdefault("class_names", CLASSES)
    return Network(module, transform=Preprocess(size, (0.5,) * 3, (0.25,) * 3), **settings)


def features(channels: int = 6, inplace: bool = False, stride: int = 2) -> nn.Sequential:
    """conv - ReLU - conv - ReLU: [B, 3, 32, 32] -> [B, channels, 8, 8] with stride 2."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=stride, padding=1),
        nn.ReLU(inplace),
        nn.Conv2d(8, channels, 3, stride=stride, padding=1),
        nn.ReLU(inplace),
    )


class Many(nn.Module):
    """conv - ReLU - conv - ReLU - GAP - linear with many feature maps; ``gain`` makes answers clear."""

    def __init__(self, channels: int, gain: float = 1.0) -> None:
        super().__init__()
        self.features, self.fc, self.gain = features(channels), nn.Linear(channels, len(CLASSES)), gain

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).mean(dim=(2, 3)) * self.gain)


class Gap(nn.Module):
    """conv - ReLU - conv - ReLU - GAP - linear: closed forms of class activation weights hold exactly."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.features = features(inplace=inplace)
        self.fc = nn.Linear(6, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).mean(dim=(2, 3)))


def gap(**settings: object) -> Network:
    """Gap with random weights as a camlib network."""
    return network(seeded(Gap), **settings)


class Pooled(nn.Module):
    """Feature maps, a pooling that leaves 4x4 positions, then a classifier: linear, or an MLP as in VGG."""

    def __init__(self, pool: nn.Module | None = None, mlp: bool = True) -> None:
        super().__init__()
        self.features = features()
        self.pool = pool or nn.MaxPool2d(2)
        flat = self.pool(torch.zeros(1, 6, 8, 8)).numel()
        head = [nn.Linear(flat, 12), nn.ReLU(), nn.Linear(12, len(CLASSES))]
        self.classifier = nn.Sequential(*head) if mlp else nn.Linear(flat, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.pool(self.features(x)).flatten(1))


class FunctionalRelu(nn.Module):
    """ReLUs by function calls, the last one in-place on the output of ``norm`` as in DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(8, 6, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        maps = self.norm(self.conv2(F.relu(self.conv1(x))))
        return self.fc(F.relu(maps, inplace=True).mean(dim=(2, 3)))


class SharedRelu(nn.Module):
    """One ReLU module for every convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(8, 6, 3, stride=2, padding=1)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(6, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.relu(self.conv2(self.relu(self.conv1(x)))).mean(dim=(2, 3)))


class Trainable(nn.Module):
    """Batch normalization and dropout: a pass in train mode gives other logits and changes buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout2d(0.3),
            nn.Conv2d(8, 6, 3, stride=2, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(6, len(CLASSES))
        for norm in (self.features[1], self.features[5]):
            nn.init.uniform_(norm.running_mean, -0.2, 0.2)
            nn.init.uniform_(norm.running_var, 0.1, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.dropout(self.features(x).mean(dim=(2, 3))))


class FailsLater(nn.Module):
    """Wraps a classifier whose head raises from the ``at``-th pass on (counted from when ``at`` is set)."""

    def __init__(self, inner: Gap, error: type[BaseException]) -> None:
        super().__init__()
        self.inner, self.error, self.at, self.passes = inner, error, None, 0

    def forward(self, x: Tensor) -> Tensor:
        maps = self.inner.features(x)
        self.passes += 1
        if self.at is not None and self.passes >= self.at:
            raise self.error("the head fails")
        return self.inner.fc(maps.mean(dim=(2, 3)))


def corner(row: int, column: int) -> Tensor:
    ready = torch.zeros(1, 3, 96, 160)
    ready[..., row : row + 16, column : column + 16] = 1
    return ready


def brightness(gain: float = 1.0) -> Network:
    """Mean brightness of 4x4 blocks, rectified, averaged: logit 0 is brightness times gain, logit 1 its negative."""
    module = nn.Sequential(
        nn.Conv2d(3, 1, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2)
    )
    with torch.no_grad():
        module[0].weight.fill_(1 / 48)
        module[0].bias.zero_()
        module[4].weight.copy_(torch.tensor([[gain], [-gain]]))
        module[4].bias.zero_()
    return Network(module.eval(), transform=Preprocess((96, 160), (0.0,) * 3, (1.0,) * 3))


@cache
def lite0() -> Network:
    """EfficientNet-Lite0 with its ImageNet weights; ends in ReLU6 - GAP - linear at 1280 x 7 x 7."""
    return load_network("efficientnet-lite0")


@cache
def bull_mastiff() -> Tensor:
    """A real photograph as a ready batch [1, 3, 224, 224] for EfficientNet-Lite0."""
    return lite0().prepare(load_photo("bull-mastiff"))[1][None]


def short(methods: Iterable[str]) -> dict[str, dict[str, object]]:
    """Options by method that keep those with many passes short, and Mask's penalty from keeping its mask at ones."""
    few = {"rise": {"masks": 40}, "mask": {"steps": 6, "l1": 0.0}}
    known = {m: METHODS[m].options for m in methods}
    return {m: few.get(m, {k: n for k, n in (("samples", 3), ("steps", 6)) if k in o}) for m, o in known.items()}


def relative(found: Tensor, expected: Tensor) -> float:
    """Largest deviation, relative to the largest expected value; shapes must agree."""
    assert found.shape == expected.shape
    assert float(expected.abs().max()) > 0
    return float((found.double() - expected.double()).abs().max() / expected.double().abs().max())


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's r between two maps; both must vary."""
    a, b = a.double().flatten(), b.double().flatten()
    assert float(a.std()) > 0
    assert float(b.std()) > 0
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


def state(module: nn.Module) -> dict[str, object]:
    """Everything that explaining must leave alone: the module with its hooks, and the global switches."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "hooks": {(name, kind): len(getattr(child, kind)) for name, child in module.named_modules() for kind in hooks},
        "training": {name: child.training for name, child in module.named_modules()},
        "requires_grad": {name: p.requires_grad for name, p in module.named_parameters()},
        "gradients": {name: None if p.grad is None else p.grad.clone() for name, p in module.named_parameters()},
        "values": {name: t.clone() for name, t in module.state_dict().items()},
        "torch random state": torch.get_rng_state(),
        "numpy random state": np.random.get_state()[1].tolist(),
        "python random state": random.getstate(),
        "grad mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "dispatch modes": torch._C._len_torch_dispatch_stack(),
        "autograd hooks": {name: len(p._backward_hooks or {}) for name, p in module.named_parameters()},
    }


def assert_same(before: dict[str, object], after: dict[str, object]) -> None:
    """Both states agree, tensors bit for bit; a difference is named."""
    for key, old in before.items():
        new = after[key]
        if key in ("gradients", "values"):
            assert old.keys() == new.keys(), key
            for name in old:
                same = old[name] is new[name] or (
                    old[name] is not None and new[name] is not None and torch.equal(old[name], new[name])
                )
                assert same, f"{key} of {name} changed"
        elif isinstance(old, Tensor):
            assert torch.equal(old, new), f"{key} changed"
        else:
            assert old == new, f"{key} changed"


# What an item and a claim say, where a test asks for something else

ITEM_FACTS = {
    "caption": "What is seen.",
    "network": "efficientnet-lite0",
    "data": "bull-mastiff",
    "n": 1,
    "seed": 0,
}
CLAIM_ROW = {
    "paper": "sca",
    "claim": "SCA-CAM localizes better",
    "evidence": "fig 12, by eye",
    "ours": 0.3612,
    "interval": (0.31, 0.4),
    "verdict": "does not hold",
    "notebook": "04_sca_cam",
}
