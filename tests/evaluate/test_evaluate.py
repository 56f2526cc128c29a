"""Evaluation at scale: numbers against formulas on the bare module, controls, and which classes are explained."""

from __future__ import annotations

import helpers
import numpy as np
import pytest
from evaluations import METHODS, METRICS, examples, net, photo, status_of

from camlib import explain, load_network
from camlib.data import datasets
from camlib.data.datasets import LabeledBox
from camlib.engine.scoring import Scorer
from camlib.evaluate import Choice, Plan, evaluate


def test_numbers_are_those_of_the_formulas_on_the_bare_module(tmp_path):
    """Average drop and increase (Chattopadhay et al. 2018), energy and pointing game, without camlib.metrics."""
    plan = Plan(net(), METHODS, [*METRICS[:3], "pointing-game:tolerance=3"])
    rows = evaluate(plan, examples(count=6), tmp_path).rows.set_index(["picture", "method", "metric"])
    module = plan.network.module
    found = {metric: set() for metric in (*METRICS[:3], "pointing-game:tolerance=3")}
    for i in range(6):
        inputs = plan.network.prepare(photo(i))[1].double()
        clean = module(inputs[None])[0].softmax(dim=0).detach()
        target = int(clean.argmax())
        x0, y0, x1, y1 = (round(v) for v in (4 * 32 / 40, 3 * 32 / 30, 30 * 32 / 40, 20 * 32 / 30))
        for name in METHODS:
            heatmap = explain(plan.network, photo(i), name, target).heatmap.double()
            masked = float(module((inputs * heatmap)[None])[0].softmax(dim=0)[target].detach())
            top_y, top_x = np.unravel_index(int(heatmap.argmax()), heatmap.shape)
            beyond_x, beyond_y = max(x0 - top_x, top_x - (x1 - 1), 0), max(y0 - top_y, top_y - (y1 - 1), 0)
            expected = {
                "average-drop": 100 * max(0, float(clean[target]) - masked) / float(clean[target]),
                "average-increase": 100.0 * (masked > float(clean[target])),
                "energy-pointing-game": float(heatmap[y0:y1, x0:x1].sum() / heatmap.sum()),
                "pointing-game:tolerance=3": float(np.hypot(beyond_x, beyond_y) < 3),
            }
            for metric, value in expected.items():
                row = rows.loc[(str(i), name, metric)]
                assert row["value"] == pytest.approx(value, rel=1e-5, abs=1e-6), (i, name, metric)
                assert (row["class"], row["class_name"]) == (target, helpers.CLASSES[target])
                assert (row["status"], row["layer"]) == ("ok", "features")
                found[metric].add(round(value, 3))
    assert all(len(values) > 1 for values in found.values())


def test_controls_stand_beside_every_method_at_every_layer(tmp_path):
    plan = Plan(net(), ["grad-cam"], ["average-drop"], layers=["features.1", "features"])
    found = evaluate(plan, examples(), tmp_path)
    controls = ["all-ones", "random", "center-gaussian"]
    assert found.table[["layer", "method"]].to_numpy().tolist() == [
        [layer, name] for layer in ("features.1", "features") for name in ("grad-cam", *controls)
    ]
    drops = found.table.set_index(["layer", "method"])["mean"]
    assert drops["features.1", "all-ones"] == 0
    assert drops["features.1", "random"] == drops["features", "random"] > 0
    assert drops["features.1", "grad-cam"] != drops["features", "grad-cam"]


def test_the_common_map_is_an_option_of_every_method_and_its_versions_share_the_passes(tmp_path, monkeypatch):
    methods = ["score-cam", "score-cam:common=center", "score-cam:common=project", "grad-cam:common=project"]
    masked, run = [], Scorer.logits
    monkeypatch.setattr(Scorer, "logits", lambda self, n, write, what: masked.append(what) or run(self, n, write, what))
    plan = Plan(net(), methods, ["energy-pointing-game"])
    found = evaluate(plan, examples(), tmp_path)
    assert masked.count("masked pictures") == 4  # once a picture
    values = found.rows.set_index(["picture", "method"])["value"]
    for i in range(4):
        for label in methods:
            choice = Choice.parse(label)
            heatmap = explain(plan.network, photo(i), choice.name, **choice.options).heatmap
            x0, y0, x1, y1 = (round(v) for v in (4 * 32 / 40, 3 * 32 / 30, 30 * 32 / 40, 20 * 32 / 30))
            energy = float(heatmap[y0:y1, x0:x1].sum() / heatmap.sum())
            assert values[str(i), label] == pytest.approx(energy, rel=1e-4)
    settings = {cell.method: cell.setting.key for cell in plan.cells("d")}
    assert len(set(settings.values())) == len(settings)
    with pytest.raises(ValueError, match="gradient makes a saliency of pixels"):
        Plan(net(), ["gradient:common=project"], METRICS)
    with pytest.raises(ValueError, match="common='mean': expected one of"):
        Plan(net(), ["grad-cam:common=mean"], METRICS)


def test_several_options_of_one_method_are_kept_apart(tmp_path):
    plan = Plan(net(), ["score-cam", "score-cam:filler=black", "grad-cam"], ["average-drop"])
    rows = evaluate(plan, examples(), tmp_path).rows
    values = rows.pivot(index="picture", columns="method", values="value")
    assert not np.allclose(values["score-cam"], values["score-cam:filler=black"])
    for label, filler in (("score-cam", "mean"), ("score-cam:filler=black", "black")):
        alone = Plan(net(), [Choice("score-cam", {"filler": filler})], ["average-drop"])
        expected = evaluate(alone, examples(), tmp_path / filler).rows.set_index(["method", "picture"])["value"]
        assert values[label].to_dict() == pytest.approx(expected[alone.methods[0].label].to_dict())


def test_a_trained_network_on_mosaics_explains_every_cell(tmp_path):
    plan = Plan(load_network("efficientnet-lite0"), ["grad-cam"], ["grid-pointing-game"], target="objects")
    dataset = datasets.mosaics(1)
    found = evaluate(plan, dataset, tmp_path)
    rows = found.rows[found.rows["method"] == "grad-cam"]
    assert sorted(rows["class_name"]) == sorted(box.name for box in dataset[0].boxes)
    control = found.rows[found.rows["method"] == "all-ones"]["value"]
    assert list(control) == [0.25] * 4
    assert rows["value"].mean() > 0.4


def test_top1_is_the_likeliest_class_and_objects_the_likeliest_of_each_kind(tmp_path):
    dataset = examples(
        {"annotate": lambda: (LabeledBox(0, 0, 9, 9, "daisy"), LabeledBox(1, 1, 5, 5, "tabby cat"))},
        {"annotate": lambda: (LabeledBox(0, 0, 9, 9, "unknown thing"),)},
        count=1,
    )
    logits = net().logits(net().prepare(photo(0))[1][None])[0]
    top = evaluate(Plan(net(), ["grad-cam"], ["average-drop"]), dataset, tmp_path).rows
    assert set(top["class"]) == {int(logits.argmax())}
    objects = evaluate(Plan(net(), ["grad-cam"], ["average-drop"], target="objects"), dataset, tmp_path).rows
    assert set(objects[objects["picture"] == "0"]["class"]) == {0, 1, 2, 3, 4}
    assert set(objects[objects["picture"] == "changed 0"]["class"]) == {1, 4}
    assert status_of(objects, "changed 1") == {
        ("no target", "the data set does not give an object that a class of the network stands for")
    }


def test_a_kind_of_many_classes_is_explained_by_the_likeliest_and_labels_are_taken_as_given(tmp_path):
    big = load_network("resnet18", None).with_input_size(64)
    dogs = {"annotate": lambda: (LabeledBox(0, 0, 30, 30, "dog"),), "label": 281}
    dataset = examples(dogs, {"label": None}, count=1)[1:]
    logits = big.logits(big.prepare(photo(0))[1][None])[0]
    plan = Plan(big, ["grad-cam"], ["average-drop"], ["layer2"], target="objects")
    rows = evaluate(plan, dataset[:1], tmp_path).rows
    assert set(rows["class"]) == {151 + int(logits[151:269].argmax())}
    labeled = evaluate(Plan(big, ["grad-cam"], ["average-drop"], ["layer2"], target="label"), dataset, tmp_path).rows
    assert set(labeled[labeled["picture"] == "changed 0"]["class"]) == {281}
    assert status_of(labeled, "changed 1") == {("no target", "the data set does not give a label")}
