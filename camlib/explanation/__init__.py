"""The front door: explain one picture, or compare many; and what a person keeps of a map.

It stands on the trace, the engine and the weights, and on plots to draw a kept map; everything above imports from it.
Take ``explain``, ``compare``, ``Explanation``, ``DegenerateMapWarning``, ``SkippedPictureWarning``.
"""

from camlib.engine.batches import SkippedPictureWarning
from camlib.explanation.front import compare, explain
from camlib.explanation.result import DegenerateMapWarning, Explanation

__all__ = ["DegenerateMapWarning", "Explanation", "SkippedPictureWarning", "compare", "explain"]
