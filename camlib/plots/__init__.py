"""Every drawing that two notebooks share, and what a person keeps of a map: arrays in, a figure out.

It stands on the registry, for the names of methods, and the front door and the compendium import from it.
Take ``grid``, ``show`` (panels), ``overlay``, ``pipeline``, ``bars_with_intervals`` (charts), ``figure``, ``style``.

A figure has one width, 1440 pixels shown at 720, texts of at least nine displayed pixels (``text_problems`` finds the
others), one kind of overlay, one color and one marker a method (``method_style``).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["keeping", "overlays"],
    submod_attrs={
        "agreement": ["agreement_chart"],
        "bound": ["bound_chart"],
        "budgets": ["budget_figure"],
        "charts": ["bars_with_intervals", "value_grid", "weights_curves"],
        "checking": ["text_problems"],
        "colors": ["COLORMAP", "DIVERGING"],
        "diagrams": ["network_diagram"],
        "factors": ["factor_figure"],
        "headed": ["headed_grid"],
        "law": ["SIGNED", "UNSIGNED", "law_chart"],
        "look": [
            "BOX_COLOR",
            "COLORS",
            "DPI",
            "SMALL",
            "TIMES",
            "WIDTH",
            "figure",
            "fit",
            "headline",
            "signs",
            "style",
        ],
        "method_map": ["method_map"],
        "methods": ["METHOD_STYLES", "method_style", "method_title"],
        "outlines": ["outlines"],
        "overlays": ["OPACITY", "overlay"],
        "panels": ["draw_overlay", "feature_maps", "grid", "show"],
        "pipelines": ["Block", "pipeline", "pipelines"],
        "pooling": ["factor_chart", "pooling_grids"],
        "removal": ["removal_chart"],
        "routes": ["Link"],
        "sliders": ["slider"],
        "stages": ["Stage"],
        "sums": ["product_rows", "sum_table"],
        "tiles": ["room_below", "rooms_below"],
        "trends": ["interval_dots", "interval_lines", "name_lines"],
    },
)
