"""make figures runs what is out of date, all of it with one command, and nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from camlib import paths

RAN = (
    "import sys; from pathlib import Path; from camlib.compendium import stale as s; n = Path(sys.argv[1]); "
    "s.remember(Path(sys.argv[2]) / n.name, s.needs(n, s.Imports(Path.cwd())))"
)

PYTHON = f"""#!/bin/sh
# Stands for the environment's Python: writes down its arguments, makes each result of a run and what is kept beside it;
# what has to run again is decided by the real one.
export PYTHONPATH="{paths.ROOT}"
case $2 in
    *.stale) exec "{sys.executable}" -P "$@";;
esac
echo "$@" | sed 's/^-m camlib.compendium.//' >> log
for word in "$@"; do
    case $word in
        notebooks/bad*) exit 1;;
        notebooks/*) mkdir -p "$5" && cp "$word" "$5" && "{sys.executable}" -P -c "{RAN}" "$word" "$5";;
    esac
done
"""
OLD = 1_700_000_000
RUN = "notebook_runner run --output build/notebooks --jobs 2"
A, B = "notebooks/00_a.ipynb", "notebooks/01_b.ipynb"
EVERYTHING = [f"{RUN} {A} {B}", "report gallery"]
CODE = {
    A: "import camlib.x\nprint(camlib.x.y)",
    B: "from camlib import z, table\ntable.read()",
}
FILES = {
    "camlib/__init__.py": "",
    "camlib/x.py": "from camlib.deep import y",
    "camlib/deep.py": "y = 1",
    "camlib/z/__init__.py": "import lazy_loader\nlazy_loader.attach(__name__, submod_attrs={'inner': ['other']})",
    "camlib/z/inner.py": "other = 2",
    "camlib/table.py": "FILE = 'bench.csv'\ndef read(): from camlib import x",
    "data/bench.csv": "1,2",
    "data/manifest.json": "{}",
    "data/evidence/rows.parquet": "",
    "requirements.lock": "torch==1",
    "pyproject.toml": "",
}


def write_notebook(path, *sources, text="# Toy"):
    cells = [new_markdown_cell(text), *(new_code_cell(source) for source in sources)]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells), path)


@pytest.fixture
def tree(tmp_path):
    """The Makefile with two notebooks, a small package and an environment that only writes down what it is asked."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name, source in CODE.items():
        write_notebook(tmp_path / name, source)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    shutil.copy(paths.ROOT / "Makefile", tmp_path)
    for path in tmp_path.rglob("*"):
        os.utime(path, (OLD, OLD))
    (python.parents[1] / ".installed").touch()
    return tmp_path


def ask_make(tree, *arguments):
    """The run of make, and what was said."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "HF_", "CAMLIB"))
    }
    (tree / "log").write_text("")
    return subprocess.run(["make", *arguments], cwd=tree, env=clean, capture_output=True, text=True, timeout=120)


def make(tree, *arguments):
    """(status, commands of Python that make gave)."""
    run = ask_make(tree, *arguments)
    return run.returncode, (tree / "log").read_text().splitlines()


def test_notebooks_run_with_one_command_and_not_again(tree):
    assert make(tree, "figures") == (0, EVERYTHING)
    assert make(tree, "figures") == (0, [])
    for path in [tree / A, tree / "camlib" / "x.py", tree / "data" / "bench.csv"]:
        os.utime(path)  # times of files decide about the gallery alone
    assert make(tree, "figures") == (0, ["report gallery"])
    assert make(tree, "-B", "figures") == (0, EVERYTHING)
    (tree / "build" / "notebooks" / "00_a.ipynb").unlink()
    assert make(tree, "-j2", "figures") == (0, [f"{RUN} {A}", "report gallery"])


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("camlib/deep.py", [A, B]),
        ("camlib/z/__init__.py", [B]),
        ("camlib/table.py", [B]),
        ("data/bench.csv", [B]),
        ("data/evidence/rows.parquet", []),
        ("data/manifest.json", []),
        ("camlib/z/inner.py", []),
    ],
)
def test_a_notebook_runs_again_when_what_it_imports_or_reads_changed(tree, name, again):
    make(tree, "figures")
    (tree / name).write_text(FILES[name] + "\n")
    ran = [f"{RUN} {' '.join(again)}"] if again else []
    asked = ask_make(tree, "figures")
    assert [line for line in (tree / "log").read_text().splitlines() if "run" in line] == ran
    assert [f"{Path(path).stem} runs: {name} changed" in asked.stderr for path in (A, B)] == [
        path in again for path in (A, B)
    ]


def test_a_notebook_with_other_code_runs_again_and_other_text_is_copied(tree):
    make(tree, "figures")
    write_notebook(tree / A, CODE[A], text="# Another title")
    assert make(tree, "figures") == (0, ["report gallery"])
    run = tree / "build" / A
    assert [cell.source for cell in nbformat.read(run, as_version=4).cells] == ["# Another title", CODE[A]]
    write_notebook(tree / A, "print(2)", text="# Another title")
    assert make(tree, "figures") == (0, [f"{RUN} {A}", "report gallery"])


def test_parameters_and_jobs_reach_the_run_and_keep_its_results_apart(tree):
    status, commands = make(tree, "figures", "NETWORK=resnet18", "SEED=1", "JOBS=4")
    run = "notebook_runner run --output build/notebooks-resnet18-seed1 --jobs 4 -p network resnet18 -p seed 1 --lenient"
    assert (status, commands) == (0, [f"{run} {A} {B}", "report gallery"])
    assert not list((tree / "build" / "notebooks").glob("*.ipynb"))


def test_one_notebook_runs_alone(tree):
    assert make(tree, "01_b") == (0, [f"{RUN} {B}"])
    assert make(tree, "01_b") == (0, [])
    assert make(tree, "00") == (0, [f"{RUN} {A}"])


def test_appendix_and_solutions_run_with_the_course_the_longest_first_and_each_alone(tree):
    names = ["appendix/08a_more", "appendix/11a_rules", "solutions/00_a_solutions", "08_c", "notes"]
    for name in names:
        write_notebook(tree / "notebooks" / f"{name}.ipynb", "1")
    order = ["appendix/11a_rules", "appendix/08a_more", "08_c", "00_a", "01_b", "solutions/00_a_solutions"]
    paths_in_order = [f"notebooks/{name}.ipynb" for name in order]
    assert make(tree, "figures") == (0, [f"{RUN} {' '.join(paths_in_order)}", "report gallery"])
    assert make(tree, "figures") == (0, [])
    write_notebook(tree / "notebooks" / "appendix" / "08a_more.ipynb", "2")
    write_notebook(tree / "notebooks" / "08_c.ipynb", "2")
    assert make(tree, "08a_more") == (0, [f"{RUN} notebooks/appendix/08a_more.ipynb"])
    assert make(tree, "08") == (0, [f"{RUN} notebooks/08_c.ipynb"])
    (command,) = [line for line in make(tree, "test")[1] if line.startswith("-m pytest")]
    assert command.split()[-7:] == [*paths_in_order, "tests"]


def test_a_failure_keeps_no_other_notebook_and_no_gallery_from_being_made(tree):
    (tree / "notebooks" / "01_b.ipynb").rename(tree / "notebooks" / "02_c.ipynb")
    (tree / ".venv" / "bin" / "python").write_text(PYTHON.replace("notebooks/bad*", "notebooks/02_*"))
    status, commands = make(tree, "figures")
    assert status == 2
    assert [command.split()[0] for command in commands] == ["notebook_runner", "report"]
    assert (tree / "build" / "notebooks" / "00_a.ipynb").exists()


def test_a_dry_run_runs_nothing(tree):
    assert make(tree, "--dry-run", "figures") == (0, [])


@pytest.mark.parametrize(
    "given", ["PROFILE=nope", "FAST=maybe", "NETWORK=a b", "SEED=x", "JOBS=", "JOBS=0", "THREADS=two", "network=a"]
)
def test_a_variable_that_means_nothing_is_refused_before_anything_runs(tree, given):
    status, commands = make(tree, "figures", given)
    assert (status, commands) == (2, [])


def test_a_lab_writes_its_figures_to_build(tree):
    said = ask_make(tree, "-n", "lab").stdout
    assert "CAMLIB_FIGURES=build/figures-lab" in said
    assert said.rstrip().endswith("notebooks/00_start_here.ipynb")


@pytest.mark.parametrize(
    ("given", "said"), [("HF_HUB_OFFLINE=0", "may be downloaded"), ("", "HF_HUB_OFFLINE=0 allows")]
)
def test_another_network_is_told_whether_weights_are_downloaded(tree, given, said):
    assert said in ask_make(tree, "figures", "NETWORK=resnet18", *filter(None, [given])).stdout


def test_lists_of_methods_and_photographs_reach_the_run(tree):
    status, (command, _) = make(tree, "figures", "METHODS=grad-cam sca-cam", "PHOTOS=goose")
    folder = command.split()[3]
    assert (status, folder.startswith("build/notebooks-own-")) == (0, True)
    assert command.endswith(f"--jobs 2 -l methods grad-cam sca-cam -l photos goose --lenient {A} {B}")
    assert folder != make(tree, "figures", "METHODS=grad-cam")[1][0].split()[3]


def test_a_name_with_a_space_is_said_and_keeps_nothing_from_running(tree):
    shutil.copy(tree / A, tree / "notebooks" / "00_a copy.ipynb")
    done = ask_make(tree, "figures")
    assert (tree / "log").read_text().splitlines() == EVERYTHING
    assert done.stdout.startswith('left out because of the space in its name: "notebooks/00_a copy.ipynb"')


def test_a_folder_with_a_space_in_its_name(tree):
    moved = tree.rename(tree.with_name("a clone"))
    assert make(moved, "figures") == (0, EVERYTHING)
    assert make(moved, "figures") == (0, [])


@pytest.mark.parametrize("target", ["figures", "test", "env", "01_b"])
def test_a_folder_that_cannot_be_written_is_said_in_one_sentence(tree, target):
    (tree / "build").write_text("no folder")
    (tree / ".venv" / ".installed").unlink()
    done = ask_make(tree, target)
    assert (done.returncode, (tree / "log").read_text()) == (2, "")
    assert done.stdout.startswith(
        "This folder cannot be written, and make keeps .venv/, build/ and figures/ in it: copy"
    )
    assert "Traceback" not in done.stdout + done.stderr


def test_make_b_keeps_the_environment(tree):
    done = ask_make(tree, "-B", "env")
    assert done.stdout == "make -B: the environment stays; rm -r .venv makes it anew\n"
