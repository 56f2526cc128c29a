"""The errata: what they name exists, numbers are those that are computed, prints that no option gives by loops."""

import ast
import re

import numpy as np
import pytest
import torch

from camlib import METHODS, paths
from camlib.compendium import errata
from camlib.compendium.errata import attention, gradient, measuring, page, union
from camlib.compendium.errata.__main__ import main
from camlib.compendium.errata.cases import GAP, MEASURES, cases

ERRATA = page.errata()
KNOWN = page.forms()
MEASURED = page.numbers()
by_place = pytest.mark.parametrize("one", ERRATA, ids=lambda one: f"{one.source} {one.place}")


# -- the words


@by_place
def test_each_erratum_says_what_is_printed_and_what_is_used(one):
    assert one.printed.strip()
    assert one.here.strip()
    assert not one.here.endswith(".")


def test_a_print_that_an_option_gives_is_tested_and_measured_or_a_parameter():
    bare = [f"{one.source} {one.place}" for one in ERRATA if one.option and not (one.test and one.numbers)]
    assert bare == ["sa algorithm 2, eq. 10"]  # λ: the paper gives none, so that nothing is printed


@by_place
def test_named_tests_exist(one):
    if not one.test:
        return
    path, _, name = one.test.partition("::")
    tree = ast.parse((paths.ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@by_place
def test_named_options_exist(one):
    for name, given in re.findall(r"([a-z+-]+)\(([^)]*)\)", one.option):
        if name in METHODS:
            assert set(re.findall(r"(\w+)=", given)) <= set(METHODS[name].options)
        else:
            assert name in ("explain", "counterfactual"), name


def test_sources_and_kinds_and_numbers_that_are_not_known_are_refused(monkeypatch):
    table = {"numbers": {}, "errata": [{"source": "sca", "kind": "slip", "place": "x", "printed": "y", "here": "z"}]}
    monkeypatch.setattr(page, "_table", lambda: table)
    assert len(page.errata()) == 1
    for key, value in (("source", "sac"), ("kind", "error"), ("numbers", ["ams"])):
        broken = table | {"errata": [table["errata"][0] | {key: value}]}
        monkeypatch.setattr(page, "_table", lambda broken=broken: broken)
        with pytest.raises(ValueError, match=r"errata\.toml, .* x: expected a source of .*"):
            page.errata()


# -- the numbers


def test_words_and_numbers_and_their_measures_belong_together():
    used = {number for one in ERRATA for number in one.numbers} | set(page.WINS)
    assert used == set(KNOWN)
    assert {id for id, _ in MEASURED} == set(KNOWN) == set(MEASURES)


def test_every_number_lies_in_its_interval_and_is_finite():
    for number in MEASURED.values():
        assert number.low <= number.value <= number.high
        assert np.isfinite([number.low, number.high]).all()


CHEAP = [
    attention.tables, attention.algorithm_1, gradient.lengths, gradient.inconsistent, gradient.slides,
    gradient.ablation, gradient.eq_24, gradient.before_relu, union.theta,
]  # fmt: skip


@pytest.mark.parametrize("function", CHEAP, ids=lambda function: function.__name__)
def test_kept_numbers_are_those_that_are_computed(function):
    for number in function():
        kept = MEASURED[number.id, number.population]
        found, expected = (np.array([n.value, n.low, n.high]) for n in (number, kept))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
        assert number.n == kept.n


def test_branch_counts_of_both_readings_from_the_details_of_the_method():
    """A draw of the counts in the table: the first scenes, map by map, by the front door's details."""
    case = cases(GAP, count=8, classes=1)[0]
    for reading, options in union.READINGS.items():
        betas = METHODS["union-cam"].function(case.trace, case.target, **options).details
        won = [d["branch"] == "union" for d in betas]
        floor = 0.0 if options.get("clamp", True) else -np.inf
        assert won == [
            d["beta_union"] > max(d["beta_region"], floor) and max(d["beta_denoised"], floor) != 0 for d in betas
        ], reading
        assert union._branches(case, **options) == won


def test_measured_rows_replace_their_like_and_keep_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "DATA", tmp_path / "errata.csv")
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    other = page.Number("cam-relu", GAP, 0.9, 0.8, 1.0, 7)
    measuring.keep([other, page.Number("sca-length", "old", 1, 1, 1, 1), page.Number("gone", "old", 1, 1, 1, 1)])
    assert main(["measure", "sca-length"]) == 0
    kept = page.numbers()
    assert kept["cam-relu", GAP] == other
    assert kept["sca-length", "4 x 4 x 3, avg 2/2"].value == 12
    assert not [key for key, _ in kept if key == "gone"]
    assert "entries: 12 (4 x 4 x 3, avg 2/2)" in (tmp_path / page.NAME).read_text(encoding="utf-8")


def test_an_unknown_number_is_named():
    with pytest.raises(ValueError, match="no number is called 'ams-change'; nearest: ams-changed"):
        measuring.measure(["ams-change"])


# -- the page


def test_the_page_is_the_one_that_words_and_numbers_make(monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", paths.ROOT / "figures")
    assert (paths.ROOT / "figures" / page.NAME).read_text(encoding="utf-8") == page.text()


def test_a_page_without_numbers_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "DATA", tmp_path / "errata.csv")
    assert "python -m camlib.compendium.errata measure" in page.text()
    assert "not measured" in page.text()


@pytest.mark.parametrize(
    ("number", "form", "text"),
    [
        (page.Number("x", "p", 0.325, 0.2777, 0.375, 360), ".0%", "32% [28, 38]"),
        (page.Number("x", "p", -0.5, -0.75, 0.25, 9), ".2f", "−0.50 [−0.75, 0.25]"),
        (page.Number("x", "p", 12.0, 12.0, 12.0, 1), ".0f", "12"),
    ],
)
def test_numbers_in_words(number, form, text):
    assert page._value(number, form) == text


def test_the_page_is_written_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    assert main([]) == 0
    assert "errata.md" in capsys.readouterr().out
    assert (tmp_path / page.NAME).read_text(encoding="utf-8").startswith("# Errata of the sources\n")
    assert errata.__doc__


# -- prints that no option gives, against loops


def test_the_blur_of_eq_13_as_printed_hides_what_the_mask_shows():
    """∫ g_{σ0·m(u)}(v − u) U(v) dv pixel by pixel: sharp where m = 0, a Gaussian of 10 pixels where m = 1."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(3, 24, 24, generator=generator, dtype=torch.float64)
    mask = torch.randint(0, 3, (24, 24), generator=generator) / 2.0  # 0, 1/2 and 1 are among the widths that are used
    found = attention._blurred_by(picture, mask)
    for y, x in [(0, 0), (5, 17), (12, 12), (23, 3), (9, 8), (20, 20)]:
        sigma = attention.SIGMA * float(mask[y, x])
        if sigma == 0:
            expected = picture[:, y, x]
        else:
            reach = round(4 * sigma)
            weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
            rows, columns = (np.abs((at + np.arange(-reach, reach + 1)) % 46) for at in (y, x))
            rows, columns = (np.minimum(index, 46 - index) for index in (rows, columns))  # mirrored at the border
            kernel = np.outer(weights, weights) / weights.sum() ** 2
            expected = torch.from_numpy((picture.numpy()[:, rows][:, :, columns] * kernel).sum(axis=(1, 2)))
        torch.testing.assert_close(found[:, y, x], expected, rtol=1e-6, atol=1e-6)


def test_blue_first_keeps_the_hot_half_and_red_first_the_cold_one():
    """MATLAB's JET in closed form: blue is full from 1/8 to 3/8 and gone from 5/8, red the other way round."""
    heat = np.linspace(0, 1, 4001)
    blue, red = ((1.5 - np.abs(4 * heat - center)).clip(0, 1) for center in (1, 3))
    kept = {"sa-jet: blue": heat[blue <= 127 / 255].mean(), "sa-jet: red": heat[red <= 127 / 255].mean()}
    for number in attention.algorithm_1():
        assert number.value == pytest.approx(kept[number.id], abs=0.01)
    assert kept["sa-jet: blue"] > 0.7 > 0.3 > kept["sa-jet: red"]


def test_table_5_is_a_function_of_table_4():
    for accuracies, rates in zip(attention.TABLE_4, attention.TABLE_5, strict=True):
        for accuracy, rate in zip(accuracies, rates, strict=True):
            assert round(100 * (75.29 - accuracy) / 75.29, 2) == rate


def test_the_lead_of_table_3_is_a_sum_over_five_groups():
    insertion, deletion = attention.INSERTION, attention.DELETION
    totals = [round(sum(table[name]), 3) for table in (insertion, deletion) for name in ("score-cam", "sa-cam")]
    assert totals == [2.001, 2.035, 0.269, 0.301]  # as printed in tables 1 and 2
    assert round(totals[0] - totals[2], 3) == 1.732
    assert round(totals[1] - totals[3], 3) == 1.734
    assert MEASURED["sa-table-3", "tables 1 and 2"].value == pytest.approx((1.734 - 1.732) / 5, abs=1e-9)


def _channel_by_channel(weight_of):
    """ReLU(Σ_k w_k A_k) of the first scenes, with w_k from the gradient and the map of one channel."""
    case = cases(GAP, count=8, classes=1)[0]
    g, m = case.trace.gradients(case.target), case.trace.activations
    found = torch.zeros(len(m), *m.shape[2:])
    for b in range(len(m)):
        for k in range(m.shape[1]):
            found[b] += weight_of(g[b, k], m[b, k]) * m[b, k]
    return case, found.relu()


def test_z_of_the_slides_divides_each_channel_by_its_own_sum():
    case, expected = _channel_by_channel(lambda g, a: g.sum() / a.sum() if a.sum() > 0 else 0.0)
    torch.testing.assert_close(gradient._divided(case), expected, rtol=1e-4, atol=1e-6)


def test_alpha_of_one_over_z_is_grad_cam_of_the_positive_gradients():
    case, expected = _channel_by_channel(lambda g, a: sum(max(0.0, float(one)) / g.numel() for one in g.flatten()))
    torch.testing.assert_close(gradient._positive_part(case), expected, rtol=1e-4, atol=1e-6)
