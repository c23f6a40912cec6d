"""A trial's story names what is better and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from autodepth.errors import InputError
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.report.trial_explanation import TrialExplanation, explain_trial

TRIALS = (
    (0.9, 40_000_000, 40.0), (0.8, 10_000_000, 30.0), (None, 0, 10.0), (0.7, 20_000_000, 20.0),
    (0.8, 10_000_000, 20.0), (0.85, 20_000_000, 20.0),
)  # fmt: skip
Make = Callable[..., StudyFolder]


def explain(folder: StudyFolder, trial: int) -> TrialExplanation:
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        return explain_trial(ledger, trial)


def test_a_trial_is_told_what_is_better(make_recorded: Make) -> None:
    folder = make_recorded("digits", TRIALS)

    assert [m.trial for m in explain(folder, 3).dominated_by] == [5, 1]
    assert not explain(folder, 3).on_front
    assert explain(folder, 5).on_front
    assert explain(folder, 5).dominated_by == ()
    again = explain(folder, 4)
    assert (again.on_front, again.equals, again.dominated_by) == (False, 1, ())
    failed = explain(folder, 2)
    assert (failed.verdicts, failed.dominated_by) == (("ran out",), ())
    assert [epoch.phase for epoch in failed.epochs] == ["parent"]
    for trial in range(len(TRIALS)):
        assert json.loads(json.dumps(explain(folder, trial).to_dict()))["trial"] == trial
    with pytest.raises(InputError, match="6 trials, numbered from 0, but got 6"):
        explain(folder, 6)
