"""The course: its order, the line of links at the top of every notebook, and what a notebook of it has.

    python -m camlib.compendium.course            names links and notebooks that are not as they should be
    python -m camlib.compendium.course --renew    writes the line of links into every notebook
    python -m camlib.compendium.course --table    words, cells and words before the first picture

The order is that of the numbers in notebooks/. Behind 08_sa_cam stand appendix/08a_… and
solutions/08_sa_cam_solutions.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
import pandas as pd
from nbformat import NotebookNode

from camlib import paths
from camlib.compendium.notebook_cleaner import write
from camlib.registry import METHODS

CELLS, WORDS, BEFORE_PICTURE, EXERCISES = 30, 1_500, 150, 3
"""At most so many cells and words of text, so many words before the first picture; so many exercises."""
GLOSSARY = "glossary.md"
BETWEEN = " · "


def course() -> list[Path]:
    """Notebooks of the course in their order."""
    return [path for path in paths.notebooks() if path.parent == paths.NOTEBOOKS]


def story(path: Path) -> Path | None:
    """The notebook of the course that an appendix or a solution belongs to; None where there is none."""
    return next((told for told in course() if told.stem[:2] == path.stem[:2]), None)


def appendices(path: Path) -> list[Path]:
    """What stands in the appendix behind a notebook of the course."""
    return sorted((paths.NOTEBOOKS / paths.APPENDIX).glob(f"{path.stem[:2]}[a-z]_*.ipynb"))


def solutions(path: Path) -> Path:
    """The solutions of the exercises of a notebook of the course, written or not."""
    return paths.notebook(f"{path.stem}_solutions")


# The line of links


def navigation(path: Path) -> str:
    """The line of links of a notebook: contents, neighbors, glossary, appendix, solutions, as far as they exist."""
    links = _course_links(path) if path in course() else _links_behind(path)
    return BETWEEN.join(f"[{words}]({_from(path, to)})" for words, to in links if to != path and to.is_file())


def _course_links(path: Path) -> Iterator[tuple[str, Path]]:
    order = course()
    place = order.index(path)
    yield "contents", order[0]
    yield from ((f"previous: {_title(order[i])}", order[i]) for i in (place - 1,) if i >= 0)
    yield from ((f"next: {_title(order[i])}", order[i]) for i in (place + 1,) if i < len(order))
    yield "glossary", paths.NOTEBOOKS / GLOSSARY
    behind = appendices(path)
    yield from (("appendix" if len(behind) == 1 else f"appendix: {_title(also)}", also) for also in behind)
    yield "solutions", solutions(path)


def _links_behind(path: Path) -> Iterator[tuple[str, Path]]:
    """Of an appendix or of solutions: the story first."""
    yield "contents", course()[0]
    if told := story(path):
        yield f"story: {_title(told)}", told
        yield from ((f"appendix: {_title(also)}", also) for also in appendices(told))
        yield "solutions", solutions(told)
    yield "glossary", paths.NOTEBOOKS / GLOSSARY


def _title(path: Path) -> str:
    """What a file's name says: "03_pooling_cases" -> "pooling cases", "04_sca_cam_audit" -> "SCA-CAM audit"."""
    words = path.stem.partition("_")[2].replace("_", " ")
    return re.sub(r"\b(sca|sa|lfi|score|union) cam\b", lambda found: METHODS[found[0].replace(" ", "-")].title, words)


def _from(path: Path, to: Path) -> str:
    return Path(os.path.relpath(to, path.parent)).as_posix()


def with_navigation(notebook: NotebookNode, line: str) -> str:
    """The text of a notebook's first cell with this line at its top, in place of the one that stands there."""
    text = notebook.cells[0].source
    first, _, rest = text.partition("\n")
    rest = rest if _is_navigation(first) else text
    return f"{line}\n\n{rest.lstrip()}"


def _is_navigation(line: str) -> bool:
    """Whether a line holds links and nothing else."""
    return all(re.fullmatch(r"\[[^\]]+\]\([^)]+\)", part.strip()) for part in line.split(BETWEEN.strip()))


def outdated() -> list[Path]:
    """Notebooks whose line of links is not the one that it should be."""
    return [path for path in paths.notebooks() if _first_cell(path) != with_navigation(_read(path), navigation(path))]


def renew() -> list[Path]:
    """Write the line of links into every notebook that lacks it; the notebooks that changed. Outputs stay."""
    changed = outdated()
    for path in changed:
        notebook = _read(path)
        notebook.cells[0].source = with_navigation(notebook, navigation(path))
        write(notebook, path)
    return changed


def _first_cell(path: Path) -> str:
    return _read(path).cells[0].source


def _read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


# What a notebook of the course has


def measure(path: Path) -> dict[str, int | None]:
    """Cells, words of text, words before the first picture (None without one); the line of links does not count."""
    notebook, words, before = _read(path), 0, None
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            words += len(_told(cell.source).split())
        if before is None and _is_picture(cell):
            before = words
    return {"cells": len(notebook.cells), "words": words, "before the picture": before}


def _told(text: str) -> str:
    """A text without its line of links."""
    first, _, rest = text.partition("\n")
    return rest if _is_navigation(first) else text


def _is_picture(cell: NotebookNode) -> bool:
    if cell.cell_type == "markdown":
        return bool(re.search(r"!\[[^\]]*\]\(|<img ", cell.source))
    return any(kind.startswith("image/") for output in cell.get("outputs", ()) for kind in output.get("data", ()))


def lacks(path: Path) -> list[str]:
    """What a notebook of the course lacks or has too much of, a sentence each; empty if all is well."""
    found, notebook = measure(path), _read(path)
    told = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    before, exercises = found["before the picture"], _exercises(told)
    answers = solutions(path)
    answered = _answered(answers) if answers.is_file() else 0
    sentences = {
        f"{found['cells']} cells, at most {CELLS}: move some to the appendix": found["cells"] > CELLS,
        f"{found['words']} words of text, at most {WORDS}: move some to the appendix": found["words"] > WORDS,
        f"the first picture stands behind {before} words, at most {BEFORE_PICTURE}": (before or 0) > BEFORE_PICTURE,
        "no picture": before is None,
        "the first cell has no finding: one bold sentence": not re.search(r"\*\*[^*]+ [^*]+ [^*]+[.?!]\*\*", told[0]),
        'no cell under a heading "Fork this" that a reader changes': not _has_fork(notebook),
        f"{exercises} exercises under a heading, expected {EXERCISES}": exercises != EXERCISES,
        f"{answered} solutions in {_from(path, answers)}, expected {EXERCISES}": answered < EXERCISES,
        f"no link to {GLOSSARY}": f"({GLOSSARY}" not in "\n".join(told),
        "no plots.method_map(here=…)": "method_map(" not in code,
    }
    return [sentence for sentence, is_so in sentences.items() if is_so]


def _exercises(told: Sequence[str]) -> int:
    """How many numbered paragraphs follow a heading with the word exercises, in one cell or in several."""
    start = next((n for n, text in enumerate(told) if re.search(r"(?mi)^#+ .*exercises", text)), len(told))
    behind = re.split(r"(?mi)^#+ .*exercises.*$", "\n\n".join(told[start:]), maxsplit=1)[-1]
    section = re.split(r"(?m)^#{1,2} ", behind, maxsplit=1)[0]
    return len(set(re.findall(r"(?mi)^[#\s]*\**(?:exercise\s+)?(\d)\b[.:)*]", section)))


def _answered(path: Path) -> int:
    """How many numbers of exercises stand in headings of the solutions, with code that ran behind them."""
    numbers, current = set(), ()
    for cell in _read(path).cells:
        if cell.cell_type == "markdown":
            headings = re.findall(r"(?m)^#+ (.*)$", cell.source)
            current = tuple(re.findall(r"\b[1-9]\b", " ".join(headings))) if headings else current
        elif cell.get("execution_count"):
            numbers |= set(current)
    return len(numbers)


def _has_fork(notebook: NotebookNode) -> bool:
    """Whether code follows a text that says "Fork this"."""
    pairs = zip(notebook.cells, notebook.cells[1:], strict=False)
    return any("fork this" in text.source.lower() and cell.cell_type == "code" for text, cell in pairs)


def table() -> pd.DataFrame:
    """A row a notebook of :func:`measure`, all three folders, with its sum."""
    rows = pd.DataFrame({path.stem: measure(path) for path in paths.notebooks()}).T.astype("Int64")
    return pd.concat([rows, pd.DataFrame({"all": rows[["cells", "words"]].sum()}).T])


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line, see the head of this module; 1 if something is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m camlib.compendium.course", description=__doc__.splitlines()[0])
    parser.add_argument("--renew", action="store_true", help="write the line of links into every notebook")
    parser.add_argument("--table", action="store_true", help="words and cells of every notebook")
    options = parser.parse_args(arguments)
    if options.table:
        print(table().to_string(na_rep="none"))
        return 0
    if options.renew:
        print("\n".join(f"wrote the links of {path.stem}" for path in renew()) or "the links are as they should be")
        return 0
    said = [f"{path.stem}: other links; run `python -m camlib.compendium.course --renew`" for path in outdated()]
    said += [f"{path.stem}: {sentence}" for path in course() for sentence in lacks(path)]
    print("\n".join(said) or f"{len(course())} notebooks are as they should be")
    return int(bool(said))


if __name__ == "__main__":
    raise SystemExit(main())
