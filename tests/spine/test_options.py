"""Options are compared with what functions declare: types, ranges, words; numbers of NumPy are numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import helpers
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import camlib
from camlib.metrics import METRICS
from camlib.options import Count, Inside, NotNegative, Range, Seed, Share, checked, checked_options, declared

EVERY = [*camlib.METHODS.values(), *METRICS.values()]


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.name)
def test_every_option_is_declared_and_its_default_fits(one):
    kinds = declared(one.function)
    for option, default in one.options.items():
        assert checked(option, default, kinds[option]) == default


@given(st.integers())
def test_a_count_is_a_whole_number_from_one_on(value):
    if value >= 1:
        assert checked("samples", value, Count) == value
    else:
        with pytest.raises(ValueError, match="expected a whole number of at least 1"):
            checked("samples", value, Count)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_share_lies_between_its_ends_and_is_finite(value):
    if math.isfinite(value) and 0 <= value <= 1:
        assert checked("tau", value, Share) == value
    else:
        with pytest.raises(ValueError, match="tau="):
            checked("tau", value, Share)


@pytest.mark.parametrize(("value", "fits"), [(0.0, False), (1e-9, True), (1 - 1e-9, True), (1.0, False)])
def test_open_ends_do_not_belong(value, fits):
    if fits:
        assert checked("q", value, Inside) == value
    else:
        with pytest.raises(ValueError, match="above 0 and below 1"):
            checked("q", value, Inside)


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3), torch.tensor(3)])
def test_numbers_of_arrays_are_numbers(value):
    taken = checked("seed", value, Seed)
    assert (type(taken), taken) == (int, 3)
    taken = checked("noise", value, NotNegative)
    assert (type(taken), taken) == (float, 3.0)


@pytest.mark.parametrize("wrong", [True, np.True_, "3", 3.0, None, [3], torch.ones(2)])
def test_other_types_are_no_whole_numbers(wrong):
    with pytest.raises(TypeError, match=r"samples=.*: expected a whole number"):
        checked("samples", wrong, Count)


@pytest.mark.parametrize("wrong", ["yes", 1, 0, None])
def test_a_switch_is_true_or_false(wrong):
    with pytest.raises(TypeError, match="expected True or False"):
        checked("exact", wrong, bool)


@pytest.mark.parametrize("wrong", ["pink", 3, None, ["mean"], {}])
def test_a_word_is_one_of_those_declared(wrong):
    with pytest.raises(ValueError, match=r"expected one of \('mean', 'black'\)"):
        checked("filler", wrong, Literal["mean", "black"])


@pytest.mark.parametrize(
    "given_", [[1, 2], (1, 2), range(1, 3), np.array([1, 2]), torch.tensor([1, 2]), [np.int64(1), 2]]
)
def test_lists_of_whole_numbers_are_read_alike(given_):
    assert checked("rivals", given_, Count | Sequence[int]) == [1, 2]


def test_none_is_taken_where_it_is_declared():
    assert checked("theta", None, Share | None) is None
    with pytest.raises(ValueError, match="at most 1 or None"):
        checked("theta", 2, Share | None)
    with pytest.raises(TypeError, match="at most 1 or None"):
        checked("theta", "x", Share | None)


def test_a_function_that_declares_nothing_takes_anything():
    def mine(trace, target, *, strength=3, kind: Unknown = 1):  # noqa: F821
        """Nothing."""

    assert checked_options("mine", mine, {"strength": "x", "kind": None}) == {"strength": "x", "kind": None}


def test_a_range_says_what_it_is():
    assert [str(r) for r in (Range(1), Range(0, 1), Range(high=3, open_high=True))] == [
        "of at least 1",
        "of at least 0 and at most 1",
        "below 3",
    ]


WRONG = [
    ("smooth-grad", {"samples": 0}),
    ("smooth-grad", {"noise": math.nan}),
    ("smooth-grad", {"batch": -1}),
    ("smooth-grad-cam++", {"noise": math.inf}),
    ("integrated-gradients", {"steps": 0}),
    ("opti-cam", {"learning_rate": math.inf}),
    ("mask", {"sigma": 1e6}),
    ("mask", {"tv_power": math.nan}),
    ("sa-cam", {"lambda1": math.nan}),
    ("sa-cam", {"sigma": "x"}),  # not used by its default perturbation
    ("sa-cam", {"seed": 1.5}),
    ("score-cam", {"align_corners": "yes"}),
    ("rise", {"cells": 10**9}),
]


@pytest.mark.parametrize(("method", "options"), WRONG)
def test_nonsense_is_refused_before_anything_runs(method, options):
    module = helpers.seeded(helpers.Gap)
    with pytest.raises((ValueError, TypeError), match=f"{next(iter(options))}=.*expected") as failure:
        camlib.explain(helpers.network(module), helpers.picture(0), method, 1, **options)
    assert str(failure.value).startswith(method)


def test_what_is_recorded_is_plain():
    e = camlib.explain(
        helpers.network(helpers.seeded(helpers.Gap)), helpers.picture(0), "ss-cam", 1, samples=np.int64(2)
    )
    assert type(e.options["samples"]) is int
