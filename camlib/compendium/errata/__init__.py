"""The errata of the five sources: what is printed, what camlib computes, and how much lies between the two.

``errata.toml`` holds the words, ``data/errata.csv`` the numbers, and ``figures/errata.md`` is made of both, together
with the gallery.

    python -m camlib.compendium.errata                  writes figures/errata.md
    python -m camlib.compendium.errata measure [ID ...] computes the numbers anew, all or those named: data/errata.csv

:mod:`.page` makes the page and reads no network; :mod:`.cases` holds the seeded scenes on which numbers are computed,
and :mod:`.union`, :mod:`.score`, :mod:`.attention` and :mod:`.gradient` compute them, paper by paper.
"""
