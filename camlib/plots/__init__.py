"""Every drawing that two notebooks share: arrays and explanations in, a figure out.

It stands on nothing of camlib, so that it draws anybody's arrays; the compendium and notebooks import from it.
Take ``grid``, ``show``, ``overlay`` (panels), ``pipeline`` (diagrams), ``bars_with_intervals`` (charts), ``style``.
"""

from camlib.plots.charts import bars_with_intervals, value_grid, weights_curves
from camlib.plots.diagrams import network_diagram
from camlib.plots.look import BOX_COLOR, COLORMAP, COLORS, DIVERGING, TIMES, style
from camlib.plots.methods import METHOD_STYLES, method_style
from camlib.plots.panels import feature_maps, grid, overlay, show
from camlib.plots.pipelines import pipeline
from camlib.plots.routes import Link
from camlib.plots.stages import Stage

__all__ = [
    "BOX_COLOR",
    "COLORMAP",
    "COLORS",
    "DIVERGING",
    "METHOD_STYLES",
    "TIMES",
    "Link",
    "Stage",
    "bars_with_intervals",
    "feature_maps",
    "grid",
    "method_style",
    "network_diagram",
    "overlay",
    "pipeline",
    "show",
    "style",
    "value_grid",
    "weights_curves",
]
