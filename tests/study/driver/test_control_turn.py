"""The control comes beside the first trial, or waits until it is cheap."""

import pytest

from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.study.driver.control_turn import ControlTurn
from autodepth.study.plan.budget import BudgetMeter
from autodepth.units import parse_budget


@pytest.fixture
def make(make_proposals):
    def control_turn(budget="1cpu-h", *, epochs=4, begun=False):
        proposer = make_proposals("search={p_L: {type: float, min: 0.5, max: 1.0}}")
        meter = BudgetMeter(parse_budget(budget), device="cpu", devices=2.0, clock=lambda: 0.0)
        meter.start()
        found = ControlTurn(
            Policy(survival_prob_last=1.0, train=TrainingSettings(epochs=epochs)),
            proposer=proposer, meter=meter,
        )  # fmt: skip
        if begun:
            found.begins()
        return found, proposer, meter

    return control_turn


def test_the_control_comes_after_twice_its_own_work(make):
    control_turn, proposer, _ = make(epochs=4)
    due = []
    for _ in range(3):
        due.append(control_turn.is_due(any_complete=True))
        proposer.parents.add_work(new=3.0, known=1.0)
    due.append(control_turn.is_due(any_complete=True))
    control_turn.begins()

    assert due == [False, False, True, True]
    assert not control_turn.is_due(any_complete=True)


def test_a_control_that_costs_no_training_comes_first(make):
    assert make(epochs=0)[0].is_due(any_complete=True)
    control_turn, proposer, _ = make()
    proposer.parents.ready(proposer.cost_model.parent(control_turn.control), {"p_L": 1.0})
    assert control_turn.is_due(any_complete=True)


def test_it_is_the_last_of_a_number_of_trials_at_the_latest(make):
    control_turn, _, meter = make("3trials")
    due = []
    for _ in range(3):
        due.append(control_turn.is_due(any_complete=True))
        meter.trial_started()

    assert due == [False, False, True]


def test_nobody_trains_its_parent_twice(make):
    control_turn, proposer, _ = make(epochs=1)
    proposer.parents.add_work(new=9.0, known=9.0)
    proposer.parents.started(proposer.cost_model.parent(control_turn.control), 5)

    assert not control_turn.is_due(any_complete=True)


def test_it_does_not_start_without_time_for_it(make):
    control_turn, proposer, meter = make("10s", epochs=1)
    proposer.parents.add_work(new=9.0, known=9.0)
    control = proposer.cost_model.work(control_turn.control, new_parent=True)
    meter.trial_completed(5.0, control / 2, new_parent=True)  # of half the work, in half the time

    assert not control_turn.is_due(any_complete=True)


def test_it_starts_where_there_is_time_for_it(make):
    control_turn, proposer, meter = make("10s", epochs=1)
    proposer.parents.add_work(new=9.0, known=9.0)
    control = proposer.cost_model.work(control_turn.control, new_parent=True)
    meter.trial_completed(6.0, control, new_parent=True)

    assert control_turn.is_due(any_complete=True)


def test_a_part_before_may_have_carried_it_out(make):
    assert not make(epochs=0, begun=True)[0].is_due(any_complete=True)


def test_beside_the_very_first_trial_nothing_better_is_known(make):
    control_turn, proposer, _ = make()
    due = [control_turn.is_due(any_complete=False)]
    proposer.parents.add_work(new=4.0, known=1.0)  # the first trial began
    due.append(control_turn.is_due(any_complete=False))
    assert [*due, control_turn.is_due(any_complete=True)] == [False, True, False]
