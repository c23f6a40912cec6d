"""When failures end a study, and when a policy whose workers die is given up."""

from dataclasses import replace

import pytest

from autodepth.records.trial_record import LOST, NODE_LEAVES, WORKER_DIED, TrialRecord
from autodepth.study.stopping.failure_policy import FailurePolicy
from autodepth.trial.result import TrialState

ONE, OTHER = {"p_L": 0.5}, {"p_L": 0.6}
DIED = f"{WORKER_DIED}: nothing is known of why"


def failed(count, **settings):
    failures = FailurePolicy(**{"max_failures": None, **settings})
    for number in range(count):
        assert not failures.is_tried_again(ONE, f"reason {number}", lost=False)
    return failures


def record(number, reason, policy=ONE):
    return TrialRecord(
        number=number, state=TrialState.FAILED, kind="search", point={}, policy=policy,
        reason=reason, started_at="", ended_at="", device_seconds=1.0, result=None,
    )  # fmt: skip


def test_four_failures_and_nothing_else_are_hopeless():
    assert not failed(3).reason_to_stop(0)
    assert failed(4).reason_to_stop(0) == ("the first 4 trials all failed, the last one: reason 3")


def test_beside_trials_that_complete_eight_and_more_than_those_are():
    assert not failed(7).reason_to_stop(1)
    assert not failed(8).reason_to_stop(8)
    assert failed(9).reason_to_stop(8) == ("9 of 17 trials failed, the last one: reason 8")


def test_a_number_the_space_bears_counts_earlier_parts_of_the_study():
    before = [record(number, f"earlier {number}") for number in range(2)]
    assert not failed(1, max_failures=3, records=before).reason_to_stop(0)
    assert failed(2, max_failures=3, records=before).reason_to_stop(50) == (
        "4 trials failed, and limits.failed_trials allows 3: reason 1"
    )
    assert failed(0, max_failures=0, records=before[:1]).reason_to_stop(0) == (
        "1 trial failed, and limits.failed_trials allows 0: earlier 0"
    )


def test_the_rule_without_a_number_counts_this_part_of_the_study_alone():
    before = [record(number, "no luck") for number in range(9)]
    assert not failed(3, records=before).reason_to_stop(0)


def test_a_policy_is_to_blame_when_its_workers_died_three_times():
    failures = FailurePolicy(max_failures=0)

    tries = [failures.is_tried_again(ONE, DIED, lost=True) for _ in range(3)]
    assert tries == [True, True, False]
    assert failures.is_tried_again(OTHER, DIED, lost=True)
    assert failures.reason_to_stop(0).startswith("1 trial failed")


@pytest.mark.parametrize("reason", [NODE_LEAVES, LOST])
def test_nobody_is_to_blame_for_a_node_or_a_driver_that_goes(reason):
    failures = FailurePolicy(
        max_failures=0, records=[record(number, reason) for number in range(9)]
    )

    assert all(failures.is_tried_again(ONE, reason, lost=True) for _ in range(9))
    assert not failures.reason_to_stop(0)
    assert failures.given_up == []


def test_attempts_of_earlier_parts_count():
    three = [record(number, DIED) for number in range(3)]

    assert FailurePolicy(max_failures=None, records=three).given_up == [2]
    two = FailurePolicy(max_failures=None, records=[*three[:2], replace(three[2], policy=OTHER)])
    assert two.given_up == []
    assert not two.is_tried_again(ONE, DIED, lost=True)
