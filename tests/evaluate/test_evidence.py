"""camlib.evaluate.evidence: numbers of many maps at once, removed objects, chunks that survive a kill, redrawn rows."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

import camlib
from camlib.data.scenes import SHAPES, make_scenes
from camlib.evaluate.evidence import checking, judging, kept, making, photographs, populations, scenes
from camlib.metrics import METRICS, Sample
from camlib.zoo.scenes import SIZE


@pytest.fixture(scope="module")
def net():
    return camlib.load_network("scenes-plain")


@pytest.fixture(scope="module")
def several(net):
    return scenes.cases(net, "several", range(6))


@pytest.fixture(scope="module")
def one(net):
    return scenes.cases(net, "one", [700])


@pytest.fixture(scope="module")
def rows_of_one(net, one):
    (maps,) = scenes.explained(
        net, "last", one, [("feature-map", {}), ("grad-cam", {}), ("grad-cam", {"common": "project"})]
    )
    return maps, scenes.rows_of(net, "last", "one", one[0], maps, scenes.scorer(net))


def test_the_rows_hold_what_the_metrics_say_of_each_map(net, one, rows_of_one):
    case, (maps, rows) = one[0], rows_of_one
    mask = case.masks(case.targets[0]).any(dim=0)
    for e, row in zip(maps, rows, strict=False):
        sample = Sample.of(net, case.inputs, e.heatmap, e.target, scenes.scorer(net), mask=mask)
        assert row["energy"] == pytest.approx(METRICS["energy-in-mask"](sample), abs=1e-6)
        assert 100 * row["drop"] == pytest.approx(METRICS["average-drop"](sample), abs=1e-3)
        assert 100 * row["drop_half"] == pytest.approx(METRICS["average-drop-half"](sample), abs=1e-3)
        assert 100 * row["rise"] == METRICS["average-increase"](sample)
        assert 100 * row["rise_half"] == METRICS["average-increase-half"](sample)
        assert (row["method"], row["common"]) == (e.method, e.options.get("common", "keep"))
    assert [row["method"] for row in rows[3:]] == ["all-ones", "random", "center-gaussian"]
    assert rows[3]["energy"] == pytest.approx(float(mask.float().mean()), abs=1e-6)


def test_curves_stand_on_the_first_numbers(net):
    (case,) = scenes.cases(net, "one", [61])
    (maps,) = scenes.explained(net, "last", [case], [("feature-map", {}), ("grad-cam", {})])
    row = scenes.rows_of(net, "last", "one", case, maps, scenes.scorer(net))[1]
    sample = Sample.of(net, case.inputs, maps[1].heatmap, maps[1].target, scenes.scorer(net))
    assert row["deletion"] == pytest.approx(METRICS["deletion"](sample), abs=1e-6)
    assert row["insertion"] == pytest.approx(METRICS["insertion"](sample), abs=1e-6)


def test_with_two_classes_the_maps_of_both_are_compared_once(net, several):
    (maps,) = scenes.explained(net, "inner", several[:1], [("feature-map", {}), ("grad-cam", {})])
    rows = scenes.rows_of(net, "inner", "several", several[0], maps, scenes.scorer(net))
    first, second = (e.raw.flatten() for e in maps[2:])
    r = float(torch.corrcoef(torch.stack([first, second]))[0, 1])
    assert rows[1]["alike_class"] == pytest.approx(r, abs=1e-5)
    assert "alike_class" not in rows[3]
    assert rows[0]["alike_class"] == pytest.approx(1)


def test_effects_are_what_the_logit_loses_without_an_object(net, several):
    case = next(case for case in several if len(case.shapes) == 3)
    whole = make_scenes([case.number], populations.SEEDS["several"], objects=(2, 4))
    without = make_scenes([case.number], populations.SEEDS["several"], objects=(2, 4), removed=1)
    with torch.no_grad():
        logits = [
            net.module(net.transform.normalize(s.images.float() / 255))[0, case.targets[0]] for s in (whole, without)
        ]
    assert float(case.effects(case.targets[0])[1]) == pytest.approx(float(logits[0] - logits[1]), abs=1e-4)


@pytest.mark.parametrize("k", [0, 1])
def test_a_removed_object_leaves_every_other_pixel_alone(k):
    whole = make_scenes(40, seed=3, objects=(2, 3), occlusion=1.0)
    without = make_scenes(40, seed=3, objects=(2, 3), occlusion=1.0, removed=k)
    changed = (whole.images != without.images).any(dim=1)
    assert not (changed & ~whole.masks[:, k]).any()
    assert not without.masks[:, k].any()
    assert (without.shapes[:, k] == -1).all()
    other = 1 - k
    assert (without.masks[:, other] | ~whole.masks[:, other]).all(), "what it covered is seen"


def test_only_objects_that_can_be_there_are_removed():
    with pytest.raises(ValueError, match=r"removed=2: expected None or 0 to 1"):
        make_scenes(1, objects=(1, 2), removed=2)


def test_agreement_by_hand():
    shares = torch.tensor([[0.5, 0.25], [0.0, 1.0], [0.0, 0.0]], dtype=torch.double)
    assert judging.agreement(shares, torch.tensor([4.0, -2.0])).tolist() == [0.5 - 0.125, -0.5, 0.0]


def test_extent_hits_and_lit_objects_by_hand():
    map_ = torch.tensor([[[1.0, 0.5], [0.49, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert judging.extents(map_).tolist() == [0.5, 0.0]
    corner = torch.tensor([[True, False], [False, False]])
    assert judging.hits(map_, corner).tolist() == [True, False]
    both = torch.stack([corner, torch.tensor([[False, False], [True, False]])])
    assert judging.all_lit(map_, both, level=0.48).tolist() == [True, False]
    assert judging.all_lit(map_, both).tolist() == [False, False]


def test_metrics_of_rows_by_hand():
    frame = pd.DataFrame(
        {name: [0.25] for name in kept.SHARES} | {"on_objects": [0.5], "rise": [True], "rise_half": [None]}
    )
    found = judging.with_metrics(frame.assign(insertion=0.75)).iloc[0]
    assert (found["average-drop"], found["class_share"], found["overall"]) == (25, 0.5, 0.5)
    assert found["average-increase"] == 100
    assert pd.isna(found["average-increase-half"])


# -- photographs


def test_photographs_are_judged_on_their_most_probable_class(net, tmp_path, monkeypatch):
    scene = make_scenes(3, seed=5)
    for i, folder in enumerate(("n02091134", "n02099849", "n02138441")):
        (tmp_path / "val" / folder).mkdir(parents=True)
        Image.fromarray(scene.images[i].permute(1, 2, 0).numpy()).save(tmp_path / "val" / folder / f"{folder}_{i}.png")
    monkeypatch.setattr(photographs, "PHOTO_NETWORKS", {"scenes-plain": ("features",)})
    asked = [("feature-map", {}), ("grad-cam", {}), ("grad-cam", {"common": "project"})]
    monkeypatch.setattr(photographs, "versions", lambda number: asked)
    chosen = photographs.drawn(tmp_path)
    rows, facts = photographs.rows_of_chunk(net, chosen, [1])
    e = camlib.explain(net, chosen[1].picture, "grad-cam")
    row = rows[1]
    assert (row["target"], row["picture"], row["kind"]) == (e.target_name, Path(chosen.ids[1]).stem, "photographs")
    sample = Sample.of(net, net.prepare(chosen[1].picture)[1], e.heatmap, e.target, scenes.scorer(net))
    assert 100 * row["drop"] == pytest.approx(METRICS["average-drop"](sample), abs=1e-3)
    assert row["insertion"] == pytest.approx(METRICS["insertion"](sample), abs=1e-6)
    assert "insertion" not in {name for name, value in rows[2].items() if value is not None}
    assert facts[0]["probability"] == pytest.approx(e.probability, abs=1e-6)
    kept.write(kept.as_table(rows), tmp_path / "photographs.parquet")
    assert kept.read("photographs", tmp_path)["picture"].unique().tolist() == [row["picture"]]


# -- kept files


def test_rows_come_back_as_they_were_to_a_thousandth(tmp_path, rows_of_one):
    rows = rows_of_one[1]
    kept.write(kept.as_table(rows), tmp_path / "scenes.parquet")
    found = kept.read("scenes", tmp_path, method="grad-cam", common="project").iloc[0]
    assert found["energy"] == pytest.approx(rows[2]["energy"], abs=5.1e-4)
    assert found["rise"] == rows[2]["rise"]
    assert pd.isna(found["twins"])
    assert pd.isna(found["deletion"])


@pytest.mark.parametrize("metric", ["energy", "hit", *judging.DERIVED])
def test_a_column_alone_is_that_of_all_rows(tmp_path, rows_of_one, metric):
    kept.write(kept.as_table(rows_of_one[1]), tmp_path / "scenes.parquet")
    rows = kept.read("scenes", tmp_path)
    pd.testing.assert_series_equal(kept.column(metric, "scenes", tmp_path), rows[metric])
    pd.testing.assert_frame_equal(kept.names("scenes", tmp_path), rows[list(kept.NAMES)])


def test_the_same_rows_in_another_order_are_the_same_bytes(tmp_path, rows_of_one):
    kept.write(kept.as_table(rows_of_one[1]), tmp_path / "a.parquet")
    kept.write(kept.as_table(rows_of_one[1][::-1]), tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_missing_rows_and_unknown_columns_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="make evidence"):
        kept.read("scenes", tmp_path)
    with pytest.raises(ValueError, match=r"no column \['metod'\]"):
        kept.read("scenes", tmp_path, metod="grad-cam")
    with pytest.raises(ValueError, match="part='scene'"):
        kept.read("scene", tmp_path)
    with pytest.raises(ValueError, match="metric='picture': expected one of"):
        kept.column("picture", "scenes", tmp_path)


@pytest.fixture
def small(monkeypatch):
    """One network, three scene numbers a chunk, no curves, no variants, two methods."""
    monkeypatch.setattr(populations, "CHUNK", 2)
    monkeypatch.setattr(populations, "NUMBERS", 4)
    monkeypatch.setattr(populations, "SCENE_NETWORKS", {"scenes-plain": ("features", "features.3")})
    monkeypatch.setattr(scenes, "versions", lambda kind, layer, number: [("feature-map", {}), ("grad-cam", {})])
    monkeypatch.setattr(scenes, "CURVED", 0)


def test_a_killed_run_ends_with_the_rows_of_one_that_was_not(small, tmp_path, monkeypatch):
    making.make(tmp_path / "a", out=tmp_path)
    making.collect(tmp_path / "a", tmp_path / "a/out")
    written, write = [], kept.write

    def killed(table, file):
        written.append(file)
        if len(written) in (2, 5):
            raise KeyboardInterrupt
        write(table, file)

    monkeypatch.setattr(kept, "write", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            making.make(tmp_path / "b", out=tmp_path)
    monkeypatch.setattr(kept, "write", write)
    making.make(tmp_path / "b", out=tmp_path)
    making.collect(tmp_path / "b", tmp_path / "b/out")
    for name in ("scenes.parquet", "scenes-facts.parquet"):
        assert (tmp_path / "a/out" / name).read_bytes() == (tmp_path / "b/out" / name).read_bytes()


def test_processes_share_the_chunks_and_one_counts_once_every_network_has_it(small, tmp_path):
    with pytest.raises(ValueError, match="No chunk of scenes is finished"):
        making.collect(tmp_path, tmp_path / "out")
    making.make(tmp_path, share=(0, 2), out=tmp_path)
    making.make(tmp_path, share=(1, 2), out=tmp_path)
    lacking = next(chunk for chunk in making.chunks("scenes") if (chunk.start, chunk.kind) == (2, "one"))
    lacking.files(tmp_path)[-1].unlink()
    record = making.collect(tmp_path, tmp_path / "out")
    assert record["numbers"] == {"one": "0-1", "several": "0-3"}
    assert kept.read("scenes", tmp_path / "out", kind="one")["picture"].max() < 2
    assert json.loads((tmp_path / "out/scenes.json").read_text()) == record == kept.record("scenes", tmp_path / "out")


def test_new_chunks_are_added_to_rows_that_were_collected_in_another_folder(small, tmp_path, monkeypatch):
    making.make(tmp_path / "whole", out=tmp_path)
    making.collect(tmp_path / "whole", tmp_path / "whole/out")
    out, first = tmp_path / "out", tmp_path / "first"
    making.make(first, out=out)
    for chunk in making.chunks("scenes"):
        if chunk.start == 2:
            chunk.files(first)[-1].unlink()
    assert making.collect(first, out)["numbers"] == {"one": "0-1", "several": "0-1"}
    made, make = [], making.Chunk.make
    monkeypatch.setattr(making.Chunk, "make", lambda chunk, *rest: (made.append(chunk.start), make(chunk, *rest)))
    making.make(tmp_path / "second", out=out)
    assert made == [2, 2]
    assert making.collect(tmp_path / "second", out)["numbers"] == {"one": "0-3", "several": "0-3"}
    for name in ("scenes.parquet", "scenes-facts.parquet"):
        assert (out / name).read_bytes() == (tmp_path / "whole/out" / name).read_bytes()
    monkeypatch.setattr(making, "FORM", making.FORM + 1)
    assert making.collected("scenes", out) == []


def test_every_chunk_is_made_once():
    made = [(chunk.network, chunk.kind, chunk.start) for chunk in making.chunks("scenes")]
    assert len(made) == len(set(made)) == 7 * 2 * populations.NUMBERS / populations.CHUNK


def test_rows_that_are_made_again_are_the_kept_ones_and_a_changed_one_is_found(small, tmp_path):
    making.make(tmp_path, out=tmp_path)
    making.collect(tmp_path, tmp_path)
    drawn = checking.draw(3, tmp_path / "scenes.parquet")
    assert checking.differences(drawn) == []
    changed = drawn.assign(energy=drawn["energy"] + 0.01)
    assert [each.column for each in checking.differences(changed)] == ["energy"] * 3


def test_every_population_names_layers_that_are_rectified():
    for each in populations.SCENES:
        net = making.network_of(each.network)
        trace = camlib.Trace.of(
            net, torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)), layer=each.layer_name
        )
        assert float(trace.activations.min()) >= 0, each.name
        if each.layer == "inner":
            assert trace.layer.height == 2 * net.find_layer(None).height
    assert len(SHAPES) == 8


# -- the committed rows


def test_a_draw_of_the_committed_rows_is_made_again():
    """Twenty rows, others whenever a row changes: kept numbers are those that the code gives today."""
    assert checking.differences(checking.draw(20)) == []


def test_the_record_says_what_the_committed_rows_are():
    rows, record = kept.read(), kept.record()
    assert record["rows"] == len(rows)
    counted = rows.groupby(["network", "layer", "kind"], observed=True)["picture"].nunique()
    assert record["pictures"] == {":".join(key): n for key, n in counted.items()}
    assert not rows.duplicated(list(kept.NAMES)).any()
    assert sum(file.stat().st_size for file in kept.EVIDENCE.iterdir()) < 12 * 2**20
