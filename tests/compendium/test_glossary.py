"""notebooks/glossary.md: every link to it finds its heading, headings are sorted, no symbol has two meanings."""

import re

import nbformat
import pytest

from camlib import paths

GLOSSARY = paths.NOTEBOOKS / "glossary.md"
TEXT = GLOSSARY.read_text(encoding="utf-8")
HEADINGS = re.findall(r"^#{1,3} (.+)$", TEXT, re.MULTILINE)


def anchor(heading):
    """The anchor that GitHub and MyST make of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def links(text):
    return re.findall(r"glossary\.md#([\w\-]+)", text) + re.findall(r"\]\(#([\w\-]+)\)", text)


def texts():
    yield "glossary.md", TEXT
    for path in paths.notebooks():
        cells = nbformat.read(path, as_version=4).cells
        words = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        yield path.stem, "\n".join(re.findall(r"\S*glossary\.md#[\w\-]+", words))


@pytest.mark.parametrize(("name", "text"), list(texts()), ids=lambda value: value if len(value) < 60 else "")
def test_links_find_their_heading(name, text):
    assert set(links(text)) <= {anchor(heading) for heading in HEADINGS}, name


def test_terms_are_sorted():
    terms = [heading for heading in HEADINGS[HEADINGS.index("Glossary") + 1 :] if heading[0].isascii()]
    assert terms == sorted(terms, key=lambda term: term.lower().replace("-", " "))


def test_no_symbol_has_two_rows():
    symbols = re.findall(r"^\| (\$.+?) \|", TEXT, re.MULTILINE)
    assert len(symbols) == len(set(symbols)) >= 12
