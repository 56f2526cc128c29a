"""Weight files are what their names promise, or what is made with them says so."""

import hashlib
import itertools

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import random_checkpoints

from camlib import checkpoints, load_network, load_networks, load_photo, paths, photo_info
from camlib.compendium import ledger, manifest, report
from camlib.zoo.pretrained import WeightsUnavailable

SQUEEZENET = "squeezenet1_1-b8a52dc0.pth"  # torchvision's file name
FACTS = {"caption": "What is seen.", "data": "goose", "n": 1, "seed": 0}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A place for checkpoints, no way to download, and a process that has loaded none yet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("CAMLIB_OFFLINE", "1")
    return tmp_path / "torch"


def named(folder, content, digits=None):
    """A file whose name promises its own digest, or other digits."""
    digits = digits or hashlib.sha256(content).hexdigest()[:8]
    path = folder / f"network-{digits}.pth"
    path.write_bytes(content)
    return path


def test_a_file_is_what_its_name_promises_or_not(tmp_path):
    assert checkpoints.verified(named(tmp_path, b"weights")) is True
    assert checkpoints.verified(named(tmp_path, b"weights", "01234567")) is False
    plain = tmp_path / "model.pth"
    plain.write_bytes(b"weights")
    assert checkpoints.verified(plain) is None
    with pytest.raises(FileNotFoundError):
        checkpoints.verified(tmp_path / "gone-01234567.pth")


@pytest.mark.parametrize(
    ("name", "digits"),
    [
        ("vgg16-397923af.pth", "397923af"),
        ("mobilenet_v2-b0353104.pth", "b0353104"),
        ("vit_b_16-c867db91.pth", "c867db91"),
        ("resnet18.pth", None),
        ("model-best.safetensors", None),
    ],
)
def test_digits_are_read_off_the_name_as_torch_hub_does(name, digits):
    assert checkpoints.promised(name) == digits


def test_a_file_that_changes_is_read_again(tmp_path):
    path = named(tmp_path, b"weights")
    assert checkpoints.verified(path) is True
    path.write_bytes(b"others, longer")
    assert checkpoints.verified(path) is False


def test_random_weights_under_the_right_name_are_loaded_and_told_apart(home):
    random_checkpoints.write(home, ["squeezenet1_1"])
    assert checkpoints.not_comparable() is None
    net = load_network("squeezenet1_1")
    assert net.verified is False
    assert net.with_input_size(64).verified is False
    why = checkpoints.not_comparable()
    digest = hashlib.sha256((home / "hub" / "checkpoints" / SQUEEZENET).read_bytes()).hexdigest()
    assert f"squeezenet1_1: the SHA-256 of {SQUEEZENET} begins with {digest[:8]}" in why
    assert "random" in why


def test_installed_weights_are_verified_and_random_ones_are_not_judged(home):
    assert load_network("efficientnet-lite0").verified is True
    assert load_network("squeezenet1_1", None).verified is None
    assert checkpoints.not_comparable() is None


def test_items_claims_and_checks_carry_the_mark(home, own_repository):
    table = pd.DataFrame({"a": [1]})
    manifest.save(table, "sca-table-1", network="resnet18", **FACTS)
    assert "not_comparable" not in report.manifest()["sca-table-1"]
    random_checkpoints.write(home, ["squeezenet1_1"])
    net = load_network("squeezenet1_1")
    manifest.save(table, "sca-table-2", network=net.name, **FACTS)
    report.check("sca-eq-1", "sum = sum", 0, 1e-6, network=net.name, data="goose")
    facts = {"paper": "sca", "evidence": "by eye", "ours": 1.0, "interval": None, "notebook": "04_sca_cam"}
    said = ledger.enter("better", claim="It is better", verdict="holds", **facts)
    mark = f"**Not comparable:** {checkpoints.not_comparable()}."
    assert said == "It is better: holds, not comparable"
    assert f"{mark} <sub>" in report.caption_md("sca-table-2")
    assert mark in report.caption_md("sca-eq-1")
    assert "Not comparable" not in report.caption_md("sca-table-1")
    report.gallery()
    assert (paths.FIGURES / "README.md").read_text(encoding="utf-8").count(mark) == 2
    assert "**holds, not comparable**" in (paths.FIGURES / "claims.md").read_text(encoding="utf-8")


def test_what_is_made_without_a_network_has_no_mark(home, own_repository):
    random_checkpoints.write(home, ["squeezenet1_1"])
    load_network("squeezenet1_1")
    figure, _ = plt.subplots(figsize=(1, 1))
    manifest.save(figure, "history-fig-cam", network="none (numbers on the page)", **FACTS)
    plt.close(figure)
    assert "not_comparable" not in report.manifest()["history-fig-cam"]


def test_several_networks_are_loaded_without_those_that_are_missing(home, capsys):
    random_checkpoints.write(home, ["squeezenet1_1"])
    nets = load_networks(["squeezenet1_1", "resnet18", "efficientnet-lite0"])
    assert list(nets) == ["squeezenet1_1", "efficientnet-lite0"]
    assert capsys.readouterr().out == "left out: resnet18, its weights are not here\n"
    assert nets.get("resnet18") is None
    with pytest.raises(WeightsUnavailable, match=r"resnet18-f37072fd\.pth"):
        nets["resnet18"]
    with pytest.raises(KeyError, match="vgg16"):
        nets["vgg16"]


def test_weights_may_be_given_by_name(home):
    nets = load_networks(
        ["squeezenet1_1", "efficientnet-lite0"], {"squeezenet1_1": None, "efficientnet-lite0": "default"}
    )
    assert [net.name for net in nets.values()] == ["squeezenet1_1 (random weights, seed 0)", "efficientnet-lite0"]


def test_a_fitted_head_is_right_on_the_photographs(home):
    """What the trial of the papers' setting relies on: photographs that a network of random features calls right."""
    random_checkpoints.write(home, ["resnet18"], fit=(64, 96))
    net = load_network("resnet18")
    for size, name in itertools.product((64, 96), ("goose", "bald-eagle", "strawberry")):
        ((index, _, probability),) = net.with_input_size(size).predict(load_photo(name), top=1)
        assert index == photo_info(name).label
        assert probability > 0.9
    assert net.verified is False
