"""camlib.compendium.gallery: generated texts, and what disagrees with them."""

import re
from types import SimpleNamespace

import pandas as pd
import pytest
from helpers import CLAIM_ROW, ITEM_FACTS

from camlib import paths
from camlib.compendium import exhibits, gallery, ledger, manifest, report
from camlib.compendium.items import ITEMS

README = "Title\n<!-- begin:{0} -->\nold\n<!-- end:{0} -->\nbetween\n<!-- begin:claims --><!-- end:claims -->\n"


@pytest.fixture
def made(folder, figure, table):
    manifest.save(figure, "sca-fig-01", **ITEM_FACTS)
    manifest.save(table, "sca-table-1", **ITEM_FACTS)
    report.check("sca-eq-6", "g = w / (hw)", 0, 1e-6, network="lite0", data="cat")
    ledger.enter("sca-localizes", **CLAIM_ROW)
    (folder / "README.md").write_text(README.format("choice"))
    return folder


def test_gallery_shows_what_is_made_and_what_is_open(made):
    lines = report.gallery()
    assert lines[:2] == ["wrote figures/README.md", "wrote figures/claims.md"]
    text = (made / "figures/README.md").read_text()
    assert text.startswith(f"# Gallery\n\n3 of {len(ITEMS)} items are made.")
    assert "- [SCA-CAM (Si et al. 2021): 1 figure, 1 table](#sca)\n- [Equations and algorithms (1)](#equations)" in text
    assert '<a href="#sca-fig-01"><img src="sca/sca-fig-01.png" width="160"' in text
    assert '<img src="sca/sca-fig-01.png" width="720"' in text
    assert "Tables: [Error rates and last map size of four networks](#sca-table-1)" in text
    for name in re.findall(r'(?:src="|\]\()((?!\.\.|#)[^")]+)', text):
        assert (made / "figures" / name).exists(), name
    for link in re.findall(r'(?:href="|\]\()#([^")]+)', text):
        assert f'<a id="{link}"></a>' in text
    for id_ in ("sca-fig-01", "sca-table-1"):
        assert text.count(f"<sub>{id_} ·") == text.count(f"### {ITEMS[id_].title}") == 1


def test_a_table_is_shown_itself_with_its_data_behind_a_link(made):
    report.gallery()
    text = (made / "figures/README.md").read_text()
    assert "\n\n| network | error | n | gap |\n| --- | --- | --- | --- |\n| a\\|b | 41.81 | 1 |  |\n" in text
    link = "[03a_pooling_equations](../notebooks/appendix/03a_pooling_equations.ipynb)"
    assert f"<br>{link} · [data (CSV)](sca/sca-table-1.csv)</sub>" in text


def test_a_long_table_is_folded(made):
    rows = pd.DataFrame({"row": range(25)})
    manifest.save(rows, "sca-table-2", **ITEM_FACTS)
    report.gallery()
    text = (made / "figures/README.md").read_text()
    assert "<details>\n<summary>the table, 25 rows</summary>\n\n| row |" in text
    assert "| 24 |\n\n</details>" in text


def test_equations_and_open_items_are_one_folded_table_each(made):
    report.gallery()
    text = (made / "figures/README.md").read_text()
    assert "<summary>1 statements about 1 equations and algorithms</summary>" in text
    assert "(sca-eq-6) | g = w / (hw) | 1e-06 | lite0; cat | [03a_pooling_equations](../notebooks/" in text
    assert f"<summary>open: {len(ITEMS) - 3}</summary>" in text
    assert "| sca-fig-12 | GAP-CAM, Grad-CAM and SCA-CAM on several networks | 04_sca_cam |" in text


def test_an_item_carries_the_verdicts_of_its_claims(made, figure):
    manifest.save(figure, "sca-fig-12", **ITEM_FACTS)
    ledger.enter("sca-localizes-better", **CLAIM_ROW)
    report.gallery()
    text = (made / "figures/README.md").read_text()
    assert (
        f"### {ITEMS['sca-fig-12'].title}\n\n**✗ does not hold** · [SCA-CAM localizes better](claims.md)\n\n<a href="
    ) in text
    assert f"### {ITEMS['sca-fig-01'].title}\n\n<a href=" in text  # whose claims nobody has decided


@pytest.mark.parametrize(
    ("verdict", "mark"),
    [
        ("holds", "✓"),
        ("does not hold", "✗"),
        ("no difference that matters", "="),
        ("depends on the layer", "⇄"),
        ("undecided", "·"),
        ("another word", "•"),
        ("holds, not comparable", "✓"),
    ],
)
def test_every_verdict_has_a_mark(verdict, mark):
    assert exhibits.badge(verdict) == f"{mark} {verdict}"


def test_texts_that_nobody_can_read_are_listed(made, figure, capsys):
    assert report.main(["texts"]) == 0
    figure.text(0.5, 0.5, "tiny", fontsize=5)
    manifest.save(figure, "sca-fig-01", **ITEM_FACTS)
    capsys.readouterr()
    assert report.main(["texts"]) == 1
    assert capsys.readouterr().out == "sca-fig-01: 'tiny' has 5 displayed pixels; the smallest is 9\n"


def test_readme_blocks_are_refreshed_and_missing_ones_named(made):
    lines = report.gallery()
    assert "README.md has no <!-- begin:families --> … <!-- end:families -->: skipped" in lines
    text = (made / "README.md").read_text()
    assert text.startswith("Title\n<!-- begin:choice -->\nNot made yet.\n<!-- end:choice -->")
    assert "\nold\n" not in text
    assert "\nbetween\n" in text
    items = (made / "figures" / "items.md").read_text()
    assert (
        "| SCA-CAM (Si et al. 2021) | fig 01 | [01_feature_maps](../notebooks/01_feature_maps.ipynb) | 1 of 1 |"
        in items
    )
    assert "| fig 02, 06; eq 1 | 02_unified_framework | open |" in items
    assert "0 of the 1 claims are decided by rows" in text
    assert "\n1. A finding.\n\nAll 1 claims with effects" in text
    assert "1 does not hold.\n<!-- end:claims -->" in text


def test_a_block_without_an_end_is_an_error(made):
    (made / "README.md").write_text("<!-- begin:choice -->\n")
    with pytest.raises(ValueError, match="without <!-- end:choice -->"):
        report.gallery()


def test_other_figures_leave_the_readme_alone(made, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", made / "figures-paper")
    assert report.gallery()[-1] == "left README.md alone: figures are in figures-paper"
    assert "old" in (made / "README.md").read_text()


def test_choice_block_takes_the_two_heads_and_both_limits_of_passes(made, monkeypatch):
    monkeypatch.setattr(gallery, "manifest", lambda: {"own-table-choice": {}})
    (made / "figures" / "own").mkdir()
    (made / "figures" / "own" / "own-table-choice.csv").write_text(
        "purpose,passes,GAP,max 2/2,MLP (VGG)\nwhere?,any,a,b,c\nwhere?,a few passes,d,e,f\n"
    )
    assert gallery.choice_block().splitlines()[2] == "| where? | a | d | c | f |"


def test_families_block_has_a_line_a_family():
    methods = {name: SimpleNamespace(name=name, family=name[0]) for name in ("ax", "bx", "ay")}
    assert gallery.families_block(methods).splitlines()[2:] == ["| a | `ax` `ay` |", "| b | `bx` |"]


def test_methods_block_is_made_from_the_registry():
    method = SimpleNamespace(name="my-cam", family="gradient", summary="w | mine", source="me, eq. 1", passes="1")
    assert (
        gallery.methods_block({"my-cam": method}).splitlines()[2]
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
    (made / "README.md").write_text(README.format("choice"))
    assert report.main(["check"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "sca/sca-fig-01.png: missing; notebook 01_feature_maps makes it",
        "sca/sca-table-1.md: not the file that 03a_pooling_equations made",
        "sca/stray.png: no item of the manifest owns it",
        "figures/README.md: stale; python -m camlib.compendium.report gallery renews it",
        "figures/claims.md: stale; python -m camlib.compendium.report gallery renews it",
        "README.md: a generated block is stale; python -m camlib.compendium.report gallery renews it",
    ]


def test_gallery_from_the_command_line(made, capsys):
    assert report.main(["gallery"]) == 0
    assert "wrote figures/README.md" in capsys.readouterr().out


def test_runs_of_numbers_are_folded():
    names = ["fig-01", "fig-02", "fig-03", "fig-05", "eq-9", "eq-10", "ablation", "fig-cam"]
    assert gallery._ranges(names) == "fig 01\N{EN DASH}03, 05; eq 9\N{EN DASH}10; ablation; fig cam"
