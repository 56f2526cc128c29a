"""The page of trained networks says what their records say."""

from __future__ import annotations

import pytest

from camlib import paths
from camlib.compendium import accuracies
from camlib.zoo.designs import DESIGNS
from camlib.zoo.trained import record_of


def rows() -> list[list[str]]:
    lines = [line for line in accuracies.text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_trained_network_stands_there_with_its_accuracy():
    found = {row[0]: row for row in rows() if row[1] == "default"}
    assert set(found) == set(DESIGNS)
    for name, row in found.items():
        record = record_of(name)
        assert float(row[-1].removesuffix(" %")) == pytest.approx(100 * record["accuracy"], abs=0.0501)
        assert int(row[2].replace(",", "")) == record["parameters"]


def test_stages_stand_below_their_network():
    stages = record_of("scenes-finetuned")["stages"]
    assert [row[1] for row in rows() if row[0] == "scenes-finetuned"] == ["default", *stages]


def test_scene_networks_reach_what_is_asked_of_them():
    for name in ("scenes-squeeze", "scenes-dense", "scenes-plain"):
        assert record_of(name)["accuracy"] >= 0.95


def test_the_page_is_the_one_that_the_records_make():
    assert (paths.ROOT / "figures" / accuracies.NAME).read_text(encoding="utf-8") == accuracies.text()
