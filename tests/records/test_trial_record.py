"""What a record says of itself: whether it counts, is tried again, may join the front."""

import pytest

from autodepth.front.objective import Objective
from autodepth.records.trial_record import (
    LOST,
    NODE_LEAVES,
    WEIGHTS_LOST,
    WORKER_DIED,
    TrialRecord,
    confirmed_means,
    front_of,
)
from autodepth.trial.result import OperatingPoint, TrialResult, TrialState

POLICY = {"p_L": 0.5, "train": {"batch_size": 128, "epochs": 3}}


def result(accuracy=0.9, macs=100, **more):
    point = OperatingPoint(
        validation_accuracy=accuracy, validation_loss=0.3, macs=macs, effective_macs=macs,
        parameters=1, size_bytes=1, latency_ms=1.0,
    )  # fmt: skip
    return TrialResult(
        point=point, removed=(2,), sensitivities={}, survival=(), parent_accuracy=0.9,
        pruned_accuracy=0.9, phase_seconds={}, **more,
    )  # fmt: skip


def record(state=TrialState.COMPLETE, **values):
    known = {
        "number": 0, "kind": "search", "point": {}, "policy": POLICY, "reason": None,
        "started_at": "", "ended_at": "", "device_seconds": 1.0, "result": None,
    }  # fmt: skip
    return TrialRecord(**(known | {"state": state} | values))


@pytest.mark.parametrize(
    ("state", "reason", "broken_off"),
    [
        (TrialState.FAILED, LOST, True),
        (TrialState.FAILED, f"{WORKER_DIED}: killed", True),
        (TrialState.FAILED, f"{WEIGHTS_LOST}: disk full", True),
        (TrialState.FAILED, NODE_LEAVES, True),
        (TrialState.FAILED, "RuntimeError: its worker died", False),
        (TrialState.CANCELLED, "interrupted", True),
        (TrialState.STOPPED, "below others", False),
        (TrialState.COMPLETE, None, False),
    ],
)
def test_what_ended_through_no_doing_of_its_own_is_tried_again_and_counts_not(
    state, reason, broken_off
):
    found = record(state, reason=reason)

    assert found.broken_off is broken_off
    assert found.counts is not broken_off


def test_a_policy_refused_before_it_began_counts_not_but_one_that_was_trained_does():
    assert not record(TrialState.INFEASIBLE, reason="", device_seconds=0.0).counts
    assert record(TrialState.INFEASIBLE, reason="", device_seconds=3.0).counts


def test_what_is_asked_about_a_member_of_the_front_counts_for_no_search():
    confirmation = record(kind="confirm", about=3, result=result())

    assert (confirmation.of_search, confirmation.counts) == (False, False)
    assert confirmation.front_point is None


def test_smaller_batches_are_part_of_the_policy_as_it_was_carried_out():
    found = record(result=result(batch_size=32))

    assert found.carried_out == {"p_L": 0.5, "train": {"batch_size": 32, "epochs": 3}}
    assert found.front_point.policy == found.carried_out
    assert found.policy == POLICY
    assert record(result=result()).carried_out == POLICY


def test_the_front_has_no_network_that_breaks_a_bound_or_is_dominated():
    objectives = (
        Objective(name="validation_accuracy", goal="maximize", reference=0.0),
        Objective(name="macs", goal="minimize", reference=1000.0),
    )
    records = [
        record(number=1, result=result(0.9, 100)),
        record(number=2, result=result(0.8, 100)),
        record(number=3, result=result(0.7, 50)),
        record(number=4, result=result(0.99, 10), reason="breaks macs >= 20"),
        record(number=5, state=TrialState.RUNNING),
    ]

    assert [member.trial for member in front_of(records, objectives)] == [1, 3]


def test_the_mean_on_fresh_seeds_is_that_of_complete_confirmations():
    def about(trial, kind, accuracy):
        found = None if accuracy is None else result(accuracy)
        return record(kind=kind, about=trial, role="", replicate=1, result=found)

    records = [
        record(result=result(0.99)), about(3, "confirm", 0.8), about(3, "confirm", 0.9),
        about(3, "confirm", None), about(3, "control", 0.1), about(5, "confirm", None),
    ]  # fmt: skip
    assert confirmed_means(records) == {3: pytest.approx(0.85)}
