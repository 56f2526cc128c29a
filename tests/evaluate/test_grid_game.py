"""camlib.mosaics: the draw as notebooks wrote it out, cells that show their photograph, classes that never meet."""

from __future__ import annotations

import helpers
import numpy as np
import pytest
import torch
from helpers import Gap, network, seeded
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

import camlib
from camlib import Network
from camlib.data.datasets import Example
from camlib.data.mosaics import square
from camlib.evaluate import Mosaics, grid_game
from camlib.metrics import grid_pointing_share

SIDE = helpers.SIZE


@pytest.fixture(scope="module")
def net() -> Network:
    module = seeded(Gap, 4)
    with torch.no_grad():
        module.fc.weight *= 30
    return network(module)


def photo(seed: int, width: int = 40, height: int = 32) -> Image.Image:
    values = helpers.picture(seed, height, width).permute(1, 2, 0).numpy()
    return Image.fromarray(np.round(values * 255).astype(np.uint8))


def example(number: int, label: int | None) -> Example:
    return Example(f"photo {number}", lambda: photo(number), label=label)


def labeled(count: int, classes: int = 12) -> list[Example]:
    return [example(number, number % classes) for number in range(count)]


# -- the draw


@pytest.mark.parametrize(("seed", "rounds"), [(0, 1), (0, 3), (7, 2)])
def test_every_round_deals_a_permutation_of_one_generator(net, seed, rounds):
    """As notebooks 04, 06, 07, 09 and 12 wrote it, on offline photographs of classes that differ."""
    names = [name for name in camlib.list_photos("imagenet") if name != "jeep-2"]
    good = names[: len(names) // 4 * 4]
    rng = np.random.default_rng(seed)
    games = [list(four) for _ in range(rounds) for four in rng.permutation(good).reshape(-1, 4)]
    labels = {name: camlib.photo_info(name).label for name in names}
    assert len(set(labels.values())) == len(labels)
    found = camlib.mosaics(net, names, rounds=rounds, least=None, seed=seed)
    assert [list(four) for four in found.names] == games
    assert [list(four) for four in found.targets] == [[labels[name] for name in four] for four in games]
    assert list(found.chosen) == good
    for four, picture in zip(games[:2], found, strict=False):
        assert picture.tobytes() == camlib.mosaic(four, columns=2, cell=SIDE).picture.tobytes()


def test_only_what_the_network_knows_is_drawn(net):
    first = {number: net.predict(photo(number), top=1)[0] for number in range(40)}
    asked = [example(number, index if number % 3 else (index + 1) % 5) for number, (index, _, _) in first.items()]
    least = sorted(p for _, _, p in first.values())[10]
    known = [number for number, (_, _, p) in first.items() if number % 3 and p > least]
    found = camlib.mosaics(net, asked, columns=1, least=least)
    assert found.chosen == tuple(f"photo {number}" for number in known)
    assert 0 < len(known) < 2 * len(first) / 3
    assert {name: target for (name,), (target,) in zip(found.names, found.targets, strict=True)} == {
        f"photo {number}": first[number][0] for number in known
    }


def test_a_count_takes_the_first_and_no_seed_keeps_the_order(net):
    many = camlib.mosaics(net, labeled(12), least=None, seed=5)
    few = camlib.mosaics(net, labeled(12), least=None, seed=5, count=2)
    assert few.names == many.names[:2] == many[:2].names
    in_order = camlib.mosaics(net, labeled(11), least=None, seed=None)
    assert in_order.names == tuple(tuple(f"photo {n}" for n in range(k, k + 4)) for k in (0, 4))


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 5))
def test_no_class_stands_twice_in_a_mosaic_and_no_photograph_twice_in_a_round(classes, cells):
    labels = {f"{number}": label for number, label in enumerate(classes)}
    groups = grid_game._dealt([*labels], labels, cells)
    used = [name for group in groups for name in group]
    assert all(len(group) == len({labels[name] for name in group}) == cells for group in groups)
    assert len(used) == len(set(used))
    left = [labels[name] for name in labels if name not in used]
    assert len(set(left)) < cells  # of what is left, no further mosaic can be made
    if len(labels) >= cells == len({*classes[:cells]}):
        assert groups[0] == tuple([*labels][:cells])  # whoever can stay where the permutation put him does


# -- what is true of them


@pytest.mark.parametrize(
    ("enlarge", "cell", "side", "size"), [(True, None, 32, 64), (False, None, 16, 32), (True, 20, 20, 40)]
)
def test_each_box_shows_the_square_photograph_of_its_cell(net, enlarge, cell, side, size):
    found = camlib.mosaics(net, labeled(8), least=None, enlarge=enlarge, cell=cell)
    assert found.network.input_size == (size, size)
    assert net.input_size == (SIDE, SIDE)
    for picture, names, boxes in zip(found, found.names, found.boxes, strict=True):
        assert picture.size == (2 * side, 2 * side)
        for name, box in zip(names, boxes, strict=True):
            assert picture.crop(box).tobytes() == square(photo(int(name.split()[1])), side).tobytes()


def test_boxes_follow_the_picture_to_the_network(net):
    found = camlib.mosaics(net, labeled(9), columns=3, least=None, enlarge=False, cell=64)  # 192 pixels become 32
    assert found.boxes[0][:4] == ((0, 0, 11, 11), (11, 0, 21, 11), (21, 0, 32, 11), (0, 11, 11, 21))
    crops = [transforms.Resize(40), transforms.CenterCrop(32), transforms.ToTensor()]
    cropping = Network(net.module, "features", transforms.Compose(crops), helpers.CLASSES)
    kept = camlib.mosaics(cropping, labeled(4), least=None, enlarge=False, cell=20)
    assert kept.boxes[0] == ((0, 0, 16, 16), (16, 0, 32, 16), (0, 16, 16, 32), (16, 16, 32, 32))


def test_explanations_traces_and_scores_in_one_call_each(net):
    """The loop of the notebooks beside the three calls; targets stand for the network's five classes."""
    found = camlib.mosaics(net, labeled(8, 4), least=None)
    made = found.explain(["grad-cam", "layer-cam"], "features", batch_size=1)
    by_hand = camlib.compare(found.network, list(found.pictures), ["grad-cam", "layer-cam"], found.targets, "features")
    assert [e.target for e in made] == [e.target for e in by_hand]
    assert all(torch.equal(a.heatmap, b.heatmap) for a, b in zip(made, by_hand, strict=True))
    direct = camlib.compare(found.network, found, ["grad-cam"], found.targets, "features")
    assert torch.equal(direct[0].heatmap, made[0].heatmap)
    scores = camlib.score(made, "grid-pointing-game", found, unit="photo")
    for e, row in zip(made, scores.rows.to_dict("records"), strict=True):
        cell = found.targets[e.picture].index(e.target)
        assert (row["cell"], row["photo"]) == (cell, found.names[e.picture][cell])
        assert row["value"] == pytest.approx(grid_pointing_share(e.raw, cell, 2, 2), abs=1e-12)
    assert scores.table()["n"].tolist() == [8, 8]
    trace = found.trace("features")
    assert torch.equal(trace.inputs[1], found.network.prepare(found[1])[1].to(trace.inputs))


def test_a_slice_keeps_what_is_true_of_it(net):
    found = camlib.mosaics(net, labeled(12), least=None)
    part = found[1:]
    assert isinstance(part, Mosaics)
    assert (len(found), len(part)) == (3, 2)
    assert (part.names, part.targets, part.boxes) == (found.names[1:], found.targets[1:], found.boxes[1:])
    assert part[0] is found[1]
    assert repr(part) == "Mosaics(2 of 12 photographs, for Gap at 64x64)"


# -- what is refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"photos": labeled(3)}, r"3 of 3 photographs, of 3 classes; a mosaic takes 4 photographs of 4 classes"),
        ({"photos": labeled(8, 3)}, r"8 of 8 photographs, of 3 classes"),
        ({"photos": labeled(8), "least": 1.0}, r"0 of 8 photographs that Gap classifies right with p > 1.0, of 0"),
        ({"photos": [example(0, None)]}, r"'photo 0' has no label"),
        ({"photos": ["chelsea"]}, r"'chelsea' has no label"),
        ({"photos": [*labeled(4), example(2, 1)]}, r"'photo 2' is named more than once; use rounds"),
        ({"columns": 0}, r"columns=0, rounds=1, count=None"),
        ({"rounds": 0}, r"rounds=0"),
        ({"count": 0}, r"count=0"),
    ],
)
def test_mosaics_that_cannot_be_made_say_why(net, options, words):
    with pytest.raises(ValueError, match=words):
        camlib.mosaics(net, **{"photos": labeled(8), "least": None, **options})


def test_mosaics_are_never_squashed_and_cells_never_lost(net):
    with pytest.raises(
        ValueError, match=r"takes 32 x 48 pixels, and a mosaic is square; give net.with_input_size\(32\)"
    ):
        camlib.mosaics(net.with_input_size((32, 48)), labeled(4), least=None)
    crops = [transforms.Resize(160), transforms.CenterCrop(32), transforms.ToTensor()]
    cropping = Network(net.module, "features", transforms.Compose(crops), helpers.CLASSES)
    with pytest.raises(ValueError, match="Gap crops its pictures: 1 of 9 cells are left"):
        camlib.mosaics(cropping, labeled(9), columns=3, least=None, enlarge=False)
    with pytest.raises(ValueError, match="This network was given its own transform"):
        camlib.mosaics(cropping, labeled(9), least=None)


def test_a_class_that_no_cell_has_is_named(net):
    found = camlib.mosaics(net, labeled(4, 4), least=None)
    made = camlib.compare(found.network, found, ["grad-cam"], [4], "features")
    with pytest.raises(ValueError, match=r"No cell for class 4 \(daisy\) of picture 0: the mosaics have the classes"):
        camlib.score(made, "grid-pointing-game", found)
    two = camlib.compare(found.network, [found[0], found[0]], ["grad-cam"], [0], "features")
    with pytest.raises(ValueError, match="of picture 1: the mosaics have 1 pictures only"):
        camlib.score(two, "grid-pointing-game", found)


def test_explain_takes_one_mosaic_and_says_so_of_several(net):
    found = camlib.mosaics(net, labeled(8, 4), least=None)
    with pytest.raises(ValueError, match="explain takes one picture; given 2"):
        camlib.explain(found.network, found)
    one = camlib.explain(found.network, found[:1], target=1)
    assert torch.equal(one.heatmap, camlib.explain(found.network, found[0], target=1).heatmap)
