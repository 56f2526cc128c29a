"""Sphinx over the staged sources: its settings, and the files that the site carries so that it needs no network."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from camlib import paths
from camlib.compendium.book.staging import SHOWN, Stage

OUT = paths.BUILD / "book"
WORK = paths.BUILD / "book-work"
MATHJAX = "es5/tex-svg.js"

SETTINGS: dict[str, Any] = {
    "project": "camlib",
    "author": "camlib contributors",
    "copyright": "camlib contributors, MIT license",
    "extensions": ["myst_nb", "sphinx.ext.mathjax", "sphinx.ext.autodoc", "sphinx.ext.napoleon"],
    "myst_enable_extensions": ["dollarmath", "amsmath"],
    "myst_heading_anchors": 4,
    "nb_execution_mode": "off",
    "nb_merge_streams": True,
    "nb_render_markdown_format": "myst",
    "autodoc_member_order": "bysource",
    "autodoc_typehints": "none",
    "default_role": "code",
    "html_theme": "sphinx_book_theme",
    "html_title": "camlib",
    "html_last_updated_fmt": None,
    "html_show_sourcelink": False,
    "html_copy_source": False,
    "html_css_files": ["book.css"],
    "html_js_files": ["book.js"],
    "html_context": {"default_mode": "auto"},
    "html_theme_options": {
        "use_download_button": False,
        "use_fullscreen_button": False,
        "show_toc_level": 2,
        "home_page_in_toc": True,
        "navbar_persistent": [],
    },
    "mathjax_path": "mathjax.js",
    "mathjax3_config": {"svg": {"fontCache": "global"}},
    "pygments_style": "default",
    "suppress_warnings": ["myst", "mystnb", "docutils", "ref", "autodoc", "toc", "image", "misc.highlighting_failure"],
}

STYLE = """\
.bd-main .bd-content .bd-article-container {max-width: 60rem}
.bd-article img {background: #fff}
.bd-article table {display: block; overflow-x: auto; max-width: 100%; font-size: .85em; margin-bottom: .8rem}
.bd-article .math {overflow-x: auto; overflow-y: hidden}
.bd-article sub {line-height: 1.3}
.bd-article .cell_input pre {font-size: .8em}
.bd-article .cell_output img {cursor: zoom-in}
.bd-article .cell_output:has(img.enlarged) {overflow-x: auto}
.bd-article .cell_output img.enlarged {cursor: zoom-out; max-width: none; width: 1440px}
html[data-theme=dark] .bd-article img {border: 4px solid #fff; border-radius: 2px; filter: none !important}
html[data-theme=dark] .camlib-slider img {border: 0}
.bd-article :is(h1, h2, h3, .sig, dt, dd, p, code) {overflow-wrap: anywhere}
@media (max-width: 600px) {
.bd-article .cell_output img.enlarged {width: 720px}
.bd-article dl.field-list {display: block}
.bd-article dl dd {margin-left: .8rem}
.bd-article dl.py {overflow-x: auto}
.bd-article dl.py :is(a, span, em) {white-space: normal}
.bd-article .sig {display: block; padding-left: 0; text-indent: 0}
}
"""

SCRIPT = """\
document.addEventListener("click", (event) => {
  const shown = event.target;
  if (shown.matches(".bd-article .cell_output img") && !shown.closest("a, .camlib-slider")) {
    shown.classList.toggle("enlarged");
  }
});
"""
"""A click on a figure shows it at its full size, and another one as before."""

ICON = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#0072B2"/>
<circle cx="9" cy="7" r="4.5" fill="#D55E00"/><circle cx="9" cy="7" r="2" fill="#F0E442"/></svg>
"""


def build(
    only: Sequence[str] = (), out: Path = OUT, work: Path = WORK, api: bool = True, root: Path = paths.ROOT
) -> Stage:
    """Stage the sources, build the site, put figures and tables beside the pages; returns the stage.

    ``only`` takes notebooks by the beginning of their names, ``api=False`` leaves the reference out: for a look.
    Raises RuntimeError, with the command that helps, where Sphinx or MathJax is not installed.
    """
    mathjax = _mathjax()
    stage = Stage(work / "source", only, root)
    stage.fill()
    if not api:
        shutil.rmtree(stage.folder / "api")
        (stage.folder / "api").mkdir()
        (stage.folder / "api" / "index.rst").write_text("API reference\n=============\n", encoding="utf-8")
    static = work / "static"
    static.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(mathjax, static / "mathjax.js")
    for name, text in {"book.css": STYLE, "book.js": SCRIPT, "icon.svg": ICON}.items():
        (static / name).write_text(text, encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    own = {"html_static_path": [str(static)], "html_favicon": str(static / "icon.svg")}
    _sphinx(stage.folder, out, work, SETTINGS | own)
    _copy_shown(stage.root, out)
    (out / ".nojekyll").touch()
    return stage


def _sphinx(source: Path, out: Path, work: Path, settings: dict[str, Any]) -> None:
    """Run Sphinx quietly; what it warns of stands in warnings.txt of the work folder."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    with (work / "warnings.txt").open("w", encoding="utf-8") as warnings, patch_docutils(), docutils_namespace():
        app = Sphinx(source, None, out, work / "doctrees", "html", settings, status=None, warning=warnings)
        app.connect("doctree-read", _as_written)
        app.build(force_all=True)
    shutil.rmtree(out / ".doctrees", ignore_errors=True)
    (out / ".buildinfo").unlink(missing_ok=True)
    if app.statuscode:
        raise RuntimeError(f"Sphinx ends with {app.statuscode}; see {work / 'warnings.txt'}")


def _as_written(_: Any, doctree: Any) -> None:
    """Docstrings are plain text: an asterisk that begins no emphasis is an asterisk, and no fault to link to."""
    from docutils import nodes

    for node in list(doctree.findall(nodes.problematic)):
        node.parent.replace(node, nodes.Text(node.astext()))
    for node in list(doctree.findall(nodes.system_message)):
        node.parent.remove(node)


def _mathjax() -> Path:
    """MathJax as the package django-static-mathjax brings it: one file, formulas as SVG, no fonts to fetch."""
    missing = [name for name in ("sphinx", "myst_nb", "sphinx_book_theme", "mathjax") if find_spec(name) is None]
    if missing:
        raise RuntimeError(f"The book needs {', '.join(missing)}: pip install 'camlib[book]', or make env.")
    (folder,) = find_spec("mathjax").submodule_search_locations
    return Path(folder) / "static" / "mathjax" / MATHJAX


def _copy_shown(root: Path, out: Path) -> None:
    """Figures and tables where raw HTML of the pages looks for them."""
    for file in (root / "figures").rglob("*"):
        if file.suffix in SHOWN:
            kept = out / file.relative_to(root)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, kept)
