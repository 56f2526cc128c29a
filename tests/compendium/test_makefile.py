"""make figures runs what is out of date, all of it with one command, and nothing else."""

import os
import shutil
import subprocess

import pytest

from camlib import paths

PYTHON = """#!/bin/sh
# Stands for the environment's Python: writes down its arguments, and makes each result of a run.
echo "$@" | sed 's/^-m camlib.compendium.//' >> log
for word in "$@"; do
    case $word in
        notebooks/bad*) exit 1;;
        notebooks/*) mkdir -p "$5" && touch "$5/${word##*/}";;
    esac
done
"""
OLD = 1_700_000_000


@pytest.fixture
def tree(tmp_path):
    """The Makefile with two notebooks, one source and an environment that only writes down what it is asked."""
    files = ["notebooks/00_a.ipynb", "notebooks/01_b.ipynb", "camlib/x.py", "data/manifest.json", "data/bench.csv"]
    for name in [*files, "requirements.lock", "pyproject.toml", ".venv/.installed", "build/notebooks/log"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (OLD, OLD))
    shutil.copy(paths.ROOT / "Makefile", tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir()
    python.write_text(PYTHON)
    python.chmod(0o755)
    return tmp_path


def make(tree, *arguments):
    """(status, commands of Python that make gave)."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    (tree / "log").write_text("")
    run = subprocess.run(["make", *arguments], cwd=tree, env=clean, capture_output=True, text=True, timeout=60)
    return run.returncode, (tree / "log").read_text().splitlines()


def test_notebooks_run_with_one_command_and_only_when_something_changed(tree):
    run = "notebook_runner run --output build/notebooks --jobs 2"
    everything = [f"{run} notebooks/00_a.ipynb notebooks/01_b.ipynb", "report gallery"]
    assert make(tree, "figures") == (0, everything)
    assert make(tree, "figures") == (0, [])
    os.utime(tree / "notebooks" / "01_b.ipynb")
    assert make(tree, "-j2", "figures") == (0, [f"{run} notebooks/01_b.ipynb", "report gallery"])
    os.utime(tree / "camlib" / "x.py")
    assert make(tree, "figures") == (0, everything)
    (tree / "build" / "notebooks" / "00_a.ipynb").unlink()
    assert make(tree, "figures") == (0, [f"{run} notebooks/00_a.ipynb", "report gallery"])


def test_parameters_and_jobs_reach_the_run_and_keep_its_results_apart(tree):
    status, commands = make(tree, "figures", "NETWORK=resnet18", "SEED=1", "JOBS=4")
    run = "notebook_runner run --output build/notebooks-resnet18-seed1 --jobs 4 -p network resnet18 -p seed 1 --lenient"
    assert (status, commands) == (0, [f"{run} notebooks/00_a.ipynb notebooks/01_b.ipynb", "report gallery"])
    assert not list((tree / "build" / "notebooks").glob("*.ipynb"))


def test_one_notebook_runs_alone(tree):
    assert make(tree, "01_b") == (0, ["notebook_runner run --output build/notebooks --jobs 2 notebooks/01_b.ipynb"])
    assert make(tree, "01_b") == (0, [])


def test_appendix_and_solutions_run_with_the_course_the_longest_first_and_each_alone(tree):
    names = ["appendix/08a_more", "appendix/11a_rules", "solutions/00_a_solutions", "08_c", "notes"]
    for name in names:
        path = tree / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    order = ["appendix/11a_rules", "appendix/08a_more", "08_c", "00_a", "01_b", "solutions/00_a_solutions"]
    paths_in_order = [f"notebooks/{name}.ipynb" for name in order]
    run = "notebook_runner run --output build/notebooks --jobs 2"
    assert make(tree, "figures") == (0, [f"{run} {' '.join(paths_in_order)}", "report gallery"])
    assert make(tree, "figures") == (0, [])
    os.utime(tree / "notebooks" / "appendix" / "08a_more.ipynb")
    assert make(tree, "08a_more") == (0, [f"{run} notebooks/appendix/08a_more.ipynb"])
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


@pytest.mark.parametrize("given", ["PROFILE=nope", "FAST=maybe", "NETWORK=a b", "SEED=x", "JOBS=", "THREADS=two"])
def test_a_variable_that_means_nothing_is_refused_before_anything_runs(tree, given):
    status, commands = make(tree, "figures", given)
    assert (status, commands) == (2, [])


def test_a_lab_writes_its_figures_to_build(tree):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    said = subprocess.run(["make", "-n", "lab"], cwd=tree, env=clean, capture_output=True, text=True, timeout=60).stdout
    assert "CAMLIB_FIGURES=build/figures-lab" in said
    assert said.rstrip().endswith("notebooks/00_start_here.ipynb")


@pytest.mark.parametrize(
    ("given", "said"), [("HF_HUB_OFFLINE=0", "may be downloaded"), ("", "HF_HUB_OFFLINE=0 allows")]
)
def test_another_network_is_told_whether_weights_are_downloaded(tree, given, said):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "HF_"))}
    command = ["make", "figures", "NETWORK=resnet18", *filter(None, [given])]
    done = subprocess.run(command, cwd=tree, env=clean, capture_output=True, text=True, timeout=60)
    assert said in done.stdout
