"""What a notebook needs is found without running it, and is what it really loads."""

import json

import forked
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from camlib import paths
from camlib.compendium import stale
from camlib.compendium.items import ITEMS

SNIPPET = """
import camlib
from camlib import plots, report
from camlib.studies import counterfactual
camlib.explain, camlib.compare, camlib.METHODS, camlib.load_network, camlib.mosaics, plots.pipeline, plots.overlays
report.item
"""
LOADED = """
import sys
print(*sorted(m.__file__ for n, m in sys.modules.items() if n.partition(".")[0] == "camlib"), sep="\\n")
"""


@pytest.fixture(scope="module")
def imports():
    return stale.Imports(paths.ROOT)


def notebook(folder, *sources, name="00_toy", text="# Toy"):
    cells = [new_markdown_cell(text, id="a"), *(new_code_cell(source, id=f"b{i}") for i, source in enumerate(sources))]
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_every_module_that_is_loaded_is_found_before(imports, tmp_path, monkeypatch):
    """But for what only makes the pages of figures/, and nothing in a notebook."""
    printed = forked.said(SNIPPET + LOADED, output=tmp_path / "said")
    loaded = {path.removeprefix(f"{paths.ROOT}/") for path in printed.split()}
    path = notebook(tmp_path, SNIPPET)
    missing = loaded - set(stale.needs(path, imports))
    assert len(loaded) > 60
    assert [name for name in missing if not name.startswith("camlib/compendium/")] == []
    monkeypatch.setattr(stale, "PAGES", frozenset())
    assert loaded - set(stale.needs(path, stale.Imports(paths.ROOT))) == set()


def test_pages_of_figures_and_what_makes_nothing_in_a_notebook_are_not_needed(imports):
    needed = stale.needs(paths.notebook(next(iter(ITEMS.values())).notebook), imports)
    assert {
        "camlib/weights/score.py",
        "camlib/framework.py",
        "camlib/compendium/items.toml",
        "data/manifest.json",
    } <= set(needed)
    others = ["camlib/compendium/gallery.py", "camlib/cli.py", "camlib/compendium/kernels.py", "data/errata.csv"]
    assert set(others) & set(needed) == set()


def test_a_notebook_needs_its_own_items_alone(tmp_path):
    listed = tmp_path / "items.toml"
    texts = {}
    for other in ("one", "two"):
        listed.write_text(f'[a]\nnotebook = "00_toy"\ntitle = "A"\n[b]\nnotebook = "01_b"\ntitle = "{other}"\n')
        texts[other] = [stale._digest_of_entries(listed, name) for name in ("00_toy", "01_b")]
    assert texts["one"][0] == texts["two"][0]
    assert texts["one"][1] != texts["two"][1]


@pytest.mark.parametrize(
    ("source", "again"),
    [("x = 1", False), ("x = 2", True), ("x = 1  # a remark", True)],
)
def test_code_decides_and_text_does_not(tmp_path, imports, source, again):
    run = tmp_path / "built" / "00_toy.ipynb"
    first = notebook(tmp_path, "x = 1")
    run.parent.mkdir()
    run.write_bytes(first.read_bytes())
    stale.remember(run, stale.needs(first, imports))
    second = notebook(tmp_path, source, text="# Other text")
    assert stale.why(second, run, imports) == ("its code changed" if again else "")


def test_text_is_copied_into_a_run_and_outputs_stay(tmp_path, imports):
    run = tmp_path / "built" / "00_toy.ipynb"
    ran = new_notebook(cells=[new_markdown_cell("# Old"), new_code_cell("x = 1", execution_count=1)])
    ran.cells[1].outputs = [nbformat.v4.new_output("stream", name="stdout", text="said")]
    run.parent.mkdir()
    nbformat.write(ran, run)
    told = notebook(tmp_path, "x = 1", text="# New")
    assert stale.copy_text(told, run)
    cells = nbformat.read(run, as_version=4).cells
    assert [cell.source for cell in cells] == ["# New", "x = 1"]
    assert cells[1].outputs[0].text == "said"
    assert not stale.copy_text(told, run)
    assert [cell["id"] for cell in json.loads(run.read_text())["cells"]] == ["a", "b0"]


def test_a_run_with_injected_parameters_keeps_its_text(tmp_path):
    told = notebook(tmp_path, "x = 1", text="# New")
    run = tmp_path / "run.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("x = 1"), new_code_cell("x = 2")]), run)
    before = run.read_bytes()
    assert not stale.copy_text(told, run)
    assert run.read_bytes() == before


@pytest.mark.parametrize(("count", "said"), [(2, ["00_a runs", "01_a runs"]), (7, ["each of 7 notebooks runs"])])
def test_a_few_notebooks_are_named_and_many_are_counted(tmp_path, monkeypatch, capsys, count, said):
    monkeypatch.chdir(tmp_path)
    for number in range(count):
        nbformat.write(new_notebook(cells=[new_code_cell("x = 1")]), tmp_path / f"{number:02}_a.ipynb")
    names = [f"{number:02}_a.ipynb" for number in range(count)]
    assert stale.main(["built", *names]) == 0
    printed = capsys.readouterr()
    assert printed.out.split() == names
    assert printed.err.splitlines() == [f"{line}: it has not run yet" for line in said]


def test_a_run_that_is_not_there_or_that_nobody_wrote_down_runs_again(tmp_path, imports):
    told = notebook(tmp_path, "x = 1")
    run = tmp_path / "built" / "00_toy.ipynb"
    assert stale.why(told, run, imports) == "it has not run yet"
    run.parent.mkdir()
    run.write_bytes(told.read_bytes())
    assert stale.why(told, run, imports) == "nobody knows what its run needed"
