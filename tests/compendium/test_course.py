"""The course: short notebooks with a picture, a finding, exercises and links; and the checks that say so."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from camlib import paths
from camlib.compendium import course

UNSPLIT = [
    "00_start_here",
    "01_feature_maps",
    "02_unified_framework",
    "03_pooling_cases",
    "04_sca_cam",
    "05_the_law",
    "06_gradient_methods",
    "07_score_cam",
    "08_sa_cam",
    "09_union_cam",
    "10_lfi_cam",
    "11_faithfulness",
    "12_localization",
    "13_sanity",
    "14_robustness",
    "15_trained_networks",
    "16_captions",
    "18_more_methods",
]
"""Notebooks whose audit has not moved to the appendix yet; none when the course is complete."""
COURSE = [path for path in course.course() if path.stem not in UNSPLIT]


def test_unsplit_notebooks_are_those_that_need_it():
    assert {name for name in UNSPLIT if not paths.notebook(name).is_file()} == set()


@pytest.mark.parametrize("path", COURSE, ids=lambda path: path.stem)
def test_a_notebook_of_the_course_is_short_and_has_what_a_learner_needs(path):
    assert course.lacks(path) == []


def test_links_between_notebooks_are_as_the_order_says():
    unsplit = {name[:2] for name in UNSPLIT}
    assert [path.stem for path in course.outdated() if path.stem[:2] not in unsplit] == []


def test_every_appendix_and_solution_belongs_to_a_notebook_of_the_course():
    behind = [path for path in paths.notebooks() if path.parent != paths.NOTEBOOKS]
    assert [path.stem for path in behind if course.story(path) is None] == []
    answers = [path for path in behind if path.parent.name == paths.SOLUTIONS]
    assert [path.stem for path in answers if course.solutions(course.story(path)) != path] == []


# The checks themselves

PICTURE = new_output("display_data", {"image/png": "x", "text/plain": "y"})
GOOD = [
    "[contents](00_first.ipynb)\n\n# Toy\n\n**The map forgets its class.** See the [glossary](glossary.md).",
    ("plot()", PICTURE),
    ("plots.method_map(here=())", PICTURE),
    "## Fork this\n\nChange the method.",
    ("method = 'grad-cam'", None),
    "## Exercises\n\n1. Count.\n2. Add.\n3. Ask.\n\n## What it means\n\n4. Nothing.",
]
ANSWERS = [part for n in (1, 2, 3) for part in (f"## Exercise {n}\n\nWhat is asked.", ("answer()", None))]


def notebook(folder, name, *parts):
    """A notebook of texts and of (code, output) pairs, as if it had run."""
    cells = [
        new_markdown_cell(part)
        if isinstance(part, str)
        else new_code_cell(part[0], execution_count=1, outputs=[o for o in part[1:] if o])
        for part in parts
    ]
    path = folder / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells), path)
    return path


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A course of three notebooks, the second with an appendix and solutions."""
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    for name in ("00_first", "01_middle", "02_last"):
        notebook(tmp_path, name, *GOOD)
    notebook(tmp_path, "appendix/01a_rules", "# Rules")
    notebook(tmp_path, "solutions/01_middle_solutions", *ANSWERS)
    (tmp_path / "glossary.md").write_text("# Glossary\n")
    return tmp_path


def first_line(path):
    return nbformat.read(path, as_version=4).cells[0].source.splitlines()[0]


def test_links_lead_to_what_exists_from_where_the_notebook_lies(home):
    assert course.main([]) == 1
    assert course.main(["--renew"]) == 0
    assert course.outdated() == []
    assert first_line(home / "01_middle.ipynb") == (
        "[contents](00_first.ipynb) · [previous: first](00_first.ipynb) · [next: last](02_last.ipynb) · "
        "[glossary](glossary.md) · [appendix](appendix/01a_rules.ipynb) · "
        "[solutions](solutions/01_middle_solutions.ipynb)"
    )
    assert first_line(home / "00_first.ipynb") == "[next: middle](01_middle.ipynb) · [glossary](glossary.md)"
    assert first_line(home / "appendix" / "01a_rules.ipynb") == (
        "[contents](../00_first.ipynb) · [story: middle](../01_middle.ipynb) · "
        "[solutions](../solutions/01_middle_solutions.ipynb) · [glossary](../glossary.md)"
    )
    for path in paths.notebooks():
        for _, link in re.findall(r"\[([^\]]+)\]\(([^)]+)\)", first_line(path)):
            assert (path.parent / link).is_file()


def test_renewing_twice_writes_nothing_and_keeps_text_and_outputs(home):
    before = nbformat.read(home / "01_middle.ipynb", as_version=4)
    course.renew()
    after = nbformat.read(home / "01_middle.ipynb", as_version=4)
    assert after.cells[0].source.partition("\n\n")[2] == before.cells[0].source.partition("\n\n")[2]
    assert after.cells[1:] == before.cells[1:]
    assert course.renew() == []


def test_a_new_neighbor_makes_links_outdated(home):
    course.renew()
    notebook(home, "01b_not_here", "# x").rename(home / "03_new.ipynb")
    assert [path.stem for path in course.outdated()] == ["02_last", "03_new"]


def test_a_good_notebook_lacks_nothing(home):
    assert course.lacks(home / "01_middle.ipynb") == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({0: GOOD[0] + " word" * 151}, "the first picture stands behind 161 words, at most 150"),
        ({3: "## Fork this\n\n" + "word " * 1500}, "words of text, at most 1500"),
        ({5: GOOD[5].replace("3.", "")}, "2 exercises under a heading, expected 3"),
        ({5: "## Exercises\n\n" + GOOD[5].partition("## What")[2]}, "exercises under a heading"),
        ({0: GOOD[0].replace("**", "")}, "the first cell has no finding"),
        ({0: GOOD[0].replace("glossary.md", "x.md")}, "no link to glossary.md"),
        ({3: "## Change this"}, '"Fork this"'),
        ({4: "Nothing to change."}, '"Fork this"'),
        ({2: ("plots.show()", PICTURE)}, "no plots.method_map(here=…)"),
        ({1: ("plot()", None), 2: ("plots.method_map(here=())", None)}, "no picture"),
        ({5: [GOOD[5]] * 26}, "31 cells, at most 30"),
    ],
)
def test_what_a_notebook_lacks_is_said(home, change, said):
    parts = [change.get(n, part) for n, part in enumerate(GOOD)]
    flat = [cell for part in parts for cell in (part if isinstance(part, list) else [part])]
    path = notebook(home, "01_middle", *flat)
    assert [sentence for sentence in course.lacks(path) if said in sentence], course.lacks(path)


def test_solutions_have_to_be_there_and_to_have_run(home):
    assert course.lacks(home / "02_last.ipynb") == [
        "0 solutions in solutions/02_last_solutions.ipynb, expected 3",
    ]
    notebook(home, "solutions/01_middle_solutions", *ANSWERS[:4], "## Exercise 3\n\nLeft to you.")
    assert course.lacks(home / "01_middle.ipynb") == ["2 solutions in solutions/01_middle_solutions.ipynb, expected 3"]


def test_the_table_counts_cells_words_and_words_before_the_picture(home, capsys):
    rows = course.table()
    assert list(rows.loc["01_middle"]) == [6, len(GOOD[0].split()) - 1 + 6 + 14, len(GOOD[0].split()) - 1]
    assert course.main(["--table"]) == 0
    assert "01a_rules" in capsys.readouterr().out
