"""Six kinds of network, each explained in a few lines, as a reader would write them."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
import torchvision

import camlib

PHOTO = camlib.load_photo("bull-mastiff")


def seeded(build):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().eval()


def check_weights(e, module, net, score):
    """Grad-CAM's weights by a hook and autograd."""
    kept = []
    handle = module.get_submodule(e.layer).register_forward_hook(lambda _, __, output: kept.append(output))
    value = score(module(net.prepare(PHOTO)[1][None]))
    handle.remove()
    (g,) = torch.autograd.grad(value, kept[0])
    assert bool(e.weights.any())
    torch.testing.assert_close(e.weights, g.mean(dim=(2, 3))[0], rtol=1e-3, atol=1e-7 * float(g.abs().max()))


def test_segmentation():
    models = torchvision.models.segmentation
    module = seeded(lambda: models.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21))
    # begin
    net = camlib.Network(module, transform=camlib.Preprocess(96))
    where = (slice(None), 12, slice(20, 60), slice(30, 70))  # class 12 in a region
    e = camlib.explain(net, PHOTO, "grad-cam", target=lambda y: y["out"][where].mean(dim=(1, 2)), relu=False)
    # end
    assert e.layer == "classifier.cbr"  # the last maps before there is one a class
    assert e.layer in {layer.name for layer in net.layers()}  # without a target, too
    check_weights(e, module, net, lambda y: y["out"][where].mean())


def test_detection():
    models = torchvision.models.detection
    sizes = {"min_size": 64, "max_size": 64, "box_score_thresh": 0.0}
    module = seeded(lambda: models.fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, **sizes))
    # begin
    net = camlib.Network(module, transform=camlib.Preprocess(64, 0.0, 1.0))  # detectors normalize by themselves
    best = lambda found: torch.stack([one["scores"][:1].sum() for one in found])  # noqa: E731
    e = camlib.explain(net, PHOTO, "grad-cam", target=best, relu=False)
    # end
    assert e.layer.startswith("backbone.fpn")
    assert e.layer in {layer.name for layer in net.layers()}
    check_weights(e, module, net, lambda found: found[0]["scores"][0])


def test_several_labels():
    module = seeded(lambda: timm.create_model("mobilenetv3_small_050", num_classes=4))
    # begin
    names = ["dog", "grass", "sky", "person"]
    net = camlib.Network(module, transform=camlib.Preprocess(96), class_names=names, output="sigmoid")
    rows = camlib.compare(net, [PHOTO], methods=["score-cam"], targets=["dog", "sky"])
    # end
    p = module(net.prepare(PHOTO)[1][None]).sigmoid()[0]
    for e, index in zip(rows, (0, 2), strict=True):
        assert abs(e.probability - float(p[index].detach())) < 1e-5
        assert float(e.weights.max()) <= 1


def test_regression():
    module = seeded(lambda: torchvision.models.resnet18(num_classes=1))
    # begin
    net = camlib.Network(module, transform=camlib.Preprocess(96), output="none")
    up = camlib.explain(net, PHOTO, "grad-cam", relu=False)
    down = camlib.explain(net, PHOTO, "grad-cam", target=lambda y: -y[:, 0], relu=False)
    # end
    torch.testing.assert_close(down.raw, -up.raw, rtol=1e-4, atol=1e-7)
    assert abs(up.probability - float(module(net.prepare(PHOTO)[1][None]).detach())) < 1e-5


def test_embedding():
    module = seeded(lambda: timm.create_model("resnet10t", num_classes=0))
    # begin
    net = camlib.Network(module, transform=camlib.Preprocess(96))
    other = net.logits(net.prepare(camlib.load_photo("chelsea"))[1][None])
    e = camlib.explain(net, PHOTO, "grad-cam", target=lambda y: torch.cosine_similarity(y, other), relu=False)
    # end
    assert -1 <= e.probability <= 1
    assert bool(e.raw.any())
    same = net.logits(net.prepare(PHOTO)[1][None])
    at_itself = camlib.explain(net, PHOTO, "score-cam", target=lambda y: torch.cosine_similarity(y, same))
    assert abs(at_itself.probability - 1) < 1e-5


def test_vision_transformer():
    module = seeded(lambda: timm.create_model("vit_tiny_patch16_224", num_classes=10))
    # begin
    net = camlib.Network(module)
    e = camlib.explain(net, PHOTO, "grad-cam", target=3)
    # end
    assert (e.layer, tuple(e.raw.shape), tuple(e.heatmap.shape)) == ("blocks.11.norm1", (14, 14), (224, 224))


def test_each_example_is_at_most_eight_lines():
    source = Path(__file__).read_text(encoding="utf-8")
    parts = [part.partition("# end")[0] for part in source.split("# begin")[1:-1]]
    assert len(parts) == 6
    assert max(len(part.strip().splitlines()) for part in parts) <= 8
