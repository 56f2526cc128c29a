# Notebook 04_sca_cam, section 3: a new cell between the cell `cells, notes = [], []` and the cell `row_labels = ...`
# (add `from camlib.scenes import SHAPES, make_scenes` and `energy_share` of camlib.metrics to the imports).
# %%
learned = camlib.load_network("scenes-lfi")  # trained on scenes, with LFI-CAM's branch
drawn = make_scenes(40, 10**9 + 700, objects=(2, 2), repeat=0, occlusion=0)
both = (drawn.counts == 2) & (drawn.shapes[:, 0] != drawn.shapes[:, 1])
first = int(both.nonzero()[0])
small, asked = drawn.images[first] / 255, drawn.shapes[first].tolist()
made = camlib.compare(learned, [small], methods, asked, layer="perception")  # behind the attention the head is linear
made += camlib.compare(learned, [small], ["lfi-cam"], asked)
for k in (0, 1):
    row = made[k::2]
    cells.append([small if k == 0 else None, *row])
    notes.append([None, *(f"on it: {energy_share(e.raw, drawn.masks[first, k]):.2f}" for e in row)])
# The cell after it, changed (row and column labels, caption, network, data, n, differs):
# %%
row_labels = [f"{name} {animal}" for name in nets for animal in ("dog", "cat")]
row_labels += [f"{learned.name} {SHAPES[c]}" for c in asked]
white = np.ones((64, 128, 3))  # an ImageNet network has no branch
cells = [row + [white] * (5 - len(row)) for row in cells]
notes = [row + ["no branch"] * (5 - len(row)) for row in notes]
fig = plots.grid(cells, row_labels, ["input", "GAP-CAM", "Grad-CAM", "SCA-CAM", "LFI-CAM"], notes, cell=1.75)
report.save(
    fig, "sca-fig-12",
    caption="Class activation maps of 'bull mastiff' and 'Egyptian cat' at the last layer, and of the two shapes of a scene on a "
    "network that was trained on scenes. Below each map: share of its positive part inside the half of its animal (0.5 knows "
    "nothing), or on the shape. LFI-CAM exists only where it was trained; its map is the same for both shapes.",
    network=", ".join([*nets, learned.name]), data="bull-mastiff beside chelsea; a generated scene", n=2, seed=None, profile=profile,
    differs="EfficientNet-Lite networks on a mosaic of two photographs and a small network on a scene instead of the paper's four "
    "networks and picture; both classes shown; LFI-CAM added",
)  # fmt: skip
report.show("sca-fig-12")
