# %% [markdown]
# # Does the map lie on the object? Energy, points, boxes, grids
#
# **What you'll do.** Build pictures in which the place of every class is known, let eight methods point at it, and measure with four rulers: energy in the box, hit of the maximum, box cut out of the map, grid of classes. Then ask the same of every class activation map that camlib knows, at two layers.
#
# **What you'll learn.** What each ruler rewards (known answers first); why a map that knows nothing scores 25 % here and why that belongs into the table; what a threshold does to a box; which methods become one and the same at the last layer of a network with GAP, and what is left of their order inside the network.
#
# **What you'll need.** `04_sca_cam` (where the grid game was played first), `05_gradient_methods`, `06_score_cam`; about two minutes.
#
# Items made here: `score-table-1`, `score-fig-09`.
#
# Notation: $L^c\in[0,1]^{H\times W}$ is the heatmap of class $c$ at the size of the picture, $b$ the pixels of the object's box.

# %% tags=["parameters"]
profile = "offline"  # "paper": VGG-16 with torchvision's weights
network = "efficientnet-lite0"  # the network that is explained
seed = 0  # mosaics, random masks, random controls, bootstrap
fast = False  # True: one mosaic instead of four, fewer passes

# %%
import itertools
import warnings

import camlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from camlib import plots, report, runtime
from camlib.metrics import METRICS, Sample, bootstrap_interval, control_samples, iou_curve, mean_over_classes, paired_difference, pearson
from matplotlib.patches import Rectangle

runtime.setup(seed)
plots.style()
warnings.simplefilter("ignore", camlib.DegenerateMapWarning)  # flat maps are counted below
here = "10_localization"

# %% [markdown]
# `inner` is a layer of the body with about 100 to 500 maps of twice the last layer's side; Score-CAM costs one pass a map, so there it is cheap. `depths` are the layers of section 5, from the input to the head (`None`: the last feature maps).

# %%
lite = {"inner": "blocks.4", "depths": ["blocks.2", "blocks.3", "blocks.4", "blocks.5", "blocks.6", None]}
vgg = {"inner": "features.22", "depths": ["features.8", "features.15", "features.22", "features.25", "features.29", None]}
main, layers = ("vgg16", vgg) if profile == "paper" else (network, lite)
net, inner = camlib.load_network(main), layers["inner"]
side = net.input_size[0]
label = {name: camlib.photo_info(name).label for name in camlib.list_photos("imagenet")}
first = {name: net.predict(camlib.load_photo(name), top=1)[0] for name in label}
good = [name for name, (index, _, p) in first.items() if index == label[name] and p > 0.5]
good = good[: len(good) // 4 * 4]
print(f"{net.name}: {len(good)} photographs of {len(label)} classified right with p > 0.5")

# %% [markdown]
# ## 1. Four rulers, known answers first
#
# Wang et al. (2019, sec. 5.2) doubt the rulers of their time and add a new one:
#
# | ruler | what it is | blind for |
# | --- | --- | --- |
# | energy-based pointing game | $\sum_{b}L^c\,/\,\sum L^c$ | where in the box |
# | pointing game (Zhang et al. 2018) | is $\arg\max L^c$ in the box, or less than 15 pixels away? | everything but one pixel |
# | box IoU (Zhou et al. 2016) | $L^c\ge 0.2\max L^c$, largest connected region, its box against $b$: intersection over union | values above the threshold |
# | grid pointing game (Böhle et al. 2021) | the energy in the class's own cell of a mosaic, before scaling | a cell's content |
#
# Here are five maps whose scores you can work out in your head. The object is the upper left quarter of the picture.

# %%
box, blank = (0, 0, side // 2, side // 2), torch.zeros(side, side)


def lit(*corners, value=1.0):
    """A map that is ``value`` inside a rectangle (x0, y0, x1, y1) given in quarters of the side, 0 elsewhere."""
    x0, y0, x1, y1 = (corner * side // 4 for corner in corners)
    map_ = blank.clone()
    map_[y0:y1, x0:x1] = value
    return map_


hand = {"all ones": blank + 1, "the whole object": lit(0, 0, 2, 2), "a quarter of the object": lit(0, 0, 1, 1),
        "the object and its right neighbor": lit(0, 0, 4, 2), "a spot outside, the object at half": lit(0, 0, 2, 2, value=0.5) + lit(3, 3, 4, 4)}  # fmt: skip
rulers = {"energy": "energy-pointing-game", "hit": "pointing-game", "IoU": "box-iou"}
probe = Sample(net, torch.zeros(3, side, side), blank, 0, 1.0, boxes=[box])
known = pd.DataFrame({what: {ruler: METRICS[name](probe.with_heatmap(map_)) for ruler, name in rulers.items()} for what, map_ in hand.items()}).T
expected = [[1 / 4, 1, 1 / 4], [1, 1, 1], [1, 1, 1 / 4], [1 / 2, 1, 1 / 2], [2 / 3, 0, 1]]
assert np.allclose(known, expected)
known.round(2)

# %% [markdown]
# Read the first three rows together. A map that knows nothing *hits*, because its first maximum happens to lie in the corner, and has the IoU of a map that points at the best part of the object. Only the energy tells them apart, and only if you know that 0.25 is the share of the area. The last row shows the reverse: a perfect box around a map whose highest point is elsewhere.

# %% [markdown]
# ## 2. Pictures with known places
#
# The paper takes 500 ILSVRC pictures with one object that covers less than half of the picture. Our photographs have no boxes, so we make pictures that have: a 2 × 2 mosaic of four photographs of four classes, shown to the network at its own input size. *The cell is the box*: a quarter of the area, with other objects and not only background beside it. A seeded permutation puts every photograph into exactly one mosaic, and all four classes of each are explained.

# %%
fours = [list(four) for four in np.random.default_rng(seed).permutation(good).reshape(-1, 4)]
fours = fours[:1] if fast else fours
boards = [camlib.mosaic(four, cell=side // 2) for four in fours]
targets = [[label[name] for name in four] for four in fours]
assert all(len(set(four)) == 4 for four in targets)
for four, board in zip(fours, boards, strict=True):
    p = net.logits(net.prepare(board.picture)[1][None]).softmax(dim=1)[0]
    print("; ".join(f"{name} {p[label[name]]:.3f}" for name in four))

# %% [markdown]
# The numbers are the classes' probabilities in the mosaic: the network hardly ever names all four, and some of them are improbable. That makes this a harder test than the paper's for every method that reads probabilities, Score-CAM among them; keep it in mind below.
#
# Every method now explains every class, CAMs at the last layer and at the inner one. The passes are shared (`camlib.compare`): a masked picture for each live map of the last layer, some 700 a mosaic, serves all four classes and all variants of Score-CAM. Five methods have to do with fewer passes than their papers spend (`few`):

# %%
eight = ["gradient", "smooth-grad", "integrated-gradients", "mask", "rise", "grad-cam", "grad-cam++", "score-cam"]
few = {"smooth-grad": {"samples": 2 if fast else 8}, "integrated-gradients": {"steps": 2 if fast else 8}, "mask": {"steps": 4 if fast else 15, "seed": seed},
       "rise": {"masks": 40 if fast else 200, "seed": seed}, "smooth-grad-cam++": {"samples": 2 if fast else 10}}  # fmt: skip
cheap = ["feature-map", "grad-cam", "grad-cam++", "xgrad-cam", "layer-cam", "sca-cam", "smooth-grad-cam++", "ablation-cam", "recipro-cam", "fd-cam"]
masked = ["score-cam", "score-cam-cic", "score-cam-softmax", "score-cam-raw"]
costly = ["score-cam-binary", "sa-cam", "group-cam", "union-cam"]
has_gap = camlib.Trace.of(net, boards[0].picture).head is not None
at_last = [*eight, *(["gap-cam"] if has_gap else []), *[m for m in cheap + masked if m not in eight]]
pictures = [board.picture for board in boards]
last = camlib.compare(net, pictures, at_last, targets, options=few)
inside = camlib.compare(net, pictures, cheap + masked + costly, targets, inner, options={"smooth-grad-cam++": few["smooth-grad-cam++"]})
print(f"{len(boards)} mosaics, {4 * len(boards)} cells; {len(at_last)} methods at {last[0].layer}, {len(cheap + masked + costly)} at {inner}")

# %% [markdown]
# One mosaic to look at before anything is counted (single bright pixels of the first three methods are cut at the 99.5 % quantile, for the eye only):

# %%
def visible(e):
    ceiling = e.heatmap.flatten().quantile(0.995) if e.method in eight[:3] else 1.0
    return plots.overlay(e.image, (e.heatmap / ceiling).clamp(max=1))


shown = {(e.method, e.target): e for e in last if e.picture == 0}
frames = [[[], *[[boards[0].boxes[cell]]] * len(eight)] for cell in range(4)]
cells = [[last[0].image if cell == 0 else None, *(visible(shown[m, c]) for m in eight)] for cell, c in enumerate(targets[0])]
titles = ["input", "gradient", "Smooth Grad", "Integrated Gradients", "Mask", "RISE", "Grad-CAM", "Grad-CAM++", "Score-CAM"]
fig = plots.grid(cells, [net.class_name(c).split(",")[0] for c in targets[0]], titles, boxes=frames, cell=1.15)
plt.show()

# %% [markdown]
# ## 3. The energy-based pointing game
#
# Measured on everything at once. Three controls that look at no network stand beside the methods: all ones, random numbers on a 7 × 7 grid, and a Gaussian in the center, which by symmetry has a quarter of its energy in each cell.

# %%
rulers |= {"grid": "grid-pointing-game"}


def sample_of(e):
    """The heatmap with the cell of its class as box."""
    place = boards[e.picture].boxes[targets[e.picture].index(e.target)]
    return Sample(net, net.preprocess.normalize(e.image), e.heatmap, e.target, e.probability, boxes=[place], raw=e.raw)


def row_of(where, method, e, sample):
    uniform = float(sample.heatmap.sum() ** 2 / (sample.heatmap**2).sum().clamp(min=1e-12) / sample.heatmap.numel())
    scores = {ruler: METRICS[name](sample) for ruler, name in rulers.items()}
    scores["exact hit"] = METRICS["pointing-game"](sample, tolerance=0)
    photo = fours[e.picture][targets[e.picture].index(e.target)]
    return {"layer": where, "method": method, "mosaic": e.picture, "photo": photo, "probability": e.probability, "empty": sample.empty, "spread": uniform} | scores

# %%
rows = [row_of(where, e.method, e, sample_of(e)) for where, made in (("last", last), ("inner", inside)) for e in made]
for number, e in enumerate(e for e in last if e.method == "grad-cam"):
    for name, control in control_samples(sample_of(e), seed=seed + number).items():
        rows.append(row_of("none", name, e, control))
table = pd.DataFrame(rows)
table.loc[table["method"].isin(eight[:5]), "layer"] = "none"  # they read no layer
assert np.allclose(table[table["method"] == "all-ones"]["energy"], 0.25)
controls = list(dict.fromkeys(table[table["layer"] == "none"]["method"]))[5:]
print(f"{len(table)} maps; empty: " + (", ".join(f"{m} {n}" for m, n in table[table["empty"]]["method"].value_counts().items()) or "none"))

# %%
published = {"gradient": 41.3, "smooth-grad": 42.4, "integrated-gradients": 44.7, "mask": 56.1, "rise": 36.3, "grad-cam": 48.1, "grad-cam++": 49.3, "score-cam": 63.7}


def energy_in_percent(method, where):
    part = table[(table["method"] == method) & table["layer"].isin([where, "none"])]
    found = [100 * value for value in bootstrap_interval(part["energy"], units=part["photo"], seed=seed)]
    return dict(zip((f"{where} layer %", f"{where} low", f"{where} high"), found, strict=True))


game = pd.DataFrame([{"method": m, "published %": published.get(m)} | energy_in_percent(m, "last") | energy_in_percent(m, "inner") for m in eight + controls])
passes = ", ".join(f"{m} {next(iter(o.values()))}" for m, o in few.items() if m in eight)
report.save(
    game.round(2), "score-table-1", network=net.name, data="2 × 2 mosaics of photographs classified right (p > 0.5), all four classes", n=4 * len(boards), seed=seed, profile=profile,
    caption=f"Energy-based pointing game: share of the heatmap's energy in the box of the class, in percent (the box is the cell; a map that knows nothing has 25), with 95 % bootstrap intervals over photographs. CAMs at the last layer ({last[0].layer}) "
    f"and at the inner one ({inner}); the first five methods read no layer. Passes: {passes} (the papers spend 50, 50, 300, 4000). Published: VGG-16, 500 ILSVRC pictures with one box that covers less than half of the picture.",
    differs="other network and pictures; four objects in each picture, their classes often improbable; fewer passes; controls added", extra={"rows": table.round(6)},
)  # fmt: skip
report.show("score-table-1")

# %%
game.set_index("method").round(1)

# %% [markdown]
# Our column and the published one are not comparable number by number: another network, and a quarter of the area instead of up to a half. What can be compared is the order. The paper's claim: Score-CAM "outperforms previous work by a large scale". The rule, written before the numbers were looked at: with the paired difference of energy (Score-CAM minus rival, same cells, 95 % interval over photographs), the claim *holds* if the interval lies above 0 for all seven rivals, *does not hold* if it lies below 0 for at least one, else it is *undecided here*. It is decided once for each layer; layers are never compared with each other.

# %%
cells_of = table[~table["layer"].isin(["none"])].pivot(index=["mosaic", "photo"], columns=["layer", "method"], values=["energy", "grid", "spread"])
pixel = table[table["layer"] == "none"].pivot(index=["mosaic", "photo"], columns="method", values="energy")
photos = cells_of.index.get_level_values("photo")


def told(i):
    return f"{i.value:+.3f} [{i.low:.3f}, {i.high:.3f}]"


def verdict(intervals):
    """holds if all lie above 0, does not hold if one lies below, else undecided here."""
    if all(i.low > 0 for i in intervals):
        return "holds"
    return "does not hold" if any(i.high < 0 for i in intervals) else "undecided here"

# %%
margins = {}
for where in ("last", "inner"):
    energy = cells_of["energy"][where].join(pixel[eight[:5]])
    margins[where] = {rival: paired_difference(energy["score-cam"], energy[rival], units=photos, seed=seed) for rival in eight[:-1]}
    nearest = min(margins[where], key=lambda rival: margins[where][rival].value)
    print(report.claim(
        f"score-energy-{where}", paper="score", notebook=here,
        claim=f"Score-CAM has more energy on the object than seven other methods ({where} layer)", evidence="sec. 5.2.2, table 1: 63.7 % against 36.3 to 56.1 %, VGG-16, 500 pictures",
        ours="energy in the box, Score-CAM minus " + ", ".join(f"{rival} {told(i)}" for rival, i in margins[where].items()) + f"; {len(cells_of)} cells of mosaics, {net.name}, {last[0].layer if where == 'last' else inner}; interval beside it: {nearest}",
        interval=margins[where][nearest][1:], verdict=verdict(margins[where].values()),
    ))  # fmt: skip
    print("\n".join(f"   Score-CAM minus {rival:21s}{told(i)}" for rival, i in margins[where].items()))

# %% [markdown]
# What the intervals say here:

# %%
gains, losses = margins["last"], margins["inner"]
ahead = [rival for rival in gains if gains[rival].low > 0]
chance = bootstrap_interval(cells_of["energy"]["inner"]["grad-cam"], units=photos, seed=seed)
assert fast or profile == "paper" or set(ahead) == set(eight[:-1]) - {"grad-cam"}
assert fast or profile == "paper" or (chance.high > 0.25 and min(losses[m].low for m in ("grad-cam", "grad-cam++")) > 0)
print(f"last layer: ahead of {len(ahead)} of 7 ({', '.join(ahead)})")
print(f"inner layer: ahead of {', '.join(r for r in losses if losses[r].low > 0)}; Grad-CAM itself {chance.value:.2f} [{chance.low:.2f}, {chance.high:.2f}], chance 0.25")

# %% [markdown]
# - **Last layer.** Score-CAM is ahead of six of the seven, by 0.2 to 0.3. From Grad-CAM it cannot be told apart, and that is the one comparison in which this network differs in kind from VGG-16: with GAP and one linear layer, Grad-CAM *is* CAM, its weights are the classifier's own, signs included.
# - **Inner layer.** The two gradient CAMs are down at chance, Score-CAM is not. Against the pixel methods, Mask and RISE no difference is resolved.
#
# Mean gradients lose their meaning when the gradient varies inside a channel; a score of a masked picture does not depend on how the network goes on behind the layer. That is what Score-CAM was made for, and where it shows.

# %% [markdown]
# ## 4. Points and boxes
#
# The older rulers on the same maps. The pointing game's accuracy is the mean over classes of their hits (here every class has one cell, so it is the plain mean); a *localization* counts if the box of the map has an IoU of at least 0.5 with the cell.

# %%
rows = []
for method, where in [(m, "last") for m in eight] + [(m, "inner") for m in eight[5:]] + [(m, "none") for m in controls]:
    part = table[(table["method"] == method) & table["layer"].isin([where] if method not in eight[:5] else ["none"])]
    hits = mean_over_classes(part["hit"], part["photo"])
    exact, located = part["exact hit"].mean(), (part["IoU"] >= 0.5).mean()
    rows.append([method, where if method not in eight[:5] else "pixels", part["energy"].mean(), hits, exact, part["IoU"].mean(), located, part["spread"].mean()])
order = pd.DataFrame(rows, columns=["method", "layer", "energy", "hit", "hit, tolerance 0", "IoU", "IoU ≥ 0.5", "spread"])
order.round(2)

# %% [markdown]
# *Spread* is $(\sum L)^2/(HW\sum L^2)$: 1 for a uniform map, the share of lit pixels for a map of zeros and ones. It belongs to a sentence of the paper (sec. 5.2.1): boxes of Grad-CAM and Grad-CAM++ can still reach an IoU of 50 % "because the pixels in the saliency maps generated by Grad-CAM and Grad-CAM++ are more uniform". Rule, written before: the claim *holds* at a layer if the spread of both minus that of Score-CAM has an interval above 0, *does not hold* if one lies below 0, else undecided.

# %%
for where in ("last", "inner"):
    spread = cells_of["spread"][where]
    gaps = {rival: paired_difference(spread[rival], spread["score-cam"], units=photos, seed=seed) for rival in ("grad-cam", "grad-cam++")}
    print(report.claim(
        f"score-less-uniform-{where}", paper="score", notebook=here,
        claim=f"Maps of Grad-CAM and Grad-CAM++ are more uniform than those of Score-CAM ({where} layer)", evidence="sec. 5.2.1, fig. 9, three pictures by eye",
        ours="spread (Σ L)²/(HW Σ L²), rival minus Score-CAM: " + ", ".join(f"{rival} {told(i)}" for rival, i in gaps.items()) + f"; {len(cells_of)} cells of mosaics, {net.name}; interval beside it: grad-cam",
        interval=gaps["grad-cam"][1:], verdict=verdict(gaps.values()),
    ))  # fmt: skip
    print("\n".join(f"   {rival:11s}minus Score-CAM {told(i)}" for rival, i in gaps.items()))

# %% [markdown]
# How much of a box is the map, and how much the threshold? Sweep it: for each threshold $t$ the box around the largest region with $L\ge t\max L$ and its IoU with the cell. The pictures show one cell of each mosaic at $t=0.2$, Zhou's choice (the paper gives none); colors as in the paper, red for Score-CAM, blue for Grad-CAM, green for Grad-CAM++.

# %%
three = {"grad-cam": ("Grad-CAM", plots.COLORS[0]), "grad-cam++": ("Grad-CAM++", plots.COLORS[2]), "score-cam": ("Score-CAM", plots.COLORS[1])}
levels = np.arange(1, 20, 2) / 20
curves = {m: np.array([iou_curve(sample_of(e), levels)[1] for e in last if e.method == m]) for m in three}
blind = [control_samples(sample_of(e), seed=seed + k) for k, e in enumerate(e for e in last if e.method == "grad-cam")]
curves |= {name: np.array([iou_curve(b[name], levels)[1] for b in blind]) for name in controls}
bands = {m: np.array([bootstrap_interval(column, seed=seed) for column in c.T]) for m, c in curves.items()}
for m, band in bands.items():
    best = int(band[:, 0].argmax())
    print(f"{m:16s} IoU at {levels[2]:.2f}: {band[2, 0]:.2f}; best {band[best, 0]:.2f} [{band[best, 1]:.2f}, {band[best, 2]:.2f}] at t = {levels[best]:.2f}")

# %%
def draw(ax, e, methods):
    """Boxes of the named methods' maps on the picture (one method: on its overlay), the cell dashed."""
    mine = {m: next(o for o in last if (o.method, o.picture, o.target) == (m, e.picture, e.target)) for m in methods}
    ax.imshow(plots.overlay(e.image, e.heatmap) if len(mine) == 1 else e.image.permute(1, 2, 0))
    boxes = [(sample_of(e).boxes[0], "white", "--")] + [(camlib.metrics.box_from_map(o.heatmap, 0.2), three[m][1], "-") for m, o in mine.items()]
    for (x0, y0, x1, y1), color, dash in boxes:
        ax.add_patch(Rectangle((x0, y0), x1 - x0 - 1, y1 - y0 - 1, fill=False, ec=color, ls=dash, lw=1.8))
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if len(mine) == 1:
        ax.set_xlabel(f"IoU {METRICS['box-iou'](sample_of(e)):.2f}, energy {METRICS['energy-pointing-game'](sample_of(e)):.2f}", fontsize=8)

# %%
def draw_pictures(figure):
    """One cell of each mosaic, another corner each time: three boxes on the picture, then each on its map."""
    axes = figure.subplots(len(boards), 4, squeeze=False)
    for number, line in enumerate(axes):
        mine = {e.method: e for e in last if e.picture == number and e.target == targets[number][number]}
        name = net.class_name(targets[number][number]).split(",")[0]
        line[0].set_ylabel(name.replace(" ", "\n"), rotation=0, ha="right", va="center", fontsize=9)
        for ax, methods in zip(line, [list(three), *([m] for m in three)], strict=True):
            draw(ax, mine[methods[0]], methods)
    for ax, title in zip(axes[0], ["three boxes", *(name for name, _ in three.values())], strict=True):
        ax.set_title(title)

# %%
fig = plt.figure(figsize=(11, 1.6 * len(boards) + 0.3), layout="constrained")
left, right = fig.subfigures(1, 2, width_ratios=[1.4, 1])
draw_pictures(left)
ax, grays = right.subplots(), dict(zip(controls, (":", "-.", "--"), strict=True))
for m, band in bands.items():
    name, color = three.get(m, (m, "0.45"))
    ax.plot(levels, band[:, 0], grays.get(m, "-"), color=color, label=name)
    if m in three:
        ax.fill_between(levels, band[:, 1], band[:, 2], color=color, alpha=0.12, lw=0)
ax.axvline(0.2, color="0.8", lw=0.8, zorder=0)
ax.set(xlabel="threshold t (share of the maximum)", ylabel="mean IoU of box and cell, 95 % band", ylim=(0, 1), xlim=(0, 1))
right.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
report.save(
    fig, "score-fig-09", network=net.name, data="one cell of each mosaic; curves: all cells", n=4 * len(boards), seed=seed, profile=profile,
    caption=f"Boxes cut out of maps at the last layer. Left: the cell of the class (white, dashed) and the boxes at threshold 0.2 of Grad-CAM (blue), Grad-CAM++ (green) and Score-CAM (red). Right: mean IoU with the cell over {4 * len(boards)} cells against the threshold; gray: controls that see no picture.",
    differs="mosaics, whose box is the cell, instead of ILSVRC pictures; the paper gives no threshold, here all are shown",
)  # fmt: skip
report.show("score-fig-09")

# %% [markdown]
# Three things to see.

# %%
by = order.set_index(["method", "layer"])
assert by.loc[("center-gaussian", "none"), "hit"] == 1 and by.loc[("center-gaussian", "none"), "hit, tolerance 0"] == 0.25
if not fast and profile != "paper":
    rise = by.loc[("rise", "pixels")]
    assert rise["hit"] == 1 and rise["IoU"] < 0.3 and rise["energy"] < 0.4
    assert bands["grad-cam++"][1, 0] < 0.3 < bands["grad-cam++"][5, 0]
    best = {m: bands[m][:, 0].max() for m in three}
    assert abs(best["grad-cam"] - best["score-cam"]) < 0.05

# %% [markdown]
# - **The rulers disagree.** RISE's maximum lies in the right cell every time, and yet its box is the whole picture and its energy hardly above that of a uniform map: a small hill on a high plateau. The Gaussian in the center hits *every* cell, because the center is less than 15 pixels from all four; without tolerance it hits one in four. Neither is a reason to trust or to distrust a map.
# - **A box is half threshold.** At $t=0.2$ the box of Grad-CAM++ is nearly the whole picture; at its own best threshold its IoU is clearly higher. Score-CAM and Grad-CAM have the same best IoU, at different thresholds. A table with one threshold for all compares plateaus.
# - **"More uniform"** fits Grad-CAM++ at the last layer and nothing else here. The paper's remark that IoU asks for the whole object, while an explanation need not cover it, is row three of section 1.

# %% [markdown]
# ## 5. All class activation maps, at two layers, with and without GAP
#
# Now every method with class activation weights or a map of its own. At the last layer of this network the classifier is linear behind GAP; at the inner layer, two stages, a nonlinear tail and a ReLU lie in between. First, what this does to the methods, shown on the mosaics: how much the gradient varies inside a channel, and which methods make the same map (correlation of all pairs above 0.9999).

# %%
for where, layer, made in (("last", None, last), ("inner", inner, inside)):
    trace = camlib.Trace.of(net, *pictures, layer=layer)
    g = trace.gradients(torch.tensor([four[0] for four in targets]))
    vary = float(g.std(dim=(2, 3)).mean() / g.mean(dim=(2, 3)).abs().mean())
    names = list(dict.fromkeys(e.method for e in made if camlib.METHODS[e.method].makes != "pixels"))
    stacks = {m: [e.raw for e in made if e.method == m and not e.degenerate] for m in names}
    twins = [f"{a} = {b}" for a, b in itertools.combinations(names, 2) if len(stacks[a]) == len(stacks[b]) and min(pearson(u, v) for u, v in zip(stacks[a], stacks[b], strict=True)) > 0.9999]
    assert (trace.head is None) or vary < 1e-3
    print(f"{where}: head {trace.head.form if trace.head else 'not linear'}; spread of the gradient inside a channel / mean gradient: {vary:.1f}")
    print("   same maps:", ", ".join(twins) or "none")

# %% [markdown]
# The grid pointing game reads the maps before scaling to $[0,1]$ and before upsampling. `own-table-1` of notebook 04 has it for six methods on three networks at *twice* the input size; here all methods stand side by side at the network's own size, so that the masked ones can be paid for. Cells of 3.5 × 3.5 positions, as the last layer has them here, let every map leak into its neighbors:

# %%
large = camlib.compare(net.with_input_size(2 * side), [camlib.mosaic(four, cell=side).picture for four in fours], ["grad-cam"], targets)
at_double = [camlib.metrics.grid_pointing_share(e.raw, targets[e.picture].index(e.target), 2, 2) for e in large]
print(f"Grad-CAM, last layer: {cells_of['grid']['last']['grad-cam'].mean():.2f} at {side} x {side}, {np.mean(at_double):.2f} at {2 * side} x {2 * side}")

# %%
grids = [[where, m, *bootstrap_interval(part["grid"], units=part["photo"], seed=seed), int(part["empty"].sum())]
         for (where, m), part in table[~table["method"].isin(eight[:5])].groupby(["layer", "method"], sort=False)]  # fmt: skip
grids = pd.DataFrame(grids, columns=["layer", "method", "mean", "low", "high", "empty"])
text = grids.assign(text=[f"{m:.2f} [{low:.2f}, {high:.2f}]" for m, low, high in grids[["mean", "low", "high"]].to_numpy()])
text = text.pivot(index="method", columns="layer", values="text").fillna("").rename(columns={"none": "control"})[["last", "inner", "control"]]
text.loc[grids.sort_values("mean", ascending=False)["method"].unique()]

# %%
kinds = {"control": "0.5", "gradient or tail": plots.COLORS[0], "masked pictures": plots.COLORS[1]}
fig, axes = plt.subplots(1, 2, figsize=(12, 4.8))
for ax, where in zip(axes, ("last", "inner"), strict=True):
    part = grids[grids["layer"].isin([where, "none"])].sort_values("mean")
    for place, (_, row) in enumerate(part.iterrows()):
        kind = "control" if row["layer"] == "none" else "masked pictures" if row["method"] in masked + costly else "gradient or tail"
        ax.errorbar(row["mean"], place, xerr=[[row["mean"] - row["low"]], [row["high"] - row["mean"]]], fmt="o", ms=5, color=kinds[kind], capsize=2)
    ax.axvline(0.25, color="0.3", ls="--", lw=1)
    ax.set_yticks(range(len(part)), part["method"])
    ax.set(xlim=(0, 1), title=f"{where} layer ({last[0].layer if where == 'last' else inner})", xlabel="share in the right cell, 95 % interval")
handles = [plt.Line2D([], [], marker="o", ls="", color=color, label=kind) for kind, color in kinds.items()]
axes[1].legend(handles=[*handles, plt.Line2D([], [], color="0.3", ls="--", label="chance")], loc="lower right")
plt.show()

# %% [markdown]
# Four differences that the figure suggests, paired over the cells:

# %%
pairs = {"last": [("score-cam-cic", "score-cam"), ("grad-cam", "sca-cam")], "inner": [("layer-cam", "score-cam"), ("score-cam", "sa-cam")]}
differences = {(where, a, b): paired_difference(cells_of["grid"][where][a], cells_of["grid"][where][b], units=photos, seed=seed) for where, two in pairs.items() for a, b in two}
for (where, a, b), i in differences.items():
    print(f"{where:6s}{a} minus {b}: {told(i)}")
raw = {m: [e.raw for e in inside if e.method == m] for m in ("feature-map", "score-cam", "sa-cam")}
plain = {m: np.mean([pearson(a, b) for a, b in zip(raw[m], raw["feature-map"], strict=True)]) for m in ("score-cam", "sa-cam")}
print(f"inner layer, mean correlation with the feature-map sum: SA-CAM {plain['sa-cam']:.2f}, Score-CAM {plain['score-cam']:.2f}")
level = grids.set_index(["layer", "method"])
average_like = ["grad-cam", "grad-cam++", "xgrad-cam", "fd-cam", "ablation-cam"]
if not fast and profile != "paper":
    assert all(level.loc[("inner", m), "low"] < 0.25 for m in average_like)
    assert plain["sa-cam"] > plain["score-cam"] + 0.1
    assert differences["last", "score-cam-cic", "score-cam"].low > 0 and differences["inner", "score-cam", "sa-cam"].low > 0
    assert all(level.loc[("last", m), "mean"] < 0.4 for m in ("layer-cam", "grad-cam++", "sca-cam", "recipro-cam"))

# %% [markdown]
# - **Last layer, GAP.** Signed weights win: CAM, Grad-CAM and XGrad-CAM are one method here, and the scores of masked pictures are level with it. What squares or rectifies its weights (SCA-CAM, LayerCAM, Grad-CAM++) counts evidence against a class as evidence for it, or drops it, and stays near chance. Subtracting the baseline (`score-cam-cic`, the second version of the paper) helps: it takes the same amount off every weight, which removes a multiple of the class-blind feature-map sum.
# - **Inner layer, nonlinear tail.** The order turns over. Methods that average a gradient over a channel, or switch whole channels off, are at chance; pixel-wise gradients (LayerCAM, SCA-CAM) and masked pictures are above it. SA-CAM adds two gradient weights to its score and sends the sum through a softmax over the channels, which flattens it: its map comes close to the feature-map sum, and it falls behind Score-CAM.
#
# Neither panel says which method is best. They say that "GAP or not behind the layer" decides more than the method's name.

# %% [markdown]
# ### The layer, once more
#
# Six cheap methods at six depths. Do not read this as "layer X is better": maps of another layer answer another question (what is active there, at that resolution). Read it as a warning: a method without its layer is half a name.

# %%
swept = ["feature-map", "grad-cam", "grad-cam++", "xgrad-cam", "layer-cam", "sca-cam"]
rows = []
for depth, layer in enumerate(layers["depths"]):
    for e in camlib.compare(net, pictures, swept, targets, layer):
        cell = targets[e.picture].index(e.target)
        share = camlib.metrics.grid_pointing_share(e.raw, cell, 2, 2)
        rows.append([depth, e.layer if layer else "last", e.method, fours[e.picture][cell], share])
sweep = pd.DataFrame(rows, columns=["depth", "layer", "method", "photo", "share"])
named = {depth: layer or "last" for depth, layer in enumerate(layers["depths"])}

# %%
fig, ax = plt.subplots(figsize=(8, 3.4))
for (method, part), color, marker in zip(sweep.groupby("method", sort=False), plots.COLORS, "osD^vP", strict=False):
    found = np.array([bootstrap_interval(p["share"], units=p["photo"], seed=seed) for _, p in part.groupby("depth")])
    ax.errorbar(np.arange(len(found)) + 0.03 * swept.index(method), found[:, 0], yerr=np.abs(found[:, 1:] - found[:, :1]).T, marker=marker, ms=4, color=color, capsize=2, label=method)
ax.axhline(0.25, color="0.3", ls="--", lw=1, label="chance")
ax.set_xticks(range(len(named)), named.values())
ax.set(ylabel="share in the right cell", ylim=(0, 1), xlabel="layer, from input to head")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
means = sweep.pivot_table(index="method", columns="depth", values="share", sort=False)
print(f"range over layers, mean of the methods: {(means.max(axis=1) - means.min(axis=1)).drop('feature-map').mean():.2f}; range over methods, mean of the layers: {(means.drop('feature-map').max() - means.drop('feature-map').min()).mean():.2f}")

# %% [markdown]
# Grad-CAM goes from chance to the top, LayerCAM and Grad-CAM++ fall by half in the single step from `blocks.6` to the last layer, and only the feature-map sum, which knows no class, is the same everywhere.
#
# All of this is one architecture with GAP; its inner layers have a nonlinear tail, but they are not last layers. Networks that are *trained* with and without GAP, on scenes with exact masks, come with notebook 13.
#
# ## Summary
#
# - Energy, hit, IoU and grid share are four questions; a table should name its ruler, its layer and the score of a map that knows nothing.
# - On mosaics Score-CAM has more energy on its object than six of the seven methods of the paper's table at the last layer, and ties with Grad-CAM; inside the network it is ahead of the gradient CAMs only. By the rule above the paper's claim stays undecided here, for this one network and these 16 photographs.
# - A box depends on its threshold as much as on its map.
# - At the last layer of a GAP network signed weights localize and squared ones do not; inside the network it is the other way round.
#
# **Try it.** (1) Give `boards` photographs of your own with `camlib.mosaic([...])`, and the classes in `targets`. (2) Repeat section 3 with cells of twice the size (`net.with_input_size(2 * side)`): which methods gain most? (3) Replace one cell by a second photograph of the same class and read `METRICS["several-objects-balance"]`.
#
# **Why?** (1) Why does a map of ones score the same in energy and in IoU? (2) Why does min-max scaling matter for RISE and not for Grad-CAM? (3) Why does a Gaussian in the center score exactly 25 % here, but far more on photographs? (4) Why can no map of the last layer reach 100 % on a grid whose cells are 3.5 positions wide?
#
# **References.** Wang et al. 2019, sec. 5.2, fig. 9, table 1; Zhang et al. 2018 (pointing game); Zhou et al. 2016 (boxes from maps); Böhle, Fritz and Schiele 2021 (grid pointing game); Fong and Vedaldi 2017 (Mask, thresholds); Petsiuk et al. 2018 (RISE).
#
# Next: `11_sanity`, do the maps change when the weights do?
