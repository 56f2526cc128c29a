"""Forked kernels are kernels: same outputs as started ones, ended with whoever waits for them; imports come once."""

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from camlib.compendium import kernels, notebook_runner

pytestmark = pytest.mark.usefixtures("own_environment")
forks = pytest.mark.skipif(not kernels.can_fork(), reason="forked kernels need Linux")
CELLS = (
    "import os\nprint(os.path.basename(os.getcwd()), seed, __name__)",
    "import matplotlib.pyplot as plt\nlines = plt.plot([1, 2])",
    "import ipywidgets\nipywidgets.IntSlider(3)",
    "import camlib, pandas as pd\npd.DataFrame([range(10**7, 10**7 + 19)], index=[camlib.METHODS['grad-cam'].name])",
)
LIGHT = """
from camlib.compendium import kernels, notebook_runner
kernels.preload = lambda notebooks: None  # seconds in which nothing is forked yet
notebook_runner.main()
"""
FEW = """
import camlib
from camlib.compendium import notebook_runner
camlib.__all__ = ["Trace"]  # enough to load PyTorch; a run that loads all of camlib is another test
raise SystemExit(notebook_runner.main())
"""
LOADED = "import sys\nprint(sorted({'torch', 'colorsys'} & set(sys.modules)))"


def notebook(tmp_path, name, *cells):
    path = tmp_path / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    first = new_code_cell("seed = 0", metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[first, *(new_code_cell(cell) for cell in cells)]), path)
    return path


@contextlib.contextmanager
def command_line(*arguments, entry=("-m", "camlib.compendium.notebook_runner")):
    """A process of its own: what it imports is not imported into the tests, and it does not outlive the block.

    A shell starts what runs in the background with SIGINT ignored, and children inherit that; this one listens.
    """
    command = [sys.executable, *entry, "run", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **pipes) as run:
        try:
            yield run
        finally:
            run.kill()


def outputs(path):
    return [cell.outputs for cell in nbformat.read(path, as_version=4).cells]


def test_several_notebooks_come_out_as_each_alone(tmp_path):
    paths = [notebook(tmp_path, f"0{i}_toy", *CELLS, f"print({i})") for i in range(3)]
    with command_line(*paths, "--output", tmp_path / "together", "--jobs", 2) as together:
        said, complaints = together.communicate(timeout=300)
    assert (together.returncode, complaints) == (0, "")
    assert sorted(line.split()[0] for line in said.splitlines()) == ["00_toy", "01_toy", "02_toy", *["running"] * 3]
    alone = notebook_runner.run(paths[2], tmp_path / "alone")
    assert (tmp_path / "together" / paths[2].name).read_bytes() == alone.read_bytes()
    printed, drawn, widget, table, _ = outputs(alone)[1:]
    assert printed[0].text == "notebooks 0 __main__\n"
    assert "image/png" in drawn[0].data
    assert widget[0].data["text/plain"] == "IntSlider(value=3)"
    assert "..." not in table[0].data["text/plain"]  # as wide as in a kernel, not as in a terminal


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """(status, what was said, complaints, folder) of a run in which some notebooks fail and others do not."""
    folder, dies = tmp_path_factory.mktemp("mixed"), "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    cells = {"00_a": LOADED, "01_b": "import colorsys, not_there", "02_bad": "1 / 0", "03_dead": dies, "04_good": "1"}
    paths = [notebook(folder, name, cell) for name, cell in cells.items()]
    with command_line(*paths, "--output", folder / "built", entry=("-c", FEW)) as run:
        said, complaints = run.communicate(timeout=300)
    return run.returncode, said, complaints, folder / "built"


@forks
def test_what_notebooks_import_is_there_before_the_first_cell(mixed):
    status, _, complaints, built = mixed
    assert status == 1
    assert "3 of 5 notebooks failed:" in complaints
    assert "  01_b: ModuleNotFoundError: No module named 'not_there' (" in complaints
    assert outputs(built / "00_a.ipynb")[1][0].text == "['colorsys', 'torch']\n"


def test_without_forks_every_kernel_is_started(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "can_fork", lambda: False)
    paths = [notebook(tmp_path, name, "import os\nassert seed == 4") for name in ("00_a", "01_b")]
    monkeypatch.setenv("CAMLIB_FIGURES", str(tmp_path))
    arguments = ["run", *map(str, paths), "--output", str(tmp_path / "built"), "-p", "seed", "4", "--jobs", "2"]
    assert notebook_runner.main(arguments) == 0
    assert sorted(path.name for path in (tmp_path / "built").glob("[0-9]*")) == ["00_a.ipynb", "01_b.ipynb"]


def test_jobs_below_one_are_refused(tmp_path, capsys):
    paths = [str(notebook(tmp_path, name, "1")) for name in ("00_a", "01_b")]
    assert notebook_runner.main(["run", *paths, "--output", str(tmp_path / "built"), "--jobs", "0"]) == 1
    assert "--jobs 0: expected how many notebooks run at the same time, at least 1." in capsys.readouterr().err


def test_one_that_fails_keeps_no_other_from_its_end(mixed):
    status, said, complaints, built = mixed
    assert status == 1
    assert "ZeroDivisionError" in complaints
    assert "Kernel died" in complaints
    assert "04_good done" in said
    assert sorted(path.name for path in built.glob("*.ipynb")) == ["00_a.ipynb", "04_good.ipynb"]
    assert {path.stem for path in built.glob("*.txt")} == {"01_b", "02_bad"}


@forks
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_kernels_end_with_the_process_that_waits_for_them(tmp_path, number):
    _end(tmp_path, number, ("00_long", "01_next"))


@forks
def test_kernels_end_also_where_the_tests_run_in_the_background(tmp_path):
    """As under ``nohup make test &`` of a script: SIGINT is ignored by the process that starts the notebooks."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _end(tmp_path, signal.SIGINT, ("00_long",))
    finally:
        signal.signal(signal.SIGINT, before)


def _end(folder, number, names):
    """Start notebooks that would take ten minutes, send the command a signal, and see the first one's kernel end."""
    mark = folder / "pid"
    long = f"import os, pathlib, time\npathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\ntime.sleep(600)"
    paths = [notebook(folder, name, long) for name in names]
    with command_line(*paths, "--output", folder, entry=("-c", LIGHT)) as run:
        _wait_until(lambda: mark.exists() and mark.read_text(), 120)
        run.send_signal(number)
        run.communicate(timeout=60)
    _wait_until(lambda: not _alive(int(mark.read_text())), 60)
    assert not (folder / "00_long.ipynb").exists()


def test_names_of_imported_modules(tmp_path):
    cells = "import a.b as c, d\nfrom e import f", "%matplotlib inline", "def g():\n    import h"
    path = notebook(tmp_path, "00_toy", *cells)
    assert list(kernels.imported(path)) == ["a.b", "d", "e", "e.f", "h"]


def _wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def _alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
