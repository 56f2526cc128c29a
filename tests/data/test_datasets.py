"""Readers of pictures and boxes: small folders made here in every layout, hand-computed boxes, real sets if near."""

import json
import math
import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import helpers
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms
from torchvision.models import ResNet18_Weights
from torchvision.transforms import v2

from camlib import Preprocess, data, load_network, paths
from camlib.data import datasets
from camlib.data.datasets import LabeledBox, boxes_on_input, classes_of

SHARED = Path(os.environ.get("CAMLIB_SHARED_DATA", paths.ROOT.parent / "shared" / "data"))
CATEGORIES = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
IMAGENET = SimpleNamespace(class_names=list(CATEGORIES))  # all that classes_of reads of a network
TENCH, TABBY, TOILET_TISSUE = "n01440764", "n02123045", "n15075141"  # ImageNet's classes 0, 281 and 999


def save(file: Path, width: int = 12, height: int = 8, color: str = "red", mode: str = "RGB") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (width, height), color).save(file)
    return file


def xml(file: Path, *objects: tuple) -> Path:
    """A VOC annotation; an object is (name, xmin, ymin, xmax, ymax) or with a part behind it."""
    corners = ("xmin", "ymin", "xmax", "ymax")

    def box(values):
        return "<bndbox>" + "".join(f"<{c}>{v}</{c}>" for c, v in zip(corners, values, strict=True)) + "</bndbox>"

    parts = [
        f"<object><name>{name}</name>{box(rest[:4])}"
        + "".join(f"<part><name>head</name>{box(part)}</part>" for part in rest[4:])
        + "</object>"
        for name, *rest in objects
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"<annotation><folder>x</folder>{''.join(parts)}</annotation>", encoding="utf-8")
    return file


@pytest.fixture
def devkit(tmp_path):
    """VOC2007 with three pictures; the last has no annotation."""
    base = tmp_path / "VOCdevkit" / "VOC2007"
    for name in ("000001", "000002", "000007"):
        save(base / "JPEGImages" / f"{name}.jpg")
    xml(base / "Annotations" / "000001.xml", ("dog", 1, 1, 12, 8), ("person", 3, 2, 5, 4, (3, 2, 4, 3)))
    xml(base / "Annotations" / "000002.xml", ("tvmonitor", "2.5", "1", "7.25", "8"))
    lists = base / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "test.txt").write_text("000001\n000002\n000007\n")
    (lists / "train.txt").write_text("000002\n")
    (lists / "mine.txt").write_text("000007 1\n\n000001 -1\n")
    return tmp_path


# -- what comes with the package


def test_photographs_are_those_of_the_manifest_with_their_labels():
    found = datasets.photos()
    assert list(found.ids) == data.list_photos()
    mastiff = found[0]
    assert (mastiff.id, mastiff.label, mastiff.boxes) == ("bull-mastiff", 243, ())
    assert mastiff.picture.tobytes() == data.load_photo("bull-mastiff").tobytes()
    assert {example.label for example in datasets.photos("unlabeled")} == {None}


def test_a_mosaic_shows_in_every_box_the_photograph_that_its_name_says():
    example = datasets.mosaics(3, cell=40, seed=5)[2]
    names = example.id.partition(" ")[2].split("+")
    whole = np.asarray(example.picture)
    assert whole.shape == (80, 80, 3)
    for box, name, corner in zip(example.boxes, names, [(0, 0), (40, 0), (0, 40), (40, 40)], strict=True):
        assert box[:4] == (*corner, corner[0] + 40, corner[1] + 40)
        assert box.name == data.photo_info(name).label_name
        cell = whole[box.y0 : box.y1, box.x0 : box.x1]
        np.testing.assert_array_equal(cell, np.asarray(data.square(data.load_photo(name), 40)))


def test_mosaics_have_four_classes_each_and_more_of_them_begin_alike():
    many = datasets.mosaics(30, seed=1)
    assert all(len({box.name for box in example.boxes}) == 4 for example in many)
    assert datasets.mosaics(5, seed=1).ids == many.ids[:5]
    assert datasets.mosaics(5, seed=2).ids != many.ids[:5]
    assert len(set(many.ids)) == 30


@pytest.mark.parametrize(("count", "columns"), [(0, 2), (3, 0), (3, 9)])
def test_impossible_mosaics_are_refused(count, columns):
    with pytest.raises(ValueError, match=rf"count={count}, columns={columns}: expected at least one mosaic"):
        datasets.mosaics(count, columns)


# -- a data set is a list


def test_a_sample_is_drawn_by_lot_keeps_the_order_and_can_be_extended():
    whole = datasets.photos()
    some, more = whole.sample(5, seed=3), whole.sample(9, seed=3)
    assert len(some) == 5
    assert set(some.ids) < set(more.ids)
    assert [name for name in whole.ids if name in some.ids] == list(some.ids)
    assert whole.sample(5, seed=4).ids != some.ids
    assert whole.sample(None) is whole
    assert whole.sample(1000).ids == whole.ids
    assert (some.name, some[0].id) == (whole.name, some.ids[0])


def test_a_slice_is_a_data_set_and_an_index_an_example():
    whole = datasets.photos()
    assert whole[2:4].ids == whole.ids[2:4]
    assert whole[-1].id == whole.ids[-1]
    assert [example.id for example in whole[:2]] == list(whole.ids[:2])
    with pytest.raises(IndexError):
        whole[len(whole)]


def test_a_sample_of_no_picture_is_refused():
    with pytest.raises(ValueError, match="count=0: expected at least one picture"):
        datasets.photos().sample(0)


# -- VOC


def test_voc_boxes_become_half_open_and_parts_are_no_objects(devkit):
    found = datasets.voc(devkit)
    assert (found.name, found.ids) == ("VOC2007 test", ("000001.jpg", "000002.jpg", "000007.jpg"))
    assert found[0].boxes == (LabeledBox(0, 0, 12, 8, "dog"), LabeledBox(2, 1, 5, 4, "person"))
    assert found[1].boxes == (LabeledBox(1.5, 0, 7.25, 8, "tvmonitor"),)
    assert found[2].boxes == ()
    assert {(example.picture.size, example.label) for example in found} == {((12, 8), None)}


@pytest.mark.parametrize("below", [".", "VOCdevkit", "VOCdevkit/VOC2007"])
def test_voc_is_found_from_any_of_its_folders(devkit, below):
    assert len(datasets.voc(devkit / below, year="2007")) == 3


def test_other_lists_of_voc_are_read_too(devkit):
    assert datasets.voc(devkit, split="train").ids == ("000002.jpg",)
    assert datasets.voc(devkit, split="mine").ids == ("000007.jpg", "000001.jpg")


def test_a_list_or_year_that_is_not_there_is_named_with_those_that_are(devkit):
    with pytest.raises(ValueError, match=r"No list 'val' of VOC 2007 .* Lists found: mine, test, train\."):
        datasets.voc(devkit, split="val")
    with pytest.raises(ValueError, match=r"VOCdevkit/VOC2012/ImageSets/Main/test.txt there. Lists found: none"):
        datasets.voc(devkit, year=2012)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation><object>", r"000001.xml cannot be read as XML: "),
        ("<annotation><object><name>dog</name></object></annotation>", r"object 1 has the corners \['', '', '', ''\]"),
        (
            "<annotation><object><bndbox><xmin>a</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object>"
            "</annotation>",
            r"000001.xml: object 1 has the corners \['a', '1', '2', '2'\]; expected finite numbers in bndbox/xmin",
        ),
    ],
)
def test_a_broken_annotation_is_met_when_it_is_read_and_named(devkit, text, message):
    (devkit / "VOCdevkit/VOC2007/Annotations/000001.xml").write_text(text)
    example = datasets.voc(devkit)[0]
    assert example.picture.size == (12, 8)
    with pytest.raises(ValueError, match=message):
        _ = example.boxes


def test_a_missing_annotation_file_is_named():
    with pytest.raises(ValueError, match=r"nowhere.xml cannot be read as XML: No such file"):
        datasets.read_voc_xml("nowhere.xml")


def test_a_broken_picture_is_met_when_it_is_opened(devkit):
    (devkit / "VOCdevkit/VOC2007/JPEGImages/000002.jpg").write_bytes(b"\xff\xd8 no more")
    (devkit / "VOCdevkit/VOC2007/JPEGImages/000007.jpg").unlink()
    _, broken, missing = datasets.voc(devkit)
    assert len(broken.boxes) == 1
    for example, message in ((broken, "cannot be read as a picture"), (missing, "No picture at")):
        with pytest.raises(ValueError, match=message):
            _ = example.picture


def test_the_version_changes_with_the_picture_the_annotation_and_the_label(devkit):
    base = devkit / "VOCdevkit" / "VOC2007"

    def versions():
        return [example.version for example in datasets.voc(devkit)]

    before = versions()
    assert versions() == before
    assert len(set(before[:2])) == 2
    xml(base / "Annotations" / "000001.xml", ("dog", 1, 1, 12, 7), ("person", 3, 2, 5, 4, (3, 2, 4, 3)))
    save(base / "JPEGImages" / "000002.jpg", 60, 40)
    after = versions()
    assert [a != b for a, b in zip(before, after, strict=True)] == [True, True, False]


# -- ImageNet


def imagenet_pictures(base: Path) -> Path:
    save(base / TABBY / "ILSVRC2012_val_00000002.JPEG")
    save(base / TENCH / "ILSVRC2012_val_00000001.JPEG", mode="L", color=77)
    save(base / TOILET_TISSUE / "ILSVRC2012_val_00000003.JPEG")
    return base


@pytest.mark.parametrize("below", ["", "val", "Data/CLS-LOC/val", "ILSVRC/Data/CLS-LOC/val"])
def test_imagenet_labels_are_ranks_of_wnids_in_every_layout(tmp_path, below):
    imagenet_pictures(tmp_path / below)
    found = datasets.imagenet(tmp_path)
    assert [example.label for example in found] == [0, 281, 999]
    assert found.ids[0] == f"{TENCH}/ILSVRC2012_val_00000001.JPEG"
    assert {(example.picture.mode, example.boxes) for example in found} == {("RGB", ())}


def test_imagenet_that_torchvision_prepared_goes_through_torchvision(tmp_path):
    imagenet_pictures(tmp_path / "train")
    names = {wnid: (wnid,) for wnid in (TENCH, TABBY, TOILET_TISSUE)}
    torch.save((names, []), tmp_path / "meta.bin")
    found = datasets.imagenet(tmp_path, split="train")
    assert (found.name, [example.label for example in found]) == ("ImageNet train", [0, 281, 999])


def test_imagenet_boxes_are_taken_as_they_stand(tmp_path):
    imagenet_pictures(tmp_path / "ILSVRC/Data/CLS-LOC/val")
    xml(tmp_path / "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000002.xml", (TABBY, 0, 1, 12, 8))
    expected = [(), (LabeledBox(0, 1, 12, 8, TABBY),), ()]
    assert [example.boxes for example in datasets.imagenet(tmp_path)] == expected
    xml(tmp_path / "elsewhere" / "ILSVRC2012_val_00000001.xml", (TENCH, 2, 2, 4, 4), (TENCH, 5, 5, 6, 6))
    found = datasets.imagenet(tmp_path, boxes=tmp_path / "elsewhere")
    assert [len(example.boxes) for example in found] == [2, 0, 0]


@pytest.mark.parametrize(
    "text",
    [
        f"{TOILET_TISSUE}\n{TENCH}\n{TABBY}\n",
        f"b.JPEG {TENCH}\nc.JPEG {TABBY}\na.JPEG {TOILET_TISSUE}\n",
        "c 281\na.JPEG 999\nb.JPEG 0\n",
        f"ImageId,PredictionString\nb,{TENCH} 1 2 3 4 \nc,{TABBY} 1 2 3 4 {TABBY} 5 6 7 8 \na,{TOILET_TISSUE} 1 2 3 4",
    ],
    ids=["one a line", "names and wnids", "names and indices", "Kaggle"],
)
def test_labels_of_pictures_side_by_side_come_from_any_of_the_known_files(tmp_path, text):
    for name in "cab":
        save(tmp_path / "val" / f"{name}.JPEG")
    (tmp_path / "labels.txt").write_text(text)
    found = datasets.imagenet(tmp_path, synsets=tmp_path / "labels.txt")
    assert {example.id: example.label for example in found} == {"a.JPEG": 999, "b.JPEG": 0, "c.JPEG": 281}
    assert [example.label for example in datasets.imagenet(tmp_path)] == [None] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{TENCH}\n", r"labels.txt has 1 lines for 2 pictures; expected one wnid a line"),
        (f"a.JPEG {TENCH}\n", r"no label for 1 pictures, the first is b.JPEG"),
        ("a.JPEG n99999999\nb.JPEG 1\n", r"'n99999999' is neither a wnid of ImageNet nor a class index below 1000"),
        ("a.JPEG 1000\nb.JPEG 1\n", r"'1000' is neither"),
        ("", r"no label for 2 pictures"),
    ],
)
def test_a_label_file_that_does_not_fit_is_explained(tmp_path, text, message):
    for name in "ab":
        save(tmp_path / f"{name}.JPEG")
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        datasets.imagenet(tmp_path, synsets=tmp_path / "labels.txt")


def test_folders_and_files_that_are_not_there_are_explained(tmp_path):
    with pytest.raises(ValueError, match=r"No folder at .*nowhere"):
        datasets.imagenet(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"No picture below .*: expected files that end in .bmp"):
        datasets.folder(tmp_path)
    save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"No label file at"):
        datasets.imagenet(tmp_path, synsets=tmp_path / "labels.txt")
    with pytest.raises(ValueError, match=r"No folder at .*boxes"):
        datasets.folder(tmp_path, boxes=tmp_path / "boxes")


# -- any folder


def test_a_folder_is_read_with_its_subfolders_and_nothing_else(tmp_path):
    save(tmp_path / "pets" / "b.PNG")
    save(tmp_path / "pets" / TABBY / "a.jpeg")
    (tmp_path / "pets" / "notes.txt").write_text("no picture")
    found = datasets.folder(tmp_path / "pets")
    assert (found.name, found.ids) == ("folder pets", ("b.PNG", f"{TABBY}/a.jpeg"))
    assert [(example.label, example.boxes) for example in found] == [(None, ()), (281, ())]


def test_xml_of_a_folder_is_found_by_path_before_name(tmp_path):
    for name in ("one/a.png", "two/a.png", "b.png"):
        save(tmp_path / "pictures" / name)
    xml(tmp_path / "boxes" / "two" / "a.xml", ("cat", 1, 1, 2, 2))
    xml(tmp_path / "boxes" / "b.xml", ("dog", 1, 1, 3, 3))
    xml(tmp_path / "boxes" / "a.xml", ("cow", 1, 1, 4, 4))
    found = datasets.folder(tmp_path / "pictures", tmp_path / "boxes")
    names = {example.id: [box.name for box in example.boxes] for example in found}
    assert names == {"b.png": ["dog"], "one/a.png": ["cow"], "two/a.png": ["cat"]}


COCO = {
    "images": [{"id": 7, "file_name": "a.png"}, {"id": 9, "file_name": "sub/gone.png"}],
    "categories": [{"id": 1, "name": "person"}, {"id": 17, "name": "cat"}],
    "annotations": [
        {"image_id": 7, "category_id": 17, "bbox": [1.5, 2, 3, 4.5]},
        {"image_id": 7, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        {"image_id": 7, "category_id": 1, "bbox": [0, 0, 12, 8], "iscrowd": 0},
    ],
}


def test_coco_boxes_are_corner_and_size_and_crowds_are_left_out(tmp_path):
    save(tmp_path / "pictures" / "a.png")
    save(tmp_path / "pictures" / "b.png")
    (tmp_path / "instances.json").write_text(json.dumps(COCO))
    a, b, gone = datasets.folder(tmp_path / "pictures", tmp_path / "instances.json")
    assert a.boxes == (LabeledBox(1.5, 2, 4.5, 6.5, "cat"), LabeledBox(0, 0, 12, 8, "person"))
    assert (b.boxes, gone.boxes, gone.id) == ((), (), "sub/gone.png")
    with pytest.raises(ValueError, match="No picture at"):
        _ = gone.picture


def test_all_entries_of_one_coco_name_lend_it_their_boxes(tmp_path):
    save(tmp_path / "a.png")
    twice = {"images": [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "./a.png"}]}
    boxes = [{"image_id": i, "category_id": 17, "bbox": [i, 0, 1, 1]} for i in (7, 8)]
    (tmp_path / "instances.json").write_text(json.dumps(COCO | twice | {"annotations": boxes}))
    (a,) = datasets.folder(tmp_path, tmp_path / "instances.json")
    assert a.boxes == (LabeledBox(7, 0, 8, 1, "cat"), LabeledBox(8, 0, 9, 1, "cat"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": None}, r"instances.json is not in COCO's format \(TypeError"),
        ({"annotations": [{"image_id": 8, "category_id": 1, "bbox": [0, 0, 1, 1]}]}, r"\(KeyError: 8\); expected imag"),
        *(
            ({"annotations": [{"id": 5, "image_id": 7, "category_id": 1, "bbox": box}]}, r"\(annotation 5 has the box")
            for box in (
                [0, 0, 1],
                [0, 0, math.inf, 1],
                [math.nan, 0, 1, 1],
                [9, 9, -3, 4],
                "abcd",
                ["0", "0", "1", "1"],
            )
        ),
        (
            {"images": [*COCO["images"], {"id": 7, "file_name": "b.png"}]},
            r"\(id 7 stands for 'a.png' and for 'b.png'\)",
        ),
        ({"images": [{"id": 7, "file_name": "/etc/a.png"}]}, r"'/etc/a.png' leaves the folder"),
        ({"images": [{"id": 7, "file_name": "../a.png"}]}, r"'../a.png' leaves the folder"),
        ({"images": [[7, "a.png"]]}, r"\(TypeError"),
    ],
)
def test_a_json_file_that_is_not_coco_is_refused(tmp_path, change, message):
    save(tmp_path / "a.png")
    (tmp_path / "instances.json").write_text(json.dumps(COCO | change))
    with pytest.raises(ValueError, match=message):
        datasets.folder(tmp_path, tmp_path / "instances.json")


@pytest.mark.parametrize("text", ["{", None])
def test_a_json_file_that_cannot_be_read_is_named(tmp_path, text):
    save(tmp_path / "a.png")
    if text is not None:
        (tmp_path / "instances.json").write_text(text)
    with pytest.raises(ValueError, match=r"^instances.json cannot be read as JSON: "):
        datasets.folder(tmp_path, tmp_path / "instances.json")


# -- classes


def test_the_table_of_voc_classes_names_imagenet_classes_as_torchvision_does():
    rows = [line.split(",") for line in (paths.ROOT / "camlib/data/voc_imagenet.csv").read_text().splitlines()[1:]]
    assert {row[0] for row in rows} == {
        *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
        *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
    }
    for _, _, first, last, first_name, last_name in rows:
        assert (CATEGORIES[int(first)], CATEGORIES[int(last)]) == (first_name, last_name)
        assert int(first) <= int(last)
    counted = Counter(index for row in rows for index in range(int(row[2]), int(row[3]) + 1))
    assert set(counted.values()) == {1}


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("dog", ["Chihuahua", "Mexican hairless", "pug"], ["timber wolf", "dingo", "African hunting dog"]),
        ("cat", ["tabby", "Egyptian cat"], ["cougar", "lynx", "lion"]),
        ("bird", ["cock", "great grey owl", "black swan", "king penguin"], ["stingray", "tusker", "grey whale"]),
        ("car", ["sports car", "minivan"], ["ambulance", "police van", "go-kart", "moving van", "fire engine"]),
        ("tv", ["television"], ["laptop"]),
        ("motorcycle", ["moped"], ["mountain bike"]),
    ],
)
def test_a_voc_or_coco_name_stands_for_such_things_and_no_others(name, inside, outside):
    found = {CATEGORIES[index] for index in classes_of(name, IMAGENET)}
    assert set(inside) <= found
    assert not found & set(outside)


def test_wnids_and_class_names_stand_for_their_class():
    assert classes_of(TABBY, IMAGENET) == {281}
    assert classes_of("Tiger_Cat", IMAGENET) == {282}
    assert classes_of("crane", IMAGENET) == {517}
    assert classes_of("no such thing", IMAGENET) == classes_of("n00000000", IMAGENET) == frozenset()


def test_a_network_with_other_classes_knows_its_own_names_only():
    net = helpers.network(helpers.seeded(helpers.Gap))
    assert classes_of("school bus", net) == {3}
    assert classes_of("dog", net) == classes_of(TABBY, net) == frozenset()
    nameless = helpers.network(helpers.seeded(helpers.Gap), class_names=None)
    assert classes_of("dog", nameless) == frozenset()


# -- boxes on the input


def test_resizing_both_sides_scales_columns_and_rows_apart():
    assert boxes_on_input([(10, 20, 60, 100)], (100, 200), Preprocess((50, 200))) == ((20, 5, 120, 25),)


def test_center_crop_shifts_and_clips():
    """100 x 200 -> shorter side 50: 50 x 100 -> the central 40: 5 columns and 30 rows are cut off before."""
    crop = transforms.Compose([transforms.Resize(50), transforms.CenterCrop(40), transforms.ToTensor()])
    boxes = [(20, 80, 60, 120, "inside"), (0, 0, 100, 200, "all"), (0, 0, 100, 50, "cut off above")]
    assert boxes_on_input(boxes, (100, 200), crop) == ((5, 10, 25, 30), (0, 0, 40, 40))


def test_a_box_keeps_one_pixel_and_an_empty_one_is_left_out():
    assert boxes_on_input([(100, 100, 101, 101), (5, 5, 5, 9), (300, 0, 400, 9)], (224, 224), Preprocess(7)) == (
        (3, 3, 4, 4),
    )


TRANSFORMS = {
    "Preprocess": Preprocess((48, 64)),
    "preset": ResNet18_Weights.IMAGENET1K_V1.transforms(crop_size=48, resize_size=56),
    "classic": transforms.Compose(
        [transforms.Resize(60), transforms.CenterCrop((40, 52)), transforms.ToTensor(), transforms.Normalize(0.5, 0.5)]
    ),
    "both sides": transforms.Compose([transforms.Resize((33, 57)), transforms.ToTensor()]),
    "padded": transforms.Compose([transforms.Resize(30), transforms.CenterCrop(41), transforms.ToTensor()]),
    "second version": v2.Compose(
        [v2.Resize(size=[50]), v2.CenterCrop(45), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    ),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@given(place=st.tuples(*[st.integers(0, 60)] * 2), size=st.tuples(*[st.integers(12, 60)] * 2), flip=st.booleans())
def test_boxes_follow_what_the_transform_does_to_painted_ones(name, place, size, flip):
    """Oracle: paint the box white on black, apply the transform itself, see what is bright; one pixel of rounding."""
    whole = (90, 130) if flip else (130, 90)
    x0, y0 = place
    x1, y1 = min(x0 + size[0], whole[0]), min(y0 + size[1], whole[1])
    painted = Image.new("RGB", whole)
    painted.paste("white", (x0, y0, x1, y1))
    transform = TRANSFORMS[name]
    apply = transform.picture if isinstance(transform, Preprocess) else transform
    made, black, white = (apply(p)[0] for p in (painted, Image.new("RGB", whole), Image.new("RGB", whole, "white")))
    bright = made - black > (white - black) / 2
    found = boxes_on_input([(x0, y0, x1, y1)], whole, transform)
    if not bright.any():
        assert all(min(b[2] - b[0], b[3] - b[1]) <= 1 for b in found)
        return
    rows, columns = (torch.nonzero(bright.any(dim=d)).flatten() for d in (1, 0))
    expected = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    assert len(found) == 1
    assert max(abs(a - b) for a, b in zip(found[0], expected, strict=True)) <= 1


@pytest.mark.parametrize(
    ("transform", "name"),
    [
        (transforms.Compose([transforms.RandomCrop(10), transforms.ToTensor()]), "RandomCrop"),
        (transforms.Resize(20, max_size=30), "Resize"),
        (lambda picture: picture, "function"),
    ],
)
def test_a_transform_that_boxes_cannot_follow_is_named(transform, name):
    with pytest.raises(ValueError, match=rf"Boxes cannot be followed through the transform {name}; expected a camlib"):
        boxes_on_input([(0, 0, 1, 1)], (40, 40), transform)


# -- the real ones, where they are


def shared(name: str) -> Path:
    if not (SHARED / name).is_dir():
        pytest.skip(f"{name} is not here; CAMLIB_SHARED_DATA says where")
    return SHARED / name


def test_the_voc_photographs_are_read_with_all_their_boxes():
    found = datasets.voc(shared("voc-mini"))
    assert len(found) == 84
    assert sum(len(example.boxes) for example in found) == 228
    dog, person = found[0].boxes
    assert (found[0].picture.size, dog, person) == (
        (353, 500),
        LabeledBox(47, 239, 195, 371, "dog"),
        LabeledBox(7, 11, 352, 498, "person"),
    )
    for example in found:
        width, height = example.picture.size
        assert all(0 <= b.x0 < b.x1 <= width and 0 <= b.y0 < b.y1 <= height for b in example.boxes)
    assert len(datasets.voc(shared("voc-mini"), split="official_test")) == 31


def test_every_tenth_class_of_imagenet_is_read_with_its_own_index():
    found = datasets.imagenet(shared("imagenet-mini"))
    assert sorted(example.label for example in found) == list(range(0, 1000, 10))
    assert {example.picture.mode for example in found[:3]} == {"RGB"}


def test_a_trained_network_finds_the_classes_that_the_boxes_stand_for():
    net = load_network("efficientnet-lite0")
    found = datasets.voc(shared("voc-mini"))
    top = int(net.logits(net.prepare(found[0].picture)[1][None]).argmax())
    assert top in classes_of("dog", net)
    assert top not in classes_of("person", net)


def test_another_picture_of_the_same_size_in_bytes_is_another_version(tmp_path):
    for value in (10, 20):
        Image.new("RGB", (4, 4), (value, value, value)).save(tmp_path / "a.bmp")
        size = (tmp_path / "a.bmp").stat().st_size
        if value == 10:
            before, bytes_before = datasets.folder(tmp_path)[0].version, size
    assert size == bytes_before
    assert datasets.folder(tmp_path)[0].version != before
