"""CIFAR-10: pictures in folders, in an archive and in torchvision's files are read alike; foolbox's are its own."""

import tarfile
from pathlib import Path

import foolbox.utils
import numpy as np
import pytest
from foolbox.types import Bounds
from PIL import Image

from camlib.data import cifar10


def test_the_sample_is_the_one_that_foolbox_hands_out():
    """Foolbox's own reader is the witness: same pictures, same labels, in its order."""
    images, labels = foolbox.utils._samples("cifar10", 0, 20, (32, 32), "channels_last", Bounds(0, 1))
    found = cifar10.sample()
    assert found.pictures.shape == (20, 32, 32, 3)
    assert found.labels.tolist() == labels.tolist()
    np.testing.assert_allclose(found.pictures / 255, images, atol=1e-6)


def write_pictures(root: Path, split: str, suffix: str = "png") -> dict[str, int]:
    """Three gray pictures, their level the class index; returns how many of each class."""
    counts = {"airplane": 1, "truck": 2}
    for name, count in counts.items():
        for number in range(count):
            file = root / split / name / f"{number:04}.{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (10 * cifar10.CLASSES.index(name),) * 3).save(file)
    return counts


def test_pictures_in_folders_and_in_an_archive_are_read_alike(tmp_path):
    write_pictures(tmp_path / "set", "train")
    write_pictures(tmp_path / "set", "test")
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "set", "set")
    for split in ("train", "test"):
        a, b = cifar10.read(tmp_path / "set", split), cifar10.read(tmp_path / "set.tar.gz", split)
        assert a.labels.tolist() == b.labels.tolist() == [0, 9, 9]
        assert np.array_equal(a.pictures, b.pictures)
        assert a.pictures[:, 0, 0, 0].tolist() == [0, 90, 90]


def test_torchvisions_files_are_read(tmp_path, monkeypatch):
    (tmp_path / "cifar-10-batches-py").mkdir()

    class Stub:
        base_folder = "cifar-10-batches-py"

        def __init__(self, root: Path, train: bool, download: bool) -> None:
            assert (root, download) == (tmp_path, False)
            self.data, self.targets = np.full((2, 32, 32, 3), 7, np.uint8), [3, int(train)]

    monkeypatch.setattr(cifar10, "CIFAR10", Stub)
    assert cifar10.read(tmp_path, "train").labels.tolist() == [3, 1]
    assert cifar10.read(tmp_path, "test").labels.tolist() == [3, 0]


def test_wrong_places_splits_and_sizes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="split 'val': expected 'train' or 'test'"):
        cifar10.read(tmp_path, "val")
    with pytest.raises(FileNotFoundError, match=r"No CIFAR-10 in .*cifar-10-batches-py"):
        cifar10.read(tmp_path, "train")
    (tmp_path / "train" / "cat").mkdir(parents=True)
    Image.new("RGB", (28, 30)).save(tmp_path / "train" / "cat" / "0.png")
    with pytest.raises(ValueError, match=r"0\.png: a picture of CIFAR-10 is 32x32; this one is 28x30"):
        cifar10.read(tmp_path, "train")
