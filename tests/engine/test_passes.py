"""Passes of every method counted one by one, and what the registry says of them."""

from __future__ import annotations

import re
import warnings

import helpers
import pytest
from torch import Tensor, nn

import camlib
from camlib import METHODS

ROWS: dict[str, int] = {}
"""Rows that went through the body and through the tail of a ``Counted`` network, also in copies of it."""


class Counting(nn.Module):
    """Passes its input on and counts the rows; a copy of the module counts in the same place."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        ROWS[self.name] = ROWS.get(self.name, 0) + len(x)
        return x


class Counted(nn.Module):
    """conv - ReLU (``features``, K channels) - MLP, with a counter in front of either part."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(Counting("body"), nn.Conv2d(3, channels, 3, stride=4, padding=1))
        self.features = nn.ReLU()
        self.tail = nn.Sequential(Counting("tail"), nn.Flatten(), nn.Linear(64 * channels, 8), nn.ReLU())
        self.fc = nn.Linear(8, len(helpers.CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.tail(self.features(self.body(x))))


def rows(method: str, channels: int) -> tuple[int, int]:
    """(rows through the body, rows through the tail) that a method takes at K = ``channels``, set-up included."""
    net = helpers.network(helpers.seeded(lambda: Counted(channels)), target_layer="features")
    net.layers()
    ROWS.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", camlib.DegenerateMapWarning)
        options = {} if METHODS[method].family == "score" else helpers.short([method])[method]  # their number is stated
        camlib.explain(net, helpers.picture(0), method, 1, **options)
    return ROWS["body"], ROWS["tail"]


def slope(passes: str, kind: str) -> int:
    """Coefficient of K in the registry's words: "1 forward + 2K masked" -> 2 for kind "masked"."""
    found = re.search(rf"(\d*)K(?:\+\d+)? {kind}", passes)
    return int(found[1] or 1) if found else 0


@pytest.mark.parametrize("method", [name for name in helpers.POST_HOC if name not in ("gap-cam", "group-cam")])
def test_passes_grow_with_channels_as_the_registry_says(method):
    """Two networks that differ in K alone: the difference in rows is the registry's coefficient, exactly."""
    (body6, tail6), (body11, tail11) = rows(method, 6), rows(method, 11)
    masked, tails = (slope(METHODS[method].passes, kind) for kind in ("masked", "tails"))
    assert body11 - body6 == 5 * masked
    assert tail11 - tail6 == 5 * (masked + tails)


@pytest.mark.parametrize(
    ("method", "body", "tail"),
    [
        ("grad-cam", 1, 1),
        ("score-cam", 1 + 6, 1 + 6),
        ("score-cam-cic", 1 + 6 + 1, 1 + 6 + 1),
        ("sa-cam", 1 + 12, 1 + 12),
        ("union-cam", 1 + 6 + 4, 1 + 6 + 4),
        ("ablation-cam", 1, 1 + 6),
        ("recipro-cam", 1, 1 + 64),
        ("fd-cam", 1, 1 + 12),
        ("rise", 1 + 40, 1 + 40),
        ("finer-cam", 1, 1),
        ("case", 1, 1),
        ("shapley-cam", 1, 1),
        ("lift-cam", 3, 3),
        ("is-cam", 1 + 60, 1 + 60),
        ("ss-cam", 1 + 210, 1 + 210),
        ("opti-cam", 2 + 100, 2 + 100),
    ],
)
def test_passes_are_those_that_the_registry_names(method, body, tail):
    """Besides these, setting up costs a few rows: finding what folds, proving the copy on three pictures, the tail."""
    found_body, found_tail = rows(method, 6)
    assert 0 <= found_body - body <= 7
    assert 0 <= found_tail - tail <= 7


def test_group_cam_takes_one_picture_a_live_group_and_the_blurred_one():
    found, _ = rows("group-cam", 6)  # fewer channels than groups: a group each
    assert 1 + 1 <= found <= 1 + 1 + 6 + 7


def test_seven_methods_and_three_classes_share_the_masked_pictures():
    net = helpers.network(helpers.seeded(lambda: Counted(6)), target_layer="features")
    net.layers()
    ROWS.clear()
    methods = ["grad-cam", "grad-cam++", "xgrad-cam", "layer-cam", "ablation-cam", "score-cam", "sa-cam"]
    camlib.compare(net, helpers.picture(0), methods, [0, 1, 2])
    assert 13 <= ROWS["body"] <= 13 + 8  # 1 + K of Score-CAM + K key areas of SA-CAM
    assert 13 + 6 <= ROWS["tail"] <= 13 + 6 + 8 + 2
