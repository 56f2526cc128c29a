"""The table of methods beside their loops: what it holds, that it is true, and that the loops stand alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from camlib import METHODS, paths
from camlib.compendium import loops
from camlib.compendium.loops import measuring, page
from camlib.compendium.loops.__main__ import main

CASES = measuring.cases()
APPROXIMATE = {"passes", "precision"}
ELSEWHERE = {"lfi-cam", "rise", "mask", "gradient", "guided-backprop", "deconvnet", "smooth-grad"} | {
    "integrated-gradients"
}
QUICK = ("grad-cam", "sca-cam", "eigen-cam", "lift-cam", "ablation-cam", "score-cam", "case")


def test_every_method_and_every_option_stands_in_the_table():
    asked = {name: set() for name in METHODS if name not in ELSEWHERE}
    for case in CASES:
        asked[case.method] |= set(case.options)
    for name, options in asked.items():
        assert options == set(METHODS[name].options) - APPROXIMATE, name
    for name in asked:
        assert any(case.method == name and not case.options for case in CASES) or name == "opti-cam"


def test_the_kept_rows_are_those_cases_and_agree():
    rows = page.read()
    assert [(row.method, row.networks) for row in rows] == [(case.method, " ".join(case.networks)) for case in CASES]
    assert [row.source for row in rows] == [METHODS[row.method].source for row in rows]
    assert max(row.error for row in rows) < 5e-6  # a blur in float32
    exact = [row for row in rows if row.method not in ("sa-cam", "group-cam", "union-cam", "guided-score-cam")]
    assert max(row.error for row in exact if "blur" not in row.options) < 1e-12


@pytest.mark.parametrize("name", QUICK)
def test_a_draw_of_the_table_is_measured_anew(name):
    case = next(case for case in CASES if case.method == name)
    assert measuring.deviation(case) < 1e-12


def test_a_wrong_formula_shows():
    right = next(case for case in CASES if case.method == "grad-cam")
    wrong = measuring.Case("grad-cam", measuring.gradient.hires_cam_loop, networks=("gap",))
    with pytest.raises(ValueError, match=r"grad-cam \{\}: \(2, 6\) beside \(2, 6, 8, 8\)"):
        measuring.deviation(wrong)
    other = measuring.Case("xgrad-cam", right.loop, networks=("average",))
    assert measuring.deviation(other) > 0.01


@pytest.mark.parametrize("name", ["averaged", "gradient", "hybrid", "networks", "plain", "score", "tail"])
def test_the_loops_import_nothing_of_camlib(name):
    tree = ast.parse(Path(loops.__path__[0], f"{name}.py").read_text(encoding="utf-8"))
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert not [m for m in modules if m.startswith("camlib") and not m.startswith("camlib.compendium.loops.")]


def test_the_page_is_the_one_that_the_rows_make():
    assert (paths.ROOT / "figures" / page.NAME).read_text(encoding="utf-8") == page.text()


def test_the_command_measures_and_writes_both_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    monkeypatch.setattr(page, "DATA", tmp_path / "loops.csv")
    assert "python -m camlib.compendium.loops" in page.text()
    monkeypatch.setattr(measuring, "cases", lambda: [case for case in CASES if case.method == "feature-map"])
    assert main([]) == 0
    assert (tmp_path / "loops.csv").read_text().splitlines()[1].endswith(",weights,1e-15")
    assert "| feature-map |" in (tmp_path / page.NAME).read_text(encoding="utf-8")
    assert "loops.md" in capsys.readouterr().out
