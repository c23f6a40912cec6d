"""Views of a ledger are read without its trials."""

from __future__ import annotations

import pytest

from autodepth.records.ledger import Ledger

TRIALS = (
    (0.9, 40_000_000, 40.0), (0.8, 10_000_000, 30.0), (None, 0, 10.0), (0.7, 20_000_000, 20.0),
)  # fmt: skip


def test_counts_tell_the_states_without_reading_trials(make_recorded):
    folder = make_recorded("digits", TRIALS)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        counts = ledger.counts()
        assert {state.value: n for state, n in counts.items() if n} == {"complete": 3, "failed": 1}
        assert [record.number for record in ledger.trials(2)] == [2, 3]
        assert sum(seconds for _, _, seconds in ledger.charges()) == pytest.approx(ledger.spent())
