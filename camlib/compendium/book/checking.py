"""The site read back: every link inside it leads to a page and a place that exist, every picture is there."""

from __future__ import annotations

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src")}
"""What a browser fetches by itself: nothing of it may lie outside the site."""
OUTSIDE = {"canonical", "prev", "next", "search", "index", "author"}


class Page(HTMLParser):
    """Ids, links, fetched files and pictures without words of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.wordless: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.ids |= {value for name in ("id", "name") if (value := found.get(name))}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag == "link" and found.get("rel") in OUTSIDE:
            return
        self.fetched += [found[name] for kind, name in FETCHED if kind == tag and found.get(name)]
        if tag == "img" and not found.get("alt"):
            self.wordless.append(found.get("src", "")[:80])


def problems(site: Path) -> list[str]:
    """What is broken in a built site, a line each: dead links, missing files, foreign fetches, wordless pictures."""

    @cache
    def read(file: Path) -> Page:
        return Page(file.read_text(encoding="utf-8"))

    found = []
    for file in sorted(site.rglob("*.html")):
        if "_static" in file.relative_to(site).parts:
            continue
        name, page = file.relative_to(site).as_posix(), read(file)
        found += [f"{name}: picture without words {source}" for source in page.wordless]
        found += [f"{name}: fetches {url}" for url in page.fetched if urlsplit(url).scheme in ("http", "https")]
        for url in [*page.links, *page.fetched]:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                found.append(f"{name}: {url} does not exist")
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in read(target).ids:
                found.append(f"{name}: {url} has no such place")
    return list(dict.fromkeys(found))
