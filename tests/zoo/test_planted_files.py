"""Nothing but weights is read from a file of weights: a planted program is not run, wherever it lies."""

from __future__ import annotations

import hashlib
import io
import pickle
import random
import zipfile
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from torchvision.models import get_model

from camlib import checkpoints, load_network
from camlib.zoo import fetching, trained
from camlib.zoo.pretrained import WeightsUnavailable

SQUEEZENET = "squeezenet1_1-b8a52dc0.pth"  # torchvision's file name
LCNET = "models--timm--lcnet_050.ra2_in1k"


class Program:
    """A pickle of it writes a file when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """Empty folders where torch and the Hugging Face Hub look for weights, and no way to download."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("CAMLIB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path


def state() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        return get_model("squeezenet1_1").state_dict()


def bare_pickle(content: object) -> bytes:
    return pickle.dumps(content)


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def saved_of_old(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def zipped(content: object) -> bytes:
    """torch.hub unpacks a zip file with one file inside and loads that."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(SQUEEZENET, saved_of_old(content))
    return buffer.getvalue()


FORMS = {"a pickle": bare_pickle, "torch.save": saved, "torch.save of old": saved_of_old, "a zip file": zipped}


@pytest.mark.parametrize("pack", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("beside", [True, False])
def test_a_program_in_a_torchvision_file_does_not_run(home, pack, beside):
    mark = home / "ran"
    content = {**state(), "extra": Program(mark)} if beside else Program(mark)
    file = home / "hub" / "checkpoints" / SQUEEZENET
    file.write_bytes(pack(content))
    with pytest.raises(WeightsUnavailable, match=r"cannot be used as the weights of .*Delete it"):
        load_network("squeezenet1_1")
    assert not mark.exists()


def test_the_digest_is_compared_before_the_file_is_opened(home, monkeypatch):
    """A file that pretends to be torchvision's is known to be another one even if nothing of it can be read."""
    file = home / "hub" / "checkpoints" / SQUEEZENET
    file.write_bytes(saved(Program(home / "ran")))
    order = []
    monkeypatch.setattr(checkpoints, "admit", lambda name, path: order.append(("compared", Path(path).name)))
    monkeypatch.setattr(fetching, "refuse_programs", lambda path: order.append(("read", Path(path).name)))
    with pytest.raises(WeightsUnavailable):
        load_network("squeezenet1_1")
    assert order == [("compared", SQUEEZENET), ("read", SQUEEZENET)]


def cached(home: Path, name: str, content: bytes) -> None:
    repository = Path(huggingface_hub.constants.HF_HUB_CACHE, LCNET)
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (repository / "snapshots" / ("0" * 40) / name).write_bytes(content)


@pytest.mark.parametrize("pack", [bare_pickle, saved, saved_of_old])
def test_a_program_in_the_cache_of_the_hub_does_not_run(home, pack, monkeypatch):
    monkeypatch.setattr(timm.models._hub, "hf_hub_download", lambda *_, **__: pytest.fail("went to the network"))
    mark = home / "ran"
    cached(home, "pytorch_model.bin", pack({**timm.create_model("lcnet_050").state_dict(), "extra": Program(mark)}))
    with pytest.raises(WeightsUnavailable, match="cannot be used as the weights"):
        load_network("lcnet_050")
    assert not mark.exists()


def test_weights_in_the_cache_of_the_hub_are_read(home, monkeypatch):
    monkeypatch.setattr(timm.models._hub, "hf_hub_download", lambda *_, **__: pytest.fail("went to the network"))
    wanted = timm.create_model("lcnet_050").state_dict()
    cached(home, "pytorch_model.bin", saved(wanted))
    found = load_network("lcnet_050").module.state_dict()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_a_program_among_the_networks_that_are_trained_here_does_not_run(tmp_path):
    """Weights are safetensors, and the record has their digest; a pickle under that name is not the record's file."""
    mark, folder = tmp_path / "ran", tmp_path / "trained"
    folder.mkdir()
    record = trained.TRAINED / "scenes-gap.json"
    (folder / "scenes-gap.json").write_bytes(record.read_bytes())
    (folder / "scenes-gap.safetensors").write_bytes(saved({"w": Program(mark)}))
    with pytest.raises(ValueError, match="is not the file of its record"):
        trained.load_trained("scenes-gap", folder=folder)
    content = saved({"w": Program(mark)})
    digest = hashlib.sha256((trained.TRAINED / "scenes-gap.safetensors").read_bytes()).hexdigest()
    forged = record.read_text(encoding="utf-8").replace(digest, hashlib.sha256(content).hexdigest())
    (folder / "scenes-gap.json").write_text(forged, encoding="utf-8")
    with pytest.raises(Exception, match=r"(?i)header|safetensors|deserializ"):
        trained.load_trained("scenes-gap", folder=folder)
    assert not mark.exists()


@pytest.mark.parametrize("content", [[1, 2, 3], {"epoch": 3}, torch.zeros(3)])
def test_a_file_without_a_state_dict_is_refused(tmp_path, content):
    file = tmp_path / "weights.pth"
    file.write_bytes(saved(content))
    with pytest.raises(ValueError, match="and not a state_dict"):
        fetching.refuse_programs(file)


def test_weights_of_any_form_pass(tmp_path):
    for name, content in (("a.pth", saved(state())), ("b.pth", saved_of_old({"state_dict": state()}))):
        (tmp_path / name).write_bytes(content)
        fetching.refuse_programs(tmp_path / name)
    safetensors.torch.save_file({"w": torch.zeros(3)}, tmp_path / "c.safetensors")
    fetching.refuse_programs(tmp_path / "c.safetensors")


def test_missing_names_are_one_clear_error(home):
    fewer = state()
    fewer.pop("classifier.1.bias")
    (home / "hub" / "checkpoints" / SQUEEZENET).write_bytes(saved(fewer))
    with pytest.raises(WeightsUnavailable, match=r"cannot be used .*Error\(s\) in loading state_dict"):
        load_network("squeezenet1_1")


@pytest.mark.parametrize("name", ["efficientnet-lite0", "scenes-gap", "squeezenet1_1"])
def test_loading_leaves_the_callers_random_state(home, name):
    if name == "squeezenet1_1":
        (home / "hub" / "checkpoints" / SQUEEZENET).write_bytes(saved(state()))
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    load_network(name)
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])
    assert states[2] == random.getstate()
