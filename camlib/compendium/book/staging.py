"""Sources of the book: a copy of the repository's texts in which every link leads to something that the book holds."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import nbformat
from nbformat import NotebookNode

from camlib import paths
from camlib.compendium.book import contents

PAGES = (".md", ".ipynb")
SHOWN = (".webp", ".png", ".jpg", ".svg", ".pdf", ".csv")
LINK = re.compile(r"(?<!\!)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]+)\)")
ATTRIBUTE = re.compile(r'(?P<name>href|src)="(?P<target>[^"]+)"')
ANCHOR = re.compile(r'^<a (?:id|name)="([^"]+)"></a>[ \t]*$', re.MULTILINE)
FORMULA = re.compile(r"^\$\$(?P<body>(?:(?!\$\$).)+)\$\$[ \t]*$", re.MULTILINE | re.DOTALL)
LABELED = re.compile(r"^\$\$((?:(?!\$\$).)+)\$\$ \((eq-\w+-\d+)\)", re.MULTILINE | re.DOTALL)
INTERVAL = re.compile(r"(?<=\d) (\[[^\[\]<, ]+,) ([^\[\]<, ]+\])")
FENCE = re.compile(r"(^```.*?^```[ \t]*$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


@dataclass
class Stage:
    """A folder of sources that mirrors the repository.

    Attributes:
        folder: where they go; it is emptied first.
        only: beginnings of the names of the notebooks that are taken; empty: all.
        root: of the repository.
        pages: what the book holds, relative to the root, in order.
        dropped: links that led to nothing, as "page: target".
        equations: label and formula of every numbered equation, by notebook.
    """

    folder: Path
    only: Sequence[str] = ()
    root: Path = paths.ROOT
    pages: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    equations: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def fill(self) -> None:
        """Copy texts, notebooks, pictures and tables, and write the pages that only the book has."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.pages = [*contents.texts(self.root), *contents.notebooks(self.root, self.only)]
        for page in self.pages:
            (self._notebook if page.endswith(".ipynb") else self._text)(page)
        for page, text in contents.own_pages(self.root, self.pages, self.equations).items():
            self._write(page, text)

    def _write(self, page: str, text: str) -> None:
        target = self.folder / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def _text(self, page: str) -> None:
        text = (self.root / page).read_text(encoding="utf-8")
        self._write(page, self.mended(ANCHOR.sub(r"(\1)=", text), page))

    def _notebook(self, page: str) -> None:
        notebook = nbformat.read(self.root / page, 4)
        notebook.cells = [cell for cell in notebook.cells if not _silent(cell)]
        formulas, said = 0, ""
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source, formulas = numbered(cell.source, PurePosixPath(page).stem, formulas)
                self.equations.setdefault(page, []).extend(LABELED.findall(cell.source))
                cell.source = self.mended(ANCHOR.sub(r"(\1)=", cell.source), page)
                said = _first_words(cell.source) or said
                continue
            for output in cell.outputs:
                if "text/markdown" in output.get("data", {}):
                    output.data["text/markdown"] = self.mended(output.data["text/markdown"], page)
                if "text/html" in output.get("data", {}):  # an interval stays on the line of its mean
                    output.data["text/html"] = INTERVAL.sub("\u00a0\\1\u00a0\\2", output.data["text/html"])
            _describe(cell, said)
        self._write(page, nbformat.writes(notebook))

    def mended(self, text: str, page: str) -> str:
        """The text with links that the book can follow; a link to what it does not hold leaves its words."""
        parts = FENCE.split(text)
        return "".join(part if i % 2 else self._mended(part, page) for i, part in enumerate(parts))

    def _mended(self, text: str, page: str) -> str:
        def link(match: re.Match[str]) -> str:
            words, target = match["text"], match["target"]
            found = self._target(target, page)
            return words if found is None else f"[{words}]({found})"

        def attribute(match: re.Match[str]) -> str:
            found = self._target(match["target"], page)
            if found is None:
                return 'href="#"' if match["name"] == "href" else match[0]
            return f'{match["name"]}="{re.sub(r"[.](md|ipynb)(?=#|$)", ".html", found)}"'

        return ATTRIBUTE.sub(attribute, LINK.sub(link, text))

    def _target(self, target: str, page: str) -> str | None:
        """Where a link of a page leads in the book; None for what it does not hold."""
        if re.match(r"[a-z]+:|//", target):
            return target
        path, _, part = target.partition("#")
        if not path:
            return f"#{place(part)}"
        home = os.path.normpath(PurePosixPath(page).parent / path).replace(os.sep, "/")
        if home in self.pages:
            return f"{path}#{place(part)}" if part else path
        file = self.root / home
        if file.is_dir() and f"{home}/README.md" in self.pages:
            return f"{path.rstrip('/')}/README.md" + (f"#{part}" if part else "")
        if not file.is_file() or file.suffix in PAGES or home.startswith(".."):
            self.dropped.append(f"{page}: {target}")
            return None
        kept = self.folder / home
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, kept)
        return path


def place(anchor: str) -> str:
    """A heading's anchor as the book has it, from one as Jupyter has it: "4.-Memory" is "4-memory"."""
    return re.sub(r"[^\w-]", "", anchor.lower()) if re.search(r"[A-Z.,:?()]", anchor) else anchor


def numbered(text: str, stem: str, before: int) -> tuple[str, int]:
    """The text with a label behind each displayed formula, ``eq-<notebook>-<number>``, and how many there are now."""

    def label(match: re.Match[str]) -> str:
        nonlocal before
        before += 1
        return f"$${match['body']}$$ (eq-{stem.split('_')[0]}-{before})"

    return FORMULA.sub(label, text), before


def _silent(cell: NotebookNode) -> bool:
    """Whether a cell holds only what is checked behind the scenes: it is hidden and shows nothing."""
    return cell.cell_type == "code" and "hide-input" in cell.metadata.get("tags", ()) and not cell.outputs


def _describe(cell: NotebookNode, said: str) -> None:
    """Give the pictures of a cell their alternative text: the title of the caption below, else what was said before."""
    captions = [output.data["text/markdown"] for output in cell.outputs if "text/markdown" in output.get("data", {})]
    titles = [match[1] for caption in captions if (match := re.match(r"\*\*(.+?)\.\*\*", caption))]
    words = titles[0] if titles else said
    if words:
        cell.metadata["mystnb"] = {"image": {"alt": re.sub(r"[\"`*$\\]", "", words)}}


def _first_words(text: str) -> str:
    """The heading or the first sentence of a Markdown cell, without marks."""
    line = next((line for line in text.splitlines() if line.strip() and not line.startswith(("[", "<", "("))), "")
    return re.sub(r"^[#>*\s-]+", "", line).split(". ")[0][:160]
