"""camlib.score against numbers worked out by hand, a literal loop over METRICS, and the tables of camlib.evaluate."""

from __future__ import annotations

import helpers
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import Gap, network, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image
from torchvision import transforms

import camlib
from camlib import Explanation, Network, evaluate, metrics, paths
from camlib.data.datasets import Dataset, Example, LabeledBox
from camlib.evaluate import Choice, Scores, judge
from camlib.metrics import CONTROLS, METRICS, Interval, Sample
from camlib.metrics.controls import random_map

GAME = "energy-pointing-game"
SIZE = 48
LEFT, RIGHT = (0, 0, 2, 4), (2, 0, 4, 4)  # the halves of a 4 x 4 map


def made(left: float, right: float = 0.0, **about: object) -> Explanation:
    """An explanation of 4 x 4 pixels with ``left`` on each pixel of its left half and ``right`` on the others."""
    heatmap = torch.full((4, 4), right)
    heatmap[:, :2] = left
    about = {"target": 0, "method": "a", "picture": 0, "layer": "features", "network": "net", **about}
    flat = not bool(heatmap.any())
    return Explanation(
        heatmap=heatmap,
        raw=heatmap,
        weights=None,
        target_name=helpers.CLASSES[about["target"]],
        probability=0.5,
        image=torch.zeros(3, 4, 4),
        degenerate=flat,
        reason="every class activation weight is zero" if flat else None,
        **about,
    )


def pairs(a: list[float], b: list[float], **about: object) -> list[Explanation]:
    """Methods "a" and "b" on as many pictures; their shares of the left half are these numbers."""
    both = zip(a, b, strict=True)
    return [
        made(share, 1 - share, method=name, picture=number, **about)
        for number, shares in enumerate(both)
        for name, share in zip("ab", shares, strict=True)
    ]


def picture(number: int) -> torch.Tensor:
    return helpers.picture(number, SIZE, SIZE)


@pytest.fixture(scope="module")
def net() -> Network:
    module = seeded(Gap, 4)
    with torch.no_grad():
        module.fc.weight *= 8
    return network(module, SIZE)


@pytest.fixture(scope="module")
def explained(net) -> list[Explanation]:
    return camlib.compare(net, [picture(number) for number in range(3)], ["grad-cam", "layer-cam"], [0, 2], "features")


# -- rows


def test_rows_and_table_are_those_of_a_pencil():
    shares = [0.75, 0.25, 0.5, 0.0]
    found = [made(share, 1 - share, picture=number) for number, share in enumerate(shares)]
    found.append(made(0.0, method="flat"))
    found.append(made(1.0, method="flat", picture=1, target=3))
    scores = camlib.score(found, GAME, boxes=[{0: LEFT}] * 4)
    assert scores.rows["value"].tolist() == pytest.approx([0.75, 0.25, 0.5, 0.0, 0.0, np.nan], nan_ok=True)
    assert scores.rows["status"].tolist() == ["ok"] * 4 + ["degenerate", "no box"]
    assert scores.rows["note"].tolist()[4:] == ["every class activation weight is zero", "no box of the class is given"]
    first = scores.rows.iloc[0][["network", "layer", "metric", "method", "picture", "class", "class_name"]]
    assert first.tolist() == ["net", "features", GAME, "a", 0, 0, helpers.CLASSES[0]]
    table = scores.table()
    assert table.index.tolist() == ["a", "flat"]
    assert table.columns.tolist() == ["mean", "low", "high", "n", "degenerate", "no box"]
    assert table.loc["a", ["mean", "n", "degenerate", "no box"]].tolist() == [0.375, 4, 0, 0]
    assert table.loc["flat", ["mean", "low", "high", "n", "degenerate", "no box"]].tolist() == [0, 0, 0, 1, 1, 1]
    assert tuple(table.loc["a", ["mean", "low", "high"]]) == metrics.bootstrap_interval(shares)


def test_every_metric_at_once_gives_what_a_loop_over_the_registry_gives(net, explained):
    """Sample by sample, with an engine of its own for each picture."""
    boxes = [[(2, 3, 20, 30), (18, 0, 32, 9)], [(0, 0, 8, 8)], [(5, 5, 31, 31)]]
    masks = [torch.rand(SIZE, SIZE, generator=torch.Generator().manual_seed(n)) > 0.6 for n in range(3)]
    others = explained[1::2] + explained[::2]
    references = [next(o for o in others if (o.picture, o.method) == (e.picture, e.method)) for e in explained]
    options = {"net": net, "masks": masks, "references": references}
    scores = camlib.score(explained, [*METRICS, Choice("pointing-game", {"tolerance": 0})], boxes, **options)
    values = scores.rows.set_index(["metric", "picture", "method", "class"])["value"]
    assert len(values) == len(explained) * (len(METRICS) + 1)
    for e, reference in zip(explained, references, strict=True):
        inputs = net.prepare(picture(e.picture))[1]
        truth = {"boxes": boxes[e.picture], "mask": masks[e.picture], "raw": e.raw, "reference": reference.heatmap}
        sample = Sample.of(net, inputs, e.heatmap, e.target, **truth)
        place = (e.picture, e.method, e.target)
        for name, metric in METRICS.items():
            assert values[name, *place] == pytest.approx(metric(sample), rel=1e-6, abs=1e-9), (name, place)
        assert values["pointing-game:tolerance=0", *place] == METRICS["pointing-game"](sample, tolerance=0)
    assert values.loc["average-drop"].nunique() > 3


def test_passes_of_all_explanations_go_through_one_engine(net, explained, monkeypatch):
    built, real = [], judge.Scorer
    monkeypatch.setattr(judge, "Scorer", lambda *arguments: [built.append(arguments), real(*arguments)][1])
    camlib.score(explained, ["average-drop", "deletion"], net=net)
    assert len(built) == 1


def test_metrics_of_place_need_no_network_and_never_meet_a_picture(explained, own_registries):
    seen = []

    @metrics.metric("looks", better="higher", unit="share", source="none", sways="Nothing.")
    def looks(sample: Sample) -> float:
        seen.append((sample.network, bool(sample.inputs.isnan().all())))
        return float(sample.inputs.mean())

    with pytest.raises(ArithmeticError, match="looks is nan"):
        camlib.score(explained, "looks")
    assert seen == [(None, True)]


@pytest.mark.parametrize(
    "boxes",
    [
        [LEFT, RIGHT],
        [[LEFT], [RIGHT]],
        {0: LEFT, 1: [RIGHT]},
        [{0: LEFT}, {0: [RIGHT]}],
        lambda e: [LEFT, RIGHT][e.picture],
        np.array([LEFT, RIGHT]),
    ],
)
def test_boxes_are_given_by_picture_by_class_or_by_a_function(boxes):
    scores = camlib.score([made(1.0), made(1.0, picture=1)], GAME, boxes)
    assert scores.rows["value"].tolist() == [1, 0]


def test_a_class_that_is_asked_for_twice_is_one_row_and_two_maps_of_one_name_are_refused():
    assert len(camlib.score([made(0.5), made(0.5)], GAME, [LEFT]).rows) == 1
    with pytest.raises(ValueError, match=r"Two different maps of a for 'golden retriever' of picture 0 .* columns="):
        camlib.score([made(0.5), made(0.6)], GAME, [LEFT])
    apart = camlib.score([made(0.5), made(0.6)], GAME, [LEFT], columns={"method": lambda e: f"{e.heatmap.max():.1f}"})
    assert apart.rows["method"].tolist() == ["0.5", "0.6"]


def test_columns_and_digits():
    about = {"layer": "last", "photo": lambda e: f"photo {e.picture}"}
    scores = camlib.score([made(1 / 3, 2 / 3, picture=p) for p in (0, 1)], GAME, [LEFT] * 2, columns=about, digits=3)
    assert scores.rows["photo"].tolist() == ["photo 0", "photo 1"]
    assert (scores.rows["layer"] == "last").all()
    assert scores.rows["value"].tolist() == [0.333] * 2


def test_controls_stand_at_every_layer_and_are_drawn_by_seed_and_number():
    found = [made(0.9, target=t, picture=p, layer=layer) for layer in ("x", "y") for p in (0, 1) for t in (0, 1)]
    scores = camlib.score(found, GAME, [LEFT] * 2, controls=True, seed=7)
    assert scores.rows["method"].drop_duplicates().tolist() == ["a", *CONTROLS]
    values = scores.rows.set_index(["layer", "method", "picture", "class"])["value"]
    assert (values.xs("all-ones", level="method") == 0.5).all()
    for number, (picture, target) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        random = random_map((4, 4), 7 + number).double()
        expected = float(random[:, :2].sum() / random.sum())
        assert values["x", "random", picture, target] == pytest.approx(expected)
        assert values["x", "random", picture, target] == values["y", "random", picture, target]


# -- what is read off the rows


def test_a_difference_is_the_paired_bootstrap_of_the_same_numbers():
    a, b = [0.9, 0.8, 0.4, 0.7, 0.65], [0.5, 0.85, 0.3, 0.1, 0.6]
    found = pairs(a, b)
    scores = camlib.score(found, GAME, [LEFT] * 5, seed=3, columns={"photo": lambda e: "xxyyz"[e.picture]})
    values = scores.rows.pivot(index="picture", columns="method", values="value")
    assert scores.difference("a", "b") == metrics.paired_difference(values["a"], values["b"], seed=3)
    assert scores.difference("a", "b").value == pytest.approx(0.22)
    by_photo = scores.with_unit("photo").difference("a", "b")
    assert by_photo == metrics.paired_difference(values["a"], values["b"], seed=3, units=[*"xxyyz"])
    narrow = Scores(scores.rows, seed=3, level=0.5).difference("a", "b")
    assert narrow == metrics.paired_difference(values["a"], values["b"], seed=3, level=0.5)


def test_a_constant_difference_has_no_width_whatever_the_means_do():
    found = pairs([0.9, 0.5, 0.3], [0.8, 0.4, 0.2])
    scores = camlib.score(found, GAME, [LEFT] * 3)
    assert scores.difference("b", "a") == pytest.approx((-0.1, -0.1, -0.1))
    assert isinstance(scores.difference("b", "a"), Interval)
    wide = scores.table().loc["a"]
    assert wide["high"] - wide["low"] > 0.3


def test_only_what_both_have_is_paired():
    found = [*pairs([0.9, 0.5], [0.8, 0.4]), made(0.1, 0.9, method="b", picture=2)]
    scores = camlib.score(found, GAME, [LEFT] * 3)
    assert scores.difference("a", "b") == pytest.approx((0.1, 0.1, 0.1))
    with pytest.raises(ValueError, match="have no picture and class in common"):
        camlib.score([made(0.5), made(0.5, method="b", picture=1)], GAME, [LEFT] * 2).difference("a", "b")


def test_several_rivals_give_a_table_with_a_row_for_each_and_each_place():
    at_x = [*pairs([0.9, 0.7, 0.8], [0.5, 0.1, 0.6], layer="x"), made(0.2, 0.8, method="c", layer="x")]
    at_y = pairs([0.3, 0.4, 0.2], [0.3, 0.4, 0.2], layer="y")
    scores = camlib.score(at_x + at_y, GAME, [LEFT] * 3)
    table = scores.difference("a", ["b", "c"])
    assert table.columns.tolist() == ["layer", "rival", "mean", "low", "high", "n", "better"]
    assert table[["layer", "rival", "n", "better"]].to_numpy().tolist() == [
        ["x", "b", 3, "a"],
        ["x", "c", 1, "a"],
        ["y", "b", 3, ""],
    ]
    for (_, row), where in zip(table.iterrows(), ("x", "x", "y"), strict=True):
        expected = scores.at(layer=where, method=["a", row["rival"]]).difference("a", row["rival"])
        assert (row["mean"], row["low"], row["high"]) == expected
    pd.testing.assert_frame_equal(scores.difference("a"), table)
    drops = scores.rows.assign(metric="average-drop")  # lower is better
    assert Scores(drops).difference("a")["better"].tolist() == ["b", "c", ""]


@settings(max_examples=15)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6), st.integers(0, 5))
def test_a_difference_turned_round_is_its_negative(values, seed):
    rows = [
        (method, number, value) for number, two in enumerate(values) for method, value in zip("ab", two, strict=True)
    ]
    scores = camlib.score(pd.DataFrame(rows, columns=["method", "picture", "value"]), seed=seed)
    there, back = scores.difference("a", "b"), scores.difference("b", "a")
    assert there == pytest.approx((-back.value, -back.high, -back.low), abs=1e-12)
    mean_of_a, mean_of_b = (np.mean([two[which] for two in values]) for which in (0, 1))
    assert there.value == pytest.approx(mean_of_a - mean_of_b, abs=1e-12)


def test_the_table_has_layers_and_networks_side_by_side_in_the_order_of_the_rows():
    found = [made(0.5, network=n, layer=layer, method=m) for n in "ba" for layer in ("z", "y") for m in ("v", "u")]
    found = [e for e in found if (e.layer, e.method) != ("y", "u")]
    scores = camlib.score(found, GAME, [LEFT])
    table = scores.table()
    assert table["mean"].columns.tolist() == [("z", "b"), ("z", "a"), ("y", "b"), ("y", "a")]
    assert table.index.tolist() == ["v", "u"]
    assert table["mean"].loc["v"].tolist() == [1.0] * 4
    assert table["mean"].loc["u"].isna().tolist() == [False, False, True, True]
    assert scores.at(layer="z").table()["mean"].columns.tolist() == ["b", "a"]
    assert scores.at(layer="z", network="a").table()["mean"].to_dict() == {"v": 1.0, "u": 1.0}
    means = scores.means()
    assert means.columns.tolist()[:9] == ["network", "layer", "metric", "method", "mean", "low", "high", "n", "values"]
    assert len(means) == 6


def test_units_are_counted_and_drawn_whole():
    found = [made(float(p), target=t, picture=p) for p in (0, 1) for t in range(3)]
    scores = camlib.score(
        [e for e in found if e.picture] + [made(0.0, 1.0, target=t) for t in range(3)], GAME, [LEFT] * 2
    )
    assert scores.means().loc[0, ["mean", "low", "high", "n", "values"]].tolist() == [0.5, 0, 1, 2, 6]
    alone = scores.with_unit(None).means().loc[0]
    assert (alone["n"], alone["values"]) == (6, 6)
    assert alone["high"] < 1
    assert tuple(alone[["mean", "low", "high"]]) == metrics.bootstrap_interval([1.0] * 3 + [0.0] * 3)


def test_scores_of_two_networks_are_added():
    one, two = (camlib.score([made(0.5, network=n)], GAME, [LEFT], unit="picture", seed=2) for n in ("n1", "n2"))
    both = one + two
    assert (both.rows["network"].tolist(), both.seed, len(one.rows)) == (["n1", "n2"], 2, 1)
    pd.testing.assert_frame_equal(sum([one, two]).rows, both.rows)
    with pytest.raises(TypeError):
        1 + one
    with pytest.raises(ValueError, match=r"Two rows stand for one number: .*'network': 'n1'"):
        one + one


def test_bars_have_a_line_for_chance_and_one_color_for_each_layer():
    found = [made(0.7, layer=layer, method=m) for layer in ("x", "y") for m in ("a", "b")]
    scores = camlib.score(found, [GAME, "pointing-game"], [LEFT])
    figure = scores.at(metric=GAME).plot(chance=0.25, title="bars")
    ax = figure.axes[0]
    assert isinstance(figure, Figure)
    title = ax.get_title() or ax.get_title(loc="left")  # where the house style has been set before
    assert (ax.get_xlabel(), title) == ("mean energy-pointing-game, 95 % interval", "bars")
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"x", "y", "chance (0.25)"}
    assert sorted(bar.get_width() for bar in ax.patches) == [1, 1, 1, 1]
    ax = Scores(scores.rows.assign(metric="grid-pointing-game", method=[*"abcdefgh"]), level=0.5).plot().axes[0]
    assert ax.get_xlabel() == "mean grid-pointing-game, 50 % interval"
    with pytest.raises(ValueError, match=r"differ in layer and metric; choose, e.g. scores.at\(layer='x'\)"):
        scores.plot()


# -- rows that are there already


def test_rows_of_a_run_give_the_tables_of_the_run(net, tmp_path):
    box = (LabeledBox(4, 3, 30, 20, helpers.CLASSES[0]), LabeledBox(9, 9, 30, 30, helpers.CLASSES[2]))

    def example(name: str) -> Example:
        values = helpers.picture(int(name)).permute(1, 2, 0).numpy()
        return Example(name, lambda: Image.fromarray((values * 255).astype(np.uint8)), lambda: box)

    plan = evaluate.Plan(net, ["grad-cam", "layer-cam"], ["average-drop", GAME], ["features.1", "features"], "objects")
    results = evaluate.evaluate(plan, Dataset("four", ("3", "1", "2", "0"), example), tmp_path)
    scores = camlib.score(results)
    names = ["layer", "metric", "method", "mean", "low", "high", "n", "degenerate"]
    pd.testing.assert_frame_equal(scores.means()[names], results.table[names])
    found = scores.difference("grad-cam", ["layer-cam"]).set_index(["layer", "metric"])
    run = results.differences.query("a == 'grad-cam' and b == 'layer-cam'").set_index(["layer", "metric"])
    np.testing.assert_array_equal(found[["mean", "low", "high"]], run[["difference", "low", "high"]])
    only = camlib.score(results, GAME, columns={"layer": results.rows["layer"].str.upper()})
    assert set(only.rows["metric"]) == {GAME}
    assert set(only.rows["layer"]) == {"FEATURES", "FEATURES.1"}


def test_the_committed_tables_of_notebook_04_follow_from_its_committed_rows():
    """To the last printed digit, over all networks, layers and methods; both intervals, and every difference.

    What a reader sees of them is the mean with the interval over photographs.
    """
    folder = paths.ROOT / "figures" / "own"
    rows = pd.read_csv(folder / "own-table-1-rows.csv").rename(columns={"mosaic": "picture", "share": "value"})
    scores = camlib.score(rows)
    by_photo = scores.with_unit("photo")
    means = scores.means().rename(columns={"values": "cells"})
    means[["low (photographs)", "high (photographs)"]] = by_photo.means()[["low", "high"]]
    rivals = sorted({*rows["method"]} - {"sca-cam"})
    differences = by_photo.difference("sca-cam", rivals).rename(columns={"rival": "SCA-CAM minus"})
    for name, found in (("own-table-1-intervals", means), ("own-table-1-differences", differences)):
        printed = pd.read_csv(folder / f"{name}.csv")
        columns = [column for column in printed if column != "degenerate"]
        pd.testing.assert_frame_equal(found[columns], printed[columns], rtol=1e-7)
    shown = pd.read_csv(folder / "own-table-1.csv").set_index("method")
    line = means.set_index(["network", "layer", "method"]).loc["efficientnet-lite1", "inner", "grad-cam"]
    low, high = line["low (photographs)"], line["high (photographs)"]
    assert shown.loc["Grad-CAM", "inner, Lite1"] == f"{line['mean']:.2f} [{low:.2f}, {high:.2f}]"


def test_rows_of_ones_own_need_three_columns():
    rows = pd.DataFrame({"variant": ["a", "b"] * 2, "mosaic": [0, 0, 1, 1], "share": [0.5, 0.25, 0.5, 0.125]})
    scores = camlib.score(rows.rename(columns={"variant": "method", "mosaic": "picture", "share": "value"}))
    assert scores.difference("a", "b").value == 0.3125
    assert scores.table()["n"].to_dict() == {"a": 2, "b": 2}
    with pytest.raises(
        ValueError, match=r"no column \['method', 'picture', 'value'\]; .*'variant'.* Rename them first"
    ):
        camlib.score(rows)


# -- what is refused


@pytest.mark.parametrize(
    ("metric", "options", "words"),
    [
        ("grid-pointing", {}, "No metric is called 'grid-pointing'. Nearest: grid-pointing-game"),
        ("pointing-game:tolerence=1", {}, "pointing-game has no option 'tolerence'. Its options: tolerance=15.0"),
        (None, {}, "No metric was named"),
        ([], {}, "No metric was named"),
        ([GAME, GAME], {}, "energy-pointing-game is named more than once"),
        (GAME, {}, r"energy-pointing-game needs ground-truth boxes: give boxes=: the mosaics of camlib.mosaics"),
        ("average-drop", {}, r"average-drop needs passes of the network: give net="),
        ("energy-in-mask", {}, r"needs a ground-truth mask: give masks="),
        ("sanity-ssim", {}, r"needs a second heatmap of the same picture: give references="),
        ("sanity-ssim", {"references": []}, r"0 references for 1 explanations"),
        ("sanity-ssim", {"references": [None], "controls": True}, r"controls have none; leave controls out"),
        (GAME, {"boxes": []}, r"boxes has 0 entries, but picture 0 is explained"),
        (GAME, {"boxes": [{4: LEFT}]}, r"boxes holds no box of any explained class"),
        (GAME, {"boxes": [(0, 0, 9, 9)]}, r"expected 0 <= x0 < x1 <= 4"),
        (GAME, {"boxes": [LEFT], "unit": "photo"}, r"The rows have no column \['photo'\]"),
    ],
)
def test_what_is_missing_is_named(metric, options, words):
    with pytest.raises(ValueError, match=words):
        camlib.score([made(0.5)], metric, **options)


def test_no_explanation_and_no_use_of_arguments_are_refused():
    with pytest.raises(ValueError, match="There is no explanation"):
        camlib.score([], GAME, [LEFT])
    rows = pd.DataFrame({"method": ["a"], "picture": [0], "value": [1.0], "metric": [GAME]})
    with pytest.raises(ValueError, match="These rows have their values"):
        camlib.score(rows, boxes=[LEFT])
    with pytest.raises(ValueError, match=f"No row of the metric average-drop; there are .*{GAME}"):
        camlib.score(rows, "average-drop")


def test_another_network_than_the_explained_one_is_found_out(net, explained):
    other = network(seeded(Gap, 5), SIZE)
    with pytest.raises(ValueError, match=r"Picture 0, .*p = .* by net=, .* by the explanation. Give the network, and"):
        camlib.score(explained, "average-drop", net=other)


def test_a_transform_that_cannot_be_undone_needs_the_pictures(net):
    steps = [transforms.Resize((32, 32)), transforms.ToTensor(), transforms.Lambda(lambda x: 4 * x * x - 2)]
    own = Network(net.module, "features", transforms.Compose(steps), helpers.CLASSES)
    photo = Image.fromarray((helpers.picture(1).permute(1, 2, 0).numpy() * 255).astype(np.uint8))
    found = camlib.compare(own, [photo], ["grad-cam"])
    with pytest.raises(ValueError, match="The transform of Gap cannot be undone: give photos="):
        camlib.score(found, "average-drop", net=own)
    (value,) = camlib.score(found, "average-drop", net=own, photos=[photo]).rows["value"]
    e, inputs = found[0], own.prepare(photo)[1]
    sample = Sample.of(own, inputs, e.heatmap, e.target)
    assert value == pytest.approx(METRICS["average-drop"](sample))


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda s: s.difference("a", "c"), r"No method 'c' among the rows; they have \['a', 'b'\]"),
        (lambda s: s.difference("a", "a"), "has no rival but itself"),
        (lambda s: s.at(method="a").difference("a"), "has no rival but itself"),
        (lambda s: s.difference("a", "b"), r"differ in layer; choose, e.g. scores.at\(layer='x'\)"),
        (lambda s: s.at(place="x"), "The rows have no column 'place'"),
        (lambda s: s.at(layer="z"), r"No row has layer='z'; there are \['x', 'y'\]"),
        (lambda s: s.with_unit("photo"), r"no column \['photo'\]"),
        (lambda s: Scores(s.rows.assign(photo=[None, *"abcdefg"]), "photo"), "1 rows have no 'photo'"),
        (lambda s: Scores(s.rows.head(0)), "There is no row"),
    ],
)
def test_questions_that_have_no_answer_say_why(ask, words):
    found = [*pairs([0.5, 0.6], [0.1, 0.2], layer="x"), *pairs([0.5, 0.6], [0.1, 0.2], layer="y")]
    with pytest.raises(ValueError, match=words):
        ask(camlib.score(found, GAME, [LEFT] * 2))
