"""Notebooks show their subject: little bookkeeping in their cells, lines and cells that can be read."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from plumbing import LARGEST_CELL, LARGEST_SHARE, LONGEST_LINE, is_hidden, measure

from camlib import paths

NOTEBOOKS = paths.notebooks()
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@each_notebook
def test_a_notebook_holds_little_plumbing_and_no_long_line_or_cell(path):
    found = measure(path)
    assert found.share < LARGEST_SHARE, found.plumbing
    assert found.long_lines == []
    assert found.large_cells == []


@each_notebook
def test_hidden_cells_hold_prose_alone(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert is_hidden(cell) == bool(cell.metadata.get("jupyter", {}).get("source_hidden"))
        assert is_hidden(cell) == ("report.prose(" in cell.source), "prose is asserted in hidden cells"
        if is_hidden(cell):
            assert cell.source.count("report.") == cell.source.count("report.prose(")
            assert cell.outputs == []


def counts(tmp_path, *sources, tags=()):
    cells = [new_markdown_cell("# Toy"), new_code_cell("seed = 0", metadata={"tags": ["parameters"]})]
    cells += [new_code_cell(source, metadata={"tags": [*tags]}) for source in sources]
    nbformat.write(new_notebook(cells=cells), tmp_path / "toy.ipynb")
    return measure(tmp_path / "toy.ipynb")


@pytest.mark.parametrize(
    ("source", "code", "plumbing"),
    [
        ("import camlib\nfrom camlib import report\n\n# a comment\nx = 1", 1, 0),
        ("report.item('a', fig)\nprint(report.claim(\n    'b',\n    found,\n))\nx = 1", 6, 5),
        ("for x in xs:\n    assert x\n    report.prose(x=x)", 3, 3),
        ("for x in xs:\n    print(x)\n    assert x", 3, 1),
        ("def told(i):\n    return str(i)\n\n\nx = told(1) + y\nz = x", 4, 3),
        ("verdict = 'holds' if low > 0 else 'does not hold'\nx = 1", 2, 1),
        ("text = 'what holds for one'\ndata.report = 1\nreports = 2", 3, 0),
        ("try:\n    explain()\nexcept ValueError as error:\n    print(error)\n    assert error", 5, 1),
    ],
)
def test_lines_that_count(tmp_path, source, code, plumbing):
    found = counts(tmp_path, source)
    assert (found.code, len(found.plumbing)) == (code, plumbing)


def test_hidden_cells_are_counted_apart_and_long_lines_everywhere(tmp_path):
    long = "x = '" + "a" * LONGEST_LINE + "'"
    found = counts(tmp_path, f"report.prose(a=1)\n{long}", tags=["hide-input"])
    assert (found.code, found.hidden, found.plumbing) == (0, 2, [])
    assert found.long_lines == [(2, long)]
    assert counts(tmp_path, "x = 1", "x = 1\n" * (LARGEST_CELL + 1)).large_cells == [3]
