"""The tables of the law, its cure, the metrics and the choice, in words: what notebook 05 shows of the rows."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from camlib.evaluate.evidence import kept, summaries
from camlib.evaluate.evidence.populations import CLASS_MAPS, HEADS, SCENE_NETWORKS
from camlib.framework import COMMON
from camlib.plots.law import FINISHED, SIGNED, UNSIGNED
from camlib.registry import METHODS

TITLES = {name: METHODS[name].title for name in CLASS_MAPS}
NETWORKS = {name: HEADS[name] for name in SCENE_NETWORKS}
CURED = ("grad-cam", "grad-cam++", "layer-cam", "sca-cam", "sa-cam", "score-cam")
CURE_METRICS = {
    "class share": ("several", "class_share"),
    "energy, several objects": ("several", "energy"),
    "agreement with causes": ("several", "cause"),
    "energy, one object": ("one", "energy"),
    "average drop, half": ("one", "average-drop-half"),
    "insertion": ("one", "insertion"),
    "deletion": ("one", "deletion"),
}
"""Column of the table of the cure -> kind of scenes and metric."""
METRICS = {
    "several objects, against the causes": {
        "share of the energy on the class": "energy",
        "class share": "class_share",
        "share of the energy on any object": "on_objects",
        "pointing game": "hit",
        "all objects of the class lit": "twins",
        "small extent": "extent",
    },
    "one object, against the energy on it": {
        "pointing game": "hit",
        "average drop": "average-drop",
        "average drop, half": "average-drop-half",
        "average increase": "average-increase",
        "average increase, half": "average-increase-half",
        "deletion": "deletion",
        "insertion": "insertion",
        "insertion minus deletion": "overall",
        "small extent": "extent",
    },
}
"""Panel -> printed metric -> column. With several objects the truth is the agreement with what they do to the logit;
with one object that speaks for its class the same formula is the share of the energy on it."""
TRUTHS = {"several": "cause", "one": "energy"}


def all_rows() -> pd.DataFrame:
    """The rows of scenes, and those of photographs as soon as there are any, in one table."""
    parts = [kept.read("scenes")]
    if (kept.EVIDENCE / "photographs.parquet").is_file():
        parts.append(kept.read("photographs"))
    return pd.concat(parts, ignore_index=True)


def weight_groups() -> dict[str, str]:
    """What the weights of each class activation map are: one of :data:`camlib.plots.law.GROUPS`."""
    return {
        name: FINISHED if METHODS[name].makes == "map" else SIGNED if METHODS[name].sign == "signed" else UNSIGNED
        for name in CLASS_MAPS
    }


def cure_effects(rows: pd.DataFrame, layer: str = "last", methods: Sequence[str] = CURED) -> pd.DataFrame:
    """Means as published, centered, projected, and paired gains: a line a metric of the cure, head and method."""
    parts = []
    for name, (kind, metric) in CURE_METRICS.items():
        chosen = rows[(rows["layer"] == layer) & (rows["kind"] == kind) & rows["method"].isin(methods)]
        if len(chosen):
            parts.append(summaries.removal_effects(chosen, metric, methods).assign(column=name, metric=metric))
    return pd.concat(parts, ignore_index=True)


def cure_table(effects: pd.DataFrame) -> pd.DataFrame:
    """ "published → centered → projected" by head and method; ✓ better and ✗ worse mark resolved differences."""
    texts = effects.assign(text=[_steps(line) for line in effects.to_dict("records")])
    wide = texts.pivot(index=["network", "method"], columns="column", values="text").fillna("")
    order = [(n, m) for n in NETWORKS for m in CURED if (n, m) in wide.index]
    table = wide.loc[order, [name for name in CURE_METRICS if name in wide]].reset_index()
    return table.assign(network=table["network"].map(HEADS), method=table["method"].map(TITLES)).rename_axis(
        columns=None
    )


def cure_means(effects: pd.DataFrame) -> pd.DataFrame:
    """Means over the heads of every metric as "published → centered → projected", a line a method."""
    means = effects.groupby(["method", "column"], sort=False)[list(COMMON)].mean().reset_index()
    texts = means.assign(text=[" → ".join(_number(line[v]) for v in COMMON) for line in means.to_dict("records")])
    wide = texts.pivot(index="method", columns="column", values="text")
    columns = [name for name in CURE_METRICS if name in wide]
    return wide.loc[[m for m in CURED if m in wide.index], columns].rename(index=TITLES).rename_axis(None, axis=1)


def versus(rows: pd.DataFrame, metric: str, first: str, second: str) -> pd.DataFrame:
    """Two methods as published in one metric, paired by picture: a line a network and layer of the rows.

    Columns network (printed name), layer, kind, ``first`` and ``second`` (means), mean, low, high (of first minus
    second, 95 % interval), n, and ``difference``, the last ones as text. Pictures that both have count.
    """
    chosen = rows[(rows["common"] == "keep") & rows["method"].isin([first, second])]
    both = summaries.by_picture(chosen, metric).droplevel("common", axis=1)[[first, second]].dropna()
    found = []
    for (network, layer, kind), part in both.groupby(summaries.PLACE, sort=False):
        gap = summaries.mean_interval((part[first] - part[second]).to_frame("gap")).loc["gap"]
        place = {"network": HEADS.get(network, network), "layer": layer, "kind": kind}
        means = {first: part[first].mean(), second: part[second].mean()}
        found.append(place | means | dict(gap) | {"n": len(part), "difference": _with_interval(gap)})
    return pd.DataFrame(found)


def ahead_and_gain(rows: pd.DataFrame, effects: pd.DataFrame, layer: str = "last") -> pd.DataFrame:
    """Energy of the published map minus that of ΣM, and what projecting gains: what :func:`camlib.plots.removal_chart`
    draws. ``effects`` is what :func:`cure_effects` gives of the same rows."""
    found = []
    for kind in ("one", "several"):
        chosen = rows[(rows["layer"] == layer) & (rows["kind"] == kind) & (rows["method"] == "feature-map")]
        if chosen.empty:
            continue
        common = summaries.by_picture(chosen[chosen["common"] == "keep"], "energy").groupby("network").mean().iloc[:, 0]
        part = effects[(effects["metric"] == "energy") & (effects["kind"] == kind)]
        found.append(part.assign(ahead=part["keep"] - part["network"].map(common), head=part["network"].map(HEADS)))
    names = {"project_gain": "gain", "project_low": "low", "project_high": "high"}
    return pd.concat(found, ignore_index=True).rename(columns=names)


def metric_agreements(rows: pd.DataFrame, layer: str = "last") -> pd.DataFrame:
    """How well each metric orders methods as the causes do, by head, and whether the class-blind sum beats Grad-CAM."""
    found = []
    for (panel, names), (kind, truth) in zip(METRICS.items(), TRUTHS.items(), strict=True):
        chosen = rows[(rows["kind"] == kind) & (rows["layer"] == layer)]
        for name, metric in names.items():
            if chosen[metric].notna().sum() == 0:
                continue
            beaten = summaries.beaten_by(chosen, metric).set_index("network")["low"] > 0
            part = summaries.agreement_with(chosen, metric, truth, CLASS_MAPS)
            blind = part["network"].map(beaten).fillna(False).astype(bool)
            found.append(part.assign(panel=panel, name=name, metric=metric, blind=blind))
    return pd.concat(found, ignore_index=True)


def metric_table(agreements: pd.DataFrame) -> pd.DataFrame:
    """Agreement with its interval by metric and head, and the heads where ΣM beats Grad-CAM."""
    lines = []
    for (panel, name), part in agreements.groupby(["panel", "name"], sort=False):
        part = part.set_index("network")
        texts = {HEADS[n]: _with_interval(part.loc[n]) if n in part.index else "" for n in NETWORKS}
        blind = [HEADS[n] for n in NETWORKS if n in part.index and part.loc[n, "blind"]]
        lines.append(
            {"scenes": panel.split(",")[0], "metric": name} | texts | {"ΣM beats Grad-CAM": ", ".join(blind) or "none"}
        )
    return pd.DataFrame(lines)


def choices(rows: pd.DataFrame) -> pd.DataFrame:
    """Every candidate of every purpose, head and budget of passes, ranked as ``summaries.choice`` does."""
    cost = {name: summaries.cost_rank(METHODS[name].passes) for name in CLASS_MAPS}
    budgets = {"any": CLASS_MAPS, "a few passes": tuple(name for name in CLASS_MAPS if cost[name] <= 1)}
    found = []
    for purpose, (kind, metric) in summaries.PURPOSES.items():
        here = rows[(rows["kind"] == kind) & rows["method"].isin(CLASS_MAPS)]
        varied = here[here["picture"].isin(here.loc[here["common"] == "project", "picture"].unique())]
        for network, part in varied.groupby("network", sort=False):
            for budget, names in budgets.items():
                ranked = summaries.choice(part[part["method"].isin(names)], metric, cost)
                found.append(ranked.assign(purpose=purpose, network=network, budget=budget))
    return pd.concat(found, ignore_index=True)


def choice_table(ranked: pd.DataFrame) -> pd.DataFrame:
    """The chosen map by purpose, budget and head: method, what is removed, layer, mean, and how many are not worse."""
    lines = []
    for (purpose, budget), part in ranked.groupby(["purpose", "budget"], sort=False):
        texts = {}
        for network, of in part.groupby("network", sort=False):
            first = of[of["chosen"]].iloc[0]
            removed = {"keep": "", "center": ", centered", "project": ", projected"}[first["common"]]
            others = int(of["tied"].sum()) - 1
            texts[HEADS[network]] = (
                f"{TITLES[first['method']]}{removed}, {first['layer']}: {_number(first['mean'])}"
                + (f" (or {others} more)" if others else "")
            )
        lines.append({"purpose": purpose, "passes": budget} | {h: texts.get(h, "") for h in NETWORKS.values()})
    return pd.DataFrame(lines)


def _steps(line: dict) -> str:
    """0.17 → 0.08 ✗ → 0.02 ✗."""
    texts = [_number(line["keep"])]
    sign = -1 if line["metric"] in summaries.LOWER_IS_BETTER else 1
    for version in COMMON[1:]:
        low, high = sorted((sign * line[f"{version}_low"], sign * line[f"{version}_high"]))
        texts.append(_number(line[version]) + (" ✓" if low > 0 else " ✗" if high < 0 else ""))
    return " → ".join(texts)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) > 1.5 else f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def _with_interval(line: pd.Series) -> str:
    return f"{line['mean']:.2f} [{line['low']:.2f}, {line['high']:.2f}]".replace("-", "\N{MINUS SIGN}")
