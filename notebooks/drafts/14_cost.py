# %% [markdown]
# # What a map costs, and how the cost grows
#
# **What you'll do.** Count the passes of every method while it runs, watch the work grow with channels, picture size, pictures and classes, and read a measured comparison with three other libraries and with the limit that no library can pass.
#
# **What you'll learn.** To tell before you start whether a map takes a hundredth of a second or a minute; why five classes cost as much as one; why a larger batch can be slower on a CPU; what folding, 16-bit numbers and an allocator setting do to time and to the map.
#
# **What you'll need.** `05_gradient_methods` and `06_score_cam` for the methods; about half a minute on two cores. The comparison itself is a committed measurement (`data/bench.csv`), because times depend on the machine and on what else it does; `make bench` measures yours in about a quarter of an hour.
#
# Items made here: `cost-fig-01`, `cost-fig-02`, `cost-table-1`, `cost-table-2`.

# %% tags=["parameters"]
profile = "offline"  # "paper": the networks with torchvision's weights instead of random ones
network = "efficientnet-lite0"  # network of the photographs and of the growth curves
seed = 0  # random weights
fast = False  # True: two photographs for bfloat16 in place of four

# %%
import re
import time
import warnings
from collections import Counter

import camlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from camlib import bench, plots, report, runtime
from camlib.folding import fast_copy
from camlib.metrics import pearson
from camlib.scoring import Scorer, Tail, batch_for
from IPython.display import Markdown
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

# %%
runtime.setup(seed)
plots.style()
here = "14_cost"

# %% [markdown]
# ## 1. Passes, counted
#
# The unit of cost is the **pass**: one picture through the network, forward or backward. Three kinds matter:
#
# - a *masked* pass runs the whole network on a changed picture (Score-CAM: one for each of the $K$ feature maps);
# - a *tail* runs only what lies behind the layer, on changed feature maps (Ablation-CAM: $K$, Recipro-CAM: $h\,w$);
# - a *backward* pass goes from the logit to the layer and no further.
#
# The registry states the passes of every method in words. Are they true? A small network counts for itself: one hook at its first convolution sees every picture that passes through the whole network, one at its last layer every row that passes through the tail.

# %%
K, SIDE, CLASSES = 24, 32, 10
seen = Counter()


def entered(_module, inputs, _output):
    seen["whole"] += len(inputs[0])


def left(_module, inputs, output):
    seen["end"] += len(inputs[0])
    if output.requires_grad:
        output.register_hook(lambda gradient: seen.update(backward=len(gradient)))

# %%
layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, K, 3, 2, 1), nn.BatchNorm2d(K), nn.ReLU()]
small = nn.Sequential(nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(K, CLASSES)).eval()
nn.init.constant_(layers[4].bias, 0.5)  # no dead channel: each of the K maps makes a mask
small[-1].weight.data.abs_()  # no negative weight: no group of Group-CAM is empty
layers[0].register_forward_hook(entered)
small[-1].register_forward_hook(left)
counted = camlib.Network(small, "0", camlib.Preprocess((SIDE, SIDE)), name="small counting network")
photo = camlib.load_photo("bull-mastiff")
net_input = counted.prepare(photo)[1][None]
height, width = counted.default_layer.height, counted.default_layer.width
print(f"{int(camlib.Trace(counted, net_input).live.sum())} of {K} maps of {height} x {width} are live")

# %% [markdown]
# The words of the registry become numbers by putting in $K$, $h\,w$ and each method's own count ($G$ groups, $N$ random masks, $n$ repetitions; reduced here, the numbers do not matter). A term such as "2K tails" is a factor, a letter and a kind.

# %%
reduced = {
    "group-cam": {"groups": 6}, "rise": {"masks": 50}, "mask": {"steps": 4}, "smooth-grad-cam++": {"samples": 5},
    "smooth-grad": {"samples": 5}, "integrated-gradients": {"steps": 5},
}  # fmt: skip


def stated(method):
    """Passes of each kind that the registry's words amount to."""
    repetitions = next(iter(reduced.get(method.name, {"": 0}).values()))
    known = {"K": K, "hw": height * width, "G": repetitions, "N": repetitions, "n": repetitions}
    words = method.passes.split(",")[0].replace("(forward + backward)", "both")
    total = Counter()
    for factor, letter, more, kind in re.findall(r"(\d*)(hw|[KGNn])?((?:\+\d+)?) (forward|backward|both|masked|tails)", words):
        count = int(factor or 1) * known.get(letter, 1) + int(more or 0)
        for each in {"both": ("forward", "backward"), "masked": ("forward",)}.get(kind, (kind,)):
            total[each] += count
    return total

# %%
def counted_passes(method):
    """Passes of each kind of one map, as the hooks see them."""
    seen.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # maps of random weights may be flat
        camlib.explain(counted, net_input, method.name, 3, **reduced.get(method.name, {}))
    return Counter(forward=seen["whole"], tails=seen["end"] - seen["whole"], backward=seen["backward"])


rows = []
for method in camlib.METHODS.values():
    want, have = stated(method), counted_passes(method)
    own = method.family == "pixel" and "masked" not in method.passes  # these need no maps, yet the front door looks at the layer
    more = {kind: have[kind] - want[kind] - (own and kind == "forward") for kind in ("forward", "tails", "backward")}
    rows.append([method.name, method.family, method.passes, have["forward"], have["tails"], have["backward"], sum(more.values())])
    assert more["backward"] == 0 and all(extra in (0, 2) for extra in more.values()), (method.name, want, have)
columns = ["method", "family", "passes, registered", "forward", "tails", "backward", "of these checks"]
passes = pd.DataFrame(rows, columns=columns)

# %%
report.save(
    passes, "cost-table-2",
    caption=f"Passes of one map by method: as the registry states them, and as hooks count them on a network with K = {K} maps of "
    f"{height} × {width} and {CLASSES} classes (G = 6 groups, N = 50 masks, n = 5 repetitions, 4 for mask). 'Checks' are the "
    "passes in which the engine proves that its folded copy or its tail gives the same logits: two, whatever K is.",
    network=counted.name, data="bull-mastiff", n=1, seed=seed, profile=profile,
)  # fmt: skip
display(report.show("cost-table-2"))
passes

# %% [markdown]
# Every count is the registry's, plus two passes where the engine first proves that its shortcut gives the same logits (and one for the pixel methods, which do not need the trace that the front door makes). So the registry can be trusted for networks on which counting would take minutes.
#
# Now the same counters for *several* classes, methods and pictures. The scores of masked pictures are kept for all classes, so a second class needs no pass, and Score-CAM, SA-CAM and UnionCAM read the same scores:

# %%
def total_passes(methods, classes, pictures=1):
    seen.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        camlib.compare(counted, net_input.repeat(pictures, 1, 1, 1), methods, list(range(classes)))
    return seen["whole"], seen["end"] - seen["whole"], seen["backward"]


seven = ["grad-cam", "grad-cam++", "xgrad-cam", "layer-cam", "ablation-cam", "score-cam", "sa-cam"]
work = {
    "score-cam, 1 class": total_passes(["score-cam"], 1),
    "score-cam, 5 classes": total_passes(["score-cam"], 5),
    "score-cam, cic, softmax, raw, 5 classes": total_passes(["score-cam", "score-cam-cic", "score-cam-softmax", "score-cam-raw"], 5),
    "seven methods, 5 classes": total_passes(seven, 5),
    "seven methods, 5 classes, one by one": tuple(np.array([total_passes([m], 1) for m in seven]).sum(axis=0) * 5),
}
print(pd.DataFrame(work, index=["forward", "tails", "backward"]).T.to_string())
assert work["score-cam, 1 class"] == work["score-cam, 5 classes"]
assert work["seven methods, 5 classes"][0] == 1 + 2 * K + 2
assert work["seven methods, 5 classes, one by one"][0] > 8 * work["seven methods, 5 classes"][0]

# %% [markdown]
# Seven methods for five classes need $1+2K$ forward passes (two sets of masks, Score-CAM's and the key areas of SA-CAM), $K$ tails and five backward passes. One by one they need more than eight times the forward passes, and that is how other libraries work: one map at a time.

# %% [markdown]
# ## 2. How the work grows
#
# A pass is not the same everywhere: a tail behind the last layer is nearly nothing. `torch.utils.flop_counter` counts the floating-point operations of the convolutions and linear layers while they run, which is the same number on every machine.

# %%
def flops(run):
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


net = camlib.load_network(network)
x = net.prepare(photo)[1][None]


def anatomy(net, x, layer):
    """Operations of one pass, of one backward pass to the layer and of one tail behind it; K and hw."""
    trace = camlib.Trace(net, x, layer)
    target, maps = trace.logits.argmax(dim=1), trace.maps[0]
    whole = flops(lambda: net.logits(x))
    backward = flops(lambda: trace.gradients(target))
    behind = Tail(net, trace.layer, x, trace.maps, trace.logits)
    tail = flops(lambda: behind.logits(1, lambda buffer, start, stop: buffer.copy_(maps)))
    return {"layer": trace.layer.name, "K": trace.layer.channels, "hw": trace.positions, "pass": whole, "backward": backward, "tail": tail}

# %%
def work_of(parts):
    """Operations of one map by method: passes of the registry times the operations of each."""
    whole, backward, tail, channels = parts["pass"], parts["backward"], parts["tail"], parts["K"]
    return {
        "grad-cam": whole + backward,
        "recipro-cam": whole + parts["hw"] * tail,
        "ablation-cam": whole + channels * tail,
        "score-cam": whole + channels * whole,
        "sa-cam": whole + backward + 2 * channels * whole,
    }


inner = "blocks.2" if "lite" in network else net.layers(depth=2)[1].name
parts = anatomy(net, x, inner)
for method in ("grad-cam", "ablation-cam", "score-cam"):
    live, computed = flops(lambda: camlib.explain(net, x, method, 0, inner)), work_of(parts)[method]
    extra = (live - computed) / parts["pass"]
    print(f"{method:13s} at {inner}: {computed / parts['pass']:5.1f} passes' worth computed, {extra:.1f} more in the live run")
    assert -0.01 < extra < 6

# %% [markdown]
# The few extra passes are the checks of section 1 and the search for foldable pairs (section 3), paid once a picture. The formulas carry the rest of this section. The curves: along the network, over picture sizes, and, counted on the small network, over pictures and classes.

# %%
stages = [layer.name for layer in net.layers(depth=2) if re.fullmatch(r"blocks\.\d|layer\d|features\.\d+", layer.name)]
along = [anatomy(net, x, layer) for layer in [*stages, None]]
sizes = (128, 192, 256, 320)
resized = [net.with_input_size(size) for size in sizes]
over_size = [anatomy(each, each.prepare(photo)[1][None], None) for each in resized]
many = (1, 2, 4, 8)
repeated = ["grad-cam", "ablation-cam", "score-cam", "sa-cam"]


def curve(method, pictures):
    counts = [total_passes([method], *((1, n) if pictures else (n, 1))) for n in many]
    return [sum(count) for count in counts]


over_pictures = {method: curve(method, True) for method in repeated}
over_classes = {method: curve(method, False) for method in repeated}

# %%
looks = dict(zip(["grad-cam", "recipro-cam", "ablation-cam", "score-cam", "sa-cam"], zip(plots.COLORS, "osD^v"), strict=False))


def draw_operations(ax, items, ticks, xlabel):
    for method, (color, marker) in looks.items():
        values = [work_of(parts)[method] / 1e9 for parts in items]
        ax.plot(range(len(items)), values, marker=marker, color=color, label=method)
    ax.set_xticks(range(len(items)), ticks, fontsize=7.5)
    ax.set(xlabel=xlabel, ylabel="operations of one map (10⁹)", yscale="log")


def draw_counts(ax, found, xlabel):
    for method, values in found.items():
        ax.plot(many, values, marker=looks[method][1], color=looks[method][0])
    ax.set(xlabel=xlabel, ylabel=f"passes and tails counted (K = {K})", yscale="log", xscale="log")
    ax.set_xticks(many, [str(n) for n in many])
    ax.minorticks_off()

# %%
GROWTH = (
    f"Growth of the work. a, b: floating-point operations of one map on {net.name} (multiply and add count as two), from the "
    "registry's passes and the counted operations of a pass, a backward pass and a tail. c, d: rows counted by hooks on the small "
    f"network of K = {K} maps; the dotted line is Score-CAM with every class on its own. All axes of work are logarithmic."
)

# %%
fig, axes = plt.subplots(2, 2, figsize=(10, 7.6))
draw_operations(axes[0, 0], along, [f"{p['layer']}\nK = {p['K']}" for p in along], "layer, from the first stage to the last")
draw_operations(axes[0, 1], over_size, [f"{size}" for size in sizes], "side of the picture in pixels (last layer)")
draw_counts(axes[1, 0], over_pictures, "pictures")
draw_counts(axes[1, 1], over_classes, "classes of one picture")
one_by_one = [n * over_classes["score-cam"][0] for n in many]
axes[1, 1].plot(many, one_by_one, ":", color=looks["score-cam"][0], label="score-cam, class by class")
for ax, title in zip(axes.flat, ("a  along the network", "b  picture size", "c  pictures", "d  classes"), strict=True):
    ax.set_title(title, loc="left", fontweight="bold")
handles = axes[0, 0].get_legend_handles_labels()[0] + axes[1, 1].get_legend_handles_labels()[0]
fig.legend(handles=handles, loc="outside lower center", ncols=6)
report.save(
    fig, "cost-fig-02",
    caption=GROWTH, network=f"{net.name}; {counted.name}", data="bull-mastiff", n=1, seed=seed, profile=profile, vector=True,
)  # fmt: skip
report.show("cost-fig-02")

# %% [markdown]
# What to see. **a**: Score-CAM and SA-CAM grow with $K$ and do not care where the layer is; Ablation-CAM and Recipro-CAM fall towards the end, because the tail gets shorter faster than $K$ grows. **b**: a pass grows with the number of pixels, and with it every method that repeats it; Ablation-CAM repeats only what lies behind the pooling, which does not see the size. **c**: pictures share nothing. **d**: classes share everything but the backward pass. In numbers:

# %%
last, first = work_of(along[-1]), work_of(along[0])
print("last layer, in forward passes: " + ", ".join(f"{m} {v / along[-1]['pass']:.1f}" for m, v in last.items()))
grown = {m: work_of(over_size[-1])[m] / v for m, v in work_of(over_size[0]).items()}
assert grown["score-cam"] > 6 and grown["ablation-cam"] < 1.5
assert last["ablation-cam"] < 10 * along[-1]["pass"] < last["score-cam"] / 10
assert first["ablation-cam"] > 0.8 * first["score-cam"]
exponent = np.polyfit(np.log([s**2 for s in sizes]), np.log([p["pass"] for p in over_size]), 1)[0]
print(f"operations of a pass grow with the number of pixels to the power {exponent:.2f}")
assert 0.9 < exponent < 1.1
assert over_classes["score-cam"][0] == over_classes["score-cam"][-1]
assert over_pictures["score-cam"][-1] - 8 * over_pictures["score-cam"][0] == -7 * 2  # the two checks are made once

# %% [markdown]
# ## 3. What makes one pass cheap
#
# With $K$ passes to make, the work of preparing the network pays. camlib runs a private copy: convolution and batch normalization folded into one, channels last. The folded convolution has the weights $\gamma\,W/\sqrt{\sigma^2+\varepsilon}$ and the bias $\beta+\gamma\,(b-\mu)/\sqrt{\sigma^2+\varepsilon}$; nothing else changes. PyTorch brings a folding of its own, `torch.fx`'s `fuse`, which looks for modules of exactly the types `Conv2d` and `BatchNorm2d` in a symbolic trace. How many does each find?

# %%
class Padded(nn.Conv2d):
    """A convolution of another name, as networks define them to pad in their own way."""


def norms(module):
    return sum(isinstance(child, _BatchNorm) for child in module.modules())


def folded_by_fx(module):
    try:
        return f"{norms(module) - norms(fuse(module))} of {norms(module)}"
    except torch.fx.proxy.TraceError:
        return "cannot trace it"


subclass = camlib.Network(nn.Sequential(Padded(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval(), name="subclass of Conv2d")

# %%
weights = "default" if profile == "paper" else None
names = ["resnet18", "vgg16", "densenet121", "mobilenet_v2"]
nets = {name: camlib.load_network(name, weights, seed=seed) for name in names} | {"efficientnet-lite0": net, "a subclass": subclass}
rows = []
for name, each in nets.items():
    one = each.prepare(photo)[1][None]
    copy = fast_copy(each.module, one, each.logits(one))
    limit = 10.0 ** np.ceil(np.log10(max(copy.error, 1e-12)))
    fx = folded_by_fx(each.module) if norms(each.module) else "none to fold"
    rows.append([name, f"{copy.folded} of {copy.norms}", fx, f"{limit:.0e}", copy.widest / 2**20, batch_for(copy.widest, x.device)])
    assert copy.error < 1e-5
titles = ["network", "folded by camlib", "folded by torch.fx", "logits agree to", "widest tensor (MiB a picture)", "batch"]
copies = pd.DataFrame(rows, columns=titles)
copies.round(1)

# %%
by_name = copies.set_index("network")
assert by_name.loc["efficientnet-lite0", "folded by camlib"] == "49 of 49"
assert by_name.loc["densenet121", "folded by camlib"] == "59 of 121"
assert by_name.loc["resnet18", "folded by camlib"] == by_name.loc["resnet18", "folded by torch.fx"] == "20 of 20"
assert by_name.loc["a subclass", ["folded by camlib", "folded by torch.fx"]].tolist() == ["1 of 1", "0 of 1"]

# %% [markdown]
# `torch.fx` is as good where the types are plain and says nothing where they are not: on a subclass of `Conv2d` it folds none, in silence, and EfficientNet-Lite0, whose convolutions compute their padding from the size of the picture, it cannot trace. camlib folds what one run *proves* foldable and keeps the rest (DenseNet normalizes before it convolves, so half of its norms cannot be folded into the convolution before them). The logits agree to the rounding of float32.
#
# ### The 32 MiB rule
#
# The last two columns decide more than the arithmetic. glibc keeps a freed buffer for the next request up to 32 MiB; a larger one goes back to the system, and the next batch pays for every page again. The widest tensor that one picture makes on its way, times the batch, must therefore stay below 32 MiB. camlib measures it on the copy and chooses the batch:

# %%
for name, widest, batch in copies[["network", titles[4], "batch"]].itertuples(index=False):
    assert batch * widest < 32
    assert batch == 128 or (batch + 1) * widest >= 32
print("largest batch below 32 MiB, at most 128: holds for", ", ".join(copies["network"]))

# %% [markdown]
# What that rule is worth shows in the committed measurement: plain passes of the folded network at several batches. Time per pass, as a multiple of the best batch of the row; the machine is named below.

# %%
table, facts = bench.read()
machine = (
    f"{facts['processor']}, threads: {facts['threads']} on {facts['cores']} cores, {facts['instructions']}"
    f"{' with bfloat16' if facts['bfloat16'] else ''}, {facts['system']}, torch {facts['libraries']['torch']}, "
    f"pytorch-grad-cam {facts['libraries']['grad-cam']}, torchcam {facts['libraries']['torchcam']}, captum {facts['libraries']['captum']}"
)
kind = "a quick run at narrow layers, one round" if facts["quick"] else "medians of paired rounds"
print(f"measured on: {machine}; {kind}")
pilot = table[(table["case"] == "batch") & (table["unit"] == "s")]
by_batch = pilot[pilot["library"] == "limit"].pivot(index="network", columns="setting", values="value")
by_batch = by_batch.div(by_batch.min(axis=1), axis=0)[[f"batch {b}" for b in bench.PLAIN_BATCHES]]
by_batch.assign(camlib=[by_name.loc[name, "batch"] for name in by_batch.index]).round(2)

# %% [markdown]
# A library can also be helped from outside: `camlib.runtime.keep_buffers()` asks glibc to keep larger buffers (opt-in, for the whole process, more memory). Time of Score-CAM at each peer's default batch, as a multiple of camlib's own time without the setting:

# %%
allocator = table[(table["case"] == "allocator") & (table["unit"] == "s")]
allocator.pivot(index=["network", "library"], columns="setting", values="ratio").round(2)

# %% [markdown]
# ### Memory
#
# $K$ masked pictures at once are $K\cdot3\cdot H\cdot W$ numbers. camlib streams them through one buffer of one batch, so memory does not depend on $K$. The price of folding is the other column: the copy shares every tensor with your network except the folded weights, which it must own.

# %%
streams = {}
for name, channels in (("resnet18", 512), ("vgg16", 512), ("efficientnet-lite0", 1280)):
    each = nets[name]
    one = each.prepare(photo)[1][None]
    scorer = Scorer(each, one)
    picture = one.numel() * one.element_size() / 2**20
    shared = {p.data_ptr() for p in each.module.parameters()}
    own = sum(p.nbytes for p in scorer.copy.module.parameters() if p.data_ptr() not in shared) / 2**20
    streams[name] = {"K": channels, "batch": scorer.batch, "buffer (MiB)": scorer.batch * picture}
    streams[name] |= {"all K pictures (MiB)": channels * picture, "folded weights (MiB)": own}
    assert scorer.batch == by_name.loc[name, "batch"]
pd.DataFrame(streams).T.round(1).astype({"K": int, "batch": int})

# %% [markdown]
# ### Sixteen bits
#
# `precision="bfloat16"` halves the numbers and, on processors that have the instructions, the time. A bfloat16 has eight binary digits, so single logits move; do the *maps*? Real photographs, an inner layer, every map in both precisions:

# %%
photos = ["bull-mastiff", "bald-eagle", "goose", "strawberry"][: 2 if fast else 4]
pictures = [camlib.load_photo(name) for name in photos]
layer = "blocks.4" if "lite" in network else None
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # camlib reports the error of bfloat16 as a warning; it is measured in full here
    exact = camlib.compare(net, pictures, ["score-cam"], layer=layer)
    half = camlib.compare(net, pictures, ["score-cam"], layer=layer, options={"score-cam": {"precision": "bfloat16"}})
r = [pearson(a.raw, b.raw) for a, b in zip(exact, half, strict=True)]
for name, value in zip(photos, r, strict=True):
    print(f"{name:14s} map correlation of bfloat16 with float32 at {exact[0].layer}: {value:.2f}")
assert min(r) >= 0.99

# %% [markdown]
# Good enough for pictures; for tables, check first: camlib warns with the error that it measures on a sample of masks.

# %% [markdown]
# ## 4. The measured comparison
#
# Now the times. All libraries ran in one process on the same network, layer, photograph and threads, one after the other in rounds; a ratio is formed within its round. Peers ran at their default batch and at their best of 4, 8 and 16. **The limit** of Score-CAM is $K$ plain passes of the folded network at its best batch: what remains if masks, blending and softmax cost nothing. The limit of a gradient method is one forward pass and one backward pass to the layer.
#
# The aims were fixed before the engine was written. A ratio is *other's time over camlib's*, so larger is better for camlib, 1 is a tie, and the limit can only be below 1.

# %%
RESNET, VGG, LITE = "resnet18", "vgg16", "efficientnet-lite0"
everywhere = [RESNET, VGG, LITE]
best, default = dict(zip(everywhere, (1.5, 1.5, 2.5))), dict(zip(everywhere, (1.7, 1.7, 5.0)))
aims = {  # comparison: (case, library, beginning of the setting, relation, aim by network)
    "Score-CAM: limit": ("score-cam", "limit", "best", "≥", dict.fromkeys(everywhere, 1 / 1.15)),
    "Score-CAM: pytorch-grad-cam, best batch": ("score-cam", "pytorch-grad-cam", "best", "≥", best),
    "Score-CAM: torchcam, best batch": ("score-cam", "torchcam", "best", "≥", best),
    "Score-CAM: pytorch-grad-cam, default batch": ("score-cam", "pytorch-grad-cam", "default", "≥", default),
    "Score-CAM: torchcam, default batch": ("score-cam", "torchcam", "default", "≥", default),
    "Score-CAM: camlib in bfloat16": ("score-cam", "camlib", "bfloat16", "≤", dict.fromkeys(everywhere, 1 / 1.6)),
    "Score-CAM: camlib, five classes": ("five-classes", "camlib", "five", "≤", dict.fromkeys(everywhere, 1.05)),
    "Seven methods, five classes: fastest peers": ("seven-methods", bench.COMPOSED, "", "≥", dict.fromkeys(everywhere, 8.0)),
    "Ablation-CAM: pytorch-grad-cam, best batch": ("ablation-cam", "pytorch-grad-cam", "best", "≥", dict(zip(everywhere, (200, 50, 200)))),
    "Ablation-CAM: captum, default batch": ("ablation-cam", "captum", "default", "", {}),
    "Gradient methods: limit": (bench.GRADIENT, "limit", "", "≥", dict.fromkeys(everywhere, 1 / 1.1)),
    "Gradient methods: torchcam": (bench.GRADIENT, "torchcam", "", "", {}),
    "Gradient methods: pytorch-grad-cam": (bench.GRADIENT, "pytorch-grad-cam", "", "", {}),
    "Extra memory: torchcam, batch 4": ("memory", "torchcam", "", "≥", dict.fromkeys(everywhere, 1.0)),
}

# %%
def measured(case, library, setting, relation, aim):
    """Ratio by network: the median of rounds; of several cases the smallest."""
    cases = [case] if isinstance(case, str) else list(case)
    part = table[table["case"].isin(cases) & (table["library"] == library) & (table["unit"] != "r")]
    return part[part["setting"].str.startswith(setting)].groupby("network")["ratio"].min()


rows = []
for comparison, (*key, relation, aim) in aims.items():
    for name, ratio in measured(*key, relation, aim).items():
        wanted = aim.get(name)
        met = None if wanted is None else ratio >= wanted if relation == "≥" else ratio <= wanted
        rows.append([comparison, name, ratio, relation, wanted, met])
judged = pd.DataFrame(rows, columns=["comparison", "network", "ratio", "relation", "aim", "met"])
wide = judged.pivot(index="comparison", columns="network", values="ratio").reindex(index=list(aims), columns=everywhere)
words = {c: ", ".join(dict.fromkeys(f"{relation} {value:.2f}".rstrip("0").rstrip(".") for value in aim.values())) for c, (*_, relation, aim) in aims.items()}
comparison_table = wide.assign(aim=words)
comparison_table.round(2)

# %%
libraries = {"limit": "#000000", "camlib": plots.COLORS[0], "pytorch-grad-cam": plots.COLORS[1], "torchcam": plots.COLORS[2]}
libraries |= {"captum": plots.COLORS[4], bench.COMPOSED: plots.COLORS[3]}


def draw_ratios(ax, name):
    """Bars of one network, their numbers at the right, the aims dashed."""
    for place, (comparison, key) in enumerate(aims.items()):
        ratio = wide.loc[comparison, name]
        if np.isfinite(ratio):
            ax.barh(place, ratio - 1, left=1, color=libraries[key[1]], height=0.7, alpha=0.85)
            ax.text(1.02, place, f"{ratio:.3g}", va="center", fontsize=8.5, transform=ax.get_yaxis_transform())
        if name in key[4]:
            ax.plot([key[4][name]] * 2, [place - 0.45, place + 0.45], color="0.1", linewidth=1.6, linestyle=(0, (2, 1)))
    ax.axvline(1, color="0.3", linewidth=0.8)
    ax.set(xscale="log", title=name, xlabel="time (or memory) ÷ camlib's")


where = table[table["case"] == "score-cam"].groupby("network")["layer"].first()
places = ", ".join(f"{name}{' (random weights)' if 'lite' not in name else ''} at {where.get(name, '-')}" for name in everywhere)

# %%
fig, axes = plt.subplots(1, 3, figsize=(12.5, 5.4), sharey=True, sharex=True)
for ax, name in zip(axes, everywhere, strict=True):
    draw_ratios(ax, name)
axes[0].set_yticks(range(len(aims)), list(aims))
axes[0].invert_yaxis()
report.save(
    fig, "cost-fig-01",
    caption="Time of the limit, of other libraries and of camlib's own variants as a multiple of camlib's time for the same work, "
    "logarithmic; the last row is extra peak memory. Bars to the right: camlib is faster. Dashed: the aim (for bfloat16 and five "
    f"classes the bar should reach or stay left of it, elsewhere reach or pass it). {places}. Measured on {machine}; {kind}.",
    network=", ".join(everywhere), data="bull-mastiff; data/bench.csv", n=1, seed=seed, vector=True,
)  # fmt: skip
report.show("cost-fig-01")

# %%
report.save(
    comparison_table.reset_index(), "cost-table-1",
    caption=f"Time of others as a multiple of camlib's for the same work (memory in the last row), and the aims set beforehand. {places}. "
    f"Measured on {machine}; {kind}. Gradient methods: the smallest ratio of Grad-CAM, Grad-CAM++, XGrad-CAM and LayerCAM. Fastest "
    "peers: composed of the fastest measured library for each of the six methods that one has, times five classes. Where a peer's run "
    "would take minutes, a part of its passes was timed and scaled: the rows beside this table give both numbers.",
    network=", ".join(everywhere), data="bull-mastiff; data/bench.csv", n=1, seed=seed, extra={"rows": table},
)  # fmt: skip
report.show("cost-table-1")

# %%
with_aim = judged[judged["met"].notna()]
missed = with_aim[~with_aim["met"].astype(bool)]
text = [f"**{int(with_aim['met'].sum())} of {len(with_aim)} aims are met** on this machine ({kind})."]
text += [f"- missed: {row.comparison}, {row.network}: {row.ratio:.2f}, aim {row.relation} {row.aim:.2f}" for row in missed.itertuples()]
agreement = table[(table["unit"] == "r") & (table["case"] == "score-cam")].groupby(["library", "setting"])["value"].min()
half_r = agreement.get(("camlib", "bfloat16"), np.nan)
text += ["", f"Smallest map correlation of bfloat16 with float32 in the measured runs: {half_r:.3f}." if np.isfinite(half_r) else "No bfloat16 on this machine."]
Markdown("\n".join(text))

# %% [markdown]
# Were the peers doing the same job? The measured runs kept their maps: correlation with camlib's map, computed with the masks of pytorch-grad-cam. Where $r$ is clearly below 1, a library computes another formula, which costs the same passes: torchcam scales its masks before it enlarges them, and its Grad-CAM++ is not the paper's (`05_gradient_methods`).

# %%
same = table[(table["unit"] == "r") & table["case"].isin(["score-cam", "ablation-cam", *bench.GRADIENT]) & (table["library"] != "camlib")]
same.groupby(["case", "library"], sort=False)["value"].agg(["min", "max"]).round(3)

# %% [markdown]
# ## 5. Here and now
#
# A committed table may be old; one comparison can be made while you read. Score-CAM of one class and of five, taking turns, at an inner layer; the bound is generous, because somebody else may be using the machine.

# %%
def seconds(targets):
    start = time.perf_counter()
    camlib.compare(net, x, ["score-cam"], targets, inner)
    return time.perf_counter() - start


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    turns = [(seconds([0]), seconds([0, 1, 2, 3, 4])) for _ in range(3)]
one, five = (min(times) for times in zip(*turns, strict=True))
assert five < 1.5 * one
print("five classes take less than 1.5 times the time of one")

# %% [markdown]
# ## Summary
#
# - Count passes first: gradient methods one forward and one backward, tail methods one forward and nearly nothing (at the last layer), score methods $K$ or $2K$ forwards.
# - Classes and methods of one picture share their passes; pictures do not.
# - On a CPU the batch is chosen by the allocator: the widest tensor below 32 MiB.
# - Folding is exact to rounding and must be counted, because a fusing pass can silently do nothing.
# - The measured ratios above are of one machine. `make bench` makes yours.

# %% [markdown]
# **Try it.** (1) `make bench`, then run this notebook again: which aims does your machine miss? (2) Set `network = "resnet18"` with `profile = "paper"` and look at panel a: the stages have 64 to 512 channels, so Score-CAM's curve is flatter, and the tail of `layer3` is a quarter of the network. (3) Call `camlib.runtime.keep_buffers()` at the top of your own program that uses another library with batches of 32, and time it.
#
# **Why?** (1) Why does Recipro-CAM get cheaper at the last layer although $h\,w$ tails stay? (2) Why can the limit be beaten by bfloat16, and why is that no contradiction? (3) Why are ratios formed within a round and not from two medians? (4) Why does a batch of 32 pictures run slower per picture than one of 4 on a CPU, and not on a GPU? (5) Why does a folded network not need its BatchNorms' statistics any more?
#
# **References.** Wang et al. 2019 (Score-CAM); Liang et al. 2022 (SA-CAM); Desai and Ramaswamy 2020 (Ablation-CAM); Byun and Lee 2022 (Recipro-CAM); the documentation of glibc's `mallopt` for the thresholds.
