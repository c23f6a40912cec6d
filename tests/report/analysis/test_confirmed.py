"""The front by fresh seeds: every replicate counts once, pairs are of one seed."""

import json
import statistics

import pytest

from autodepth.front.objective import Objective
from autodepth.records.ledger import Ledger
from autodepth.records.trial_record import StudyRecord
from autodepth.report.analysis.confirmed import confirmed_best_first, confirmed_front
from autodepth.trial.result import OperatingPoint, TrialResult, TrialState


def result(accuracy, macs=500, removed=(2, 3)):
    return TrialResult(
        point=OperatingPoint(
            validation_accuracy=accuracy, validation_loss=0.3, macs=macs, effective_macs=macs,
            parameters=9, size_bytes=36, latency_ms=1.0,
        ),
        removed=removed, sensitivities={}, survival=(1.0,), parent_accuracy=0.9,
        pruned_accuracy=0.8, phase_seconds={},
    )  # fmt: skip


@pytest.fixture
def ledger(tmp_path):
    study = StudyRecord(
        name="one",
        seed=1,
        objectives=(
            Objective(name="validation_accuracy", goal="maximize", reference=0.0),
            Objective(name="macs", goal="minimize", reference=1000),
        ),
        plan={},
    )
    with Ledger.create(tmp_path / "ledger.sqlite", study) as ledger:
        yield ledger


def enter(ledger, kind, outcome, **about):
    """Enter a trial that ended with a result, or in a state."""
    number = ledger.start_trial(kind, {}, {}, **about)
    if isinstance(outcome, TrialResult):
        ledger.complete_trial(number, outcome, 1.0)
    elif outcome is not None:
        ledger.end_trial(number, outcome, "no luck", 1.0)
    return number


def test_without_confirmations_the_front_is_as_it_was_found(ledger):
    enter(ledger, "search", result(0.97))
    enter(ledger, "search", result(0.90, macs=300))
    members = confirmed_front(ledger)

    assert [m.point for m in members] == ledger.front()
    assert [(m.accuracy, m.replicates.failed, m.controls) for m in members] == [(None, 0, ())] * 2


def test_who_looked_best_by_luck_does_not_stand_first(ledger):
    enter(ledger, "search", result(0.961, macs=900))
    enter(ledger, "search", result(0.960, macs=300))
    enter(ledger, "search", result(0.90, macs=100))
    enter(ledger, "confirm", result(0.931, macs=900), about=0, replicate=1)
    enter(ledger, "confirm", result(0.958, macs=300), about=1, replicate=1)

    assert [m.point.trial for m in confirmed_best_first(ledger)] == [1, 0, 2]
    assert [m.point.trial for m in confirmed_front(ledger)] == [0, 1, 2]


def test_members_are_told_over_seeds_with_raw_values_beside_them(ledger):
    enter(ledger, "search", result(0.97, macs=500))
    enter(ledger, "search", result(0.90, macs=700))  # off the front
    for seed, (accuracy, macs, removed) in enumerate(
        [(0.95, 500, (2, 3)), (0.93, 400, (2, 3, 4)), (0.94, 600, (2, 3))], start=1
    ):
        enter(ledger, "confirm", result(accuracy, macs, removed), about=0, replicate=seed)
    enter(ledger, "confirm", TrialState.INFEASIBLE, about=0, replicate=4)
    enter(ledger, "confirm", TrialState.CANCELLED, about=0, replicate=5)
    enter(ledger, "confirm", None, about=0, replicate=6)  # still runs
    enter(ledger, "confirm", result(0.1), about=1, replicate=1)
    (member,) = confirmed_front(ledger)

    assert member.point.point.validation_accuracy == 0.97
    assert member.accuracy.mean == pytest.approx(0.94)
    assert member.accuracy.sd == pytest.approx(0.01)
    assert member.accuracy.n == 3
    assert member.replicates.macs == 500
    assert (member.same_removed, member.replicates.failed) == (2, 1)


def test_a_seed_that_failed_and_then_succeeded_is_no_failure(ledger):
    enter(ledger, "search", result(0.97))
    enter(ledger, "confirm", TrialState.FAILED, about=0, replicate=1)
    enter(ledger, "confirm", result(0.96), about=0, replicate=1)
    (member,) = confirmed_front(ledger)

    assert (member.accuracy.n, member.replicates.failed) == (1, 0)


def test_controls_are_paired_by_seed_and_not_by_order(ledger):
    enter(ledger, "search", result(0.97))
    ours, theirs = {1: 0.95, 2: 0.80, 3: 0.90, 4: 0.85}, {3: 0.88, 1: 0.92, 5: 0.99, 2: 0.78}
    for seed, accuracy in ours.items():
        enter(ledger, "confirm", result(accuracy), about=0, replicate=seed)
    for seed, accuracy in theirs.items():
        enter(ledger, "control", result(accuracy), about=0, role="evenly spaced", replicate=seed)
    enter(ledger, "control", result(0.5), about=0, role="random removal", replicate=1)
    enter(ledger, "control", TrialState.INFEASIBLE, about=0, role="from scratch", replicate=1)
    (member,) = confirmed_front(ledger)
    even, random, scratch = member.controls

    differences = [ours[seed] - theirs[seed] for seed in (1, 2, 3)]
    assert (even.role, even.comparison.pairs, even.replicates.accuracy.n) == ("evenly spaced", 3, 4)
    assert even.comparison.difference == pytest.approx(statistics.fmean(differences))
    assert even.comparison.sd == pytest.approx(statistics.stdev(differences))
    assert even.comparison.verdict == "yes"
    assert (random.comparison.pairs, random.comparison.verdict) == (1, "unknown")
    assert (scratch.replicates.accuracy, scratch.replicates.failed) == (None, 1)
    assert (scratch.comparison.difference, scratch.comparison.verdict) == (None, "unknown")


def test_the_whole_is_json(ledger):
    enter(ledger, "search", result(0.97))
    enter(ledger, "confirm", result(0.95), about=0, replicate=1)
    enter(ledger, "control", result(0.94), about=0, role="evenly spaced", replicate=1)
    (member,) = confirmed_front(ledger)
    told = json.loads(json.dumps(member.to_dict(), allow_nan=False))

    assert told["raw"] == {"accuracy": 0.97, "macs": 500, "removed": [2, 3]}
    assert told["confirmed"]["accuracy"]["mean"] == 0.95
    assert told["confirmed"]["same_removed"] == 1
    (control,) = told["controls"]
    assert control["role"] == "evenly spaced"
    assert control["comparison"]["verdict"] == "unknown"
    assert control["comparison"]["difference"] == pytest.approx(0.01)
