"""camlib.compendium.report: items, files, manifest, claims and the generated texts, in a folder of their own."""

import csv
import json
import re
import subprocess
import sys
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from camlib import paths
from camlib.compendium import report

FACTS = {
    "caption": "What is seen.",
    "network": "efficientnet-lite0",
    "data": "bull-mastiff",
    "n": 1,
    "seed": 0,
}


@pytest.fixture
def folder(own_repository):
    return own_repository


@pytest.fixture
def figure():
    figure, ax = plt.subplots(figsize=(2, 1.5))
    ax.plot([0, 1], [1, 0])
    yield figure
    plt.close(figure)


@pytest.fixture
def table():
    return pd.DataFrame({"network": ["a|b", "c"], "error": [41.81, 1 / 3], "n": [1, 2], "gap": [None, "x"]})


# Items


def test_items_are_every_item_of_the_papers():
    counts = pd.Series([(item.paper, item.kind) for item in report.ITEMS.values()]).value_counts()
    expected = {
        "sca": (14, 2, 24, 0),
        "sa": (11, 5, 13, 2),
        "union": (3, 4, 8, 1),
        "score": (16, 2, 8, 0),
        "history": (3, 0, 0, 0),
    }
    for paper, numbers in expected.items():
        assert tuple(counts.get((paper, kind), 0) for kind in report.KINDS) == numbers


def test_item_ids_say_paper_kind_and_number():
    words = {"figure": "fig", "table": "table", "equation": "eq", "algorithm": "alg"}
    for item in report.ITEMS.values():
        number = r"\d\d" if item.kind == "figure" else r"[1-9]\d*"
        usual = rf"{item.paper}-{words[item.kind]}-{number}"
        named = r"union-(ablation|cost)|history-fig-(cam|timeline|lfi)"
        assert re.fullmatch(f"{usual}|{named}", item.id)
        assert re.fullmatch(r"\d\d_[a-z_]+", item.notebook)


@pytest.mark.parametrize(
    ("item_id", "notebook"),
    [
        ("sca-fig-01", "01_feature_maps"),
        ("sca-eq-1", "02_unified_framework"),
        ("sca-eq-2", "03_pooling_cases"),
        ("sca-eq-18", "03_pooling_cases"),
        ("sca-eq-19", "04_sca_cam"),
        ("history-fig-cam", "02_unified_framework"),
        ("score-eq-8", "16_captions"),
        ("sa-table-3", "09_faithfulness"),
    ],
)
def test_items_have_their_notebook(item_id, notebook):
    assert report.ITEMS[item_id].notebook == notebook


def test_no_item_is_open():
    """The committed gallery: figures and tables have their files, equations what was checked of them."""
    figures = paths.ROOT / "figures"  # make test sends its own figures elsewhere
    entries = json.loads((figures / "manifest.json").read_text(encoding="utf-8"))
    assert sorted(entries) == sorted(report.ITEMS)
    for item in report.ITEMS.values():
        entry = entries[item.id]
        assert all((figures / file).is_file() for file in entry.get("files", {}))
        suffix = {"figure": ".png", "table": ".csv"}.get(item.kind)
        assert entry.get("checks") if suffix is None else f"{item.paper}/{item.id}{suffix}" in entry["files"]
        assert (paths.NOTEBOOKS / f"{item.notebook}.ipynb").is_file()


def test_an_unknown_item_is_refused_with_the_nearest(folder, figure):
    with pytest.raises(ValueError, match="no item 'sca-fig-1'; nearest: sca-fig-1"):
        report.save(figure, "sca-fig-1", **FACTS)


# Files and manifest


def test_a_figure_becomes_png_and_pdf_and_an_entry(folder, figure):
    assert report.save(figure, "sca-fig-10", differs="another network", vector=True, **FACTS) is None
    entry = report.manifest()["sca-fig-10"]
    assert list(entry["files"]) == ["sca/sca-fig-10.pdf", "sca/sca-fig-10.png"]
    assert {key: entry[key] for key in FACTS} == FACTS
    assert (entry["notebook"], entry["profile"], entry["kind"]) == ("03_pooling_cases", "offline", "figure")
    with Image.open(folder / "figures/sca/sca-fig-10.png") as picture:
        assert picture.info["dpi"] == pytest.approx((150, 150), abs=0.1)
        assert "Software" not in picture.info
    assert sorted(path.name for path in (folder / "figures/sca").iterdir()) == [
        "sca-fig-10.pdf",
        "sca-fig-10.png",
    ]


def test_the_same_figure_gives_the_same_bytes(folder):
    runs = []
    for _ in range(2):
        figure, ax = plt.subplots(figsize=(2, 1.5))
        ax.plot([0, 1], [1, 0], label="line")
        ax.legend()
        report.save(figure, "sca-fig-10", vector=True, **FACTS)
        plt.close(figure)
        runs.append({path.name: path.read_bytes() for path in (folder / "figures").rglob("*.*")})
    assert runs[0] == runs[1]
    assert b"CreationDate" not in runs[0]["sca-fig-10.pdf"]


def test_a_table_becomes_csv_and_markdown_with_rows_beside_it(folder, table):
    rows = pd.DataFrame({"picture": ["a", "b"], "error": [0.1, np.float32(0.25)]})
    report.save(table, "sca-table-1", extra={"rows": rows}, **FACTS)
    with open(folder / "figures/sca/sca-table-1.csv", newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert written[1] == {"network": "c", "error": "0.33333333", "n": "2", "gap": "x"}
    lines = (folder / "figures/sca/sca-table-1.md").read_text().splitlines()
    assert lines[2:] == ["| a\\|b | 41.81 | 1 |  |", "| c | 0.3333 | 2 | x |"]
    assert pd.read_csv(folder / "figures/sca/sca-table-1-rows.csv").error.tolist() == [0.1, 0.25]
    assert set(report.manifest()["sca-table-1"]["files"]) == {
        "sca/sca-table-1.csv",
        "sca/sca-table-1.md",
        "sca/sca-table-1-rows.csv",
    }


def test_an_index_with_names_stays_in_the_table(folder, table):
    report.save(table.set_index("network"), "sca-table-1", **FACTS)
    assert (folder / "figures/sca/sca-table-1.csv").read_text().startswith("network,error")
    assert (folder / "figures/sca/sca-table-1.md").read_text().startswith("| network | error")


def test_files_that_are_not_made_any_more_are_removed(folder, figure):
    report.save(figure, "sca-fig-10", vector=True, **FACTS)
    report.save(figure, "sca-fig-10", **FACTS)
    assert not (folder / "figures/sca/sca-fig-10.pdf").exists()
    assert list(report.manifest()["sca-fig-10"]["files"]) == ["sca/sca-fig-10.png"]


def test_photographs_are_squeezed_under_the_limit(folder):
    noise = np.random.default_rng(0).uniform(size=(400, 600, 3))
    smooth = np.stack([np.linspace(0, 1, 600)[None].repeat(400, 0)] * 3, -1)
    figure = plt.figure(figsize=(4, 2.67), layout="none")
    figure.add_axes((0, 0, 1, 1)).imshow(0.8 * smooth + 0.2 * noise)
    report.save(figure, "sca-fig-12", **FACTS)
    path = folder / "figures/sca/sca-fig-12.png"
    assert path.stat().st_size <= report.LARGEST_PNG
    with Image.open(path) as picture:
        middle = picture.convert("RGB").getpixel((picture.width // 2, picture.height // 2))
    assert np.allclose(middle, 0.5 * 255, atol=45)
    plt.close(figure)


def test_a_picture_that_stays_too_large_is_refused(folder, figure, monkeypatch):
    monkeypatch.setattr(report, "LARGEST_PNG", 500)
    with pytest.raises(ValueError, match="show fewer or smaller photographs"):
        report.save(figure, "sca-fig-12", **FACTS)
    assert report.manifest() == {}


@pytest.mark.parametrize(
    ("item_id", "make", "error", "words"),
    [
        ("sca-table-1", lambda figure, table: figure, ValueError, "is a table; given a Figure"),
        ("sca-fig-01", lambda figure, table: table, ValueError, "is a figure; given a DataFrame"),
        ("sca-fig-01", lambda figure, table: np.ones(3), TypeError, "given ndarray; expected"),
    ],
)
def test_what_cannot_be_the_item_is_refused(folder, figure, table, item_id, make, error, words):
    with pytest.raises(error, match=words):
        report.save(make(figure, table), item_id, **FACTS)


def test_an_empty_caption_is_refused(folder, figure):
    with pytest.raises(ValueError, match="caption is empty"):
        report.save(figure, "sca-fig-01", **dict(FACTS, caption=" "))


def test_the_caption_says_everything(folder, figure):
    report.save(figure, "sca-fig-01", differs="Lite0 instead of ResNet-18.", **FACTS)
    assert report.show("sca-fig-01").data == (
        "**sca-fig-01.** What is seen. *Network efficientnet-lite0; data bull-mastiff; n = 1; seed 0.* "
        "Differs from the paper: Lite0 instead of ResNet-18."
    )
    with pytest.raises(ValueError, match="not made yet; notebook 02_unified_framework"):
        report.caption_md("sca-fig-02")


# Checks of equations


def test_a_check_keeps_the_tolerance_and_not_the_error(folder):
    for network, error in (("vgg16", 3e-9), ("lite0", 2e-9), ("vgg16", 1e-9)):
        line = report.check("sca-eq-6", "g = w / (hw)", error, 1e-6, network=network, data="cat")
        assert line == "sca-eq-6 holds to 1e-06"
    entry = report.manifest()["sca-eq-6"]
    assert [row["network"] for row in entry["checks"]] == ["lite0", "vgg16"]
    assert entry["checks"][0] == {
        "statement": "g = w / (hw)",
        "holds_to": 1e-6,
        "network": "lite0",
        "data": "cat",
    }
    assert "g = w / (hw) (to 1e-06; lite0; cat)" in report.caption_md("sca-eq-6")


@pytest.mark.parametrize("error", [2e-6, float("nan"), float("inf")])
def test_a_check_that_fails_says_what_and_where(folder, error):
    with pytest.raises(AssertionError, match=r"sca-eq-6 does not hold on vgg16, cat: g = w; error .*, tolerance 1e-06"):
        report.check("sca-eq-6", "g = w", error, 1e-6, network="vgg16", data="cat")
    assert report.manifest() == {}


def test_figure_and_check_of_one_item_live_together_and_a_new_run_starts_anew(folder, figure):
    report.check("sa-eq-5", "range shrinks", 0, 0, network="lite0", data="cat")
    report.save(figure, "sa-eq-5", **FACTS)
    assert {"checks", "files"} <= set(report.manifest()["sa-eq-5"])
    report._made_here.clear()  # what a fresh kernel knows
    report.check("sa-eq-5", "another statement", 0, 0, network="lite0", data="cat")
    entry = report.manifest()["sa-eq-5"]
    assert [row["statement"] for row in entry["checks"]] == ["another statement"]
    assert "files" not in entry
    assert not (folder / "figures/sa/sa-eq-5.png").exists()


def test_processes_at_once_lose_no_entry(folder):
    code = (
        "import sys; from pathlib import Path; from camlib import paths, report\n"
        "paths.FIGURES, paths.BUILD = Path(sys.argv[1]) / 'figures', Path(sys.argv[1]) / 'build'\n"
        "for n in range(1, 25): report.check(f'sca-eq-{n}', 's', 0, 0, network=sys.argv[2], data='d')\n"
        "row = dict(paper='sca', claim='c', evidence='e', ours=1, verdict='holds', notebook='04_sca_cam')\n"
        "for n in range(1, 9): report.claim(f'{sys.argv[2]}-{n}', **row)\n"
    )
    command = [sys.executable, "-c", code, str(folder)]
    runs = [subprocess.Popen([*command, name], cwd=paths.ROOT) for name in ("a", "b")]
    assert [run.wait(timeout=120) for run in runs] == [0, 0]
    assert len(report.claims()) == 16
    assert set(report.manifest()) == {f"sca-eq-{n}" for n in range(1, 25)}


def test_manifest_is_sorted_and_free_of_dates_and_paths(folder, figure, table):
    report.save(table, "sca-table-2", **FACTS)
    report.save(figure, "sca-fig-01", **FACTS)
    text = (folder / "figures/manifest.json").read_text()
    assert list(json.loads(text)) == ["sca-fig-01", "sca-table-2"]
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    assert str(folder) not in text
    assert not re.search(r"20\d\d-\d\d", text)


# Claims


CLAIM = {
    "paper": "sca",
    "claim": "SCA-CAM localizes better",
    "evidence": "fig 12, by eye",
    "ours": 0.3612,
    "interval": (0.31, 0.4),
    "verdict": "does not hold",
    "notebook": "04_sca_cam",
}


def test_a_claim_is_a_row_of_the_ledger(folder):
    assert report.claim("sca-localizes", **CLAIM) == "SCA-CAM localizes better: does not hold"
    report.claim("score-faithful", **dict(CLAIM, paper="score", interval=None, verdict="holds", ours="yes"))
    text = report.claims_text(report.claims())
    assert "2 claims: 1 holds, 1 does not hold, 0 undecided here." in text
    assert "| fig 12, by eye | 0.361 [0.31 … 0.4] | **does not hold** | 04_sca_cam |" in text
    assert text.index("SCA-CAM (Si") < text.index("Score-CAM (Wang")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"verdict": "true"}, "verdict is 'true'; expected one of \\['holds', 'does not hold'"),
        ({"paper": "sac"}, "paper is 'sac'"),
        ({"notebook": "4"}, "notebook is '4'"),
    ],
)
def test_a_claim_names_what_is_wrong(folder, change, words):
    with pytest.raises(ValueError, match=words):
        report.claim("sca-localizes", **dict(CLAIM, **change))


# Gallery, README and their check


README = "Title\n<!-- begin:{0} -->\nold\n<!-- end:{0} -->\nbetween\n<!-- begin:claims --><!-- end:claims -->\n"


@pytest.fixture
def made(folder, figure, table):
    report.save(figure, "sca-fig-01", **FACTS)
    report.save(table, "sca-table-1", **FACTS)
    report.check("sca-eq-6", "g = w / (hw)", 0, 1e-6, network="lite0", data="cat")
    report.claim("sca-localizes", **CLAIM)
    (folder / "README.md").write_text(README.format("items"))
    return folder


def test_gallery_shows_what_is_made_and_what_is_open(made):
    lines = report.gallery()
    assert lines[:2] == ["wrote figures/README.md", "wrote figures/claims.md"]
    text = (made / "figures/README.md").read_text()
    assert text.startswith(f"# Gallery\n\n3 of {len(report.ITEMS)} items are made")
    assert '<img src="sca/sca-fig-01.png"' in text
    assert "[csv](sca/sca-table-1.csv) · [md](sca/sca-table-1.md) · [03_pooling_cases](../notebooks/" in text
    assert "| sca-eq-6 | g = w / (hw) | 1e-06 | lite0; cat |" in text
    assert "| sca-fig-12 | GAP-CAM, Grad-CAM and SCA-CAM on several networks | 04_sca_cam |" in text
    for name in re.findall(r'(?:src="|\]\()((?!\.\.)[^")]+)', text):
        assert (made / "figures" / name).exists(), name


def test_readme_blocks_are_refreshed_and_missing_ones_named(made):
    lines = report.gallery()
    assert "README.md has no <!-- begin:methods --> … <!-- end:methods -->: skipped" in lines
    text = (made / "README.md").read_text()
    assert text.startswith("Title\n<!-- begin:items -->\n")
    assert "\nold\n" not in text
    assert "\nbetween\n" in text
    assert "| SCA-CAM (Si et al. 2021) | fig 01 | [01_feature_maps](notebooks/01_feature_maps.ipynb) | 1 of 1 |" in text
    assert "| fig 02\N{EN DASH}06; eq 1 | 02_unified_framework | open |" in text
    assert "- SCA-CAM localizes better (SCA-CAM (Si et al. 2021)): **does not hold**" in text


def test_a_block_without_an_end_is_an_error(made):
    (made / "README.md").write_text("<!-- begin:items -->\n")
    with pytest.raises(ValueError, match="without <!-- end:items -->"):
        report.gallery()


def test_other_figures_leave_the_readme_alone(made, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", made / "figures-paper")
    assert report.gallery()[-1] == "left README.md alone: figures are in figures-paper"
    assert "old" in (made / "README.md").read_text()


def test_methods_block_is_made_from_the_registry():
    method = SimpleNamespace(name="my-cam", family="gradient", summary="w | mine", source="me, eq. 1", passes="1")
    assert (
        report.methods_block({"my-cam": method}).splitlines()[2]
        == "| `my-cam` | gradient | w \\| mine | me, eq. 1 | 1 |"
    )


def test_check_is_silent_after_gallery_and_names_each_fault(made, capsys):
    report.gallery()
    assert report.main(["check"]) == 0
    assert capsys.readouterr().out == "figures, manifest and gallery agree\n"
    (made / "figures/sca/sca-fig-01.png").unlink()
    (made / "figures/sca/sca-table-1.md").write_text("changed")
    (made / "figures/sca/stray.png").write_bytes(b"")
    (made / "figures/claims.md").write_text("old")
    (made / "README.md").write_text(README.format("items"))
    assert report.main(["check"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "sca/sca-fig-01.png: missing; notebook 01_feature_maps makes it",
        "sca/sca-table-1.md: not the file that 03_pooling_cases made",
        "sca/stray.png: no item of the manifest owns it",
        "figures/claims.md: stale; python -m camlib.compendium.report gallery renews it",
        "README.md: a generated block is stale; python -m camlib.compendium.report gallery renews it",
    ]


def test_gallery_from_the_command_line(made, capsys):
    assert report.main(["gallery"]) == 0
    assert "wrote figures/README.md" in capsys.readouterr().out


def test_runs_of_numbers_are_folded():
    names = ["fig-01", "fig-02", "fig-03", "fig-05", "eq-9", "eq-10", "ablation", "fig-cam"]
    assert report._ranges(names) == "fig 01\N{EN DASH}03, 05; eq 9\N{EN DASH}10; ablation; fig cam"
