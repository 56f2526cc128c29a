"""How good a map from a budget of passes is, and whether it knows it: rows of many pictures.

    python -m camlib.evaluate.budget --samples DIR          # writes data/evidence/budget.parquet and .json

Every live channel of a picture is scored once; then the map of the most probable class is made again from a part of
the scores, K/32 to K/2 of them, for each of :data:`choices.CHOICES`, and compared with the exact one. Stop it at any
time, run it again and it goes on. Photographs are drawn by lot from a folder of ImageNet (``DIR/val/<wnid>/*``); the
first ``--skip`` of the lot are left out, because the design was chosen on them. Only numbers are written.

:func:`read` gives the rows as they are kept, :func:`summary` and :func:`knowledge` what they say.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["choices", "measuring", "tables"],
    submod_attrs={
        "choices": ["CHOICES", "PARTS"],
        "measuring": ["POPULATIONS"],
        "tables": ["OUT", "knowledge", "read", "summary"],
    },
)
