"""The repository agrees with itself: packaging, Makefile, notebooks; no trace of one machine in its texts."""

import re
import subprocess
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from camlib import paths
from camlib.compendium import notebook_runner

PACKAGING_FILES = ["pyproject.toml", "requirements.lock", "environment.yml"]
PROJECT = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
GROUPS = {"core": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
DIRECT = {f"{group}:{line}": Requirement(line) for group, lines in GROUPS.items() for line in lines}
NOTEBOOKS = paths.notebooks()
TEXT = {".cff", ".cfg", ".csv", ".ipynb", ".json", ".lock", ".md", ".py", ".toml", ".txt", ".yml", ""}


def pins(lines):
    """Canonical name -> version of lines such as "torch==2.15.0"; anything else among them is an error."""
    split = [re.fullmatch(r"([\w.-]+)==([\w.!]+)", line) or pytest.fail(f"no exact pin: {line!r}") for line in lines]
    return {canonicalize_name(match[1]): match[2] for match in split}


def lock():
    lines = (paths.ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return pins(line for line in lines if not line.startswith("#"))


def conda():
    environment = yaml.safe_load((paths.ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    return environment, pip


def committed():
    """Files that git tracks or would track; a copy without git has nothing to check."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")
    return [path for name in listed.split("\0") if name and (path := paths.ROOT / name).is_file()]


@pytest.mark.parametrize("requirement", DIRECT.values(), ids=DIRECT)
def test_lock_pins_every_direct_dependency_within_its_specifier(requirement):
    pinned = lock().get(canonicalize_name(requirement.name))
    assert pinned is not None, f"{requirement.name} is missing from requirements.lock"
    assert requirement.specifier.contains(pinned), f"the lock has {pinned}, pyproject wants {requirement}"


def test_torch_and_torchvision_are_the_pair_that_was_tested():
    assert (lock()["torch"], lock()["torchvision"]) == ("2.15.0", "0.29.2")


def test_environment_names_the_direct_dependencies_with_the_pins_of_the_lock():
    environment, pip = conda()
    assert environment["name"] == PROJECT["name"] == "camlib"
    assert (pip[0], pip[-1]) == ("-r requirements.lock", "-e .")
    names = {canonicalize_name(requirement.name) for requirement in DIRECT.values()}
    assert pins(pip[1:-1]) == {name: lock()[name] for name in names}


def test_environment_has_a_python_that_the_package_accepts():
    (python,) = [entry for entry in conda()[0]["dependencies"] if str(entry).startswith("python=")]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python.removeprefix("python="))


def test_the_build_is_pinned_too():
    build = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    assert all(Requirement(line).specifier.contains(lock()[Requirement(line).name]) for line in build["requires"])


@pytest.mark.parametrize("name", PACKAGING_FILES)
def test_packaging_files_hold_for_every_machine(name):
    text = (paths.ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"https?://|file:|index-url|find-links|@ |==[\w.]+\+", text)
    assert not paths.MACHINE_PATH.search(text)


def test_no_text_names_a_path_of_this_machine():
    texts = [path for path in committed() if path.suffix in TEXT]
    named = {}
    for path in texts:
        text = re.sub(r'"image/(png|jpeg)": "[^"]*"', "", path.read_text(encoding="utf-8"))
        if match := paths.MACHINE_PATH.search(text) or re.search(rf"{re.escape(str(paths.ROOT))}\b", text):
            named[str(path.relative_to(paths.ROOT))] = match[0]
    assert texts
    assert named == {}, f"{', '.join(named)}: write a path from the root of the repository"


def test_no_file_is_large():
    sizes = {str(path.relative_to(paths.ROOT)): path.stat().st_size for path in committed()}
    rows = {name: sizes.pop(name) for name in [*sizes] if name.startswith("data/evidence/")}
    large = {name: size for name, size in sizes.items() if size > 1_500_000}
    assert large == {}, f"{', '.join(large)}: 1.5 MB at most"
    assert sum(rows.values()) < 12 * 2**20


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_parameters_of_the_makefile_exist_in_every_notebook(path):
    """papermill only warns about a parameter that a notebook does not have."""
    passed = re.findall(r"-p (\w+) \$\(", (paths.ROOT / "Makefile").read_text(encoding="utf-8"))
    assert len(passed) == 4
    assert set(passed) <= set(notebook_runner.parameter_names(path))


def test_readme_names_both_commands():
    text = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    assert "make figures" in text
    assert "make test" in text


def test_every_target_that_make_explains_exists():
    text = (paths.ROOT / "Makefile").read_text(encoding="utf-8")
    explained = re.findall(r'@echo "make ([a-z]+) ', text)
    assert {"figures", "test", "lab", "clean"} <= set(explained)
    assert all(re.search(rf"^{target}:", text, re.MULTILINE) for target in explained)
