"""What camlib was to reach before its engine was written, and whether it does: comparisons, aims, verdicts.

A factor says *how many times faster* (or smaller), so larger is better in every row and 1 is a tie: the other's time
over camlib's, and for camlib's own variants the plain run's time over the variant's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from camlib.compendium.bench.peers import GRADIENT
from camlib.compendium.bench.table import COMPOSED

NETWORKS = ("resnet18", "vgg16", "efficientnet-lite0")
LIMIT, OTHERS, OWN, MEMORY = "against the limit", "against others", "camlib's variants", "memory"


@dataclass(frozen=True)
class Aim:
    """One comparison.

    Attributes:
        group: one of the four of this module.
        what: the work.
        against: whose time is divided by camlib's, as the column ``library`` of the measured table calls it.
        cases: of the table; of several the smallest ratio counts.
        setting: how the setting begins.
        least: the aim by network, in the order of :data:`NETWORKS`; one number for all, or none.
        turned: the table holds the variant's time over the plain run's; the factor is its reciprocal.
    """

    group: str
    what: str
    against: str
    cases: tuple[str, ...]
    setting: str = ""
    least: tuple[float, ...] = ()
    turned: bool = False

    def wanted(self, network: str) -> float | None:
        """The aim on a network; None where there is none."""
        if not self.least:
            return None
        return self.least[NETWORKS.index(network) % len(self.least)]

    def measured(self, table: pd.DataFrame, network: str) -> float:
        """The factor on a network, the median of rounds; NaN where it was not measured."""
        part = table[table["case"].isin(self.cases) & (table["library"] == self.against) & (table["unit"] != "r")]
        part = part[part["setting"].str.startswith(self.setting) & (part["network"] == network)]
        found = part["ratio"].max() if self.turned else part["ratio"].min()
        return 1 / found if self.turned else found


_SCORE, _PEERS = ("score-cam",), ("pytorch-grad-cam", "torchcam")
AIMS = (
    Aim(LIMIT, "Score-CAM", "limit", _SCORE, "best", (1 / 1.15,)),
    Aim(LIMIT, "gradient methods", "limit", tuple(GRADIENT), "", (1 / 1.1,)),
    *(Aim(OTHERS, "Score-CAM, best batch", peer, _SCORE, "best", (1.5, 1.5, 2.5)) for peer in _PEERS),
    *(Aim(OTHERS, "Score-CAM, default batch", peer, _SCORE, "default", (1.7, 1.7, 5.0)) for peer in _PEERS),
    Aim(OTHERS, "Score-CAM, K/8 passes", "pytorch-grad-cam", ("budget",), "best", (8.0, 8.0, 20.0)),
    Aim(OTHERS, "Score-CAM, K/8 passes", "torchcam", ("budget",), "best", (8.0, 8.0, 20.0)),
    Aim(OTHERS, "six methods, five classes", COMPOSED, ("six-methods",), "", (8.0,)),
    Aim(OTHERS, "seven methods, five classes", COMPOSED, ("seven-methods",), "", (8.0,)),
    Aim(OTHERS, "Ablation-CAM, best batch", "pytorch-grad-cam", ("ablation-cam",), "best", (200.0, 50.0, 200.0)),
    Aim(OTHERS, "Ablation-CAM, default batch", "captum", ("ablation-cam",), "default"),
    *(Aim(OTHERS, "gradient methods", peer, tuple(GRADIENT)) for peer in _PEERS),
    Aim(OWN, "Score-CAM in bfloat16", "camlib", _SCORE, "bfloat16", (1.6,), turned=True),
    Aim(OWN, "Score-CAM, K/8 passes", "camlib", ("budget",), "exact", (6.0,)),
    Aim(OWN, "Score-CAM, five classes", "camlib", ("five-classes",), "five", (1 / 1.05,), turned=True),
    Aim(MEMORY, "Score-CAM, batch 4", "torchcam", ("memory",), "", (1.0,)),
)
"""Every comparison, in the order of tables; those that were not measured are left out of them."""


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """One row a comparison and network that was measured: group, what, against, network, factor, aim, met.

    ``met`` is True or False, None without an aim. ``table`` is that of :func:`camlib.compendium.bench.read`.
    """
    rows = []
    for aim in AIMS:
        for network in NETWORKS:
            factor, least = aim.measured(table, network), aim.wanted(network)
            if np.isfinite(factor):
                met = None if least is None else bool(factor >= least)
                rows.append([aim.group, aim.what, aim.against, network, factor, least, met])
    return pd.DataFrame(rows, columns=["group", "what", "against", "network", "factor", "aim", "met"])


def in_words(rows: pd.DataFrame) -> pd.DataFrame:
    """The table for people: one row a comparison, "1.58 ✓" or "1.43 ✗ (1.5)" with the missed aim by network."""

    def cell(row: pd.Series) -> str:
        mark = "" if row["met"] is None else " ✓" if row["met"] else f" ✗ ({row['aim']:.3g})"
        return f"{row['factor']:.3g}{mark}"

    made = rows.assign(cell=rows.apply(cell, axis=1))
    keys = ["group", "what", "against"]
    wide = made.pivot(index=keys, columns="network", values="cell").reindex(columns=NETWORKS)
    order = rows[keys].drop_duplicates()
    return wide.loc[list(order.itertuples(index=False, name=None))].astype(object).fillna("–").reset_index()
