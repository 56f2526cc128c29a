"""camlib.compendium.report: what a cell says, with texts from items.toml and claims.toml."""

import json
from string import Formatter

import matplotlib.pyplot as plt
import pytest
from IPython.display import Markdown

from camlib import paths
from camlib.compendium import report
from camlib.compendium.claims import CLAIMS, Claim
from camlib.compendium.counted import COUNTED
from camlib.compendium.items import ITEMS, Item
from camlib.compendium.verdicts import RULES
from camlib.metrics import Interval


@pytest.fixture
def shown(monkeypatch):
    """What a cell displays."""
    shown = []
    monkeypatch.setattr(report, "display", shown.append)
    return shown


@pytest.fixture
def listed(monkeypatch, folder, shown):
    """Items and claims of a notebook of the test's own, and no notebook that has begun."""
    items = [
        Item(
            "a-fig",
            "sca",
            "figure",
            "A",
            "04_sca_cam",
            "Largest {largest:.2f} at {layer}.",
            differs="on {data}",
            vector=True,
        ),
        Item("a-table", "sca", "table", "B", "04_sca_cam", "All of it.", network="{network}; small", data="a goose"),
        Item("a-still", "sca", "figure", "C", "04_sca_cam", "Still.", data="{n} of {network}", n=3, seeded=False),
        Item("a-eq", "sca", "equation", "D", "04_sca_cam"),
        Item("b-fig", "sca", "figure", "E", "06_gradient_methods", "Elsewhere."),
    ]
    items[0] = Item(**vars(items[0]) | {"profiles": {"paper": {"differs": ""}}})
    claims = [
        Claim(
            "a-better",
            "sca",
            "It is better at {layer}",
            "04_sca_cam",
            "sec. 1",
            "by eye",
            "by {found:+.2f} on {network}",
        ),
        Claim("a-bare", "own", "It is bare", "04_sca_cam", evidence="not tested"),
        Claim("a-chance", "sca", "It is above", "04_sca_cam", "sec. 3", ours="yes", rule={"limit": 0.25}),
        Claim("b-better", "sca", "It is better", "06_gradient_methods", "sec. 2", ours="yes"),
    ]
    for module in ("items", "claims"):
        known = {entry.id: entry for entry in (items if module == "items" else claims)}
        monkeypatch.setattr(f"camlib.compendium.{module}.{module.upper()}", known)
    monkeypatch.setattr(report, "_notebook", report._Notebook())
    return folder


def begin(**options):
    report.begin("04_sca_cam", **{"network": "lite0", "data": "goose", "seed": 0} | options)


# Items


def test_an_item_is_saved_shown_and_captioned_in_one_call(listed, shown, figure):
    begin()
    caption = report.item("a-fig", figure, largest=1 / 3, layer="bn2", n=2)
    assert isinstance(caption, Markdown)
    assert caption.data == (
        "**A.** Largest 0.33 at bn2. Differs from the paper: on goose. "
        "<sub>a-fig · Network lite0; data goose; n = 2; seed 0</sub>"
    )
    assert shown == [figure]
    assert figure.number not in plt.get_fignums(), "the notebook would show it a second time"
    entry = report.manifest()["a-fig"]
    assert sorted(entry["files"]) == ["sca/a-fig.pdf", "sca/a-fig.png"]
    assert (entry["profile"], entry["seed"], entry["n"]) == ("offline", 0, 2)


def test_finding_and_reading_take_the_place_of_a_caption(listed, shown, figure, monkeypatch):
    texts = {"finding": "The largest is {largest:.1f}.", "read": "Bars at {layer}."}
    known = Item("a-found", "sca", "figure", "F", "04_sca_cam", **texts)
    monkeypatch.setitem(report.find_item.__globals__["ITEMS"], "a-found", known)
    begin()
    caption = report.item("a-found", figure, largest=0.5, layer="bn2")
    assert caption.data.startswith("**F.** *The largest is 0.5.* Bars at bn2. <sub>a-found · ")
    entry = report.manifest()["a-found"]
    assert (entry["finding"], entry["caption"]) == ("The largest is 0.5.", "Bars at bn2.")


def test_a_table_is_an_item_with_tables_beside_it(listed, shown, table):
    begin()
    caption = report.item("a-table", table, extra={"rows": table})
    assert caption.data == "**B.** All of it. <sub>a-table · Network lite0; small; data a goose; seed 0</sub>"
    assert set(report.manifest()["a-table"]["files"]) == {f"sca/a-table{end}" for end in (".csv", ".md", "-rows.csv")}
    assert shown == []


def test_a_call_stands_above_the_list_and_the_list_above_the_notebook(listed, figure):
    begin()
    report.item("a-still", figure)
    entry = report.manifest()["a-still"]
    assert (entry["network"], entry["data"], entry["n"], entry["seed"]) == ("lite0", "3 of lite0", 3, None)
    report.item("a-still", figure, network=["vgg16", "lite1"], n=4, seed=7)
    entry = report.manifest()["a-still"]
    assert (entry["network"], entry["data"], entry["n"], entry["seed"]) == ("vgg16, lite1", "4 of vgg16, lite1", 4, 7)


def test_another_profile_has_other_texts(listed, figure):
    begin(profile="paper")
    report.item("a-fig", figure, largest=1, layer="x")
    entry = report.manifest()["a-fig"]
    assert (entry["profile"], entry["differs"]) == ("paper", None)


@pytest.mark.parametrize(
    ("item_id", "values", "words"),
    [
        ("a-fig", {"layer": "x"}, r"a-fig in items.toml has \{largest\}, which the call does not give"),
        (
            "a-fig",
            {"layer": "x", "largest": 1, "larger": 2},
            r"a-fig in items.toml has no \{larger\}; its placeholders: ",
        ),
        ("a-eq", {}, "a-eq in items.toml has no caption"),
        ("a-figg", {}, "no item 'a-figg'; nearest: a-fig"),
        ("b-fig", {}, r"b-fig belongs to 06_gradient_methods; this is 04_sca_cam"),
    ],
)
def test_what_does_not_fit_the_list_is_named(listed, figure, item_id, values, words):
    begin()
    with pytest.raises(ValueError, match=words):
        report.item(item_id, figure, **values)
    assert report.manifest() == {}


def test_without_a_beginning_the_call_says_everything(listed, figure):
    with pytest.raises(
        ValueError, match=r"a-fig: no network, neither in the call nor in items.toml nor by report.begin"
    ):
        report.item("a-fig", figure, largest=1, layer="x")
    report.item("a-fig", figure, largest=1, layer="x", network="lite0", data="goose")
    assert report.manifest()["a-fig"]["seed"] is None


def test_an_unknown_notebook_cannot_begin(listed):
    with pytest.raises(ValueError, match="no notebook '04'"):
        report.begin("04")


def test_checks_take_network_and_data_of_the_notebook(listed):
    begin(network=["lite0", "lite1"], profile="paper")
    assert report.check("a-eq", "g = w", 1e-9, 1e-6) == "a-eq holds to 1e-06"
    report.check("a-eq", "g = w", 0, 1e-6, network="toy", data="one map")
    entry = report.manifest()["a-eq"]
    assert [(row["network"], row["data"]) for row in entry["checks"]] == [("lite0, lite1", "goose"), ("toy", "one map")]
    assert entry["profile"] == "paper"


# Claims


def test_a_claim_takes_its_texts_from_the_list_and_verdict_and_interval_from_the_intervals(listed):
    begin()
    found = {"a": Interval(0.12, 0.03, 0.2), "b": Interval(0.1, 0.01, 0.15)}
    assert report.claim("a-better", found, layer="bn2") == "It is better at bn2: holds"
    assert report.claims()["a-better"] == {
        "paper": "sca",
        "claim": "It is better at bn2",
        "evidence": "sec. 1, by eye",
        "measured": "+0.100 [0.010, 0.150] (b), +0.120 [0.030, 0.200] (a)",
        "populations": "",
        "ours": "by +0.12 [0.03, 0.20] (a), +0.10 [0.01, 0.15] (b) on lite0",
        "interval": "0.01 … 0.2",
        "verdict": "holds",
        "notebook": "04_sca_cam",
    }


def test_verdict_and_interval_may_be_given(listed):
    begin()
    said = report.claim("a-better", Interval(0.1, -1, 1), "does not hold", interval=Interval(0, 1, 2), layer="x")
    assert said == "It is better at x: does not hold"
    assert report.claims()["a-better"]["interval"] == "1 … 2"
    assert report.claim("a-bare", 0.3612, "holds") == "It is bare: holds"
    assert (report.claims()["a-bare"]["ours"], report.claims()["a-bare"]["interval"]) == ("0.361", None)


def test_the_rule_of_the_claim_decides_unless_a_verdict_is_given(listed):
    begin()
    assert report.claim("a-chance", Interval(0.3, 0.2, 0.4)) == "It is above: undecided"
    assert report.claim("a-chance", Interval(0.3, 0.26, 0.4)) == "It is above: holds"
    assert report.claim("a-chance", Interval(0.3, 0.26, 0.4), "undecided") == "It is above: undecided"


@pytest.mark.parametrize(
    ("claim_id", "given", "words"),
    [
        ("a-better", {"layer": "x"}, "a-better: neither a verdict nor intervals are given"),
        ("a-better", {"verdict": "holds", "layer": "x"}, r"a-better in claims.toml has \{found\}, which"),
        ("a-better", {"found": Interval(1, 1, 1)}, r"a-better in claims.toml has \{layer\}, which"),
        ("a-better", {"found": Interval(1, 1, 1), "layer": "x", "lair": 1}, r"a-better in claims.toml has no \{lair\}"),
        ("a-bare", {"found": "so", "verdict": "true"}, "verdict is 'true'"),
        ("a-beter", {"verdict": "holds"}, "no claim 'a-beter'; nearest: a-better"),
        ("b-better", {"verdict": "holds"}, "b-better belongs to 06_gradient_methods"),
    ],
)
def test_a_claim_that_does_not_fit_the_list_is_named(listed, claim_id, given, words):
    begin()
    with pytest.raises(ValueError, match=words):
        report.claim(claim_id, **given)
    assert report.claims() == {}


def test_the_ledger_of_the_notebook(listed):
    with pytest.raises(ValueError, match=r"call report.begin first"):
        report.ledger()
    begin()
    report.claim("a-bare", "so it is", "holds")
    assert report.ledger().data.splitlines()[2:] == ["| It is bare | so it is | **holds** |"]


# Prose


def test_prose_is_asserted_by_name(listed):
    begin()
    report.prose(the_sum_is_blind=True, grad_cam_is_not=1)
    with pytest.raises(AssertionError, match="04_sca_cam: the text says what is not so: grad cam is not; nor this"):
        report.prose(the_sum_is_blind=True, grad_cam_is_not=False, nor_this=0)


@pytest.mark.parametrize("options", [{"profile": "paper"}, {"as_written": False}])
def test_prose_about_other_parameters_is_printed_and_the_notebook_goes_on(listed, capsys, options):
    begin(**options)
    report.prose(the_sum_is_blind=True, grad_cam_is_not=False)
    assert capsys.readouterr().out == "does not hold here: grad cam is not\n"


# The lists against what is committed


def test_every_committed_text_is_one_that_the_lists_can_give():
    """Placeholders aside, captions and claims of the committed gallery are those of the two files."""
    figures = paths.ROOT / "figures"
    entries = json.loads((figures / "manifest.json").read_text(encoding="utf-8"))
    for item in ITEMS.values():
        texts = {"caption": item.reading, "finding": item.finding, "differs": item.differs} if item.reading else {}
        for name, text in texts.items():
            assert fits(text, entries[item.id].get(name)), (item.id, name)
    rows = json.loads((figures / "claims.json").read_text(encoding="utf-8"))
    for claim in CLAIMS.values():
        assert fits(claim.claim, rows[claim.id]["claim"]), claim.id
        by_rows = claim.id in RULES or claim.id in COUNTED
        said = rows[claim.id]["notebook says" if by_rows else "ours"] if claim.notebook else None
        assert claim.ours is None or fits(claim.ours, said), claim.id


def fits(template, text):
    """Whether the literal parts of a template stand in a text in this order, from its begin to its end."""
    if template is None:
        return text is None
    literal = [part for part, *_ in Formatter().parse(template)]
    place = 0
    for part in literal:
        found = text.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return text.startswith(literal[0])
