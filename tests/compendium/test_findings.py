"""camlib.compendium.findings and highlights: decisions in words, values of the README's findings."""

import numpy as np
import pandas as pd
import pytest

from camlib.compendium import findings, highlights, verdicts
from camlib.compendium.claims import CLAIMS
from camlib.compendium.items import read_table
from camlib.compendium.verdicts import RULES, Rule, decide_by
from camlib.evaluate.evidence import kept
from camlib.evaluate.evidence.populations import CLASS_MAPS, METHODS


def rows(gains, metric="energy", kind="one"):
    """Fifty pictures a network; "grad-cam" is above "feature-map" by the network's gain, "mask" is 0.2 below."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"network": network, "layer": "last", "kind": kind, "picture": i, "target": "ring", "method": method,
         "common": "keep", metric: value + noise}
        for network, gain in gains.items()
        for i, noise in enumerate(0.01 * rng.normal(size=50))
        for method, value in (("grad-cam", 0.5 + gain), ("feature-map", 0.5), ("mask", 0.3))
    )  # fmt: skip


def rule(**changes):
    known = {"metric": "energy", "method": ("grad-cam",), "margin": 0.02, "populations": ("*:last:one",)}
    return Rule(**(known | {"against": ("feature-map", "mask")} | changes))


def test_the_effect_is_that_of_the_closest_rival_from_the_lowest_population_to_the_highest():
    found = decide_by(rule(), rows({"scenes-gap": 0.1, "scenes-vgg": -0.05}))
    told = findings.effect_text(rule(), found)
    assert told == (
        "share of the energy on the object's mask, grad-cam − feature-map (of 2): "
        "−0.050 [−0.050, −0.050] to +0.100 [0.100, 0.100]; n 50"
    )
    assert findings.populations_text(found) == "✓ GAP; ✗ MLP (VGG)"


def test_populations_name_layer_and_kind_where_there_are_several():
    found = verdicts.Decision("holds", "", {"scenes-gap:last:one": "holds", "scenes-gap:inner:one": "undecided"}, ())
    assert findings.populations_text(found) == "✓ GAP (last); · GAP (inner)"


def test_variants_levels_and_several_methods_are_told():
    made = rows({"scenes-gap": 0.1})
    projected = pd.concat([made, made[made["method"] == "grad-cam"].assign(common="project", energy=0.7)])
    variant = rule(against=(), common="project", against_common="keep")
    assert "grad-cam, project − keep: +0.099" in findings.effect_text(variant, decide_by(variant, projected))
    level = rule(against=(), level=0.7, better="lower")
    assert "grad-cam − 0.7: −0.099" in findings.effect_text(level, decide_by(level, made))
    assert findings.effect_text(rule(), decide_by(rule(), made.iloc[:0])) == "no rows yet"


def test_the_command_line_prints_every_number(monkeypatch, capsys):
    claim = "score-energy-last"
    made = rows({"scenes-gap": 0.1})
    monkeypatch.setattr(findings, "RULES", {claim: rule()})
    monkeypatch.setattr(findings, "decided", lambda claim_id: decide_by(rule(), made))
    assert findings.main([claim]) == 0
    told = capsys.readouterr().out
    assert CLAIMS[claim].claim in told
    assert "scenes-gap:last:one grad-cam feature-map" in " ".join(told.split())
    with pytest.raises(SystemExit):
        findings.main(["no-such-claim"])


def test_a_value_is_the_mean_over_networks_of_their_means():
    made = rows({"scenes-gap": 0.1, "scenes-vgg": -0.05}, kind="several")
    only_gap = pd.concat([made, made[made["network"] == "scenes-gap"].assign(picture=lambda f: f["picture"] + 50)])
    value = highlights.value_of(only_gap, metric="energy", method="grad-cam", minus="feature-map")
    assert value == pytest.approx(0.025)
    one = highlights.value_of(made, metric="energy", method="grad-cam", minus="feature-map", network="scenes-gap")
    assert one == pytest.approx(0.1)
    with pytest.raises(ValueError, match="No row of score-cam"):
        highlights.value_of(made, metric="energy", method="score-cam")


def test_findings_name_methods_columns_and_claims_that_exist():
    columns = set(kept.SHARES) | set(kept.MARKS) | {"average-drop", "average-drop-half", "class_share", "overall"}
    entries = read_table("highlights.toml")["finding"]
    assert len(entries) == 10
    for entry in entries:
        assert entry.get("claim", "sca-localizes-better") in RULES
        for value in entry["values"].values():
            assert value["method"] in METHODS
            assert value["metric"] in columns


def test_the_sentences_of_the_findings_are_true_of_the_rows():
    """Words that no placeholder fills: forgets, decides, brings back, loses, best."""
    rows = verdicts.evidence()

    def value(method, metric, **place):
        return highlights.value_of(rows, metric=metric, method=method, **place)

    unsigned = [value(method, "alike_class") for method in ("grad-cam++", "score-cam", "sa-cam")]
    assert min(unsigned) > 0.4 > 0.1 > value("score-cam-cic", "alike_class") > value("grad-cam", "alike_class")
    for method in ("grad-cam++", "score-cam", "sa-cam"):
        assert value(method, "class_share", common="project") > value(method, "class_share") + 0.2
    assert value("score-cam", "average-drop-half", kind="one", common="project") > 50
    places = verdicts.decided("sca-localizes-better").by_population
    assert [name for name, verdict in places.items() if verdict != "does not hold"] == ["scenes-vgg:last:one"]
    assert set(verdicts.decided("union-localizes-better-than-score-cam").by_population.values()) == {
        "no difference that matters"
    }
    behind_gap, behind_mlp = (
        value("score-cam", "energy", minus="grad-cam", kind="one", network=network)
        for network in ("scenes-gap", "scenes-vgg")
    )
    assert behind_gap < 0 < behind_mlp
    assert value("feature-map", "average-drop", kind="one") < value("grad-cam", "average-drop", kind="one")
    assert value("score-cam-raw", "class_share") > value("score-cam", "class_share")
    assert max(CLASS_MAPS, key=lambda method: value(method, "class_share")) == "shapley-cam"
