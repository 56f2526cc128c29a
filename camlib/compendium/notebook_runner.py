"""Run a notebook without a head and make what it leaves fit to be committed: same inputs, same bytes.

    python -m camlib.compendium.notebook_runner run 01_feature_maps [--output build/notebooks] [-p network resnet18 ...]
    python -m camlib.compendium.notebook_runner run 01_feature_maps 02_unified_framework --jobs 2
    python -m camlib.compendium.notebook_runner clean notebooks/01_feature_maps.ipynb
    python -m camlib.compendium.notebook_runner publish build/notebooks

``run`` executes with papermill and cleans (notebook_cleaner.py); with ``--lenient`` it leaves out cells that cannot
run (lenient.py). Several notebooks share one import of what they need (kernels.py) and run ``--jobs`` at a time; one
that fails stops no other, its traceback lies beside the results as NAME.txt, and the last lines name it.
``publish`` copies runs without parameters over notebooks/. A name says where a notebook lies: in notebooks/, in its
appendix/ or in its solutions/ (camlib.paths).
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml

from camlib import paths
from camlib.compendium import kernels, stale
from camlib.compendium.lenient import remarks
from camlib.compendium.notebook_cleaner import KERNEL, clean, lighten, problems, write

HEADLESS = {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "0"}


def run(
    notebook: str | Path,
    output: str | Path,
    parameters: Mapping[str, Any] | None = None,
    lenient: bool = False,
    spare: kernels.SpareKernel | None = None,
    needed: Mapping[str, str] | None = None,
) -> Path:
    """Execute ``notebook`` (path, or name in notebooks/) in its folder; write it, cleaned, into ``output``.

    Without ``parameters`` the result must be fit for a commit: ValueError if ``problems`` finds anything.
    With them an injected-parameters cell stays in it, outputs are not judged, and ``publish`` refuses it.
    ``lenient`` leaves cells out that cannot run, as lenient.py says; it needs parameters, so that such a run is
    never published. ``spare`` is the kernel to use, if one waits already; ``needed``
    is what :func:`camlib.compendium.stale.needs` says, if somebody has asked it.
    Raises FileNotFoundError for an unknown notebook, ValueError for a parameter that the parameters cell
    does not have and for ``lenient`` without any, papermill.PapermillExecutionError (with the traceback of the
    cell) when a cell fails; then nothing is written and an earlier result is gone.
    """
    source, parameters = find_notebook(notebook), dict(parameters or {})
    if unknown := sorted(set(parameters) - set(known := parameter_names(source))):
        raise ValueError(f"{source.name} has no parameter {unknown}; its parameters cell has {known}.")
    if lenient and not parameters:
        raise ValueError("A lenient run needs parameters, e.g. -p profile paper: what lacks cells is never published.")
    target, needed = Path(output) / source.name, needed or stale.needs(source, stale.Imports(paths.ROOT))
    target.unlink(missing_ok=True)
    executed = papermill.execute_notebook(
        str(source),
        None,
        parameters,
        kernel_name=KERNEL["name"],
        language=KERNEL["language"],
        kernel_manager_class=kernels.manager_class(lenient, spare),
        progress_bar=False,
        cwd=str(source.parent),
    )
    cleaned = lighten(clean(executed))
    if not parameters and (found := problems(cleaned)):
        raise ValueError("\n".join([f"{source.name} cannot be committed as it ran:", *found]))
    write(cleaned, target)
    stale.remember(target, needed)
    return target


def find_notebook(notebook: str | Path) -> Path:
    """The file meant by a path or by a name such as "01_feature_maps"; FileNotFoundError lists the names."""
    for path in (Path(notebook), paths.notebook(str(notebook))):
        if path.is_file():
            return path.resolve()
    there = ", ".join(path.stem for path in paths.notebooks()) or "none"
    raise FileNotFoundError(f"notebook {str(notebook)!r} is no file and no name in notebooks/, which has: {there}.")


def parameter_names(notebook: str | Path) -> list[str]:
    """Names that the cell tagged "parameters" assigns, in order; empty without such a cell."""
    cells = nbformat.read(notebook, as_version=4).cells
    trees = [ast.parse(cell.source) for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    names = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return [name.id for name in names if isinstance(name.ctx, ast.Store)]


def publish(built: str | Path, notebooks: str | Path = paths.NOTEBOOKS) -> list[Path]:
    """Copy every run in ``built`` over its notebook, all or none; returns the notebooks that were written.

    Raises ValueError for a run with parameters and for a notebook that was edited after it ran. The copies
    keep the time of the run, so make finds nothing to do afterwards.
    """
    runs = sorted(Path(built).glob("*.ipynb"))
    for run_path in runs:
        executed = nbformat.read(run_path, as_version=4)
        if any("injected-parameters" in cell.metadata.get("tags", []) for cell in executed.cells):
            raise ValueError(f"{run_path} was run with parameters (-p) and stays there; run it without them.")
        original = nbformat.read(paths.notebook(run_path.stem, Path(notebooks)), as_version=4)
        if [cell.source for cell in executed.cells] != [cell.source for cell in original.cells]:
            raise ValueError(f"{run_path.name} was edited after it ran; run `make figures` first.")
    return [Path(shutil.copy2(run_path, paths.notebook(run_path.stem, Path(notebooks)))) for run_path in runs]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line, see the head of this module; returns 1 after printing what is wrong to stderr."""
    options = _parser().parse_args(arguments)
    os.environ.pop("MPLBACKEND", None)  # kernels choose the inline backend
    os.environ.update({name: value for name, value in HEADLESS.items() if name not in os.environ})
    return _status(options)


def _status(options: argparse.Namespace) -> int:
    try:
        return options.act(options) or 0
    except (papermill.PapermillExecutionError, FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1


_LISTS = "a list for notebooks that have such a parameter (methods, photos); the others do not run"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m camlib.compendium.notebook_runner")
    actions = parser.add_subparsers(required=True)
    running = actions.add_parser("run", help="execute notebooks and clean them")
    running.add_argument("notebooks", nargs="+", metavar="notebook", help="path, or name in notebooks/")
    running.add_argument("--jobs", type=int, default=1, help="notebooks at the same time")
    running.add_argument("--output", type=Path, default=paths.BUILD / "notebooks", help="folder of the result")
    running.add_argument("-p", dest="parameters", nargs=2, action="append", metavar=("KEY", "VALUE"))
    running.add_argument("-l", dest="lists", nargs=2, action="append", default=[], metavar=("KEY", "A B"), help=_LISTS)
    running.add_argument("--lenient", action="store_true", help="leave out cells that cannot run, and say which")
    running.set_defaults(act=_run, spare=None, needed={})
    cleaning = actions.add_parser("clean", help="clean a notebook in place")
    cleaning.add_argument("notebook", help="path, or name in notebooks/")
    cleaning.set_defaults(act=_clean)
    publishing = actions.add_parser("publish", help="copy runs back over notebooks/")
    publishing.add_argument("built", type=Path, help="folder of the runs")
    publishing.set_defaults(act=_publish)
    return parser


def _run(options: argparse.Namespace) -> int:
    options = _with_lists(options)
    if len(options.notebooks) != 1:
        return _run_several(options) if options.notebooks else 0
    (notebook,), start = options.notebooks, time.monotonic()
    name = Path(notebook).stem
    parameters = {key: yaml.safe_load(value) for key, value in options.parameters or []}
    parameters |= {key: _listed(words) for key, words in options.lists if key in _known(notebook)}
    if parameters:  # figures of another setting never replace the committed ones
        os.environ.setdefault("CAMLIB_FIGURES", str(paths.BUILD / "figures-parameters"))
    print(f"running {name} ...", flush=True)
    target = run(notebook, options.output, parameters, options.lenient, options.spare, options.needed.get(notebook))
    said = [line for _, line in remarks(nbformat.read(target, as_version=4))]
    also = f"; it left out or doubts {len(said)} times" if said else ""
    print(f"{name} done in {time.monotonic() - start:.0f} s{also}", flush=True)
    return 0


def _known(notebook: str | Path) -> list[str]:
    return parameter_names(find_notebook(notebook))


def _listed(words: str) -> list[str]:
    """The words of a list; files are named so that they are found from a notebook's folder."""
    return [str(Path(word).resolve()) if Path(word).is_file() else word for word in words.replace(",", " ").split()]


def _with_lists(options: argparse.Namespace) -> argparse.Namespace:
    """Without the notebooks that take none of the lists; one line names them."""
    wanted = {key for key, _ in options.lists}
    without = [notebook for notebook in options.notebooks if wanted and not wanted & set(_known(notebook))]
    if without:
        names = ", ".join(Path(notebook).stem for notebook in without)
        print(f"without a list of {' or '.join(sorted(wanted))}, not run: {names}", flush=True)
    return _with(options, notebooks=[notebook for notebook in options.notebooks if notebook not in without])


def _run_several(options: argparse.Namespace) -> int:
    """Each notebook in a process of its own, in order, ``options.jobs`` at a time; 1 if any of them fails."""
    if options.jobs < 1:
        raise ValueError(f"--jobs {options.jobs}: expected how many notebooks run at the same time, at least 1.")
    found = [find_notebook(notebook) for notebook in options.notebooks]
    if kernels.can_fork():
        kernels.preload(found)
    imports = stale.Imports(paths.ROOT)
    options = _with(options, needed={path: stale.needs(path, imports) for path in found})
    with tempfile.TemporaryDirectory(prefix="camlib-") as shared:
        os.environ[paths.SHARED] = shared
        return _run_at_the_same_time(found, options)


def _run_at_the_same_time(found: list[Path], options: argparse.Namespace) -> int:
    context = get_context("fork" if kernels.can_fork() else "spawn")
    waiting = [
        context.Process(target=_run_in_child, args=(_with(options, notebooks=[path]),), name=path.stem)
        for path in found
    ]
    running, failed = [], []
    try:
        while waiting or running:
            while waiting and len(running) < options.jobs:
                running.append(waiting.pop(0))
                running[-1].start()
            ready = connection.wait([process.sentinel for process in running])
            for process in [process for process in running if process.sentinel in ready]:
                process.join()
                running.remove(process)
                failed += [process.name] if process.exitcode else []
    finally:
        for process in running:
            process.terminate()
    if failed:
        print(_summary(failed, len(found), options.output), file=sys.stderr)
    return int(bool(failed))


def _summary(failed: Sequence[str], count: int, output: Path) -> str:
    """Which notebooks failed, why, and where the whole traceback lies."""
    lines = [f"{len(failed)} of {count} notebooks failed:"]
    for name in sorted(failed):
        note = _trouble_file(name, output)
        said = note.read_text(encoding="utf-8").strip().splitlines() if note.is_file() else []
        lines.append(f"  {name}: {said[-1] if said else 'its process ended'}" + (f" ({note})" if said else ""))
    return "\n".join(lines)


def _trouble_file(name: str, output: Path) -> Path:
    return Path(output) / f"{name}.txt"


def _run_in_child(options: argparse.Namespace) -> None:
    spare = kernels.SpareKernel() if kernels.can_fork() else None
    kernels.end_with_parent()
    note = _trouble_file(Path(options.notebooks[0]).stem, options.output)
    note.unlink(missing_ok=True)
    try:
        sys.exit(options.act(_with(options, spare=spare)) or 0)
    except (papermill.PapermillExecutionError, FileNotFoundError, ValueError) as error:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{error}\n", encoding="utf-8")
        sys.exit(1)
    finally:
        if spare is not None:
            spare.kill()


def _with(options: argparse.Namespace, **changes: Any) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(options), **changes})


def _clean(options: argparse.Namespace) -> None:
    path = find_notebook(options.notebook)
    write(lighten(clean(nbformat.read(path, as_version=4))), path)


def _publish(options: argparse.Namespace) -> None:
    for path in publish(options.built):
        print(f"wrote {path.relative_to(paths.ROOT)}")


if __name__ == "__main__":
    raise SystemExit(main())
