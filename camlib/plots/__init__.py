"""Every drawing that two notebooks share, and what a person keeps of a map: arrays in, a figure out.

It stands on nothing of camlib, so that it draws anybody's arrays; the front door and the compendium import from it.
Take ``grid``, ``show``, ``overlay`` (panels), ``pipeline`` (diagrams), ``bars_with_intervals`` (charts), ``style``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["keeping", "overlays"],
    submod_attrs={
        "budgets": ["budget_figure"],
        "charts": ["bars_with_intervals", "value_grid", "weights_curves"],
        "diagrams": ["network_diagram"],
        "law": ["SIGNED", "UNSIGNED", "agreement_chart", "bound_chart", "law_chart", "removal_chart"],
        "look": ["BOX_COLOR", "COLORMAP", "COLORS", "DIVERGING", "TIMES", "style"],
        "methods": ["METHOD_STYLES", "method_style"],
        "panels": ["feature_maps", "grid", "overlay", "show"],
        "pipelines": ["pipeline"],
        "routes": ["Link"],
        "stages": ["Stage"],
    },
)
