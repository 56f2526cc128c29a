"""Committed notebooks have the properties that comparison needs; the runner and its cleaner make them so."""

import io
import shutil
import sys
from base64 import b64decode, b64encode
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

import camlib
from camlib import paths
from camlib.compendium import notebook_cleaner, notebook_runner

pytestmark = pytest.mark.usefixtures("own_environment", "forked_kernels")
COMMITTED = paths.notebooks()
PARAMETERS = ["profile", "network", "seed", "fast"]
PARAMETERS_CELL = 'profile = "offline"\nnetwork = "a"\nseed = 0\nfast: bool = False'


def each_notebook(test):
    return pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)(test)


def code_cells(path):
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code" and cell.source.strip()]


@each_notebook
def test_is_clean_and_was_run_to_its_end(path):
    notebook = nbformat.read(path, as_version=4)
    assert notebook == notebook_cleaner.clean(notebook), "run `python -m camlib.compendium.notebook_runner clean` on it"
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@each_notebook
def test_outputs_are_free_of_errors_stderr_and_traces_of_a_machine(path):
    assert notebook_cleaner.problems(nbformat.read(path, as_version=4)) == []


@each_notebook
def test_parameters_cell_has_the_four_parameters_and_none_was_injected(path):
    tags = [tag for cell in code_cells(path) for tag in cell.metadata.get("tags", [])]
    assert tags.count("parameters") == 1
    assert "injected-parameters" not in tags
    names = notebook_runner.parameter_names(path)
    assert names[:4] == PARAMETERS
    assert set(names[4:]) <= {"methods", "photos", "anew"}, "METHODS=, PHOTOS= and `-p anew true` reach these"


@each_notebook
def test_is_small_and_so_are_its_cells(path):
    assert path.stat().st_size < 1_500_000
    assert max(len(cell.source.splitlines()) for cell in code_cells(path)) <= 25


@each_notebook
def test_no_cell_relies_on_a_semicolon_to_be_silent(path):
    """nbval runs cells outside the history, where IPython overlooks a semicolon: assign to a name instead."""
    assert [cell.source for cell in code_cells(path) if cell.source.rstrip().endswith(";")] == []


def toy(*sources):
    """A notebook with a parameters cell, not yet run, as an editor leaves it."""
    cells = [new_markdown_cell("# Toy"), new_code_cell(PARAMETERS_CELL, metadata={"tags": ["parameters"]})]
    return new_notebook(cells=[*cells, *(new_code_cell(source) for source in sources)])


def saved(notebook, folder):
    folder.mkdir(exist_ok=True)
    nbformat.write(notebook, folder / "00_toy.ipynb")
    return folder / "00_toy.ipynb"


def used():
    """A notebook by hand with everything that a session leaves behind."""
    notebook = toy("print(1)", "2", "never_run()")
    notebook.metadata = nbformat.from_dict({"kernelspec": {"name": "mine"}, "widgets": {"state": {}}})
    _, first, second, third, _ = notebook.cells
    first.execution_count, second.execution_count, third.execution_count = 3, 7, 12
    second.metadata = nbformat.from_dict({"papermill": {"duration": 1.5}, "tags": [], "execution": {"x": "y"}})
    second.outputs = [
        new_output("stream", name="stdout", text="1"),
        new_output("stream", name="stdout", text="\n"),
        new_output("stream", name="stderr", text="careful"),
        new_output("display_data", {"text/plain": "Box()", notebook_cleaner.WIDGET_VIEW: {"model_id": "9f"}}),
    ]
    third.outputs = [new_output("execute_result", {"text/plain": "2"}, execution_count=12)]
    return notebook


def test_cleaner_keeps_what_matters_and_drops_what_changes():
    notebook = used()
    cleaned = notebook_cleaner.clean(notebook)
    _, first, second, third, fourth = cleaned.cells
    assert [cell.id for cell in cleaned.cells] == [f"cell-{i}" for i in range(5)]
    assert [cell.execution_count for cell in cleaned.cells[1:]] == [1, 2, 3, None]
    assert (first.metadata, second.metadata, fourth.metadata) == ({"tags": ["parameters"]}, {}, {})
    assert [(output.output_type, output.get("text")) for output in second.outputs] == [
        ("stream", "1\n"),
        ("stream", "careful"),
        ("display_data", None),
    ]
    assert second.outputs[2].data == {"text/plain": "Box()"}
    assert third.outputs[0].execution_count == 3
    assert cleaned.metadata == {"kernelspec": notebook_cleaner.KERNEL, "language_info": {"name": "python"}}
    assert notebook == used() | {"cells": notebook.cells}, "the argument stays as it was"
    assert notebook.cells[2].outputs[3].data[notebook_cleaner.WIDGET_VIEW] == {"model_id": "9f"}


def test_large_pictures_become_jpeg_and_small_ones_stay():
    notebook, picture = used(), camlib.load_photo("goose").resize((720, 500))
    pngs = []
    for size in ((720, 500), (40, 30)):
        buffer = io.BytesIO()
        picture.resize(size).save(buffer, "PNG")
        pngs.append(b64encode(buffer.getvalue()).decode())
    notebook.cells[3].outputs = [new_output("display_data", {"image/png": png, "text/plain": "x"}) for png in pngs]
    light = notebook_cleaner.lighten(notebook)
    large, small = (output.data for output in light.cells[3].outputs)
    assert set(large) == {"image/jpeg", "text/plain"}
    assert Image.open(io.BytesIO(b64decode(large["image/jpeg"]))).size == (720, 500)
    assert small == {"image/png": pngs[1], "text/plain": "x"}
    assert notebook_cleaner.lighten(light) == light
    assert "image/png" in notebook.cells[3].outputs[0].data, "the argument stays as it was"


def test_cleaner_is_idempotent(tmp_path):
    once = notebook_cleaner.clean(used())
    assert notebook_cleaner.clean(once) == once
    path = saved(used(), tmp_path)
    contents = []
    for _ in range(2):
        assert notebook_runner.main(["clean", str(path)]) == 0
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    assert contents[0].endswith(b"}\n")
    assert list(tmp_path.iterdir()) == [path], "no temporary file stays"


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (new_output("stream", name="stderr", text="careful"), "writes to stderr"),
        (new_output("error", ename="KeyError", evalue="'x'", traceback=[]), "ends in KeyError"),
        (new_output("stream", name="stdout", text="in /" + "home/me/camlib"), "/" + "home/me/camlib"),
        (new_output("display_data", {"text/html": "<b at 0x7f3a55e0>"}), "at 0x7f3a55e0"),
        (new_output("execute_result", {"text/plain": "lib/site-packages/x.py"}), "site-packages/x.py"),
    ],
)
def test_outputs_that_cannot_be_committed_are_named_with_their_cell(output, problem):
    notebook = new_notebook(cells=[new_markdown_cell(), new_code_cell("x = 1\nx", outputs=[output])])
    (found,) = notebook_cleaner.problems(notebook)
    assert found.startswith("cell 1 ('x = 1') ")
    assert problem in found


@pytest.mark.parametrize("text", ["and/or", "https://x.org/home/me", "data/work/x", "0xff", "a/tmp/b", "5 / 3"])
def test_harmless_text_is_no_problem(text):
    output = new_output("stream", name="stdout", text=text)
    assert notebook_cleaner.problems(new_notebook(cells=[new_code_cell("x", outputs=[output])])) == []


def test_running_twice_gives_the_same_bytes_and_publishing_them_keeps_the_time(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    path = saved(
        toy(
            "import os, sys\nprint(os.path.basename(os.getcwd()), network, os.environ['TQDM_DISABLE'])",
            f"assert sys.executable == {sys.executable!r}",
            "import matplotlib.pyplot as plt\nlines = plt.plot([1, 2])",
            "import ipywidgets\nipywidgets.Box([])",
        ),
        tmp_path / "notebooks",
    )
    built = [tmp_path / name / path.name for name in ("first", "second")]
    for output in built:
        assert notebook_runner.main(["run", str(path), "--output", str(output.parent)]) == 0
    assert built[0].read_bytes() == built[1].read_bytes()
    assert capsys.readouterr().out.startswith("running 00_toy ...\n00_toy done in ")
    cells = nbformat.read(built[0], as_version=4).cells
    assert cells[2].outputs[0].text == "notebooks a 1\n"
    assert "image/png" in cells[4].outputs[0].data
    (published,) = notebook_runner.publish(built[0].parent, path.parent)
    assert published.read_bytes() == built[0].read_bytes()
    assert published.stat().st_mtime_ns == built[0].stat().st_mtime_ns


@pytest.mark.parametrize("name", ["08a_more", "08_toy_solutions", "08_toy"])
def test_a_name_finds_its_notebook_in_any_folder_and_publishing_puts_it_back(tmp_path, monkeypatch, name):
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "notebooks")
    home = {"08a_more": "appendix", "08_toy_solutions": "solutions"}.get(name, "")
    path = tmp_path / "notebooks" / home / f"{name}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(toy("import os\nprint(os.path.basename(os.getcwd()))"), path)
    assert paths.notebooks() == [path]
    assert notebook_runner.main(["run", name, "--output", str(tmp_path / "built")]) == 0
    (run,) = (tmp_path / "built").glob("*.ipynb")
    assert nbformat.read(run, as_version=4).cells[2].outputs[0].text == f"{home or 'notebooks'}\n"
    assert notebook_runner.publish(run.parent, paths.NOTEBOOKS) == [path]
    assert path.read_bytes() == run.read_bytes()


def test_run_with_parameters_injects_them_and_is_never_published(tmp_path, capsys):
    path = saved(toy("assert (network, seed, fast) == ('b', 3, True)"), tmp_path / "notebooks")
    before = path.read_bytes()
    options = [
        "--output",
        str(tmp_path / "built"),
        "-p",
        "network",
        "b",
        "-p",
        "seed",
        "3",
        "-p",
        "fast",
        "true",
    ]
    assert notebook_runner.main(["run", str(path), *options]) == 0
    with pytest.raises(ValueError, match="run with parameters"):
        notebook_runner.publish(tmp_path / "built", path.parent)
    assert path.read_bytes() == before
    assert notebook_runner.main(["run", str(path), "-p", "netwerk", "b"]) == 1
    assert "no parameter ['netwerk']; its parameters cell has ['profile'," in capsys.readouterr().err


def test_lists_reach_the_notebooks_that_have_them_and_the_others_do_not_run(tmp_path, capsys):
    with_list = toy("print(methods)")
    with_list.cells[1].source += "\nmethods = ['grad-cam']"
    path = saved(with_list, tmp_path / "notebooks")
    without = path.with_name("01_none.ipynb")
    nbformat.write(toy("1"), without)
    options = ["--output", str(tmp_path / "built"), "-l", "methods", "a, b", "-l", "photos", "goose"]
    assert notebook_runner.main(["run", str(without), str(path), *options]) == 0
    assert capsys.readouterr().out.startswith("without a list of methods or photos, not run: 01_none\n")
    (run,) = (tmp_path / "built").glob("*.ipynb")
    assert [cell.outputs[0].text for cell in code_cells(run) if cell.outputs] == ["['a', 'b']\n"]
    assert notebook_runner.main(["run", str(without), *options]) == 0


def test_files_in_a_list_are_found_from_the_folder_of_the_notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("cat.jpg").touch()
    assert notebook_runner._listed("goose cat.jpg") == ["goose", str(tmp_path / "cat.jpg")]


def test_a_notebook_that_was_edited_after_its_run_is_not_overwritten(tmp_path):
    saved(toy("1"), tmp_path / "built")
    path = saved(toy("2"), tmp_path / "notebooks")
    with pytest.raises(ValueError, match=r"00_toy\.ipynb was edited after it ran"):
        notebook_runner.publish(tmp_path / "built", path.parent)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{}['missing']", "KeyError"),
        ("import sys\nprint('careful', file=sys.stderr)", "cell 2 ('import sys') writes to stderr"),
    ],
)
def test_a_run_that_fails_leaves_nothing_and_says_why(tmp_path, capsys, source, message):
    path = saved(toy(source), tmp_path / "notebooks")
    earlier = saved(toy(), tmp_path / "built")
    assert notebook_runner.main(["run", str(path), "--output", str(earlier.parent)]) == 1
    assert message in capsys.readouterr().err
    assert not list(earlier.parent.iterdir())


def test_a_failing_cell_raises_with_its_traceback(tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="ZeroDivisionError"):
        notebook_runner.run(saved(toy("1 / 0"), tmp_path), tmp_path / "built")


def test_an_unknown_notebook_is_named_with_those_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    shutil.copy(saved(toy(), tmp_path / "x"), tmp_path / "00_toy.ipynb")
    assert notebook_runner.find_notebook("00_toy") == tmp_path / "00_toy.ipynb"
    with pytest.raises(FileNotFoundError, match=r"'99_none' is no file .* has: 00_toy"):
        notebook_runner.find_notebook("99_none")
