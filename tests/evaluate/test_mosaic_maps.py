"""camlib.evaluate.evidence.mosaic_maps: the kept maps are those of the mosaic that the rule chooses."""

import numpy as np
import pytest

from camlib.evaluate.evidence import mosaic_maps
from camlib.framework import COMMON

KEPT = pytest.mark.skipif(not mosaic_maps.FILE.is_file(), reason="data/evidence/mosaic-maps.parquet is not made yet")


@KEPT
def test_every_map_is_kept():
    kept = mosaic_maps.read()
    places = {(c, m, v) for c in mosaic_maps.CELLS for m in mosaic_maps.METHODS for v in COMMON}
    assert set(kept.maps) == places
    assert all(map_.shape == (8, 8) and map_.min() >= 0 and map_.max() > 0 for map_ in kept.maps.values())


@KEPT
def test_maps_of_one_backward_pass_come_out_again_and_the_rule_chooses_the_same_mosaic():
    kept, chosen = mosaic_maps.read(), mosaic_maps.chosen()
    assert (kept.names, kept.labels) == (chosen.names, chosen.labels)
    again = mosaic_maps.make(("grad-cam", "sca-cam")).to_pylist()
    assert len(again) == 2 * len(mosaic_maps.CELLS) * len(COMMON)
    for row in again:
        old = kept.maps[row["cell"], row["method"], row["common"]]
        assert np.float32(row["map"]) == pytest.approx(old, rel=1e-3, abs=1e-3 * float(old.max()))


def test_a_missing_file_says_what_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m camlib\.evaluate\.evidence\.mosaic_maps"):
        mosaic_maps.read(tmp_path / "none.parquet")
