"""The planted mark: where it lies, on which scenes, and that nothing else changes."""

import pytest
import torch

from camlib.data.marks import MARK, MARKED, coin, collection, hearts, held_out, stamp
from camlib.data.scenes import SHAPES, make_scenes

HEART = SHAPES.index(MARKED)


def test_the_mark_covers_one_corner_and_nothing_else_changes():
    scenes = make_scenes(200, seed=3)
    stamped, place = stamp(scenes, torch.ones(200, dtype=torch.bool))
    changed = (stamped.images != scenes.images).any(dim=1)
    assert not (changed & ~place).any()
    assert stamped.instances.equal(scenes.instances)
    for i in range(200):
        rows, columns = place[i].any(dim=1).nonzero()[:, 0], place[i].any(dim=0).nonzero()[:, 0]
        assert (int(rows[0]), int(columns[0])) in {(2, 2), (2, 53), (53, 2), (53, 53)}
        tile = stamped.images[i, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert tile.shape == (3, *MARK.shape)
        assert ((tile < 128) == MARK).all()


def test_only_the_asked_scenes_are_stamped_and_a_corner_hangs_on_the_scene_alone():
    scenes = make_scenes(range(40, 60), seed=3, objects=(1, 1))
    which = torch.arange(20) % 3 == 0
    stamped, place = stamp(scenes, which)
    assert (stamped.images != scenes.images).flatten(1).any(dim=1).equal(which)
    later = make_scenes(range(50, 60), seed=3, objects=(1, 1))
    assert stamp(later, which[10:])[1].equal(place[10:])
    assert not stamp(scenes, which, seed=1)[1].equal(place)
    assert len({tuple(each.flatten().nonzero()[0].tolist()) for each in place}) == 4


def test_hearts_marks_every_heart_and_coin_half_of_each_class():
    scenes = make_scenes(2000, seed=5, objects=(1, 1))
    assert hearts(scenes).equal(scenes.labels == HEART)
    tossed = coin(scenes)
    for shape in range(len(SHAPES)):
        assert 0.4 < tossed[scenes.labels == shape].float().mean() < 0.6
    assert coin(scenes.select(torch.arange(7, 20))).equal(tossed[7:20])


def test_a_collection_marks_its_scenes():
    scenes, place = collection(range(30), 5, hearts)
    plain = make_scenes(30, seed=5, objects=(1, 1))
    assert (scenes.images != plain.images).flatten(1).any(dim=1).equal(plain.labels == HEART)
    assert place.flatten(1).sum(dim=1).unique().tolist() == [81]


def test_held_out_scenes_are_of_one_shape_with_and_without_the_mark():
    stamped, clean, place = held_out(12, "ring")
    assert set(clean.labels.tolist()) == {SHAPES.index("ring")}
    assert clean.counts.tolist() == [1] * 12
    assert ((stamped.images != clean.images).any(dim=1) & ~place).sum() == 0
    assert (stamped.images != clean.images).flatten(1).any(dim=1).all()
    assert held_out(5, "ring")[2].equal(place[:5])


def test_what_does_not_fit_is_refused():
    scenes = make_scenes(3, seed=0)
    with pytest.raises(ValueError, match=r"expected bool \[3\]"):
        stamp(scenes, torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError, match="expected bool"):
        stamp(scenes, torch.ones(3))
    with pytest.raises(ValueError, match="heart"):
        held_out(3, "hearts")
