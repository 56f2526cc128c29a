"""Cells that cannot run are left out with everything that depends on them, and nothing else."""

import ast

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbformat.v4 import new_code_cell, new_notebook

from camlib.compendium import lenient, notebook_runner

MISSING = """from camlib.zoo.pretrained import WeightsUnavailable
def load():
    raise WeightsUnavailable("The weights of x are not here: y")"""


@pytest.fixture
def shell():
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    lenient.load_ipython_extension(shell)
    assert shell.run_cell(MISSING).success
    yield shell
    lenient.unload_ipython_extension(shell)
    InteractiveShell.clear_instance()


def printed(shell, capsys, *cells):
    """What each cell prints or shows."""
    found = []
    for cell in cells:
        assert shell.run_cell(cell).success
        found.append(capsys.readouterr().out.strip())
    return found


def test_sentences_about_the_default_network_are_printed_not_asserted(shell, capsys):
    begun = "from camlib import report; report.begin('04_sca_cam', network='resnet18')"
    assert (
        printed(shell, capsys, begun, "report.prose(the_sum_is_blind=False)")[1]
        == "does not hold here: the sum is blind"
    )
    lenient.unload_ipython_extension(shell)
    assert shell.run_cell(begun).success
    assert not shell.run_cell("report.prose(the_sum_is_blind=False)").success


def test_cells_that_need_what_is_missing_are_left_out_and_others_run(shell, capsys):
    first, second, third, fourth = printed(shell, capsys, "net = load()", "a = net.name", "print(a)", "print('here')")
    assert first == "left out: The weights of x are not here: y"
    assert second == "left out: needs net (The weights of x are not here)"
    assert third == "left out: needs a (The weights of x are not here)"
    assert fourth == "here"


def test_nothing_is_made_from_an_older_value(shell, capsys):
    """The danger: a cell fails before it draws, and the next one saves the figure of another item."""
    _, _, saved = printed(shell, capsys, "figure = 'old'", "load()\nfigure = 'new'", "print('saved', figure)")
    assert saved.startswith("left out: needs figure")


def test_a_name_that_is_assigned_anew_is_whole_again(shell, capsys):
    *_, last = printed(shell, capsys, "x = load()", "x = 1", "print(x)")
    assert last == "1"


@pytest.mark.parametrize(
    "change", ["rows[0] = 1", "rows.append(1)", "rows += [1]", "rows.x.y(2)", "for rows in []:\n    0"]
)
def test_a_value_that_would_have_been_changed_is_missing(shell, capsys, change):
    *_, last = printed(shell, capsys, "rows = [0]", f"load()\n{change}", "print(rows)")
    assert last.startswith("left out: needs rows")


def test_a_module_that_is_called_is_not_missing(shell, capsys):
    *_, last = printed(shell, capsys, "import math", "load()\nmath.sqrt(4)", "print(math.sqrt(9))")
    assert last == "3.0"


def test_another_failure_is_said_and_goes_on_as_well(shell, capsys):
    first, second = printed(shell, capsys, "x = 1 / 0", "print(x)")
    assert first == "failed: ZeroDivisionError: division by zero"
    assert second == "left out: needs x (a cell above failed with ZeroDivisionError)"


def test_an_assertion_is_said_and_the_cell_goes_on(shell, capsys):
    cell = "for i in (1, 2, 3):\n    assert i < 2, 'no'\nprint('end')\nassert True"
    assert printed(shell, capsys, cell) == ["does not hold here: i < 2\nend"]
    assert printed(shell, capsys, cell)[0].startswith("does not hold here"), "said again in another run of the cell"


def test_an_identity_that_does_not_hold_still_fails(shell, capsys):
    (said,) = printed(shell, capsys, "raise AssertionError('sca-eq-6 does not hold')")
    assert said == "failed: AssertionError: sca-eq-6 does not hold"


def test_the_last_expression_is_shown_as_ever(shell, capsys):
    shown = printed(shell, capsys, "a = 2\na + 1", "b = 3", "None", "print('x')")
    assert [line.partition(": ")[2] or line for line in shown] == ["3", "", "", "x"]


@pytest.mark.parametrize(
    ("cell", "needed"),
    [
        ("a = b", {"b"}),
        ("a = 1\nb = a", set()),
        ("b = a\na = 1", {"a"}),
        ("a += 1", {"a"}),
        ("a.b[c] = d", {"a", "c", "d"}),
        ("[x for x in y if z]", {"y", "z"}),
        ("{k: v for k, v in y}", {"y"}),
        ("[x for x in y]\nx", {"x", "y"}),
        ("for x in y:\n    x", {"y"}),
        ("f = lambda x, y=z: x + w", {"w", "z"}),
        ("def f(x, *a, y=z, **k):\n    q = x\n    return q + w + f(a, k)", {"w", "z"}),
        ("class A(B):\n    c = d\n    def m(self):\n        return e", {"B", "d", "e"}),
        ("import a.b as c, d.e\nc, d", set()),
        ("with a as b:\n    b", {"a"}),
        ("try:\n    a\nexcept E as e:\n    e", {"a", "E"}),
        ("if (n := a) > 1:\n    n", {"a"}),
        ("print(f'{x:{y}}')", {"print", "x", "y"}),
    ],
)
def test_names_that_a_cell_needs_from_elsewhere(cell, needed):
    assert lenient.needs(ast.parse(cell)) == needed


@pytest.mark.usefixtures("forked_kernels")
def test_a_notebook_runs_to_its_end_in_the_papers_setting(tmp_path):
    cells = [
        new_code_cell("profile = 'offline'", metadata={"tags": ["parameters"]}),
        new_code_cell(MISSING),
        new_code_cell("net = load()"),
        new_code_cell("net.name"),
        new_code_cell("assert profile == 'offline'\nprint('reached', profile)"),
    ]
    path = tmp_path / "00_toy.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    with pytest.raises(ValueError, match="needs parameters"):
        notebook_runner.run(path, tmp_path / "built", lenient=True)
    run = notebook_runner.run(path, tmp_path / "built", {"profile": "paper"}, lenient=True)
    found = nbformat.read(run, as_version=4)
    assert [line.partition(": ")[0] for _, line in lenient.remarks(found)] == ["left out"] * 2 + ["does not hold here"]
    assert found.cells[-1].outputs[-1].text.endswith("reached paper\n")
