"""camlib.evaluate.decisive: kept rows come out again, and small cases against plain arithmetic."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from camlib.data.mosaics import side_by_side
from camlib.data.photographs import load_photo
from camlib.evaluate.decisive import CLAIMS, attacks, boards, intervals, kept, photographs, scenes, units
from camlib.evaluate.decisive.kept import Row, as_table
from camlib.evaluate.evidence.kept import write
from camlib.evaluate.evidence.making import network_of


@pytest.mark.parametrize("network", ["scenes-gap", "scenes-dense"])
def test_rows_of_two_scenes_come_out_again(network):
    made = []
    for kind, count in scenes.COUNTS.items():
        made += scenes.of_network(network_of(network), kind, [scenes.FIRST + 3, scenes.FIRST + count - 1])
    again = pd.DataFrame(made, columns=Row._fields)
    old = kept.read("scenes")
    both = again.merge(old, on=["claim", "part", "contrast", "picture"], suffixes=("", " kept"))
    assert len(both) == again["value"].notna().sum() > 4
    assert np.allclose(both["value"], both["value kept"], atol=0.01)


def test_every_claim_has_rows_and_no_picture_counts_twice():
    for study, claims in CLAIMS.items():
        if not kept.file_of(study).is_file():
            pytest.skip(f"the rows of {study} are not made yet")
        rows = kept.read(study)
        assert set(rows["claim"]) == set(claims)
        assert not rows.duplicated(["claim", "part", "contrast", "picture"]).any()


def test_intervals_are_students(tmp_path):
    values = [0.1, 0.4, -0.2, 0.3, np.nan]
    rows = [Row("sa-one-pixel", "p", "c", str(i), v) for i, v in enumerate(values)]
    write(as_table(rows), kept.file_of("attacks", tmp_path))
    (interval,) = intervals("sa-one-pixel", tmp_path).values()
    expected = stats.ttest_1samp(values[:4], 0).confidence_interval(0.95)
    assert interval == pytest.approx((0.15, expected.low, expected.high), abs=1e-6)
    assert units("sa-one-pixel", tmp_path) == 4
    with pytest.raises(ValueError, match="no rows decide 'x'"):
        intervals("x", tmp_path)


def test_a_missing_file_says_what_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m camlib\.evaluate\.decisive boards"):
        intervals("score-weights-background", tmp_path)


def test_gray_levels():
    assert scenes.gray_entropy(torch.zeros(8, 8)) == 0
    assert scenes.gray_entropy(torch.arange(256.0).reshape(16, 16) / 255) == pytest.approx(8)
    assert scenes.gray_entropy(torch.tensor([[0.0, 1.0], [0.0, 1.0]])) == pytest.approx(1)


def test_sums_of_cells():
    maps = torch.arange(32.0).reshape(2, 4, 4) - 3
    sums = boards.cell_sums(maps)
    assert sums.shape == (2, 4)
    assert sums[0].tolist() == [maps[0, i : i + 2, j : j + 2].clamp(min=0).sum() for i in (0, 2) for j in (0, 2)]


def test_tiles_are_shuffled_and_keep_every_pixel():
    whole = side_by_side("bull-mastiff", "goose").picture.crop((0, 0, 224, 224))
    mixed = photographs.shuffled(whole, 28)
    assert np.asarray(mixed).tobytes() != np.asarray(whole).tobytes()
    assert np.array_equal(np.sort(np.asarray(mixed), axis=None), np.sort(np.asarray(whole), axis=None))


def test_a_pixel_flips_a_picture_on_the_edge_and_not_a_sure_one():
    """A linear network of two classes: the lead is a sum over pixels, so the strongest place is known."""

    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lead = torch.zeros(3, 8, 8)
            self.lead[:, 2, 5] = 1.0
            self.bias = torch.nn.Parameter(torch.tensor(-1.0))

        def forward(self, x):
            y = (x * self.lead).sum(dim=(1, 2, 3)) + self.bias
            return torch.stack([y, torch.zeros_like(y)], dim=1)

    from camlib.networks import Network

    net = Network(torch.nn.Sequential(torch.nn.Identity(), Linear()), target_layer="0")
    x = torch.ones(3, 8, 8)
    assert attacks.flips(net, x, 0)
    net.module[1].bias.data += 10
    assert not attacks.flips(net, x, 0)


def test_what_a_row_of_a_photograph_says():
    net = photographs.load_network(photographs.NETWORK)
    picture = load_photo("bull-mastiff")
    (first, second) = photographs.of_tiles(net.with_input_size((224, 448)), picture, "x")
    assert (first.part, second.part) == ("14 pixels", "28 pixels")
    assert 0 < first.value < 1
    (row,) = photographs.of_weights({photographs.NETWORK: net}, picture, "x")
    trace = photographs.Trace.of(net, picture, layer="bn2.drop")
    passing = ((trace.activations[0] > 0) & (trace.activations[0] < 6)).double().mean(dim=(1, 2))
    w = trace.network.module.classifier.weight[trace.logits.argmax()].detach().double()
    assert row.value == pytest.approx(float(np.corrcoef(w, w * passing)[0, 1]), abs=1e-4)
