"""What makes a compendium of the package: items, claims, gallery, runner, explorer.

It stands on everything else, and nothing else imports from it; notebooks and the Makefile do.
Take ``report`` (items, checks and claims of a notebook) and ``explorer``; texts stand in items.toml and claims.toml.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "bench",
        "captions",
        "claims",
        "explorer",
        "floors",
        "gallery",
        "inline",
        "items",
        "kernels",
        "ledger",
        "lenient",
        "manifest",
        "notebook_cleaner",
        "notebook_runner",
        "paper",
        "pictures",
        "report",
        "writing",
    ],
)
