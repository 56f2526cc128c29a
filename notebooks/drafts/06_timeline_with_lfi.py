# Notebook 06_score_cam: a new cell between the cells that start with `scene = camlib.side_by_side(` and `notes = [[None, *(f"in its half`
# (add `from camlib.scenes import SHAPES, make_scenes` and `from camlib.metrics import energy_share` to the imports).
# %%
learned = camlib.load_network("scenes-lfi")  # LFI-CAM lives in a network that was trained with it
drawn = make_scenes(40, 10**9 + 700, objects=(2, 2), repeat=0, occlusion=0)
both = (drawn.counts == 2) & (drawn.shapes[:, 0] != drawn.shapes[:, 1])
first = int(both.nonzero()[0])
small, asked = drawn.images[first] / 255, drawn.shapes[first].tolist()
made = camlib.compare(learned, [small], ["grad-cam", "grad-cam++", "score-cam", "lfi-cam"], asked)
made = camlib.compare(learned, [small], ["gap-cam"], asked, layer="perception") + made  # its head is linear there
assert torch.equal(made[-1].heatmap, made[-2].heatmap)  # one map for both classes
for k in (0, 1):
    row = made[k::2]
    overlays.append([plots.overlay(e.image, e.heatmap) for e in row])
    shares.append([energy_share(e.heatmap, drawn.masks[first, k]) for e in row])
# The cell after it, changed:
# %%
notes = [[None, *(f"in its half: {share:.2f}" for share in row)] for row in shares[:2]]
notes += [[None, *(f"on it: {share:.2f}" for share in row)] for row in shares[2:]]
rows = [f"{net.class_name(c)}\np = {chance[c]:.3f}" for c in (dog, cat)]
rows += [f"{SHAPES[c]}\np = {e.probability:.3f}" for c, e in zip(asked, made, strict=False)]
white = torch.ones_like(two)  # an ImageNet network has no branch
cells = [[two, *overlays[0], white], [None, *overlays[1], white], [small, *overlays[2]], [None, *overlays[3]]]
notes = [row + ["no branch"] * (2 + len(years) - len(row)) for row in notes]
fig = plots.grid(cells, rows, ["input", *(title.replace(" 2", "\n2") for title in [*years.values(), "LFI-CAM 2021"])], notes, cell=1.8)
report.save(
    fig, "history-fig-timeline", network=f"{net.name}; below: {learned.name}", data="bull-mastiff beside chelsea; below: a generated scene", n=2, seed=None, profile=profile,
    caption="From CAM to LFI-CAM: maps of two classes of one picture. Above at the last layer of an ImageNet network, which has no branch for LFI-CAM; below all five on a network that was trained with it (CAM behind the attention, where its head is linear). Numbers: share of the map in the half, or on the object, of its class. LFI-CAM's map has no class.",
    differs="other networks and pictures than the slides",
)  # fmt: skip
report.show("history-fig-timeline")
