"""Many heatmaps into rows of numbers, and rows into means and differences.

It stands on data, the front door, plots, the metrics and studies; the compendium and notebooks import from it.
Take ``score`` and ``mosaics`` (explanations judged at once), ``Plan``, ``evaluate`` and ``Results`` (a store of rows).

``python -m camlib.evaluate`` is its command line; from Python::

    from camlib import evaluate, load_network
    from camlib.data import datasets

    plan = evaluate.Plan(load_network("efficientnet-lite0"), ["grad-cam", "score-cam"], layers=["blocks.4"])
    results = evaluate.evaluate(plan, datasets.photos(), "build/evaluation")
    results.table
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["grid_game", "judge", "plan", "rows", "runner", "scores", "store", "table", "truth"],
    submod_attrs={
        "grid_game": ["Mosaics", "mosaics"],
        "plan": ["TARGETS", "Choice", "Plan"],
        "rows": ["score"],
        "runner": ["evaluate"],
        "scores": ["Scores"],
        "store": ["STATUSES", "Row", "Setting", "Store"],
        "table": ["Results"],
    },
)
