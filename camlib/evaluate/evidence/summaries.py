"""What rows say together: means with intervals, paired by picture, for the law, the cure, the metrics and the choice.

Every function takes rows as :func:`camlib.evaluate.evidence.kept.read` returns them, of any number of chunks. Pictures
are the units: what is measured for two classes of a scene is averaged first. Intervals are Student's at 95 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
from scipy import stats

from camlib.framework import COMMON

PLACE = ["network", "layer", "kind"]
LOWER_IS_BETTER = ("average-drop", "average-drop-half", "deletion", "extent", "alike_sum", "alike_class")
SHARE_OF_EMPTY = 0.5
"""Class share of a map without energy on any object: it knows nothing of two classes."""


def mean_interval(values: pd.DataFrame) -> pd.DataFrame:
    """Mean of each column [pictures, columns] with Student's 95 % interval: columns mean, low, high, n."""
    n = values.notna().sum()
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(n)
    half = error * stats.t.isf(0.025, (n - 1).clip(lower=1))
    return pd.DataFrame({"mean": mean, "low": mean - half, "high": mean + half, "n": n})


def by_picture(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric as a table: a line a network, layer, kind and picture, a column a (method, common)."""
    values = rows[[*PLACE, "picture", "method", "common"]].assign(value=_values(rows, metric)).dropna(subset="value")
    keys = [*PLACE, "picture", "method", "common"]
    return values.groupby(keys, observed=True, sort=False)["value"].mean().unstack(["method", "common"])


def law_points(rows: pd.DataFrame) -> pd.DataFrame:
    """Similarity to ΣM and between the maps of two classes, by network, layer and method.

    Of each scene with two classes whose two maps are not flat: alike_sum, the mean over both maps; alike_class; and
    ``least`` = cos(θ₁ + θ₂), what the angles to ΣM allow at least (:mod:`camlib.studies.common_map`). Of a photograph
    the rows know alike_sum of the most probable class and alike_class with the second; ``least`` is −1 then. Their
    means and n.
    """
    chosen = rows[rows["kind"].isin(["several", "photographs"]) & (rows["common"] == "keep")]
    keys = ["network", "layer", "method", "picture"]
    angle = np.arccos(chosen["alike_sum"].astype(float).clip(-1, 1))
    single = chosen["kind"] == "photographs"
    columns = [*keys, "alike_sum", "alike_class"]
    grouped = chosen[columns].assign(angle=angle, single=single).groupby(keys, observed=True, sort=False)
    pairs = grouped.agg(
        alike_sum=("alike_sum", "mean"),
        alike_class=("alike_class", "max"),
        turned=("angle", "sum"),
        known=("angle", "count"),
        single=("single", "any"),
    )
    pairs = pairs[(pairs["known"] == np.where(pairs["single"], 1, 2)) & pairs["alike_class"].notna()]
    pairs["least"] = np.where(pairs["single"], -1.0, np.cos(pairs["turned"].clip(upper=np.pi)))
    columns = {name: (name, "mean") for name in ("alike_sum", "alike_class", "least")}
    found = pairs.groupby(["network", "layer", "method"], sort=False).agg(**columns, n=("alike_sum", "size"))
    return found.reset_index()


def removal_effects(rows: pd.DataFrame, metric: str, methods: Sequence[str]) -> pd.DataFrame:
    """A metric as published, with centered and with projected weights, on the scenes where all three are known.

    A line a network, layer, kind and method: keep, center, project (means), n, and for center and project the paired
    difference from keep: center_gain, center_low, center_high, and so on. Methods without weights have no center.
    """
    found = []
    for place, part in by_picture(rows, metric).groupby(PLACE, sort=False):
        for method in methods:
            known = part[method].dropna(axis=1, how="all") if method in part else pd.DataFrame()
            versions = [version for version in COMMON if version in known]
            if "project" not in versions:
                continue
            known = known[versions].dropna()
            line = dict(zip(PLACE, place, strict=True)) | {"method": method, "n": len(known)} | dict(known.mean())
            gains = mean_interval(known.drop(columns="keep").sub(known["keep"], axis=0))
            for version, gain in gains.iterrows():
                line |= dict(zip((f"{version}_{part}" for part in ("gain", "low", "high")), gain, strict=False))
            found.append(line)
    return pd.DataFrame(found)


# -- metrics against causes


def agreement_with(rows: pd.DataFrame, metric: str, truth: str, methods: Sequence[str]) -> pd.DataFrame:
    """Rank correlation over methods, within each scene and class, between a metric and a truth, both better if higher.

    Spearman's, over the published maps of ``methods`` that have both numbers; scenes where either is the same for all
    of them say nothing. Mean with interval by network and layer: a line each.
    """
    chosen = rows[(rows["common"] == "keep") & rows["method"].isin(methods)]
    place = ["network", "layer", "picture", "target"]
    both = chosen[[*place, "method"]].assign(metric=_values(chosen, metric), truth=_values(chosen, truth)).dropna()
    wide = both.pivot(index=place, columns="method", values=["metric", "truth"])
    first, second = (wide[name].rank(axis=1).to_numpy(float) for name in ("metric", "truth"))
    first, second = (each - np.nanmean(each, axis=1, keepdims=True) for each in (first, second))
    size = np.sqrt(np.nansum(first**2, axis=1) * np.nansum(second**2, axis=1))
    with np.errstate(invalid="ignore"):
        found = pd.Series(np.where(size > 0, np.nansum(first * second, axis=1) / size, np.nan), index=wide.index)
    found *= -1 if metric in LOWER_IS_BETTER else 1
    scenes = found.dropna().groupby(["network", "layer", "picture"], sort=False).mean()
    return _intervals(scenes, ["network", "layer"])


def beaten_by(rows: pd.DataFrame, metric: str, blind: str = "feature-map", method: str = "grad-cam") -> pd.DataFrame:
    """How much better the class-blind map scores than a method in a metric, paired, by network, layer and kind.

    ``mean`` is positive where the class-blind map is better, whichever side the metric's better one is.
    """
    chosen = rows[rows["method"].isin([blind, method]) & (rows["common"] == "keep")]
    table, sign = by_picture(chosen, metric), -1 if metric in LOWER_IS_BETTER else 1
    gain = sign * (table[blind, "keep"] - table[method, "keep"]).dropna()
    return _intervals(gain, PLACE)


# -- the choice

PURPOSES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "one object: where is it?": ("one", "energy"),
        "two classes: which of them?": ("several", "class_share"),
        "several objects: all of the class": ("several", "energy"),
        "several objects: their causes": ("several", "cause"),
        "faithfulness: half of the pixels": ("one", "average-drop-half"),
    }
)
"""Purpose -> kind of scene and metric that decides."""


def choice(rows: pd.DataFrame, metric: str, cost: Mapping[str, int]) -> pd.DataFrame:
    """Every (method, layer, common) of one network and kind by its mean, best first, with what is not different.

    Only scenes on which every candidate was measured count. ``gap`` is the paired difference from the best with its
    interval; ``tied`` where the interval holds 0. ``chosen`` marks the cheapest tied candidate by ``cost`` (method ->
    rank), the best mean among equals; a map as published is cheaper than one without its common part.
    """
    sign = -1 if metric in LOWER_IS_BETTER else 1
    table = by_picture(rows, metric)
    if len(table.reset_index()[["network", "kind"]].drop_duplicates()) > 1:
        raise ValueError("choice compares maps of one network on one kind of scene; given several.")
    wide = table.unstack("layer").droplevel(["network", "kind"]).dropna(axis=1, how="all").dropna()
    means = mean_interval(wide)
    best = (sign * means["mean"]).idxmax()
    gaps = mean_interval(wide.rsub(wide[best], axis=0) * sign)
    found = means.assign(gap=gaps["mean"], gap_low=gaps["low"], tied=gaps["low"] <= 0).reset_index()
    found["cost"] = found["method"].map(cost)
    found["plain"] = found["common"] != "keep"
    found = found.sort_values("gap", kind="stable")
    first = found[found["tied"]].sort_values(["cost", "plain", "gap"], kind="stable").index[0]
    return found.assign(chosen=found.index == first).drop(columns="plain").reset_index(drop=True)


def cost_rank(passes: str) -> int:
    """0: one forward pass; 1: a few passes more; 2: passes of the tail alone, one a channel; 3: many whole passes.

    ``passes`` is what the registry says of a method, such as "1 forward + K masked".
    """
    if "masked" in passes or "n (forward" in passes or "(forward" in passes:
        return 3
    if "tail" in passes:
        return 2
    return int("backward" in passes)


def _intervals(values: pd.Series, keys: list[str]) -> pd.DataFrame:
    """Mean with interval of the values of each group, a line a group: the keys, then mean, low, high, n."""
    parts = values.groupby(keys, sort=False, observed=True)
    lines = [[*key, *mean_interval(part.to_frame("value")).loc["value"]] for key, part in parts]
    return pd.DataFrame(lines, columns=[*keys, "mean", "low", "high", "n"])


def _values(rows: pd.DataFrame, metric: str) -> pd.Series:
    values = rows[metric].astype("float64")
    if metric == "class_share":
        return values.where(rows["on_objects"] != 0, SHARE_OF_EMPTY)
    return values
