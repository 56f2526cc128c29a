"""Rows that claims stand on: every method at every layer of every network, judged on thousands of pictures.

``make evidence`` (``python -m camlib.evaluate.evidence``) makes what is missing and joins it in data/evidence.
Take ``read`` (the rows as a table), ``record`` (how they were made) and ``POPULATIONS`` (what was measured where).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["checking", "judging", "kept", "making", "photographs", "populations", "scenes"],
    submod_attrs={
        "kept": ["read", "record"],
        "populations": ["POPULATIONS", "Population"],
    },
)
