"""The state machine of a study finds faults that the driver once had, when they are put back."""

import unittest.mock

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from study.test_study_machine import StudyMachine

from autodepth.records.trial_record import LOST
from autodepth.study.driver.driver import StudyDriver
from autodepth.study.driver.search_state import ActiveTrial
from autodepth.study.propose.predict.cost_model import CostModel
from autodepth.study.stopping.failure_policy import FailurePolicy
from autodepth.trial.result import TrialState

_init, _end = FailurePolicy.__init__, CostModel.end


def _preemptions_count(self, *, max_failures, records=()):
    _init(self, max_failures=max_failures, records=records)
    failed = [r for r in records if r.state is TrialState.FAILED and r.reason != LOST]
    self._reasons += ["made up"] * (len(failed) - len(self._reasons))
    self._before = len(self._reasons)


def _waits_for_new_ones_only(self):
    task = _next(self)
    if task != "wait" or self._confirming.waits or self._at_asked_concurrency():
        return task
    return "wait" if self.meter.may_start() and not self.proposer.exhausted else "done"


def _known_where_branches_go_at_once(self, policy):
    return _end(self, policy) if policy.removal == "one_shot" else None


@property
def _control_trains_its_parent(self):
    return self.kind == "unpruned" or self.new_parent


def _counts_for_confirmation_too(self):
    return _next_task(self) if self.meter.may_start() else None


_next, _next_task = StudyDriver.next, StudyDriver._next_task
FAULTS = {
    "2 preemptions are failures after a resume": (FailurePolicy, "__init__", _preemptions_count),
    "3 a worker that asked in vain is not asked again": (
        StudyDriver, "next", _waits_for_new_ones_only,
    ),
    "4 greedy policies are never known": (CostModel, "end", _known_where_branches_go_at_once),
    "8 the control always counts as training a parent": (
        ActiveTrial, "parent_trained", _control_trains_its_parent,
    ),
    "11 a count of trials ends confirmation": (
        StudyDriver, "_next_task", _counts_for_confirmation_too,
    ),
}  # fmt: skip


def failure(number):
    """Return what fails on a seed; None where nothing does."""
    try:
        run_state_machine_as_test(
            seed(number)(StudyMachine),
            settings=settings(
                max_examples=15, stateful_step_count=25, deadline=None, database=None,
                phases=[Phase.generate], suppress_health_check=list(HealthCheck),
                print_blob=False,
            ),
        )  # fmt: skip
    except AssertionError as error:
        return error
    return None


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_is_put_back_is_found(name):
    with unittest.mock.patch.object(*FAULTS[name]):
        assert any(failure(number) for number in range(10))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_without_one_nothing_is_found():
    assert not any(failure(number) for number in range(4))
