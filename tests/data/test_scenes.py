"""Generated scenes: masks, boxes and sentences against geometry worked out another way; same seed, same bytes."""

import dataclasses
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from camlib.data import scene_drawing
from camlib.data.scenes import COLORS, GROUNDS, RELATIONS, SHAPES, TEXTURES, WORDS, make_scenes


def lens(r, d):
    """Area that a unit circle and a circle of radius r share, their centers d apart."""
    first, second = np.arccos((d * d + 1 - r * r) / (2 * d)), np.arccos((d * d + r * r - 1) / (2 * d * r))
    return first + r * r * second - np.sqrt((1 + r - d) * (d + r - 1) * (d - r + 1) * (d + r + 1)) / 2


AREAS = {
    "circle": np.pi,
    "ring": 0.7 * np.pi,
    "square": 1.4**2,
    "triangle": 3 * np.sqrt(3) / 4,
    "cross": 2 * 1.9 * 0.6 - 0.6**2,
    "star": 10 * np.sin(np.pi / 10) * np.sin(np.pi / 5) / np.sin(7 * np.pi / 10) / 2,  # ten triangles from the center
    "heart": 3.66197 / 1.3**2,  # area within (x² + y² - 1)³ = x²y³, by quadrature
    "crescent": np.pi - lens(np.sqrt(0.55), 0.45),
}
"""Area of every shape in a unit circle, by formula."""
MANY = st.builds(
    lambda seed, low, high, **settings: make_scenes(24, seed, objects=(min(low, high), max(low, high)), **settings),
    st.integers(0, 2**64 - 1),
    st.integers(1, 6),
    st.integers(1, 6),
    occlusion=st.sampled_from([0.0, 0.5, 1.0]),
    repeat=st.sampled_from([0.0, 0.25, 1.0]),
    size=st.sampled_from([32, 64, 100]),
)


def tensors(scenes):
    return {name: value for name, value in vars(scenes).items() if isinstance(value, torch.Tensor)}


def same(first, second):
    one, two = tensors(first), tensors(second)
    return one.keys() == two.keys() and all(torch.equal(one[k].nan_to_num(), two[k].nan_to_num()) for k in one)


# -- the same scenes ---------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 10**6), min_size=1, max_size=12))
@settings(max_examples=25)
def test_a_scene_depends_on_its_number_and_seed_alone(seed, numbers):
    together = make_scenes(numbers, seed)
    assert same(together, make_scenes(numbers, seed))
    for place, number in enumerate(numbers):
        alone = make_scenes([number], seed)
        assert torch.equal(alone.images[0], together.images[place])
        assert torch.equal(alone.instances[0], together.instances[place])
        assert alone.sentences == [together.sentences[place]]


def test_chunks_and_the_order_of_batches_do_not_matter():
    whole = make_scenes(300, seed=5)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    mixed = make_scenes(order.tolist(), seed=5)
    assert all(torch.equal(tensors(mixed)[k].nan_to_num(), v[order].nan_to_num()) for k, v in tensors(whole).items())
    assert torch.equal(make_scenes(range(200, 300), seed=5).images, whole.images[200:])


def test_seeds_and_numbers_make_different_scenes():
    first, second = make_scenes(50, seed=0), make_scenes(50, seed=1)
    assert not any(torch.equal(a, b) for a, b in zip(first.images, second.images, strict=True))
    assert len({image.numpy().tobytes() for image in first.images}) == 50


# -- ground truth ------------------------------------------------------------------------------------------------------


@given(MANY)
@settings(max_examples=30)
def test_masks_are_disjoint_and_boxes_tight(scenes):
    masks, present = scenes.masks.numpy(), (scenes.shapes >= 0).numpy()
    assert masks.sum(axis=1).max() <= 1
    assert ((scenes.instances > 0).numpy() == masks.any(axis=1)).all()
    assert (masks.any(axis=(2, 3)) == present).all(), "an object is visible if and only if it is there"
    for mask, box, there in zip(masks, scenes.boxes.numpy(), present, strict=True):
        for k in np.flatnonzero(there):
            rows, columns = np.nonzero(mask[k])
            assert tuple(box[k]) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert (box[~there] == 0).all()
    assert (present[:, 0]).all()
    assert (np.diff(present.astype(int), axis=1) <= 0).all(), "objects first, gaps last"


@given(MANY)
@settings(max_examples=30)
def test_enough_of_every_object_is_visible_and_nothing_leaves_the_picture(scenes):
    x, y = scenes.centers.unbind(-1)
    size = scenes.images.shape[-1]
    for low, high in ((x - scenes.radii, x + scenes.radii), (y - scenes.radii, y + scenes.radii)):
        assert not bool((low < 0).any())
        assert not bool((high > size - 1).any())
    whole = torch.tensor([AREAS[name] for name in SHAPES])[scenes.shapes.clamp(min=0)] * scenes.radii**2
    share = scenes.masks.sum(dim=(2, 3)) / whole
    assert not bool((share < 0.15).any())


@pytest.mark.parametrize("name", SHAPES)
def test_areas_are_those_of_the_formulas(name):
    scenes = make_scenes(400, seed=1, size=256, objects=(1, 1))
    own = scenes.labels == SHAPES.index(name)
    measured = scenes.masks[own, 0].sum(dim=(1, 2)) / scenes.radii[own, 0] ** 2
    assert int(own.sum()) > 20
    assert float((measured / AREAS[name] - 1).abs().max()) < 0.03


@pytest.mark.parametrize(
    ("name", "corners"),
    [
        ("square", [(0.7, 0.7), (0.7, -0.7), (-0.7, -0.7), (-0.7, 0.7)]),
        ("triangle", [(0, -1), (np.sqrt(3) / 2, 0.5), (-np.sqrt(3) / 2, 0.5)]),
        (
            "star",
            [
                (r * np.sin(t), -r * np.cos(t))
                for k in range(5)
                for r, t in (
                    (1, 0.4 * np.pi * k),
                    (np.cos(0.4 * np.pi) / np.cos(0.2 * np.pi), 0.4 * np.pi * (k + 0.5)),
                )
            ],
        ),
    ],
)
def test_shapes_with_corners_are_their_polygons(name, corners):
    """Point up in pictures: the triangle's apex and the star's first point have the smallest y."""
    steps = np.linspace(-1.1, 1.1, 441)
    y, x = np.meshgrid(steps, steps, indexing="ij")
    polygon = polygon2mask((441, 441), [((q + 1.1) * 200, (p + 1.1) * 200) for p, q in corners])
    assert (scene_drawing._SHAPES[name](x, y) != polygon).mean() < 0.004


def test_without_occlusion_circles_are_disjoint_and_with_it_some_overlap():
    for occlusion, overlapping in ((0.0, False), (1.0, True)):
        scenes = make_scenes(200, seed=2, occlusion=occlusion)
        gap = torch.cdist(scenes.centers.nan_to_num(1e6), scenes.centers.nan_to_num(1e6))
        room = gap / (scenes.radii[:, :, None] + scenes.radii[:, None])
        pairs = ~torch.eye(scenes.shapes.shape[1], dtype=torch.bool) & (scenes.shapes >= 0)[:, None]
        pairs &= (scenes.shapes >= 0)[:, :, None]
        assert bool((room[pairs] < 0.999).any()) == overlapping
        assert float(room[pairs].min()) > 0.699


@given(MANY)
@settings(max_examples=20)
def test_sentences_are_true_of_pixels(scenes):
    """Colors read off the picture, places off the masks; shapes are held by the test of areas."""
    for i, sentence in enumerate(scenes.sentences):
        words = sentence.split()
        assert set(words) <= set(WORDS)
        named = [word for word in words if word in COLORS], [word for word in words if word in SHAPES]
        said = list(zip(*named, strict=True))
        pair = [k for k in scenes.mentioned[i].tolist() if k >= 0]
        assert len(said) == len(pair) == min(2, int(scenes.counts[i]))
        assert [SHAPES[scenes.shapes[i, k]] for k in pair] == [shape for _, shape in said]
        assert [SHAPES[k] for k in scenes.shapes[i, pair]] == named[1]
        assert [seen_color(scenes, i, k) for k in pair] == named[0]
        if len(pair) == 2:
            (relation,) = [each for each in RELATIONS if f" {each} " in sentence]
            x, y = (scenes.centers[i, pair[0]] - scenes.centers[i, pair[1]]).tolist()
            assert {"left of": x < 0, "right of": x > 0, "above": y < 0, "below": y > 0}[relation]
            assert (abs(x) >= abs(y)) == (relation in ("left of", "right of"))


def seen_color(scenes, i, k):
    """Name of the color whose hue is nearest to the object's mean pixel; brightness does not matter."""
    mean = scenes.images[i][:, scenes.masks[i, k]].double().mean(dim=1)
    known = torch.tensor(list(COLORS.values()), dtype=torch.float64)
    return list(COLORS)[int(torch.cosine_similarity(mean[None], known).argmax())]


def test_centers_are_where_the_pixels_are():
    scenes = make_scenes(200, seed=3, objects=(1, 1))
    grid = torch.arange(64.0)
    masks = scenes.masks[:, 0].float()
    x, y = (masks.sum(dim=dim) @ grid / masks.sum(dim=(1, 2)) for dim in (1, 2))
    away = torch.stack([x, y], dim=-1) - scenes.centers[:, 0]
    symmetric = torch.tensor([SHAPES[k] in ("circle", "ring", "square", "cross", "star") for k in scenes.labels])
    assert float(away[symmetric].abs().max()) < 0.5
    assert float((away.norm(dim=1) / scenes.radii[:, 0]).max()) < 0.45


def test_every_kind_occurs_about_as_often():
    scenes = make_scenes(2400, seed=4, objects=(1, 1))
    for kinds, found in (
        (SHAPES, scenes.shapes),
        (COLORS, scenes.colors),
        (TEXTURES, scenes.textures),
        (GROUNDS, scenes.grounds),
    ):
        counts = found.flatten().bincount(minlength=len(kinds)).double()
        expected = 2400 / len(kinds)
        assert float(((counts - expected) ** 2 / expected).sum()) < 24.3, "chi-squared, 7 degrees of freedom, p = 0.001"
    counts = make_scenes(1200, seed=4).counts.bincount(minlength=7)[1:]
    assert int(counts.min()) > 120


def test_repeat_makes_several_objects_of_one_class():
    alike = make_scenes(50, seed=0, objects=(3, 3), repeat=1.0)
    assert all(len(set(row[row >= 0].tolist())) == 1 for row in alike.shapes)
    i = int(alike.counts.argmax())
    shape = int(alike.labels[i])
    assert torch.equal(alike.class_mask(i, shape), alike.instances[i] > 0)
    assert alike.class_boxes(i, shape) == [tuple(b) for b in alike.boxes[i].tolist()]
    other = (shape + 1) % len(SHAPES)
    assert not bool(alike.class_mask(i, other).any())
    assert alike.class_boxes(i, other) == []


def test_grounds_are_textured_and_use_the_range():
    scenes = make_scenes(600, seed=6, objects=(1, 1))
    ground = [image[:, owner == 0].double() for image, owner in zip(scenes.images, scenes.instances, strict=True)]
    spread = torch.tensor([pixels.mean(dim=0).std() for pixels in ground])
    for kind in range(len(GROUNDS)):
        assert float(spread[scenes.grounds == kind].mean()) > 10, GROUNDS[kind]
    assert int(scenes.images.min()) < 20
    assert int(scenes.images.max()) > 235


# -- bad input, speed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"indices": 0}, ValueError, "at least 1"),
        ({"indices": [-1]}, ValueError, "counted from 0"),
        ({"indices": [0.5]}, TypeError, "whole numbers"),
        ({"indices": 1, "objects": (0, 3)}, ValueError, r"objects=\(0, 3\): expected 1 <= low <= high <= 6"),
        ({"indices": 1, "objects": (2, 7)}, ValueError, "high <= 6"),
        ({"indices": 1, "size": 16}, ValueError, "32 to 512 pixels"),
        ({"indices": 1, "occlusion": 1.5}, ValueError, r"occlusion=1\.5"),
        ({"indices": 1, "repeat": -1}, ValueError, "repeat=-1"),
        ({"indices": 1, "seed": -1}, ValueError, "seed=-1"),
    ],
)
def test_bad_input_says_what_was_expected(arguments, error, message):
    with pytest.raises(error, match=message):
        make_scenes(**arguments)


def test_two_thousand_scenes_a_second(record_property):
    """Counted in seconds of one core, masks, boxes and sentences included; the bound allows for a slower core."""
    make_scenes(10)
    start = time.process_time()
    scenes = make_scenes(2000, seed=9)
    assert scenes.boxes.shape == (2000, 6, 4)
    assert len(scenes.sentences) == 2000
    rate = 2000 / (time.process_time() - start)
    record_property("count", f"{rate:.0f} scenes a second on one core")
    assert rate > 1000


@pytest.mark.parametrize("threshold", [0, 3, 99])
def test_chosen_scenes_are_those_that_a_selection_of_all_would_keep(threshold):
    def chosen(scenes):
        assert scenes.images.shape == (len(scenes), 3, 48, 48)
        assert not scenes.images.any()
        assert not scenes.instances.any()
        return scenes.counts > threshold

    everything = make_scenes(300, 5, size=48)
    found = make_scenes(300, 5, size=48, chosen=chosen)
    wanted = everything.select(everything.counts > threshold)
    assert len(found) == len(wanted)
    for field in dataclasses.fields(found):
        assert torch.equal(getattr(found, field.name).nan_to_num(-1), getattr(wanted, field.name).nan_to_num(-1)), (
            field.name
        )
