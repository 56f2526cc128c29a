"""Many pictures, methods and metrics into rows, in runs that can be stopped and resumed.

It stands on data, the front door and the metrics; the compendium and notebooks import from it.
Take ``Plan``, ``evaluate``, ``Results``, and ``Store`` for the rows themselves.

``python -m camlib.evaluate`` is its command line; from Python::

    from camlib import evaluate, load_network
    from camlib.data import datasets

    plan = evaluate.Plan(load_network("efficientnet-lite0"), ["grad-cam", "score-cam"], layers=["blocks.4"])
    results = evaluate.evaluate(plan, datasets.photos(), "build/evaluation")
    results.table
"""

from camlib.evaluate.plan import TARGETS, Choice, Plan
from camlib.evaluate.runner import evaluate
from camlib.evaluate.store import STATUSES, Row, Setting, Store
from camlib.evaluate.table import Results

__all__ = ["STATUSES", "TARGETS", "Choice", "Plan", "Results", "Row", "Setting", "Store", "evaluate"]
