"""Computes the numbers of the errata and keeps them in ``data/errata.csv``, one row a number and population."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Sequence
from dataclasses import astuple

from camlib.compendium.errata import attention, gradient, page, score, union  # noqa: F401  (they enter their measures)
from camlib.compendium.errata.cases import MEASURES
from camlib.compendium.errata.page import Number
from camlib.compendium.writing import write_file
from camlib.engine import runtime


def measure(ids: Sequence[str] = ()) -> list[Number]:
    """Compute the numbers with these ids (all of them without any), keep them, and return them.

    Ids that one function computes together are computed together. The other rows stay as they are. Raises ValueError
    for an id that nothing computes.
    """
    for one in ids:
        if one not in MEASURES:
            near = difflib.get_close_matches(one, MEASURES, n=4, cutoff=0.3)
            raise ValueError(f"no number is called {one!r}; nearest: {', '.join(near) or ', '.join(MEASURES)}")
    runtime.setup(0)
    wanted = dict.fromkeys(MEASURES[one] for one in (ids or MEASURES))
    made = []
    for function in wanted:
        made += function()
        keep([*made, *page.numbers().values()])
    return made


def keep(found: Sequence[Number]) -> None:
    """Write rows to the file, in the order in which measures are entered; of two rows of one number the first stays."""
    order = list(MEASURES)
    rows = {}
    for number in found:
        if number.id in MEASURES:
            rows.setdefault((number.id, number.population), number)
    ranked = sorted(rows.values(), key=lambda number: order.index(number.id))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(page.COLUMNS)
    writer.writerows([*astuple(n)[:2], *(f"{value:.6g}" for value in (n.value, n.low, n.high)), n.n] for n in ranked)
    write_file(page.DATA, stream.getvalue().encode())
