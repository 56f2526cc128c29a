"""``load_network``: the weights that are installed, those that have to be fetched, and random ones."""

import hashlib
import io
import random
import re
from collections import Counter
from email.message import Message
from pathlib import Path
from urllib.error import URLError

import huggingface_hub
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from architectures import ready, undrawn
from huggingface_hub.errors import LocalEntryNotFoundError
from torch import nn
from torchvision.models import get_model, list_models

from camlib import Network, Trace, list_networks, list_photos, load_network, load_photo, photo_info
from camlib.data.classes import imagenet_classes
from camlib.data.manifest import weight_file
from camlib.zoo.pretrained import WeightsUnavailable

LITE = {"efficientnet-lite0": 224, "efficientnet-lite1": 240, "efficientnet-lite2": 260}
SQUEEZENET = "squeezenet1_1-b8a52dc0.pth"  # torchvision's file name


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads on such small pictures cost up to ten times as much as soon as another process holds a core."""
    torch.set_num_threads(1)  # until conftest sets up the next test


def digests(state: dict[str, torch.Tensor]) -> Counter:
    return Counter(
        (tuple(t.shape), hashlib.sha256(t.contiguous().numpy().tobytes()).hexdigest()) for t in state.values()
    )


def states_equal(first: nn.Module, second: nn.Module) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def random_module(build, seed: int = 3) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().eval()


@pytest.fixture
def checkpoints(tmp_path, monkeypatch) -> Path:
    """Empty folders where torch and the Hugging Face Hub look for weights, and no way to download."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("CAMLIB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


# -- EfficientNet-Lite ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LITE)
def test_lite_uses_every_tensor_of_its_package(name):
    raw = torch.load(weight_file(name), weights_only=True)
    state = load_network(name).module.state_dict()
    assert digests(state) == digests(raw)
    assert torch.equal(state["conv_stem.weight"], raw["_conv_stem.weight"])
    assert torch.equal(state["bn1.running_var"], raw["_bn0.running_var"])
    assert torch.equal(state["classifier.weight"], raw["_fc.weight"])
    assert torch.equal(state["blocks.1.0.conv_pw.weight"], raw["_blocks.1._expand_conv.weight"])


@pytest.mark.parametrize(("name", "size"), LITE.items())
def test_lite_is_right_on_the_photographs(name, size, capsys, record_property):
    network = load_network(name)
    assert network.input_size == (size, size)
    assert network.preprocess.mean == (0.498,) * 3
    assert network.preprocess.std == (0.502,) * 3
    assert network.preprocess.interpolation == "bicubic"
    photos = list_photos("imagenet")
    right = [photo for photo in photos if top_class(network, photo) == photo_info(photo).label]
    wrong = ", ".join(sorted(set(photos) - set(right)))
    line = f"{name}: top-1 right on {len(right)} of {len(photos)} photographs (wrong: {wrong})"
    record_property("count", line)
    with capsys.disabled():
        print(f"\n{line}")
    assert len(photos) == 20
    assert len(right) >= 17


def top_class(network: Network, photo: str) -> int:
    ((index, name, probability),) = network.predict(load_photo(photo), top=1)
    assert name == imagenet_classes()[index]
    assert 0 < probability <= 1
    return index


def test_lite_refuses_weights_that_do_not_fit(monkeypatch, tmp_path):
    raw = torch.load(weight_file("efficientnet-lite0"), weights_only=True)
    raw["_conv_stem.weight"] = raw["_conv_stem.weight"][:, :2]
    torch.save(raw, tmp_path / "cut.pth")
    monkeypatch.setattr("camlib.zoo.pretrained.weight_file", lambda name: tmp_path / "cut.pth")
    with pytest.raises(ValueError, match=r"_conv_stem\.weight \[32, 2, 3, 3\] does not fit conv_stem\.weight"):
        load_network("efficientnet-lite0")


# -- names ---------------------------------------------------------------------------------------------------------


def test_every_torchvision_classifier_loads_by_name():
    names = list_models(module=torchvision.models)
    sizes = {}
    with undrawn():
        for name in names:
            network = load_network(name, weights=None)
            assert type(network.module).__module__.startswith("torchvision.models"), name
            assert not any(child.training for child in network.module.modules()), name
            assert network.class_names == list(imagenet_classes()), name
            sizes[name] = network.input_size
    assert len(sizes) >= 80
    assert sizes["resnet18"] == (224, 224)
    assert sizes["inception_v3"] == (299, 299)
    assert sizes["efficientnet_b7"] == (600, 600)
    # A ViT takes one size only: random weights are built for 224, whatever its published weights were trained on.
    assert {size for name, size in sizes.items() if name.startswith("vit")} == {(224, 224)}


def test_a_name_of_both_packages_is_torchvisions_and_the_prefix_says_timm():
    assert isinstance(load_network("resnet18", None).module, torchvision.models.ResNet)
    assert isinstance(load_network("timm/resnet18", None).module, timm.models.ResNet)
    assert isinstance(load_network("resnet26d", None).module, timm.models.ResNet)


def test_timm_settings_become_the_preprocessing():
    network = load_network("mobilevit_xxs", None)
    config = timm.get_pretrained_cfg("mobilevit_xxs")
    assert network.input_size == config.input_size[1:] == (256, 256)
    assert network.preprocess.mean == (0.0, 0.0, 0.0)
    assert network.preprocess.std == (1.0, 1.0, 1.0)
    assert network.preprocess.interpolation == "bicubic"
    assert network.class_names == list(imagenet_classes())


def test_timm_networks_of_other_classes_have_no_class_names():
    with undrawn():
        network = load_network("timm/resnetv2_50x1_bit.goog_in21k", None)
    assert network.class_names is None
    assert network.class_name(21_000) == "class 21000"


def test_list_networks_names_everything_once():
    names = list_networks()
    assert names[:3] == list(LITE)
    assert set(list_models(module=torchvision.models)) <= set(names)
    assert "convnext_atto" in names
    assert len(names) == len(set(names))


def test_class_names_are_those_of_imagenet():
    names = imagenet_classes()
    assert len(names) == 1000
    assert (names[0], names[207], names[281], names[999]) == (
        "tench",
        "golden retriever",
        "tabby",
        "toilet tissue",
    )


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet81", "resnet18"),
        ("efficientnet-lite3", "efficientnet-lite2"),
        ("VGG16", None),
        ("timm/convnext_ato", "convnext_atto"),
        ("timm/resnet18.nonsense", "resnet18"),
        ("", None),
    ],
)
def test_unknown_name_lists_the_nearest(name, near):
    with pytest.raises(ValueError, match=rf"No network is called {re.escape(repr(name))}\. Nearest: ") as caught:
        load_network(name)
    assert near is None or near in str(caught.value)
    assert "list_networks()" in str(caught.value)


def test_a_module_instead_of_a_name():
    with pytest.raises(TypeError, match=r"given Linear\. Wrap modules: Network\(module\)"):
        load_network(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("resnet50", ["'default'", "None", "'IMAGENET1K_V1'", "'IMAGENET1K_V2'"]),
        ("timm/resnet18", ["'default'", "None", "'a1_in1k'", "'tv_in1k'"]),
        ("efficientnet-lite0", ["'default'", "None"]),
    ],
)
def test_unknown_weights_list_the_known_ones(name, known):
    with pytest.raises(ValueError, match=r"has no weights 'IMAGENET1K_V9'\. Choose one of ") as caught:
        load_network(name, "IMAGENET1K_V9")
    assert set(known) <= set(str(caught.value).partition("one of ")[2].rstrip(".").split(", "))


def test_timm_without_pretrained_weights_says_so(checkpoints):
    with pytest.raises(ValueError, match=r"timm has no pretrained weights of botnet50ts_256\. Use weights=None"):
        load_network("botnet50ts_256")


# -- weights that have to be fetched -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "file", "call"),
    [
        (("resnet18",), "resnet18-f37072fd.pth", "load_network('resnet18')"),
        (
            ("resnet50", "IMAGENET1K_V2"),
            "resnet50-11ad3fa6.pth",
            "load_network('resnet50', weights='IMAGENET1K_V2')",
        ),
    ],
)
def test_missing_torchvision_weights_name_file_folder_and_commands(checkpoints, arguments, file, call):
    with pytest.raises(WeightsUnavailable) as caught:
        load_network(*arguments)
    message = str(caught.value)
    for part in (repr(file), str(checkpoints), "is switched off (CAMLIB_OFFLINE", "TORCH_HOME", f"camlib.{call}"):
        assert part in message
    assert f"camlib.load_network({arguments[0]!r}, weights=None)" in message
    assert "'efficientnet-lite0'" in message


def test_missing_timm_weights_name_file_folder_and_commands(checkpoints, monkeypatch):
    monkeypatch.setattr(timm.models._hub, "hf_hub_download", lambda *_, **__: pytest.fail("went to the network"))
    with pytest.raises(WeightsUnavailable) as caught:
        load_network("timm/resnet18")
    folder = Path(huggingface_hub.constants.HF_HUB_CACHE, "models--timm--resnet18.a1_in1k")
    for part in (
        "'model.safetensors'",
        str(folder),
        "is switched off",
        "HF_HOME",
        "camlib.load_network('timm/resnet18') fetches",
        "camlib.load_network('timm/resnet18', weights=None)",
    ):
        assert part in str(caught.value)


def test_a_download_that_fails_is_one_clear_error(checkpoints, failing_download):
    with pytest.raises(WeightsUnavailable, match=r"failed \(URLError: <urlopen error name resolution>\)") as caught:
        load_network("squeezenet1_1")
    assert isinstance(caught.value.__cause__, URLError)
    assert SQUEEZENET in str(caught.value)
    assert str(checkpoints) in str(caught.value)


def test_a_timm_download_that_fails_is_one_clear_error(checkpoints, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.delenv("CAMLIB_OFFLINE")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(timm.models._hub, "hf_hub_download", fail)
    with pytest.raises(WeightsUnavailable, match=r"failed \(LocalEntryNotFoundError: no connection\)"):
        load_network("timm/resnet18")


def test_a_checkpoint_on_disk_is_loaded_without_the_network(checkpoints):
    module = random_module(lambda: get_model("squeezenet1_1"))
    torch.save(module.state_dict(), checkpoints / SQUEEZENET)
    network = load_network("squeezenet1_1")
    assert states_equal(network.module, module)
    assert not any(child.training for child in network.module.modules())
    assert network.name == "squeezenet1_1"
    inputs = ready(1, 64)
    assert torch.equal(network.logits(inputs), module(inputs).detach())


def test_a_timm_checkpoint_on_disk_is_loaded_without_the_network(checkpoints, monkeypatch):
    monkeypatch.setattr(timm.models._hub, "hf_hub_download", lambda *_, **__: pytest.fail("went to the network"))
    module = random_module(lambda: timm.create_model("lcnet_050"))
    repository = Path(huggingface_hub.constants.HF_HUB_CACHE, "models--timm--lcnet_050.ra2_in1k")
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    safetensors.torch.save_file(module.state_dict(), repository / "snapshots" / ("0" * 40) / "model.safetensors")
    for arguments in (("lcnet_050",), ("timm/lcnet_050", "ra2_in1k"), ("timm/lcnet_050.ra2_in1k",)):
        assert states_equal(load_network(*arguments).module, module)


def test_a_downloaded_file_is_compared_with_the_hash_in_its_name(checkpoints, monkeypatch):
    """torch.hub verifies what it downloads; a file that somebody put there is taken as it is (the tests above)."""

    class Answer(io.BytesIO):
        def info(self) -> Message:
            return Message()

    monkeypatch.delenv("CAMLIB_OFFLINE")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(torch.hub, "urlopen", lambda request: Answer(b"something else"))
    with pytest.raises(WeightsUnavailable, match=r'failed \(RuntimeError: invalid hash value \(expected "b8a52dc0"'):
        load_network("squeezenet1_1")
    assert not list(checkpoints.iterdir())


def damaged(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "of another network":
        torch.save(random_module(lambda: get_model("shufflenet_v2_x0_5")).state_dict(), buffer)
    elif kind == "not weights":
        torch.save([1, 2, 3], buffer)
    elif kind == "cut off":
        torch.save(random_module(lambda: get_model("squeezenet1_1")).state_dict(), buffer)
        return buffer.getvalue()[:100_000]
    elif kind == "a web page":
        return b"<html>not found</html>"
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["empty", "cut off", "a web page", "not weights", "of another network"])
def test_a_damaged_file_is_one_clear_error(checkpoints, kind):
    (checkpoints / SQUEEZENET).write_bytes(damaged(kind))
    with pytest.raises(WeightsUnavailable, match=r"cannot be used as the weights of camlib\.load_network") as caught:
        load_network("squeezenet1_1")
    assert str(checkpoints) in str(caught.value)
    assert SQUEEZENET in str(caught.value)
    assert "Delete it" in str(caught.value)
    assert "not here" not in str(caught.value)
    assert caught.value.__cause__ is not None


# -- random weights ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["squeezenet1_1", "googlenet", "timm/lcnet_050", "efficientnet-lite0"])
def test_random_weights_come_from_the_seed_alone(name):
    torch.manual_seed(11)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    first = load_network(name, weights=None)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]
    torch.rand(5)
    assert states_equal(first.module, load_network(name, weights=None).module)
    assert not states_equal(first.module, load_network(name, weights=None, seed=1).module)
    assert "random weights, seed 0" in first.name


def test_random_weights_need_no_file(checkpoints):
    assert load_network("resnet18", weights=None).logits(ready(1, 64)).shape == (1, 1000)
    assert not list(checkpoints.iterdir())


@pytest.mark.parametrize(
    ("name", "weights"),
    [("efficientnet-lite0", "default"), ("squeezenet1_1", None), ("timm/lcnet_050", None)],
)
def test_loading_in_inference_mode_still_allows_gradients(name, weights):
    with torch.inference_mode():
        network = load_network(name, weights)
    assert not any(tensor.is_inference() for tensor in network.module.state_dict().values())
    trace = Trace(network, ready(1, 64))
    gradients = trace.gradients(trace.logits.argmax(dim=1))
    assert gradients.isfinite().all()
    assert gradients.any()


def test_loading_a_checkpoint_in_inference_mode_still_allows_gradients(checkpoints):
    torch.save(random_module(lambda: get_model("squeezenet1_1")).state_dict(), checkpoints / SQUEEZENET)
    with torch.inference_mode():
        network = load_network("squeezenet1_1")
    trace = Trace(network, ready(1, 64))
    assert trace.gradients(trace.logits.argmax(dim=1)).any()


class Trap:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize(
    "hide", [lambda trap: trap, lambda trap: {"fc.weight": trap}, lambda trap: [torch.zeros(2), trap]]
)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_code_in_a_file_of_weights_is_not_executed(hide, legacy, tmp_path, monkeypatch):
    """A file that somebody put under torchvision's name, in both formats of torch.save."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    torch.save(hide(Trap(tmp_path / "executed")), file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WeightsUnavailable, match="cannot be used as the weights"):
        load_network("resnet18")
    assert not (tmp_path / "executed").exists()
