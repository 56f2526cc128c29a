"""The book: sources staged from a toy repository, a small site built and read back by the checker and by hand."""

from __future__ import annotations

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from camlib import paths
from camlib.compendium.book import building, checking, contents, staging
from camlib.compendium.book.__main__ import main

pytest.importorskip("myst_nb")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def notebook(path, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=list(cells)), path)


@pytest.fixture
def repository(tmp_path):
    """A README, a gallery, a course notebook and its appendix, with good links and bad ones."""
    root = tmp_path / "repository"
    (root / "figures/own").mkdir(parents=True)
    (root / "camlib").mkdir()
    (root / "camlib/short.py").write_text('"""A module."""\n')
    (root / "figures/own/own-fig-1.png").write_bytes(b"png")
    (root / "figures/README.md").write_text(
        '# Gallery\n\n[up](#own-fig-1) [module](../camlib/short.py)\n\n<a id="own-fig-1"></a>\n## One\n\n'
        '<a href="../notebooks/01_one.ipynb"><img src="own/own-fig-1.png" alt="one"></a>\n'
    )
    (root / "README.md").write_text("# Toy\n\n[gallery](figures/) [gone](nowhere.md) ![a](figures/own/own-fig-1.png)\n")
    picture = new_output("display_data", {"image/png": PIXEL, "text/plain": "<Figure>"})
    table = new_output("display_data", {"text/html": "<table><tr><td>0.5 [0.4, 0.6]</td></tr></table>"})
    caption = new_output("execute_result", {"text/markdown": "**The title.** *Found.* More."}, execution_count=1)
    notebook(
        root / "notebooks/01_one.ipynb",
        new_markdown_cell("# One\n\nWords.\n\n$$\na = b\n$$\n\n`$$no$$` [appendix](appendix/01a_one_audit.ipynb)"),
        new_code_cell("figure", outputs=[picture, caption, table], execution_count=1),
        new_code_cell("report.prose(a=1)", metadata={"tags": ["hide-input"]}, execution_count=2),
    )
    notebook(root / "notebooks/appendix/01a_one_audit.ipynb", new_markdown_cell("# Audit\n\n[one](../01_one.ipynb)"))
    return root


def stage_of(root, folder, only=()):
    made = staging.Stage(folder, only, root)
    made.fill()
    return made


def test_links_lead_to_what_the_book_holds_and_others_become_words(repository, tmp_path):
    stage = stage_of(repository, tmp_path / "source")
    assert (stage.folder / "README.md").read_text() == (
        "# Toy\n\n[gallery](figures/README.md) gone ![a](figures/own/own-fig-1.png)\n"
    )
    gallery = (stage.folder / "figures/README.md").read_text()
    assert "(own-fig-1)=\n## One" in gallery
    assert '<a href="../notebooks/01_one.html"><img src="own/own-fig-1.png"' in gallery
    assert (stage.folder / "camlib/short.py").read_text() == '"""A module."""\n'
    assert stage.dropped == ["README.md: nowhere.md"]


def test_notebooks_lose_silent_cells_and_gain_numbers_and_words(repository, tmp_path):
    stage = stage_of(repository, tmp_path / "source")
    made = nbformat.read(stage.folder / "notebooks/01_one.ipynb", 4)
    assert [cell.cell_type for cell in made.cells] == ["markdown", "code"]
    assert "$$\na = b\n$$ (eq-01-1)" in made.cells[0].source
    assert "`$$no$$`" in made.cells[0].source
    assert made.cells[1].metadata["mystnb"] == {"image": {"alt": "The title"}}
    listed = (stage.folder / "equations.md").read_text()
    assert "## [01 · One](notebooks/01_one.ipynb)\n\n- {eq}`eq-01-1` $\\displaystyle a = b$\n" in listed
    index = (stage.folder / "index.md").read_text()
    assert index.index("01 · One <notebooks/01_one>") < index.index("01a · Audit <notebooks/appendix/01a_one_audit>")


def test_a_part_has_only_its_notebooks(repository, tmp_path):
    assert stage_of(repository, tmp_path / "source", ["02"]).pages == ["README.md", "figures/README.md"]


def test_a_built_page_has_its_picture_its_formula_and_no_foreign_file(repository, tmp_path):
    out = tmp_path / "book"
    building.build(out=out, work=tmp_path / "work", api=False, root=repository)
    assert checking.problems(out) == []
    page = (out / "notebooks/01_one.html").read_text(encoding="utf-8")
    assert 'alt="The title"' in page
    assert 'id="equation-eq-01-1"' in page
    assert 'href="notebooks/01_one.html#equation-eq-01-1"' in (out / "equations.html").read_text(encoding="utf-8")
    assert "report.prose" not in page
    assert "0.5\u00a0[0.4,\u00a00.6]" in page  # an interval is not torn apart
    assert "_static/book.js" in page
    assert "_static/icon.svg" in page
    assert (out / "_static/mathjax.js").stat().st_size > 1_000_000
    assert (out / "searchindex.js").is_file()
    gallery = (out / "figures/README.html").read_text(encoding="utf-8")
    assert 'href="#own-fig-1"' in gallery
    assert 'id="own-fig-1"' in gallery


def test_what_is_broken_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="b.html">b</a><a href="#top">t</a><a href="#no">n</a><img src="x.png" alt="x">'
        '<img src="a.html"><a href="https://example.org">out</a><script src="https://example.org/x.js"></script>'
    )
    assert checking.problems(tmp_path) == [
        "a.html: picture without words a.html",
        "a.html: fetches https://example.org/x.js",
        "a.html: b.html does not exist",
        "a.html: #no has no such place",
        "a.html: x.png does not exist",
    ]


def test_the_command_names_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(building, "find_spec", lambda name: None)
    assert main(["build"]) == 1
    assert "make env" in capsys.readouterr().err


def test_the_check_command_says_what_is_wrong(tmp_path, capsys):
    (tmp_path / "a.html").write_text("<p>fine</p>")
    assert main(["check", "--out", str(tmp_path)]) == 0
    (tmp_path / "a.html").write_text('<a href="b.html">b</a>')
    assert main(["check", "--out", str(tmp_path)]) == 1
    assert "b.html does not exist" in capsys.readouterr().out


def test_every_module_has_a_place_in_the_reference():
    pages = contents.api_pages(paths.ROOT)
    named = [line.split()[-1] for text in pages.values() for line in text.splitlines() if "automodule" in line]
    assert len(named) == len(set(named))
    files = [path for path in (paths.ROOT / "camlib").rglob("*.py") if path.name != "__main__.py"]
    assert len(named) == len([path for path in files if "_data" not in path.parts])


def test_every_page_of_the_compendium_is_in_the_book():
    pages = set(contents.texts(paths.ROOT))
    assert {"README.md", *(f"figures/{path.name}" for path in (paths.ROOT / "figures").glob("*.md"))} <= pages
    assert json.loads((paths.ROOT / "figures/manifest.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("jupyter", "book"),
    [("4.-Memory", "4-memory"), ("own-fig-1", "own-fig-1"), ("Contents", "contents"), ("σm", "σm")],
)
def test_anchors_of_headings_are_those_of_the_book(jupyter, book):
    assert staging.place(jupyter) == book
