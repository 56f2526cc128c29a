"""What stands in the book, in which order: pages of the repository, and the few that only the book has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat

from camlib import paths

FRONT = ("README.md", "notebooks/glossary.md")
COMPENDIUM = {
    "figures/README.md": "Gallery",
    "figures/claims.md": "Ledger of claims",
    "figures/methods.md": "Every method",
    "figures/items.md": "What is made, and where",
    "figures/errata.md": "Slips of the sources",
    "figures/networks.md": "Trained networks",
    "figures/loops.md": "Methods beside loops",
    "data/README.md": "Data",
    "CONTRIBUTING.md": "Contributing",
}
"""Page -> its name in the table of contents."""
PACKAGES = {
    "": "The front door",
    "networks": "Networks",
    "layers": "Layers",
    "engine": "Engine",
    "weights": "Weights: the methods",
    "baselines": "Baselines",
    "explanation": "Explanations",
    "metrics": "Metrics",
    "evaluate": "Evaluation",
    "studies": "Studies",
    "data": "Data and scenes",
    "zoo": "Trained networks",
    "training": "Training",
    "plots": "Plots",
    "compendium": "Compendium",
}
"""Package -> title of its page in the API reference."""


def texts(root: Path) -> list[str]:
    """The Markdown pages of the repository that the book takes."""
    return [page for page in (*FRONT, *COMPENDIUM) if (root / page).is_file()]


def notebooks(root: Path, only: Sequence[str]) -> list[str]:
    """The notebooks, relative to the root: course, appendix, solutions; those whose name begins as one of ``only``."""
    found = [path for path in paths.notebooks(root / "notebooks") if not only or path.name.startswith(tuple(only))]
    return [path.relative_to(root).as_posix() for path in found]


def own_pages(root: Path, pages: Sequence[str], equations: Mapping[str, Sequence[Sequence[str]]]) -> Mapping[str, str]:
    """The first page with the tables of contents, the list of equations, and the API reference, by file name.

    ``equations``: of each page, (formula, label) of every numbered equation.
    """
    own = {"index.md": _index(root, pages), "equations.md": _equations(root, equations)}
    return own | {f"api/{name}": text for name, text in api_pages(root).items()}


def _equations(root: Path, equations: Mapping[str, Sequence[Sequence[str]]]) -> str:
    """Every numbered equation with a link to where it stands, notebook by notebook."""
    parts = ["# Equations", "Every numbered equation of the course and its appendix; the number leads to its place."]
    for page, found in equations.items():
        if found:
            title, _, place = _numbered(root, page).rpartition(" <")
            lines = [f"- {{eq}}`{label}` $\\displaystyle {' '.join(body.split())}$" for body, label in found]
            parts.append("\n".join([f"## [{title}]({place.rstrip('>')}.ipynb)", "", *lines]))
    return "\n\n".join(parts) + "\n"


def _index(root: Path, pages: Sequence[str]) -> str:
    folders = {"Course": "notebooks", "Appendix": "notebooks/appendix", "Solutions": "notebooks/solutions"}
    parts = ["# camlib: the book", _WORDS]
    front = {"README.md": "About camlib", "notebooks/glossary.md": "Notation and glossary"}
    begin = [f"{name} <{page}>" for page, name in front.items() if page in pages]
    parts.append(_toctree("Begin", [*begin, "Equations <equations.md>"]))
    for caption, folder in folders.items():
        within = [
            _numbered(root, page) for page in pages if page.endswith(".ipynb") and page.rpartition("/")[0] == folder
        ]
        parts += [_toctree(caption, within)] if within else []
    parts.append(_toctree("Compendium", [f"{name} <{page}>" for page, name in COMPENDIUM.items() if page in pages]))
    parts.append(_toctree("Library", ["API reference <api/index>"]))
    return "\n\n".join(parts) + "\n"


_WORDS = """\
A class activation map is a weighted sum of feature maps, $H=\\sum_k w_kM_k$; a method is its weights. One law runs
through the course: weights that lose their sign or become equal make the plain sum of the maps, which knows no class.

- **Course**: one story a notebook, each a question, a prediction, a measurement and what it means. Begin with
  *Start here*; the pages follow each other.
- **Appendix**: the audit behind the stories, equation by equation. **Solutions**: the exercises, executed.
- **Compendium**: every figure and table of the papers, every claim with its verdict, slips of the sources.
- **Library**: what each function takes and gives.

Every page was made from a notebook or a table as it ran; nothing here needs a kernel or a server. A click or a tap on a
figure enlarges it.
"""


def _numbered(root: Path, page: str) -> str:
    """An entry with the number of the notebook before its title: "05 · The law <notebooks/05_the_law>"."""
    number = page.rpartition("/")[2].partition("_")[0]
    first = nbformat.read(root / page, 4).cells[0].source
    title = next((line[2:] for line in first.splitlines() if line.startswith("# ")), number)
    title = re.sub(rf"^(Appendix |Solutions to )?{number}[\s:,·]*", "", title) or f"Solutions to {number}"
    return f"{number} · {title[0].upper()}{title[1:]} <{page.removesuffix('.ipynb')}>"


def _toctree(caption: str, entries: Sequence[str]) -> str:
    lines = "\n".join(entry.removesuffix(".ipynb").replace(".md>", ">") for entry in entries)
    return f"```{{toctree}}\n:caption: {caption}\n:maxdepth: 1\n\n{lines}\n```"


def api_pages(root: Path) -> Mapping[str, str]:
    """One page a package, every module of it from its docstrings; reStructuredText by file name."""
    pages = {}
    for package, title in PACKAGES.items():
        folder = root / "camlib" / package
        modules = sorted(path for path in folder.glob("*.py" if not package else "**/*.py") if _public(path))
        names = [".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__") for path in modules]
        body = [f"{title}\n{'=' * len(title)}\n"]
        body += [f"{_named(name)}\n\n.. automodule:: {name}\n   :members:\n" for name in sorted(names)]
        pages[f"{package or 'camlib'}.rst"] = "\n".join(body)
    entries = "\n".join(f"   {package or 'camlib'}" for package in PACKAGES)
    pages["index.rst"] = f"API reference\n=============\n\n.. toctree::\n   :maxdepth: 1\n\n{entries}\n"
    return pages


def _named(name: str) -> str:
    return f"{name}\n{'-' * len(name)}"


def _public(path: Path) -> bool:
    return path.name != "__main__.py" and not path.name.startswith("_explor")
