"""What makes a compendium of the package: items, claims, gallery, runner, explorer.

It stands on everything else, and nothing else imports from it; notebooks and the Makefile do.
Take ``report`` (items, checks and claims of a notebook) and ``explorer``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "bench",
        "explorer",
        "floors",
        "kernels",
        "lenient",
        "notebook_cleaner",
        "notebook_runner",
        "paper",
        "png",
        "report",
    ],
)
