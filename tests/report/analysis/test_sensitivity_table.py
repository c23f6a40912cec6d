"""Tables of branches say what the trials measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autodepth.records.ledger import Ledger
from autodepth.report.analysis.sensitivity_table import branch_table

TRIALS = (
    (0.9, 40_000_000, 40.0), (0.8, 10_000_000, 30.0), (None, 0, 10.0), (0.7, 20_000_000, 20.0),
)  # fmt: skip


def records_of(folder):
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        return ledger.trials()


def test_rows_are_means_of_scaled_scores(make_recorded):
    first, *rest = [r for r in records_of(make_recorded("digits", TRIALS)) if r.result]

    def scored(record, criterion, scores, survival=(1.0, 0.8), removed=()):
        result = replace(record.result, sensitivities=scores, survival=survival, removed=removed)
        return replace(record, policy={"criterion": criterion}, result=result)

    table = branch_table(
        [
            scored(first, "taylor", {1: 3.0, 2: 1.0}, removed=(2,)),  # in means: 1.5 and 0.5
            scored(rest[0], "taylor", {1: 10.0, 2: 30.0}, survival=(1.0, 0.4)),  # 0.5 and 1.5
            scored(rest[1], "magnitude", {1: 7.0}),
        ]
    )
    assert table.branches == (1, 2)
    rows = {row.criterion: (row.trials, row.scaled) for row in table.rows}
    assert rows == {"taylor": (2, (1.0, 1.0)), "magnitude": (1, (1.0, None))}
    assert table.survival == pytest.approx((1.0, 2.0 / 3))
    assert (table.survival_low[1], table.survival_high[1]) == (0.4, 0.8)
    assert table.removed == pytest.approx((0.0, 1 / 3))
    assert branch_table([]).branches == ()
