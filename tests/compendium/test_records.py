"""Records of figures/: checked before the first byte, whole or not at all, and damage is said with the way out."""

import json
import os
import subprocess
import sys

import forked
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers import ITEM_FACTS

from camlib.compendium import gallery, ledger, manifest, report

CLAIM = {"paper": "sca", "claim": "c", "evidence": "e", "ours": 1, "interval": None, "notebook": "04_sca_cam"}


def state(folder):
    """Every file of the figures, byte by byte."""
    figures = folder / "figures"
    return {path.relative_to(figures).as_posix(): path.read_bytes() for path in figures.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "facts",
    [{"n": float("nan")}, {"seed": float("inf")}, {"differs": "lone \ud800 half"}, {"data": object()}],
    ids=["NaN", "Inf", "surrogate", "object"],
)
def test_what_json_cannot_hold_is_refused_before_the_first_byte(folder, figure, facts):
    manifest.save(figure, "sca-fig-10", vector=True, **ITEM_FACTS)
    before, (_, ax) = state(folder), plt.subplots()
    ax.plot([3, 1])
    with pytest.raises(ValueError, match=r"sca-fig-10: .* an entry holds texts and finite numbers"):
        manifest.save(ax.figure, "sca-fig-10", **ITEM_FACTS | facts)
    plt.close(ax.figure)
    assert state(folder) == before


def test_numbers_of_numpy_are_numbers(folder, figure):
    manifest.save(figure, "sca-fig-10", **ITEM_FACTS | {"n": np.int64(3), "seed": np.int32(1)})
    assert (manifest.manifest()["sca-fig-10"]["n"], manifest.manifest()["sca-fig-10"]["seed"]) == (3, 1)


def test_a_full_disk_leaves_the_old_files_and_no_others(folder, table, monkeypatch):
    manifest.save(table, "sca-table-1", **ITEM_FACTS)
    before, write = state(folder), type(folder).write_bytes

    def full(self, content):
        if "manifest" in self.name:
            raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(type(folder), "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        manifest.save(pd.DataFrame({"a": [1, 2]}), "sca-table-1", **ITEM_FACTS)
    assert state(folder) == before


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not(folder, table):
    manifest.save(table, "sca-table-1", **ITEM_FACTS)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = folder / "figures/sca" / f".sca-table-1.csv.{gone.pid}"
    busy = folder / "figures/sca" / f".sca-table-1.csv.{os.getppid()}"
    for path in (left, busy):
        path.write_text("half")
    manifest.save(table, "sca-table-1", **ITEM_FACTS)
    assert (left.exists(), busy.exists()) == (False, True)
    left.write_text("half")
    gallery.gallery()
    assert not left.exists()


SAVE = """
import sys
from pathlib import Path
import pandas as pd
from camlib import paths
from camlib.compendium import manifest
paths.FIGURES, paths.BUILD = Path(sys.argv[1]) / "figures", Path(sys.argv[1]) / "build"
for n in range(15):
    frame = pd.DataFrame({"who": [sys.argv[2]] * 50, "n": n})
    manifest.save(frame, "sca-table-1", caption="c", network="n", data="d", n=1, seed=0, extra={"rows": frame})
"""


def test_two_processes_that_save_one_item_agree_with_the_record(folder):
    running = [forked.start(SAVE, str(folder), who) for who in ("a", "b")]
    assert list(map(forked.status, running)) == [0, 0]
    files = manifest.manifest()["sca-table-1"]["files"]
    assert {name: manifest.sha256((folder / "figures" / name).read_bytes()) for name in files} == files
    assert set(state(folder)) == {*files, "manifest.json"}


@pytest.mark.parametrize("name", ["../x", "/etc/hostname", "sca/../../x", "", "a\\b"])
def test_a_name_outside_of_the_figures_is_refused_and_nothing_is_deleted(folder, table, name):
    manifest.save(table, "sca-table-1", **ITEM_FACTS)
    outside = folder / "x"
    outside.write_text("mine")
    record = folder / "figures" / "manifest.json"
    entries = json.loads(record.read_text())
    entries["sca-table-1"]["files"] = {name: "0"}
    record.write_text(json.dumps(entries))
    before = state(folder)
    with pytest.raises(ValueError, match=r"manifest.json in figures/ is damaged \(sca-table-1: the file .* outside\)"):
        manifest.save(table, "sca-table-1", **ITEM_FACTS)
    assert state(folder) == before
    assert outside.read_text() == "mine"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"3", b"null", b"\xff\xfe", b'{"a": 1}', b'{"a": {}}', b'{"a": {"kind": null}}', b'{"a": []}'],
)
@pytest.mark.parametrize(("name", "look"), [("manifest.json", manifest.manifest), ("claims.json", ledger.claims)])
def test_damage_is_said_with_the_file_and_the_way_out(folder, name, look, content):
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "figures" / name).write_bytes(content)
    for use in (look, gallery.gallery, gallery.problems):
        with pytest.raises(ValueError, match=rf"{name} in figures/ is damaged .*git checkout -- figures/{name}"):
            use()


def test_the_command_line_says_damage_without_a_traceback(folder, capsys):
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "figures" / "manifest.json").write_bytes(b"{")
    for command in ("gallery", "check"):
        assert report.main([command]) == 1
        assert "manifest.json in figures/ is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [{"claim": None}, {"evidence": 3}, {"notebook": None}, {"paper": None}])
def test_a_claim_without_its_texts_is_refused(folder, wrong):
    with pytest.raises(ValueError, match=f"c-1: {next(iter(wrong))} is .*; expected a text"):
        ledger.enter("c-1", verdict="holds", **CLAIM | wrong)
    assert not (folder / "figures" / "claims.json").exists()
