# %% [markdown]
# # Does the probability follow the map? Drop, increase, deletion, insertion
#
# **What you'll do.** Judge heatmaps by the network's own answer: show it only what a map marks, take away what it marks first, and watch the probability of the class. Then put the tables of three papers beside the same tables on other photographs, with intervals and with maps that have seen nothing.
#
# **What you'll learn.** To compute average drop and increase, deletion and insertion by hand; why such a number says nothing without its layer; to read a published table for what it can carry; and to ask first how a blank sheet would have scored.
#
# **What you'll need.** `05_gradient_methods` and `06_score_cam`; of `07_sa_cam` and `08_union_cam` the first pages. About three minutes.
#
# Items made here: `score-table-2`, `score-fig-10`, `union-table-1`, `union-table-2`, `sa-table-1`, `sa-table-2`, `sa-table-3`, `sa-fig-09`, `sa-fig-10`.
#
# Notation: $x$ the normalized picture, $c$ its most probable class, kept for every changed version of it, $p_c$ the softmax probability, $L\in[0,1]^{H\times W}$ the heatmap; $Y=p_c(x)$ and $O=p_c(x\cdot L)$.

# %% tags=["parameters"]
profile = "offline"  # "paper": VGG-16, ResNet-101 and VGG-19 with torchvision's weights, at the papers' layers
network = "efficientnet-lite0"  # the network that is explained
seed = 0  # mosaics, groups, random maps, random masks, bootstrap
fast = False  # True: five labeled photographs, fewer masks

# %%
import warnings

import camlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from camlib import plots, report, runtime
from camlib.metrics import METRICS, Sample, bootstrap_interval, control_samples, deletion_curve, insertion_curve, paired_difference, probability_score, spearman
from camlib.scoring import Scorer
from IPython.display import Markdown

runtime.setup(seed)
plots.style()
here = "09_faithfulness"

# %% [markdown]
# Two sets of pictures. The first: 20 photographs with an ImageNet label, each of one thing. The second stands in for PASCAL VOC, whose pictures show several things and were not chosen for ImageNet's classes: six photographs without a label and 2 × 2 mosaics of the first set.
#
# Two layers. `main`, where all methods meet on all pictures, is a stage with few feature maps, because Score-CAM costs one forward pass a map, and SA-CAM two. It ends without ReLU: its maps have both signs. `second` is the last, rectified layer, the kind that the papers explain; there only every fourth photograph is affordable.

# %%
lite = {"main": "blocks.4", "second": "bn2", "neighbors": ["blocks.6", "bn2.drop", "bn2"], "pair": dict.fromkeys(["efficientnet-lite0", "efficientnet-lite1"], "blocks.4")}
vgg = {"main": "features.29", "second": "features.22", "neighbors": ["features.28", "features.29", "features.30"], "pair": {"resnet101": None, "vgg19": None}}
at = vgg if profile == "paper" else lite
main, second = at["main"], at["second"]
net = camlib.load_network("vgg16" if profile == "paper" else network)
labeled = camlib.list_photos("imagenet")[: 5 if fast else None]
others = camlib.list_photos("unlabeled")[: 2 if fast else None]
pictures = {name: camlib.load_photo(name) for name in [*labeled, *others]}
rng = np.random.default_rng(seed)
fours = rng.permutation(labeled)[: len(labeled) // 4 * 4].reshape(-1, 4)
pictures |= {f"mosaic-{k}": camlib.mosaic(list(four), cell=net.input_size[0] // 2).picture for k, four in enumerate(fours, 1)}
reference_run = (profile, network, seed, fast) == ("offline", "efficientnet-lite0", 0, False)  # the run that the prose speaks of
scenes = [name for name in pictures if name not in labeled]
few = labeled if profile == "paper" else labeled[::4]
masks, steps = (4000, 300) if profile == "paper" else (40, 4) if fast else (200, 30)
inner, both = ("", "") if profile == "paper" else (" (inner layer)", " (inner and last layer)")
photographs = f"{len(labeled)} photographs of ImageNet classes, most probable class"
print(f"{net.name}: {len(labeled)} labeled photographs, {len(scenes)} other pictures; layers {main} and, on {len(few)}, {second}")

# %% [markdown]
# ### Rules, written before the numbers
#
# Every claim is decided by *paired* differences: method minus method on the same picture, mean over pictures, 95 % bootstrap interval that draws pictures. A claim *holds* if all its intervals lie on the paper's side of 0, *does not hold* if one lies on the other side, and is *undecided here* otherwise. Numbers of two layers are never subtracted from each other.
#
# | claim | number | against |
# |---|---|---|
# | Score-CAM has the lowest average drop (Wang et al. 2019, table 2) | average drop, 50 % of the pixels | Mask, RISE, Grad-CAM, Grad-CAM++ |
# | Score-CAM has the highest average increase (the same) | average increase, 50 % of the pixels | the same |
# | Score-CAM has the lower deletion AUC (the same, fig. 10; 2020, table 3) | deletion | Grad-CAM |
# | Score-CAM has the higher insertion AUC (Wang et al. 2020, table 3) | insertion | Grad-CAM |
# | SA-CAM has the higher overall AUC (Liang et al. 2022, table 3) | insertion minus deletion | Score-CAM |
# | UnionCAM has the lowest average drop (Hu et al. 2024, tables 1 and 2) | average drop, on both sets of pictures | Grad-CAM, Grad-CAM++, XGrad-CAM, LayerCAM, Score-CAM |
# | UnionCAM has the highest average increase (the same) | average increase, on both sets | the same |
#
# One rule came later. A trial on five photographs, with the last block of the network as second layer, showed UnionCAM far ahead at the inner layer, where its map is not rectified and therefore bright nearly everywhere (section 3 looks into it), and Score-CAM at opposite ends of the table at two layers. Since then the second layer is the papers' own last one, and a verdict stands only if *both* layers give it; else the claim is undecided here. SA-CAM is too expensive for the last layer: its claim is decided at the inner one and says so. (In the paper profile `main` is the papers' layer and `second` the stage before it, on all photographs.)

# %%
def verdict(intervals, better):
    """holds: all intervals on the good side of 0; does not hold: one on the bad side; else undecided here."""
    signed = [(low, high) if better == "higher" else (-high, -low) for _, low, high in intervals]
    if all(low > 0 for low, _ in signed):
        return "holds"
    return "does not hold" if any(high < 0 for _, high in signed) else "undecided here"


def settled(first, second):
    """A verdict stands only if both layers give it."""
    return first if first == second else "undecided here"


def unlike(what):
    """What differs from the paper; with the papers' network and layer only the pictures do."""
    return "own photographs instead of the paper's pictures" if profile == "paper" else what


def told(interval, form="+.1f"):
    return f"{interval[0]:{form}} [{interval[1]:{form}}, {interval[2]:{form}}]"

# %% [markdown]
# ## 1. One picture by hand
#
# *Average drop* (AD) and *average increase* (AI) look at the picture through its map (Chattopadhay et al. 2018):
#
# $$\mathrm{AD}=\frac{100}{N}\sum_{i=1}^{N}\frac{\max(0,\,Y_i-O_i)}{Y_i}\qquad\qquad \mathrm{AI}=\frac{100}{N}\sum_{i=1}^{N}\mathbb 1[Y_i<O_i].$$
#
# A map that is bright everywhere hides nothing and cannot drop. Score-CAM's authors therefore allow a map only half of the pixels: "50 % of pixels are mute". The highest half keeps its soft values, the rest becomes 0; another reading sets the highest half to 1. Below, all three with plain passes of the network and a sort, against `camlib.metrics`.

# %%
e = camlib.explain(net, pictures["bull-mastiff"], "grad-cam", layer=main)
x = net.prepare(pictures["bull-mastiff"])[1]


def p_c(picture):
    """Probability of the class, by one plain pass."""
    return float(net.logits(picture[None])[0].softmax(dim=0)[e.target])


values, order = e.heatmap.flatten().sort(descending=True, stable=True)
half = torch.zeros_like(values)
half[order[: len(order) // 2]] = values[: len(order) // 2]
half = half.reshape(e.heatmap.shape)
shown = {"all": e.heatmap, "half": half, "binary-half": (half > 0).float()}
sample = Sample.of(net, x, e.heatmap, e.target)
for pixels, map_ in shown.items():
    drop = 100 * max(0, p_c(x) - p_c(x * map_)) / p_c(x)
    assert abs(drop - METRICS["average-drop"](sample, pixels=pixels)) < 0.01
    assert 100 * (p_c(x) < p_c(x * map_)) == METRICS["average-increase"](sample, pixels=pixels)

# %%
views = {"photograph": x, "all pixels": x * e.heatmap, "highest half": x * half, "highest half, binary": x * shown["binary-half"]}
notes = [f"p = {p_c(picture):.2f}" for picture in views.values()]
fig = plots.grid([[net.show(picture) for picture in views.values()]], column_labels=list(views), notes=[notes], colorbar=False, cell=2.1)
plt.show()

# %% [markdown]
# *Deletion* takes the pixels away, the highest first, and draws the probability against the share that is gone: a good map makes it fall fast, the area under the curve (AUC) is small. *Insertion* starts from a blurred picture and puts the pixels in: the area should be large (Petsiuk et al. 2018, RISE). Five points by hand:

# %%
ranks = torch.empty_like(order)
ranks[order] = torch.arange(len(order))
ranks = ranks.reshape(e.heatmap.shape)
by_hand = [p_c(x * (ranks >= round(len(order) * share))) for share in (0, 0.25, 0.5, 0.75, 1)]
curve = deletion_curve(sample, step=0.25)
assert np.allclose(curve.probabilities, by_hand, atol=1e-4)
assert np.isclose(curve.auc, sum(by_hand[1:4]) / 4 + (by_hand[0] + by_hand[4]) / 8, atol=1e-4)
print("share deleted 0, 1/4, 1/2, 3/4, 1: p =", ", ".join(f"{p:.2f}" for p in by_hand), f"  AUC {curve.auc:.2f}")

# %% [markdown]
# From here on RISE's protocol for data sets: 28 steps of 8 rows' worth of pixels, the mean color in place of deleted ones, and for insertion RISE's blur.
#
# Every picture also gets three *controls*: a map of ones, a random map, a Gaussian in the middle. They know nothing of the network. A method that does not beat them has not been shown to know more.

# %%
engines, number = {}, {name: k for k, name in enumerate(pictures)}


def score_of(net):
    """One engine a network for all its pictures; checked on noise, so that no number depends on the first picture."""
    if net.name not in engines:
        noise = torch.rand(1, 3, *net.input_size, generator=torch.Generator().manual_seed(0))
        engines[net.name] = probability_score(Scorer(net, noise))
    return engines[net.name]

# %%
def samples_of(names, methods, layer, net=net, targets=(None,), **options):
    """{(picture, method): Sample} of one class a picture, controls included; all methods share one compare."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", camlib.DegenerateMapWarning)  # counted in the tables
        found = camlib.compare(net, [pictures[name] for name in names], methods, targets, layer, **options)
    made = {}
    for name, own in zip(names, np.reshape(np.array(found, dtype=object), (len(names), -1)), strict=True):
        first = Sample.of(net, net.prepare(pictures[name])[1], own[0].heatmap, own[0].target, score_of(net))
        made |= {(name, e.method): first.with_heatmap(e.heatmap) for e in own}
        made |= {(name, m): control for m, control in control_samples(first, seed + number[name]).items()}
    return made

# %%
def rows_of(samples, metrics, layer):
    """One row a picture and method: its class, probability and numbers."""
    rows = []
    for (name, method), s in samples.items():
        facts = {"picture": name, "class": s.network.class_name(s.target), "probability": s.probability}
        facts |= {"layer": layer, "method": method, "mean of the heatmap": float(s.heatmap.mean()), "map is empty": s.empty}
        rows.append(facts | {metric: METRICS[metric](s) for metric in metrics})
    return pd.DataFrame(rows).round(5)


def pivot(rows, metric):
    """Numbers [picture, method]."""
    return rows.pivot(index="picture", columns="method", values=metric)


def differences(rows, metric, method, against):
    """{other: paired difference, method minus other, over the pictures that both have}."""
    wide = pivot(rows, metric)
    return {other: paired_difference(*wide[[method, other]].dropna().to_numpy().T, seed=seed) for other in against}

# %% [markdown]
# ## 2. First the layer
#
# Four gradient methods at three neighboring layers at the end of the network: the last block, the 1 × 1 convolution with batch norm behind it, and the ReLU behind that. Nothing else changes: same network, same photographs, same class.

# %%
gradients = ["grad-cam", "grad-cam++", "xgrad-cam", "layer-cam"]
by_layer = pd.concat([rows_of(samples_of(labeled, gradients, layer), ["average-drop"], layer) for layer in at["neighbors"]])
drops = by_layer.pivot(index=["layer", "picture"], columns="method", values="average-drop")
means = drops.groupby(level="layer").mean().loc[at["neighbors"]]
means.round(1)

# %% [markdown]
# How far does Grad-CAM move between the three layers, and how far do the four methods lie apart at one of them? Both are ranges (largest mean minus smallest); the interval of their difference draws photographs.

# %%
cube = np.stack([drops.loc[layer].loc[labeled, gradients].to_numpy() for layer in at["neighbors"]])  # [layer, picture, method]


def wider(level):
    """Range of Grad-CAM over the layers minus range of the methods at one layer, with its interval."""
    def statistic(drawn):
        mean = cube[:, drawn.astype(int)].mean(axis=1)
        return np.ptp(mean[:, 0]) - np.ptp(mean[level])

    return bootstrap_interval(np.arange(len(labeled)), statistic=statistic, seed=seed)


gaps = {layer: wider(level) for level, layer in enumerate(at["neighbors"])}
print(f"Grad-CAM over the three layers: range {np.ptp(means['grad-cam']):.1f} percentage points")
for layer, gap in gaps.items():
    print(f"methods at {layer:11s} range {np.ptp(means.loc[layer, gradients]):4.1f}; layers minus methods {told(gap)}")
if reference_run:
    assert gaps["bn2"].low > 0 > gaps["bn2.drop"].high

# %%
fig, ax = plt.subplots(figsize=(7, 3))
for k, (method, color) in enumerate(zip(gradients, plots.COLORS, strict=False)):
    points = [bootstrap_interval(drops.loc[layer, method], seed=seed) for layer in at["neighbors"]]
    mean, low, high = np.array(points).T
    ax.errorbar(np.arange(3) + (k - 1.5) / 12, mean, [mean - low, high - mean], fmt="o-", color=color, capsize=3, label=method, lw=1)
for name in ("center-gaussian", "random", "all-ones"):
    ax.axhline(means[name].mean(), color="0.6", ls=":", lw=1)
    ax.text(2.3, means[name].mean(), name, va="center", color="0.4", fontsize=8)
ax.set(xticks=range(3), xticklabels=at["neighbors"], ylabel="average drop, %", xlim=(-0.3, 2.9))
ax.legend(loc="upper left")
plt.show()

# %% [markdown]
# **What it means.** At `bn2`, behind the ReLU, where people look by default, the four methods can hardly be told apart, and one step to the layer before changes the drop of each of them many times as much. Before the ReLU it is the other way round: the methods fly apart there, because some of them use the sign of the map and some do not. In the last block the two ranges cannot be told apart. So a drop without its layer is no number, and a table that takes another layer for each method compares layers. Everything below compares methods at one layer.
#
# ## 3. All methods at one layer
#
# One `compare` makes all maps; the masked pictures of Score-CAM serve SA-CAM and UnionCAM too. RISE and Mask look at no layer, and they are expensive: fewer photographs, fewer masks and steps than their authors take.

# %%
cams = ["grad-cam", "grad-cam++", "xgrad-cam", "layer-cam", "score-cam", "sa-cam", "union-cam"]
tested = samples_of(labeled, cams, main)
deeper = samples_of(few, [m for m in cams if m != "sa-cam"], second)
expensive = {"mask": {"steps": steps, "seed": seed}, "rise": {"masks": masks, "seed": seed}}
pixelwise = {key: s for key, s in samples_of(few, list(expensive), main, options=expensive).items() if key[1] in expensive}
everything = [*tested.values(), *deeper.values(), *pixelwise.values()]
print(f"{len(everything)} maps, controls included; {sum(s.empty for s in everything)} of them empty")

# %%
def block(rows, metric, columns, reference, layer, others=None):
    """Lines of a table: ours with interval and n, paired difference to the reference, what was printed elsewhere."""
    wide, bright, lines = pivot(rows, metric), pivot(rows, "mean of the heatmap"), {}
    for m in columns:
        own, gap = [np.nan] * 5, [np.nan] * 3
        if m in wide:
            own = [*bootstrap_interval(wide[m].dropna(), seed=seed), wide[m].count(), bright[m].mean()]
        if m in wide and m != reference:
            gap = differences(rows, metric, m, [reference])[reference]
        lines[m] = [*own, *gap, *(row.get(m, np.nan) for row in (others or {}).values())]
    gap = f"ours, minus {reference}, paired"
    what = ["ours, mean", "ours, interval from", "ours, interval to", "ours, pictures", "ours, mean of the heatmap", gap, f"{gap}, from", f"{gap}, to"]
    layers = [layer] * len(what) + ["theirs"] * len(others or {})
    return pd.DataFrame({"layer": layers, "metric": f"{metric} [{METRICS[metric].unit}]", "what": [*what, *(others or {})], **lines})

# %% [markdown]
# ### Score-CAM's table: half of the pixels

# %%
HALF = ["average-drop-half", "average-increase-half"]
five = ["mask", "rise", "grad-cam", "grad-cam++", "score-cam"]
controls = ["all-ones", "random", "center-gaussian"]
PLAIN = ["average-drop", "average-increase"]
at_main, at_second, no_layer = (rows_of(made, [*HALF, *PLAIN], layer) for made, layer in ((tested, main), (deeper, second), (pixelwise, "no layer")))
halves = pd.concat([no_layer, at_main[at_main["method"].isin([*five, *controls])]])
halves_second = pd.concat([no_layer, at_second[at_second["method"].isin([*five, *controls])]])
setting = "published: VGG-16, 2,000 ILSVRC2012 pictures"
printed = dict(zip(HALF, ([63.5, 47.0, 47.8, 45.5, 31.5], [5.29, 14.0, 19.6, 18.9, 30.6]), strict=True))
blocks = [block(halves, m, [*five, *controls], "score-cam", main, {setting: dict(zip(five, printed[m], strict=True))}) for m in HALF]
blocks += [block(halves_second, m, [*five, *controls], "score-cam", second) for m in HALF]
table = pd.concat(blocks, ignore_index=True)
report.save(
    table, "score-table-2",
    caption=f"Average drop (lower is better) and increase (higher is better) with half of the pixels, in percent: five methods and three controls. Mask with {steps} steps and RISE with {masks} masks, both on {len(few)} photographs and the same at both layers: they look at none.",
    network=net.name, data=photographs, n=len(labeled), seed=seed, profile=profile,
    differs=unlike("other network, an inner layer beside the last one, own photographs; Mask (its authors: 300 steps) and RISE (4,000 masks) on fewer passes and photographs"),
    extra={"rows": pd.concat([halves, at_second])},
)  # fmt: skip
report.show("score-table-2")

# %%
def bars(rows, metrics, methods, titles):
    """Means with intervals, one panel a metric."""
    fig, axes = plt.subplots(1, len(metrics), figsize=(10, 0.8 + 0.3 * len(methods)), sharey=True)
    for ax, metric, title in zip(axes, metrics, titles, strict=True):
        found = [bootstrap_interval(pivot(rows, metric)[m].dropna(), seed=seed) for m in methods]
        mean, low, high = np.array(found).T
        color = ["0.7" if m in controls else plots.COLORS[0] for m in methods]
        ax.barh(range(len(methods)), mean, color=color, alpha=0.8)
        ax.errorbar(mean, range(len(methods)), xerr=[mean - low, high - mean], fmt="none", ecolor="0.15", capsize=2)
        ax.set(xlabel=title, yticks=range(len(methods)), yticklabels=methods)
    axes[0].invert_yaxis()
    plt.show()


bars(halves, HALF, [*five, *controls], ["average drop with half of the pixels, %", "average increase with half of the pixels, %"])
table[table["what"].isin(["ours, mean", "ours, pictures", setting])].drop(columns="metric").round(1)

# %% [markdown]
# Read the three gray bars first. With half of the pixels the blank sheet drops too, because it keeps the *upper half of the picture*, whatever is there. That makes the number more honest than the plain drop, where the blank sheet always wins.
#
# At the inner layer no CAM gets below the blank sheet or the Gaussian: the maps of a layer with both signs are small islands, and the network does not recognize its picture through them. At the last layer the same three methods are far below all controls. The order of their means is the paper's at both layers, Score-CAM first; whether that is more than chance is for the intervals to say. (Mask is trained to keep the probability behind its map: it is close to being its own judge.)

# %%
ahead = {layer: {(m, c): differences(rows, HALF[0], m, [c])[c] for m in five[2:] for c in controls} for layer, rows in ((main, halves), (second, halves_second))}
for layer, gaps in ahead.items():
    print(f"{layer}: half-pixel drop surely below {sum(gap.high < 0 for gap in gaps.values())} and surely above {sum(gap.low > 0 for gap in gaps.values())} of {len(gaps)} pairs of CAM and control")
if reference_run:
    assert all(gap.low > 0 for (_, c), gap in ahead[main].items() if c != "random")
    assert all(gap.high < 0 for (m, _), gap in ahead[second].items() if m == "score-cam")
    for rows in (halves, halves_second):
        assert pivot(rows, HALF[0])[five[2:]].mean().idxmin() == "score-cam"

# %% [markdown]
# What the paper claims, on our photographs:

# %%
def decide(claim_id, paper, claim, evidence, metric, method, tests, deeper=None):
    """Enter a claim by the rules above; tests and deeper: [(name of the pictures, rows, other methods)]."""
    better, form = METRICS[metric].better, "+.1f" if METRICS[metric].unit == "%" else "+.3f"

    def compared(tests):
        gaps = {o + where: gap for where, rows, against in tests for o, gap in differences(rows, metric, method, against).items()}
        return gaps, verdict(gaps.values(), better)

    (gaps, outcome), (below, opposite) = compared(tests), compared(deeper) if deeper else ({}, None)
    parts = {f"{main} of {net.name}": gaps} | ({second: below} if deeper else {})
    ours = "; ".join(f"{layer}: " + ", ".join(f"{told(gap, form)} ({o})" for o, gap in part.items()) for layer, part in parts.items())
    closest = max(gaps.values(), key=lambda gap: gap.high if better == "lower" else -gap.low)
    ours, outcome = f"{metric}, {method} minus other, at {ours}", settled(outcome, opposite)
    print(report.claim(claim_id, paper=paper, claim=claim, evidence=evidence, ours=ours, interval=closest[1:], verdict=outcome, notebook=here))
    for layer, part in parts.items():
        print("\n".join(f"   {layer}: {method} minus {o} {told(gap, form)}" for o, gap in part.items()))

# %%
for metric, word, best, line in (
    ("average-drop-half", "lowest average drop", 31.5, "45.5 to 63.5"),
    ("average-increase-half", "highest average increase", 30.6, "5.29 to 19.6"),
):  # fmt: skip
    decide(
        f"score-{word.replace(' ', '-')}", "score",
        f"Score-CAM has the {word} of five methods, with half of the pixels{both}",
        f"table 2: {best} % against {line} %; VGG-16, 2,000 pictures", metric, "score-cam",
        [("", halves, five[:-1])], [("", halves_second, five[:-1])],
    )  # fmt: skip

# %% [markdown]
# ### UnionCAM's tables
#
# The numbers of both tables are lost from every copy of the paper that we could read. What remains is the setting (VGG-16, 2,000 ILSVRC2012 pictures; VOC2007 test), the two formulas, and an independent measurement by somebody else on another network (Xplain-CAM, VGG-19, 100 pictures), which stands in the first table under that name. The paper does not say whether half of the pixels were muted: the plain formulas are taken.
#
# One thing to keep in mind: UnionCAM selects between two maps by the probability that the picture keeps behind them. That *is* the number that average drop counts (notebook 08).

# %%
rivals = ["grad-cam", "grad-cam++", "xgrad-cam", "layer-cam", "score-cam"]
elsewhere = {"average-drop": [29.22, 28.97, 37.09, 28.26, 26.01], "average-increase": [20, 18, 14, 18, 21]}
those = ["grad-cam", "grad-cam++", "xgrad-cam", "score-cam", "union-cam"]
lost = "published (VGG-16): lost"
source = "independent, not the authors' (Xplain-CAM): VGG-19, 100 ILSVRC2012 pictures"
columns = [*rivals, "sa-cam", "union-cam", *controls]
blocks = [block(at_main, m, columns, "union-cam", main, {lost: {}, source: dict(zip(those, elsewhere[m], strict=True))}) for m in PLAIN]
blocks += [block(at_second, m, columns, "union-cam", second) for m in PLAIN]
report.save(
    pd.concat(blocks, ignore_index=True), "union-table-1",
    caption="Average drop (lower is better) and increase (higher is better), all pixels, in percent. The published numbers are lost; the line below theirs is somebody else's measurement.",
    network=net.name, data=photographs, n=len(labeled), seed=seed, profile=profile,
    differs=unlike("other network, an inner layer beside the last one, own photographs instead of 2,000 ILSVRC2012 pictures; the rivals are some that the paper names in words"),
    extra={"rows": pd.concat([at_main, at_second])},
)  # fmt: skip
report.show("union-table-1")

# %%
there = samples_of(scenes, [*rivals, "union-cam"], main)
at_scenes = rows_of(there, [*PLAIN, *HALF], main)
report.save(
    pd.concat([block(at_scenes, m, [*rivals, "union-cam", *controls], "union-cam", main, {lost: {}}) for m in PLAIN], ignore_index=True),
    "union-table-2",
    caption="Average drop (lower is better) and increase (higher is better), all pixels, in percent, on pictures that show several things or none that ImageNet names. The published numbers are lost.",
    network=net.name, data=f"{len(others)} photographs without a label and {len(fours)} mosaics of four, most probable class", n=len(scenes), seed=seed, profile=profile,
    differs="not VOC2007: unlabeled photographs and mosaics, so that a picture shows several things; other network, inner layer", extra={"rows": at_scenes},
)  # fmt: skip
report.show("union-table-2")

# %%
bars(at_main, PLAIN, [*rivals, "sa-cam", "union-cam", *controls], ["average drop, %, ImageNet photographs", "average increase, %"])
bars(at_scenes, PLAIN, [*rivals, "union-cam", *controls], ["average drop, %, other pictures", "average increase, %"])

# %% [markdown]
# ### What the drop rewards
#
# At the inner layer UnionCAM is alone among the maps. Its map is the only one that is *not rectified*: scaled to $[0,1]$, what speaks against the class becomes dark, what says nothing becomes gray, and gray dims a picture without hiding it. How much of the number is that? The last control: for each map a *flat sheet with the same mean*, which dims all pixels alike and has no place at all.

# %%
lines, beyond = {}, {}
for layer, samples, rows in ((main, tested, at_main), (second, deeper, at_second)):
    sheets = {key: s.with_heatmap(torch.full_like(s.heatmap, float(s.heatmap.mean()))) for key, s in samples.items() if key[1] in cams}
    drop, flat = pivot(rows, "average-drop"), pivot(rows_of(sheets, ["average-drop"], layer), "average-drop")
    for m in flat:
        beyond[layer, m] = paired_difference(drop[m], flat[m], seed=seed)
        lines[layer, m] = [f"{pivot(rows, 'mean of the heatmap')[m].mean():.2f}", f"{drop[m].mean():.1f}", f"{flat[m].mean():.1f}", told(beyond[layer, m])]
if reference_run:
    assert all(beyond[main, m].low > 0 for m in cams if m != "union-cam")
pd.DataFrame(lines, index=["mean of the heatmap", "average drop", "drop of the flat sheet", "map minus sheet"]).T

# %%
shine, fall = (pivot(at_main, metric)[[*cams, *controls]] for metric in ("mean of the heatmap", "average-drop"))
r = bootstrap_interval([spearman(shine.loc[name].to_numpy(), fall.loc[name].to_numpy()) for name in labeled], seed=seed)
fig, ax = plt.subplots(figsize=(6, 3))
for k, m in enumerate([*cams, *controls]):
    ax.plot(shine[m], fall[m], ".", color="0.6" if m in controls else plots.COLORS[k], ms=4, alpha=0.6)
    ax.plot(shine[m].mean(), fall[m].mean(), "o", color="0.4" if m in controls else plots.COLORS[k], label=m)
ax.set(xlabel="mean of the heatmap", ylabel="drop, %", title=f"{main}: one dot a photograph and map, discs: means")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
print(f"rank correlation of brightness and drop over the {shine.shape[1]} maps of a photograph: {told(r, '+.2f')}")
if reference_run:
    assert r.high < -0.5
    assert all(beyond[second, m][0] < 0 for m in cams if m != "sa-cam")

# %% [markdown]
# **What it means.** At the inner layer every rectified map keeps *less* of the probability than a sheet that dims all pixels alike: the places it marks did not help, they hurt. UnionCAM's map cannot be told from its sheet. Its lead in the table is brightness, not place. At the last layer, where the maps are large and soft and all of them rectified, each keeps more than its sheet in the mean, and the methods lie close together. The rank correlation says the same of single photographs: tell me how bright a map is, and I can guess its drop.
#
# With that in mind, the claims:

# %%
for metric, word in (("average-drop", "lowest average drop"), ("average-increase", "highest average increase")):
    decide(
        f"union-{word.replace(' ', '-')}", "union", f"UnionCAM has the {word} of the class activation maps{both}",
        "tables 1 and 2, their numbers lost; 'outperforming existing methods' in words", metric, "union-cam",
        [("", at_main, rivals), (", other pictures", at_scenes, rivals)], [("", at_second, rivals)],
    )  # fmt: skip
assert (at_main.loc[at_main["method"] == "all-ones", "average-drop"] == 0).all()

# %% [markdown]
# ## 4. Deletion, insertion, and both at once
#
# Figure 10 of the Score-CAM paper shows one picture on which Score-CAM has the smallest area. One such picture can be found for any method. Here the picture is chosen by a rule that favors nobody: of the photographs that Mask and RISE were run on, the one whose difference in deletion AUC between Score-CAM and Grad-CAM at the last layer is the *median*.

# %%
three = ["grad-cam", "score-cam", "sa-cam"]
curves = rows_of({key: s for key, s in tested.items() if key[1] in (*three, *controls)}, ["insertion", "deletion", "overall"], main)
below = rows_of({key: s for key, s in deeper.items() if key[1] in ("grad-cam", "score-cam")}, ["insertion", "deletion"], second)
gap = pivot(below, "deletion").eval("`score-cam` - `grad-cam`").sort_values(kind="stable")
chosen = gap.index[len(gap) // 2]
shown = {m: (pixelwise if m in expensive else deeper)[chosen, m] for m in five}
lines = {m: deletion_curve(s) for m, s in shown.items()}
kept = {m: s.heatmap.flatten().argsort(descending=True, stable=True)[s.heatmap.numel() // 4 :] for m, s in shown.items()}
quarter = {m: torch.zeros(s.heatmap.numel()).index_fill(0, kept[m], 1).reshape(s.size) for m, s in shown.items()}
photo = net.show(shown["grad-cam"].inputs)
print(f"{chosen}: deletion AUC of Score-CAM minus Grad-CAM {gap[chosen]:+.3f}; over the {len(gap)} photographs from {gap.iloc[0]:+.3f} to {gap.iloc[-1]:+.3f}")

# %%
fig = plt.figure(figsize=(13, 3.6))
axes = fig.subplot_mosaic("abcdefxxx;ghijklxxx", empty_sentinel="g", per_subplot_kw={tuple("abcdefhijkl"): {"xticks": [], "yticks": [], "frame_on": False}})
axes["a"].imshow(photo.permute(1, 2, 0))
axes["a"].set_title(f"{chosen}\np = {shown['rise'].probability:.2f}")
for over, under, (m, s) in zip("bcdef", "hijkl", shown.items(), strict=True):
    axes[over].imshow(plots.overlay(photo, s.heatmap))
    axes[over].set_title(f"{m}\nAUC {lines[m].auc:.3f}")
    axes[under].imshow(net.show(s.inputs * quarter[m]).permute(1, 2, 0))
    axes[under].set_title(f"1/4 deleted\np = {lines[m].probabilities[7]:.2f}", fontsize=9)
for (m, line), color in zip(lines.items(), plots.COLORS, strict=False):
    axes["x"].plot(*line, color=color, label=m, lw=2.2 if m == "score-cam" else 1.2)
axes["x"].set(xlabel="fraction of pixels deleted", ylabel="probability of the class", title="deletion")
axes["x"].legend()
report.save(
    fig, "score-fig-10", network=net.name, data=f"{chosen}, most probable class, CAMs at {second}", n=1, seed=seed, profile=profile,
    caption=f"Deletion on one photograph: heatmaps with the area under their curve (above), the photograph without the highest quarter of their pixels (below), and the curves. The photograph is the one of {len(few)} with the median difference between Score-CAM and Grad-CAM.",
    differs="photograph with the median difference, not one on which Score-CAM wins; RISE and Mask with fewer passes",
)  # fmt: skip
report.show("score-fig-10")

# %% [markdown]
# ### SA-CAM's three tables
#
# Fade-in is insertion, fade-out is deletion, overall is their difference. The paper divides its pictures into five groups of unstated size, prints the mean AUC of each group and calls the *sum* of the five "Total"; network, step and substrate are not stated. Ours: the labeled photographs in five groups by lot, RISE's protocol. The sum of five means is printed for comparison; what can be read is the mean over photographs with its interval.

# %%
groups = np.array_split(rng.permutation(labeled), 5)
published = {
    "insertion": [[0.342, 0.357, 0.362], [0.43, 0.467, 0.462], [0.426, 0.441, 0.447], [0.429, 0.442, 0.445], [0.297, 0.294, 0.319]],
    "deletion": [[0.077, 0.043, 0.051], [0.101, 0.056, 0.064], [0.128, 0.052, 0.066], [0.096, 0.057, 0.058], [0.062, 0.061, 0.062]],
}  # fmt: skip
published = {metric: np.array(numbers) for metric, numbers in published.items()}
printed_totals = {"insertion": [1.924, 2.001, 2.035], "deletion": [0.464, 0.269, 0.301], "overall": [1.46, 1.732, 1.734]}
published["overall"] = published["insertion"] - published["deletion"]  # the paper prints the totals only


def grouped(metric):
    """The paper's layout (five groups, their sum), ours and published, around our means with intervals."""
    wide, where = pivot(curves, metric)[[*three, *controls]], {"layer": main, "metric": f"{metric} [{METRICS[metric].unit}]"}
    ours = pd.DataFrame([wide.loc[group].mean() for group in groups])
    ours.loc[5] = ours.sum()
    ours.insert(0, "what", [*(f"ours, group {k + 1} ({len(group)} pictures)" for k, group in enumerate(groups)), "ours, total (sum of five)"])
    theirs = {f"published, group {k + 1}": dict(zip(three, row, strict=True)) for k, row in enumerate(published[metric])}
    theirs["published, total (sum of five)"] = dict(zip(three, printed_totals[metric], strict=True))
    return pd.concat([ours.assign(**where)[[*where, *ours.columns]], block(curves, metric, [*three, *controls], "sa-cam", main, theirs)], ignore_index=True).round(5)

# %%
words = {"sa-table-1": ("insertion", "insertion curve (fade-in), higher is better", ""), "sa-table-2": ("deletion", "deletion curve (fade-out), lower is better", ""),
         "sa-table-3": ("overall", "insertion minus deletion (overall), higher is better", " Published values of single groups are differences of the published tables 1 and 2.")}  # fmt: skip
for item, (metric, what, note) in words.items():
    report.save(
        grouped(metric), item,
        caption=f"Area under the curve, {what}: five groups of photographs, three methods and three controls, {main}.{note}",
        network=net.name, data=photographs, n=len(labeled), seed=seed, profile=profile,
        differs=unlike("the paper does not state network, layer, step, substrate and group size; ours are Lite0 or as named, an inner layer, 28 steps, mean color and RISE's blur"),
        extra={"rows": curves},
    )  # fmt: skip
Markdown("\n\n".join(report.caption_md(item) for item in words))

# %%
means = pd.DataFrame({metric: {m: told(bootstrap_interval(pivot(curves, metric)[m], seed=seed), ".3f") for m in [*three, *controls]} for metric in ("insertion", "deletion", "overall")})
means

# %%
lead = {m: differences(curves, "overall", m, controls) for m in three}
print("\n".join(f"overall, {m} minus {c}: {told(gap, '+.3f')}" for m, gaps in lead.items() for c, gap in gaps.items()))
if reference_run:
    assert not any(gaps["center-gaussian"].low > 0 for gaps in lead.values())
    assert all(gaps["all-ones"].low > 0 for gaps in lead.values())

# %% [markdown]
# All three methods beat the blank sheet, whose "order" is from top to bottom. At this layer none of them surely beats the Gaussian in the middle, which has not looked at the picture. The claims:

# %%
decide(
    "sa-higher-overall", "sa", f"SA-CAM has a higher overall AUC (insertion minus deletion) than Score-CAM{inner}",
    "table 3: 1.734 against 1.732, sums over five groups", "overall", "sa-cam", [("", curves, ["score-cam"])],
)  # fmt: skip
decide(
    "score-lower-deletion", "score", f"Score-CAM has a lower deletion AUC than Grad-CAM{both}",
    "fig. 10, one picture; 2020, table 3: 0.077 against 0.089, VGG-16", "deletion", "score-cam", [("", curves, ["grad-cam"])], [("", below, ["grad-cam"])],
)  # fmt: skip
decide(
    "score-higher-insertion", "score", f"Score-CAM has a higher insertion AUC than Grad-CAM{both}",
    "2020, table 3: 0.386 against 0.357, VGG-16", "insertion", "score-cam", [("", curves, ["grad-cam"])], [("", below, ["grad-cam"])],
)  # fmt: skip

# %% [markdown]
# ### The curves
#
# The paper shows two examples. Ours are the two ends: the photograph on which SA-CAM gains most over Score-CAM in overall AUC, and the one on which it loses most; beside them the mean over all photographs.

# %%
gain = pivot(curves, "overall").eval("`sa-cam` - `score-cam`").sort_values(kind="stable")
ends = {f"SA-CAM gains most: {gain.index[-1]}": [gain.index[-1]], f"loses most: {gain.index[0]}": [gain.index[0]], f"mean of {len(labeled)} photographs": labeled}
makers = {"insertion": insertion_curve, "deletion": deletion_curve}
styles = dict(zip([*three, "center-gaussian", "random"], [(c, "-") for c in plots.COLORS[:3]] + [("0.5", "--"), ("0.5", ":")], strict=True))

# %%
fig, axes = plt.subplots(2, 3, figsize=(14, 5), sharex=True, sharey=True)
for row, (metric, make) in zip(axes, makers.items(), strict=True):
    for ax, (title, names) in zip(row, ends.items(), strict=True):
        for m, (color, line) in styles.items():
            found = [make(tested[name, m]) for name in names]
            auc = pivot(curves, metric).loc[names, m].mean()
            ax.plot(found[0].fractions, np.mean([c.probabilities for c in found], axis=0), line, color=color, label=f"{m} {auc:.3f}", lw=1.4)
        ax.legend(title=f"{metric} AUC", title_fontsize=8, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), handlelength=1.4)
        ax.set_title(title if metric == "insertion" else "")
for ax in axes[:, 0]:
    ax.set_ylabel("probability of the class")
axes[1, 1].set_xlabel("fraction of pixels inserted (above) or deleted (below)")
report.save(
    fig, "sa-fig-09",
    caption=f"Insertion (above) and deletion (below) curves of Grad-CAM, Score-CAM and SA-CAM with two controls, {main}.",
    network=net.name, data=photographs, n=len(labeled), seed=seed, profile=profile, vector=True,
    differs="the examples are the two ends by the difference of SA-CAM and Score-CAM; the mean over all photographs is added",
)  # fmt: skip
report.show("sa-fig-09")

# %% [markdown]
# ## 5. Two networks, one picture, two answers
#
# Section 4.5 of the SA-CAM paper ends with a warning: the test "is too sensitive to the underlying CNN models". Its figure 10 shows ResNet-101 and VGG-19. Here two networks look at all our pictures; of those on which their first answers differ, the one where both are surest (largest smaller probability).

# %%
pair = {name: (net if name == net.name else camlib.load_network(name), layer) for name, layer in at["pair"].items()}
answers = {name: [one.predict(picture, top=1)[0] for picture in pictures.values()] for name, (one, _) in pair.items()}
apart = {p: min(a[2], b[2]) for p, a, b in zip(pictures, *answers.values(), strict=True) if a[0] != b[0]}
chosen = max(apart, key=apart.get)
said = [answer[number[chosen]][:2] for answer in answers.values()]
print(f"different answers on {len(apart)} of {len(pictures)} pictures: {', '.join(apart)}")
for name, answer in answers.items():
    print(f"{name} on {chosen}: {answer[number[chosen]][1]}, p = {answer[number[chosen]][2]:.2f}")

# %%
cells, notes, labels, overall = [], [], [], {}
for name, (one, layer) in pair.items():
    for index, word in said:
        found = samples_of([chosen], three, layer, one, [index])
        some = [found[chosen, m] for m in three]
        cells.append([one.show(some[0].inputs), *(plots.overlay(one.show(s.inputs), s.heatmap) for s in some)])
        labels.append(f"{name}: {word}, p = {some[0].probability:.2f}")
        overall[name, word] = [METRICS["overall"](s) for s in some]
        notes.append([None, *(f"overall {value:+.2f}" for value in overall[name, word])])
fig = plots.grid(cells, labels, ["input", *three], notes, cell=1.7)
report.save(
    fig, "sa-fig-10",
    caption="One picture on which two networks give different answers: both classes explained on both networks by Grad-CAM, Score-CAM and SA-CAM, with the overall AUC (insertion minus deletion).",
    network=", ".join(pair), data=f"{chosen}, the two first answers; layers {', '.join(str(layer or 'last') for _, layer in pair.values())}", n=1, seed=seed, profile=profile,
    differs="the picture on which both networks are surest of different classes; other networks, inner layers",
)  # fmt: skip
report.show("sa-fig-10")

# %%
table = pd.DataFrame(overall, index=three).T.round(2)
best = {key: row.idxmax() for key, row in table.iterrows()}
print("highest overall AUC:", ", ".join(f"{name} '{word}' {m}" for (name, word), m in best.items()))
assert not reference_run or len(set(best.values())) > 1
table

# %% [markdown]
# Both networks were asked for both answers. The network that is right has its maps on the nut and the twigs at which it hangs, and the method that this test calls best changes with the network and with the class asked for: one picture and one network can be found for any ranking.
#
# ## 6. What the published numbers can carry
#
# Nothing is measured in this section: it is arithmetic on what the papers print.
#
# **SA-CAM's totals are sums.** "Total" adds five group means; 1.734 against 1.732 is a sum of five differences.

# %%
for metric in ("insertion", "deletion"):
    assert np.allclose(published[metric].sum(axis=0), printed_totals[metric], atol=1e-9)
assert np.allclose(published["overall"].sum(axis=0), printed_totals["overall"], atol=1e-9)
margin = published["overall"][:, 2] - published["overall"][:, 1]
print("SA-CAM minus Score-CAM, overall, group by group:", ", ".join(f"{value:+.3f}" for value in margin))
print(f"sum {margin.sum():+.3f}; mean of a group {margin.mean():+.4f}; without group 5 the sum is {margin[:4].sum():+.3f}")
spread = bootstrap_interval(margin, seed=seed)
print(f"SA-CAM ahead in {(margin > 0).sum()} of 5 groups; interval of the mean over groups [{spread.low:+.3f}, {spread.high:+.3f}]")
print(f"deletion: Score-CAM lower in {(published['deletion'][:, 1] < published['deletion'][:, 2]).sum()} of 5 groups")
assert np.isclose(margin.sum(), 0.002) and (margin > 0).sum() == 2 and margin[:4].sum() < 0 and spread.low < 0 < spread.high
assert (published["deletion"][:, 1] < published["deletion"][:, 2]).all()

# %% [markdown]
# Every printed AUC has three decimals, so each may be off by half a thousandth. Twenty of them enter that margin (two methods, two curves, five groups): rounding alone can move it by $20\times0.0005=0.01$, five times the margin.

# %%
largest = 2 * 2 * 5 * 0.0005
assert largest / margin.sum() > 4.9
print(f"rounding can move the margin of {margin.sum():.3f} by up to {largest:.3f}")

# %% [markdown]
# **Average drop is printed without 1/N.** Wang et al. (2019 and 2020) and Hu et al. (2024) write $\sum_i \max(0,Y_i-O_i)/Y_i\times100$, and Wang et al. write the increase *with* $1/N$ but without the factor 100. Read literally, their tables would say something else:

# %%
drop, rise = (pivot(at_main, metric)["score-cam"] for metric in HALF)
count = len(drop)
literal = sum(drop), sum(rise / 100) / count
print(f"ours, {count} photographs, literally: drop {literal[0]:.0f}, increase {literal[1]:.2f}; as meant: {drop.mean():.1f} % and {rise.mean():.1f} %")
print(f"published 31.5 % over 2,000 pictures would read {31.5 * 2000:,.0f} in the literal formula, and 30.6 % would read {30.6 / 100:.3f}")
assert np.isclose(literal[0], count * drop.mean()) and np.isclose(100 * literal[1], rise.mean())

# %% [markdown]
# **How many pictures would it take?** The 2,000 pictures of the Score-CAM paper settle a gap of 14 points easily. Ours are few; what gap could they have seen? Half the width of our intervals of paired differences:

# %%
widths = {}
for metric, rows, method, against in (("average-drop-half", halves, "score-cam", five[:-1]), ("average-drop", at_main, "union-cam", rivals), ("overall", curves, "sa-cam", ["score-cam"])):
    gaps = differences(rows, metric, method, against).values()
    half_widths = [(gap.high - gap.low) / 2 for gap in gaps]
    widths[metric] = f"{min(half_widths):.3g} to {max(half_widths):.3g} {METRICS[metric].unit}" if len(gaps) > 1 else f"{half_widths[0]:.2g}"
for metric, width in widths.items():
    print(f"{metric:18s} half an interval: {width}")

# %% [markdown]
# ## What stays
#
# - A drop has a layer. Between two neighbors it changes more than between the methods that tables compare.
# - A drop rewards brightness first. Put a flat sheet of the same mean beside every map.
# - Deletion and insertion reward what lies in the middle of a photograph. Put a Gaussian beside every map.
# - With twenty photographs, and at the last layer five, most of the papers' claims stay undecided here, and one published margin is smaller than the rounding of the numbers that it is made of.
#
# ## Try it
#
# - Change `main` to `blocks.5` or `blocks.3` and run again: which verdicts stay?
# - `METRICS["deletion"](sample, substrate="black")`, `"blur"`: do the methods keep their order? SA-CAM's authors say that this test "highly depends on data perturbation".
# - Give `samples_of` your own method (`camlib.method`) and see whether it beats the Gaussian in the middle.
# - With a folder of ImageNet or VOC: `python -m camlib.evaluate --imagenet DIR --limit 2000 --network vgg16 --layer features.29 --methods grad-cam grad-cam++ score-cam --metrics average-drop-half average-increase-half --out build/imagenet` makes rows and tables of this kind and can be stopped and continued.
