# %% [markdown]
# # Learn the weights with the network: LFI-CAM
#
# **What you'll do.** Walk through the attention branch of LFI-CAM (Lee et al. 2021) on a network that was trained with it, with every tensor printed and checked; then ask five trainings with the branch and five without whether it raises accuracy, where its map lies, and whether it comes back when training is repeated.
#
# **What you'll learn.** To compute the class activation weight of a branch by hand; to tell "part of the network" from "post hoc"; to compare two architectures over seeds with a rule that is written before the numbers; to notice that a map which is the same for all classes is no *class* activation map.
#
# **What you'll need.** `02_unified_framework` (the weighted sum), `06_score_cam` (masks from feature maps); about one minute on two cores. Nothing is trained here: the weights and the records of their training lie in `data/trained/` (`make train` makes them again).
#
# Items made here: `history-fig-lfi`, `own-fig-15`, `own-table-15`.
#
# Notation: the branch reads feature maps $\mathbf F_k$, $k<K$, of $h\times w$ positions (elsewhere in this compendium $\mathbf M_l$), and the normalized picture $\mathbf x$.
# %% tags=["parameters"]
profile = "offline"  # this notebook is the same in every profile
network = "cifar10-lfi"  # a network with the branch, for the walk through it
seed = 0  # scenes to test on, bootstrap
fast = False  # True: fewer scenes and seeds
# %%
import itertools

import camlib
import numpy as np
import pandas as pd
import torch
from camlib import metrics, plots, report, runtime
from camlib.lfi import GapNetwork
from camlib.metrics import bootstrap_interval, energy_share, paired_difference, pearson
from camlib.plots import Link, Stage
from camlib.scenes import SHAPES, make_scenes
from camlib.training import cifar10, lfi
from camlib.training.recipes import record_of
from camlib.training.scenes import shape_accuracy
from scipy import stats

runtime.setup(seed)
plots.style()
here = "15_lfi_cam"
# %% [markdown]
# ## 1. The branch, step by step
#
# Score-CAM makes masks from feature maps, shows each masked picture to the network and takes the score as weight: $K$ passes. LFI-CAM's idea is to let a small network *guess* the importance of each channel from the masks alone, and to train it with the classifier: one pass. The pictures here are the 20 of CIFAR-10 that foolbox brings along, the network is a small residual network that was trained with the branch.
# %%
net = camlib.load_network(network)
pictures, labels = cifar10.sample()
photos = list(pictures)
chosen = 8  # a picture to walk through
x = net.prepare(photos[chosen])[1][None].double()
module = camlib.load_network(network).module.double()
with torch.no_grad():
    F = module.features(x)
print(f"{net.class_names[labels[chosen]]}: x {list(x.shape)}, F {list(F.shape)}")
print(f"parameters: {sum(p.numel() for p in module.features.parameters()):,} of the body, {sum(p.numel() for p in module.attention.parameters()):,} of the branch")
# %% [markdown]
# **Masks.** Each feature map is scaled to $[0,1]$ by its own minimum and maximum, $s(\mathbf F_k)$, and multiplied by the picture's mean over its three *normalized* color channels, shrunk to $h\times w$:
#
# $$\mathbf M_k=s(\mathbf F_k)\cdot\mathbf g .$$
#
# As a loop over the channels; a channel that is constant becomes ones, a dead one zeros:
# %%
K, (h, w_) = F.shape[1], F.shape[2:]
g = torch.nn.functional.interpolate(x.mean(dim=1, keepdim=True), (h, w_), mode="bilinear", align_corners=False)[0, 0]
masks = torch.zeros_like(F)
for k in range(K):
    low, high = F[0, k].min(), F[0, k].max()
    masks[0, k] = g * ((F[0, k] - low) / (high - low) if high > low else float(high != 0))
dead = int((F[0].amax(dim=(1, 2)) == 0).sum())
print(f"g lies in [{float(g.min()):.2f}, {float(g.max()):.2f}]: a dark place is a negative mask; {dead} of {K} channels are dead here")
# %% [markdown]
# **Importance.** The Feature Importance Network (FIN): four $3\times3$ convolutions of $K$ to $K$ channels, each with batch normalization, a ReLU behind the second and the fourth, and the mean over positions. A softmax over the channels makes the weights: positive, sum 1. So much for $4(9K^2+2K)$ parameters:
# %%
with torch.no_grad():
    w = module.attention.importance(masks).softmax(dim=1)[0]
count = sum(p.numel() for p in module.attention.parameters())
assert count == 4 * (9 * K**2 + 2 * K)
print(f"K = {K}: {count:,} parameters; K = 2048 (ResNet-50): {4 * (9 * 2048**2 + 2 * 2048):,}")
print(f"weights from {float(w.min()):.4f} to {float(w.max()):.4f}, sum {float(w.sum()):.6f}; all equal would be {1 / K:.4f}")
# %% [markdown]
# **Map and perception.** The weighted sum of eq. 1, rectified and scaled, is an attention $\mathbf a$ on the same feature maps, behind which the usual head follows; one cross-entropy teaches everything at once:
#
# $$\mathbf a=s\Big(\mathrm{ReLU}\sum_k w_k\mathbf F_k\Big),\qquad \mathbf y=\mathrm{linear}\big(\mathrm{GAP}((1+\mathbf a)\cdot\mathbf F)\big).$$
#
# Computed by hand, the logits must be those of the module, and weights and map those of camlib's front door:
# %%
H = torch.einsum("k,kij->ij", w, F[0]).relu()
a = (H - H.min()) / (H.max() - H.min())
y = ((1 + a) * F[0]).mean(dim=(1, 2)) @ module.classifier.weight.detach().T + module.classifier.bias.detach()
e = camlib.explain(net, photos[chosen], "lfi-cam")
with torch.no_grad():
    assert float((y - module(x)[0]).abs().max()) < 1e-9
assert float((e.weights - w).abs().max()) < 1e-6 and float((e.raw - H).abs().max()) < 1e-5 * float(H.max())
print(f"{e.method} at layer {e.layer!r} of {e.network}: weights {list(e.weights.shape)}, map {list(e.raw.shape)}")
print(f"prediction: {e.target_name}")
# %% [markdown]
# ### The branch as a picture
# %%
with torch.no_grad():
    found = net.module.attention(*(t.float() for t in (x, F)))
    attended = net.module.perception(F.float(), found.scaled)[0]
top = e.weights.argsort(descending=True)
best = [(net.class_names[c], float(y.softmax(dim=0)[c])) for c in y.argsort(descending=True)[:3].tolist()]
reach = float(found.masks.abs().max())
gray, features = Stage(r"gray $g$", g, "map"), Stage(r"feature maps $F_k$", F[0, top], "stack")
product = Stage(r"masks $s(F_k)\cdot g$", found.masks[0, top], "stack", limits=(-reach, reach))
weights = Stage(r"weights $w_k$", e.weights[top], "vector", note="softmax, sum 1")
total, attention = Stage("Σ", kind="op", note="over channels"), Stage(r"attention $a$", found.scaled[0], "map")
plus = Stage(r"$(1+a)\cdot F_k$", attended[top], "stack", arrow=False)
picture = Stage("picture", e.image, "image")
fin, scaling = Stage("FIN\n4 convolutions"), Stage("ReLU, min-max")
lanes = [
    [None, gray],
    [picture, features, product, fin, weights, total, scaling, attention],
    [None, None, None, None, None, plus, Stage("GAP, linear"), Stage("classes", best, "scores")],
]
links = [Link(picture, gray), Link(gray, product), Link(features, total), Link(features, plus), Link(attention, plus)]
# %%
fig = plots.pipeline(lanes, links, ["picture", "branch", "perception"])
report.save(
    fig, "own-fig-15",
    caption="LFI-CAM from a picture to its classes. The branch gives each feature map a weight; their weighted sum is laid back over the same maps. Channels in the order of their weight.",
    network=net.name, data=f"picture {chosen} of foolbox's CIFAR-10 pictures", n=1, seed=None, profile=profile,
)  # fmt: skip
report.show("own-fig-15")
# %% [markdown]
# Two things to see. The map has the form of every class activation map of this compendium, $\sum_k w_k\mathbf F_k$, but nowhere on the way did a class come in. And the picture goes *around* the feature maps: $\mathbf g$ enters the branch directly. So the head is not linear behind $\mathbf F$, and GAP-CAM has no weights there; it has them behind the attention:
# %%
view = camlib.Trace.of(net, photos[chosen])
behind = camlib.Trace.of(net, photos[chosen], layer="perception")
assert view.head is None and behind.head is not None
print("linear head behind 'features':", view.head, "  behind 'perception':", behind.head.form)
try:
    camlib.explain(camlib.load_network("cifar10-plain"), photos[chosen], "lfi-cam")
except ValueError as refusal:
    print(refusal)
# %% [markdown]
# ## 2. Does the branch raise accuracy?
#
# The paper's claim is a better classifier *and* a better map from one training. Its classification tables could not be found, so the claim is tested on twins: the same residual network with and without the branch, the same scenes (one to three shapes on textured ground, eight shapes) in the same order, five seeds.
#
# **The rule, before the numbers.** The accuracy of each network is measured on the same 2,000 new scenes of one object. For each seed take the difference with minus without; the claim *holds* if the 95 % $t$ interval of the five differences lies above 0, *does not hold* if it lies below 0, and is *undecided here* otherwise. One pair on CIFAR-10 stands beside it: it shows the size of the effect on photographs, and one pair decides nothing.
# %%
kinds = {"with the branch": "scenes-lfi", "without": "scenes-plain"}
tags = lfi.weight_names()
rows = []
for what, name in kinds.items():
    record = record_of(name)
    entries = {"default": record, **record["stages"]}
    rows += [{"network": what, "seed": number, "accuracy": entries[tag]["accuracy"]} for number, tag in enumerate(tags)]
table = pd.DataFrame(rows).pivot(index="seed", columns="network", values="accuracy")
table["difference"] = table["with the branch"] - table["without"]
mean, half = table["difference"].mean(), stats.t.ppf(0.975, len(table) - 1) * stats.sem(table["difference"])
low, high = mean - half, mean + half
table.round(4)
# %%
verdict = "holds" if low > 0 else "does not hold" if high < 0 else "undecided here"
pair = {name: record_of(name) for name in ("cifar10-lfi", "cifar10-plain")}
wilson = {name: stats.binomtest(round(r["accuracy"] * 10_000), 10_000).proportion_ci(method="wilson") for name, r in pair.items()}
for name, r in pair.items():
    print(f"{name}: {r['accuracy']:.2%} of 10,000 test pictures [{wilson[name].low:.2%}, {wilson[name].high:.2%}], {r['parameters']:,} parameters")
print(f"scenes: mean difference {mean:+.2%} [{low:+.2%}, {high:+.2%}] over {len(table)} seeds")
print(report.claim(
    "history-lfi-accuracy", paper="history", notebook=here, claim="LFI-CAM's attention branch raises accuracy",
    evidence="Lee et al. 2021; their tables could not be found",
    ours=f"{mean:+.2%} over {len(table)} pairs of twins on scenes, with {pair['cifar10-lfi']['accuracy']:.2%} and without {pair['cifar10-plain']['accuracy']:.2%} on CIFAR-10 (one pair)",
    interval=(low, high), verdict=verdict,
))  # fmt: skip
# %% [markdown]
# Four of the five differences are positive, and none is large: the interval still holds 0. Two remarks on what such a difference would mean. The branch adds parameters (here half as many again as the body of the scene network has), so a gain need not come from attention; and both networks are nearly perfect on one object, so there is little left to gain.
# %%
added = record_of("scenes-lfi")["parameters"] - record_of("scenes-plain")["parameters"]
print(f"scenes: the branch adds {added:,} parameters to {record_of('scenes-plain')['parameters']:,}")
assert (table["difference"] > 0).sum() == 4 and table["difference"].abs().max() < 0.02
assert 0.5 < added / record_of("scenes-plain")["parameters"] < 0.6 and table["without"].min() > 0.95
# %% [markdown]
# ### What is the learned importance worth?
#
# The branch can be switched off after training, in two steps. First the *choice*: with zeros in the last batch normalization the FIN answers 0 for every channel, and the softmax gives all the same weight $1/K$. Then the *attention*: $\mathbf a=0$. The same rule as above, on what is lost.
# %%
def switched_off(tag):
    """The network with the branch, with all weights equal; and without any attention."""
    equal = camlib.load_network("scenes-lfi", tag).module
    norm = equal.attention.importance[-4]  # the last batch normalization
    torch.nn.init.zeros_(norm.weight), torch.nn.init.zeros_(norm.bias)
    none = GapNetwork(equal.features, lfi.CHANNELS, len(SHAPES)).eval()
    none.classifier = equal.classifier
    return equal, none


tested = tags[:2] if fast else tags
off = pd.DataFrame([[shape_accuracy(module_, 0) for module_ in switched_off(tag)] for tag in tested], columns=["all weights 1/K", "no attention"])
off.insert(0, "as trained", table["with the branch"][: len(tested)].values)
off.index.name = "seed"
off.round(4)
# %%
lost = off["as trained"] - off["all weights 1/K"]
width = stats.t.ppf(0.975, len(lost) - 1) * stats.sem(lost)
worth = "holds" if lost.mean() - width > 0 else "does not hold" if lost.mean() + width < 0 else "undecided here"
print(report.claim(
    "history-lfi-importance", paper="history", notebook=here, claim="The importance that the branch learns for each channel helps the classifier",
    evidence="the premise of Lee et al. 2021, abstract; no ablation known here",
    ours=f"with all weights set to 1/K after training the accuracy falls by {lost.mean():.2%}, without attention by {(off['as trained'] - off['no attention']).mean():.2%}; {len(lost)} seeds, 2,000 scenes",
    interval=(lost.mean() - width, lost.mean() + width), verdict=worth,
))  # fmt: skip
# %% [markdown]
# Of 2,000 scenes at most one changes sides when every channel is given the same weight. What the branch has learned about channels is not what the classifier lives on; the attention itself, even with equal weights, is worth a few tenths of a percent to a network that was trained with it.
# %%
assert lost.abs().max() <= 1.5 / 2000
assert (off["as trained"] > off["no attention"]).all() and (off["as trained"] - off["no attention"]).max() < 0.005
# %% [markdown]
# ## 3. Where does the map lie?
#
# The slides (after fig. 3 of the paper) say that LFI-CAM "always highlights the true class object correctly and in a more focused manner" than other methods. Scenes have exact masks, so this can be counted: the share of a map's energy that lies on the object. Others are asked at the same layer, in the network with the branch and in its plain twin; controls know nothing of the picture.
#
# **The rule, before the numbers.** One object a scene, the true class, all five seeds; the unit is the scene. The claim holds if LFI-CAM's share minus that of Grad-CAM, of Grad-CAM++ and of Score-CAM *in the plain twin* (networks that one would have without LFI-CAM) has a 95 % interval above 0 for each of the three; it does not hold if one of them lies below 0; otherwise it is undecided here.
# %%
post_hoc = ["grad-cam", "grad-cam++", "score-cam", "layer-cam", "feature-map"]
seeds = tags[:2] if fast else tags
count = 40 if fast else 100
nets = {(what, tag): camlib.load_network(name, tag) for what, name in kinds.items() for tag in seeds}
alone = make_scenes(count, 10**9 + 500 + seed, objects=(1, 1))
drawn = make_scenes(2 * count, 10**9 + 501 + seed, objects=(2, 2), repeat=0)
numbers = drawn.indices[(drawn.counts == 2) & (drawn.shapes[:, 0] != drawn.shapes[:, 1])][:count]
several = make_scenes(numbers.tolist(), 10**9 + 501 + seed, objects=(2, 2), repeat=0)  # of two different shapes


def explained(scenes, classes):
    """(network, seed) -> explanations of every scene, method and class, at the layer that the branch reads."""
    pictures_ = [image.float() / 255 for image in scenes.images]
    return {key: camlib.compare(one, pictures_, (["lfi-cam"] if key[0] == "with the branch" else []) + post_hoc, classes, batch_size=32) for key, one in nets.items()}
# %%
maps = explained(alone, [[label] for label in alone.labels.tolist()])
rows = [
    {"network": what, "method": e.method, "seed": tag, "scene": e.picture, "energy": energy_share(e.heatmap, alone.masks[e.picture, 0])}
    for (what, tag), es in maps.items() for e in es
]  # fmt: skip
for i in range(count):
    controls = metrics.control_maps((64, 64), seed=i)
    rows += [{"network": "control", "method": m, "seed": "", "scene": i, "energy": energy_share(c, alone.masks[i, 0])} for m, c in controls.items()]
energy = pd.DataFrame(rows)
where = []
for (what, method), part in energy.groupby(["network", "method"], sort=False):
    i = bootstrap_interval(part["energy"], units=part["scene"], seed=seed)
    where.append({"network": what, "method": method, "mean": i.value, "low": i.low, "high": i.high})
where = pd.DataFrame(where)
where.round(2)
# %%
def by_scene(what, method, frame=energy):
    """Mean over the seeds, one number a scene."""
    return frame[(frame["network"] == what) & (frame["method"] == method)].groupby("scene")["energy"].mean()


lfi_energy = by_scene("with the branch", "lfi-cam")
margins = {m: paired_difference(lfi_energy, by_scene("without", m), seed=seed) for m in post_hoc}
own = {m: paired_difference(lfi_energy, by_scene("with the branch", m), seed=seed) for m in post_hoc}
for m in post_hoc:
    print(f"LFI-CAM minus {m:12s} in the twin {margins[m].value:+.2f} [{margins[m].low:+.2f}, {margins[m].high:+.2f}], in its own network {own[m].value:+.2f} [{own[m].low:+.2f}, {own[m].high:+.2f}]")
asked = [margins[m] for m in ("grad-cam", "grad-cam++", "score-cam")]
focus = "holds" if min(i.low for i in asked) > 0 else "does not hold" if min(i.high for i in asked) < 0 else "undecided here"
worst = min(asked, key=lambda i: i.value)
# %%
print(report.claim(
    "history-lfi-focus", paper="history", notebook=here,
    claim="LFI-CAM highlights the object in a more focused manner than Grad-CAM, Grad-CAM++ and Score-CAM",
    evidence="Lee et al. 2021, fig. 3, three pictures by eye",
    ours=f"share of the map on the object {lfi_energy.mean():.2f}; minus that in the plain twin: " + ", ".join(f"{m} {margins[m].value:+.2f}" for m in ("grad-cam", "grad-cam++", "score-cam")) + f"; {count} scenes, {len(seeds)} seeds; interval of the smallest",
    interval=(worst.low, worst.high), verdict=focus,
))  # fmt: skip
# %% [markdown]
# Not only is LFI-CAM's map no tighter than the others: it is wider than the plain sum of the same feature maps, which knows no weights at all. It is better than a map that knows nothing of the picture, and that is all.
# %%
if not fast:
    assert all(own[m].high < 0 for m in post_hoc)
controls = {m: bootstrap_interval(by_scene("control", m), seed=seed) for m in metrics.CONTROLS}
over = {m: paired_difference(lfi_energy, by_scene("control", m), seed=seed) for m in controls}
print("; ".join(f"LFI-CAM minus {m} {i.value:+.2f} [{i.low:+.2f}, {i.high:+.2f}]" for m, i in over.items()))
assert all(i.low > 0 for i in over.values())
# %% [markdown]
# ### What has the branch learned?
#
# If all weights were equal, the map would be the plain sum of the feature maps. How far from equal are they, do they change with the picture, and how far is the map from that sum? The effective number of channels is $\exp$ of the entropy of $w$: $K$ if all are equal, 1 if one channel has everything.
# %%
lines = []
for tag in seeds:
    es = [e for e in maps["with the branch", tag] if e.method == "lfi-cam"]
    sums = [e for e in maps["with the branch", tag] if e.method == "feature-map"]
    W = torch.stack([e.weights for e in es]).double()
    effective = (-(W * W.clamp(min=1e-30).log()).sum(dim=1)).exp().mean()
    moved = (W - W.mean(dim=0)).abs().sum(dim=1).mean() / 2  # total variation from the mean picture's weights
    r = np.mean([pearson(a.raw, b.raw) for a, b in zip(es, sums, strict=True)])
    lines.append([tag, float(effective), float(moved), float(r)])
learned = pd.DataFrame(lines, columns=["seed", "effective channels of 32", "weight moved by the picture", "r with the plain sum"]).set_index("seed")
learned.round(2)
# %% [markdown]
# Nearly equal. The branch spreads its weights over almost all channels, hardly changes them with the picture, and its map is the plain sum with a correlation of 0.97 or more: what LFI-CAM shows here is feature-map visualization with a light touch. That explains section 3, and it will explain section 5. It need not be so after 300 epochs on ImageNet; but nothing in the loss asks for it either. A weight can only be learned if it changes the logits, and a softmax over $K$ channels starts at $1/K$ for all and changes $(1+\mathbf a)\cdot\mathbf F$ little.
# %%
if not fast:
    assert learned["effective channels of 32"].min() > 24 and learned["r with the plain sum"].min() > 0.96
    assert learned["weight moved by the picture"].max() < 0.2
print(f"weights over seeds: {learned.iloc[:, 0].min():.0f} to {learned.iloc[:, 0].max():.0f} effective channels, r from {learned.iloc[:, 2].min():.2f}")
# %% [markdown]
# ## 4. One map, no class
#
# Two objects of two shapes in one scene. A class activation map of shape A should lie on A, and that of shape B on B. The *margin* is the share of the map on the asked object minus the share on the other one, averaged over asking for each.
# %%
two = explained(several, several.shapes[:, :2].tolist())
rows = []
for (what, tag), es in two.items():
    for j, e in enumerate(es):
        mine, other = (energy_share(e.heatmap, several.masks[e.picture, (j + k) % 2]) for k in (0, 1))
        assert e.target == several.shapes[e.picture, j % 2]
        rows.append({"network": what, "method": e.method, "seed": tag, "scene": e.picture, "energy": mine, "margin": mine - other})
pairs = pd.DataFrame(rows)
lfi_maps = [e for e in two["with the branch", "default"] if e.method == "lfi-cam"]
assert all(torch.equal(a.heatmap, b.heatmap) for a, b in zip(lfi_maps[::2], lfi_maps[1::2], strict=True))
for (what, method), part in pairs.groupby(["network", "method"], sort=False):
    own_share, margin = (bootstrap_interval(part[c], units=part["scene"], seed=seed) for c in ("energy", "margin"))
    print(f"{what:16s}{method:12s} on the asked object {own_share.value:.2f} [{own_share.low:.2f}, {own_share.high:.2f}], margin {margin.value:+.2f} [{margin.low:+.2f}, {margin.high:+.2f}]")
# %% [markdown]
# The margin of LFI-CAM is 0, not nearly but exactly: the map is the same for both questions, so what it wins with one it loses with the other. The same holds for the feature-map sum. Grad-CAM on the very same feature maps answers the question.
# %%
blind, asking = (pairs[(pairs["network"] == "with the branch") & (pairs["method"] == m)] for m in ("lfi-cam", "grad-cam"))
assert abs(blind["margin"].mean()) < 1e-9
speaking = bootstrap_interval(asking["margin"], units=asking["scene"], seed=seed)
gap = paired_difference(blind.groupby("scene")["energy"].mean(), asking.groupby("scene")["energy"].mean(), seed=seed)
answer = "holds" if gap.low > 0 else "does not hold" if gap.high < 0 else "undecided here"
print(f"Grad-CAM's margin {speaking.value:+.2f} [{speaking.low:+.2f}, {speaking.high:+.2f}]")
print(report.claim(
    "history-lfi-objects", paper="history", notebook=here,
    claim="With several objects LFI-CAM is better than other methods (here: two classes, against Grad-CAM on the same feature maps)",
    evidence="slides on Lee et al. 2021, pictures by eye",
    ours=f"share of the map on the asked object: LFI-CAM {blind['energy'].mean():.2f}, Grad-CAM {asking['energy'].mean():.2f}, difference {gap.value:+.2f}; margin over the other object: exactly 0 and {speaking.value:+.2f}; {count} scenes, {len(seeds)} seeds",
    interval=(gap.low, gap.high), verdict=answer,
))  # fmt: skip
# %% [markdown]
# ## 5. Does the map come back when training is repeated?
#
# The authors train one model five times, turn the maps into 8-bit pictures, keep what is above 100 of 255, and report the mean IoU between trainings: 0.60 on CIFAR-10, 0.74 on cats and dogs, where the older attention branch network (ABN) reaches about 0.3. (Published numbers, read off a figure of their repository; their trainings differ in hyper-parameters, ours in the seed.)
#
# IoU has a floor: maps that are large, or centered by habit, overlap whatever they show. So each number stands beside the IoU with the map of *another* scene from the other training.
#
# **The rule, before the numbers.** Stability is a property to compare. The claim holds if the IoU of LFI-CAM's maps minus that of Grad-CAM's maps of the plain twins, over the same scenes and pairs of seeds, has an interval above 0.
# %%
def stability(what, method):
    """One row a pair of seeds and scene: IoU of the maps, and of the map with that of the next scene."""
    of = {tag: [e.heatmap for e in maps[what, tag] if e.method == method] for tag in seeds}
    return [
        {"network": what, "method": method, "scene": i, "iou": metrics.binary_overlap(of[a][i], of[b][i])[0], "floor": metrics.binary_overlap(of[a][i], of[b][(i + 1) % count])[0]}
        for a, b in itertools.combinations(seeds, 2) for i in range(count)
    ]  # fmt: skip


again = pd.DataFrame([row for what, method in (("with the branch", "lfi-cam"), *itertools.product(kinds, post_hoc)) for row in stability(what, method)])
for (what, method), part in again.groupby(["network", "method"], sort=False):
    i, floor = (bootstrap_interval(part[c], units=part["scene"], seed=seed) for c in ("iou", "floor"))
    print(f"{what:16s}{method:12s} IoU {i.value:.2f} [{i.low:.2f}, {i.high:.2f}]   other scene {floor.value:.2f}")
# %%
steady = {(what, m): again[(again["network"] == what) & (again["method"] == m)].groupby("scene")["iou"].mean() for what, m in (("with the branch", "lfi-cam"), ("without", "grad-cam"), ("without", "feature-map"))}
ours, theirs, plain_sum = steady.values()
floors = {m: again[(again["network"] == what) & (again["method"] == m)].groupby("scene")["floor"].mean() for what, m in (("with the branch", "lfi-cam"), ("without", "grad-cam"))}
gain = paired_difference(ours, theirs, seed=seed)
stable = "holds" if gain.low > 0 else "does not hold" if gain.high < 0 else "undecided here"
print(report.claim(
    "history-lfi-stability", paper="history", notebook=here,
    claim="LFI-CAM's map is stable between trainings (here: more than Grad-CAM's of the plain network)",
    evidence="authors' repository: IoU 0.60 on CIFAR-10, 0.74 on cats and dogs, ABN about 0.3",
    ours=f"IoU {ours.mean():.2f}, Grad-CAM of the twin {theirs.mean():.2f}, its feature-map sum {plain_sum.mean():.2f}; with the map of another scene {floors['lfi-cam'].mean():.2f} and {floors['grad-cam'].mean():.2f}; {len(seeds)} seeds, {count} scenes",
    interval=(gain.low, gain.high), verdict=stable,
))  # fmt: skip
excess = paired_difference(ours - floors["lfi-cam"], theirs - floors["grad-cam"], seed=seed)
print(f"IoU above the floor, LFI-CAM minus Grad-CAM of the twin: {excess.value:+.2f} [{excess.low:+.2f}, {excess.high:+.2f}]")
# %% [markdown]
# By the rule the claim holds, but look at what carries it. LFI-CAM's maps are large, and large maps overlap: with the map of *another* scene the IoU is already a third. Above that floor nothing is left of the advantage; and the plain sum of feature maps, with no weights to learn, comes back just as well.
# %%
sums = again[(again["network"] == "with the branch") & (again["method"] == "feature-map")].groupby("scene")["iou"].mean()
if not fast:
    assert floors["lfi-cam"].mean() > floors["grad-cam"].mean() + 0.05 and floors["lfi-cam"].mean() > 0.3
    assert excess.low < 0 and abs(sums.mean() - ours.mean()) < 0.03
print(f"feature-map sum of the networks with the branch: IoU {sums.mean():.2f}, LFI-CAM {ours.mean():.2f}")
# %% [markdown]
# ## 6. Beside the others, on photographs and scenes
#
# Photographs of CIFAR-10 have no masks; here only eyes and correlations can speak.
# %%
twin = camlib.load_network("cifar10-plain")
views = camlib.compare(net, photos, ["lfi-cam", *post_hoc], [[int(c)] for c in labels], batch_size=20)
others = camlib.compare(twin, photos, ["grad-cam"], [[int(c)] for c in labels], batch_size=20)
by = {(e.method, e.picture): e for e in views}
for m in post_hoc:
    i = bootstrap_interval([pearson(by["lfi-cam", p].heatmap, by[m, p].heatmap) for p in range(20)], seed=seed)
    print(f"LFI-CAM and {m:12s} on the same feature maps: r = {i.value:+.2f} [{i.low:+.2f}, {i.high:+.2f}]")
i = bootstrap_interval([pearson(by["lfi-cam", e.picture].heatmap, e.heatmap) for e in others], seed=seed)
print(f"LFI-CAM and grad-cam     of the plain twin:        r = {i.value:+.2f} [{i.low:+.2f}, {i.high:+.2f}]")
# %%
W = torch.stack([by["lfi-cam", p].weights for p in range(20)]).double()
print(f"effective channels of {W.shape[1]}: {float((-(W * W.log()).sum(dim=1)).exp().mean()):.0f}")
shown = [8, 3, 13]
cells, names = [], []
for p in shown:
    cells.append([photos[p], by["lfi-cam", p], by["grad-cam", p], by["score-cam", p], by["feature-map", p], others[p]])
    names.append(net.class_names[labels[p]])
for (scenes, made), which, k in (((alone, maps), 0, 1), ((alone, maps), 3, 1), ((several, two), 1, 2)):
    pick = {(what, e.method): e for what in kinds for e in made[what, "default"][::-1] if e.picture == which}
    order = [("with the branch", m) for m in ("lfi-cam", "grad-cam", "score-cam", "feature-map")] + [("without", "grad-cam")]
    cells.append([scenes.images[which], *(pick[key] for key in order)])
    names.append(" and ".join(SHAPES[c] for c in scenes.shapes[which, :k]) + ("" if k == 1 else f" (asked: {SHAPES[scenes.shapes[which, 0]]})"))
# %%
fig = plots.grid(cells, names, ["picture", "LFI-CAM", "Grad-CAM", "Score-CAM", "sum of maps", "Grad-CAM, plain twin"], cell=1.35)
report.save(
    fig, "history-fig-lfi",
    caption=f"LFI-CAM beside post-hoc methods on the same feature maps, and Grad-CAM of the twin trained without the branch. Accuracy with and without: CIFAR-10 {pair['cifar10-lfi']['accuracy']:.1%} and {pair['cifar10-plain']['accuracy']:.1%}, scenes {table['with the branch'].mean():.1%} and {table['without'].mean():.1%} (mean of {len(table)} seeds).",
    network="cifar10-lfi, scenes-lfi and their plain twins", data="foolbox's CIFAR-10 pictures; generated scenes", n=len(cells), seed=seed, profile=profile,
    differs="networks of a size that trains on a CPU in minutes, CIFAR-10 and scenes instead of ImageNet",
)  # fmt: skip
report.show("history-fig-lfi")
# %%
summary = where.merge(again.groupby(["network", "method"], sort=False)["iou"].mean().reset_index(), how="left")
summary = summary.merge(pairs.groupby(["network", "method"], sort=False)["margin"].mean().reset_index(), how="left")
summary.columns = ["network", "method", "energy on the object", "low", "high", "IoU between seeds", "class margin"]
report.save(
    summary.round(4), "own-table-15",
    caption="LFI-CAM and others on scenes: share of the map on a single object with its 95 % interval, IoU of maps of two seeds (above 100 of 255), and with two objects the share on the asked one minus that on the other.",
    network="scenes-lfi and scenes-plain", data=f"{count} scenes of one and {count} of two objects, {len(seeds)} seeds", n=count, seed=seed, profile=profile,
    extra={"accuracy": table.reset_index(), "energy-rows": energy, "margin-rows": pairs},
)  # fmt: skip
report.show("own-table-15")
# %% [markdown]
# ## Summary
#
# - LFI-CAM is the weighted sum of eq. 1 with weights that a branch of the network gives to the masks $s(\mathbf F_k)\cdot\mathbf g$: one forward pass, no class, $4(9K^2+2K)$ parameters more. Every number of it was computed by hand above.
# - Accuracy: a gain of a few tenths of a percent that five seeds cannot tell from none; setting all learned weights to $1/K$ changes next to nothing.
# - Focus: on scenes its map is wider than Grad-CAM's, Grad-CAM++'s and Score-CAM's, and even than the plain sum, because the learned weights are nearly equal.
# - Class: one map for all classes. With two objects its margin is exactly 0, where Grad-CAM at the same layer answers the question.
# - Stability: it comes back when training is repeated, as the plain sum does; above the floor of large maps nothing is gained.
# - Small networks, short trainings, scenes and CIFAR-10: the verdicts speak of these. The paper trains 300 epochs, on ImageNet too.
#
# **Try it.** (1) Explain `cifar10-lfi` at layer `perception` with `gap-cam`: there the head is linear, and the map has a class. (2) Give all weights of the branch to one channel, whichever you like, and measure the accuracy again: how wrong may the importance be? (3) Train the variant with four ReLUs (`camlib.lfi.LFINetwork(..., relus=4)`) with `camlib.training.fit`.
#
# **Why?** (1) Why is the map of LFI-CAM the same for every class, although it was trained with a classifier? (2) Why does multiplying a mask with the *normalized* gray picture hide nothing? (3) Why must a stability score stand beside the overlap of maps of different pictures? (4) Why does the softmax over channels forbid weights that speak against a channel, and what does Grad-CAM do there?
#
# **References.** Lee, Park, Oh, Kwak 2021 (LFI-CAM); Baek 2022 (slides, part 6); Selvaraju et al. 2017 (Grad-CAM); Wang et al. 2019 (Score-CAM); Fukui et al. 2019 (ABN); Krizhevsky 2009 (CIFAR-10).
#
# Next: `16_captions`, a map for each word.
