"""Rows that decide claims of notebooks: one number a picture and contrast, on pictures that no pilot used.

    from camlib.evaluate import decisive

    found = decisive.intervals("score-weights-background")      # {(part, contrast): Interval}
    print(report.claim("score-weights-background", found, units=decisive.units("score-weights-background")))

``python -m camlib.evaluate.decisive scenes`` makes the rows of scenes anew, ``… boards photographs attacks --samples
DIR`` those of photographs; ``python -m camlib.compendium.findings CLAIM`` prints them.
"""

from camlib.evaluate.decisive.kept import CLAIMS, intervals, made, units

__all__ = ["CLAIMS", "intervals", "made", "units"]
