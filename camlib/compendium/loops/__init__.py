"""The methods once more, as loops written from the papers: what tests and a generated table compare camlib with.

    python -m camlib.compendium.loops        # measures every method and option, writes data/loops.csv, figures/loops.md

The loops import nothing of camlib (a test sees to it); :mod:`camlib.compendium.loops.measuring` compares.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["averaged", "gradient", "hybrid", "measuring", "networks", "page", "plain", "score", "tail"],
)
