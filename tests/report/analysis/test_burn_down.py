"""Burn-downs end at what was spent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.records.ledger import Ledger
from autodepth.report.analysis.burn_down import MOST_STEPS, burn_down

TRIALS = (
    (0.9, 40_000_000, 40.0), (0.8, 10_000_000, 30.0), (None, 0, 10.0), (0.7, 20_000_000, 20.0),
)  # fmt: skip


def test_a_budget_burns_down_to_what_was_spent(make_recorded):
    folder = make_recorded("digits", TRIALS)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        burned = burn_down(ledger, ledger.trials())
        spending = ledger.spending()
    assert burned.limit == 240
    assert {stage: values[-1] for stage, values in burned.spent.items()} == pytest.approx(spending)
    assert burned.left == pytest.approx((240, 200, 170, 160, 140))
    assert sorted(burned.times) == list(burned.times)


@given(st.lists(st.floats(0.1, 9), min_size=1, max_size=6))
def test_what_was_spent_only_grows(seconds):
    from autodepth.report.analysis.burn_down import BurnDown

    spent = tuple(sum(seconds[:n]) for n in range(len(seconds) + 1))
    burned = BurnDown(device="cpu", limit=10.0, times=("",) * len(spent), spent={"parent": spent})
    assert all(left >= 0 for left in burned.left)
    assert list(burned.left) == sorted(burned.left, reverse=True)


def test_a_long_study_is_thinned_and_keeps_its_end(make_recorded):
    folder = make_recorded("long", [(0.5, 10_000_000, 1.0)] * (MOST_STEPS + 30))
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        burned = burn_down(ledger, ledger.trials())
        assert len(burned.times) == MOST_STEPS
        assert sum(v[-1] for v in burned.spent.values()) == pytest.approx(ledger.spent())
