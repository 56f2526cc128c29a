"""Scenes with two classes, and the two shares of a map, against masks worked out by hand."""

from types import SimpleNamespace

import pytest
import torch

from camlib.studies.two_classes import shares, two_classes

FAMILY = 77


def map_of(scenes, heatmap, k=0):
    return SimpleNamespace(picture=0, target=int(scenes.shapes[0, k]), heatmap=heatmap, degenerate=not heatmap.any())


def test_every_scene_has_two_objects_of_two_classes_and_more_scenes_begin_with_the_same():
    scenes = two_classes(6, FAMILY)
    assert len(scenes) == 6
    assert scenes.counts.tolist() == [2] * 6
    assert (scenes.shapes[:, 0] != scenes.shapes[:, 1]).all()
    assert torch.equal(two_classes(3, FAMILY).images, scenes.images[:3])


def test_shares_of_maps_that_are_known():
    scenes = two_classes(1, FAMILY)
    first, second = (scenes.instances[0] == k for k in (1, 2))
    n, m, all_ = int(first.sum()), int(second.sum()), first.numel()
    cases = {
        (1.0, 1.0): first.float(),
        (0.0, 0.0): second.float(),
        (n / all_, n / (n + m)): torch.ones(64, 64),
        (0.5, 0.5): first / n + second / m,
        (0.0, 0.5): (~(first | second)).float(),
    }
    for (energy, share), heatmap in cases.items():
        found = shares(scenes, map_of(scenes, heatmap))
        assert (found["energy"], found["class share"]) == pytest.approx((energy, share), abs=1e-6)
        assert found["empty"] is False
