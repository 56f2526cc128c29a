"""What cells call in notebooks that do not say `report.item` yet; it goes with the last of them."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from camlib.compendium import manifest
from camlib.compendium.captions import caption_text
from camlib.compendium.items import find_item

_figures: dict[str, Figure] = {}
"""Figures that were saved and not yet shown."""


def save(made: Any, item_id: str, **facts: Any) -> None:
    """`camlib.compendium.manifest.save`, and the figure is kept for `show`."""
    manifest.save(made, item_id, **facts)
    if isinstance(made, Figure):
        _figures[item_id] = made


def show(item_id: str) -> Markdown:
    """Display a saved figure and return its caption, so that the caption stands below the figure."""
    figure = _figures.pop(item_id, None)
    if figure is not None:
        display(figure)
        plt.close(figure)
    return Markdown(caption_text(find_item(item_id), manifest.find_entry(item_id)))
