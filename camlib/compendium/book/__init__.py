"""The book: notebooks as they ran, gallery, ledger and the docstrings of the package as a static site in build/book/.

    make book                                          # the whole, a few minutes, nothing is fetched and nothing runs
    python -m camlib.compendium.book build --only 02   # a part, for a look
    python -m camlib.compendium.book check             # broken links and pictures of what was built

``staging`` lays the sources out as Sphinx wants them, ``building`` runs it, ``checking`` reads the pages back. Sphinx
and its theme are the extra ``book`` of pyproject.toml; formulas are set by a copy of MathJax that the site carries.
"""
