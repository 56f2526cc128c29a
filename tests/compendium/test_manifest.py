"""camlib.compendium.manifest: files, entries and checked statements, in a folder of their own."""

import csv
import json
import re

import forked
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers import ITEM_FACTS
from PIL import Image

from camlib.compendium import manifest, report

# Files and entries


def test_a_figure_becomes_png_and_pdf_and_an_entry(folder, figure):
    assert manifest.save(figure, "sca-fig-10", differs="another network", vector=True, **ITEM_FACTS) is None
    entry = manifest.manifest()["sca-fig-10"]
    assert list(entry["files"]) == ["sca/sca-fig-10.pdf", "sca/sca-fig-10.png"]
    assert {key: entry[key] for key in ITEM_FACTS} == ITEM_FACTS
    assert (entry["notebook"], entry["profile"], entry["kind"]) == ("03_pooling_cases", "offline", "figure")
    with Image.open(folder / "figures/sca/sca-fig-10.png") as picture:
        assert picture.info["dpi"] == pytest.approx((144, 144), abs=0.1)
        assert picture.width == 1440
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
        manifest.save(figure, "sca-fig-10", vector=True, **ITEM_FACTS)
        plt.close(figure)
        runs.append({path.name: path.read_bytes() for path in (folder / "figures").rglob("*.*")})
    assert runs[0] == runs[1]
    assert b"CreationDate" not in runs[0]["sca-fig-10.pdf"]


def test_a_table_becomes_csv_and_markdown_with_rows_beside_it(folder, table):
    rows = pd.DataFrame({"picture": ["a", "b"], "error": [0.1, np.float32(0.25)]})
    manifest.save(table, "sca-table-1", extra={"rows": rows}, **ITEM_FACTS)
    with open(folder / "figures/sca/sca-table-1.csv", newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert written[1] == {"network": "c", "error": "0.33333333", "n": "2", "gap": "x"}
    lines = (folder / "figures/sca/sca-table-1.md").read_text().splitlines()
    assert lines[2:] == ["| a\\|b | 41.81 | 1 |  |", "| c | 0.3333 | 2 | x |"]
    assert pd.read_csv(folder / "figures/sca/sca-table-1-rows.csv").error.tolist() == [0.1, 0.25]
    assert set(manifest.manifest()["sca-table-1"]["files"]) == {
        "sca/sca-table-1.csv",
        "sca/sca-table-1.md",
        "sca/sca-table-1-rows.csv",
    }


def test_an_index_with_names_stays_in_the_table(folder, table):
    manifest.save(table.set_index("network"), "sca-table-1", **ITEM_FACTS)
    assert (folder / "figures/sca/sca-table-1.csv").read_text().startswith("network,error")
    assert (folder / "figures/sca/sca-table-1.md").read_text().startswith("| network | error")


def test_files_that_are_not_made_any_more_are_removed(folder, figure):
    manifest.save(figure, "sca-fig-10", vector=True, **ITEM_FACTS)
    manifest.save(figure, "sca-fig-10", **ITEM_FACTS)
    assert not (folder / "figures/sca/sca-fig-10.pdf").exists()
    assert list(manifest.manifest()["sca-fig-10"]["files"]) == ["sca/sca-fig-10.png"]


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
        manifest.save(make(figure, table), item_id, **ITEM_FACTS)


def test_an_empty_caption_is_refused(folder, figure):
    with pytest.raises(ValueError, match="caption is empty"):
        manifest.save(figure, "sca-fig-01", **dict(ITEM_FACTS, caption=" "))


# Checks of equations


def test_a_check_keeps_the_tolerance_and_not_the_error(folder):
    for network, error in (("vgg16", 3e-9), ("lite0", 2e-9), ("vgg16", 1e-9)):
        line = report.check("sca-eq-6", "g = w / (hw)", error, 1e-6, network=network, data="cat")
        assert line == "sca-eq-6 holds to 1e-06"
    entry = manifest.manifest()["sca-eq-6"]
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
    assert manifest.manifest() == {}


def test_figure_and_check_of_one_item_live_together_and_a_new_run_starts_anew(folder, figure):
    report.check("sa-eq-5", "range shrinks", 0, 0, network="lite0", data="cat")
    manifest.save(figure, "sa-eq-5", **ITEM_FACTS)
    assert {"checks", "files"} <= set(manifest.manifest()["sa-eq-5"])
    manifest._made_here.clear()  # what a fresh kernel knows
    report.check("sa-eq-5", "another statement", 0, 0, network="lite0", data="cat")
    entry = manifest.manifest()["sa-eq-5"]
    assert [row["statement"] for row in entry["checks"]] == ["another statement"]
    assert "files" not in entry
    assert not (folder / "figures/sa/sa-eq-5.png").exists()


def test_processes_at_once_lose_no_entry(folder):
    code = (
        "import sys; from pathlib import Path; from camlib import paths, report; from camlib.compendium import ledger\n"
        "paths.FIGURES, paths.BUILD = Path(sys.argv[1]) / 'figures', Path(sys.argv[1]) / 'build'\n"
        "for n in range(1, 25): report.check(f'sca-eq-{n}', 's', 0, 0, network=sys.argv[2], data='d')\n"
        "row = dict(paper='sca', claim='c', evidence='e', ours=1, interval=None)\n"
        "row |= dict(verdict='holds', notebook='04_sca_cam')\n"
        "for n in range(1, 9): ledger.enter(f'{sys.argv[2]}-{n}', **row)\n"
    )
    runs = [forked.start(code, str(folder), name) for name in ("a", "b")]
    assert list(map(forked.status, runs)) == [0, 0]
    assert len(report.claims()) == 16
    assert set(manifest.manifest()) == {f"sca-eq-{n}" for n in range(1, 25)}


def test_manifest_is_sorted_and_free_of_dates_and_paths(folder, figure, table):
    manifest.save(table, "sca-table-2", **ITEM_FACTS)
    manifest.save(figure, "sca-fig-01", **ITEM_FACTS)
    text = (folder / "figures/manifest.json").read_text()
    assert list(json.loads(text)) == ["sca-fig-01", "sca-table-2"]
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    assert str(folder) not in text
    assert not re.search(r"20\d\d-\d\d", text)
