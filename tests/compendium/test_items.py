"""camlib.compendium.items: the list of items and its reader."""

import json
import re

import pandas as pd
import pytest

from camlib import paths
from camlib.compendium.claims import CLAIMS
from camlib.compendium.items import ITEMS, KINDS, PAPERS, find_item, make_items, read_table


def test_items_are_every_item_of_the_papers():
    counts = pd.Series([(item.paper, item.kind) for item in ITEMS.values()]).value_counts()
    expected = {
        "sca": (14, 2, 24, 0),
        "sa": (11, 5, 13, 2),
        "union": (3, 4, 8, 1),
        "score": (16, 2, 8, 0),
        "history": (3, 0, 0, 0),
    }
    for paper, numbers in expected.items():
        assert tuple(counts.get((paper, kind), 0) for kind in KINDS) == numbers


def test_item_ids_say_paper_kind_and_number():
    words = {"figure": "fig", "table": "table", "equation": "eq", "algorithm": "alg"}
    for item in ITEMS.values():
        number = r"\d\d" if item.kind == "figure" else r"[1-9]\d*"
        usual = rf"{item.paper}-{words[item.kind]}-{number}"
        named = r"union-(ablation|cost)|history-fig-(cam|timeline|lfi)|own-(fig|table)-[a-z]+"
        assert re.fullmatch(f"{usual}|{named}", item.id)
        assert re.fullmatch(r"\d\d[a-z]?_[a-z_]+", item.notebook)


@pytest.mark.parametrize(
    ("item_id", "number"),
    [
        ("sca-fig-01", "01"),
        ("sca-eq-1", "02"),
        ("sca-eq-2", "03"),
        ("sca-eq-18", "03"),
        ("sca-eq-19", "04"),
        ("history-fig-cam", "02"),
        ("score-eq-8", "16"),
        ("sa-table-3", "11"),
    ],
)
def test_items_have_their_notebook_in_the_course_or_in_its_appendix(item_id, number):
    assert ITEMS[item_id].notebook.startswith(number)


def test_notebooks_of_items_and_claims_lie_where_their_names_say():
    named = {entry.notebook for entry in [*ITEMS.values(), *CLAIMS.values()]} - {""}
    assert {name for name in named if not paths.notebook(name).is_file()} == set()
    assert [path for path in paths.notebooks() if path != paths.notebook(path.stem)] == []


def test_no_item_is_open():
    """The committed gallery: figures and tables have their files, equations what was checked of them."""
    figures = paths.ROOT / "figures"  # make test sends its own figures elsewhere
    entries = json.loads((figures / "manifest.json").read_text(encoding="utf-8"))
    assert sorted(entries) == sorted(ITEMS)
    for item in ITEMS.values():
        entry = entries[item.id]
        assert all((figures / file).is_file() for file in entry.get("files", {}))
        suffixes = {"figure": (".png", ".webp"), "table": (".csv",)}.get(item.kind)
        names = [f"{item.paper}/{item.id}{suffix}" for suffix in suffixes or ()]
        assert entry.get("checks") if suffixes is None else sum(name in entry["files"] for name in names) == 1
        assert paths.notebook(item.notebook).is_file()


def test_an_unknown_item_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="no item 'sca-fig-1'; nearest: sca-fig-1"):
        find_item("sca-fig-1")


def test_figures_and_tables_have_a_caption_and_checked_items_none():
    for item in ITEMS.values():
        assert bool(item.reading) == (item.kind in ("figure", "table")), item.id
        assert item.data is not None or not item.reading, item.id
        assert not (item.read and item.caption), f"{item.id}: read stands in place of caption"


def test_papers_are_those_of_the_ids():
    assert {item.paper for item in ITEMS.values()} == set(PAPERS)


ENTRY = {"paper": "sca", "kind": "figure", "title": "A title", "notebook": "04_sca_cam"}


def test_an_entry_becomes_an_item_with_another_text_in_another_profile():
    profiles = {"paper": {"differs": "another picture", "data": ""}}
    (item,) = make_items({"a": ENTRY | {"differs": "all", "data": "goose", "profiles": profiles}}).values()
    assert (item.id, item.differs, item.data, item.seeded, item.vector) == ("a", "all", "goose", True, False)
    assert item.under("offline") is not None
    assert (item.under("paper").differs, item.under("paper").data) == ("another picture", None)
    assert item.under("paper").title == "A title"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"captoin": "x"}, r"sca-x in items.toml: unknown \['captoin'\], lacking \[\]"),
        ({"profiles": {"paper": {"diffres": "x"}}}, r"unknown \['diffres'\]"),
        ({"kind": "picture"}, "kind 'picture'"),
        ({"paper": "sac"}, "paper 'sac'"),
    ],
)
def test_an_entry_that_is_wrong_is_named(change, words):
    with pytest.raises(ValueError, match=words):
        make_items({"sca-x": ENTRY | change})


def test_an_entry_that_lacks_something_is_named():
    with pytest.raises(ValueError, match=r"lacking \['kind', 'notebook'\]"):
        make_items({"sca-x": {"paper": "sca", "title": "A title"}})


def test_lines_of_the_files_can_be_read():
    for name in ("items.toml", "claims.toml"):
        assert (
            max(map(len, (paths.ROOT / "camlib" / "compendium" / name).read_text(encoding="utf-8").splitlines())) <= 130
        )
    assert list(read_table("items.toml")) == list(ITEMS)


def test_claims_of_items_exist():
    for item in ITEMS.values():
        assert set(item.claims) <= set(CLAIMS), item.id
        assert len(set(item.claims)) == len(item.claims)


def test_every_text_of_every_committed_figure_can_be_read():
    """At 720 pixels, inside the canvas, over no other text: what `python -m camlib.compendium.report texts` lists."""
    entries = json.loads((paths.ROOT / "figures" / "manifest.json").read_text(encoding="utf-8"))
    assert {item_id: entry["texts"] for item_id, entry in entries.items() if "texts" in entry} == {}
